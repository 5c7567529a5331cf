//! Each event: the act, and what is told of it.

use std::fs;
use std::process::Command;

use e2e::{Account, Act, Watch, wait_until, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("deep_path", deep_path),
    ("path_beyond_the_limit", path_beyond_the_limit),
    ("long_arguments", long_arguments),
    ("environment_on_request", environment),
    ("descriptors_on_request", descriptors),
    ("hashes_on_request", hashes),
    ("logins_and_terminals", logins),
    ("existing_processes", existing_processes),
    ("fork_in_other_tiers", fork_kprobe),
    ("structures_as_the_caller_knows_them", structures),
    ("libraries_without_a_name_or_sense", libraries),
];

/// Tiers that are not to be taken so that the one of that name is.
fn avoid(tier: &str) -> &'static str {
    match tier {
        "lsm" => "none",
        "kprobe" => "lsm",
        _ => "lsm,kprobe",
    }
}

fn watch(act: &str, args: &[&str], events: &str, tier: &str) -> (Account, Act) {
    let args: Vec<String> = args.iter().map(|a| (*a).to_string()).collect();
    let (account, act) = watch_act(act, &args, events, &["--avoid", avoid(tier)]);
    account.assert_clean();
    (account, act)
}

fn needs(test: &str, hook: &str, run: impl FnOnce()) {
    if e2e::has_hook(hook) {
        run();
    } else {
        println!("SKIP {test}: this kernel runs no {hook} programs");
    }
}

fn deep_path(_: &str) {
    let (account, act) = watch("deep", &["60", "8"], "security_file_open", "tracepoint");
    let names: Vec<String> = (0..60).map(|n| format!("{n:08}")).collect();
    let expected = format!("{}/{}/leaf", act.dir.path().display(), names.join("/"));
    let open = account.lines.one("security_file_open", "pathname", expected);
    assert_eq!(open.quality("pathname"), "ok");
    assert_eq!(open.get("syscall_pathname"), "leaf");
}

fn path_beyond_the_limit(_: &str) {
    let (account, act) = watch("deep", &["45", "100"], "security_file_open", "tracepoint");
    let top = act.dir.path().to_str().unwrap();
    let opens = account.lines.of("security_file_open");
    let open = opens.iter().find(|l| l.get("syscall_pathname") == "leaf").unwrap();
    let path = open.get("pathname");
    let path = path.as_str().unwrap();
    let whole: String = (0..45).map(|n| format!("/{n:0100}")).collect();
    // The top is there, whole names follow one another without a gap, and the cut is flagged.
    assert_eq!(open.quality("pathname"), "truncated");
    assert!(path.len() <= 4096 && path.len() > 3900, "{}", path.len());
    assert!(format!("{top}{whole}").starts_with(path), "{path}");
}

fn long_arguments(_: &str) {
    let (account, _act) = watch("argv", &["32000"], "sched_process_exec", "any");
    let exec = account.lines.one("sched_process_exec", "cmdpath", "/bin/true");
    let words: Vec<String> =
        std::iter::once("/bin/true".into()).chain((0..320).map(|n| format!("{n:099}"))).collect();
    assert_eq!((exec.get("argv"), exec.quality("argv").as_str()), (json!(words), "ok"));
    assert_eq!(exec.get("env"), Value::Null);
    // More than 32 KiB: cut, and said so.
    let (account, _act) = watch("argv", &["50000"], "sched_process_exec", "any");
    let exec = account.lines.one("sched_process_exec", "cmdpath", "/bin/true");
    let got = exec.get("argv");
    let got = got.as_array().unwrap();
    assert_eq!(exec.quality("argv"), "truncated");
    assert!(got.len() > 320 && got[..320] == words[..320].iter().map(|w| json!(w)).collect::<Vec<_>>()[..]);
}

fn environment(_: &str) {
    let (account, _act) =
        watch_act("argv", &["100".into()], "sched_process_exec", &["--enrichment", "environment"]);
    let exec = account.lines.one("sched_process_exec", "cmdpath", "/bin/true");
    assert!(exec.get("env").as_array().unwrap().contains(&json!("TARSIUS_MARK=seen")), "{exec:?}");
    account.assert_clean();
}

fn descriptors(_: &str) {
    let calls = "openat,lseek,read,write,listen,ftruncate,epoll_ctl,fsync";
    let (account, act) = watch_act("descriptors", &[], calls, &["--enrichment", "fd-paths"]);
    account.assert_clean();
    let lines = &account.lines;
    let dir = act.dir.path().to_str().unwrap();
    let file = format!("{dir}/opened");
    let names = fs::read_to_string(act.dir.path().join("names")).unwrap();
    let [from, into, socket, memory, instance] = names.lines().collect::<Vec<_>>()[..] else {
        panic!("{names}")
    };

    for opened in lines.with("openat", "pathname", "opened") {
        assert_eq!((opened.get("dirfd_path"), opened.quality("dirfd_path")), (json!(dir), "ok".into()));
    }
    assert_eq!(lines.with("openat", "pathname", "opened").len(), 2);
    lines.one("read", "fd_path", from).assert(&[("buf", json!("Bw=="))]);
    lines.one("write", "fd_path", into);
    lines.one("listen", "sockfd_path", socket);
    // procfs adds that no directory has it.
    assert_eq!(memory, "/memfd:noted (deleted)");
    lines.one("ftruncate", "length", 3).assert(&[("fd_path", json!("memfd:noted"))]);
    lines.one("epoll_ctl", "epfd_path", instance).assert(&[("fd_path", json!(from))]);
    assert_eq!(lines.one("fsync", "fd", 999).get("fd_path"), Value::Null);
    assert_eq!(lines.one("lseek", "offset", 1).assert(&[("fd_path", json!(file))]).quality("fd_path"), "ok");
    // Another thread could put another file there before the kernel looks.
    assert_eq!(lines.one("lseek", "offset", 2).quality("fd_path"), "unresolved");

    let (account, _act) = watch_act("descriptors", &[], "lseek", &[]);
    assert!(account.lines.one("lseek", "offset", 1).get("fd_path").is_null());
}

fn hashes(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let [kept, gone, remove, fifo] =
        ["kept", "gone", "remove", "fifo"].map(|n| dir.path().join(n).to_str().unwrap().to_string());
    for path in [&kept, &gone] {
        fs::copy("/bin/cat", path).unwrap();
    }
    fs::write(&remove, format!("rm {gone}")).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let sum = Command::new("sha256sum").arg("/bin/cat").output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap().split(' ').next().unwrap().to_string();
    // One runs until its hash is known, and has lost its name by then; the last begins when it has ended.
    let commands = [
        format!("{kept} /dev/null"),
        format!("{gone} {fifo}"),
        format!("/bin/sh {remove}"),
        "/bin/true".into(),
        format!("{kept} /dev/null /dev/null"),
    ];
    let mut act = Act::new("commands", &commands);
    let scope = format!("tree={}", act.pid());
    let events = "sched_process_exec,sched_process_exit,executable_hash";
    let watch = Watch::start(&["--events", events, "--scope", &scope, "--enrichment", "executable-hash"]);
    act.begin();
    let told = |path: &str| {
        let text = fs::read_to_string(watch.events_file()).unwrap();
        text.lines().any(|l| l.contains("\"id\":\"executable_hash\"") && l.contains(path))
    };
    e2e::wait_until("the hashes", || told(&kept) && told(&gone));
    fs::write(&fifo, b"").unwrap();
    act.end();
    let account = watch.stop();
    for path in [&kept, &gone] {
        // Hashed once, however often it was executed.
        let hash = account.lines.one("executable_hash", "pathname", path.as_str());
        hash.assert(&[("sha256", json!(sum))]);
        let exits = account.lines.of("sched_process_exit");
        let last = exits.iter().rfind(|l| *l.process("/executable/path") == **path).unwrap();
        assert_eq!(*last.process("/executable/sha256"), sum, "{last:?}");
    }
    let again = account.lines.one("sched_process_exec", "argv", json!([kept, "/dev/null", "/dev/null"]));
    assert_eq!(*again.process("/executable/sha256"), sum);
    account.assert_clean();
    crate::session::validate(&account);
}

fn logins(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let [script, ids] = ["script", "ids"].map(|n| dir.path().join(n).to_str().unwrap().to_string());
    // As a login does it; not every kernel has auditing.
    let text = format!(
        "echo 4242 >/proc/self/loginuid\ncat /proc/self/loginuid >{ids}\n\
         echo >>{ids}\ncat /proc/self/sessionid >>{ids}\nexec /bin/true in"
    );
    fs::write(&script, text).unwrap();
    let commands = [
        format!("/bin/sh {script}"),
        "setsid /bin/true without".into(),
        "script -qc /bin/true /dev/null".into(),
    ];
    let (account, _act) = watch_act("commands", &commands, "sched_process_exec", &[]);
    let exec = |argv: Value| account.lines.one("sched_process_exec", "argv", argv);
    let login = exec(json!(["/bin/true", "in"]));
    let ids = fs::read_to_string(&ids).unwrap();
    match ids.lines().map(str::parse::<u32>).collect::<Result<Vec<_>, _>>().as_deref() {
        Ok([4242, session]) => {
            login.assert(&[("login_uid", json!(4242)), ("login_session", json!(session))]);
        }
        _ => println!("logins: not looked at, this kernel lets nobody log in: {ids:?}"),
    }
    // A session of its own has no terminal; script gives one.
    let without = exec(json!(["/bin/true", "without"]));
    assert_eq!((without.get("tty"), without.quality("tty").as_str()), (Value::Null, "unavailable"));
    let with = account.lines.of("sched_process_exec");
    let with = with.iter().rfind(|l| {
        l.get("pathname").as_str().is_some_and(|p| p.ends_with("/true")) && l.get("tty").is_string()
    });
    let tty = with.unwrap().get("tty");
    assert!(tty.as_str().unwrap().starts_with("pts"), "{tty}");
    account.assert_clean();
}

fn existing_processes(_: &str) {
    for scope in ["pid", "tree"] {
        let mut act = Act::new("nothing", &[]);
        let scope = format!("{scope}={}", act.pid());
        let watch = Watch::start(&["--events", "existing_process", "--scope", &scope]);
        act.perform();
        let account = watch.stop();
        let lines = account.lines.of("existing_process");
        assert_eq!(lines.len(), 1, "{scope}: {lines:?}");
        assert_eq!(*lines[0].process("/host_pid"), act.pid());
        assert_eq!(lines[0].get("pathname"), json!(std::env::current_exe().unwrap().to_str().unwrap()));
    }
}

fn fork_kprobe(test: &str) {
    needs(test, "kprobe", || {
        let (account, act) = watch_act(
            "session_shell",
            &[],
            "sched_process_fork,sched_process_exec,sched_process_exit",
            &["--avoid", "tp_btf"],
        );
        let exec = account.lines.one("sched_process_exec", "cmdpath", "/bin/true");
        let child = exec.process("/host_pid").clone();
        account
            .lines
            .one("sched_process_fork", "child_pid", child.clone())
            .assert(&[("parent_pid", json!(act.pid()))]);
        assert!(account.lines.of("sched_process_exit").iter().any(|l| *l.process("/host_pid") == child));
        account.assert_clean();
    });
}

fn structures(_: &str) {
    let events = "bpf,clone3,sched_setattr,setsockopt,security_socket_setsockopt";
    let (account, _act) = watch_act("structures", &[], events, &[]);
    account.assert_clean();
    // What lies behind the caller's structure is full of other bytes: no member of it is told.
    let of = |event: &str, field: &str, is: fn(&Value) -> bool| {
        let lines = account.lines.of(event);
        let found: Vec<Value> = lines.iter().map(|l| l.get(field)).filter(is).collect();
        assert_eq!(found.len(), 1, "{event}: {lines:?}");
        found[0].clone()
    };
    let map = of("bpf", "attr", |a| a["map_name"] == "known_so_far");
    assert_eq!(map["map_type"], "BPF_MAP_TYPE_ARRAY");
    assert_eq!((&map["value_size"], map.as_object().unwrap().len()), (&json!(8), 8), "{map}");
    let program = of("bpf", "attr", |a| a["prog_name"] == "measured");
    assert_eq!(program["prog_type"], "BPF_PROG_TYPE_SOCKET_FILTER");
    assert_eq!(program["expected_attach_type"], "BPF_CGROUP_INET_INGRESS");
    assert_eq!((&program["insn_cnt"], program.get("prog_btf_fd")), (&json!(2), None), "{program}");
    let clone = of("clone3", "cl_args", |a| a["exit_signal"] == "SIGCHLD");
    assert_eq!((&clone["tls"], clone.get("set_tid")), (&json!(0), None), "{clone}");
    let schedule = of("sched_setattr", "attr", |_| true);
    assert_eq!((&schedule["sched_period"], schedule.get("sched_util_min")), (&json!(0), None), "{schedule}");
    for event in ["setsockopt", "security_socket_setsockopt"] {
        let lines = account.lines.of(event);
        let names: Vec<Value> = lines.iter().map(|l| l.parsed("optname")).collect();
        assert_eq!(names, ["SO_KEEPALIVE", "TCP_NODELAY"], "{event}");
    }
}

fn libraries(_: &str) {
    let mut act = Act::new("libraries", &[]);
    let scope = format!("tree={}", act.pid());
    let watch =
        Watch::start(&["--events", "symbols_loaded", "--symbols", "fopen,no_such_name", "--scope", &scope]);
    act.begin();
    let told = || std::fs::read_to_string(watch.events_file()).unwrap_or_default();
    // Both are looked into while the process lives, by which the first is found.
    wait_until("both libraries", || told().contains("symbols_loaded") && told().contains("lost_events"));
    act.end();
    let account = watch.stop();
    let lines = account.lines.of("symbols_loaded");
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].assert(&[("symbols", json!(["fopen"]))]);
    assert!(lines[0].get("library_path").as_str().unwrap().contains("/gone.so"), "{:?}", lines[0]);
    assert_eq!(lines[0].get("sha256").as_str().unwrap().len(), 64);
    assert_eq!(account.lost_in_stream("libraries"), 1);
    assert!(account.said.contains("untracked"), "{}", account.said);
}
