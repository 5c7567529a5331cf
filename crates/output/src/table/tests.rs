use std::net::{Ipv4Addr, Ipv6Addr};

use catalogue::{EVENTS, Quality, Type};
use event::build::RecordBuilder;
use event::{Capabilities, Cred, Direction, Header, Packet, SockAddr, UnixName};
use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;

use super::*;
use crate::testing::{CONTAINER, Host, header, index, record};

/// A question for example.com's address, and an answer by a compression pointer.
const DNS: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03com\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\x5d\xb8\xd8\x22";

fn table(colour: bool) -> Table {
    let clock = Clock::fixed(TimeZone::fixed(Offset::constant(2)));
    Table { colour, wide: false, columns: None, clock }
}

fn line(mut table: Table, record: RecordBuilder) -> String {
    let record = record.finish();
    let mut out = Vec::new();
    table.write_event(&mut out, &Event::decode(&record).unwrap(), &Host);
    String::from_utf8(out).unwrap()
}

fn open(header: Header, path: &[u8], quality: Quality) -> RecordBuilder {
    let at = |name| index("security_file_open", name);
    record("security_file_open", header)
        .put_str(at("pathname"), path, quality)
        .put_i32(at("flags"), 0o101)
        .put_u64(at("inode"), 7)
}

fn exec() -> RecordBuilder {
    let at = |name| index("sched_process_exec", name);
    record("sched_process_exec", Header { cgroup: CONTAINER, ..header(b"sh") })
        .put_str(at("cmdpath"), b"./a b", Quality::Ok)
        .put_str(at("pathname"), b"/usr/bin/env", Quality::Ok)
        .put_str_array(at("argv"), &[b"sh", b"-c", b"echo \x1b[31m\"hi\""], Quality::Truncated)
        .put_bool(at("invoked_from_kernel"), false)
        .put_u32(at("stdin_type"), 0o010000)
        .put_cred(at("new_cred"), &Cred::default())
}

/// The arguments of a line.
fn args(record: RecordBuilder) -> String {
    line(table(false), record).split_off(COLUMNS.iter().map(|c| c.1 + 1).sum::<usize>() - 1)
}

#[test]
fn lines() {
    let mut out = Vec::new();
    table(false).write_header(&mut out);
    let mut all = String::from_utf8(out).unwrap();
    let failed = Header { ret: Some(-2), ..header(b"cat") };
    let well = Header { ret: Some(3), ..header(b"tmux: server") };
    let long = Header { uid: 4_294_967_294, pid: 4_194_304, tid: 4_194_304, ..header(b"Isolated Web Co") };
    for record in [
        exec(),
        open(failed, b"/etc/passwd", Quality::Ok),
        open(well, b"/etc/hosts", Quality::Unresolved),
        open(long, b"/very/long", Quality::Truncated),
        record("commit_creds", Header::unknown(5)),
    ] {
        all += &line(table(false), record);
    }
    insta::assert_snapshot!(all, @r#"
    TIME             UID    COMM             PID     TID     RET              EVENT                     ARGS
    00:13:20.123456  1000   sh               4242    4243    -                sched_process_exec        cmdpath="./a b" pathname=/usr/bin/env argv=["sh","-c","echo \x1b[31m\"hi\""]… container=0123456789ab/web
    00:13:20.123456  1000   cat              4242    4243    -ENOENT          security_file_open        pathname=/etc/passwd flags=O_WRONLY|O_CREAT
    00:13:20.123456  1000   "tmux: server"   4242    4243    3                security_file_open        pathname=/etc/hosts (unresolved) flags=O_WRONLY|O_CREAT
    00:13:20.123456  4294967294 "Isolated Web Co" 4194304 4194304 -                security_file_open        pathname=/very/long… flags=O_WRONLY|O_CREAT
    02:00:00.000000  ?      ?                ?       ?       -                commit_creds
    "#);
}

#[test]
fn coloured() {
    let failed = Header { ret: Some(-2), ..header(b"cat") };
    let all = line(table(true), open(failed, b"/etc/passwd", Quality::Ok)) + &line(table(true), exec());
    insta::assert_snapshot!(all.replace('\x1b', "^"), @r#"
    ^[2m00:13:20.123456^[0m  1000   cat              4242    4243    ^[31m-ENOENT^[0m          ^[34msecurity_file_open^[0m        ^[2mpathname=^[0m/etc/passwd ^[2mflags=^[0mO_WRONLY|O_CREAT
    ^[2m00:13:20.123456^[0m  1000   sh               4242    4243    -                ^[32msched_process_exec^[0m        ^[2mcmdpath=^[0m"./a b" ^[2mpathname=^[0m/usr/bin/env ^[2margv=^[0m["sh","-c","echo \x1b[31m\"hi\""]… ^[2mcontainer=^[0m^[36m0123456789ab/web^[0m
    "#);
}

#[test]
fn cut_at_the_width_of_the_terminal() {
    let shown = |colour, columns, path: &str| {
        let mut table = table(colour);
        table.set_columns(Some(columns));
        line(table, open(header(b"cat"), path.as_bytes(), Quality::Ok)).replace('\x1b', "^")
    };
    let width = 120;
    for path in ["/a/b/c", "/a/long/path/to/something"] {
        for colour in [false, true] {
            let mut wide = table(colour);
            wide.wide = true;
            wide.set_columns(Some(20));
            assert!(line(wide, open(header(b"cat"), path.as_bytes(), Quality::Ok)).contains("O_CREAT"));
        }
    }
    insta::assert_snapshot!(shown(false, width, "/a/long/path/to/something"), @"00:13:20.123456  1000   cat              4242    4243    -                security_file_open        pathname=/a/long/pa…");
    insta::assert_snapshot!(shown(true, width, "/a/long/path/to/something"), @"^[2m00:13:20.123456^[0m  1000   cat              4242    4243    -                ^[34msecurity_file_open^[0m        ^[2mpathname=^[0m/a/long/pa^[0m…");
    // Characters of two columns, of which half of one would not fit.
    for columns in 100..130 {
        let line = shown(false, columns, "/漢字漢字漢字漢字漢字");
        let used = cut::width(line.trim_end().as_bytes());
        let columns = usize::from(columns);
        assert!(used == columns || used + 1 == columns, "{columns} {used}");
    }
}

#[test]
fn strings_can_be_nothing_else() {
    let shown = |bytes: &[u8]| {
        let mut out = Vec::new();
        text::string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    };
    for (bytes, expected) in [
        (&b"/usr/bin/x=y(1)"[..], "/usr/bin/x=y(1)"),
        (b"", r#""""#),
        (b"a b", r#""a b""#),
        (br#"a"b\c"#, r#""a\"b\\c""#),
        (b"(faulted)", r#""(faulted)""#),
        (b"\x1b[2J\r\n\t\0\x7f", r#""\x1b[2J\r\n\t\x00\x7f""#),
        (b"\xff\xc3", r#""\xff\xc3""#),
        ("grüße…".as_bytes(), r#""grüße…""#),
        // C1 control, right-to-left override, zero width space, line separator.
        ("\u{9b}\u{202e}\u{200b}\u{2028}".as_bytes(), r#""\u{9b}\u{202e}\u{200b}\u{2028}""#),
    ] {
        assert_eq!(shown(bytes), expected);
    }
}

#[test]
fn addresses() {
    let shown = |address: SockAddr<'_>| {
        let at = index("security_socket_connect", "remote_addr");
        let line = args(record("security_socket_connect", header(b"nc")).put_sockaddr(at, &address));
        line.trim().strip_prefix("remote_addr=").unwrap().to_string()
    };
    let v6 = |scope_id| SockAddr::Inet6 { addr: Ipv6Addr::LOCALHOST, port: 80, flowinfo: 0, scope_id };
    assert_eq!(shown(SockAddr::Inet { addr: Ipv4Addr::LOCALHOST, port: 80 }), "127.0.0.1:80");
    assert_eq!(shown(v6(0)), "[::1]:80");
    assert_eq!(shown(v6(2)), "[::1%2]:80");
    assert_eq!(shown(SockAddr::Unix(UnixName::Path(b"/run/a"))), "unix:/run/a");
    assert_eq!(shown(SockAddr::Unix(UnixName::Path(b"@a"))), r#"unix:"@a""#);
    assert_eq!(shown(SockAddr::Unix(UnixName::Abstract(b"a\0b"))), r#"unix:@"a\x00b""#);
    assert_eq!(shown(SockAddr::Unix(UnixName::Unnamed)), "unix:");
    assert_eq!(shown(SockAddr::Other { family: 16, bytes: &[0, 255] }), "AF_NETLINK:00ff");
}

#[test]
fn other_values() {
    let end = Ipv4Addr::LOCALHOST.into();
    let packet = Packet {
        src: end,
        dst: end,
        src_port: 53,
        dst_port: 4242,
        protocol: 17,
        direction: Direction::Ingress,
        length: 100,
        ifindex: 1,
        encapsulation: None,
    };
    let dns = |event, message: &[u8]| {
        args(record(event, header(b"dig")).put_packet(0, &packet).put_bytes(1, message, Quality::Ok))
    };
    let cred = Cred { euid: 5, suid: 5, fsuid: 6, cap_effective: Capabilities(7), ..Cred::default() };
    let mut none = DNS[..29].to_vec();
    (none[3], none[7]) = (0x83, 0);
    let lost = |at| index("lost_events", at);
    let mut all = String::new();
    for line in [
        dns("net_packet_dns_request", DNS),
        dns("net_packet_dns_response", DNS),
        dns("net_packet_dns_response", &none),
        dns("net_packet_dns_response", &DNS[..40]),
        args(record("commit_creds", header(b"su")).put_cred(0, &Cred::default()).put_cred(1, &cred)),
        args(record("security_file_open", header(b"x")).put(0, Quality::Faulted, &[])),
        args(
            record("lost_events", header(b"x"))
                .put_u64(lost("since"), 1_700_000_000_123_456_789)
                .put_u64(lost("count"), 3),
        ),
    ] {
        all += &line;
    }
    insta::assert_snapshot!(all, @"
    metadata=127.0.0.1:53 -> 127.0.0.1:4242 dns_questions=A example.com
    metadata=127.0.0.1:53 -> 127.0.0.1:4242 dns_response=example.com A 93.184.216.34 (ttl 300)
    metadata=127.0.0.1:53 -> 127.0.0.1:4242 dns_response=example.com A (no such name)
    metadata=127.0.0.1:53 -> 127.0.0.1:4242 dns_response=example.com A…
    old_cred={uid=0 euid=0 gid=0 egid=0 caps=0} new_cred={uid=0 euid=5 fsuid=6 gid=0 egid=0 caps=3}
    pathname=(faulted)
    count=3 since=2023-11-15T00:13:20.123456
    ");
}

#[test]
fn times_are_local() {
    let mut clock = Clock::fixed(TimeZone::fixed(Offset::constant(-5)));
    let mut out = Vec::new();
    clock.date_and_time(&mut out, 1_700_000_000_123_456_789);
    out.push(b' ');
    clock.time(&mut out, 1_700_000_000_999_999_999);
    assert_eq!(String::from_utf8(out).unwrap(), "2023-11-14T17:13:20.123456 17:13:20.999999");
    clock.date_and_time(&mut Vec::new(), 0);
    clock.date_and_time(&mut Vec::new(), u64::MAX);
}

/// A payload of that type with these bytes in it.
fn put(record: RecordBuilder, index: u8, ty: Type, quality: Quality, raw: &[u8]) -> RecordBuilder {
    match ty {
        Type::Str | Type::Path => record.put_str(index, raw, quality),
        Type::StrArray => record.put_str_array(index, &[raw, b"", raw], quality),
        Type::Sockaddr => {
            let unix = UnixName::Abstract(raw);
            record.put_sockaddr(index, &SockAddr::Unix(unix))
        }
        Type::DnsQuestions | Type::DnsAnswers | Type::Bytes => record.put_bytes(index, raw, quality),
        Type::I32 | Type::U32 => record.put_u32(index, raw.len() as u32 ^ 0xdead_beef),
        _ => record,
    }
}

proptest! {
    #[test]
    fn any_bytes_give_one_line_without_a_control_character(
        raw in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            any::<String>().prop_map(String::into_bytes),
            Just(DNS.to_vec()),
        ],
        quality in prop::sample::select(vec![
            Quality::Ok, Quality::Truncated, Quality::Faulted, Quality::Unresolved,
        ]),
        comm: [u8; 16],
        ret: Option<i64>,
        columns in prop::option::of(0..300u16),
        colour: bool,
    ) {
        for definition in EVENTS {
            let header = Header { comm, ret, ..header(b"") };
            let mut record = RecordBuilder::new(definition, header);
            for (index, field) in definition.fields.iter().enumerate() {
                record = put(record, index as u8, field.ty, quality, &raw);
            }
            let mut table = table(colour);
            table.set_columns(columns);
            let line = line(table, record);
            let text = line.strip_suffix('\n').unwrap();
            // Colours are ours: a number or none between `[` and `m`.
            let mut parts = text.split("\x1b[");
            let mut plain = parts.next().unwrap().to_string();
            for part in parts {
                prop_assert!(colour);
                let (code, rest) = part.split_once('m').unwrap();
                prop_assert!(code.bytes().all(|b| b.is_ascii_digit()));
                plain += rest;
            }
            let bad = |c: char| {
                c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            prop_assert!(!plain.contains(bad), "{plain:?}");
            if let Some(columns) = columns {
                prop_assert!(cut::width(plain.as_bytes()) <= usize::from(columns).max(1));
            }
        }
    }
}
