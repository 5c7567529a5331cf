//! A connection of this machine with itself: each end of it is a flow.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::json;

use super::{Told, Trigger};
use crate::Line;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "net_flow_tcp_begin",
        act: connection,
        check: |told| {
            // The other end has no owner yet.
            let line = told.one("conn_direction", "outgoing");
            line.assert(&ends(told));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_flow_tcp_end",
        act: connection,
        check: |told| {
            let (outgoing, incoming) =
                (told.one("conn_direction", "outgoing"), told.one("conn_direction", "incoming"));
            for line in [outgoing, incoming] {
                line.assert(&ends(told));
                assert!(line.get("duration").as_u64().is_some_and(|ns| ns > 0), "{line:?}");
                line.assert(&[("retransmissions", json!(0))]);
            }
            // Of what is received, the kernel counts the FIN too.
            outgoing.assert(&[("bytes_sent", json!(6)), ("bytes_received", json!(4 + 1))]);
            incoming.assert(&[("bytes_sent", json!(4)), ("bytes_received", json!(6 + 1))]);
            let reasons = [outgoing, incoming].map(|l: &Line| l.parsed("reason"));
            assert_eq!(reasons, ["CLOSED", "CLOSED_BY_PEER"]);
        },
        ..Trigger::NONE
    },
];

fn port(pid: u32) -> u16 {
    20000 + (pid % 12000) as u16
}

fn ends(told: &Told<'_>) -> [(&'static str, serde_json::Value); 3] {
    [("src", json!("127.0.0.1")), ("dst", json!("127.0.0.1")), ("dst_port", json!(port(told.pid)))]
}

fn connection(_: &Path) {
    let server = TcpListener::bind(("127.0.0.1", port(std::process::id()))).unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"hello\n").unwrap();
    accepted.read_exact(&mut [0; 6]).unwrap();
    accepted.write_all(b"bye\n").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    // The client closes first, and knows that the server has closed when that is done.
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(accepted.read(&mut [0; 1]).unwrap(), 0);
    drop(accepted);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}
