# What came of the commands of our own, as Markdown. $own: the cases; $place: where they were run, a line for each, and what was found; $installed:
# packages, a line each.
include "found";

$place[0] | cases($own[0].cases; $installed) |
(.ran | length) as $ran |
"\(.cases | length) commands that this project wrote for the behaviours of [behaviours.md](behaviours.md) (`tests/attacks.jsonl`), beside the examples of the corpus ([attacks.md](attacks.md)), each run in its sandbox with all detectors that come with Tarsius, on \(.name).",
"",
"\($ran) could be run. Found, as of medium severity or more, were **\(.caught | length)** (\(.caught | length | percent($ran))); **\(.caught | map(select(.right)) | length)** (\(.caught | map(select(.right)) | length | percent($ran))) as the very technique. In a case in which nothing happens, the control, \(if .nothing == [] then "nothing" else .nothing | join(", ") end) was found.",
"",
"Detectors were made wider by what these showed, so that this does not tell what is found of commands that nobody here has seen. When they were run first, in five sets, it was 60 % of 270, then 71 % of 140 others, then 90 % of 116; then, of commands by others who had not seen the detectors, 80 % of 348, and 71 % of 199 that none of those were like. Of each set, what is less than an alert, or can not be done here, is left out.",
"",
"## Not found", "",
"| Technique | What is done | Told as less than medium |", "|---|---|---|",
(.ran[] | select(.found == []) | "| \(.technique) | \(.description | cell): \(.cmd | cell | "`\(.[:200])`") | \(.lesser | join(", ")) |"),
"",
"## Not run", "",
"| Technique | What is done | Why |", "|---|---|---|",
(.cases[] | select(.ran | not) | "| \(.technique) | \(.description | cell) | \(.why) |")
