//! Each event: the act, and what is told of it.

use e2e::{Account, Act, Lines, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("files", |_| files("tracepoint")),
    ("files_lsm", files_lsm),
    ("files_kprobe", files_kprobe),
    ("attributes", |_| attributes("tracepoint")),
    ("attributes_lsm", attributes_lsm),
    ("mounts", |_| mounts("tracepoint")),
    ("mounts_lsm", mounts_lsm),
    ("sockets", |_| sockets("cgroup")),
    ("sockets_lsm", sockets_lsm),
    ("credentials", |_| credentials("tracepoint")),
    ("credentials_kprobe", credentials_kprobe),
    ("memory", memory),
    ("deep_path", deep_path),
    ("path_beyond_the_limit", path_beyond_the_limit),
    ("long_arguments", long_arguments),
    ("environment_on_request", environment),
    ("bpf_program", bpf_program),
    ("fork_in_other_tiers", fork_kprobe),
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

fn files_lsm(test: &str) {
    needs(test, "lsm", || files("lsm"));
}

fn files_kprobe(test: &str) {
    needs(test, "kprobe", || files("kprobe"));
}

fn attributes_lsm(test: &str) {
    needs(test, "lsm", || attributes("lsm"));
}

fn mounts_lsm(test: &str) {
    needs(test, "lsm", || mounts("lsm"));
}

fn sockets_lsm(test: &str) {
    needs(test, "lsm", || sockets("lsm"));
}

fn credentials_kprobe(test: &str) {
    needs(test, "kprobe", || credentials("kprobe"));
}

fn quality(lines: &Lines, event: &str, field: &str, value: impl Into<Value>) -> String {
    lines.one(event, field, value).quality(field)
}

fn files(tier: &str) {
    let (account, act) = watch("files", &[], "security_*", tier);
    let (lines, dir) = (&account.lines, act.dir.path().to_str().unwrap().to_string());
    let path = |name: &str| Value::from(format!("{dir}/{name}"));
    let exact = if tier == "tracepoint" { "unresolved" } else { "ok" };

    let create = lines.one("security_inode_create", "pathname", path("new"));
    assert!(create.parsed("mode").as_str().unwrap().starts_with("S_IFREG"), "{create:?}");
    lines.one("security_inode_link", "old_path", path("new")).assert(&[("new_path", path("hard"))]);
    lines.one("security_inode_symlink", "linkpath", path("soft")).assert(&[("target", json!("new"))]);
    let made = lines.one("security_inode_mkdir", "pathname", path("folder"));
    assert_eq!(made.parsed("mode"), "0777");
    lines
        .one("security_inode_rename", "old_path", path("hard"))
        .assert(&[("new_path", path("folder/moved"))]);
    let pipe = lines.one("security_inode_mknod", "file_name", path("pipe"));
    assert_eq!(pipe.parsed("mode"), "S_IFIFO|0640");
    let moved = lines.one("security_inode_unlink", "pathname", path("folder/moved"));
    lines.one("security_inode_unlink", "pathname", path("soft"));
    lines.one("security_inode_rmdir", "pathname", path("folder"));
    assert_eq!(quality(lines, "security_inode_unlink", "pathname", path("soft")), exact);
    if tier != "tracepoint" {
        // Before the act: the inode is still there, and it is the one of the first name.
        assert_eq!(moved.get("inode"), json!(e2e::inode_of(&act.dir.path().join("new")).0));
    } else {
        assert_eq!(moved.get("returnValue"), 0);
    }
    let opens = lines.with("security_file_open", "pathname", path("new"));
    let last = opens.last().unwrap();
    assert!(last.parsed("flags").as_str().unwrap().starts_with("O_RDONLY"), "{last:?}");
    assert_eq!(last.quality("pathname"), "ok");
    assert_eq!(last.get("inode"), json!(e2e::inode_of(&act.dir.path().join("new")).0));
    assert!(lines.with("security_file_open", "pathname", path("missing")).is_empty());
}

fn attributes(tier: &str) {
    let (account, act) = watch("attributes", &[], "chmod_common,chown_common,do_truncate", tier);
    let (lines, file) = (&account.lines, act.dir.path().join("file"));
    let file = file.to_str().unwrap();
    let told = |event: &str, field: &str| -> Vec<Value> {
        lines.with(event, "pathname", file).iter().map(|l| l.get(field)).collect()
    };
    assert_eq!(told("chmod_common", "mode"), [json!(0o4711), json!(0o600)]);
    assert_eq!(told("chown_common", "uid"), [json!(1), json!(3)]);
    assert_eq!(told("chown_common", "gid"), [json!(2), json!(u32::MAX)]);
    assert_eq!(told("do_truncate", "length"), [json!(5), json!(3), json!(0)]);
    // By a descriptor the path is the kernel's own at every tier.
    assert_eq!(lines.one("chmod_common", "mode", 0o600).quality("pathname"), "ok");
}

fn mounts(tier: &str) {
    let (account, act) =
        watch("mounts", &[], "security_sb_*,security_inode_create,unshare,switch_task_ns", tier);
    let (lines, point) = (&account.lines, act.dir.path().join("mnt"));
    let point = point.to_str().unwrap();
    let mount = lines.one("security_sb_mount", "dev_name", "scratch");
    mount.assert(&[("path", json!(point)), ("type", json!("tmpfs"))]);
    assert_eq!(mount.parsed("flags"), "MS_NOSUID|MS_NODEV");
    // Through the mount, in a namespace of its own.
    lines.one("security_inode_create", "pathname", format!("{point}/inside"));
    let umount = lines.one("security_sb_umount", "mountpoint", point);
    assert_eq!(umount.parsed("flags"), "MNT_DETACH");
    assert_eq!(lines.of("unshare")[0].parsed("flags"), "CLONE_NEWNS");
}

fn sockets(tier: &str) {
    let port = 20000 + (std::process::id() % 20000) as u16;
    let (account, act) =
        watch("sockets", &[&port.to_string()], "security_socket_*,socket_accept,net_tcp_state", tier);
    let lines = &account.lines;
    let four = json!({"sa_family": "AF_INET", "sin_addr": "127.0.0.1", "sin_port": port});
    let six = |l: &e2e::Line, field: &str| {
        let a = l.get(field);
        a["sa_family"] == "AF_INET6" && a["sin6_addr"] == "::1" && a["sin6_port"] == port
    };
    let unix = json!({"sa_family": "AF_UNIX", "sun_path": act.dir.path().join("socket").to_str().unwrap()});

    let bound = lines.one("security_socket_bind", "local_addr", four.clone());
    let fd = bound.get("sockfd");
    lines.one("security_socket_listen", "local_addr", four.clone()).assert(&[("sockfd", fd.clone())]);
    let accepted = lines.one("socket_accept", "local_addr", four.clone());
    // At the LSM hooks of old kernels, the system call's registers are not to be had.
    if bound.quality("sockfd") != "unavailable" {
        accepted.assert(&[("sockfd", fd)]);
    }
    let connects = lines.with("security_socket_connect", "remote_addr", four.clone());
    let kinds: Vec<Value> = connects.iter().map(|l| l.parsed("type")).collect();
    assert_eq!(kinds, ["SOCK_STREAM", "SOCK_DGRAM"], "{connects:?}");

    assert!(lines.of("security_socket_bind").iter().any(|l| six(l, "local_addr")));
    assert!(lines.of("security_socket_connect").iter().any(|l| six(l, "remote_addr")));
    assert!(lines.of("socket_accept").iter().any(|l| six(l, "local_addr")));

    lines.one("security_socket_bind", "local_addr", unix.clone());
    lines.one("security_socket_listen", "local_addr", unix.clone());
    lines.one("security_socket_connect", "remote_addr", unix);

    let states: Vec<String> = lines
        .with("net_tcp_state", "remote_addr", four)
        .iter()
        .map(|l| l.parsed("new_state").as_str().unwrap().to_string())
        .collect();
    assert!(states.starts_with(&["TCP_SYN_SENT".into(), "TCP_ESTABLISHED".into()]), "{states:?}");
}

fn credentials(tier: &str) {
    let events = "commit_creds,set*id,-setns,security_task_prctl";
    let (account, _act) = watch("credentials", &[], events, tier);
    let lines = &account.lines;
    lines.one("setresuid", "ruid", 41).assert(&[
        ("euid", json!(41)),
        ("suid", json!(41)),
        ("returnValue", json!(0)),
    ]);
    lines.one("setresgid", "rgid", 42).assert(&[("egid", json!(42)), ("sgid", json!(42))]);
    lines.one("setregid", "egid", 43).assert(&[("rgid", json!(u32::MAX))]);
    lines.one("setreuid", "euid", 0).assert(&[("ruid", json!(u32::MAX))]);
    lines.one("setgid", "gid", 42);
    lines.one("setfsuid", "fsuid", 44);
    lines.one("setfsgid", "fsgid", 45);
    // No way back to root: told with its failure.
    let refused = lines.one("setuid", "uid", 0);
    assert_eq!((refused.get("returnValue"), refused.parsed("returnValue")), (json!(-1), json!("EPERM")));
    let dropped = lines.with("security_task_prctl", "option", libc_pr_capbset_drop());
    assert_eq!((dropped.len(), dropped[0].get("arg2")), (1, json!(21)));
    assert_eq!(dropped[0].parsed("option"), "PR_CAPBSET_DROP");

    let changes = lines.of("commit_creds");
    let to_41 = changes.iter().find(|l| l.get("new_cred")["uid"] == 41).unwrap();
    assert_eq!(to_41.get("old_cred")["uid"], 0);
    assert_eq!(to_41.get("new_cred")["euid"], 41);
    assert!(!to_41.get("old_cred")["cap_effective"].as_array().unwrap().is_empty());
    assert!(to_41.get("new_cred")["cap_effective"].as_array().unwrap().is_empty());
    let bounding = changes.iter().find(|l| {
        let has = |c: &str| l.get(c)["cap_bounding"].as_array().unwrap().contains(&json!("CAP_SYS_ADMIN"));
        has("old_cred") && !has("new_cred")
    });
    assert!(bounding.is_some(), "{changes:?}");
    // What changes nothing is no change.
    assert!(changes.iter().all(|l| l.get("old_cred") != l.get("new_cred")));
}

fn libc_pr_capbset_drop() -> i64 {
    24
}

fn memory(_: &str) {
    let (account, act) =
        watch("memory", &[], "ptrace,process_vm_writev,memfd_create,sched_process_exec", "any");
    let lines = &account.lines;
    lines.one("memfd_create", "uname", "payload");
    lines.one("sched_process_exec", "pathname", "memfd:payload");
    assert_eq!(lines.of("ptrace")[0].parsed("request"), "PTRACE_TRACEME");
    lines.one("process_vm_writev", "pid", act.pid()).assert(&[
        ("liovcnt", json!(1)),
        ("riovcnt", json!(1)),
        ("returnValue", json!(16)),
    ]);
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

fn bpf_program(_: &str) {
    let (account, act) = watch("bpf", &[], "security_bpf_prog", "any");
    let load = account.lines.one("security_bpf_prog", "name", "mark");
    assert_eq!((load.parsed("type"), load.get("load")), (json!("BPF_PROG_TYPE_SOCKET_FILTER"), json!(true)));
    assert_eq!(load.process("/host_pid"), act.pid());
    assert!(load.get("id").as_u64().unwrap() > 0);
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
