# The tables of docs/kernels.md from docs/kernels.json.

def commas: tostring | if length > 3 then (.[:-3] | commas) + "," + .[-3:] else . end;
def round_to($n): . * $n + 0.5 | floor | . / $n;
def number: if . == null then "–" else commas end;

def sum(f): map(f) | add // 0;

# Of a million runs that were due, how many were skipped, over some probes. The dispatchers of system calls do not count their runs:
# of them only the skipped ones are known, and told apart.
def per_million:
    (map(select(.runs > .skipped)) | {runs: sum(.runs), skipped: sum(.skipped)}) as $counted |
    sum(if .runs == .skipped then .skipped else 0 end) as $others |
    [
        if $counted.runs == 0 then empty
        else 1e6 * $counted.skipped / $counted.runs |
            if . == 0 then "0" elif . < 0.01 then "< 0.01" elif . < 10 then round_to(100) | tostring
            elif . < 100 then round_to(10) | tostring else round_to(1) | commas end
        end,
        if $others == 0 then empty else "\($others | commas) runs" end
    ] | if . == [] then "–" else join(" + ") end;

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
        if .tests then "\(.tests.passed) / \(.tests.failed) / \(.tests.skipped | length)" else "–" end,
        ($t.operations, $t.expected, $t.intact, $t.torn, $t.misattributed, $t.duplicated, $t.silent, $t.reported | number),
        (.torture.probes // [] | per_million),
        (.controls["shared-scratch"] | torn(true)),
        (.tasks_preempt as $must | .controls["single-slot-per-context"] | torn($must)),
        (.controls["naive-attachment"].probes // [] | per_million),
        ([.tests, .torture | select(. != null) | "\(.date) \(.commit)"] | unique | join("; ")) + (.torture.seconds | if . then ", \(.) s" else "" end)
    ]] | table(4);

def failures:
    [.[] | select((.tests.failures // []) != []) | "- \(.name): \(.tests.failures | join(", "))"] |
    if . == [] then empty else "", "Failed:", "", .[] end;

def skips:
    [.[] | select((.tests.skipped // []) != []) | "- \(.name): \(.tests.skipped | join("; "))"] |
    if . == [] then empty else "", "Skipped:", "", .[] end;

# One column for each kernel, with the naive attachment beside it; only columns and probes with a skipped run.
def skipped_runs:
    [.[] | select(.torture.probes != null) |
        {name, probes: .torture.probes},
        {name: (.name + " naive"), probes: (.controls["naive-attachment"].probes // empty)}] as $all |
    [$all[] | select([.probes[] | select(.skipped > 0)] != [])] as $columns |
    ([$columns[].probes[] | select(.skipped > 0) | [.lane, .probe]] | unique) as $probes |
    if $columns == [] then "No probe had a skipped run on any kernel."
    else
        [["lane", "probe"] + [$columns[].name]] +
        [$probes[] as [$lane, $probe] | [$lane, "`\($probe)`"] +
            [$columns[] | [.probes[] | select(.lane == $lane and .probe == $probe)] | per_million]] |
        table(2),
        "",
        "All other probes had 0, and so had all probes on: " +
            ([$all[].name] - [$columns[].name] | if . == [] then "none of the others" else join(", ") end) + "."
    end;

"### What came out", "", results, failures, skips, "", "### Skipped runs per million, by probe", "", skipped_runs
