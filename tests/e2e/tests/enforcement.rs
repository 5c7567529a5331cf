//! What policies do to who acts: killed, refused, or only told.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::{Line, Watch, run, wait_until};
use serde_json::Value;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("policies_kill", kill),
    ("policies_deny_what_they_can", deny),
    ("policies_deny_addresses", deny_addresses),
    ("policies_spare_who_enforces_them", spared),
    ("policies_capture_files", captured),
    ("policies_say_who_enforces", explained),
];

fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tarsius-enforcement-").tempdir_in("/tmp").unwrap()
}

/// A policy file of one rule.
fn policy(dir: &Path, name: &str, mode: &str, event: &str, condition: &str, action: &str) -> PathBuf {
    let path = dir.join(format!("{name}.yaml"));
    let condition = condition.replace('"', "\\\"");
    let text = format!(
        "type: policy\nname: {name}\nmode: {mode}\nrules:\n  - event: {event}\n    condition: \"{condition}\"\n    actions: [{action}]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn done(line: &Line) -> &Value {
    &line.0["enforcement"]
}

fn killed(output: &Output) -> bool {
    output.status.signal() == Some(libc::SIGKILL)
}

/// By the kernel, before what was opened can be read; by user space, where the kernel does not decide the condition; at an execution. Not while
/// the policy monitors, and not for what it does not ask for.
fn kill(_: &str) {
    let dir = temporary();
    let (root, policies) = (dir.path(), dir.path().join("policies"));
    fs::create_dir(&policies).unwrap();
    for name in ["secret", "other", "slow"] {
        fs::write(root.join(name), "contents").unwrap();
    }
    fs::copy("/bin/true", root.join("evil")).unwrap();
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let is = |name: &str| format!("data.pathname == \"{}\"", at(name));
    policy(&policies, "kernel", "monitor", "security_file_open", &is("secret"), "kill");
    let slow = format!("data.pathname.contains(\"/slow\") && {}", is("slow"));
    policy(&policies, "user", "enforce", "security_file_open", &slow, "kill");
    policy(&policies, "execution", "enforce", "sched_process_exec", &is("evil"), "kill");
    let socket = at("control");
    let watch = Watch::start(&["--policy", policies.to_str().unwrap(), "--control", &socket]);
    let cat = |name: &str| Command::new("cat").arg(at(name)).output().unwrap();
    let monitored = cat("secret");
    assert!(monitored.status.success() && monitored.stdout == b"contents", "{monitored:?}");

    let switch = |mode: &str| run(&["policy", "mode", "kernel", mode, "--control", &socket]);
    let (status, out, err) = switch("enforce");
    assert!(status.success() && out == "policy kernel is in enforce mode\n", "{out}{err}");
    assert_eq!(switch("enforce").1, "policy kernel is in enforce mode already\n");
    let enforced = cat("secret");
    assert!(killed(&enforced) && enforced.stdout.is_empty(), "{enforced:?}");
    let other = cat("other");
    assert!(other.status.success() && other.stdout == b"contents", "{other:?}");
    // It waits to be killed.
    let slow =
        Command::new("sh").args(["-c", &format!("exec 3<{}; exec sleep 600", at("slow"))]).output().unwrap();
    assert!(killed(&slow), "{slow:?}");
    let executed = Command::new(root.join("evil")).output().unwrap();
    assert!(killed(&executed), "{executed:?}");
    assert!(Command::new("/bin/true").status().unwrap().success());

    assert!(switch("monitor").0.success());
    assert!(cat("secret").status.success());
    let (status, _, err) = run(&["policy", "mode", "kernal", "monitor", "--control", &socket]);
    assert!(
        !status.success() && err.contains("no policy is named 'kernal'; did you mean 'kernel'?"),
        "{err}"
    );

    let account = watch.stop();
    account.assert_clean();
    let opened = |name: &str| account.lines.with("security_file_open", "pathname", at(name));
    let by: Vec<&Value> = opened("secret").iter().map(|l| &done(l)["kill"]).collect();
    assert_eq!(by, ["monitor", "kernel", "monitor"]);
    assert_eq!(opened("slow").iter().map(|l| &done(l)["kill"]).collect::<Vec<_>>(), ["user_space"]);
    assert!(opened("other").is_empty());
    let executed = account.lines.one("sched_process_exec", "pathname", at("evil"));
    assert_eq!(done(executed)["kill"], "kernel");
    let modes: Vec<Value> = account.lines.of("policy_mode_changed").iter().map(|l| l.get("mode")).collect();
    assert_eq!(modes, ["enforce", "monitor"]);
    assert!(account.lines.of("enforcement_failed").is_empty());
}

/// A connection to one port is refused, one to another is made. What this kernel can not refuse, or what is not for it to decide, is told.
fn deny(_: &str) {
    let dir = temporary();
    let (root, policies) = (dir.path(), dir.path().join("policies"));
    fs::create_dir(&policies).unwrap();
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [refused, open] = listeners.each_ref().map(|l| l.local_addr().unwrap());
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    for name in ["secret", "undecided"] {
        fs::write(root.join(name), "contents").unwrap();
    }
    let port = format!("data.remote_addr.port == {} && comm != \"nobody\"", refused.port());
    policy(&policies, "port", "enforce", "security_socket_connect", &port, "deny");
    let is = |name: &str| format!("data.pathname == \"{}\"", at(name));
    policy(&policies, "file", "enforce", "security_file_open", &is("secret"), "deny");
    let undecided = format!("data.pathname.contains(\"undecided\") && {}", is("undecided"));
    policy(&policies, "undecided", "enforce", "security_file_open", &undecided, "deny, alert");
    policy(
        &policies,
        "monitor",
        "monitor",
        "security_socket_connect",
        &format!("data.remote_addr.port == {}", open.port()),
        "deny",
    );
    let watch = Watch::start(&["--policy", policies.to_str().unwrap()]);
    let connected = TcpStream::connect(refused).map(drop).map_err(|e| e.raw_os_error());
    TcpStream::connect(open).unwrap();
    let opened = File::open(at("secret")).map(drop).map_err(|e| e.raw_os_error());
    File::open(at("undecided")).unwrap();
    let events = watch.events_file();
    wait_until("the last event comes", || fs::read_to_string(&events).unwrap().contains("undecided"));
    let account = watch.stop();
    account.assert_clean();
    let failed = account.lines.of("enforcement_failed");
    let failed = |policy: &str| failed.iter().find(|l| l.get("policy") == policy).copied();

    // At the cgroup and LSM tiers the kernel refuses; at the tracepoint tier it has happened by then.
    let told = account.lines.of("security_socket_connect");
    let to = |port: u16| {
        let told = told.iter().filter(|l| l.0.to_string().contains(&format!("\"sin_port\":{port}}}")));
        told.map(|l| &done(l)["deny"]).collect::<Vec<_>>()
    };
    match connected {
        Err(errno) => {
            assert_eq!(
                (errno, to(refused.port()), failed("port").is_some()),
                (Some(libc::EPERM), vec![&"kernel".into()], false)
            );
        }
        Ok(()) => assert!(failed("port").is_some() && to(refused.port()) == ["failed"]),
    }
    assert!(!e2e::has_hook("cgroup_sock_addr") || connected.is_err(), "this kernel can refuse a connection");
    assert_eq!(to(open.port()), ["monitor"]);

    let secret = account.lines.one("security_file_open", "pathname", at("secret"));
    match opened {
        Err(errno) => {
            assert_eq!(
                (errno, &done(secret)["deny"], failed("file").is_some()),
                (Some(libc::EPERM), &"kernel".into(), false)
            );
        }
        Ok(()) => {
            assert_eq!(done(secret)["deny"], "failed");
            let line = failed("file").unwrap();
            line.assert(&[("action", "deny".into()), ("event", "security_file_open".into())]);
            assert!(line.get("reason").as_str().unwrap().contains("where nothing can be refused"));
        }
    }
    assert!(!e2e::has_hook("lsm") || opened.is_err(), "this kernel can refuse an open");
    let undecided = account.lines.one("security_file_open", "pathname", at("undecided"));
    assert_eq!(
        (&done(undecided)["deny"], &done(undecided)["alert"]),
        (&"failed".into(), &"user_space".into())
    );
    assert!(failed("undecided").is_some() && failed("monitor").is_none());
}

/// A port that may not be bound, and one that nothing may be sent to. Who asked for nothing of it may.
fn deny_addresses(_: &str) {
    let dir = temporary();
    let [own, taken, forbidden, open] = [(); 4].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [taken, forbidden, open] = [taken, forbidden, open].map(|s| s.local_addr().unwrap().port());
    let policies = dir.path();
    let port = |field: &str, port: u16| format!("data.{field}.port == {port}");
    policy(policies, "bound", "enforce", "security_socket_bind", &port("local_addr", taken), "deny");
    policy(policies, "sent", "enforce", "security_socket_sendmsg", &port("remote_addr", forbidden), "deny");
    policy(policies, "told", "monitor", "security_socket_sendmsg", &port("remote_addr", open), "deny");
    let watch = Watch::start(&["--policy", policies.to_str().unwrap()]);
    let bound =
        ["127.0.0.1", "::1"].map(|ip| UdpSocket::bind((ip, taken)).map(drop).map_err(|e| e.raw_os_error()));
    drop(UdpSocket::bind("127.0.0.1:0").unwrap());
    let sent = own.send_to(b"x", ("127.0.0.1", forbidden)).map_err(|e| e.raw_os_error());
    let again = own.send_to(b"x", ("127.0.0.1", open)).map_err(|e| e.raw_os_error());
    assert_eq!(again, Ok(1));
    let account = watch.stop();
    account.assert_clean();
    let failed = account.lines.of("enforcement_failed");
    let failed = |policy: &str| failed.iter().filter(|l| l.get("policy") == policy).count();
    let done_to = |event: &str, port: u16| {
        let told = account.lines.of(event).into_iter();
        let told = told.filter(|l| {
            l.0.to_string().contains(&format!("_port\":{port}"))
                || l.0.to_string().contains(&format!("\"sin6_port\":{port},"))
        });
        told.map(|l| done(l)["deny"].clone()).collect::<Vec<_>>()
    };
    let kernel = Value::from("kernel");
    // At the tracepoint tier both have happened by then, and nothing is told of what is sent.
    if e2e::has_hook("cgroup_sock_addr") || e2e::has_hook("lsm") {
        assert_eq!(bound, [Err(Some(libc::EPERM)), Err(Some(libc::EPERM))]);
        assert_eq!(done_to("security_socket_bind", taken), [kernel.clone(), kernel.clone()]);
        assert_eq!(sent, Err(Some(libc::EPERM)));
        assert_eq!(done_to("security_socket_sendmsg", forbidden), [kernel]);
        assert_eq!(done_to("security_socket_sendmsg", open), ["monitor"]);
        assert_eq!([failed("bound"), failed("sent"), failed("told")], [0, 0, 0]);
    } else {
        assert!(failed("bound") > 0, "{bound:?} {sent:?}");
    }
}

/// Whatever a policy says, Tarsius does not kill itself.
fn spared(_: &str) {
    let dir = temporary();
    let all = policy(dir.path(), "all", "enforce", "security_file_open", "comm == \"tarsius\"", "kill");
    let watch = Watch::start(&["--policy", all.to_str().unwrap(), "--include-self"]);
    let events = watch.events_file();
    wait_until("it opens something", || fs::read_to_string(&events).unwrap().contains("enforcement_failed"));
    let account = watch.stop();
    account.assert_clean();
    let failed = account.lines.of("enforcement_failed");
    assert!(failed.iter().all(|l| l.get("reason") == "it is Tarsius itself"), "{failed:?}");
}

/// A copy of what is opened, and of what is executed; of each once, until it changes. What is no file is told, and of what no policy asks for
/// there is no copy.
fn captured(_: &str) {
    let dir = temporary();
    let (root, policies, kept) = (dir.path(), dir.path().join("policies"), dir.path().join("kept"));
    fs::create_dir(&policies).unwrap();
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    fs::copy("/bin/true", root.join("dropper")).unwrap();
    for (name, contents) in [("secret", "contents"), ("other", "others")] {
        fs::write(root.join(name), contents).unwrap();
    }
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    // A file system by whose stat a file has another device than in the kernel; seen only by who mounts it.
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    fs::write(root.join("lower/layered"), "of a layer").unwrap();
    let layered = at("merged/layered");
    let opened = format!("data.pathname in [\"{}\", \"{}\", \"{layered}\"]", at("secret"), at("pipe"));
    policy(&policies, "opened", "monitor", "security_file_open", &opened, "capture");
    let is = format!("data.pathname == \"{}\"", at("dropper"));
    policy(&policies, "executed", "enforce", "sched_process_exec", &is, "capture, alert");
    let (_, explained, err) = run(&["policy", "explain", policies.to_str().unwrap()]);
    let after = "capture on security_file_open (monitor mode)\n      user space: after the act";
    assert!(explained.contains(after), "{explained}{err}");
    let artifacts = format!("dir.path={}", kept.display());
    let watch = Watch::start(&["--policy", policies.to_str().unwrap(), "--artifacts", &artifacts]);
    for name in ["secret", "secret", "other"] {
        assert!(Command::new("cat").arg(at(name)).output().unwrap().status.success());
    }
    // Both ends, so that neither waits.
    let both = Command::new("sh").args(["-c", &format!("exec 3<>{}", at("pipe"))]).status().unwrap();
    assert!(both.success() && Command::new(at("dropper")).status().unwrap().success());
    let script = format!(
        "cd {} && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged && exec 3<{layered} && exec sleep 600",
        root.display()
    );
    let mut other = Command::new("unshare").args(["-m", "sh", "-c", &script]).spawn().unwrap();
    let copies = || {
        let all = fs::read_dir(kept.join("out/host")).into_iter().flatten().flatten();
        all.filter(|copy| copy.file_name().as_encoded_bytes().starts_with(b"file.")).count()
    };
    wait_until("the copies", || copies() == 3);
    other.kill().unwrap();
    other.wait().unwrap();
    fs::write(root.join("secret"), "others now").unwrap();
    assert!(Command::new("cat").arg(at("secret")).output().unwrap().status.success());
    let account = watch.stop();
    account.assert_clean();

    let copies = account.lines.of("file_captured");
    let of = |name: &str| -> Vec<&Line> {
        copies.iter().filter(|l| l.get("pathname") == at(name).as_str()).copied().collect()
    };
    let assert_copy = |line: &Line, policy: &str, event: &str, contents: &[u8]| {
        line.assert(&[("policy", policy.into()), ("event", event.into()), ("size", contents.len().into())]);
        let copy = line.get("copy");
        let copy = copy.as_str().unwrap();
        let sum = String::from_utf8(Command::new("sha256sum").arg(copy).output().unwrap().stdout).unwrap();
        let sum = sum.split(' ').next().unwrap();
        assert_eq!(line.get("sha256"), sum);
        assert_eq!(copy, kept.join(format!("out/host/file.{sum}")).to_str().unwrap());
        assert_eq!(fs::read(copy).unwrap(), contents);
    };
    let secret = of("secret");
    assert_eq!(secret.len(), 2, "{copies:?}");
    assert_copy(secret[0], "opened", "security_file_open", b"contents");
    assert_copy(secret[1], "opened", "security_file_open", b"others now");
    let [layer] = of("merged/layered")[..] else { panic!("{copies:?}") };
    assert_copy(layer, "opened", "security_file_open", b"of a layer");
    let [dropper] = of("dropper")[..] else { panic!("{copies:?}") };
    assert_copy(dropper, "executed", "sched_process_exec", &fs::read("/bin/true").unwrap());
    assert_eq!(copies.len(), 4, "{copies:?}");
    assert_eq!(fs::read_dir(kept.join("out/host")).unwrap().count(), 4);
    let failed = account.lines.of("enforcement_failed");
    let [failed] = failed[..] else { panic!("{failed:?}") };
    failed.assert(&[
        ("policy", "opened".into()),
        ("action", "capture".into()),
        ("reason", "it is no regular file".into()),
    ]);
}

/// `explain` says who decides each condition, and when an action comes.
fn explained(_: &str) {
    let dir = temporary();
    let kill = policy(
        dir.path(),
        "kill",
        "enforce",
        "security_file_open",
        "data.pathname == \"/x\" && uid == 7",
        "kill",
    );
    let (status, out, err) = run(&["policy", "explain", kill.to_str().unwrap()]);
    assert!(status.success(), "{err}");
    for part in [
        "kernel: by the record's bytes, before it is sent, by uid, pathname from its beginning",
        "kill on security_file_open (enforce mode)",
    ] {
        assert!(out.contains(part), "{out}");
    }
    let slow =
        policy(dir.path(), "slow", "monitor", "security_file_open", "data.pathname.contains(\"x\")", "kill");
    let (_, out, _) = run(&["policy", "explain", slow.to_str().unwrap()]);
    assert!(out.contains("user space: after the act") && out.contains("(monitor mode)"), "{out}");
    let port = "data.remote_addr.port == 7";
    let deny = policy(dir.path(), "deny", "enforce", "security_socket_connect", port, "deny");
    let (_, out, _) = run(&["policy", "explain", deny.to_str().unwrap()]);
    let can = e2e::has_hook("cgroup_sock_addr");
    assert_eq!(out.contains("kernel: the act is refused with EPERM"), can, "{out}");
    let uid = dir.path().join("uid.yaml");
    fs::write(&uid, "type: policy\nname: uid\nscope: [uid>=1000, follow]\nrules:\n  - event: openat\n    filters: [retval<0, data.pathname=*.key]\n").unwrap();
    let (_, out, _) = run(&["policy", "explain", uid.to_str().unwrap()]);
    for part in [
        "kernel in part, then user space: before a record is built, by the map scope_tree",
        "kernel in part, then user space: before a record is built, or once a field was asked that fewer events pass, by uid",
        "kernel: by the record's bytes, before it is sent, by retval (map cfg_short_prefixes)",
        "kernel: by the record's bytes, before it is sent, by pathname from its end (map cfg_long_prefixes)",
    ] {
        assert!(out.contains(part), "{out}");
    }
    // What the kernel asks of nothing, as it would leave out next to nothing or as another rule wants all.
    let text = "type: policy\nname: uid\nrules:\n  - event: lseek\n    filters: [data.offset=-1]\n  - event: security_file_open\n    filters: [data.pathname=/etc/*, executable!=/bin/cat]\n  \
                - event: umask\n  - event: umask\n    filters: [data.mask=1]\n";
    fs::write(&uid, text).unwrap();
    let (_, out, _) = run(&["policy", "explain", uid.to_str().unwrap()]);
    for part in [
        "data.offset=-1\n      kernel: before a record is built (before Linux 5.17: by its bytes, before it is sent), by offset",
        "executable!=/bin/cat\n      user space: the kernel asks first what leaves out more",
        "data.mask=1\n      user space: another rule wants of this event what the kernel can not tell",
    ] {
        assert!(out.contains(part), "{out}");
    }
    // What is wrong has a place.
    fs::write(
        &uid,
        "type: policy\nname: uid\nmode: enforced\nrules:\n  - event: openat\n    actions: [kil]\n",
    )
    .unwrap();
    let (status, _, err) = run(&["policy", "check", uid.to_str().unwrap()]);
    assert!(!status.success() && err.contains("uid.yaml:3:7: unknown mode 'enforced'"), "{err}");
    assert!(err.contains("uid.yaml:6:15: unknown action 'kil'; did you mean 'kill'?"), "{err}");
}
