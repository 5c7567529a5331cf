//! A question and its answer, both on this machine.

use std::net::UdpSocket;
use std::path::Path;

use serde_json::json;

use super::{Told, Trigger};
use crate::acts::{dns_answer, dns_question};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger { event: "net_packet_dns_request", act: ask, check: asked, needs: port_53, ..Trigger::NONE },
    Trigger { event: "net_packet_dns_response", act: ask, check: answered, needs: port_53, ..Trigger::NONE },
];

/// An address of this machine that no name server has.
const SERVER: &str = "127.0.0.53:53";

fn port_53() -> Result<(), String> {
    UdpSocket::bind(SERVER).map(drop).map_err(|e| format!("{SERVER}: {e}"))
}

fn ask(_: &Path) {
    let server = UdpSocket::bind(SERVER).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&dns_question(7, "conformance.tarsius"), SERVER).unwrap();
    let mut buffer = [0; 512];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&dns_answer(&buffer[..length], [192, 0, 2, 1]), from).unwrap();
    client.recv(&mut buffer).unwrap();
}

/// As it leaves, and as it arrives.
fn asked(told: &Told<'_>) {
    let question = json!([{"query": "conformance.tarsius", "query_type": "A", "query_class": "IN"}]);
    let questions: Vec<_> = told.lines.0.iter().map(|l| l.get("dns_questions")["questions"].clone()).collect();
    assert_eq!(questions, [question.clone(), question], "{:?}", told.lines);
}

fn answered(told: &Told<'_>) {
    for line in &told.lines.0 {
        let answer = &line.get("dns_response")["responses"][0]["dns_answer"][0]["answer"];
        assert_eq!(answer, "192.0.2.1", "{line:?}");
    }
    assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
}
