use std::path::Path;

use catalogue::Quality;
use context::Context;
use event::build::RecordBuilder;
use event::{Event, Header, Output};
use policy::{Facts, Recorded};
use proptest::prelude::*;

use crate::{Detectors, Found, Library, parse, shipped};

const EXEC: &str = "
type: string_list
name: SHELLS
values: [/bin/sh]
---
type: detector
id: one
produced_event:
  name: shell_run
  fields: [{name: path, type: string}]
requirements:
  events: [{name: sched_process_exec, data_filters: [pathname=/bin/sh, 'pathname=/bin/b*']}]
conditions: ['getEventData(\"pathname\") in SHELLS || data.pathname.endsWith(\"sh\")']
output:
  fields: [{name: path, expression: data.pathname}]
---
type: detector
id: two
produced_event: {name: shell_in_bin}
requirements:
  events: [{name: shell_run, condition: 'getEventData(\"path\").startsWith(\"/bin/\")'}]
threat: {severity: high, description: x}
---
type: detector
id: three
produced_event: {name: shells}
requirements:
  events: [{name: shell_in_bin}]
threshold: {count: 3, window: 10s, by: [hostPid]}
";

fn exec(pid: u32, time: u64, path: &str) -> Vec<u8> {
    let definition = catalogue::event("sched_process_exec").unwrap();
    let index = definition.fields.iter().position(|f| f.name == "pathname").unwrap();
    let header = Header { pid, ..Header::unknown(time) };
    let header = Header { origin: event::Origin::Current, ..header };
    RecordBuilder::new(definition, header).put_str(index as u8, path.as_bytes(), Quality::Ok).finish()
}

/// What is found in an execution.
fn found(detectors: &mut Detectors, ctx: &Context, record: &[u8]) -> Vec<Found> {
    let mut found = vec![];
    detectors.look(&Facts { event: &Event::decode(record).unwrap(), ctx }, &mut found);
    found
}

fn names(detectors: &Detectors, found: &[Found]) -> Vec<String> {
    found.iter().map(|f| detectors.get(f.detector).unwrap().produced.name.to_string()).collect()
}

#[test]
fn findings_lead_to_findings() {
    let mut detectors = Detectors::new(parse(Path::new("x.yaml"), EXEC).unwrap().detectors);
    let ctx = Context::new().unwrap();
    let both = found(&mut detectors, &ctx, &exec(7, 1, "/bin/bash"));
    assert_eq!(names(&detectors, &both), ["shell_run", "shell_in_bin"]);
    assert_eq!(both[0].outputs, [Output::Text { bytes: (*b"/bin/bash").into(), cut: false }]);
    assert_eq!(both[1].through, [0]);
    assert!(found(&mut detectors, &ctx, &exec(7, 1, "/bin/cat")).is_empty());
    assert!(found(&mut detectors, &ctx, &exec(7, 1, "/usr/bin/bash")).is_empty());
}

#[test]
fn so_many_within_a_time_of_one() {
    let mut detectors = Detectors::new(parse(Path::new("x.yaml"), EXEC).unwrap().detectors);
    let ctx = Context::new().unwrap();
    let second = 1_000_000_000;
    let mut told = vec![];
    // Another process between counts apart; the first is too long ago for the third; after it was told, it is counted anew.
    for (pid, at) in [(7, 0), (8, 1), (7, 8), (7, 11), (7, 12), (7, 13), (7, 14)] {
        let found = found(&mut detectors, &ctx, &exec(pid, at * second, "/bin/sh"));
        told.push(names(&detectors, &found).contains(&"shells".to_owned()));
    }
    assert_eq!(told, [false, false, false, false, true, false, false]);
}

#[test]
fn a_file_is_placed_by_all_roads() {
    let text = "type: detector\nid: a\nproduced_event: {name: b, fields: [{name: path, type: string}]}\n\
                requirements:\n  events: [{name: file_placed, condition: 'data.pathname.startsWith(\"/etc/\")'}]\n\
                output: {fields: [{name: path, expression: data.pathname}]}\n";
    let mut detectors = Detectors::new(parse(Path::new("x.yaml"), text).unwrap().detectors);
    let ctx = Context::new().unwrap();
    let mut told = |event: &str, texts: &[(&str, &str)], flags: Option<i32>| {
        let definition = catalogue::event(event).unwrap();
        let at = |name: &str| definition.fields.iter().position(|f| f.name == name).unwrap() as u8;
        let header = Header { origin: event::Origin::Current, ..Header::unknown(1) };
        let mut record = RecordBuilder::new(definition, header);
        for (name, text) in texts {
            record = record.put_str(at(name), text.as_bytes(), Quality::Ok);
        }
        if let Some(flags) = flags {
            record = record.put_i32(at("flags"), flags);
        }
        let found = found(&mut detectors, &ctx, &record.finish());
        found.first().map(|f| format!("{:?}", f.outputs))
    };
    let here = Some(format!("{:?}", [Output::Text { bytes: (*b"/etc/x").into(), cut: false }]));
    assert_eq!(told("security_file_open", &[("pathname", "/etc/x")], Some(1)), here);
    assert_eq!(told("security_inode_rename", &[("old_path", "/y"), ("new_path", "/etc/x")], None), here);
    assert_eq!(told("security_inode_link", &[("old_path", "/y"), ("new_path", "/etc/x")], None), here);
    assert_eq!(told("security_inode_symlink", &[("linkpath", "/etc/x"), ("target", "/y")], None), here);
    // Read; from there; to there; elsewhere.
    assert_eq!(told("security_file_open", &[("pathname", "/etc/x")], Some(0)), None);
    assert_eq!(told("security_inode_rename", &[("old_path", "/etc/x"), ("new_path", "/y")], None), None);
    assert_eq!(told("security_inode_symlink", &[("linkpath", "/y"), ("target", "/etc/x")], None), None);
    assert_eq!(told("security_file_open", &[("pathname", "/y")], Some(1)), None);
}

/// A detector of several events.
fn several(looks: &str, of: &str) -> Detectors {
    let text = format!(
        "type: detector\nid: a\nproduced_event: {{name: b}}\nrequirements:\n  events:\n{looks}\n{of}\n"
    );
    Detectors::new(parse(Path::new("x.yaml"), &text).unwrap_or_else(|e| panic!("{e:#?}")).detectors)
}

/// Which of these executions (process, seconds, path) lead to a finding, and after how many others.
fn told(detectors: &mut Detectors, acts: &[(u32, u64, &str)]) -> Vec<Option<usize>> {
    let ctx = Context::new().unwrap();
    let of = |&(pid, at, path): &(u32, u64, &str)| {
        let found = found(detectors, &ctx, &exec(pid, at * 1_000_000_000, path));
        found.first().map(|f| f.before.as_ref().unwrap().records.len())
    };
    acts.iter().map(of).collect()
}

const DOWNLOADED_AND_RUN: &str = "
  - {name: sched_process_exec, condition: 'data.pathname == \"/bin/curl\"', by: [hostPid]}
  - {name: sched_process_exec, condition: 'data.pathname.startsWith(\"/tmp/\")'}";

#[test]
fn events_in_their_order_of_one() {
    let of = "sequence: {window: 10s, by: [hostPid]}";
    let mut detectors = several(DOWNLOADED_AND_RUN, of);
    let acts = [
        (7, 1, "/tmp/x"),
        (7, 2, "/bin/curl"),
        (8, 3, "/tmp/x"),
        (7, 4, "/tmp/x"),
        (7, 5, "/tmp/x"),
        (7, 6, "/bin/curl"),
        (7, 20, "/tmp/x"),
    ];
    assert_eq!(told(&mut detectors, &acts), [None, None, None, Some(1), None, None, None]);
    let mut any = several(DOWNLOADED_AND_RUN, "together: {window: 10s, by: [hostPid]}");
    assert_eq!(told(&mut any, &acts), [None, Some(1), None, None, None, Some(1), None]);
    // An event that is both does not come after itself.
    let both = "
  - {name: sched_process_exec, condition: 'data.pathname.startsWith(\"/\")'}
  - {name: sched_process_exec, condition: 'data.pathname.startsWith(\"/tmp/\")'}";
    let acts = [(7, 1, "/tmp/x"), (7, 2, "/tmp/y"), (7, 3, "/bin/x"), (7, 4, "/tmp/z")];
    assert_eq!(told(&mut several(both, of), &acts), [None, Some(1), None, Some(1)]);
}

#[test]
fn so_many_different_ones() {
    let of = "threshold: {count: 3, distinct: data.pathname, window: 10s, by: [hostPid]}";
    let mut detectors = several("  - {name: sched_process_exec}", of);
    let acts =
        [(7, 1, "/a"), (7, 2, "/a"), (7, 3, "/b"), (8, 4, "/c"), (7, 5, "/b"), (7, 6, "/c"), (7, 7, "/c")];
    assert_eq!(told(&mut detectors, &acts), [None, None, None, None, None, Some(2), None]);
}

#[test]
fn what_is_not_known_is_alike_with_nothing() {
    let mut detectors =
        several("  - {name: sched_process_exec}", "threshold: {count: 2, window: 10s, by: [data.cmdpath]}");
    assert_eq!(told(&mut detectors, &[(7, 1, "/a"), (7, 2, "/a")]), [None, None]);
    assert_eq!(detectors.iter().next().unwrap().1.undecided, 2);
}

#[test]
fn what_is_wrong_and_where() {
    let of = |text: &str| match parse(Path::new("x.yaml"), text) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    let detector = |rest: &str| {
        format!(
            "type: detector\nid: a\nproduced_event: {{name: b, fields: [{{name: c, type: int32}}]}}\n{rest}"
        )
    };
    let events = |name: &str| format!("requirements:\n  events: [{{name: {name}}}]\n");
    for (text, expected) in [
        (detector(&events("sched_proces_exec")), "x.yaml:5:19: unknown event 'sched_proces_exec'"),
        (detector(&(events("openat") + "conditions: ['data.nam == \"x\"']\n")), "x.yaml:6:"),
        (detector(&(events("openat") + "conditions: ['data.dirfd == \"x\"']\n")), "x.yaml:6:"),
        (
            detector(&(events("openat") + "output:\n  fields: [{name: c, expression: data.pathname}]\n")),
            "is a text, not a number",
        ),
        (
            detector(&(events("openat") + "output:\n  fields: [{name: d, expression: uid}]\n")),
            "'d' is none of the fields",
        ),
        (detector(&(events("openat") + "threat: {severity: grave}\n")), "unknown severity 'grave'"),
        (detector(&(events("openat") + "threshold: {count: 1, window: 3s}\n")), "a threshold is 2 to"),
        (detector(&(events("openat") + "threshold: {count: 3, window: 3}\n")), "'3' is no time"),
        (
            detector(&(events("openat") + "threshold: {count: 3, window: 3s, distinct: data.nam}\n")),
            "x.yaml:6:45: unknown field 'data.nam'",
        ),
        (detector(&(events("openat") + "sequence: {window: 3s}\n")), "one event alone is in no order"),
        (
            detector(&(events("openat") + "sequence: {window: 3s}\nthreshold: {count: 2, window: 3s}\n")),
            "a detector has one",
        ),
        (
            detector(
                "requirements:\n  events: [{name: openat, by: [pid, tid]}, {name: close}]\nsequence: {window: 3s, by: [pid]}\n",
            ),
            "x.yaml:5:32: what events have in common are 2 values here, and 1 there",
        ),
        (
            detector(
                "requirements:\n  events: [{name: openat, by: [pid, tree]}, {name: close}]\nsequence: {window: 3s, by: [tree, pid]}\n",
            ),
            "x.yaml:6:29: 'tree' stands in the same place of each 'by', or in none",
        ),
        (
            detector(
                "requirements: {events: [{name: openat}]}\nunusual: {of: data.pathname, learn: 1h, by: [tree]}\n",
            ),
            "x.yaml:5:46: what is usual is not learnt of trees",
        ),
        (
            detector(
                "requirements: {events: [{name: openat}]}\nthreat: {severity: low, mitre: {other_techniques: [T1003]}}\n",
            ),
            "x.yaml:5:52: there is no 'technique' beside which these are others",
        ),
        (
            detector("requirements:\n  events: [{name: openat, by: [pid]}]\n"),
            "'by' is for detectors of several",
        ),
        (
            detector("requirements:\n  events: [{name: openat, scope_filters: ['tree=5']}]\n"),
            "x.yaml:5:44: scope 'tree=5' is known while watching only",
        ),
        (
            detector(
                "requirements: {events: [{name: openat}]}\nunusual: {of: data.pathname, learn: 1h, times: 0}\n",
            ),
            "x.yaml:5:48: 'times' is 1 to 4096",
        ),
        (
            detector("requirements: {events: [{name: openat}]}\nabsence: {window: 1m}\n"),
            "x.yaml:5:19: an absence is that of events after the first: one at least",
        ),
        (
            detector("requirements: {events: [{name: openat}]}\nunusual: {of: data.pathnam, learn: 1h}\n"),
            "x.yaml:5:15: ",
        ),
        (
            detector("requirements:\n  events: [{name: file_placed, condition: 'data.pathnam == \"x\"'}]\n"),
            "x.yaml:5:44: unknown field 'data.pathnam'; did you mean 'data.pathname'?",
        ),
        (
            detector(&events("openat")).replace("name: b", "name: file_placed"),
            "is the name of an event, or of several",
        ),
        (detector(&events("b")), "looks at what it finds itself"),
        (detector("colour: red\n"), "colour"),
        ("type: detector\nid: a\n".into(), "a detector has 'id'"),
        ("type: moon\n".into(), "type 'moon' is neither"),
        (detector(&events("openat")) + "---\n" + &detector(&events("openat")), "is there already"),
    ] {
        let errors = of(&text);
        assert!(errors.contains(expected), "{expected}: {errors}\n{text}");
        assert_eq!(errors.matches(expected).count(), 1, "it is said once: {errors}");
    }
}

#[test]
fn what_was_never_there_is_unusual() {
    let text = "type: detector\nid: a\nproduced_event: {name: b}\nrequirements: {events: [{name: sched_process_exec}]}\n\
                unusual: {of: data.pathname, learn: 10s, by: [hostPid]}\n";
    let mut detectors = Detectors::new(parse(Path::new("x.yaml"), text).unwrap().detectors);
    let ctx = Context::new().unwrap();
    let mut run =
        |pid, at: u64, path| !found(&mut detectors, &ctx, &exec(pid, at * 1_000_000_000, path)).is_empty();
    assert!(!run(7, 0, "/bin/a"));
    assert!(!run(8, 9, "/bin/a"));
    // Known for long enough: what it did before is usual, the first time of another is not; the other process is new.
    assert!(!run(7, 11, "/bin/a"));
    assert!(run(7, 11, "/bin/b"));
    assert!(!run(7, 12, "/bin/b"));
    assert!(!run(8, 12, "/bin/b"));
}

#[test]
fn what_does_not_come_is_found_in_what_was_before() {
    let text = "type: detector\nid: a\nproduced_event: {name: no_b, fields: [{name: path, type: string}]}\n\
                requirements:\n  events:\n    - {name: sched_process_exec, data_filters: [pathname=/bin/a*]}\n    \
                - {name: sched_process_exec, data_filters: [pathname=/bin/b]}\nabsence: {window: 10s, by: [hostPid]}\n\
                output: {fields: [{name: path, expression: data.pathname}]}\n---\n\
                type: detector\nid: b\nproduced_event: {name: of_it}\nrequirements: {events: [{name: no_b}]}\n";
    let mut detectors = Detectors::new(parse(Path::new("x.yaml"), text).unwrap().detectors);
    let ctx = Context::new().unwrap();
    let second = 1_000_000_000;
    for (pid, at, path) in
        [(7, 1, "/bin/a1"), (8, 2, "/bin/a2"), (9, 3, "/bin/b"), (7, 11, "/bin/b"), (8, 13, "/bin/b")]
    {
        assert!(found(&mut detectors, &ctx, &exec(pid, at * second, path)).is_empty());
    }
    // 8 has had its time, though the other came after it.
    let (first, kept) = detectors.due(13 * second).unwrap();
    let event = Event::decode(&kept).unwrap();
    assert_eq!((event.header.pid, event.header.time), (8, 2 * second));
    let mut all = vec![];
    detectors.follow(first, &Facts { event: &event, ctx: &ctx }, &mut all);
    assert_eq!(names(&detectors, &all), ["no_b", "of_it"]);
    assert_eq!(all[0].outputs, [Output::Text { bytes: (*b"/bin/a2").into(), cut: false }]);
    assert!(detectors.due(u64::MAX).is_none());
}

#[test]
fn few_are_found_when_their_time_is_over() {
    let rules = "title: Shell\nid: 1\nlogsource: {product: linux, category: process_creation}\ndetection: {s: {Image|endswith: /sh}, condition: s}\n---\n\
                 title: Few\nid: few\ncorrelation:\n  type: event_count\n  rules: [1]\n  group-by: [ProcessId]\n  timespan: 10s\n  condition: {gte: 2, lt: 4}\n";
    let mut library = Library::default();
    let idle = library.add_sigma(&::sigma::parse(Path::new("x.yml"), rules));
    assert!(idle.is_empty(), "{idle:?}");
    let mut detectors = Detectors::new(library.detectors);
    let ctx = Context::new().unwrap();
    let second = 1_000_000_000;
    // 7 once, 8 three times, 9 four times; and 8 once more, when its time is over.
    for (pid, at) in [(7, 0), (8, 1), (9, 1), (8, 2), (9, 2), (8, 11), (9, 3), (9, 4)] {
        assert!(found(&mut detectors, &ctx, &exec(pid, at * second, "/bin/sh")).is_empty());
    }
    assert!(detectors.due(11 * second).is_none());
    let (first, kept) = detectors.due(12 * second).unwrap();
    assert!(detectors.due(12 * second).is_none());
    assert!(found(&mut detectors, &ctx, &exec(8, 12 * second, "/bin/sh")).is_empty());
    let event = Event::decode(&kept).unwrap();
    assert_eq!((event.header.pid, event.header.time), (8, 11 * second));
    let before = first.before.unwrap();
    assert_eq!((before.count, before.records.len()), (3, 2));
    assert!(detectors.due(u64::MAX).is_none());
}

/// What a detector finds in executions: of which program, by whom, who descends from whom.
fn found_in_trees(correlation: &str, executions: &[(&str, &[u64])], seconds: u64) -> usize {
    let text = format!(
        "type: detector\nid: a\nproduced_event: {{name: b}}\nrequirements:\n  events:\n    \
         - {{name: sched_process_exec, data_filters: [pathname=/bin/a]}}\n    \
         - {{name: sched_process_exec, data_filters: [pathname=/bin/b]}}\n{correlation}\n"
    );
    let mut detectors = Detectors::new(parse(Path::new("x.yaml"), &text).unwrap().detectors);
    let event = catalogue::event("sched_process_exec").unwrap();
    let (mut all, mut found) = (0, vec![]);
    for (at, (path, tree)) in (1..).zip(executions) {
        let told = |name: &str, value| serde_json::Map::from_iter([(name.to_owned(), value)]);
        let (who, data) = (told("tree", serde_json::json!(tree)), told("pathname", serde_json::json!(path)));
        let line = policy::made(event, at * 1_000_000_000, &who, &data).unwrap();
        detectors.look(&Recorded::parse(1, line.as_bytes()).unwrap().unwrap(), &mut found);
        all += found.len();
    }
    all + std::iter::from_fn(|| detectors.due(seconds * 1_000_000_000)).count()
}

#[test]
fn trees_are_of_the_first_ones_parent() {
    const A: &str = "/bin/a";
    const B: &str = "/bin/b";
    // The second: the same, a sibling, a nephew, the parent, an uncle, one of another tree.
    let seconds: [(&[u64], bool); 6] = [
        (&[10, 5, 3], true),
        (&[11, 5, 3], true),
        (&[12, 11, 5, 3], true),
        (&[5, 3], true),
        (&[20, 3], false),
        (&[30], false),
    ];
    for (second, is_in) in seconds {
        let events = [(A, &[10, 5, 3][..]), (B, second)];
        let found = |correlation| found_in_trees(correlation, &events, 60) == 1;
        assert_eq!(found("sequence: {window: 30s, by: [tree]}"), is_in, "{second:?}");
        assert_eq!(found("together: {window: 30s, by: [tree]}"), is_in, "{second:?}");
        assert_eq!(found("threshold: {count: 2, window: 30s, by: [tree]}"), is_in, "{second:?}");
        assert_eq!(found("absence: {window: 30s, by: [tree]}"), !is_in, "{second:?}");
    }
    // Where the host begins above who did the first, its own tree.
    let found =
        |second| found_in_trees("sequence: {window: 30s, by: [tree]}", &[(A, &[10]), (B, second)], 60);
    assert_eq!((found(&[10]), found(&[11, 10]), found(&[12])), (1, 1, 0));
    // Of two trees, one in the other, the inner one; and the other one afterwards.
    let both = [(A, &[20, 3][..]), (A, &[10, 5, 3]), (B, &[11, 5, 3]), (B, &[21, 3])];
    assert_eq!(found_in_trees("sequence: {window: 30s, by: [tree]}", &both, 60), 2);
    // Too late.
    let late = [(A, &[10, 5, 3][..]), (B, &[11, 5, 3])];
    assert_eq!(found_in_trees("sequence: {window: 0.5s, by: [tree]}", &late, 60), 0);
}

#[test]
fn what_comes_with_tarsius_is_well() {
    let library = shipped().unwrap_or_else(|e| panic!("{e:#?}"));
    assert!(library.detectors.len() > 30);
    for detector in &library.detectors {
        let threat = detector.threat.as_ref().unwrap();
        let mut techniques = vec![&threat.technique.as_ref().unwrap().0];
        techniques.extend(&threat.other_techniques);
        let is_id = |id: &str| {
            let digits = id.strip_prefix('T').map(|id| id.split_once('.').unwrap_or((id, "000")));
            let all = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
            digits.is_some_and(|(technique, sub)| all(technique, 4) && all(sub, 3))
        };
        assert!(techniques.iter().all(|id| is_id(id)), "{}: {techniques:?}", detector.id);
        let count = techniques.len();
        techniques.sort();
        techniques.dedup();
        assert_eq!(techniques.len(), count, "{} names one twice", detector.id);
        assert!(!detector.produced.description.is_empty(), "{}", detector.id);
        let (well, silent): (Vec<_>, Vec<_>) = detector.tests.iter().partition(|case| case.finds > 0);
        assert!(!well.is_empty(), "{} has no test that it finds anything", detector.id);
        assert!(!silent.is_empty(), "{} has no test that it does not find anything", detector.id);
    }
}

/// The page that says which behaviour is found by what names each detector, and events beside them.
#[test]
fn behaviours_are_found_by_what_there_is() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/behaviours.md")).unwrap();
    let library = shipped().unwrap();
    let ours: Vec<&str> = library.detectors.iter().map(|d| &*d.produced.name).collect();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    for name in &ours {
        assert!(named.contains(name), "{name} is not there");
    }
    for name in &named {
        assert!(ours.contains(name) || catalogue::event(name).is_some(), "there is no {name}");
    }
    // After the head; some rows are of two.
    let rows = page.lines().filter(|l| l.starts_with("| B")).skip(1);
    let numbers = rows.flat_map(|l| l.split('|').nth(1)).flat_map(|l| l.split(','));
    let numbers: Vec<String> = numbers.map(|n| n.trim().to_owned()).collect();
    assert_eq!(numbers, (1..=120).map(|n| format!("B{n:03}")).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = parse(Path::new("x.yaml"), &text);
    }

    #[test]
    fn no_change_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = EXEC.as_bytes().to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = parse(Path::new("x.yaml"), &String::from_utf8_lossy(&text));
    }
}
