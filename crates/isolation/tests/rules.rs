//! Each rule can fail: an object with one fault breaks exactly one rule, and without the fault is clean.

#![expect(clippy::panic, reason = "tests")]

mod support;

use isolation::{Context, Lane, Program, Report, Rule, ScopeWrite, Violation, check};
use support::compile;

const TASK: &[Context] = &[Context::Task];
const ANY: &[Context] = &[Context::Any];

const PROBE: Program<'_> =
    Program { name: "task_probe", lane: Lane::Task, contexts: TASK, needs_slot: true, writes_scope: false };

fn judge(name: &str, defines: &[&str], declared: &[Program<'_>]) -> Report {
    check(&compile(name, defines), declared).unwrap_or_else(|error| panic!("{name} {defines:?}: {error}"))
}

/// The object breaks exactly these rules.
#[track_caller]
fn breaks(name: &str, defines: &[&str], declared: &[Program<'_>], expected: &[Violation]) {
    assert_eq!(judge(name, defines, declared).violations, expected, "{name} {defines:?}");
}

#[track_caller]
fn clean(name: &str, defines: &[&str], declared: &[Program<'_>]) {
    breaks(name, defines, declared, &[]);
}

fn violation(program: &str, map: Option<&str>, through: &[&str], rule: Rule) -> Violation {
    Violation {
        program: Some(program.to_owned()),
        map: map.map(str::to_owned),
        through: through.iter().map(|&name| name.to_owned()).collect(),
        rule,
    }
}

fn probe(map: &str, rule: Rule) -> Violation {
    violation("task_probe", Some(map), &[], rule)
}

fn good() -> [Program<'static>; 5] {
    let program =
        |name, lane, writes_scope| Program { name, lane, contexts: TASK, needs_slot: true, writes_scope };
    [
        // It also tail-calls, by a program array that is filled from the start, into its own lane.
        Program { contexts: &[Context::Softirq, Context::Task], ..program("net_entry", Lane::Net, false) },
        Program { contexts: &[Context::Softirq, Context::Task], ..program("net_packet", Lane::Net, false) },
        program("life_fork", Lane::Life, true),
        program("life_exec", Lane::Life, false),
        program("task_open", Lane::Task, false),
    ]
}

#[test]
fn good_object_is_clean_and_its_reach_is_told() {
    let report = judge("good", &[], &good());
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.programs, report.maps), (5, 8));
    let reach = |program: &str| report.reach[program].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(
        reach("life_fork"),
        [".rodata", "cfg_scope", "life_ledger", "life_rings", "life_slots", "scope_tree"]
    );
    assert_eq!(reach("life_exec"), ["scope_tree"]);
    assert_eq!(reach("task_open"), ["scope_tree", "task_state"]);
    assert_eq!(reach("net_packet"), ["net_slots"]);
    assert_eq!(reach("net_entry"), ["cfg_tails", "net_slots", "scope_tree"]);
}

#[test]
fn another_lanes_map_is_found_however_it_is_reached() {
    let foreign = || Rule::ForeignLane { program: Lane::Task, map: Lane::Net };
    let through = |through: &[&str]| [violation("task_probe", Some("net_state"), through, foreign())];
    clean("lane", &["FAULT=0"], &[PROBE]);
    breaks("lane", &["FAULT=1"], &[PROBE], &through(&[]));
    breaks("lane", &["FAULT=2"], &[PROBE], &through(&["inner"]));
    breaks("lane", &["FAULT=4"], &[PROBE], &through(&["callback", "inner"]));
    breaks("lane", &["FAULT=5"], &[PROBE], &through(&["global"]));
    // All ways at once: the shortest is told.
    breaks("lane", &["FAULT=3"], &[PROBE], &through(&["global"]));
    let inner = violation("task_probe", Some("net_inner"), &["task_outer"], foreign());
    breaks("lane", &["FAULT=6"], &[PROBE], &[inner]);
    let next = Program { name: "task_next", ..PROBE };
    let tail = violation("task_probe", Some("net_state"), &["cfg_tails", "task_next"], foreign());
    let own = violation("task_next", Some("net_state"), &[], foreign());
    breaks("lane", &["FAULT=7"], &[PROBE, next], &[own, tail]);
}

#[test]
fn every_lane_is_kept_from_every_other() {
    for of in Lane::ALL {
        for program in Lane::ALL {
            let name = format!("NAME={of}_state");
            let defines = [name.as_str(), "KIND=HASH", "FLAGS=0", "REACH=1"];
            let declared = Program { lane: program, ..PROBE };
            let rule = Rule::ForeignLane { program, map: of };
            let expected = if of == program { vec![] } else { vec![probe(&format!("{of}_state"), rule)] };
            breaks("map", &defines, &[declared], &expected);
        }
    }
}

/// A map of this name, type and flags breaks exactly these rules, whether reached or not.
#[track_caller]
fn map_breaks(name: &str, kind: &str, flags: &str, rules: &[Rule]) {
    let defines = [format!("NAME={name}"), format!("KIND={kind}"), format!("FLAGS={flags}")];
    let with = |last| defines.iter().map(String::as_str).chain([last]).collect::<Vec<_>>();
    let reached: Vec<_> = rules.iter().map(|rule| probe(name, rule.clone())).collect();
    breaks("map", &with("REACH=1"), &[PROBE], &reached);
    let unreached: Vec<_> = reached.into_iter().map(|found| Violation { program: None, ..found }).collect();
    breaks("map", &with("REACH=0"), &[PROBE], &unreached);
}

#[test]
fn per_cpu_maps_are_refused() {
    for (kind, number) in
        [("PERCPU_HASH", 5), ("PERCPU_ARRAY", 6), ("LRU_PERCPU_HASH", 10), ("PERCPU_CGROUP_STORAGE", 21)]
    {
        map_breaks("task_state", kind, "0", &[Rule::PerCpuMap { kind: number }]);
    }
    for kind in ["HASH", "ARRAY", "TASK_STORAGE"] {
        map_breaks("task_state", kind, "0", &[]);
    }
}

#[test]
fn per_cpu_maps_in_a_map_are_refused() {
    clean("inner", &["NAME=task_outer", "KIND=ARRAY", "FLAGS=0"], &[PROBE]);
    let expected = probe("task_outer", Rule::PerCpuMap { kind: 6 });
    breaks("inner", &["NAME=task_outer", "KIND=PERCPU_ARRAY", "FLAGS=0"], &[PROBE], &[expected]);
}

#[test]
fn writable_globals_are_refused() {
    clean("global", &["FAULT=0"], &[PROBE]);
    breaks("global", &["FAULT=1"], &[PROBE], &[probe(".data", Rule::WritableGlobal)]);
    breaks("global", &["FAULT=2"], &[PROBE], &[probe(".bss", Rule::WritableGlobal)]);
    breaks("global", &["FAULT=3"], &[PROBE], &[probe(".data.part", Rule::WritableGlobal)]);
    let through = violation("task_probe", Some(".bss"), &["bump"], Rule::WritableGlobal);
    breaks("global", &["FAULT=4"], &[PROBE], &[through]);
    let other = Rule::NotFollowed { what: "data in section `other`".to_owned() };
    breaks("global", &["FAULT=5"], &[PROBE], &[probe("other", other)]);
}

#[test]
fn configuration_is_read_only_or_a_program_array() {
    map_breaks("cfg_paths", "HASH", "RDONLY_PROG", &[]);
    map_breaks("cfg_tails", "PROG_ARRAY", "0", &[]);
    map_breaks("cfg_paths", "HASH", "0", &[Rule::WritableConfig]);
    map_breaks("cfg_paths", "HASH", "1", &[Rule::WritableConfig]);
    clean("inner", &["NAME=cfg_sets", "KIND=ARRAY", "FLAGS=RDONLY_PROG"], &[PROBE]);
    let expected = probe("cfg_sets", Rule::WritableConfig);
    breaks("inner", &["NAME=cfg_sets", "KIND=ARRAY", "FLAGS=0"], &[PROBE], &[expected]);
}

#[test]
fn a_map_has_a_lane_or_is_configuration() {
    for name in ["state", "tasks_state", "task", "scope_trees", "config"] {
        map_breaks(name, "HASH", "0", &[Rule::NoLane]);
    }
}

#[test]
fn a_program_array_is_configuration() {
    map_breaks("task_tails", "PROG_ARRAY", "0", &[Rule::ProgramArrayNotConfig]);
}

#[test]
fn slots_are_a_plain_array() {
    map_breaks("task_slots", "ARRAY", "0", &[]);
    map_breaks("task_slots", "HASH", "0", &[Rule::SlotsNotArray { kind: 1 }]);
    map_breaks(
        "task_slots",
        "PERCPU_ARRAY",
        "0",
        &[Rule::PerCpuMap { kind: 6 }, Rule::SlotsNotArray { kind: 6 }],
    );
}

#[test]
fn slots_are_reached_only_where_declared() {
    let defines = ["NAME=task_slots", "KIND=ARRAY", "FLAGS=0", "REACH=1"];
    let without = Program { needs_slot: false, ..PROBE };
    clean("map", &defines, &[PROBE]);
    breaks("map", &defines, &[without], &[probe("task_slots", Rule::SlotNotDeclared)]);
}

#[test]
fn scope_tree_is_one_word() {
    clean("scope", &["FAULT=0", "WORD=u64"], &[PROBE]);
    clean("scope", &["FAULT=0", "WORD=struct { u64 word; }"], &[PROBE]);
    // Wider by its definition, though what is read of it is one word.
    let wide = probe("scope_tree", Rule::ScopeValueSize { size: Some(16) });
    breaks("scope", &["FAULT=0", "WORD=unsigned __int128"], &[PROBE], &[wide]);
}

#[test]
fn only_writers_write_scope_tree() {
    use ScopeWrite::{Create, Delete, Escape, Store, Update};
    let writer = Program { lane: Lane::Task, writes_scope: true, ..PROBE };
    let lane = violation("task_probe", None, &[], Rule::ScopeWriterLane { lane: Lane::Task });
    let cases: [(u32, &[&str], ScopeWrite); 15] = [
        (1, &[], Update),
        (2, &[], Delete),
        (3, &[], Store),
        (4, &[], Store),
        (5, &[], Store),
        (6, &["add"], Store),
        (7, &[], Escape),
        (8, &[], Escape),
        (9, &[], Escape),
        (10, &["find"], Escape),
        (11, &[], Escape),
        (12, &[], Store),
        (13, &[], Update),
        (14, &[], Escape),
        (21, &[], Create),
    ];
    for (fault, through, how) in cases {
        let fault = format!("FAULT={fault}");
        let expected = violation("task_probe", Some("scope_tree"), through, Rule::ScopeWrite { how });
        breaks("scope", &[&fault], &[PROBE], &[expected]);
        breaks("scope", &[&fault], &[writer], std::slice::from_ref(&lane));
    }
    clean("scope", &["FAULT=0"], &[PROBE]);
    clean("scope", &["FAULT=20"], &[PROBE]);
}

#[test]
fn hooks_suit_their_lane() {
    let defines = ["NAME=cfg_x", "KIND=HASH", "FLAGS=RDONLY_PROG", "REACH=0"];
    let declared = |lane, contexts, needs_slot| Program { lane, contexts, needs_slot, ..PROBE };
    let bad = |rule| violation("task_probe", None, &[], rule);
    let foreign = |lane, context| bad(Rule::ForeignContext { lane, context });
    for lane in [Lane::Life, Lane::Task] {
        clean("map", &defines, &[declared(lane, TASK, true)]);
        let mixed = &[Context::Task, Context::Softirq];
        breaks("map", &defines, &[declared(lane, mixed, true)], &[foreign(lane, Context::Softirq)]);
        breaks("map", &defines, &[declared(lane, ANY, false)], &[foreign(lane, Context::Any)]);
    }
    for lane in [Lane::Net, Lane::Bulk] {
        clean("map", &defines, &[declared(lane, &[Context::Task, Context::Softirq], true)]);
        clean("map", &defines, &[declared(lane, ANY, false)]);
        breaks("map", &defines, &[declared(lane, ANY, true)], &[bad(Rule::SlotInAnyContext)]);
        breaks("map", &defines, &[declared(lane, &[], true)], &[bad(Rule::NoContext)]);
    }
}

#[test]
fn object_and_catalogue_agree() {
    let defines = ["NAME=task_x", "KIND=HASH", "FLAGS=0", "REACH=1"];
    let absent = Program { name: "absent", ..PROBE };
    let bad = |name, rule| violation(name, None, &[], rule);
    breaks("map", &defines, &[], &[bad("task_probe", Rule::NotDeclared)]);
    breaks("map", &defines, &[PROBE, absent], &[bad("absent", Rule::NotInObject)]);
    breaks("map", &defines, &[PROBE, PROBE], &[bad("task_probe", Rule::DeclaredTwice)]);
}

#[test]
fn what_can_not_be_followed_is_refused() {
    let bad = |what: &str| violation("task_probe", None, &[], Rule::NotFollowed { what: what.to_owned() });
    clean("unfollowed", &["FAULT=0"], &[PROBE]);
    breaks("unfollowed", &["FAULT=1"], &[PROBE], &[bad("`elsewhere`, which is not defined here")]);
    breaks("unfollowed", &["FAULT=2"], &[PROBE], &[bad("`variable`, which is not defined here")]);
    breaks("unfollowed", &["FAULT=3"], &[PROBE], &[bad("a call through a register")]);
}

#[test]
fn a_violation_reads_as_a_sentence() {
    let report = judge("lane", &["FAULT=4"], &[PROBE]);
    assert_eq!(
        report.to_string(),
        "1 programs, 6 maps, 1 violations\n  program `task_probe`, map `net_state` (through `callback` -> `inner`): \
         a program of lane task must not reach a map of lane net: nothing crosses lanes in the kernel"
    );
}
