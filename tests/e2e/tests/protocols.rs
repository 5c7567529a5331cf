//! What real programs say to each other, as it is told of their packets.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use e2e::servers::{Server, certificate, dnsmasq, free, nginx, output_of, sshd};
use e2e::{Account, Act, Line, Watch};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("tls_of_openssl", |_| tls()),
    ("http_of_nginx", |_| http()),
    ("packets_of_all_kinds_changed", |_| changed()),
    ("ssh_of_openssh", |_| ssh()),
    ("dns_of_dnsmasq", |_| dns()),
    ("udp_flows", |_| flows()),
    ("packets_in_packets", |_| tunnels()),
    ("connect_vsock", vsock),
];

/// What was told of packets between that port and others, as they left or arrived.
fn of<'a>(account: &'a Account, event: &str, end: &str, port: u16, direction: &str) -> Vec<&'a Line> {
    let mut lines = account.lines.of(event);
    lines.retain(|l| l.get("metadata")[end] == port && l.get("metadata")["direction"] == direction);
    lines
}

fn tls() {
    let dir = tempfile::tempdir().unwrap();
    let [key, own] = certificate(dir.path());
    let port = free();
    let address = format!("127.0.0.1:{port}");
    let watch = Watch::start(&["--events", "net_packet_tls_client_hello,net_packet_tls_server_hello"]);
    let server = Server::start(
        Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-alpn", "h2,http/1.1", "-accept", &address])
            .args(["-key", &key, "-cert", &own]),
    )
    // Its connection is the control: one that says nothing of TLS is not told.
    .wait(&address);
    let client = |args: &[&str]| {
        let with = ["s_client", "-connect", &address, "-servername", "tls.tarsius", "-alpn", "http/1.1"];
        output_of(Command::new("openssl").args(with).args(args))
    };
    let (third, said) = client(&["-tls1_3"]);
    assert!(said.contains("TLSv1.3"), "{said}");
    let (second, said) = client(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(said.contains("TLSv1.2"), "{said}");
    let (curl, said) = output_of(
        Command::new("curl")
            .args([
                "--insecure",
                "--silent",
                "--http1.1",
                "--resolve",
                &format!("curl.tarsius:{port}:127.0.0.1"),
            ])
            .arg(format!("https://curl.tarsius:{port}/")),
    );
    assert!(said.contains("s_server"), "{said}");
    let server_pid = server.0.id();
    drop(server);
    let account = watch.stop();
    account.assert_clean();

    let hellos = of(&account, "net_packet_tls_client_hello", "dst_port", port, "EGRESS");
    let who: Vec<Value> = hellos.iter().map(|l| l.process("/host_pid").clone()).collect();
    assert_eq!(who, [json!(third), json!(second), json!(curl)], "{hellos:?}");
    let versions: Vec<Value> = hellos.iter().map(|l| l.parsed("version")).collect();
    assert_eq!(versions[..2], [json!("TLS_1.3"), json!("TLS_1.2")]);
    let names: Vec<Value> = hellos.iter().map(|l| l.get("sni")).collect();
    assert_eq!(names, [json!("tls.tarsius"), json!("tls.tarsius"), json!("curl.tarsius")]);
    for hello in &hellos[..2] {
        hello.assert(&[("alpn", json!(["http/1.1"]))]);
    }
    let ja4 = hellos.iter().map(|l| l.get("ja4").as_str().unwrap()[..4].to_string()).collect::<Vec<_>>();
    assert_eq!(ja4, ["t13d", "t12d", "t13d"]);
    // The same as they arrive: the same fingerprints.
    let arrived = of(&account, "net_packet_tls_client_hello", "dst_port", port, "INGRESS");
    let prints = |lines: &[&Line]| lines.iter().map(|l| [l.get("ja3"), l.get("ja4")]).collect::<Vec<_>>();
    assert_eq!(prints(&hellos), prints(&arrived));

    let answers = of(&account, "net_packet_tls_server_hello", "src_port", port, "EGRESS");
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers.iter().all(|l| *l.process("/host_pid") == server_pid), "{answers:?}");
    let versions: Vec<Value> = answers.iter().map(|l| l.parsed("version")).collect();
    assert_eq!(versions, [json!("TLS_1.3"), json!("TLS_1.2"), json!("TLS_1.3")]);
    answers[1].assert(&[
        ("cipher_suite", json!("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")),
        ("alpn", json!("http/1.1")),
    ]);
    assert_eq!(of(&account, "net_packet_tls_server_hello", "src_port", port, "INGRESS").len(), 3);
}

/// Requests of curl, which the workers of a server answer; the same over TLS, where there is no HTTP to be seen.
fn http() {
    let dir = tempfile::tempdir().unwrap();
    let [port, secret] = [free(), free()];
    let watch =
        Watch::start(&["--events", "net_packet_http,net_packet_http_request,net_packet_http_response"]);
    let server = nginx(dir.path(), [port, secret]);
    let page = format!("http://127.0.0.1:{port}/page");
    let secret_page = format!("https://127.0.0.1:{secret}/page");
    // A head that is longer than a segment of most networks, and that nginx takes.
    let long = format!("X-Long: {}", "l".repeat(6000));
    let curl = |args: &[&str]| output_of(Command::new("curl").args(["--silent", "--insecure"]).args(args));
    let (first, answer) = curl(&["--header", &long, &page]);
    assert_eq!(answer, "what the page says\n");
    let (second, answer) =
        curl(&["--request", "DELETE", "--user-agent", "tarsius/1", &format!("{page}/none?a=b")]);
    assert!(answer.contains("405 Not Allowed"), "{answer}");
    assert_eq!(curl(&[&secret_page]).1, "what the page says\n");
    let master = server.0.id();
    let account = watch.stop();
    account.assert_clean();
    drop(server);

    let requests = of(&account, "net_packet_http_request", "dst_port", port, "EGRESS");
    let asked: Vec<(Value, Value, Value)> = requests
        .iter()
        .map(|l| {
            let request = l.get("http_request");
            (l.process("/host_pid").clone(), request["method"].clone(), request["uri_path"].clone())
        })
        .collect();
    let expected = [(first, "GET", "/page"), (second, "DELETE", "/page/none?a=b")];
    assert_eq!(asked, expected.map(|(pid, method, path)| (json!(pid), json!(method), json!(path))));
    assert_eq!(requests[0].get("http_request")["headers"]["X-Long"]["header"][0], "l".repeat(6000));
    assert_eq!(requests[1].get("http_request")["headers"]["User-Agent"]["header"][0], "tarsius/1");
    // It arrives at a worker, which answers.
    let arrived = of(&account, "net_packet_http_request", "dst_port", port, "INGRESS");
    let answers = of(&account, "net_packet_http_response", "src_port", port, "EGRESS");
    let codes: Vec<Value> = answers.iter().map(|l| l.get("http_response")["status_code"].clone()).collect();
    assert_eq!((arrived.len(), codes), (2, vec![json!(200), json!(405)]), "{answers:?}");
    for line in answers {
        assert_eq!(
            (line.process("/thread/name"), line.process("/host_ppid")),
            (&json!("nginx"), &json!(master))
        );
    }
    // What comes before a worker has accepted the connection is the listening socket's, which the master made.
    assert!(arrived.iter().all(|l| *l.process("/thread/name") == "nginx"), "{arrived:?}");
    for event in ["net_packet_http", "net_packet_http_request", "net_packet_http_response"] {
        let told = account.lines.of(event);
        let secret = told.iter().filter(|l| {
            let metadata = l.get("metadata");
            metadata["dst_port"] == secret || metadata["src_port"] == secret
        });
        assert_eq!(secret.count(), 0, "{event}");
    }
}

/// The record of a packet, as the kernel tells it.
fn raw(data: &[u8]) -> Vec<u8> {
    let field = |at: usize| data.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let six = data.first().is_some_and(|b| b >> 4 == 6);
    let (protocol, over) =
        if six { (6, 40) } else { (9, data.first().map_or(0, |b| usize::from(b & 15) * 4)) };
    let address: std::net::IpAddr = if six { "::1".parse().unwrap() } else { [127, 0, 0, 1].into() };
    let metadata = event::Packet {
        src: address,
        dst: address,
        src_port: field(over),
        dst_port: field(over + 2),
        protocol: data.get(protocol).copied().unwrap_or(0),
        direction: event::Direction::Egress,
        length: data.len() as u32,
        ifindex: 1,
        encapsulation: None,
    };
    let definition = catalogue::event("net_packet_raw").unwrap();
    let at = |name: &str| definition.fields.iter().position(|f| f.name == name).unwrap() as u8;
    event::build::RecordBuilder::new(definition, event::Header::unknown(5))
        .put_packet(at("metadata"), &metadata)
        .put_bytes(at("data"), data, catalogue::Quality::Ok)
        .finish()
}

/// What the dissector makes of packets that follow one another, by event; and how many headers were malformed, by protocol.
fn dissected(packets: &[Vec<u8>]) -> (BTreeMap<&'static str, usize>, BTreeMap<&'static str, u64>) {
    let (mut dissector, mut events) = (packet::Dissector::new(|_| true), BTreeMap::new());
    for data in packets {
        let record = raw(data);
        dissector.dissect(&event::Event::decode(&record).unwrap(), |made| {
            *events.entry(event::Event::decode(made).unwrap().definition.name).or_default() += 1;
        });
    }
    let malformed = dissector.malformed().filter(|(_, count)| *count > 0).collect();
    (events, malformed)
}

/// Packets of real programs, changed in tens of thousands of ways: none makes the dissector fail, and what is malformed is counted.
fn changed() {
    let mut act = Act::new("mixed", &[]);
    act.perform();
    let packets = crate::capture::in_order(&act.dir.path().join("tcpdump.pcap"), 14);
    // The control: as they are, nothing is malformed, and all that was said is there.
    let (events, malformed) = dissected(&packets);
    assert!(malformed.is_empty(), "{malformed:?}");
    for event in [
        "net_packet_icmp",
        "net_packet_ipv6",
        "net_packet_dns_response",
        "net_packet_http_request",
        "net_packet_http_response",
        "net_packet_tls_client_hello",
        "net_packet_tls_server_hello",
        "net_packet_ssh_banner",
    ] {
        assert!(events.contains_key(event), "{event}: {events:?}");
    }
    // The same numbers each time, so that what fails once fails again.
    let mut state = 0x5eed_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let (mut all, mut counts) = (0, BTreeMap::<&str, u64>::new());
    for _ in 0..500 {
        let mut stream = vec![];
        for packet in &packets {
            let mut packet = packet.clone();
            match random(8) {
                0 => packet.truncate(random(packet.len())),
                // In the headers, mostly.
                1..=3 => {
                    for _ in 0..=random(6) {
                        let within = if random(2) == 0 { 80 } else { packet.len() };
                        let at = random(within);
                        if let Some(byte) = packet.get_mut(at) {
                            *byte = random(256) as u8;
                        }
                    }
                }
                4 => packet.extend_from_slice(&packets[random(packets.len())]),
                5 => stream.push(packet.clone()),
                6 if !stream.is_empty() => {
                    let at = random(stream.len());
                    stream.swap_remove(at);
                }
                _ => {}
            }
            stream.push(packet);
        }
        all += stream.len();
        for (protocol, count) in dissected(&stream).1 {
            *counts.entry(protocol).or_default() += count;
        }
    }
    println!("{all} packets, malformed headers: {counts:?}");
    for protocol in ["IP", "TCP", "UDP", "ICMP"] {
        assert!(counts.contains_key(protocol), "{counts:?}");
    }
}

fn ssh() {
    let dir = tempfile::tempdir().unwrap();
    let port = free();
    let watch = Watch::start(&["--events", "net_packet_ssh_banner"]);
    // The control: what waits is a client without a banner, of which nothing is told.
    let server = sshd(dir.path(), port);
    let (client, keys) =
        output_of(Command::new("ssh-keyscan").args(["-t", "ed25519", "-p", &port.to_string(), "127.0.0.1"]));
    assert!(keys.contains("ssh-ed25519"), "{keys}");
    drop(server);
    let account = watch.stop();
    account.assert_clean();
    let said = of(&account, "net_packet_ssh_banner", "dst_port", port, "EGRESS");
    assert_eq!(said.len(), 1, "{said:?}");
    said[0].assert(&[("protocol", json!("2.0"))]);
    assert_eq!(said[0].process("/host_pid"), &json!(client));
    assert!(said[0].get("software").as_str().unwrap().starts_with("OpenSSH"), "{said:?}");
    let answered = of(&account, "net_packet_ssh_banner", "dst_port", port, "INGRESS");
    assert_eq!(answered.len(), 1, "{answered:?}");
    let banners = of(&account, "net_packet_ssh_banner", "src_port", port, "INGRESS");
    assert!(!banners.is_empty(), "{:?}", account.lines);
    assert!(
        banners.iter().all(|l| l.get("software").as_str().unwrap().starts_with("OpenSSH_")),
        "{banners:?}"
    );
}

/// An address of this machine that no name server has.
const HOST: &str = "127.83.65.84";

fn dns() {
    let other = free();
    let servers = [dnsmasq(HOST, 53), dnsmasq(HOST, other)];
    let watch = Watch::start(&["--events", "net_packet_dns,net_packet_dns_response"]);
    let ask = |port: u16, more: &[&str]| {
        let port = port.to_string();
        let (pid, said) = output_of(
            Command::new("dig")
                .args(["+noedns", "+short", "+tries=1", "-p", &port, &format!("@{HOST}"), "dns.tarsius", "A"])
                .args(more),
        );
        assert_eq!(said.trim(), "192.0.2.7");
        pid
    };
    let udp = ask(53, &[]);
    let tcp = ask(53, &["+tcp"]);
    let elsewhere = ask(other, &[]);
    // Not over TCP on another port; nor is what is no message, though it begins like one.
    ask(other, &["+tcp"]);
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    noise.send_to(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x3fcut", (HOST, other)).unwrap();
    let account = watch.stop();
    account.assert_clean();
    drop(servers);
    let answers: Vec<(Value, Value, Value)> = account
        .lines
        .of("net_packet_dns_response")
        .into_iter()
        .filter(|l| l.get("metadata")["src_ip"] == HOST && l.get("metadata")["direction"] == "INGRESS")
        .map(|l| (l.process("/host_pid").clone(), l.get("transport"), l.get("metadata")["src_port"].clone()))
        .collect();
    let expected = [(udp, "udp", 53), (tcp, "tcp", 53), (elsewhere, "udp", other)];
    assert_eq!(answers, expected.map(|(pid, transport, port)| (json!(pid), json!(transport), json!(port))));
    let asked: Vec<&Line> = account
        .lines
        .of("net_packet_dns")
        .into_iter()
        .filter(|l| l.get("dst") == HOST && l.get("metadata")["direction"] == "EGRESS")
        .collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    for line in asked {
        assert_eq!(line.get("proto_dns")["questions"][0]["name"], "dns.tarsius");
        line.assert(&[("service", json!("dns"))]);
    }
}

fn flows() {
    let watch = Watch::start(&["--events", "net_flow_udp_begin,net_flow_udp_end"]);
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    for _ in 0..3 {
        client.send_to(b"question", server.local_addr().unwrap()).unwrap();
        let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"yes", from).unwrap();
        client.recv(&mut [0; 16]).unwrap();
    }
    // Idle for as long as a flow may be; another begins meanwhile, and has not ended.
    std::thread::sleep(Duration::from_secs(20));
    let later = UdpSocket::bind("127.0.0.1:0").unwrap();
    later.send_to(b"x", server.local_addr().unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(11));
    let account = watch.stop();
    account.assert_clean();
    let with = |event: &str, port: u16| account.lines.with(event, "src_port", port);
    assert_eq!(with("net_flow_udp_begin", at(&client)).len(), 2);
    assert_eq!(with("net_flow_udp_begin", at(&later)).len(), 2);
    assert!(with("net_flow_udp_end", at(&later)).is_empty(), "{:?}", account.lines);
    let ends = with("net_flow_udp_end", at(&client));
    assert_eq!(ends.len(), 2, "{ends:?}");
    for (direction, [sent, received]) in [("outgoing", [24, 9]), ("incoming", [9, 24])] {
        let end = ends.iter().find(|l| l.get("conn_direction") == direction).unwrap();
        end.assert(&[
            ("dst_port", json!(at(&server))),
            ("reason", json!("idle")),
            ("bytes_sent", json!(sent)),
            ("bytes_received", json!(received)),
            ("packets_sent", json!(3)),
            ("packets_received", json!(3)),
        ]);
        assert_eq!(end.process("/host_pid"), &json!(std::process::id()));
    }
}

/// Sends bytes to 127.0.0.1 from a raw socket of that protocol.
fn send_raw(protocol: i32, bytes: &[u8]) {
    // SAFETY: plain system calls; the address and the bytes live through them.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        let mut to: libc::sockaddr_in = std::mem::zeroed();
        to.sin_family = libc::AF_INET as u16;
        to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let length = size_of::<libc::sockaddr_in>() as u32;
        let sent =
            libc::sendto(socket, bytes.as_ptr().cast(), bytes.len(), 0, (&raw const to).cast(), length);
        assert_eq!(sent, bytes.len() as isize, "{}", std::io::Error::last_os_error());
        libc::close(socket);
    }
}

/// A packet between addresses that are for documentation: as its header says, or with more to come or that many bytes before it.
fn ip(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0x77, 0x77]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
    packet.extend(payload);
    packet
}

fn question(name: &str) -> Vec<u8> {
    let message = e2e::acts::dns_question(7, name);
    let mut datagram = vec![0x9c, 0x40, 0, 53];
    datagram.extend((8 + message.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(message);
    datagram
}

fn tunnels() {
    const RAW: i32 = 255;
    let watch = Watch::start(&["--events", "net_packet_dns_request,net_packet_ipv4"]);
    let inner = |name: &str| ip(17, 0, &question(name));
    send_raw(47, &[&[0, 0, 8, 0][..], &inner("gre.tarsius")].concat());
    send_raw(4, &inner("ipip.tarsius"));
    let frame = |name: &str| [&[0; 12][..], &[0x81, 0, 0, 7, 8, 0], &inner(name)].concat();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &frame("vxlan.tarsius")].concat();
    sender.send_to(&vxlan, "127.0.0.1:4789").unwrap();
    let geneve = [&[0, 0, 0x65, 0x58, 0, 0, 7, 0][..], &frame("geneve.tarsius")].concat();
    sender.send_to(&geneve, "127.0.0.1:6081").unwrap();
    // In two fragments, the last one first; and, as a control, one whose rest does not come.
    let datagram = question("fragments.tarsius");
    let last = ip(17, 16 / 8, &datagram[16..]);
    let first = ip(17, 0x2000, &datagram[..16]);
    let lost = ip(17, 0x2000 | 0x10, &question("lost.tarsius")[..16]);
    for packet in [&last, &first, &lost] {
        let mut packet = packet.clone();
        // To this machine: the socket takes the header as it is.
        packet[16..20].copy_from_slice(&[127, 0, 0, 1]);
        packet[12..16].copy_from_slice(&[127, 0, 0, 1]);
        send_raw(RAW, &packet);
    }
    let account = watch.stop();
    account.assert_balanced();
    let own = json!(std::process::id());
    let told = |name: &str| -> Vec<&Line> {
        let mut lines = account.lines.of("net_packet_dns_request");
        lines.retain(|l| {
            let metadata = l.get("metadata");
            metadata["direction"] == "EGRESS" && l.get("dns_questions")["questions"][0]["query"] == name
        });
        assert!(lines.iter().all(|l| *l.process("/host_pid") == own), "{lines:?}");
        lines
    };
    for kind in ["gre", "ipip", "vxlan", "geneve"] {
        let lines = told(&format!("{kind}.tarsius"));
        assert_eq!(lines.len(), 1, "{kind}: {:?}", account.lines);
        let metadata = lines[0].get("metadata");
        assert_eq!(metadata["encapsulation"], kind);
        assert_eq!((&metadata["src_ip"], &metadata["dst_ip"]), (&json!("192.0.2.1"), &json!("198.51.100.2")));
        assert_eq!((&metadata["src_port"], &metadata["dst_port"]), (&json!(40000), &json!(53)));
    }
    let whole = told("fragments.tarsius");
    assert_eq!(whole.len(), 1, "{:?}", account.lines);
    assert_eq!(whole[0].get("metadata")["encapsulation"], Value::Null);
    assert!(told("lost.tarsius").is_empty());
}

fn vsock(name: &str) {
    // SAFETY: a plain system call.
    let socket = unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        println!("SKIP {name}: this kernel has no vsock");
        return;
    }
    let watch = Watch::start(&["--events", "security_socket_connect"]);
    // SAFETY: all zero is an address without anything in it; it lives through the call.
    let error = unsafe {
        let mut to: libc::sockaddr_vm = std::mem::zeroed();
        to.svm_family = libc::AF_VSOCK as u16;
        to.svm_cid = 3;
        to.svm_port = 23105;
        let length = size_of::<libc::sockaddr_vm>() as u32;
        assert_eq!(libc::connect(socket, (&raw const to).cast(), length), -1);
        std::io::Error::last_os_error().raw_os_error().unwrap()
    };
    // SAFETY: the socket is ours.
    unsafe { libc::close(socket) };
    let account = watch.stop();
    account.assert_clean();
    let to = json!({"sa_family": "AF_VSOCK", "svm_cid": 3, "svm_port": 23105});
    let line = account.lines.one("security_socket_connect", "remote_addr", to);
    assert_eq!(line.process("/host_pid"), &json!(std::process::id()));
    // The hooks of the better tiers come before the result.
    assert!([json!(-error), Value::Null].contains(&line.get("returnValue")), "{line:?}");
}
