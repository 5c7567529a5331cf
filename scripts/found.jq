# What attacks(), and commands(), of scripts/reports have in common: what is found of cases that were run in the corpus' sandbox, one after another.
def grave: . as $s | ["MEDIUM", "HIGH", "CRITICAL"] | index([$s]) != null;
def time: .seconds + .nanos / 1e9;
def family: split(".")[0];
# All that a finding is a sign of.
def signs: .threat.mitre | .technique.id // "", .other_techniques[]?;
def cell: gsub("\\|"; "\\|") | gsub("\n"; " ");
def percent($of): if $of == 0 then "-" else "\(1000 * . / $of | round / 10) %" end;

# Within the sandbox, which the first unshare(1) began, a case's command is run by timeout(1), and what prepares it is not.
def commanded: [.workload.process | .thread.name, .ancestors[]?.thread.name] | .[:(rindex("unshare") // length)] | any(. == "timeout");
def of($run): [.found[] | select(.detector and $run and (.timestamp | time) >= $run.t_start and (.timestamp | time) <= $run.t_end and commanded)];

# Each of the cases that are attacks, at a place: whether it was run there, and what was found. $installed: packages, a line each.
def cases($of; $installed):
    . as $place | (.runs | map({(.id): .}) | add) as $run |
    ([of($run.control)[].name] | unique) as $nothing |
    [$of[] | select(.tier == "alert") | $run[.id] as $ran |
        ($place | of($ran) | map(select(.name as $n | $nothing | index([$n]) == null))) as $all |
        [$all[] | select(.threat.severity | grave)] as $grave |
        [.technique, .technique_before_v19 // .technique] as $techniques |
        (.requires - ($installed | split("\n"))) as $missing |
        # 124: it was ended, as searches of all files are in a guest; what it did until then counts.
        {place: $place.name, id, technique, description, ran: ($ran != null and ($ran.rc == "0" or $ran.rc == "124") and $missing == []),
            ended: ($ran != null and $ran.rc == "124"),
            why: (if $missing == [] then "exit code \($ran.rc // "none")" else "needs \($missing | join(", "))" end),
            cmd, found: ([$grave[].name] | unique), lesser: ([$all[].name] | unique),
            right: any($grave[] | signs; . as $t | any($techniques[]; . == $t)),
            kindred: any($grave[] | signs; family as $t | any($techniques[] | family; . == $t))}
    ] as $cases |
    {name, $nothing, $cases, ran: [$cases[] | select(.ran)]} | .caught = [.ran[] | select(.found != [])];
