//! Rules of Sigma: what becomes of them, and that their conditions hold of what the kernel tells.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use e2e::{Watch, run};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("sigma_check_tells_what_becomes_of_rules", check),
    ("sigma_rules_of_the_corpus_load", corpus),
    ("sigma_conditions_hold_of_what_is_done", hold),
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

/// Conditions of rules, in force as policies: each with an act that it finds, and one that differs in what it asks.
fn hold(_: &str) {
    let dir = temporary();
    let root = dir.path().to_str().unwrap();
    let text = "title: called\nlogsource: {product: linux, category: process_creation}\n\
        detection:\n  s:\n    Image|endswith: /MadeUp-Shell\n    CommandLine|contains|all: [' -c ', tArSiUs-MaRk]\n    \
        ParentCommandLine|contains: parent-mark\n    CurrentDirectory: ROOT\n  condition: s\n---\n\
        title: words\nlogsource: {product: linux, service: auditd}\n\
        detection:\n  s: {type: EXECVE, a0: madeup-shell, a2|endswith: tarsius-mark}\n  condition: s\n---\n\
        title: made\nlogsource: {product: linux, category: file_event}\n\
        detection:\n  s: {TargetFilename|startswith: ROOT/, TargetFilename|endswith: .MADE}\n  condition: s\n";
    let rules = dir.path().join("rules.yml");
    fs::write(&rules, text.replace("ROOT", root)).unwrap();
    let (status, out, err) = run(&["sigma", "check", "--conditions", rules.to_str().unwrap()]);
    assert!(status.success(), "{out}{err}");
    // Each event of each rule, as a policy of that event.
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let mut title = "";
    for line in out.lines() {
        match line.strip_prefix("             ").and_then(|l| l.split_once(": ")) {
            Some((event, condition)) => {
                let quoted = serde_json::to_string(condition).unwrap();
                let name = format!("{title}-{}", event.replace('_', "-"));
                let policy = format!(
                    "type: policy\nname: {name}\nrules:\n  - event: {event}\n    condition: {quoted}\n"
                );
                fs::write(policies.join(format!("{name}.yaml")), policy).unwrap();
            }
            None => title = line.split(": ").nth(1).unwrap_or_default(),
        }
    }
    let shell = dir.path().join("madeup-shell");
    symlink("/bin/sh", &shell).unwrap();
    let watch = Watch::start(&["--policy", policies.to_str().unwrap()]);
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
    let matched = |name: &str| {
        let lines = account.lines.0.iter();
        let names = |l: &&e2e::Line| {
            l.0["policies"]["matched"].as_array().is_some_and(|all| all.iter().any(|n| n == name))
        };
        lines.filter(names).count()
    };
    assert_eq!(matched("called-sched-process-exec"), 1);
    assert_eq!(matched("words-sched-process-exec"), 2);
    assert_eq!(matched("made-security-file-open"), 1);
    assert_eq!(matched("made-security-inode-rename"), 1);
}
