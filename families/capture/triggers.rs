//! A datagram between two sockets of this machine: captured as it leaves one and as it reaches the other.

use std::net::UdpSocket;

use serde_json::json;

use super::Trigger;

pub(super) const TRIGGERS: &[Trigger] = &[Trigger {
    event: "net_packet_capture",
    act: |_| {
        let server = UdpSocket::bind(("127.0.0.1", port(std::process::id()))).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(&[b'x'; 200], server.local_addr().unwrap()).unwrap();
        server.recv(&mut [0; 256]).unwrap();
    },
    check: |told| {
        let directions: Vec<_> = told.lines.0.iter().map(|l| l.get("metadata")["direction"].clone()).collect();
        assert_eq!(directions, [json!("EGRESS"), json!("INGRESS")]);
        for line in &told.lines.0 {
            let metadata = line.get("metadata");
            assert_eq!((&metadata["packet_len"], &metadata["dst_port"]), (&json!(228), &json!(port(told.pid))));
            // The headers and 96 bytes of what follows, in base64.
            assert_eq!(line.quality("data"), "truncated");
            assert_eq!(line.get("data").as_str().unwrap().len(), (28 + 96_usize).div_ceil(3) * 4);
            assert_eq!(line.get("net_ns"), *line.process("/namespaces/net"));
        }
    },
    ..Trigger::NONE
}];

/// Of an act, and known to its check: from the process that acts; below those that connections take.
fn port(pid: u32) -> u16 {
    20000 + (pid % 12000) as u16
}
