//! Through rings of io_uring: the same events as by system calls.

use e2e::rings::{REMOVED, SUBMITTER};
use e2e::{Account, Act, Line, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("ring_files_plain", |t| files(t, "plain")),
    ("ring_files_async", |t| files(t, "async")),
    ("ring_files_polled", |t| files(t, "polled")),
    ("ring_files_silent", |t| files(t, "silent")),
    ("ring_files_alike", |t| files(t, "alike")),
    ("ring_sockets_plain", |t| sockets(t, "plain")),
    ("ring_sockets_async", |t| sockets(t, "async")),
    ("ring_sockets_polled", |t| sockets(t, "polled")),
    ("ring_full", full),
    ("ring_many", many),
    ("ring_ops", ops),
];

/// Some kernels have no rings, too old ones, or an administrator has forbidden them.
fn has_rings() -> bool {
    io_uring::IoUring::new(2).is_ok_and(|ring| {
        let mut probe = io_uring::Probe::new();
        // LINKAT came last of what is used (5.15).
        ring.submitter().register_probe(&mut probe).is_ok() && probe.is_supported(39)
    })
}

/// Tracepoints that tell which request is meant (6.3).
fn has_tracepoint() -> bool {
    std::path::Path::new("/sys/kernel/tracing/events/io_uring/io_uring_submit_req").exists()
}

fn tiers(test: &str, run: impl Fn(&str)) {
    if !has_rings() {
        println!("SKIP {test}: no rings here");
        return;
    }
    for tier in ["lsm", "kprobe", "tracepoint"] {
        if e2e::has_hook(tier) && (tier != "tracepoint" || has_tracepoint()) {
            run(tier);
        } else {
            println!("SKIP {test} at the {tier} tier: not on this kernel");
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

/// Marked, and by the thread that submitted; a polled ring's are the process's.
fn assert_by_ring(act: &Act, mode: &str, line: &Line) {
    assert_eq!(line.0["via"], "io_uring", "{line:?}");
    assert_eq!(*line.process("/host_pid"), act.pid(), "{line:?}");
    let tid: u32 = std::fs::read_to_string(act.dir.path().join(SUBMITTER)).unwrap().parse().unwrap();
    if mode == "polled" {
        assert_eq!(*line.process("/thread/host_tid"), act.pid(), "{line:?}");
    } else {
        assert_eq!(*line.process("/thread/host_tid"), tid, "{line:?}");
        assert_eq!(*line.process("/thread/name"), SUBMITTER, "{line:?}");
    }
}

fn files(test: &str, mode: &str) {
    tiers(test, |tier| {
        let (account, act) = watch("ring_files", &[mode], "security_*", tier);
        let lines = &account.lines;
        let path = |name: &str| Value::from(act.dir.path().join(name).to_str().unwrap());
        let tracepoint = tier == "tracepoint";
        let by_ring = |line: &Line| assert_by_ring(&act, mode, line);

        // The act itself looks at nothing of these names, so that each has one event.
        let open = lines.one("security_file_open", "pathname", path("made"));
        by_ring(open);
        open.assert(&[("syscall_pathname", json!("made"))]);
        assert!(open.parsed("flags").as_str().unwrap().contains("O_NONBLOCK"), "{open:?}");
        // Without a completion there is no file to look at.
        let silent = tracepoint && mode == "silent";
        assert_eq!(open.quality("pathname"), if silent { "unresolved" } else { "ok" });
        if !silent {
            let inode = e2e::inode_of(&act.dir.path().join("made")).0;
            open.assert(&[("inode", json!(inode))]);
            by_ring(lines.one("security_inode_create", "pathname", path("made")));
        }
        let made = lines.one("security_inode_mkdir", "pathname", path("folder"));
        by_ring(made);
        assert_eq!(made.parsed("mode"), "0750");
        let hard = lines.one("security_inode_link", "old_path", path("made"));
        hard.assert(&[("new_path", path("hard"))]);
        by_ring(hard);
        let soft = lines.one("security_inode_symlink", "linkpath", path("soft"));
        soft.assert(&[("target", json!("made"))]);
        by_ring(soft);
        let moved = lines.one("security_inode_rename", "old_path", path("hard"));
        moved.assert(&[("new_path", path("folder/moved"))]);
        by_ring(moved);
        for name in ["soft", "folder/moved"] {
            let gone = lines.one("security_inode_unlink", "pathname", path(name));
            by_ring(gone);
            if tracepoint && mode != "silent" {
                assert_eq!(gone.get("returnValue"), 0);
            }
        }
        // What failed is told where attempts are; and where nothing tells that it failed.
        let failed = lines.with("security_inode_unlink", "pathname", path("missing")).len();
        assert_eq!(failed, usize::from(silent), "{tier}");
        by_ring(lines.one("security_inode_rmdir", "pathname", path("folder")));
    });
}

fn sockets(test: &str, mode: &str) {
    tiers(test, |tier| {
        let port = 20000 + (std::process::id() % 20000) as u16;
        let events = "security_socket_connect,socket_accept";
        let (account, act) = watch("ring_sockets", &[mode, &port.to_string()], events, tier);
        let lines = &account.lines;
        let four = json!({"sa_family": "AF_INET", "sin_addr": "127.0.0.1", "sin_port": port});
        let path = act.dir.path().join("socket");
        let unix = json!({"sa_family": "AF_UNIX", "sun_path": path.to_str().unwrap()});
        let connects = lines.with("security_socket_connect", "remote_addr", four.clone());
        assert!(!connects.is_empty(), "{:?}", lines.of("security_socket_connect"));
        // The kernel may try again when the connection is there.
        connects.iter().for_each(|l| assert_by_ring(&act, mode, l));
        // Connections of UNIX sockets have no hook of the cgroup tier: a ring's are seen by its own tracepoints, or not.
        if tier != "tracepoint" || has_tracepoint() {
            assert_by_ring(&act, mode, lines.one("security_socket_connect", "remote_addr", unix));
        }
        if has_tracepoint() {
            let accept = lines.one("socket_accept", "local_addr", four);
            assert_by_ring(&act, mode, accept);
            assert_eq!(accept.get("newfd"), accept.get("returnValue"));
        }
    });
}

fn full(test: &str) {
    tiers(test, |tier| {
        let (account, act) = watch("ring_full", &[], "security_inode_unlink", tier);
        let mut results = 0;
        for n in 0..REMOVED {
            let path = act.dir.path().join(format!("file{n}"));
            let line = account.lines.one("security_inode_unlink", "pathname", path.to_str().unwrap());
            assert_by_ring(&act, "plain", line);
            results += usize::from(line.get("returnValue") == 0);
        }
        // Told all the same, if without a result.
        if tier == "tracepoint" {
            assert!((4..REMOVED).contains(&results), "{results}");
        }
    });
}

fn many(test: &str) {
    tiers(test, |tier| {
        let port = 20000 + (std::process::id() % 20000) as u16;
        let events = "socket_accept,security_file_open,security_inode_create";
        let (account, act) = watch("ring_many", &[&port.to_string()], events, tier);
        if has_tracepoint() {
            let four = json!({"sa_family": "AF_INET", "sin_addr": "127.0.0.1", "sin_port": port});
            let accepted = account.lines.with("socket_accept", "local_addr", four);
            assert_eq!(accepted.len(), 3, "{:?}", account.lines.of("socket_accept"));
            accepted.iter().for_each(|l| assert_by_ring(&act, "plain", l));
        }
        let path = act.dir.path().join("own-table");
        let open = account.lines.one("security_file_open", "pathname", path.to_str().unwrap());
        assert_by_ring(&act, "plain", open);
        assert_eq!(open.quality("pathname"), if tier == "tracepoint" { "unresolved" } else { "ok" });
    });
}

fn ops(test: &str) {
    if !has_rings() || !has_tracepoint() {
        println!("SKIP {test}: no rings here, or no tracepoints that tell of requests");
        return;
    }
    for mode in ["plain", "polled"] {
        let (account, act) = watch("ring_files", &[mode], "io_uring_op", "any");
        let lines = account.lines.of("io_uring_op");
        let ops: Vec<Value> = lines.iter().map(|l| l.get("op")).collect();
        let names = [
            "OPENAT",
            "MKDIRAT",
            "LINKAT",
            "SYMLINKAT",
            "RENAMEAT",
            "UNLINKAT",
            "UNLINKAT",
            "UNLINKAT",
            "UNLINKAT",
            "CLOSE",
        ];
        assert_eq!(ops, names.map(Value::from));
        for (n, line) in lines.iter().enumerate() {
            assert_by_ring(&act, mode, line);
            line.assert(&[("user_data", json!(n + 1)), ("sq_thread", json!(mode == "polled"))]);
        }
    }
}
