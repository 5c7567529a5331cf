//! What the kernel did, whatever road the caller took and whatever its memory says.

use std::path::Path;

use e2e::attack::{LOG, NAMES, fault_names};
use e2e::truth::{EXECUTIONS, ODD_NAMES, longest_path};
use e2e::{Account, Act, Line, Lines, inode_of, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("truth_compat", |t| tiers(t, compat)),
    ("truth_memfd_empty_path", |_| memfd_empty_path()),
    ("truth_handles", |t| tiers(t, handles)),
    ("truth_folders", |t| tiers(t, folders)),
    ("truth_links", |t| tiers(t, links)),
    ("truth_roots", |t| tiers(t, roots)),
    ("truth_mounts", |t| tiers(t, mounts)),
    ("truth_overlay", |t| tiers(t, overlay)),
    ("truth_deleted", |t| tiers(t, deleted)),
    ("truth_names", |t| tiers(t, names)),
    ("truth_cold_name", |_| cold_name()),
    ("truth_exec_by_thread", |_| exec_by_thread()),
    ("truth_longest_path", |t| tiers(t, longest)),
    ("attack_open", |t| tiers(t, attack_open)),
    ("attack_unlink", |t| {
        tiers(t, |tier| attack_name("attack_unlink", "security_inode_unlink", "pathname", tier))
    }),
    ("attack_rename", |t| {
        tiers(t, |tier| attack_name("attack_rename", "security_inode_rename", "old_path", tier))
    }),
    ("attack_connect", |t| tiers(t, attack_connect)),
    ("attack_exec", |_| attack_exec()),
    ("fault_open", |t| tiers(t, |tier| fault("fault_open", "security_file_open", "pathname", tier))),
    ("fault_unlink", |t| tiers(t, |tier| fault("fault_unlink", "security_inode_unlink", "pathname", tier))),
    ("fault_rename", |t| tiers(t, |tier| fault("fault_rename", "security_inode_rename", "old_path", tier))),
];

const EVENTS: &str = "security_file_open,security_inode_create,security_inode_unlink,security_inode_rename";

/// Runs a test for each tier that this kernel has.
fn tiers(test: &str, run: fn(&str)) {
    for tier in ["lsm", "kprobe", "tracepoint"] {
        if e2e::has_hook(tier) {
            run(tier);
        } else {
            println!("SKIP {test} at the {tier} tier: this kernel runs no {tier} programs");
        }
    }
}

fn watch(act: &str, args: &[&str], events: &str, tier: &str) -> (Account, Act) {
    let avoid = match tier {
        "lsm" => "none",
        "kprobe" => "lsm",
        _ => "lsm,kprobe",
    };
    let args: Vec<String> = args.iter().map(|a| (*a).to_string()).collect();
    let (account, act) = watch_act(act, &args, events, &["--avoid", avoid]);
    account.assert_clean();
    (account, act)
}

fn at(act: &Act, name: &str) -> String {
    act.dir.path().join(name).to_str().unwrap().to_string()
}

/// The opens of that path, each of whole quality.
fn opens<'a>(lines: &'a Lines, path: &str) -> Vec<&'a Line> {
    let found = lines.with("security_file_open", "pathname", path);
    for line in &found {
        assert_eq!(line.quality("pathname"), "ok", "{line:?}");
    }
    found
}

/// The open of a path with that flag (those of the acts' own making have it not).
fn open_with<'a>(lines: &'a Lines, path: &str, flag: &str) -> &'a Line {
    let found = opens(lines, path);
    let with = |l: &&&Line| l.parsed("flags").as_str().is_some_and(|f| f.contains(flag));
    let with: Vec<_> = found.iter().filter(with).collect();
    assert_eq!(with.len(), 1, "{path} with {flag}: {with:?} among {:?}", lines.of("security_file_open"));
    with[0]
}

/// The caller's name begins so, where it is told: not at the hooks of old kernels, which do not tell of the system call.
fn begins(line: &Line, with: &str) -> bool {
    line.quality("syscall_pathname") == "unavailable"
        || line.get("syscall_pathname").as_str().is_some_and(|name| name.starts_with(with))
}

/// The path of an act that leaves no file behind is the kernel's own but at the tracepoint tier.
fn exact(tier: &str) -> &'static str {
    if tier == "tracepoint" { "unresolved" } else { "ok" }
}

fn unlinked(lines: &Lines, path: &str, tier: &str) {
    let line = lines.one("security_inode_unlink", "pathname", path);
    assert_eq!(line.quality("pathname"), exact(tier));
}

fn compat(tier: &str) {
    let (account, act) = watch("compat", &[], EVENTS, tier);
    let lines = &account.lines;
    let is_compat = |line: &Line| {
        assert_eq!(line.process("/thread/compat"), true, "{line:?}");
    };
    let open = lines.one("security_file_open", "pathname", at(&act, "compat"));
    is_compat(open);
    assert_eq!(
        open.parsed("flags"),
        "O_RDWR|O_CREAT|O_LARGEFILE".replace(
            "|O_LARGEFILE",
            if open.parsed("flags").as_str().unwrap().contains("LARGEFILE") { "|O_LARGEFILE" } else { "" }
        )
    );
    is_compat(lines.one("security_inode_create", "pathname", at(&act, "compat")));
    let rename = lines.one("security_inode_rename", "old_path", at(&act, "compat"));
    rename.assert(&[("new_path", json!(at(&act, "compat-renamed")))]);
    is_compat(rename);
    let unlink = lines.one("security_inode_unlink", "pathname", at(&act, "compat-renamed"));
    is_compat(unlink);
    if tier == "tracepoint" {
        assert_eq!(open.process("/thread/syscall"), "open");
        assert_eq!(rename.process("/thread/syscall"), "rename");
        assert_eq!(unlink.process("/thread/syscall"), "unlink");
    }
}

fn memfd_empty_path() {
    let (account, _act) = watch("memfd_empty_path", &[], "sched_process_exec", "any");
    let exec = account.lines.one("sched_process_exec", "pathname", "memfd:nameless");
    assert!(exec.get("cmdpath").as_str().unwrap().starts_with("/dev/fd/"), "{exec:?}");
    assert_eq!(exec.get("argv"), json!(["empty-path"]));
}

fn handles(tier: &str) {
    let (account, act) = watch("handles", &[], EVENTS, tier);
    let lines = &account.lines;
    let by_handle = open_with(lines, &at(&act, "by-handle"), "O_NONBLOCK");
    by_handle.assert(&[("inode", json!(inode_of(Path::new(&at(&act, "by-handle"))).0))]);
    assert_eq!(by_handle.quality("syscall_pathname"), "unavailable", "a handle is no name: {by_handle:?}");
    // Taking a descriptor opens nothing; the open through /proc is of the file, not of the link.
    assert_eq!(opens(lines, &at(&act, "given")).len(), 2);
    let given = open_with(lines, &at(&act, "given"), "O_NOATIME");
    assert!(begins(given, "/proc/self/fd/"), "{given:?}");
}

fn folders(tier: &str) {
    let (account, act) = watch("folders", &[], EVENTS, tier);
    let lines = &account.lines;
    let made = lines.one("security_file_open", "pathname", at(&act, "two/relative"));
    made.assert_where_told(&[("syscall_pathname", json!("relative"))]);
    unlinked(lines, &at(&act, "two-moved/relative"), tier);
    lines.one("security_file_open", "pathname", at(&act, "two-moved/three-moved/below"));
    let moved = lines.one("security_inode_rename", "old_path", at(&act, "two-moved/three-moved/below"));
    moved.assert(&[("new_path", json!(at(&act, "two-moved/above")))]);
    let up = lines.one("security_file_open", "pathname", at(&act, "two-moved/above"));
    up.assert_where_told(&[("syscall_pathname", json!("../above"))]);
}

fn links(tier: &str) {
    let (account, act) = watch("links", &[], EVENTS, tier);
    let lines = &account.lines;
    let by_link = open_with(lines, &at(&act, "real/file"), "O_NONBLOCK");
    by_link.assert_where_told(&[("syscall_pathname", json!(at(&act, "file-link")))]);
    assert_eq!(by_link.get("rewritten"), rewritten_where_known(by_link, false));
    let hard = lines.one("security_file_open", "pathname", at(&act, "hard"));
    assert_eq!(hard.get("inode"), by_link.get("inode"));
    // Links in the middle are followed where the kernel's own path is to be had.
    let removed = if tier == "tracepoint" { "folder-link/file" } else { "real/file" };
    unlinked(lines, &at(&act, removed), tier);
}

/// A flag that this kernel can not always tell.
fn rewritten_where_known(line: &Line, value: bool) -> Value {
    if line.quality("rewritten") == "unavailable" { Value::Null } else { json!(value) }
}

fn roots(tier: &str) {
    let (account, act) = watch("roots", &[], EVENTS, tier);
    let lines = &account.lines;
    let by_proc = open_with(lines, &at(&act, "outside"), "O_NONBLOCK");
    assert!(begins(by_proc, "/proc/self/root/"), "{by_proc:?}");
    let inside = lines.one("security_file_open", "pathname", at(&act, "jail/inside"));
    inside.assert_where_told(&[("syscall_pathname", json!("/inside"))]);
    let moved = lines.one("security_inode_rename", "old_path", at(&act, "jail/inside"));
    moved.assert(&[("new_path", json!(at(&act, "jail/renamed")))]);
    unlinked(lines, &at(&act, "jail/renamed"), tier);
}

fn mounts(tier: &str) {
    let (account, act) = watch("mount_roads", &[], EVENTS, tier);
    let lines = &account.lines;
    lines.one("security_file_open", "pathname", at(&act, "bound/file"));
    let moved = lines.one("security_inode_rename", "old_path", at(&act, "bound/file"));
    moved.assert(&[("new_path", json!(at(&act, "bound/file2")))]);
    unlinked(lines, &at(&act, "source/file2"), tier);
    open_with(lines, &at(&act, "private/file"), "O_NONBLOCK");
}

fn overlay(tier: &str) {
    let (account, act) = watch("overlay", &[], EVENTS, tier);
    let lines = &account.lines;
    // As the process sees them: in the merged tree.
    let low = open_with(lines, &at(&act, "merged/low"), "O_NONBLOCK");
    assert!(low.parsed("flags").as_str().unwrap().starts_with("O_RDONLY"));
    open_with(lines, &at(&act, "merged/low"), "O_RDWR");
    // Not a second time, by the file of the layer that the kernel opens beneath it.
    let beneath = |l: &&&Line| l.parsed("flags").as_str().is_some_and(|f| f.contains("O_NONBLOCK"));
    assert_eq!(lines.of("security_file_open").iter().filter(beneath).count(), 1);
    let create = lines.with("security_inode_create", "pathname", at(&act, "merged/up"));
    assert_eq!(create.len(), 1, "{:?}", lines.of("security_inode_create"));
    let removed = lines.with("security_inode_unlink", "pathname", at(&act, "merged/low"));
    assert_eq!(removed.len(), 1, "{:?}", lines.of("security_inode_unlink"));
}

fn deleted(tier: &str) {
    let (account, act) = watch("deleted", &[], EVENTS, tier);
    let lines = &account.lines;
    unlinked(lines, &at(&act, "gone"), tier);
    let again = open_with(lines, &at(&act, "gone"), "O_NONBLOCK");
    assert_eq!(
        again.get("inode"),
        lines.one("security_inode_create", "pathname", at(&act, "gone")).get("inode")
    );
}

fn names(tier: &str) {
    let (account, act) = watch("names", &[], EVENTS, tier);
    let lines = &account.lines;
    for name in ODD_NAMES {
        let (plain, escaped) = match std::str::from_utf8(name) {
            Ok(name) => (name.to_string(), false),
            Err(_) => ("not\\xff\\xfeutf8".to_string(), true),
        };
        let path = at(&act, &plain);
        let open = lines.one("security_file_open", "pathname", path.clone());
        open.assert_where_told(&[("syscall_pathname", json!(path))]);
        assert_eq!(open.0["data"][0]["encoding"] == "escaped", escaped, "{open:?}");
        let moved = format!("{path}-moved");
        lines.one("security_inode_rename", "old_path", path).assert(&[("new_path", json!(moved))]);
        lines.one("security_inode_unlink", "pathname", moved);
    }
}

fn longest(tier: &str) {
    let (account, act) = watch("longest", &[], EVENTS, tier);
    let path = longest_path(act.dir.path());
    let path = path.to_str().unwrap();
    assert_eq!(path.len(), 4095);
    let open = account.lines.one("security_file_open", "pathname", path);
    assert_eq!(open.quality("pathname"), "ok");
    open.assert_where_told(&[("syscall_pathname", json!(path))]);
    unlinked(&account.lines, path, tier);
}

/// Rounds of an attack; and what each came to, as the act found out by the effect.
fn attack(act: &str, more: &[&str], event: &str, tier: &str) -> (Account, Act, Vec<String>) {
    let rounds = if std::env::var_os("TARSIUS_VM").is_some() { 200 } else { 600 };
    let first = rounds.to_string();
    let args = [&[first.as_str()], more].concat();
    let (account, act) = watch(act, &args, event, tier);
    let outcomes: Vec<String> =
        std::fs::read_to_string(act.dir.path().join(LOG)).unwrap().lines().map(str::to_string).collect();
    assert_eq!(outcomes.len(), rounds);
    (account, act, outcomes)
}

/// How often the flag said what.
#[derive(Debug, Default)]
struct Verdicts {
    rewritten: usize,
    not: usize,
    undecided: usize,
}

impl Verdicts {
    fn count(&mut self, line: &Line) -> Option<bool> {
        let verdict = line.get("rewritten").as_bool();
        *(match verdict {
            Some(true) => &mut self.rewritten,
            Some(false) => &mut self.not,
            None => &mut self.undecided,
        }) += 1;
        verdict
    }

    /// Where two processors run, memory is hit at every moment. In a guest they may run by turns; `fault` does not depend on it.
    fn assert_seen(&self, what: &str) {
        println!("{what}: {self:?}");
        let parallel = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1)
            && std::env::var_os("TARSIUS_VM").is_none();
        assert!(self.rewritten > 0 || !parallel, "{what}: {self:?}");
    }
}

fn attack_open(tier: &str) {
    let (account, act, outcomes) = attack("attack_open", &[], "security_file_open", tier);
    let opens = account.lines.of("security_file_open");
    let opens: Vec<_> =
        opens.into_iter().filter(|l| l.parsed("flags").as_str().unwrap().contains("O_NONBLOCK")).collect();
    assert_eq!(opens.len(), outcomes.len());
    let mut verdicts = Verdicts::default();
    for (open, name) in opens.iter().zip(&outcomes) {
        open.assert(&[("pathname", json!(at(&act, name)))]);
        let told = open.get("syscall_pathname");
        // Never said to be untouched where it says another file's name; at the better tiers what the kernel copied is told.
        if (verdicts.count(open) == Some(false) || tier != "tracepoint") && !told.is_null() {
            assert_eq!(told, json!(at(&act, name)), "{open:?}");
        }
    }
    verdicts.assert_seen(&format!("open, {tier}"));
}

fn attack_name(act: &str, event: &str, field: &str, tier: &str) {
    let (account, act, outcomes) = attack(act, &[], event, tier);
    let lines = account.lines.of(event);
    assert_eq!(lines.len(), outcomes.len());
    let mut verdicts = Verdicts::default();
    for (line, name) in lines.iter().zip(&outcomes) {
        let verdict = verdicts.count(line);
        if tier == "tracepoint" {
            // Only the caller's word is to be had, and it is marked as no more: it may be either name, and is not said to be the truth.
            assert_eq!((line.quality(field).as_str(), verdict == Some(false)), ("unresolved", false));
            assert!(NAMES.iter().any(|n| line.get(field) == json!(at(&act, n))), "{line:?}");
        } else {
            line.assert(&[(field, json!(at(&act, name)))]);
            assert_eq!(line.quality(field), "ok");
        }
    }
    verdicts.assert_seen(&format!("{event}, {tier}"));
}

fn attack_connect(tier: &str) {
    let ports = [0, 1].map(|n| 20000 + ((std::process::id() * 2 + n) % 20000) as u16);
    let [first, second] = ports.map(|p| p.to_string());
    let (account, _act, outcomes) =
        attack("attack_connect", &[&first, &second], "security_socket_connect", tier);
    let lines = account.lines.of("security_socket_connect");
    assert_eq!(lines.len(), outcomes.len());
    let mut verdicts = Verdicts::default();
    for (line, name) in lines.iter().zip(&outcomes) {
        let port = ports[NAMES.iter().position(|n| n == name).unwrap()];
        line.assert(&[(
            "remote_addr",
            json!({"sa_family": "AF_INET", "sin_addr": "127.0.0.1", "sin_port": port}),
        )]);
        verdicts.count(line);
    }
    // The kernel copies an address soon after the entry: a guest's processors may not hit that moment.
    println!("connect, {tier}: {verdicts:?}");
}

fn attack_exec() {
    let (account, act, outcomes) = attack("attack_exec", &[], "sched_process_exec", "any");
    let lines = account.lines.with("sched_process_exec", "argv", json!(["attacked"]));
    assert_eq!(lines.len(), outcomes.len());
    let mut verdicts = Verdicts::default();
    for (line, name) in lines.iter().zip(&outcomes) {
        line.assert(&[("pathname", json!(at(&act, name))), ("cmdpath", json!(at(&act, name)))]);
        verdicts.count(line);
    }
    println!("exec: {verdicts:?}");
}

/// Memory that was rewritten for certain.
fn fault(act: &str, event: &str, field: &str, tier: &str) {
    let rounds = 20;
    let (account, act) = watch(act, &[&rounds.to_string()], event, tier);
    let [copied, _] = fault_names();
    let lines = account.lines.of(event);
    let open = event == "security_file_open";
    let lines: Vec<_> = lines
        .into_iter()
        .filter(|l| !open || l.parsed("flags").as_str().unwrap().contains("O_NONBLOCK"))
        .collect();
    assert_eq!(lines.len(), rounds);
    for line in lines {
        if tier != "tracepoint" {
            line.assert(&[(field, json!(at(&act, &copied)))]);
            // Where the hook does not tell of the system call (before Linux 5.17), there is nothing to compare with.
            line.assert_where_told(&[("rewritten", json!(true))]);
        } else {
            // The name could not be read at the entry, so it is not known to have changed; nor is it said to be untouched.
            assert_ne!(line.get("rewritten"), json!(false), "{line:?}");
            if open {
                line.assert(&[(field, json!(at(&act, &copied)))]);
            } else {
                assert_eq!(line.quality(field), "unresolved");
            }
        }
    }
}

/// A thread that executes takes its leader's number and start time in the middle of the call: what was read of the caller's memory at the entry
/// is still its own; and what was kept is given back, or the long names afterwards would have no room.
fn exec_by_thread() {
    let (account, act) = watch("exec_by_thread", &[], "execve,mkdir", "any");
    let word = "w".repeat(400);
    let lines = account.lines.with("execve", "returnValue", 0);
    let whole: Vec<&&Line> = lines.iter().filter(|l| l.get("argv") == json!(["/bin/true", word])).collect();
    assert_eq!(whole.len(), EXECUTIONS, "{lines:?}");
    assert!(whole.iter().all(|l| l.get("pathname") == "/bin/true" && l.get("duration").as_u64() > Some(0)));
    let long = act.dir.path().join("n".repeat(250)).join("m".repeat(200));
    let made = account.lines.one("mkdir", "pathname", long.to_str().unwrap());
    assert_eq!(made.quality("pathname"), "ok");
}

/// What a program can not read at the entry, it reads once the kernel has: then it is told, but not as what the kernel read.
fn cold_name() {
    let (account, _act) = watch("cold_name", &[], "mkdir", "any");
    let made = account.lines.one("mkdir", "pathname", "cold");
    assert_eq!(made.quality("pathname"), "unresolved");
    made.assert(&[("mode", json!(0o700)), ("returnValue", json!(0))]);
}
