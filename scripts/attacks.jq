# What came of the corpus' attacks, as Markdown. $corpus: the cases; $installed: packages, a line each; $runs: a line for each that was run; $found: what was found, in JSON lines.
def grave: . as $s | ["MEDIUM", "HIGH", "CRITICAL"] | index([$s]) != null;
def time: .seconds + .nanos / 1e9;
def family: split(".")[0];
def cell: gsub("\\|"; "\\|") | gsub("\n"; " ");
def percent($of): if $of == 0 then "-" else "\(1000 * . / $of | round / 10) %" end;

def of($run): [$found[] | select($run and (.timestamp | time) >= $run.t_start and (.timestamp | time) <= $run.t_end)];

($runs | map({(.id): .}) | add) as $run |
([of($run.control)[].name] | unique) as $nothing |
[$corpus[0].cases[] | select(.tier == "alert") | . as $case | $run[.id] as $ran |
    (of($ran) | map(select(.name as $n | $nothing | index([$n]) == null))) as $all |
    [$all[] | select(.threat.severity | grave)] as $grave |
    [.technique, .technique_before_v19] as $techniques |
    ($case.requires - ($installed | split("\n"))) as $missing |
    {id, technique, description, ran: ($ran != null and $ran.rc == "0" and $missing == []),
        why: (if $missing == [] then "exit code \($ran.rc // "none")" else "needs \($missing | join(", "))" end),
        found: ([$grave[].name] | unique), lesser: ([$all[].name] | unique),
        right: any($grave[].threat.mitre.technique.id // ""; . as $t | any($techniques[]; . == $t)),
        kindred: any($grave[].threat.mitre.technique.id // ""; family as $t | any($techniques[] | family; . == $t))}
] as $cases |
[$cases[] | select(.ran)] as $ran | [$ran[] | select(.found != [])] as $caught |
"Of \($cases | length) cases of the corpus in which an alert is expected, \($ran | length) could be run here (what the others need is not installed). Found, as of medium severity or more, were **\($caught | length)** of these (\($caught | length | percent($ran | length))); \($caught | map(select(.right)) | length) by the very technique of the case, \($caught | map(select(.kindred and (.right | not))) | length) by another of the same family, the others by what else the case does.",
"A finding counts if it was told of a process of the case while that ran; the cases run one after another. In a case in which nothing happens, the control, \(if $nothing == [] then "nothing" else $nothing | join(", ") end) was found; what is found there counts nowhere.",
"",
"## Not found", "",
"| Case | Technique | What happens | Told as less than medium |", "|---|---|---|---|",
($ran[] | select(.found == []) | "| \(.id) | \(.technique) | \(.description | cell) | \(.lesser | join(", ")) |"),
"",
"## Not run", "",
"| Case | Technique | What happens | Why |", "|---|---|---|---|",
($cases[] | select(.ran | not) | "| \(.id) | \(.technique) | \(.description | cell) | \(.why) |"),
"",
"## Found", "",
"| Case | Technique | What happens | Found by |", "|---|---|---|---|",
($caught[] | "| \(.id) | \(.technique)\(if .right then "" elif .kindred then " (of its family)" else " (another)" end) | \(.description | cell) | \(.found | join(", ")) |")
