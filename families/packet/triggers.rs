//! Packets between two sockets of this machine: each is told as it leaves one and as it reaches the other.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use serde_json::{Value, json};

use super::{Told, Trigger};
use crate::Line;
use crate::acts::{check, dns_answer, dns_question};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "net_packet_raw",
        act: datagram,
        check: |told| {
            let line = to_port(told)[0];
            assert_eq!(to_port(told).len(), 2, "{:?}", told.lines);
            // In base64: an IPv4 header, of a packet of 34 bytes; the end of what the datagram says.
            let data = line.get("data");
            let data = data.as_str().unwrap();
            assert!(data.starts_with("RQAAI") && data.ends_with("bGxvCg=="), "{data}");
            assert_eq!(line.get("metadata")["packet_len"], 34);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_ipv4",
        act: datagram,
        check: |told| {
            for line in to_port(told) {
                line.assert(&[("src", json!("127.0.0.1")), ("dst", json!("127.0.0.1"))]);
                let ip = line.get("proto_ipv4");
                let said = [&ip["version"], &ip["ihl"], &ip["length"], &ip["protocol"], &ip["dst_ip"]];
                assert_eq!(said, [&json!(4), &json!(5), &json!(34), &json!("UDP"), &json!("127.0.0.1")]);
            }
            assert_eq!(to_port(told).len(), 2, "{:?}", told.lines);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_ipv6",
        act: |dir| exchange(dir, "[::1]"),
        check: |told| {
            let line = to_port(told)[0];
            line.assert(&[("src", json!("::1")), ("dst", json!("::1"))]);
            let ip = line.get("proto_ipv6");
            assert_eq!([&ip["version"], &ip["next_header"]], [&json!(6), &json!("TCP")]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_tcp",
        act: |dir| exchange(dir, "127.0.0.1"),
        check: |told| {
            let left: Vec<&Line> =
                to_port(told).into_iter().filter(|l| l.get("metadata")["direction"] == "EGRESS").collect();
            let first = left[0].get("proto_tcp");
            assert_eq!([&first["syn_flag"], &first["ack_flag"]], [&json!(1), &json!(0)], "{first}");
            assert!(left.iter().any(|l| l.get("proto_tcp")["fin_flag"] == 1), "{left:?}");
            // The connection that was accepted has an owner, too: the other way.
            let port = json!(port(told.pid));
            assert!(told.with("src_port", port).iter().any(|l| l.get("metadata")["direction"] == "EGRESS"));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_udp",
        act: datagram,
        check: |told| {
            for line in to_port(told) {
                let udp = line.get("proto_udp");
                assert_eq!([&udp["dst_port"], &udp["length"]], [&json!(port(told.pid)), &json!(14)]);
            }
            assert_eq!(to_port(told).len(), 2, "{:?}", told.lines);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_icmp",
        act: |_| echo(libc::AF_INET, libc::IPPROTO_ICMP, &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]),
        check: |told| {
            let types: Vec<_> =
                told.lines.0.iter().map(|l| l.get("proto_icmp")["type_code"].clone()).collect();
            assert!(types.contains(&json!("EchoRequest")), "{types:?}");
            assert_eq!(told.any().get("proto_icmp")["seq"], 1);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_icmpv6",
        act: |_| echo(libc::AF_INET6, libc::IPPROTO_ICMPV6, &[128, 0, 0, 0, 0, 1, 0, 1]),
        check: |told| {
            let types: Vec<_> =
                told.lines.0.iter().map(|l| l.get("proto_icmpv6")["type_code"].clone()).collect();
            assert!(types.contains(&json!("EchoRequest")), "{types:?}");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_dns",
        act: ask,
        check: |told| {
            let messages: Vec<Value> = told.lines.0.iter().map(|l| l.get("proto_dns").clone()).collect();
            // A question and an answer, each as it leaves and as it arrives.
            let of = |qr: i32| messages.iter().filter(move |m| m["qr"] == qr).collect::<Vec<_>>();
            assert_eq!((of(0).len(), of(1).len()), (2, 2), "{messages:?}");
            let question = json!([{"name": "conformance.tarsius", "type": "A", "class": "IN"}]);
            assert_eq!(of(0)[0]["questions"], question);
            let answer = json!([{
                "name": "conformance.tarsius", "type": "A", "class": "IN", "ttl": 60, "ip": "192.0.2.1",
            }]);
            assert_eq!(of(1)[0]["answers"], answer);
            assert_eq!(of(1)[0]["response_code"], "No Error");
        },
        needs: port_53,
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_http",
        act: fetch,
        check: |told| {
            let of = |direction: &str| {
                let heads = told.lines.0.iter().map(|l| l.get("proto_http"));
                heads.filter(|h| h["direction"] == direction).collect::<Vec<_>>()
            };
            // Each as it leaves and as it arrives.
            let (requests, responses) = (of("request"), of("response"));
            assert_eq!((requests.len(), responses.len()), (2, 2), "{:?}", told.lines);
            assert_eq!([&requests[0]["method"], &requests[0]["host"]], ["GET", "conformance.tarsius"]);
            assert_eq!(responses[0]["status_code"], 404);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_http_request",
        act: fetch,
        check: |told| {
            let request = told.any().get("http_request");
            let expected = json!({
                "method": "GET", "protocol": "HTTP/1.1", "host": "conformance.tarsius", "uri_path": "/a?b=c",
                "headers": {
                    "Host": {"header": ["conformance.tarsius"]},
                    "Accept": {"header": ["text/html", "text/plain"]},
                },
                "content_length": 0,
            });
            assert_eq!(request, expected);
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_http_response",
        act: fetch,
        check: |told| {
            let response = told.any().get("http_response");
            let expected = json!({
                "status": "404 Not Found", "status_code": 404, "protocol": "HTTP/1.1",
                "headers": {"Content-Length": {"header": ["4"]}}, "content_length": 4,
            });
            assert_eq!(response, expected);
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_tls_client_hello",
        act: greet,
        check: |told| {
            // As it leaves, and as it arrives.
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
            let line = told.any();
            line.assert(&[
                ("sni", json!("conformance.tarsius")),
                ("alpn", json!(["h2", "http/1.1"])),
                ("cipher_suites", json!(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])),
                ("groups", json!(["x25519", "secp256r1"])),
                ("versions", json!(["TLS 1.3", "TLS 1.2"])),
            ]);
            assert_eq!(line.parsed("version"), "TLS_1.3");
            let ja4 = line.get("ja4");
            assert!(ja4.as_str().unwrap().starts_with("t13d0205h2_"), "{ja4}");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_tls_server_hello",
        act: greet,
        check: |told| {
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
            let line = told.any();
            line.assert(&[
                ("cipher_suite", json!("TLS_AES_128_GCM_SHA256")),
                ("group", json!("x25519")),
                ("retry", json!(false)),
            ]);
            assert_eq!(line.parsed("version"), "TLS_1.3");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_ssh_banner",
        act: |_| {
            let (client, accepted) = pair();
            for (mut from, mut to, banner) in [
                (&accepted, &client, "SSH-2.0-Tarsius_1 server\r\n"),
                (&client, &accepted, "SSH-2.0-Tarsius_2\r\n"),
            ] {
                from.write_all(banner.as_bytes()).unwrap();
                to.read_exact(&mut vec![0; banner.len()]).unwrap();
            }
        },
        check: |told| {
            assert_eq!(told.lines.0.len(), 4, "{:?}", told.lines);
            for line in told.with("software", "Tarsius_1") {
                line.assert(&[("comments", json!("server")), ("protocol", json!("2.0")), ("role", json!("server"))]);
            }
            for line in told.with("software", "Tarsius_2") {
                line.assert(&[("role", json!("client"))]);
                assert_eq!(line.quality("comments"), "unavailable");
            }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_quic_initial",
        act: |_| {
            // RFC 9001, appendix A.2.
            let hex = include_str!("../../crates/packet/tests/data/rfc9001-a2.hex").replace('\n', "");
            let bytes: Vec<u8> =
                (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
            send(&bytes);
        },
        check: |told| {
            assert_eq!(to_port(told).len(), 2, "{:?}", told.lines);
            for line in to_port(told) {
                line.assert(&[
                    ("sni", json!("example.com")),
                    ("alpn", json!(["alpn"])),
                    ("dcid", json!("g5TI8D5RVwg=")),
                ]);
                assert_eq!(line.parsed("version"), "QUIC_1");
            }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_packet_sctp",
        act: |_| {
            // To port 9, with an INIT.
            let mut packet = vec![0x30, 0x39, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20];
            packet.extend([0; 16]);
            raw(libc::AF_INET, 132, &packet, 1);
        },
        check: |told| {
            assert!(told.lines.0.len() >= 2, "{:?}", told.lines);
            let line = told.any();
            line.assert(&[
                ("src_port", json!(12345)),
                ("dst_port", json!(9)),
                ("verification_tag", json!(0)),
                ("chunks", json!(["INIT"])),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_flow_udp_begin",
        act: datagram,
        check: |told| {
            let port = port(told.pid);
            for direction in ["outgoing", "incoming"] {
                told.one("conn_direction", direction).assert(&[
                    ("src", json!("127.0.0.1")),
                    ("dst", json!("127.0.0.1")),
                    ("dst_port", json!(port)),
                ]);
            }
        },
        ..Trigger::NONE
    },
    Trigger { event: "net_flow_udp_end", elsewhere: Some("udp_flows"), ..Trigger::NONE },
    Trigger { event: "net_packet_dns_request", act: ask, check: asked, needs: port_53, ..Trigger::NONE },
    Trigger { event: "net_packet_dns_response", act: ask, check: answered, needs: port_53, ..Trigger::NONE },
];

/// Of an act, and known to its check: from the process that acts; below those that connections take.
fn port(pid: u32) -> u16 {
    20000 + (pid % 12000) as u16
}

/// What was told of packets to the act's port.
fn to_port<'a>(told: &'a Told<'_>) -> Vec<&'a Line> {
    let port = port(told.pid);
    let lines: Vec<_> =
        told.lines.0.iter().filter(|l| l.get("metadata")["dst_port"] == port).collect();
    assert!(!lines.is_empty(), "{:?}", told.lines);
    lines
}

fn datagram(_: &Path) {
    send(b"hello\n");
}

fn send(payload: &[u8]) {
    let server = UdpSocket::bind(("127.0.0.1", port(std::process::id()))).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(payload, server.local_addr().unwrap()).unwrap();
    server.recv(&mut vec![0; payload.len()]).unwrap();
}

/// Both ends of a connection that sends at once what it is given.
fn pair() -> (TcpStream, TcpStream) {
    let server = TcpListener::bind(("127.0.0.1", port(std::process::id()))).unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    for end in [&client, &accepted] {
        end.set_nodelay(true).unwrap();
    }
    (client, accepted)
}

/// A message of TLS that says hello, in a record: from its version on.
fn hello(ty: u8, body: &[u8], extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![3, 3];
    message.extend([7; 32]);
    message.extend(body);
    let with: Vec<u8> = extensions
        .iter()
        .flat_map(|(id, data)| [&id.to_be_bytes(), &(data.len() as u16).to_be_bytes(), *data].concat())
        .collect();
    message.extend((with.len() as u16).to_be_bytes());
    message.extend(with);
    let length = message.len() as u16;
    let [high, low] = length.to_be_bytes();
    [&[22, 3, 1][..], &(length + 4).to_be_bytes(), &[ty, 0, high, low], &message].concat()
}

/// A ClientHello in two segments, and a ServerHello.
fn greet(_: &Path) {
    let client_hello = hello(
        1,
        &[0, 0, 4, 0x13, 1, 0x13, 2, 1, 0],
        &[
            (0, b"\0\x16\0\0\x13conformance.tarsius"),
            (10, &[0, 4, 0, 29, 0, 23]),
            (13, &[0, 2, 4, 3]),
            (16, b"\0\x0c\x02h2\x08http/1.1"),
            (43, &[4, 3, 4, 3, 3]),
        ],
    );
    let server_hello = hello(2, &[0, 0x13, 1, 0], &[(43, &[3, 4]), (51, &[0, 29, 0, 2, 7, 7])]);
    let (mut client, mut accepted) = pair();
    for part in client_hello.chunks(40) {
        client.write_all(part).unwrap();
        accepted.read_exact(&mut vec![0; part.len()]).unwrap();
    }
    accepted.write_all(&server_hello).unwrap();
    client.read_exact(&mut vec![0; server_hello.len()]).unwrap();
}

/// A connection, and a word each way.
fn exchange(_: &Path, host: &str) {
    let address = format!("{host}:{}", port(std::process::id()));
    let server = TcpListener::bind(&address).unwrap();
    let mut client = TcpStream::connect(&address).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"hello\n").unwrap();
    accepted.read_exact(&mut [0; 6]).unwrap();
    accepted.write_all(b"hello\n").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
}

/// A request in two segments, and a response.
fn fetch(_: &Path) {
    let (mut client, mut accepted) = pair();
    for part in ["GET /a?b=c HTTP/1.1\r\nhost: conformance.tarsius\r\nac", "cept: text/html\r\nAccept: text/plain\r\n\r\n"]
    {
        client.write_all(part.as_bytes()).unwrap();
        // The next is a segment of its own, as this one has arrived.
        accepted.read_exact(&mut vec![0; part.len()]).unwrap();
    }
    accepted.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nGET ").unwrap();
    client.read_exact(&mut [0; 49]).unwrap();
}

/// A message to this machine from a raw socket: the request itself, and the kernel's answer to it.
fn echo(family: i32, protocol: i32, message: &[u8]) {
    raw(family, protocol, message, 2);
}

/// A message to this machine from a raw socket, to which so many come.
fn raw(family: i32, protocol: i32, message: &[u8], answers: usize) {
    // SAFETY: a plain system call.
    let socket = check(unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) }.into());
    let mut to = [0u8; 28];
    to[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    let length = if family == libc::AF_INET {
        to[4..8].copy_from_slice(&[127, 0, 0, 1]);
        16
    } else {
        to[23] = 1;
        28
    };
    // SAFETY: message and address are as long as is said, and live through the call.
    let sent = unsafe {
        libc::sendto(socket as i32, message.as_ptr().cast(), message.len(), 0, to.as_ptr().cast(), length)
    };
    check(sent as i64);
    let mut buffer = [0u8; 128];
    for _ in 0..answers {
        // SAFETY: the buffer is as long as is said.
        check(unsafe { libc::recv(socket as i32, buffer.as_mut_ptr().cast(), buffer.len(), 0) } as i64);
    }
    // SAFETY: the socket is ours.
    unsafe { libc::close(socket as i32) };
}

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
