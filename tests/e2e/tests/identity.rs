//! Who did it, and by what: origins and owners of programs, and what a running watch answers.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use e2e::{Account, Act, Line, Watch, scaled, wait_until, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("origins_of_programs", origins),
    ("hashes_of_loaded_files", hashes_of_loaded_files),
    ("packages_of_programs", packages),
    ("packages_in_another_root", packages_in_another_root),
    ("questions_to_a_watch", questions),
    ("control_sockets", control_sockets),
    ("pids_used_again", pids_used_again),
];

/// Which kind of file each program was of.
fn origins(_: &str) {
    let (account, _act) = watch_act("origins", &[], "sched_process_exec", &[]);
    // upper_layer, deleted, memfd, setuid, setgid, secure
    let expected = [
        ("lower", [false, false, false, false, false, false]),
        ("copied-up", [true, false, false, false, false, false]),
        ("dropped", [true, false, false, false, false, false]),
        ("plain", [false, false, false, false, false, false]),
        ("plain-nobody", [false, false, false, false, false, false]),
        ("set-id-nobody", [false, false, false, true, true, true]),
        ("set-id-root", [false, false, false, true, true, false]),
        ("capable-nobody", [false, false, false, false, false, true]),
        ("deleted", [false, true, false, false, false, false]),
        ("memfd", [false, true, true, false, false, false]),
        ("named-memfd", [false, false, false, false, false, false]),
    ];
    let told = expected.map(|(name, _)| {
        let line = account.lines.one("sched_process_exec", "argv", json!([name]));
        let flags = ["upper_layer", "deleted", "memfd", "setuid", "setgid", "secure"];
        (name, flags.map(|f| line.get(f).as_bool().unwrap_or_else(|| panic!("{f} of {line:?}"))))
    });
    assert_eq!(told, expected);
    account.assert_clean();
    crate::session::validate(&account);
}

/// The libraries of a program, by which it was found and hashed: once, however often they are loaded.
fn hashes_of_loaded_files(_: &str) {
    let mut act = Act::new("executions", &["/bin/true".into(), "/bin/true".into()]);
    let scope = format!("tree={}", act.pid());
    let events = "shared_object_loaded,loaded_file_hash";
    let watch = Watch::start(&["--events", events, "--scope", &scope, "-E", "loaded-hash"]);
    act.begin();
    let file = watch.events_file();
    wait_until("the hash", || fs::read_to_string(&file).unwrap().contains("\"id\":\"loaded_file_hash\""));
    act.end();
    let account = watch.stop();
    let loads = account.lines.of("shared_object_loaded");
    let library = loads.iter().map(|l| l.get("pathname")).find(|p| p.as_str().unwrap().contains("/libc"));
    let library = library.unwrap();
    assert_eq!(account.lines.with("shared_object_loaded", "pathname", library.clone()).len(), 2);
    let hash = account.lines.one("loaded_file_hash", "pathname", library.clone());
    let sum = Command::new("sha256sum").arg(library.as_str().unwrap()).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    hash.assert(&[("sha256", json!(sum.split(' ').next().unwrap()))]);
    account.assert_clean();
    crate::session::validate(&account);
}

/// The package in the execution of a program.
fn package(account: &Account, program: &str) -> Option<Value> {
    let argv = json!([program]);
    let line = account.lines.one("sched_process_exec", "argv", argv);
    line.process("/executable").as_object().unwrap().get("package").cloned()
}

/// Those of the host, as dpkg itself has them, in the event of the execution; and of what is no package's, that it is of none.
fn packages(test: &str) {
    let dpkg = |args: &[&str]| {
        let out = Command::new(args[0]).args(&args[1..]).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8(out.stdout).unwrap())
    };
    let Some(version) = dpkg(&["dpkg-query", "-W", "-f", "${Version}", "coreutils"]) else {
        return println!("SKIP {test}: no dpkg here");
    };
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    fs::copy("/bin/true", &own).unwrap();
    let own = own.to_str().unwrap().to_string();
    let programs = ["/bin/true".to_string(), own.clone()];
    let (account, _act) =
        watch_act("executions", &programs, "sched_process_exec,sched_process_exit", &["-E", "package"]);
    assert_eq!(package(&account, "/bin/true"), Some(json!({"name": "coreutils", "version": version})));
    // It was looked for again, so it was not known at once; in its last event it may be.
    let ends = account.lines.of("sched_process_exit");
    let of_own = ends.iter().filter(|l| *l.process("/executable/path") == json!(own));
    for end in of_own {
        let package = end.process("/executable").get("package");
        assert!(package.is_none_or(Value::is_null), "{end:?}");
    }
    account.assert_clean();
    crate::session::validate(&account);
    // The control: without being asked for, there are none.
    let (account, _act) = watch_act("executions", &programs, "sched_process_exec", &[]);
    assert_eq!(package(&account, "/bin/true"), None);
}

/// A container's programs are of the packages of its own root, whatever the host has.
fn packages_in_another_root(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (root, socket) = (folder.path().join("root"), folder.path().join("control.sock"));
    for at in ["bin", "var/lib/dpkg/info"] {
        fs::create_dir_all(root.join(at)).unwrap();
    }
    if let Err(why) = fs::copy("/usr/bin/busybox", root.join("bin/sleep")) {
        return println!("SKIP {test}: /usr/bin/busybox: {why}");
    }
    fs::write(root.join("var/lib/dpkg/status"), "Package: toybox\nVersion: 0.8\n").unwrap();
    fs::write(root.join("var/lib/dpkg/info/toybox.list"), "/.\n/bin/sleep\n").unwrap();
    let mut act = Act::new("foreign_root", &[root.to_str().unwrap().to_string()]);
    let scope = format!("tree={}", act.pid());
    let watch = Watch::start(&[
        "--events",
        "sched_process_exec,sched_process_exit",
        "--scope",
        &scope,
        "-E",
        "package",
        "--control",
        socket.to_str().unwrap(),
    ]);
    act.begin();
    let filters = ["executable=/bin/sleep", "ended="];
    wait_until("the package", || {
        let rows = query(&socket, "process", &filters);
        rows.iter().any(|r| r["package"] == "toybox 0.8")
    });
    fs::write(act.dir.path().join("end"), "").unwrap();
    act.end();
    let account = watch.stop();
    let ends = account.lines.of("sched_process_exit");
    let end = ends.iter().find(|l| *l.process("/executable/path") == "/bin/sleep").unwrap();
    assert_eq!(*end.process("/executable/package"), json!({"name": "toybox", "version": "0.8"}));
    account.assert_clean();
}

/// What `tarsius query` answers, as JSON.
fn query(socket: &Path, what: &str, filters: &[&str]) -> Vec<Value> {
    let mut args = vec!["query", what, "--json", "--control", socket.to_str().unwrap()];
    args.extend(filters);
    let (status, out, err) = e2e::run(&args);
    assert!(status.success(), "{err}");
    out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Processes, users, and the tree at a time when a process lived, before, and after.
fn questions(_: &str) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let path = socket.to_str().unwrap();
    let mut act = Act::new("sleeper", &[]);
    let scope = format!("tree={}", act.pid());
    let watch = Watch::start(&["--events", "sched_process_exec", "--scope", &scope, "--control", path]);
    let now = || {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        // More than the clocks of the events and of this program may differ, on either side.
        std::thread::sleep(std::time::Duration::from_millis(20));
        format!("{}", time.as_nanos())
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    let before = now();
    act.begin();
    let file = act.dir.path().join("pid");
    wait_until("the sleeper", || fs::read_to_string(&file).is_ok_and(|t| !t.is_empty()));
    let pid = fs::read_to_string(&file).unwrap();
    let filter = format!("pid={pid}");
    wait_until("its execution", || {
        query(&socket, "process", &[&filter]).iter().any(|r| r["comm"] == "sleep")
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    let during = now();
    let rows = query(&socket, "process", &[&filter, "comm=sl*p", "user=root"]);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["ppid"], &rows[0]["ended"]), (&json!(act.pid()), &Value::Null));
    fs::write(act.dir.path().join("end"), "").unwrap();
    wait_until("its end", || query(&socket, "process", &[&filter]).iter().any(|r| r["ended"].is_string()));
    std::thread::sleep(std::time::Duration::from_millis(20));
    let after = now();
    let at = |time: &str| {
        let seconds = time.parse::<u128>().unwrap();
        let time = format!("{}.{:09}", seconds / 1_000_000_000, seconds % 1_000_000_000);
        let date =
            Command::new("date").args(["-u", "-d", &format!("@{time}"), "+%FT%T.%NZ"]).output().unwrap();
        let date = String::from_utf8(date.stdout).unwrap();
        let (status, out, err) = e2e::run(&["ps", "--tree", "--at", date.trim(), "--control", path]);
        assert!(status.success(), "{err}");
        out
    };
    let has = |tree: &str| tree.lines().any(|l| l.split_whitespace().next() == Some(&pid));
    let trees = [&before, &during, &after].map(|time| at(time));
    assert_eq!(trees.each_ref().map(|t| has(t)), [false, true, false], "{trees:#?}");
    // Below the one that made it, and by the program that it ran then.
    let line = trees[1].lines().find(|l| l.split_whitespace().next() == Some(&pid)).unwrap();
    assert!(line.contains(&format!(" {} ", act.pid())) && line.ends_with("/sleep"), "{line}");
    assert!(!query(&socket, "user", &["name=root"]).is_empty());
    // The kernel's symbols are read without a watch.
    let (_, out, _) = e2e::run(&["query", "symbol", "name=vfs_open", "--json"]);
    let symbol: Value = serde_json::from_str(out.trim()).unwrap();
    let line = format!("{} T vfs_open", symbol["address"].as_str().unwrap().trim_start_matches("0x"));
    assert!(fs::read_to_string("/proc/kallsyms").unwrap().lines().any(|l| l == line), "{line}");
    assert!(query(&socket, "container", &["id=nobody"]).is_empty());
    assert!(query(&socket, "dns", &["name=nobody.example"]).is_empty());
    // What can not be answered is said, and does not end the watch.
    let (status, _, err) = e2e::run(&["query", "process", "colour=red", "--control", path]);
    assert!(!status.success() && err.contains("no column colour"), "{err}");
    let (status, _, err) = e2e::run(&["ps", "--at", "2100-01-01T00:00:00Z", "--control", path]);
    assert!(!status.success() && err.contains("has not come yet"), "{err}");
    fs::write(act.dir.path().join("end"), "").unwrap();
    act.end();
    watch.stop().assert_clean();
}

/// One that is left behind is replaced, one in use is refused, and nobody else may use it.
fn control_sockets(_: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("control.sock");
    let path = socket.to_str().unwrap();
    let start = || Watch::start(&["--events", "sched_process_exec", "--scope", "pid=1", "--control", path]);
    start().kill();
    assert!(socket.exists(), "left behind");
    let (status, _, err) = e2e::run(&["query", "user", "--control", path]);
    assert!(!status.success() && err.contains("is `tarsius watch` running"), "{err}");
    let watch = start();
    let (status, _, err) = e2e::run(&["watch", "--control", path, "--duration", "1"]);
    assert!(!status.success() && err.contains("another watch has that control socket"), "{err}");
    assert!(!query(&socket, "user", &["uid=0"]).is_empty());
    // Even where the file lets everybody in, the watch does not.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let own = folder.path().join("tarsius");
    fs::copy(e2e::tarsius(), &own).unwrap();
    let mut command = Command::new(own);
    let out = command.args(["query", "user", "--control", path]).uid(65534).gid(65534).output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && err.contains("not for this user"), "{err}");
    watch.stop().assert_clean();
    assert!(!socket.exists(), "removed at the end");
}

/// A limit of pids, put back in the end.
struct PidMax(String);

impl PidMax {
    const FILE: &str = "/proc/sys/kernel/pid_max";

    fn get() -> u32 {
        fs::read_to_string(PidMax::FILE).unwrap().trim().parse().unwrap()
    }

    fn set(limit: u32) -> PidMax {
        let before = fs::read_to_string(PidMax::FILE).unwrap();
        fs::write(PidMax::FILE, limit.to_string()).unwrap();
        PidMax(before)
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        // Nothing can be done about a limit that stays.
        let _ = fs::write(PidMax::FILE, &self.0);
    }
}

/// More processes than there are pids: each of them is who procfs said that it was, whoever had its pid before.
fn pids_used_again(test: &str) {
    // In a guest there is nobody whom a low limit would harm.
    let _limit = (scaled(1000) < 1000).then(|| PidMax::set(1500));
    if PidMax::get() > 40_000 {
        return println!("SKIP {test}: it would take {} processes", PidMax::get());
    }
    let count = PidMax::get() + 500;
    let events = "sched_process_fork,task_rename,sched_process_exit";
    let (account, act) = watch_act("wrap_around", &[count.to_string()], events, &[]);
    // SAFETY: asks for a number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.unsigned_abs();
    let nanos = |line: &Line, pointer: &str| {
        let part = |p: &str| line.process(&format!("{pointer}/{p}")).as_u64().unwrap();
        part("seconds") * 1_000_000_000 + part("nanos")
    };
    let mut named = HashMap::new();
    for line in account.lines.of("task_rename") {
        named.insert(line.get("new_name").as_str().unwrap().to_string(), line);
    }
    let mut ended = HashMap::new();
    for line in account.lines.of("sched_process_exit") {
        ended.insert(line.process("/thread/name").as_str().unwrap().to_string(), line);
    }
    let (mut pids, mut ids, mut again) = (HashSet::new(), HashSet::new(), 0);
    // Procfs counts from the boot, the events' wall time from the epoch: how far apart these are, the first process tells.
    let mut apart = None;
    for note in fs::read_to_string(act.dir.path().join("notes")).unwrap().lines() {
        let numbers: Vec<u64> = note.split(' ').map(|n| n.parse().unwrap()).collect();
        let [n, pid, start] = numbers[..] else { panic!("{note}") };
        let (line, end) = (named[&format!("w{n}")], ended[&format!("w{n}")]);
        assert_eq!(*line.process("/host_pid"), pid, "{n}");
        assert_eq!(line.process("/unique_id"), end.process("/unique_id"), "{n}");
        assert_eq!(*line.process("/host_ppid"), act.pid(), "{n}");
        let started = i128::from(nanos(line, "/thread/start_time"));
        let off = started - i128::from(start) * 1_000_000_000 / i128::from(ticks);
        let first = *apart.get_or_insert(off);
        assert!((off - first).abs() < 2_000_000_000 / i128::from(ticks), "{n}: {off} {first}");
        again += u32::from(!pids.insert(pid));
        assert!(ids.insert(line.process("/unique_id").as_u64().unwrap()), "{n}: another's number");
    }
    println!("{count} processes, {again} of them with a pid that another had had");
    assert!(again > 0, "no pid was used again");
    account.assert_clean();
}
