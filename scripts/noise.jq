# What was found where nobody attacks, as Markdown. $here: an object for each work in a sandbox, with what was found; $guest: one for each in a guest, with
# its start, and $found: what was found there; $release: the guest's kernel.
def grave: . as $s | ["MEDIUM", "HIGH", "CRITICAL"] | index([$s]) != null;
def time: .seconds + .nanos / 1e9;
def cell: gsub("\\|"; "\\|");
def process: .workload.process.executable.path // .workload.process.thread.name;
def findings: if . == [] then "none" else (group_by([.name, process]) | map("`\(.[0].name)` (\(.[0].threat.severity)) × \(length), of \(.[0] | process)") | join("; ")) end;
def table: "| Work | Exit code | Findings |", "|---|---|---|", (.[] | "| \(.name) | \(.code) | \(.found | findings | cell) |");

([$found[] | select(.name == "lost_events") | .data[] | select(.name == "count") | [.. | numbers] | add] | add // 0) as $lost |
# A work's is what was found from its start to that of the next.
([$guest | to_entries[] | .key as $n | .value + {found: [$found[] | select(.detector) | (.timestamp | time) as $t | select(
    ($n == 0 or $t >= $guest[$n].start) and ($n + 1 == ($guest | length) or $t < $guest[$n + 1].start))]}]) as $guest |
[($here + $guest)[].found[]] as $all |
"Everyday work with all detectors that come with Tarsius. Of medium severity or more: **\([$all[] | select(.threat.severity | grave)] | length)** findings; less: \([$all[] | select(.threat.severity | grave | not)] | length).",
"", "## Each in a sandbox of its own", "", ($here | table),
(if $guest == [] then empty else
    "", "## In a guest, one after another", "",
    "All that runs there is watched, from before systemd, its first process, starts it; kernel \($release). Events lost there, as the watch told: \($lost).",
    "", ($guest | table) end),
"", "## What was done", "",
(($here + $guest)[] | "- \(.name): `\(.line)`")
