# What was found where nobody attacks, as Markdown, of one object for each work.
def grave: . as $s | ["MEDIUM", "HIGH", "CRITICAL"] | index([$s]) != null;
def cell: gsub("\\|"; "\\|");
"Everyday work, each in a sandbox of its own, with all detectors that come with Tarsius. Of medium severity or more: **\([.[].found[] | select(.severity | grave)] | length)** findings; less: \([.[].found[] | select(.severity | grave | not)] | length).",
"Not among it, for want of a guest or a registry in reach: systemd at work, pulls by containerd.",
"", "| Work | Exit code | Findings |", "|---|---|---|",
(.[] | "| \(.name) | \(.code) | \(if .found == [] then "none" else (.found | group_by([.name, .process]) | map("`\(.[0].name)` (\(.[0].severity)) × \(length), of \(.[0].process)") | join("; ")) end) |"),
"", "## What was done", "",
(.[] | "- \(.name): `\(.line)`")
