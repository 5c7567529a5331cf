//! Detectors: what they find in what is done, by whom, and what they do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Act, Line, Watch, run};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("detectors_find_what_is_done", find_what_is_done),
    ("detectors_of_tracees_form", tracees_form),
    ("detectors_are_selected_by_policies", selected_by_policies),
    ("detector_errors_name_the_place", errors_name_the_place),
    ("detectors_bring_their_tests", bring_their_tests),
    ("detectors_say_what_they_cost", say_what_they_cost),
    ("detectors_find_what_is_unusual", find_what_is_unusual),
    ("detectors_find_what_does_not_come", find_what_does_not_come),
    ("detectors_find_the_same_in_a_recording", find_the_same_in_a_recording),
];

fn finding<'a>(lines: &'a [Line], name: &str) -> Vec<&'a Line> {
    lines.iter().filter(|l| l.0["name"] == name).collect()
}

/// A copy of `true`, gone with this.
struct Copy(String);

impl Copy {
    fn at(folder: &str) -> Copy {
        let path = format!("{folder}/tarsius-e2e-{}", std::process::id());
        fs::copy("/bin/true", &path).unwrap();
        Copy(path)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn find_what_is_done(_: &str) {
    let (in_memory, on_disk) = (Copy::at("/dev/shm"), Copy::at("/tmp"));
    let looks: Vec<String> =
        ["id", "whoami", "uname", "groups", "df", "who"].iter().map(|c| format!("/usr/bin/{c}")).collect();
    let mut commands =
        vec![in_memory.0.clone(), on_disk.0.clone(), "cat /proc/sys/kernel/randomize_va_space".to_owned()];
    commands.extend(looks);
    let mut act = Act::new("commands", &commands);
    let scope = format!("tree={}", act.pid());
    let watch = Watch::start(&["--events", "detectors,sched_process_exec", "--scope", &scope]);
    act.perform();
    let account = watch.stop();
    let lines = &account.lines.0;

    let [memory] = finding(lines, "fileless_execution")[..] else { panic!("{lines:?}") };
    memory.assert(&[("pathname", json!(in_memory.0))]);
    let exec = account.lines.one("sched_process_exec", "pathname", in_memory.0.as_str());
    // It is told as of who did it, with the event in which it was found.
    assert_eq!(memory.0["workload"], exec.0["workload"]);
    assert_eq!(memory.0["detector"], "TRC-105");
    assert_eq!(memory.0["threat"]["severity"], "HIGH");
    assert_eq!(memory.0["threat"]["mitre"]["technique"]["id"], "T1620");
    assert_eq!(memory.0["detected_from"]["name"], "sched_process_exec");
    assert_eq!(memory.0["detected_from"]["data"], exec.0["data"]);
    assert!(memory.0.get("confidence").is_none());

    let [setting] = finding(lines, "aslr_inspection")[..] else { panic!("{lines:?}") };
    assert_eq!(setting.0["workload"]["process"]["thread"]["name"], "cat");
    // Six of those that look around, one after the other.
    let [burst] = finding(lines, "discovery_burst")[..] else { panic!("{lines:?}") };
    assert_eq!(burst.0["workload"]["process"]["host_ppid"], act.pid());
    let mitre = &burst.0["threat"]["mitre"];
    assert_eq!(
        (&mitre["technique"]["id"], &mitre["other_techniques"][0]),
        (&json!("T1082"), &json!("T1033"))
    );
    assert!(memory.0["threat"]["mitre"].get("other_techniques").is_none());
    // What nobody should find.
    let severe =
        lines.iter().filter(|l| ["HIGH", "CRITICAL"].iter().any(|s| l.0["threat"]["severity"] == *s));
    assert_eq!(severe.count(), 1);
    account.assert_clean();
    crate::session::validate(&account);
}

/// Files of Tracee's form: filters of which one must hold, lists, findings that others look at.
fn tracees_form(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/tracee-detectors");
    if !corpus.is_dir() {
        println!("SKIP {name}: no corpus beside this checkout");
        return;
    }
    let corpus = corpus.to_str().unwrap();
    let (status, out, err) = run(&["rules", "check", corpus]);
    assert!(status.success() && out.starts_with("5 detectors, beside "), "{out}{err}");
    let mut act = Act::new("commands", &["/bin/sh -c true".into(), "/bin/true".into()]);
    let scope = format!("tree={}", act.pid());
    let watch = Watch::start(&["--detectors", corpus, "--scope", &scope]);
    act.perform();
    let account = watch.stop();
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let [found] = account.lines.0.iter().filter(|l| l.0.get("detector").is_some()).collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", account.lines)
    };
    assert_eq!(found.0["name"], "shell_execution_detected");
    found.assert(&[("shell_path", json!(shell)), ("pid", found.0["workload"]["process"]["pid"].clone())]);
    account.assert_clean();
}

fn selected_by_policies(_: &str) {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let (policy, detector) = (dir.path().join("p.yaml"), dir.path().join("d.yaml"));
    let copy = Copy::at("/dev/shm");
    fs::write(
        &detector,
        "type: detector\nid: outer\nproduced_event: {name: memory_run_by_us, fields: [{name: what, type: string}]}\nrequirements:\n  \
         events: [{name: fileless_execution}]\noutput:\n  fields: [{name: what, expression: data.pathname}]\n",
    )
    .unwrap();
    let mut act = Act::new("commands", std::slice::from_ref(&copy.0));
    fs::write(
        &policy,
        format!(
            "type: policy\nname: memory\nscope: [tree={}]\nrules:\n  - event: memory_run_by_us\n  - event: TRC-105\n---\n\
             type: policy\nname: others\nscope: [comm=nobody]\nrules:\n  - event: fileless_execution\n",
            act.pid()
        ),
    )
    .unwrap();
    let (policy, detector) = (policy.to_str().unwrap(), detector.to_str().unwrap());
    let watch = Watch::start(&["--policy", policy, "--detectors", detector]);
    act.perform();
    let account = watch.stop();
    let found: Vec<&Line> = account.lines.0.iter().filter(|l| l.0.get("detector").is_some()).collect();
    let names: Vec<_> = found.iter().map(|l| l.0["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fileless_execution", "memory_run_by_us"]);
    assert!(found.iter().all(|l| l.0["policies"]["matched"] == json!(["memory"])), "{found:?}");
    found[1].assert(&[("what", json!(copy.0))]);
    assert_eq!(found[1].0["detected_from"]["name"], "fileless_execution");
    assert_eq!(found[1].0["detected_from"]["parent"]["name"], "sched_process_exec");
    account.assert_clean();
    crate::session::validate(&account);
}

/// What a user has never executed, once it is known what it executes.
fn find_what_is_unusual(_: &str) {
    let dir = tempfile::Builder::new().prefix("tarsius-unusual-").tempdir_in("/tmp").unwrap();
    let [usual, other] = ["usual", "other"].map(|name| dir.path().join(name));
    fs::copy("/bin/true", &usual).unwrap();
    fs::copy("/bin/true", &other).unwrap();
    let file = dir.path().join("d.yaml");
    fs::write(
        &file,
        format!(
            "type: detector\nid: unusual-1\nproduced_event: {{name: unusual_program, fields: [{{name: what, type: string}}]}}\n\
             requirements:\n  events: [{{name: sched_process_exec, data_filters: ['pathname={}/*']}}]\n\
             unusual: {{of: data.pathname, learn: 1s, by: [uid]}}\n\
             output: {{fields: [{{name: what, expression: data.pathname}}]}}\n",
            dir.path().display()
        ),
    )
    .unwrap();
    let (status, out, err) = run(&["detectors", "unusual-1", "--detectors", file.to_str().unwrap()]);
    assert!(
        status.success() && out.contains("how often a value was there before: < 1, once 1s have passed"),
        "{out}{err}"
    );
    let baselines = dir.path().join("baselines.json");
    let options = ["--detectors", file.to_str().unwrap(), "--baselines", baselines.to_str().unwrap()];
    let watch = Watch::start(&options);
    let execute = |path: &Path| assert!(Command::new(path).status().unwrap().success());
    execute(&usual);
    // Longer than it learns.
    std::thread::sleep(Duration::from_millis(1100));
    execute(&usual);
    execute(&other);
    execute(&other);
    let account = watch.stop();
    let [found] = finding(&account.lines.0, "unusual_program")[..] else { panic!("not one") };
    found.assert(&[("what", json!(other))]);
    assert_eq!(found.0["correlated"]["count"], 0);
    account.assert_clean();
    crate::session::validate(&account);

    // The next watch knows all of them, and so does one whose rules were changed meanwhile; one without the file, nobody yet.
    let programs: Vec<PathBuf> = (0..3).map(|n| dir.path().join(format!("new-{n}"))).collect();
    for new in &programs {
        fs::copy("/bin/true", new).unwrap();
    }
    let found_by = |watch: Watch| -> Vec<Value> {
        let account = watch.stop();
        account.assert_clean();
        finding(&account.lines.0, "unusual_program").iter().map(|l| l.get("what")).collect()
    };
    let control = dir.path().join("control");
    let controlled = ["--control", control.to_str().unwrap()];
    let watch = Watch::start(&[&options[..], &controlled].concat());
    [&usual, &other, &programs[0]].into_iter().for_each(|program| execute(program));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("unusual_program,", "unusual_program, description: Changed,")).unwrap();
    let (status, _, err) = run(&["policy", "reload", controlled[0], controlled[1]]);
    assert!(status.success(), "{err}");
    [&usual, &programs[0], &programs[1]].into_iter().for_each(|program| execute(program));
    assert_eq!(found_by(watch), [json!(programs[0]), json!(programs[1])]);
    let watch = Watch::start(&options[..2]);
    execute(&programs[2]);
    assert_eq!(found_by(watch), [] as [Value; 0]);

    fs::write(&baselines, "{}").unwrap();
    let (status, _, err) = run(&[&["watch"][..], &options].concat());
    let wrong = "these are no baselines of this version; without the file, detectors learn anew";
    assert!(
        !status.success() && err.contains(&format!("--baselines {}: {wrong}", baselines.display())),
        "{err}"
    );
}

/// A program that was not followed by another, of the same parent: told as of the first one, and found in the recording, too.
fn find_what_does_not_come(_: &str) {
    let dir = tempfile::Builder::new().prefix("tarsius-absent-").tempdir_in("/tmp").unwrap();
    let [begin, end] = ["begin", "end"].map(|name| dir.path().join(name));
    fs::copy("/bin/true", &begin).unwrap();
    fs::copy("/bin/true", &end).unwrap();
    let file = dir.path().join("d.yaml");
    let of =
        |path: &Path| format!("{{name: sched_process_exec, data_filters: ['pathname={}']}}", path.display());
    fs::write(
        &file,
        format!(
            "type: detector\nid: absent-1\nproduced_event: {{name: no_end}}\nrequirements:\n  events:\n    - {}\n    - {}\n\
             absence: {{window: 10s, by: [host_ppid]}}\n",
            of(&begin),
            of(&end)
        ),
    )
    .unwrap();
    let watch =
        Watch::start(&["--detectors", file.to_str().unwrap(), "--events", "no_end,sched_process_exec"]);
    let shell = |commands: &[&Path]| {
        let line: String = commands.iter().map(|c| format!("{}; ", c.display())).collect();
        let mut child = Command::new("sh").args(["-c", &format!("{line} :")]).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        child.id()
    };
    shell(&[&begin, &end]);
    let alone = shell(&[&begin]);
    std::thread::sleep(Duration::from_millis(10_100));
    // Whose time has not come when the watch ends.
    shell(&[&begin]);
    let account = watch.stop();
    account.assert_clean();
    let lines = &account.lines.0;
    let [found] = finding(lines, "no_end")[..] else { panic!("not one") };
    assert_eq!(found.0["workload"]["process"]["host_ppid"], alone);
    assert_eq!(found.0["detected_from"]["name"], "sched_process_exec");
    assert!(found.0.get("confidence").is_none());
    crate::session::validate(&account);

    let events: Vec<&Line> = lines.iter().filter(|l| l.0["name"] == "sched_process_exec").collect();
    let is_first = |l: &&Line| {
        l.0["seq"] == found.0["seq"] && l.0["lane"] == found.0["lane"] && l.0["cpu"] == found.0["cpu"]
    };
    let at = events.iter().position(is_first).unwrap() + 1;
    let text: String = events.iter().map(|l| format!("{}\n", l.0)).collect();
    fs::write(dir.path().join("recorded.jsonl"), text).unwrap();
    let expect = dir.path().join("expect.yaml");
    fs::write(&expect, format!("detectors: [d.yaml]\nevents: recorded.jsonl\nexpect: {{no_end: [{at}]}}\n"))
        .unwrap();
    let (status, out, err) = run(&["rules", "test", expect.to_str().unwrap()]);
    assert!(status.success(), "{out}{err}");
}

/// What was found while watching is found in what was recorded then: the same lines, of several events too.
fn find_the_same_in_a_recording(_: &str) {
    let copy = Copy::at("/dev/shm");
    let looks = ["id", "whoami", "uname", "groups", "df", "who"].map(|c| format!("/usr/bin/{c}"));
    let mut act = Act::new("commands", &[std::slice::from_ref(&copy.0), &looks].concat());
    let scope = format!("tree={}", act.pid());
    let watch =
        Watch::start(&["--events", "detectors,sched_process_exec,security_file_open", "--scope", &scope]);
    act.perform();
    let account = watch.stop();
    account.assert_clean();
    let (found, events): (Vec<&Line>, Vec<&Line>) =
        account.lines.0.iter().partition(|l| l.0.get("detector").is_some());
    assert!(
        ["fileless_execution", "discovery_burst"].iter().all(|n| found.iter().any(|f| f.0["name"] == *n))
    );

    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let file = dir.path().join("recorded.jsonl");
    let write = |lines: &[&Line]| {
        fs::write(&file, lines.iter().map(|l| format!("{}\n", l.0)).collect::<String>()).unwrap();
    };
    let replay = |more: &[&str]| {
        let (status, out, err) = run(&[&["replay", file.to_str().unwrap()], more].concat());
        assert!(status.success(), "{err}");
        let lines = out.lines().map(|l| serde_json::from_str(l).unwrap());
        (lines.collect::<Vec<serde_json::Value>>(), err)
    };
    // A policy matched the event, or the finding: that is another matter.
    let plain = |line: &serde_json::Value| {
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove("policies");
        line.to_string()
    };
    let sorted = |lines: &[&serde_json::Value]| {
        let mut lines: Vec<String> = lines.iter().map(|l| plain(l)).collect();
        lines.sort();
        lines
    };
    // Findings among what was recorded are not looked at again.
    write(&account.lines.0.iter().collect::<Vec<_>>());
    let (again, err) = replay(&[]);
    // Of what was not recorded nothing can be found.
    let of_recorded: Vec<&serde_json::Value> = found
        .iter()
        .map(|l| &l.0)
        .filter(|l| {
            let of = |mut from: &serde_json::Value| {
                while let Some(parent) = from.get("parent") {
                    from = parent;
                }
                from["name"].clone()
            };
            ["sched_process_exec", "security_file_open"].iter().any(|n| of(&l["detected_from"]) == *n)
        })
        .collect();
    let (again_sorted, live) = (sorted(&again.iter().collect::<Vec<_>>()), sorted(&of_recorded));
    assert_eq!(again_sorted.len(), live.len());
    for (again, live) in again_sorted.iter().zip(&live) {
        let at = again.bytes().zip(live.bytes()).take_while(|(a, b)| a == b).count();
        let from =
            |line: &str| line.get(at.saturating_sub(40)..).map(|l| l.chars().take(200).collect::<String>());
        assert!(again == live, "{:?} but {:?}", from(again), from(live));
    }
    assert!(err.contains(&format!("tarsius: {} events in ", events.len())), "{err}");
    assert!(
        err.contains(&format!("{} findings among what was recorded were passed over", found.len())),
        "{err}"
    );
    assert!(again.iter().any(|l| l["correlated"]["before"].as_array().is_some_and(|b| b.len() == 4)));
    // A loss that was recorded makes less sure what came after it.
    let mut loss = events[0].0.clone();
    loss["name"] = "lost_events".into();
    loss["data"] = json!([]);
    let text: String = events.iter().map(|l| format!("{}\n", l.0)).collect();
    assert!(again.iter().all(|l| l.get("confidence").is_none()));
    fs::write(&file, format!("{loss}\n{text}")).unwrap();
    let (unsure, _) = replay(&[]);
    assert!(unsure.len() == again.len() && unsure.iter().all(|l| l["confidence"] == "degraded"));

    // Those that are asked for, and not what they look at.
    fs::write(
        dir.path().join("outer.yaml"),
        "type: detector\nid: outer\nproduced_event: {name: outer_finding}\nrequirements: {events: [{name: fileless_execution}]}\n",
    )
    .unwrap();
    let (outer, _) = replay(&["--rules", dir.path().join("outer.yaml").to_str().unwrap()]);
    assert!(outer.len() == 1 && outer[0]["name"] == "outer_finding");
    // The control: without the event nothing is found.
    let (memory, _) = replay(&["--events", "TRC-105"]);
    assert!(memory.len() == 1 && memory[0]["name"] == "fileless_execution", "{memory:?}");
    let others: Vec<&Line> = events.iter().copied().filter(|l| !l.0.to_string().contains(&copy.0)).collect();
    write(&others);
    assert!(replay(&["--events", "TRC-105"]).0.is_empty());

    // The same as a test of rules.
    write(&events);
    let at = events
        .iter()
        .position(|l| l.0["seq"] == memory[0]["seq"] && l.0["lane"] == memory[0]["lane"])
        .unwrap()
        + 1;
    let rule = "type: detector\nid: x\nproduced_event: {name: run_from_memory}\nrequirements:\n  events: [{name: sched_process_exec, \
                data_filters: ['pathname=/dev/shm/*'], scope_filters: [not-container, uid=0]}]\n";
    fs::write(dir.path().join("rule.yaml"), rule).unwrap();
    let expect = dir.path().join("expect.yaml");
    let test = |expected: &str| {
        fs::write(&expect, format!("detectors: [rule.yaml]\nevents: recorded.jsonl\nexpect:\n{expected}"))
            .unwrap();
        run(&["rules", "test", expect.to_str().unwrap()])
    };
    let (status, out, err) = test(&format!("  run_from_memory: [{at}]\n  fileless_execution: 1\n"));
    assert!(
        status.success() && out == "ok   fileless_execution: 1 lines\nok   run_from_memory: 1 lines\n",
        "{out}{err}"
    );
    let (status, out, _) = test("  fileless_execution: 1\n");
    assert!(!status.success() && out.contains("FAIL run_from_memory: wanted 0 lines, matched ["), "{out}");
    let (status, out, _) = test("  run_from_memory: 1\n  nothing: 0\n");
    assert!(!status.success() && out.contains("FAIL nothing: there is no such detector"), "{out}");

    // A line that is none is said with its place, and what is no detector by its name.
    fs::write(&file, format!("{}\n{{\"name\": \"openat\"\n", events[0].0)).unwrap();
    let (status, _, err) = run(&["replay", file.to_str().unwrap()]);
    assert!(!status.success() && err.contains("recorded.jsonl:2: column "), "{err}");
    let (status, _, err) = run(&["replay", file.to_str().unwrap(), "--events", "openat"]);
    assert!(!status.success() && err.contains("no detector is called 'openat'"), "{err}");
}

fn errors_name_the_place(_: &str) {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let file = dir.path().join("d.yaml");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "type: detector\nid: a\nproduced_event: {name: b}\nrequirements:\n  events: [{name: opennat}]\n",
    )
    .unwrap();
    for command in [&["rules", "check", path][..], &["watch", "--detectors", path]] {
        let (status, _, err) = run(command);
        let place = format!("{path}:5:19: unknown event 'opennat'; did you mean 'openat'?");
        assert!(!status.success() && err.contains(&place), "{err}");
    }
    let (status, _, err) = run(&["detectors", "TRC-1O5"]);
    assert!(!status.success() && err.contains("did you mean 'TRC-105'"), "{err}");
    let (status, out, _) = run(&["detectors", "TRC-105"]);
    assert!(status.success() && out.contains("T1620 Reflective Code Loading"), "{out}");
}

/// Detectors bring events by which they are tested; those that come with Tarsius pass, and what is wrong is said with its place.
fn bring_their_tests(_: &str) {
    let (status, out, err) = run(&["rules", "test"]);
    let passed = out.split(' ').next().and_then(|n| n.parse::<u32>().ok());
    assert!(
        status.success()
            && passed.is_some_and(|n| n > 300)
            && out.contains(" 0 failed; 0 detectors have none"),
        "{out}{err}"
    );

    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let file = dir.path().join("d.yaml");
    let path = file.to_str().unwrap();
    let write = |maturity: &str, events: &str| {
        let text = format!(
            "type: detector\nid: MADE-UP\nproduced_event: {{name: made_up}}\nmaturity: {maturity}\nrequirements:\n  \
             events:\n    - {{name: sched_process_exec, condition: data.pathname == \"/bin/x\" && comm == \"x\"}}\n\
             threshold: {{count: 2, window: 10s, by: [uid]}}\ntests:\n  - events:\n{events}"
        );
        fs::write(&file, text).unwrap();
    };
    let event = |at: u32, path: &str| {
        format!(
            "      - {{event: sched_process_exec, at: {at}, uid: 3, comm: x, data: {{pathname: {path}}}}}\n"
        )
    };
    // Each differs from the first in one thing that the detector asks.
    for (second, found) in [(event(9, "/bin/x"), 1), (event(11, "/bin/x"), 0), (event(9, "/bin/y"), 0)] {
        write("sandbox", &(event(0, "/bin/x") + &second));
        let (status, out, err) = run(&["rules", "test", path]);
        let expected = match found {
            1 => "1 tests passed, 0 failed; 0 detectors have none\n".to_owned(),
            _ => format!(
                "FAIL made_up: found 0 times, not 1, at {path}:10:5\n0 tests passed, 1 failed; 0 detectors have none\n"
            ),
        };
        assert_eq!((status.success(), out, err), (found == 1, expected, String::new()));
    }
    // Several, of which each has its number.
    let user = |text: &str| event(0, "/bin/x").replace("at: 0,", "times: 2,").replace("uid: 3", text);
    for (uid, finds) in [("uid: 3", 1), ("uid: '%n'", 0)] {
        write("sandbox", &(user(uid) + &format!("    finds: {finds}\n")));
        let (status, out, err) = run(&["rules", "test", path]);
        assert!(status.success() && out.starts_with("1 tests passed, 0 failed"), "{out}{err}");
    }
    // That nothing is found because it is not known is no test of that.
    write("sandbox", &(event(0, "/bin/x").replace("comm: x, ", "") + "    finds: 0\n"));
    let (status, out, _) = run(&["rules", "test", path]);
    let said = format!("FAIL made_up: of 1 events it is not known whether it is in them, at {path}:10:5\n");
    assert!(!status.success() && out.starts_with(&said), "{out}");
    write("sandbox", &event(0, "/bin/x").replace("comm:", "com:").replace("path", "pth"));
    let (status, _, err) = run(&["rules", "test", path]);
    let said = format!("{path}:11:9: sched_process_exec has no field 'pthname'; did you mean 'pathname'?");
    assert!(!status.success() && err.contains(&said), "{err}");
    write("stable", "      []\n");
    let (status, _, err) = run(&["rules", "test", path]);
    assert!(
        !status.success() && err.contains(&format!("{path}:10:5: a test has an event at least")),
        "{err}"
    );
    write("sandbx", &event(0, "/bin/x").replace("comm:", "com:"));
    let (status, _, err) = run(&["rules", "test", path]);
    for said in [
        format!("{path}:4:11: unknown maturity 'sandbx'; known: stable, incubating, sandbox, deprecated"),
        format!("{path}:11:9: unknown name 'com'; did you mean 'comm'?"),
    ] {
        assert!(!status.success() && err.contains(&said), "{said} in {err}");
    }
}

/// What each detector did, asked of the running watch.
fn say_what_they_cost(_: &str) {
    let dir = tempfile::Builder::new().prefix("tarsius-detectors-").tempdir_in("/tmp").unwrap();
    let socket = dir.path().join("control");
    let socket = socket.to_str().unwrap();
    let program = Copy::at("/tmp");
    let watch =
        Watch::start(&["--events", "temporary_directory_execution,log_deletion", "--control", socket]);
    let row = |name: &str| {
        let name = format!("name={name}");
        let (status, out, err) = run(&["query", "detector", &name, "--json", "--control", socket]);
        assert!(status.success() && out.lines().count() == 1, "{out}{err}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    assert_eq!(row("temporary_directory_execution")["found"], 0);
    // The time is taken of the first look, too.
    assert!(std::process::Command::new(&program.0).status().unwrap().success());
    e2e::wait_until("the finding", || row("temporary_directory_execution")["found"] == 1);
    let now = row("temporary_directory_execution");
    assert_eq!(now["detector"], "TAR-110");
    assert!(now["looked_at"].as_u64().unwrap() >= 1 && now["ns_per_look"].as_u64().unwrap() > 0, "{now}");
    let (status, out, err) = run(&["detectors", "--stats", "--control", socket]);
    assert!(status.success() && err.is_empty(), "{out}{err}");
    // Those in force, and no others.
    for expected in ["NS_PER_LOOK", "TAR-110", "TAR-105", "2 of kind detector"] {
        assert!(out.contains(expected), "{expected} in {out}");
    }
    watch.stop().assert_clean();
}
