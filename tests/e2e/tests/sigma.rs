//! Rules of Sigma: what becomes of them, and what they find.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use e2e::{Watch, run};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("sigma_check_tells_what_becomes_of_rules", check),
    ("sigma_rules_of_the_corpus_load", corpus),
    ("sigma_rules_find_what_is_done", hold),
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
        "audit.yml:28:1: A Made-Up Service Said Something: it reads the text that the service madeupd logs",
        "5 rules: 4 loaded, 1 without a source, 0 unsupported",
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
    assert!(out.contains(&said) && out.contains("6 rules: 4 loaded"), "{out}");
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
        title: Said\nlogsource: {product: linux, service: madeupd}\ndetection: {keywords: [x], condition: keywords}\n---\n\
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
