//! Detectors: what they find in what is done, by whom, and what they do not.

use std::fs;
use std::path::Path;

use e2e::{Act, Line, Watch, run};
use serde_json::json;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("detectors_find_what_is_done", find_what_is_done),
    ("detectors_of_tracees_form", tracees_form),
    ("detectors_are_selected_by_policies", selected_by_policies),
    ("detector_errors_name_the_place", errors_name_the_place),
    ("detectors_say_what_they_cost", say_what_they_cost),
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
