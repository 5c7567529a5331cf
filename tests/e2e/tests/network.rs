//! Whose packets? Of sockets that change hands, and of those that nobody saw made.

use std::net::UdpSocket;

use e2e::{Account, Line, Watch, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("owner_handed_on", |_| handed_on()),
    ("owner_from_before", |_| from_before()),
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
