# The tables of docs/kernels.md from docs/kernels.json.

def commas: tostring | if length > 3 then (.[:-3] | commas) + "," + .[-3:] else . end;
def round_to($n): . * $n + 0.5 | floor | . / $n;
def number: if . == null then "–" else commas end;

# Of a million runs that were due, how many were skipped.
def per_million:
    if . == null or .runs == 0 then "–"
    else 1e6 * .skipped / .runs |
        if . == 0 then "0" elif . < 0.01 then "< 0.01" elif . < 10 then round_to(100) | tostring
        elif . < 100 then round_to(10) | tostring else round_to(1) | commas end
    end;

def line: "| " + join(" | ") + " |";
def table($left): (.[0] | line), ([range(.[0] | length) | if . < $left then "---" else "---:" end] | line), (.[1:][] | line);

# What a control found, and whether that is what it had to find.
def torn($must): if . == null then "–" else .totals.torn | commas + (if $must and . == 0 then " **(clean)**" else "" end) end;

def results:
    [["kernel", "release", "preemption", "tests passed / failed / skipped", "operations", "events expected", "intact",
      "torn", "misattributed", "duplicated", "silent", "reported lost", "skipped per million",
      "shared scratch: torn", "slot per context: torn", "naive: skipped per million", "run"]] +
    [.[] | .torture.totals as $t | [
        .name, .release, (.model // "–"),
        "\(.tests.passed) / \(.tests.failed) / \(.tests.skipped | length)",
        ($t.operations, $t.expected, $t.intact, $t.torn, $t.misattributed, $t.duplicated, $t.silent, $t.reported | number),
        ($t | per_million),
        (.controls["shared-scratch"] | torn(true)),
        (.tasks_preempt as $must | .controls["single-slot-per-context"] | torn($must)),
        (.controls["naive-attachment"].totals | per_million),
        "\(.date), \(.commit), \(.torture.seconds // "–") s"
    ]] | table(4);

def failures:
    [.[] | select(.tests.failures != []) | "- \(.name): \(.tests.failures | join(", "))"] |
    if . == [] then empty else "", "Failed:", "", .[] end;

def skips:
    [.[] | select(.tests.skipped != []) | "- \(.name): \(.tests.skipped | join("; "))"] |
    if . == [] then empty else "", "Skipped:", "", .[] end;

# One column for each kernel, with the naive attachment beside it; only columns and probes with a skipped run.
def skipped_runs:
    [.[] | select(.torture != null) |
        {name, probes: .torture.probes},
        {name: (.name + " naive"), probes: (.controls["naive-attachment"].probes // empty)}] as $all |
    [$all[] | select([.probes[] | select(.skipped > 0)] != [])] as $columns |
    ([$columns[].probes[] | select(.skipped > 0) | [.lane, .probe]] | unique) as $probes |
    if $columns == [] then "No probe had a skipped run on any kernel."
    else
        [["lane", "probe"] + [$columns[].name]] +
        [$probes[] as [$lane, $probe] | [$lane, "`\($probe)`"] +
            [$columns[] | [.probes[] | select(.lane == $lane and .probe == $probe)] |
                if . == [] then "–" else {runs: (map(.runs) | add), skipped: (map(.skipped) | add)} | per_million end]] |
        table(2),
        "",
        "All other probes had 0, and so had all probes on: " +
            ([$all[].name] - [$columns[].name] | if . == [] then "none of the others" else join(", ") end) + "."
    end;

"### What came out", "", results, failures, skips, "", "### Skipped runs per million, by probe", "", skipped_runs
