# What came of the corpus' attacks, as Markdown. $corpus: the cases; $installed: packages, a line each; $places: for each place at which they were run its
# name, a line for each case, and what was found, as JSON.
include "found";

def rows(f): if . == [] then "| none | | | | |" else .[] | f end;

[$places[] | cases($corpus[0].cases; $installed)] as $places |
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
