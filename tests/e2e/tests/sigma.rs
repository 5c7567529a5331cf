//! Rules of Sigma: what becomes of them, and what they find.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use e2e::{Watch, run};
use serde_json::json;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("sigma_check_tells_what_becomes_of_rules", check),
    ("sigma_rules_of_the_corpus_load", corpus),
    ("sigma_rules_find_what_is_done", hold),
    ("sigma_rules_find_what_is_logged", logged),
    ("log_lines", lines),
];

fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tarsius-sigma-").tempdir_in("/tmp").unwrap()
}

fn check(_: &str) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/sigma/tests/rules");
    let rules = rules.to_str().unwrap();
    let (status, out, err) = run(&["sigma", "check", rules]);
    assert!(status.success(), "{out}{err}");
    for expected in [
        "execution.yml:1:1: A Made-Up Interpreter Runs a One-Liner: sched_process_exec",
        "audit.yml:28:1: A Made-Up Service Said Something: log_line",
        "2 of them look at what --log-source names",
        "audit.yml:38:1: A Made-Up Audit Record: log_line",
        "audit.yml:48:1: An Antivirus: no kernel event is of the category antivirus",
        "7 rules: 6 loaded, 1 without a source, 0 unsupported",
    ] {
        assert!(out.contains(expected), "{expected} in {out}");
    }
    // One that is wrong is said with its place, and the others are told all the same.
    let dir = temporary();
    let wrong = dir.path().join("wrong.yml");
    fs::write(
        &wrong,
        "title: Wrong\nlogsource: {product: linux, category: process_creation}\ndetection:\n  s: {Image|endwith: x}\n  condition: s\n",
    )
    .unwrap();
    let (status, out, _) = run(&["sigma", "check", rules, wrong.to_str().unwrap()]);
    assert!(!status.success(), "{out}");
    let said = format!(
        "unsupported  {}:4:7: Wrong: unknown modifier 'endwith'; did you mean 'endswith'?",
        wrong.display()
    );
    assert!(out.contains(&said) && out.contains("8 rules: 6 loaded"), "{out}");
}

fn corpus(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/sigma");
    if !corpus.is_dir() {
        println!("SKIP {name}: no corpus beside this checkout");
        return;
    }
    let (status, out, err) = run(&["sigma", "check", corpus.to_str().unwrap()]);
    assert!(status.success() && out.contains(" 0 unsupported"), "{out}{err}");
}

/// Rules in force: each with acts that it finds, and others that differ in what it asks.
fn hold(_: &str) {
    let dir = temporary();
    let root = dir.path().to_str().unwrap();
    let text = "title: Called\nid: 5d1b0f5e-called\nlevel: high\ndescription: A shell under another name\n\
        tags: [attack.execution, attack.t1059.004]\n\
        logsource: {product: linux, category: process_creation}\n\
        detection:\n  s:\n    Image|endswith: /MadeUp-Shell\n    CommandLine|contains|all: [' -c ', tArSiUs-MaRk]\n    \
        ParentCommandLine|contains: parent-mark\n    CurrentDirectory: ROOT\n  condition: s\n---\n\
        title: Words\nlogsource: {product: linux, service: auditd}\n\
        detection:\n  s: {type: EXECVE, a0: madeup-shell, a2|endswith: tarsius-mark}\n  condition: s\n---\n\
        title: Made\nname: made\nlogsource: {product: linux, category: file_event}\n\
        detection:\n  s: {TargetFilename|startswith: ROOT/, TargetFilename|endswith: .MADE}\n  condition: s\n---\n\
        title: A shell\nname: a_shell\nlogsource: {product: linux, category: process_creation}\n\
        detection:\n  s: {Image|endswith: /madeup-shell}\n  condition: s\n---\n\
        title: Many shells\nlevel: medium\ncorrelation:\n  type: event_count\n  rules: [a_shell]\n  \
        group-by: [CurrentDirectory]\n  timespan: 1h\n  condition: {gte: 3}\n---\n\
        title: A shell and then a file\ncorrelation:\n  type: temporal_ordered\n  rules: [a_shell, made]\n  timespan: 1h\n  \
        generate: true\n---\n\
        title: Said\nlogsource: {product: linux, category: antivirus}\ndetection: {s: {type: MADE_UP}, condition: s}\n---\n\
        title: Wrong\nlogsource: {product: linux, category: process_creation}\n\
        detection: {s: {Image|endwith: x}, condition: s}\n";
    let rules = dir.path().join("rules.yml");
    fs::write(&rules, text.replace("ROOT", root)).unwrap();
    let shell = dir.path().join("madeup-shell");
    symlink("/bin/sh", &shell).unwrap();
    let watch = Watch::start(&["--sigma", rules.to_str().unwrap()]);
    for (mark, parent) in
        [("tarsius-mark", "parent-mark"), ("tarsius-mark", "other"), ("other", "parent-mark")]
    {
        let script = format!(": {parent}; {} -c ': {mark}'; true", shell.display());
        assert!(Command::new("/bin/sh").args(["-c", &script]).current_dir(root).status().unwrap().success());
    }
    fs::write(dir.path().join("a.made"), b"x").unwrap();
    fs::write(dir.path().join("a.other"), b"x").unwrap();
    // Reading makes nothing.
    fs::read(dir.path().join("a.made")).unwrap();
    fs::rename(dir.path().join("a.other"), dir.path().join("b.made")).unwrap();
    let account = watch.stop();
    account.assert_clean();
    crate::session::validate(&account);

    let of = |name: &str| account.lines.0.iter().filter(|l| l.0["name"] == name).collect::<Vec<_>>();
    let [called] = of("called")[..] else { panic!("{:?}", account.lines) };
    assert_eq!(called.0["detector"], "5d1b0f5e-called");
    assert_eq!(called.0["threat"]["name"], "Called");
    assert_eq!(called.0["threat"]["severity"], "HIGH");
    assert_eq!(called.0["threat"]["mitre"]["tactic"]["name"], "Execution");
    assert_eq!(called.0["threat"]["mitre"]["technique"]["id"], "T1059.004");
    assert_eq!(called.0["detected_from"]["name"], "sched_process_exec");
    assert_eq!(of("words").len(), 2);
    let made: Vec<_> = of("made").iter().map(|l| l.0["detected_from"]["name"].clone()).collect();
    assert_eq!(made, ["security_file_open", "security_inode_rename"]);
    // Told once for three, with the two before; and by itself, as one of the two that count it says so.
    let [many] = of("many_shells")[..] else { panic!("{:?}", account.lines) };
    assert_eq!(many.0["correlated"]["count"], 3);
    let before = many.0["correlated"]["before"].as_array().unwrap();
    assert_eq!(before.len(), 2);
    assert!(
        before.iter().all(|e| e["name"] == "sched_process_exec" && e["workload"]["process"]["pid"].is_u64()),
        "{before:?}"
    );
    assert_eq!(of("a_shell").len(), 3);
    let [then] = of("a_shell_and_then_a_file")[..] else { panic!("{:?}", account.lines) };
    assert_eq!(then.0["detected_from"]["name"], "security_file_open");
    assert_eq!(then.0["correlated"]["before"][0]["name"], "sched_process_exec");
    // Nothing else is shown, and what finds nothing is said.
    assert_eq!(account.lines.0.len(), 1 + 2 + 2 + 1 + 3 + 1, "{:?}", account.lines);
    for said in [
        "rules.yml:57:17: Wrong",
        "unknown modifier 'endwith'",
        "6 rules of Sigma, and 1 without a source, 1 unsupported",
    ] {
        assert!(account.said.contains(said), "{said} in {}", account.said);
    }
}

/// A log, to which lines are added; in its folder.
fn log(dir: &Path) -> std::path::PathBuf {
    let log = dir.join("auth.log");
    fs::write(&log, "Nov 28 23:00:00 here sshd[7]: before\n").unwrap();
    log
}

fn append(log: &Path, text: &str) {
    use std::io::Write as _;
    fs::OpenOptions::new().append(true).create(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Lines of a log and of a pipe, each once, also of a log that is rotated.
fn lines(_: &str) {
    let dir = temporary();
    let log = log(dir.path());
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let [first, second] = [&log, &pipe].map(|path| path.to_str().unwrap().to_string());
    let watch = Watch::start(&["--events", "log_line", "--log-source", &first, "--log-source", &second]);
    append(&log, "Nov 28 23:00:01 here sshd[7]: one\nno line of syslog's\n");
    fs::rename(&log, dir.path().join("auth.log.1")).unwrap();
    append(&log, "2026-11-28T23:00:02.5+00:00 here sudo: two\n");
    append(&pipe, "three\n");
    let account = watch.stop();
    account.assert_clean();
    crate::session::validate(&account);
    let told = |path: &str| {
        let of = account.lines.with("log_line", "path", path);
        of.iter().map(|l| (l.get("line"), l.get("program"))).collect::<Vec<_>>()
    };
    let [one, none, two, three] = [
        ("Nov 28 23:00:01 here sshd[7]: one", json!("sshd")),
        ("no line of syslog's", json!(null)),
        ("2026-11-28T23:00:02.5+00:00 here sudo: two", json!("sudo")),
        ("three", json!(null)),
    ]
    .map(|(line, program)| (json!(line), program));
    assert_eq!((told(&first), told(&second)), (vec![one, none, two], vec![three]));
    assert!(account.lines.0.iter().all(|l| l.0["origin"] == "unknown" && l.0["workload"] == json!({})));
    // What can not be read is said before anything is loaded.
    let (status, _, err) = run(&["watch", "--log-source", dir.path().to_str().unwrap()]);
    assert!(!status.success() && err.contains("is a folder: a log is a file or a pipe"), "{err}");
    assert!(!err.contains("watching"), "{err}");
}

/// Rules of what services log: of the service, and of no other.
fn logged(_: &str) {
    let dir = temporary();
    let log = log(dir.path());
    let rules = dir.path().join("rules.yml");
    fs::write(
        &rules,
        "title: Keys\nlevel: high\nlogsource: {product: linux, service: sshd}\n\
         detection: {keywords: [Failed to generate curve25519 keys], condition: keywords}\n---\n\
         title: New user\nlogsource: {product: linux, definition: '/var/log/auth.log is collected'}\n\
         detection:\n  selection_new: ['new user']\n  selection_ids: ['GID=0,', 'UID=0,']\n  condition: all of selection_*\n",
    )
    .unwrap();
    let watch = Watch::start(&["--sigma", rules.to_str().unwrap(), "--log-source", log.to_str().unwrap()]);
    append(
        &log,
        "Nov 28 23:00:01 here sshd[7]: error: Failed to generate Curve25519 keys\n\
         Nov 28 23:00:02 here other[7]: error: Failed to generate curve25519 keys\n\
         Nov 28 23:00:03 here useradd[9]: new user: name=a, UID=1000, GID=0, home=/home/a\n\
         Nov 28 23:00:04 here useradd[9]: new user: name=b, UID=1000, GID=1000, home=/home/b\n",
    );
    let account = watch.stop();
    account.assert_clean();
    let found: Vec<_> =
        account.lines.0.iter().map(|l| (l.0["name"].clone(), l.0["detected_from"]["name"].clone())).collect();
    assert_eq!(found, [(json!("keys"), json!("log_line")), (json!("new_user"), json!("log_line"))]);
}
