//! The scripted session: a shell, a file, a name, a connection, a program in memory, a trace; every event field by field.

use std::net::{TcpListener, UdpSocket};

use e2e::acts::{dns_answer, dns_question};
use e2e::{Account, Act, Watch};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("session", session)];

/// A DNS server on loopback that answers one question. Port 53 of an address that nothing else uses.
fn dns_server() -> (String, std::thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.83.65.82:53").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let mut question = [0; 512];
        let (n, from) = socket.recv_from(&mut question).unwrap();
        assert_eq!(question[..n], dns_question(7, "tarsius.example"));
        socket.send_to(&dns_answer(&question[..n], [192, 0, 2, 1]), from).unwrap();
    });
    (address, thread)
}

fn watched() -> (Account, Act, String, String) {
    let (dns, dns_thread) = dns_server();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = listener.local_addr().unwrap().to_string();
    let tcp_thread = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let mut act = Act::new("session", &[dns.clone(), tcp.clone()]);
    let tree = format!("tree={}", act.pid());
    let watch = Watch::start(&["--events", "tag=default,security_file_open,net_tcp_state", "--scope", &tree]);
    act.perform();
    dns_thread.join().unwrap();
    tcp_thread.join().unwrap();
    (watch.stop(), act, dns, tcp)
}

fn session(_: &str) {
    let (account, act, dns, tcp) = watched();
    let (lines, dir, pid) = (&account.lines, act.dir.path().to_str().unwrap().to_string(), act.pid());
    let path = |name: &str| Value::from(format!("{dir}/{name}"));

    // The shell.
    let script = format!("echo hello > {dir}/a");
    let exec = lines.one("sched_process_exec", "argv", json!(["/bin/sh", "-c", script]));
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    let (inode, dev) = e2e::inode_of(&shell);
    // The root of a guest is an overlay: stat gives its files a device of their own, the kernel's inode has the overlay's.
    if std::env::var_os("TARSIUS_VM").is_none() {
        exec.assert(&[("dev", json!(dev)), ("inode", json!(inode))]);
    }
    // Not to be had at the perf tracepoint, and said so.
    exec.assert_where_told(&[("interp", json!("/bin/sh"))]);
    exec.assert(&[
        ("cmdpath", json!("/bin/sh")),
        ("pathname", json!(shell.to_str().unwrap())),
        ("pwd", json!(std::env::current_dir().unwrap().to_str().unwrap())),
        ("invoked_from_kernel", json!(false)),
        ("old_cred", Value::Null),
    ]);
    assert_eq!(exec.parsed("inode_mode"), "S_IFREG|0755");
    assert_eq!(exec.get("new_cred")["euid"], 0);
    let shell_pid = exec.process("/host_pid").as_u64().unwrap();
    assert_eq!(exec.process("/executable/path"), shell.to_str().unwrap());
    assert_eq!(exec.process("/thread/name"), "sh");
    assert_eq!(exec.process("/real_user/id"), 0);
    assert_eq!(exec.process("/ancestors/0/host_pid"), pid);
    assert_eq!(
        exec.get("prev_comm"),
        *lines.0.iter().find(|l| l.process("/host_pid") == pid).unwrap().process("/thread/name")
    );
    let fork = lines.one("sched_process_fork", "child_pid", shell_pid);
    fork.assert(&[("parent_pid", json!(pid)), ("clone_thread", json!(false)), ("up_pid", json!(pid))]);
    let exit =
        lines.of("sched_process_exit").into_iter().find(|l| l.process("/host_pid") == shell_pid).unwrap();
    exit.assert(&[("exit_code", json!(0)), ("signal_code", json!(0)), ("process_group_exit", json!(true))]);
    assert_eq!(exit.process("/unique_id"), exec.process("/unique_id"));

    // The file.
    let create = lines.one("security_inode_create", "pathname", path("a"));
    assert_eq!(create.parsed("mode"), "S_IFREG|0644");
    assert_eq!(create.process("/host_pid"), shell_pid);
    let open = lines.one("security_file_open", "pathname", path("a"));
    assert!(open.parsed("flags").as_str().unwrap().starts_with("O_WRONLY|O_CREAT|O_TRUNC"), "{open:?}");
    // Not to be had at the LSM hooks of 5.10, and said so.
    open.assert_where_told(&[("syscall_pathname", path("a"))]);
    let rename = lines.one("security_inode_rename", "old_path", path("a"));
    rename.assert(&[("new_path", path("b"))]).assert_where_told(&[("flags", json!(0))]);
    assert_eq!(rename.process("/host_pid"), pid);

    // The name.
    let (server, port) = dns.rsplit_once(':').unwrap();
    let asked = json!({"questions": [{"query": "tarsius.example", "query_type": "A", "query_class": "IN"}]});
    let requests: Vec<_> = lines.with("net_packet_dns_request", "dns_questions", asked.clone());
    let sent = requests.iter().find(|l| l.get("metadata")["direction"] == "EGRESS").unwrap();
    assert_eq!(sent.get("metadata")["dst_ip"], server);
    assert_eq!(sent.get("metadata")["dst_port"], port.parse::<u16>().unwrap());
    assert_eq!(sent.0["lane"], "net");
    assert_eq!(sent.process("/host_pid"), pid, "{sent:?}");
    let responses = lines.of("net_packet_dns_response");
    let came = responses.iter().find(|l| l.get("metadata")["direction"] == "INGRESS").unwrap();
    let answer = &came.get("dns_response")["responses"][0];
    assert_eq!(answer["dns_query_data"], asked["questions"][0]);
    assert_eq!(answer["dns_answer"], json!([{"type": "A", "ttl": 60, "answer": "192.0.2.1"}]));
    assert_eq!(came.get("metadata")["src_ip"], server);

    // The connection.
    let (address, port) = tcp.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    let to = json!({"sa_family": "AF_INET", "sin_addr": address, "sin_port": port});
    let connect = lines.one("security_socket_connect", "remote_addr", to.clone());
    assert_eq!(connect.parsed("type"), "SOCK_STREAM");
    assert_eq!(connect.process("/host_pid"), pid);
    let states: Vec<String> = lines
        .with("net_tcp_state", "remote_addr", to)
        .iter()
        .map(|l| {
            format!("{} {}", l.parsed("old_state").as_str().unwrap(), l.parsed("new_state").as_str().unwrap())
        })
        .collect();
    assert_eq!(states[..2], ["TCP_CLOSE TCP_SYN_SENT", "TCP_SYN_SENT TCP_ESTABLISHED"], "{states:?}");

    // The program in memory.
    let memfd = lines.one("memfd_create", "name", "payload");
    assert_eq!(memfd.parsed("flags"), "MFD_CLOEXEC");
    assert_eq!(memfd.process("/host_pid"), pid);
    let exec = lines.one("sched_process_exec", "pathname", "memfd:payload");
    exec.assert(&[
        ("argv", json!(["memory-only"])),
        ("cmdpath", json!(format!("/dev/fd/{}", memfd.get("returnValue")))),
    ]);

    // The trace.
    let trace = lines.with("ptrace", "request", 0);
    assert_eq!(trace.len(), 1);
    assert_eq!(trace[0].parsed("request"), "PTRACE_TRACEME");
    assert_eq!(
        trace[0].process("/ppid").as_u64().or(trace[0].process("/host_ppid").as_u64()),
        Some(pid.into())
    );

    // Nothing of it was blamed on anybody else, and nothing was lost.
    for line in &lines.0 {
        assert!(
            line.0["seq"].is_u64() && line.0["cpu"].is_u64() && line.0["boot_id"].is_string(),
            "{line:?}"
        );
    }
    account.assert_clean();
    validate(&account);
}

/// Every line is valid by the schema; a line that is not, is found.
pub(crate) fn validate(account: &Account) {
    let (_, schema, _) = e2e::run(&["schema"]);
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for line in &account.lines.0 {
        if let Some(error) = validator.iter_errors(&line.0).next() {
            panic!("{error}: {line:?}");
        }
    }
    let mut wrong = account.lines.0[0].0.clone();
    wrong["lane"] = json!("express");
    assert!(!validator.is_valid(&wrong));
}
