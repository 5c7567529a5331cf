//! Whose packets? Of sockets that change hands, and of those that nobody saw made.

use std::net::UdpSocket;
use std::process::Command;

use e2e::{Account, Line, Watch, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("owner_handed_on", |_| handed_on()),
    ("owner_from_before", |_| from_before()),
    ("owner_passed_over_a_socket", |_| passed()),
    ("owner_of_what_is_not_accepted", |_| not_accepted()),
    ("owner_in_an_interrupt_elsewhere", |test| elsewhere(test)),
    ("networks_of_their_own", |_| networks()),
    ("names_of_addresses", |_| resolved()),
];

/// Packets that left for a port, or from it.
fn left<'a>(account: &'a Account, end: &str, port: u16) -> Vec<&'a Line> {
    let of = |l: &&Line| {
        let metadata = l.get("metadata");
        metadata["direction"] == "EGRESS" && metadata[end] == port
    };
    let all = ["net_packet_tcp", "net_packet_udp"].map(|event| account.lines.of(event)).concat();
    all.into_iter().filter(of).collect()
}

fn handed_on() {
    let (tcp, udp) = (23101, 23102);
    let args = [tcp, udp].map(|port: u16| port.to_string());
    let (account, act) = watch_act("handed_on", &args, "net_packet_tcp,net_packet_udp", &[]);
    account.assert_clean();
    let child: u32 = std::fs::read_to_string(act.dir.path().join("child")).unwrap().parse().unwrap();
    let pids = |lines: &[&Line]| lines.iter().map(|l| l.process("/host_pid").clone()).collect::<Vec<Value>>();
    // The one who accepted it sends what the connection sends.
    let answers = left(&account, "src_port", tcp);
    let words: Vec<&Line> = answers.into_iter().filter(|l| l.get("proto_tcp")["psh_flag"] == 1).collect();
    assert_eq!(pids(&words), [json!(child)], "{words:?}");
    // A socket is its maker's, whoever has it since.
    assert_eq!(pids(&left(&account, "dst_port", udp)), [json!(act.pid())]);
}

/// A socket that is passed to another process is its maker's still, and said to be the owner's, not the sender's.
fn passed() {
    let port = 23105;
    let (account, act) = watch_act("passed", &[port.to_string()], "net_packet_udp", &[]);
    account.assert_clean();
    let lines = left(&account, "dst_port", port);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0].0["origin"], lines[0].process("/host_pid")), (&json!("owner"), &json!(act.pid())));
    // The control: it was another process that sent.
    let child: u32 = std::fs::read_to_string(act.dir.path().join("child")).unwrap().parse().unwrap();
    assert_ne!(child, act.pid());
}

/// What comes before its connection is accepted is the listening socket's, and said to be; then the one's who accepted it, whoever has
/// it since.
fn not_accepted() {
    let port = 23106;
    let (account, act) = watch_act("forked", &[port.to_string()], "net_packet_tcp", &[]);
    account.assert_clean();
    let child: u32 = std::fs::read_to_string(act.dir.path().join("child")).unwrap().parse().unwrap();
    // By the socket that was accepted, what carries anything.
    let of = |end: &str, direction: &str| {
        let is = |l: &&Line| {
            let m = l.get("metadata");
            m[end] == port && m["direction"] == direction && l.get("proto_tcp")["psh_flag"] == 1
        };
        let lines = account.lines.of("net_packet_tcp").into_iter().filter(is);
        lines.map(|l| (l.0["origin"].clone(), l.process("/host_pid").clone())).collect::<Vec<_>>()
    };
    assert_eq!(of("dst_port", "INGRESS"), [(json!("listener"), json!(act.pid()))]);
    let answers = of("src_port", "EGRESS");
    assert!(
        !answers.is_empty() && answers.iter().all(|a| *a == (json!("owner"), json!(child))),
        "{answers:?}"
    );
}

/// Packets that are received in an interrupt on another CPU, where a stranger runs, have their owner.
fn elsewhere(test: &str) {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        return println!("SKIP {test}: one CPU");
    }
    let count = 200;
    let (account, act) = watch_act("steered", &[count.to_string()], "net_packet_udp", &[]);
    account.assert_clean();
    let of = |direction: &str| -> Vec<(Value, Value)> {
        let lines = account.lines.of("net_packet_udp").into_iter();
        let lines = lines.filter(|l| l.get("metadata")["direction"] == direction);
        lines.map(|l| (l.0["cpu"].clone(), l.process("/host_pid").clone())).collect()
    };
    assert_eq!(of("EGRESS"), vec![(json!(0), json!(act.pid())); count]);
    // The control: they did come in where the other process was.
    assert_eq!(of("INGRESS"), vec![(json!(1), json!(act.pid())); count]);
}

/// Network namespaces with names; gone with it.
struct Networks([String; 2]);

impl Networks {
    fn new() -> Networks {
        let names = ["a", "b"].map(|n| format!("tarsius-{n}-{}", std::process::id()));
        for name in &names {
            assert!(Command::new("ip").args(["netns", "add", name]).status().unwrap().success());
        }
        Networks(names)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Between two network namespaces that a bridge joins, each packet leaves one and reaches the other, told once for each, with the
/// process that has the socket there; what carries it in between has no socket.
fn networks() {
    let networks = Networks::new();
    let folder = crate::capture::Folder::new();
    let artifacts = folder.options(&["network.pcap.snaplen=max"]);
    let more: Vec<&str> = artifacts.iter().map(String::as_str).collect();
    let (account, act) = watch_act("bridge", &networks.0, "net_packet_tcp", &more);
    account.assert_clean();
    let place = |who: &str| -> (u32, u64) {
        let text = std::fs::read_to_string(act.dir.path().join(who)).unwrap();
        let (pid, net_ns) = text.split_once(' ').unwrap();
        (pid.parse().unwrap(), net_ns.parse().unwrap())
    };
    let (server, client) = (place("server"), place("client"));
    assert_ne!(server.1, client.1);
    // By direction and sequence number: who, where.
    let mut passes = std::collections::BTreeMap::<_, Vec<_>>::new();
    for line in account.lines.of("net_packet_tcp") {
        let (metadata, tcp) = (line.get("metadata"), line.get("proto_tcp"));
        let asks = metadata["dst_port"] == e2e::traffic::PORT;
        let key = (asks, tcp["seq"].to_string(), tcp["ack"].to_string(), metadata["packet_len"].to_string());
        let who = (line.process("/host_pid").clone(), line.process("/namespaces/net").clone());
        passes.entry(key).or_default().push((metadata["direction"].clone(), who));
    }
    let whose = |(pid, net_ns): (u32, u64)| (json!(pid), json!(net_ns));
    let (mut words, mut whole) = (0, 0);
    for ((asks, _, _, length), passes) in &passes {
        let (from, to) = if *asks { (client, server) } else { (server, client) };
        // Of the last segments, which nobody's socket receives or sends any more, there may be one end only.
        let both = [(json!("EGRESS"), whose(from)), (json!("INGRESS"), whose(to))];
        assert!(passes.iter().all(|p| both.contains(p)), "{passes:?}");
        whole += usize::from(passes[..] == both);
        if ["60", "58"].contains(&length.as_str()) && passes.len() == 2 {
            words += 1;
        }
    }
    assert!(words >= 2 && whole >= 6, "{passes:?}");
    // In the file, as on two interfaces of two namespaces.
    let fields =
        ["-T", "fields", "-e", "frame.interface_description", "-e", "frame.comment", "-Y", "tcp.len > 0"];
    let single = crate::capture::tshark(&folder.file("single.pcap"), &fields);
    let mut lines: Vec<&str> = single.lines().collect();
    lines.sort_unstable();
    let of = |(pid, net_ns): (u32, u64)| {
        let is = |l: &&&str| {
            l.starts_with(&format!("network namespace {net_ns}\t")) && l.contains(&format!(" pid={pid} "))
        };
        lines.iter().filter(is).count()
    };
    assert_eq!((of(server), of(client), lines.len()), (2, 2, 4), "{lines:?}");
}

fn from_before() {
    let port = 23103;
    let _receiver = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let before = UdpSocket::bind("127.0.0.1:0").unwrap();
    let watch = Watch::start(&["--events", "net_packet_udp"]);
    let after = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&before, &after] {
        socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
    }
    let account = watch.stop();
    let lines = left(&account, "dst_port", port);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!((&lines[0].0["origin"], &lines[0].0["workload"]), (&json!("unknown"), &json!({})));
    assert_eq!(lines[1].0["origin"], "owner");
    assert_eq!(lines[1].process("/host_pid"), &json!(std::process::id()));
}

fn resolved() {
    let port = 23104;
    let events = "net_tcp_connect,net_flow_tcp_begin,net_flow_tcp_end";
    let (account, act) = watch_act("resolved", &[port.to_string()], events, &[]);
    account.assert_clean();
    for event in events.split(',') {
        let to = |host: &str| -> Vec<&Line> {
            let lines = account.lines.with(event, "dst", host);
            lines
                .into_iter()
                .filter(|l| *l.process("/host_pid") == act.pid() && l.get("dst_port") == port)
                .collect()
        };
        let (named, nameless) = (to("127.0.0.1"), to("127.0.0.2"));
        assert!(!named.is_empty() && !nameless.is_empty(), "{event}: {:?}", account.lines.of(event));
        for line in named {
            line.assert(&[("dst_dns", json!(["resolved.tarsius"]))]);
        }
        for line in nameless {
            assert_eq!(line.quality("dst_dns"), "unavailable", "{line:?}");
        }
    }
    // What was only learnt from is not shown.
    assert!(account.lines.of("net_packet_dns_response").is_empty());
}
