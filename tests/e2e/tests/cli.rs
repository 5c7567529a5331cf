//! The command line as people use it: help, errors, outputs.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use e2e::objects::Object;
use e2e::{Act, Watch, run, tarsius};
use serde_json::Value;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("doctor_says_that_it_can_run", doctor),
    ("no_program_is_refused", no_program_is_refused),
    ("no_program_of_other_tiers_is_refused", no_program_of_other_tiers_is_refused),
    ("events_lists_the_catalogue", events),
    ("errors_name_the_place", errors),
    ("ps_lists_processes", ps),
    ("own_activity_is_left_out", own_activity),
    ("table_in_a_pipe_is_plain", table_in_a_pipe),
    ("full_disk_is_reported", full_disk),
    ("nothing_is_left_behind", nothing_left),
];

fn doctor(_: &str) {
    let (status, out, err) = run(&["doctor"]);
    assert!(status.success(), "{out}{err}");
    assert!(out.contains("Tarsius can run here"), "{out}");
    let (status, out, _) = run(&["doctor", "--json"]);
    assert!(status.success());
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["obstacles"], serde_json::json!([]));
    let open =
        report["events"].as_array().unwrap().iter().find(|e| e["event"] == "security_file_open").unwrap();
    assert!(open["tier"].is_string(), "{open}");
}

/// The kernel takes every program of the best tiers that it has hooks for. That a tier is not there is told by another reason.
fn no_program_is_refused(_: &str) {
    assert_none_refused("none");
}

/// Nor of the others.
fn no_program_of_other_tiers_is_refused(_: &str) {
    for avoided in ["lsm", "lsm,kprobe", "lsm,kprobe,sock_ops,cgroup"] {
        assert_none_refused(avoided);
    }
    // The control: what is refused would be said.
    let account = Watch::start(&["--events", "*", "--avoid", "lsm,kprobe,cgroup"]).stop();
    assert!(account.said.contains("left out as asked"), "{}", account.said);
}

fn assert_none_refused(avoided: &str) {
    let account = Watch::start(&["--events", "*", "--avoid", avoided]).stop();
    assert!(!account.said.contains("refuses"), "without {avoided}: {}", account.said);
}

fn events(_: &str) {
    let (status, out, _) = run(&["events"]);
    assert!(status.success() && out.contains("sched_process_exec") && out.contains("net_packet_dns_request"));
    let (_, out, _) = run(&["events", "sched_process_exec"]);
    assert!(
        out.contains("tp_btf/sched_process_exec") && out.contains("argv") && out.contains("life lane"),
        "{out}"
    );
    let (_, out, _) = run(&["events", "--json"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    assert!(all.as_array().unwrap().len() > 35);
}

/// A process that waits is listed as what it is, below who made it.
fn ps(_: &str) {
    let mut act = Act::new("nothing", &[]);
    let own = std::env::current_exe().unwrap();
    for options in [&["ps"][..], &["ps", "--tree"]] {
        let (status, out, err) = run(options);
        assert!(status.success(), "{err}");
        let find = |pid: u32| {
            let of = |line: &&str| line.split_whitespace().next() == Some(&pid.to_string());
            out.lines().position(|l| of(&l)).unwrap_or_else(|| panic!("no {pid} in {out}"))
        };
        let (parent, child) = (find(std::process::id()), find(act.pid()));
        let line: Vec<&str> = out.lines().nth(child).unwrap().split_whitespace().collect();
        // In a container, users have no names.
        let root = if line[5] == "-" { "root" } else { "0" };
        assert_eq!((line[1], line[2]), (&*std::process::id().to_string(), root));
        assert_eq!(line.last(), own.to_str().as_ref(), "{out}");
        assert!(parent < child || options.len() == 1, "{out}");
        // As many as are said to be.
        let rows = out.lines().take_while(|l| !l.is_empty()).count() - 1;
        assert!(out.ends_with(&format!("\n{rows} processes.\n")), "{out}");
    }
    act.perform();
}

fn errors(_: &str) {
    for (args, parts) in [
        (
            &["watch", "--events", "sched_proces_exec"][..],
            &["sched_proces_exec", "did you mean", "sched_process_exec"][..],
        ),
        (&["watch", "--scope", "uid=root"], &["uid", "root"]),
        (&["watch", "--enrichment", "executable-hash.mode=sha256"], &["sha256", "dev-inode"]),
        (&["watch", "--enrichment", "ancestors=3"], &["ancestors=3", "ancestry=N"]),
        (&["watch", "--output", "xml"], &["xml", "json"]),
        (&["watch", "--buffers", "lots"], &["lots", "64M"]),
        (&["watch", "--scope", "tree=999999999"], &["999999999"]),
        (&["watch", "--output", "json:/proc/nowhere/x"], &["/proc/nowhere"]),
    ] {
        let (status, _, err) = run(args);
        assert!(!status.success(), "{args:?}");
        assert!(parts.iter().all(|p| err.contains(p)), "{args:?}: {err}");
    }
}

/// When its programs run, Tarsius walks over the cgroups' folders once: that must not be an event, unless asked for.
fn own_activity(_: &str) {
    let opens_by_itself = |more: &[&str]| {
        let mut args = vec!["--events", "security_file_open", "--scope", "comm=tarsius"];
        args.extend(more);
        let watch = Watch::start(&args);
        let pid = watch.pid();
        let account = watch.stop();
        account.lines.0.iter().filter(|l| l.process("/host_pid") == pid).count()
    };
    assert_eq!(opens_by_itself(&[]), 0);
    assert!(opens_by_itself(&["--include-self"]) > 0, "the control shows nothing");
}

fn table_in_a_pipe(_: &str) {
    let out = Command::new(tarsius())
        .args(["--events", "exec,fork", "--duration", "1"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn_and_run();
    assert!(out.starts_with("TIME"), "{out}");
    assert!(!out.contains('\x1b'), "{out}");
}

trait SpawnAndRun {
    fn spawn_and_run(&mut self) -> String;
}

impl SpawnAndRun for Command {
    /// Runs it while other programs run, so that there is something to see.
    fn spawn_and_run(&mut self) -> String {
        use std::io::{BufRead as _, Read as _};
        let mut child = self.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        while !said.contains("watching") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
        }
        Command::new("/bin/true").status().unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
        out
    }
}

fn full_disk(_: &str) {
    let watch = Watch::start(&["--events", "exec", "--output", "json:/dev/full", "--fail-on-loss"]);
    for _ in 0..20 {
        Command::new("/bin/true").status().unwrap();
    }
    let account = watch.stop();
    assert!(account.said.contains("/dev/full") && account.said.contains("DROPPED"), "{}", account.said);
    // The other output got them all.
    assert!(account.lines.of("sched_process_exec").len() >= 20);
    assert_eq!(account.status.code(), Some(3));
}

/// No program of ours outlives a watch, whatever ended it; and with the programs go their maps and links.
fn nothing_left(_: &str) {
    let before = Object::Program.ids();
    let watch = Watch::start(&["--events", "exec,security_file_open"]);
    let ours: BTreeSet<u32> = Object::Program.ids().difference(&before).copied().collect();
    assert!(!ours.is_empty(), "the control: a running watch has programs");
    e2e::signal(watch.pid(), libc::SIGKILL);
    let left = || Object::Program.ids().intersection(&ours).count();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // The kernel lets go of them after a grace period.
    while left() > 0 && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(left(), 0);
}
