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
    ("packages_of_rpm_sqlite", |test| packages_of_rpm(test, "sqlite", "rpmdb.sqlite")),
    ("packages_of_rpm_ndb", |test| packages_of_rpm(test, "ndb", "Packages.db")),
    ("packages_unknown", packages_unknown),
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
    let mut told = package(&account, "/bin/true").unwrap();
    // Whether that is told of the first execution already, is up to how fast the file is read.
    assert!(told.as_object_mut().unwrap().remove("modified").is_none_or(|m| m == false), "{told}");
    assert_eq!(told, json!({"name": "coreutils", "version": version}));
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

/// What runs in another root: a program with what `tarsius query` has to say of its package, and whether it is modified.
type Expected<'a> = (&'a str, Value, Value);

/// Runs programs of another root, each in a mount namespace of its own, until the watch knows of each what is expected; each one's last
/// event.
fn run_in_root(root: &Path, programs: &[Expected<'_>]) -> (Account, Vec<Line>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let mut args = vec![root.to_str().unwrap().to_string()];
    args.extend(programs.iter().map(|(program, ..)| program.to_string()));
    let mut act = Act::new("foreign_root", &args);
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
    for (program, package, modified) in programs {
        // The host has programs of these names, too.
        let (program, parent) = (format!("executable={program}"), format!("ppid={}", act.pid()));
        wait_until("the package", || {
            let rows = query(&socket, "process", &[&program, &parent, "ended="]);
            rows.iter().any(|r| r["package"] == *package && r["modified"] == *modified)
        });
    }
    fs::write(act.dir.path().join("end"), "").unwrap();
    act.end();
    let account = watch.stop();
    let ends = account.lines.of("sched_process_exit");
    let end = |program: &str| {
        let of_program =
            |l: &&&Line| *l.process("/executable/path") == program && *l.process("/host_ppid") == act.pid();
        ends.iter().find(of_program).unwrap_or_else(|| panic!("{program}: {ends:?}"))
    };
    let last = programs.iter().map(|(program, ..)| (*end(program)).clone()).collect();
    account.assert_clean();
    crate::session::validate(&account);
    (account, last)
}

/// A folder with a program that sleeps at each of these places; `None` if there is none to be copied.
fn root_with(test: &str, programs: &[&str]) -> Option<tempfile::TempDir> {
    let root = tempfile::tempdir().unwrap();
    for program in programs {
        let at = root.path().join(program.trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if let Err(why) = fs::copy("/usr/bin/busybox", at) {
            println!("SKIP {test}: /usr/bin/busybox: {why}");
            return None;
        }
    }
    Some(root)
}

/// A container's programs are of the packages of its own root, whatever the host has; and are what these brought, or not.
fn packages_in_another_root(test: &str) {
    let programs = ["/bin/sleep", "/usr/bin/sleep", "/opt/sleep", "/usr/local/bin/sleep"];
    let Some(root) = root_with(test, &programs) else { return };
    let write = |path: &str, text: &str| {
        let at = root.path().join("var/lib/dpkg").join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, text).unwrap();
    };
    let sum = Command::new("md5sum").arg("/usr/bin/busybox").output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap().split(' ').next().unwrap().to_string();
    write("status", "Package: toybox\nVersion: 0.8\n");
    write("info/toybox.list", "/.\n/bin/sleep\n/usr/bin/sleep\n/opt/sleep\n");
    write("info/toybox.md5sums", &format!("{sum}  bin/sleep\n{}  usr/bin/sleep\n", "0".repeat(32)));
    let (_, last) = run_in_root(
        root.path(),
        &[
            ("/bin/sleep", json!("toybox 0.8"), json!(false)),
            ("/usr/bin/sleep", json!("toybox 0.8"), json!(true)),
            ("/opt/sleep", json!("toybox 0.8"), Value::Null),
            ("/usr/local/bin/sleep", json!("none"), Value::Null),
        ],
    );
    let told: Vec<_> = last.iter().map(|l| l.process("/executable/package").clone()).collect();
    let same = json!({"name": "toybox", "version": "0.8", "modified": false});
    let other = json!({"name": "toybox", "version": "0.8", "modified": true});
    assert_eq!(told, [same, other, json!({"name": "toybox", "version": "0.8"}), Value::Null]);
}

/// A package that rpm itself built and installed in another root: one of its programs as it is, one that was changed since, and one that is not
/// of it. Nothing is written where the database is.
fn packages_of_rpm(test: &str, backend: &str, file: &str) {
    if Command::new("rpmbuild").arg("--version").output().is_err() {
        return println!("SKIP {test}: no rpmbuild here");
    }
    let Some(root) = root_with(test, &["/usr/local/bin/sleep"]) else { return };
    let built = tempfile::tempdir().unwrap();
    let spec = built.path().join("toy.spec");
    fs::write(
        &spec,
        "Name: toy\nEpoch: 2\nVersion: 1.0\nRelease: 3.x\nSummary: toy\nLicense: toy\nAutoReqProv: no\n\
         %global debug_package %{nil}\n%global __os_install_post %{nil}\n%global _build_id_links none\n\
         %description\ntoy\n\
         %install\nmkdir -p %{buildroot}/bin %{buildroot}/usr/bin\n\
         cp /usr/bin/busybox %{buildroot}/bin/sleep\ncp /usr/bin/busybox %{buildroot}/usr/bin/sleep\n\
         %files\n/bin/sleep\n/usr/bin/sleep\n",
    )
    .unwrap();
    let define = |name: &str, value: &str| ["--define".to_string(), format!("{name} {value}")];
    let top = define("_topdir", built.path().to_str().unwrap());
    let rpms = define("_rpmdir", built.path().to_str().unwrap());
    let name = define("_rpmfilename", "toy.rpm");
    let out =
        Command::new("rpmbuild").arg("-bb").args(top).args(rpms).args(name).arg(&spec).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let database = root.path().join("var/lib/rpm");
    fs::create_dir_all(&database).unwrap();
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root.path()).args(define("_dbpath", "/var/lib/rpm"));
    rpm.args(define("_db_backend", backend)).args(["-i", "--nodeps", "--nosignature"]);
    let out = rpm.arg(built.path().join("toy.rpm")).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    if said.contains("invalid %_db_backend") {
        return println!("SKIP {test}: rpm here has no {backend}");
    }
    assert!(out.status.success() && database.join(file).exists(), "{said}");
    let mut program = fs::File::options().append(true).open(root.path().join("usr/bin/sleep")).unwrap();
    std::io::Write::write_all(&mut program, b"x").unwrap();
    drop(program);
    let state = || {
        let state = |e: fs::DirEntry| {
            let m = e.metadata().unwrap();
            (e.file_name(), m.len(), m.modified().unwrap())
        };
        let mut all: Vec<_> = fs::read_dir(&database).unwrap().map(|e| state(e.unwrap())).collect();
        all.sort();
        (all, fs::metadata(&database).unwrap().modified().unwrap())
    };
    let before = state();
    let (_, last) = run_in_root(
        root.path(),
        &[
            ("/bin/sleep", json!("toy 2:1.0-3.x"), json!(false)),
            ("/usr/bin/sleep", json!("toy 2:1.0-3.x"), json!(true)),
            ("/usr/local/bin/sleep", json!("none"), Value::Null),
        ],
    );
    let told: Vec<_> = last.iter().map(|l| l.process("/executable/package").clone()).collect();
    let same = json!({"name": "toy", "version": "2:1.0-3.x", "modified": false});
    let other = json!({"name": "toy", "version": "2:1.0-3.x", "modified": true});
    assert_eq!(told, [same, other, Value::Null]);
    assert_eq!(state(), before);
}

/// What a database has that is not read, is unknown, not of none; and why, is said.
fn packages_unknown(test: &str) {
    let Some(root) = root_with(test, &["/bin/sleep"]) else { return };
    fs::create_dir_all(root.path().join("var/lib/rpm")).unwrap();
    fs::write(root.path().join("var/lib/rpm/Packages"), "of Berkeley DB").unwrap();
    let (account, last) = run_in_root(root.path(), &[("/bin/sleep", json!(""), Value::Null)]);
    let executable = last[0].process("/executable").as_object().unwrap();
    assert!(!executable.contains_key("package"), "{executable:?}");
    let said = "tarsius: package unknown: an rpm database in Berkeley DB form (in mount namespace ";
    assert!(account.said.contains(said), "{}", account.said);
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
