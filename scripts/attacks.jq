# What came of the corpus' attacks, as Markdown. $corpus: the cases; $installed: packages, a line each; $places: for each place at which they were run its
# name, a line for each case, and what was found, as JSON.
def grave: . as $s | ["MEDIUM", "HIGH", "CRITICAL"] | index([$s]) != null;
def time: .seconds + .nanos / 1e9;
def family: split(".")[0];
# All that a finding is a sign of.
def signs: .threat.mitre | .technique.id // "", .other_techniques[]?;
def cell: gsub("\\|"; "\\|") | gsub("\n"; " ");
def percent($of): if $of == 0 then "-" else "\(1000 * . / $of | round / 10) %" end;
def rows(f): if . == [] then "| none | | | | |" else .[] | f end;

# Within the sandbox, which unshare(1) began, a case's command is run by timeout(1), and what prepares it is not.
def commanded: [.workload.process | .thread.name, .ancestors[]?.thread.name] | .[:(index("unshare") // length)] | any(. == "timeout");
def of($run): [.found[] | select(.detector and $run and (.timestamp | time) >= $run.t_start and (.timestamp | time) <= $run.t_end and commanded)];

# Each case at a place: whether it was run there, and what was found.
def cases:
    . as $place | (.runs | map({(.id): .}) | add) as $run |
    ([of($run.control)[].name] | unique) as $nothing |
    [$corpus[0].cases[] | select(.tier == "alert") | $run[.id] as $ran |
        ($place | of($ran) | map(select(.name as $n | $nothing | index([$n]) == null))) as $all |
        [$all[] | select(.threat.severity | grave)] as $grave |
        [.technique, .technique_before_v19] as $techniques |
        (.requires - ($installed | split("\n"))) as $missing |
        # 124: it was ended, as searches of all files are in a guest; what it did until then counts.
        {place: $place.name, id, technique, description, ran: ($ran != null and ($ran.rc == "0" or $ran.rc == "124") and $missing == []),
            ended: ($ran != null and $ran.rc == "124"),
            why: (if $missing == [] then "exit code \($ran.rc // "none")" else "needs \($missing | join(", "))" end),
            found: ([$grave[].name] | unique), lesser: ([$all[].name] | unique),
            right: any($grave[] | signs; . as $t | any($techniques[]; . == $t)),
            kindred: any($grave[] | signs; family as $t | any($techniques[] | family; . == $t))}
    ] as $cases |
    {name, $nothing, $cases, ran: [$cases[] | select(.ran)]} | .caught = [.ran[] | select(.found != [])];

[$places[] | cases] as $places |
[$places[].cases[]] as $all |
"Cases of the corpus in which an alert is expected, each run in a sandbox with all detectors that come with Tarsius:",
"",
($places[] | (.ran | length) as $ran | "- On \(.name): of \(.cases | length) cases \(.ran | length) could be run. Found, as of medium severity or more, were **\(.caught | length)** of these (\(.caught | length | percent($ran))); **\(.caught | map(select(.right)) | length)** (\(.caught | map(select(.right)) | length | percent($ran))) as the very technique of the case, \(.caught | map(select(.kindred and (.right | not))) | length) as another of the same family, the others as what else the case does.\(.ran | map(select(.ended).id) | if . == [] then "" else " Not done after 50 s, and ended then: \(join(", "))." end) In a case in which nothing happens, the control, \(if .nothing == [] then "nothing" else .nothing | join(", ") end) was found."),
"",
"A finding counts if it was told of a process of the case's command, not of what prepares it, while that ran; the cases run one after another. What is found in the control counts nowhere.",
"",
"## Not found", "",
"| Case | Technique | What happens | Where | Told as less than medium |", "|---|---|---|---|---|",
([$all[] | select(.ran and .found == [])] | rows("| \(.id) | \(.technique) | \(.description | cell) | \(.place) | \(.lesser | join(", ")) |")),
"",
"## Not run", "",
"| Case | Technique | What happens | Where | Why |", "|---|---|---|---|---|",
([$all[] | select(.ran | not)] | rows("| \(.id) | \(.technique) | \(.description | cell) | \(.place) | \(.why) |")),
"",
"## Found", "",
"| Case | Technique | What happens | Found by |", "|---|---|---|---|",
([$places[].caught[]] | group_by(.id)[] |
    "| \(.[0].id) | \(.[0].technique)\(if any(.[]; .right) then "" elif any(.[]; .kindred) then " (of its family)" else " (another)" end) | \(.[0].description | cell) | \(
        if length == ($places | length) and (map(.found) | unique | length) == 1 then .[0].found | join(", ")
        else map("\(.found | join(", ")) (on \(.place))") | join("; ") end) |")
