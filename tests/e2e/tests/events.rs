//! Each event: the act, and what is told of it.

use e2e::{Account, Act, Watch, wait_until, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("deep_path", deep_path),
    ("path_beyond_the_limit", path_beyond_the_limit),
    ("long_arguments", long_arguments),
    ("environment_on_request", environment),
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
