//! Lines of JSON: well-formed for any record, as the schema says, and unambiguous.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::LazyLock;

use catalogue::{EVENTS, Quality};
use common::{Nobody, any_parts, full, header, with};
use event::build::RecordBuilder;
use event::json::{
    Ancestor, ContainerRef, LabelsRef, PackageRef, PodRef, SymbolRef, Who, schema, write_event,
};
use event::{
    DecodeError, Event, FRAME_BYTES, Flags, Frame, HEADER_BYTES, Header, Memory, Origin, Place, SockAddr,
    USER_STACK, UnixName,
};
use proptest::prelude::*;
use serde_json::{Value, json};

static LABELS: LazyLock<Vec<(Box<str>, Box<str>)>> =
    LazyLock::new(|| vec![("app".into(), "we\"b".into()), ("tier/x".into(), "".into())]);

static INLINED: LazyLock<[Box<str>; 1]> = LazyLock::new(|| ["h".into()]);

/// Knows all.
struct Everybody;

impl Who for Everybody {
    fn host(&self) -> &str {
        "host \"one\""
    }

    fn boot_id(&self) -> &str {
        "0b1c"
    }

    fn wall_time(&self, boot_ns: u64) -> u64 {
        boot_ns
    }

    fn unique_id(&self, start_time: u64, tid: u32) -> u64 {
        start_time + u64::from(tid)
    }

    fn executable<'s>(&'s self, _: &Event<'_>) -> Option<&'s [u8]> {
        Some(b"/usr/bin/b\xffash")
    }

    fn user(&self, uid: u32, _: u64) -> Option<&str> {
        (uid == 1000).then_some("b\\b")
    }

    fn sha256(&self, _: &Event<'_>) -> Option<[u8; 32]> {
        Some([0xa5; 32])
    }

    fn package(&self, event: &Event<'_>) -> Option<Option<PackageRef<'_>>> {
        let package = PackageRef { name: "bash", version: "5.2", modified: Some(true) };
        Some((event.header.pid != 1).then_some(package))
    }

    fn symbol<'s>(&'s self, frame: &Frame) -> SymbolRef<'s> {
        let at = frame.place().map(|p| p.offset);
        if at != Some(0x1012) {
            return SymbolRef::missing("no_symbol");
        }
        SymbolRef {
            path: Some(b"/bin/\xffx"),
            name: Ok(("f\"g", 0x12)),
            source: Some("f.c:3"),
            inlined: INLINED.as_slice(),
        }
    }

    fn container(&self, cgroup: u64) -> Option<ContainerRef<'_>> {
        let pod = PodRef {
            name: "web-1",
            namespace: Some("shop"),
            uid: Some("1f2e-3d"),
            sandbox: false,
            labels: LabelsRef { kept: &LABELS[..], left_out: 2 },
        };
        (cgroup == 4242).then_some(ContainerRef {
            id: "c0ffee",
            runtime: "docker",
            name: Some("we\"b"),
            image: Some("nginx:1"),
            image_digest: Some("sha256:ab"),
            labels: LabelsRef { kept: &LABELS[..1], left_out: 0 },
            pod: Some(pod),
        })
    }

    fn ancestors(&self, _: &Event<'_>, f: &mut dyn FnMut(Ancestor<'_>)) {
        let init = Ancestor {
            unique_id: 1,
            pid: 1,
            ns_pid: 1,
            start_time: 3,
            comm: b"init",
            executable: Some(b"/sbin/init"),
            command_line: None,
        };
        f(Ancestor {
            unique_id: 2,
            pid: 50,
            comm: b"s\\h",
            executable: None,
            command_line: Some(b"sh -c \"x\""),
            ..init
        });
        f(init);
    }

    fn matched_policies(&self, _: &Event<'_>, f: &mut dyn FnMut(&str)) {
        f("one");
        f("two");
    }
}

fn line(record: &[u8], who: &dyn Who) -> String {
    let event = Event::decode(record).unwrap();
    let mut out = Vec::new();
    write_event(&mut out, &event, who);
    String::from_utf8(out).unwrap()
}

fn parsed(record: &[u8], who: &dyn Who) -> Value {
    serde_json::from_str(&line(record, who)).unwrap()
}

fn validator() -> jsonschema::Validator {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn named(name: &str) -> &'static catalogue::Event {
    catalogue::event(name).unwrap()
}

/// One string, as the line has it.
fn string_of(raw: &[u8]) -> Value {
    let record = RecordBuilder::new(named("module_load"), header()).put_str(0, raw, Quality::Ok).finish();
    parsed(&record, &Nobody)["data"][0].clone()
}

#[test]
fn a_line() {
    let flags = Flags(Flags::COMPAT);
    let record = RecordBuilder::new(
        named("security_inode_rename"),
        Header { flags, syscall: Some(38), ret: Some(-2), ..header() },
    )
    .put_str(0, b"/tmp/a\nb", Quality::Unresolved)
    .put_u32(2, 3)
    .finish();
    insta::assert_snapshot!(line(&record, &Everybody), @r##"{"timestamp":{"seconds":5,"nanos":123},"id":"security_inode_rename","name":"security_inode_rename","policies":{"matched":["one","two"]},"workload":{"process":{"executable":{"path":"/usr/bin/b\\xffash","encoding":"escaped","sha256":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5","package":{"name":"bash","version":"5.2","modified":true}},"unique_id":1000000100,"host_pid":100,"pid":10,"real_user":{"id":1000,"name":"b\\b"},"effective_user":{"id":0},"real_group":{"id":1001},"effective_group":{"id":1002},"thread":{"start_time":{"seconds":1,"nanos":1},"name":"bash","unique_id":1000000102,"host_tid":101,"tid":11,"syscall":"rename","compat":true},"host_ppid":1,"ppid":0,"namespaces":{"mnt":11,"pid":12,"net":13,"uts":14,"ipc":15,"user":16,"cgroup":17},"cgroup_id":4242,"ancestors":[{"unique_id":2,"host_pid":50,"pid":1,"command_line":{"value":"sh -c \"x\""},"thread":{"start_time":{"seconds":0,"nanos":3},"name":"s\\h"}},{"unique_id":1,"host_pid":1,"pid":1,"executable":{"path":"/sbin/init"},"thread":{"start_time":{"seconds":0,"nanos":3},"name":"init"}}]},"container":{"id":"c0ffee","runtime":"docker","name":"we\"b","image":{"name":"nginx:1","repo_digests":["sha256:ab"]},"labels":{"app":"we\"b"}},"k8s":{"pod":{"name":"web-1","uid":"1f2e-3d","sandbox":false,"labels":{"app":"we\"b","tier/x":""},"labels_left_out":2},"namespace":{"name":"shop"}}},"data":[{"name":"old_path","str":"/tmp/a\nb","quality":"unresolved"},{"name":"new_path","quality":"unavailable"},{"name":"flags","u_int32":3,"parsed":"RENAME_NOREPLACE|RENAME_EXCHANGE"},{"name":"rewritten","quality":"unavailable"},{"name":"returnValue","int64":-2,"parsed":"ENOENT"}],"seq":7,"lane":"task","cpu":2,"slot":1,"host":"host \"one\"","boot_id":"0b1c","origin":"current"}"##);
}

#[test]
fn a_line_of_nobody() {
    let record = RecordBuilder::new(named("lost_events"), Header::unknown(9))
        .put_str(0, b"net", Quality::Ok)
        .put_str(3, b"ring_full", Quality::Ok)
        .put_u64(4, u64::MAX)
        .put_u64(5, 1_500_000_000)
        .finish();
    insta::assert_snapshot!(line(&record, &Nobody), @r##"{"timestamp":{"seconds":1700000000,"nanos":9},"id":"lost_events","name":"lost_events","workload":{},"data":[{"name":"lane","str":"net"},{"name":"cpu","quality":"unavailable"},{"name":"probe","quality":"unavailable"},{"name":"cause","str":"ring_full"},{"name":"count","u_int64":18446744073709551615},{"name":"since","timespec":{"seconds":1700000001,"nanos":500000000}}],"seq":0,"lane":"life","cpu":0,"slot":0,"host":"host","boot_id":"0b1c","origin":"unknown"}"##);
}

#[test]
fn a_line_of_dns() {
    let owner = Header { origin: Origin::Owner, ..header() };
    insta::assert_snapshot!(line(&full(named("net_packet_dns_response"), owner), &Nobody), @r##"{"timestamp":{"seconds":1700000005,"nanos":123},"id":"net_packet_dns_response","name":"net_packet_dns_response","workload":{"process":{"unique_id":31000000100,"host_pid":100,"pid":10,"real_user":{"id":1000},"effective_user":{"id":0},"real_group":{"id":1001},"effective_group":{"id":1002},"thread":{"start_time":{"seconds":1700000001,"nanos":1},"name":"bash","unique_id":31000000122,"host_tid":101,"tid":11,"compat":false},"host_ppid":1,"ppid":0,"namespaces":{"mnt":11,"pid":12,"net":13,"uts":14,"ipc":15,"user":16,"cgroup":17},"cgroup_id":4242,"ancestors":[]}},"data":[{"name":"metadata","packet_metadata":{"src_ip":"10.0.0.1","dst_ip":"1.1.1.1","src_port":40000,"dst_port":53,"protocol":17,"packet_len":71,"ifindex":2,"direction":"EGRESS"}},{"name":"dns_response","dns_responses":{"responses":[{"dns_query_data":{"query":"example.com","query_type":"A","query_class":"IN"},"dns_answer":[{"type":"A","ttl":300,"answer":"93.184.216.34"}]}]}},{"name":"transport","str":"name"},{"name":"service","str":"name"}],"seq":7,"lane":"net","cpu":2,"slot":1,"host":"host","boot_id":"0b1c","origin":"owner"}"##);
}

#[test]
fn names_in_the_catalogue_need_no_escape() {
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    for event in EVENTS {
        assert!(plain(event.name));
        assert!(event.fields.iter().all(|f| plain(f.name)));
    }
}

#[test]
fn strings_come_back() {
    for text in ["", "plain", "a\"b\\c\n\t\r\x08\x0c\x01\x1f\x7f/", "ünï→🦀", "\u{2028}"] {
        assert_eq!(string_of(text.as_bytes()), json!({ "name": "name", "str": text }));
    }
}

#[test]
fn bytes_that_are_no_text_are_escaped_and_marked() {
    let escaped = |text: &str| json!({ "name": "name", "str": text, "encoding": "escaped" });
    assert_eq!(string_of(b"a\xffb"), escaped(r"a\xffb"));
    assert_eq!(string_of(b"\\x\xc3\n"), escaped("\\\\x\\xc3\n"));
    assert_eq!(string_of(b"\xf0\x9f\xa6"), escaped(r"\xf0\x9f\xa6"));
    // The same characters as text: not marked, so not the same.
    assert_eq!(string_of(br"a\xffb"), json!({ "name": "name", "str": r"a\xffb" }));
}

#[test]
fn an_array_has_one_encoding() {
    let record = RecordBuilder::new(named("sched_process_exec"), header())
        .put_str_array(7, &[br"a\b", b"\xfe"], Quality::Ok)
        .finish();
    assert_eq!(
        parsed(&record, &Nobody)["data"][7],
        json!({ "name": "argv", "str_array": { "value": [r"a\\b", r"\xfe"] }, "encoding": "escaped" })
    );
}

#[test]
fn addresses() {
    let of = |address: SockAddr<'_>| {
        let record =
            RecordBuilder::new(named("security_socket_bind"), header()).put_sockaddr(1, &address).finish();
        let value = parsed(&record, &Nobody);
        assert!(validator().is_valid(&value));
        value["data"][1]["sockaddr"].clone()
    };
    assert_eq!(
        of(SockAddr::Inet { addr: [10, 0, 0, 1].into(), port: 443 }),
        json!({ "sa_family": "AF_INET", "sin_addr": "10.0.0.1", "sin_port": 443 })
    );
    assert_eq!(
        of(SockAddr::Inet6 { addr: "fe80::1".parse().unwrap(), port: 1, flowinfo: 2, scope_id: 3 }),
        json!({
            "sa_family": "AF_INET6", "sin6_addr": "fe80::1", "sin6_port": 1, "sin6_flowinfo": 2, "sin6_scopeid": 3,
        })
    );
    assert_eq!(
        of(SockAddr::Unix(UnixName::Path(b"/run/s"))),
        json!({ "sa_family": "AF_UNIX", "sun_path": "/run/s" })
    );
    assert_eq!(
        of(SockAddr::Unix(UnixName::Abstract(b"x\xff"))),
        json!({ "sa_family": "AF_UNIX", "sun_path": r"@x\xff", "encoding": "escaped", "abstract": true })
    );
    assert_eq!(of(SockAddr::Unix(UnixName::Unnamed)), json!({ "sa_family": "AF_UNIX", "sun_path": "" }));
    assert_eq!(
        of(SockAddr::Vsock { cid: 2, port: 1024 }),
        json!({ "sa_family": "AF_VSOCK", "svm_cid": 2, "svm_port": 1024 })
    );
    assert_eq!(
        of(SockAddr::Other { family: 16, bytes: &[1, 2, 3, 4] }),
        json!({ "sa_family": "AF_NETLINK", "sa_data": "AQIDBA==" })
    );
    assert_eq!(of(SockAddr::Other { family: 999, bytes: b"" }), json!({ "sa_family": "999", "sa_data": "" }));
    assert_eq!(
        of(SockAddr::Other { family: 2, bytes: b"ab" }),
        json!({ "sa_family": "AF_INET", "sa_data": "YWI=" })
    );
}

#[test]
fn every_event_is_as_the_schema_says() {
    let validator = validator();
    let qualities = || (0..5).filter_map(Quality::from_number);
    let headers = [
        header(),
        Header { origin: Origin::Owner, syscall: Some(0), ret: Some(0), ..header() },
        Header { flags: Flags(Flags::KTHREAD), syscall: Some(9999), ret: Some(-13), ..header() },
        Header::unknown(1),
    ];
    for event in EVENTS {
        for header in headers {
            let mut records = vec![full(event, header), RecordBuilder::new(event, header).finish()];
            for quality in qualities() {
                records.push(with(event, header, |_, f| Some((quality, common::payload(f.ty)))));
                let lost = matches!(quality, Quality::Faulted | Quality::Unavailable);
                records.push(with(event, header, |_, _| lost.then(|| (quality, Vec::new()))));
            }
            for record in records {
                for who in [&Nobody as &dyn Who, &Everybody] {
                    let value = parsed(&record, who);
                    if let Err(error) = validator.validate(&value) {
                        panic!("{}: {error} at {}\n{value:#}", event.name, error.instance_path());
                    }
                }
            }
        }
    }
}

/// A frame of each kind; the place of the first has a name.
fn stack() -> Vec<u8> {
    let place = Place { dev: 1, inode: 2, ctime: 3, offset: 0x1012 };
    let memories =
        [Memory::File(place), Memory::File(place), Memory::Anonymous, Memory::Unknown, Memory::Nothing];
    let frames =
        memories.into_iter().enumerate().map(|(n, memory)| Frame { address: 0x5012, memory, behind: n > 0 });
    frames.flat_map(|f| f.encode()).collect()
}

#[test]
fn a_user_stack() {
    let event = named("module_load");
    let of = |quality, payload: &[u8]| {
        let record = RecordBuilder::new(event, header()).put(USER_STACK, quality, payload).finish();
        parsed(&record, &Everybody)
    };
    let validator = validator();
    let whole = of(Quality::Ok, &stack());
    let place = json!({ "address": 0x5012, "dev": 1, "inode": 2, "offset": 0x1012 });
    let with = |more: Value| {
        let mut frame = place.clone();
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        frame
    };
    let nowhere = |reason: &str| json!({ "address": 0x5012, "unresolved": reason });
    assert_eq!(
        whole["workload"]["process"]["thread"]["user_stack_trace"],
        json!({ "addresses": [
            with(json!({ "file": "/bin/\\xffx", "encoding": "escaped", "symbol": "f\"g+0x12", "source": "f.c:3", "inlined": ["h"] })),
            // What returns to there called from one byte before at the latest.
            with(json!({ "unresolved": "no_symbol" })),
            nowhere("anonymous_memory"), nowhere("mappings_busy"), nowhere("no_code"),
        ] })
    );
    let cut = of(Quality::Truncated, &[]);
    assert_eq!(
        cut["workload"]["process"]["thread"]["user_stack_trace"],
        json!({ "addresses": [], "quality": "truncated" })
    );
    for line in [whole, cut, of(Quality::Unavailable, &[])] {
        validator.validate(&line).unwrap();
    }
    let plain = parsed(&RecordBuilder::new(event, header()).finish(), &Everybody);
    assert!(plain["workload"]["process"]["thread"].get("user_stack_trace").is_none());
}

#[test]
fn what_is_no_user_stack_is_refused() {
    let of = |quality, payload: &[u8]| {
        let record =
            RecordBuilder::new(named("module_load"), header()).put(USER_STACK, quality, payload).finish();
        Event::decode(&record).map(|_| ())
    };
    let refused = Err(DecodeError::Stack { offset: HEADER_BYTES });
    let good = stack();
    assert_eq!(of(Quality::Ok, &good), Ok(()));
    for (quality, payload) in [
        (Quality::Ok, &good[1..]),
        (Quality::Ok, &good.repeat(7)),
        (Quality::Unavailable, &good),
        (Quality::Faulted, &[]),
        (Quality::Unresolved, &good),
    ] {
        assert_eq!(of(quality, payload), refused, "{quality:?}");
    }
    for at in [36, 38] {
        let mut wrong = good.clone();
        wrong[at] = 4;
        assert_eq!(of(Quality::Ok, &wrong), refused);
    }
    let twice = RecordBuilder::new(named("module_load"), header()).put(USER_STACK, Quality::Ok, &good);
    let twice = twice.put(USER_STACK, Quality::Ok, &good).finish();
    assert!(matches!(Event::decode(&twice), Err(DecodeError::RepeatedField { index: USER_STACK, .. })));
}

/// The control: what is wrong is found.
#[test]
fn the_schema_refuses_a_wrong_line() {
    let validator = validator();
    let good = parsed(&full(named("security_file_open"), Header { ret: Some(-2), ..header() }), &Everybody);
    assert!(validator.is_valid(&good));
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        assert_ne!(value, good);
        !validator.is_valid(&value)
    };
    assert!(wrong(&|v| v["name"] = "no_such_event".into()));
    assert!(wrong(&|v| v["id"] = "setuid".into()));
    assert!(wrong(&|v| v["lane"] = "net".into()));
    assert!(wrong(&|v| v["extra"] = 1.into()));
    assert!(wrong(&|v| v["seq"] = (-1).into()));
    assert!(wrong(&|v| v["workload"]["process"]["extra"] = 1.into()));
    assert!(wrong(&|v| v["workload"] = json!({})));
    assert!(wrong(&|v| v["origin"] = "unknown".into()));
    assert!(wrong(&|v| v["data"][0]["name"] = "path".into()));
    assert!(wrong(&|v| v["data"][0]["str"] = 5.into()));
    assert!(wrong(&|v| v["data"][0]["quality"] = "fine".into()));
    assert!(wrong(&|v| v["data"][0] = json!({ "name": "pathname" })));
    assert!(wrong(&|v| v["data"][0] = json!({ "name": "pathname", "quality": "ok" })));
    assert!(wrong(&|v| v["data"][1] = json!({ "name": "flags", "int32": 577 })));
    assert!(wrong(&|v| v["data"][1] = json!({ "name": "flags", "u_int32": 577, "parsed": "O_RDONLY" })));
    assert!(wrong(&|v| v["data"][7]["name"] = "return".into()));
    assert!(wrong(&|v| v["data"].as_array_mut().unwrap().truncate(6)));
    assert!(wrong(&|v| v["data"].as_array_mut().unwrap().swap(0, 1)));
    assert!(wrong(&|v| {
        v.as_object_mut().unwrap().remove("boot_id");
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_what_they_were(words in proptest::collection::vec(any::<([u64; 4], u32, u8, bool)>(), 0..32)) {
        let frames: Vec<Frame> = words
            .into_iter()
            .map(|([address, offset, inode, ctime], dev, memory, behind)| {
                let memory = match memory % 4 {
                    0 => Memory::File(Place { dev, inode, ctime, offset }),
                    1 => Memory::Anonymous,
                    2 => Memory::Nothing,
                    _ => Memory::Unknown,
                };
                Frame { address, memory, behind }
            })
            .collect();
        let payload: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        let record = RecordBuilder::new(named("module_load"), header()).put(USER_STACK, Quality::Ok, &payload).finish();
        let event = Event::decode(&record).unwrap();
        prop_assert_eq!(event.user_stack().unwrap().frames().collect::<Vec<_>>(), frames);
    }

    #[test]
    fn any_bytes_are_a_user_stack_or_refused(
        quality in 0u8..5,
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let quality = Quality::from_number(quality).unwrap();
        let record = RecordBuilder::new(named("module_load"), header()).put(USER_STACK, quality, &payload).finish();
        if let Ok(event) = Event::decode(&record) {
            let stack = event.user_stack().unwrap();
            prop_assert_eq!(stack.frames().count() * FRAME_BYTES, payload.len());
        }
    }

    #[test]
    fn any_record_is_one_line_with_each_field(parts in any_parts()) {
        let record = parts.record();
        let text = line(&record, &Nobody);
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
        prop_assert!(text[..text.len() - 1].chars().all(|c| !c.is_ascii_control()));
        let value: Value = serde_json::from_str(&text).unwrap();
        let data = value["data"].as_array().unwrap();
        let names: Vec<_> = data.iter().map(|d| d["name"].as_str().unwrap()).collect();
        // What is there on request is left out where it was not asked for.
        let told = |index: usize| parts.fields.iter().any(|(i, ..)| usize::from(*i) == index);
        let fields = parts.event.fields.iter().enumerate();
        let asked = fields.clone().any(|(index, f)| f.on_request.is_some() && told(index));
        let fields = fields.filter(|(_, f)| asked || f.on_request.is_none());
        let mut expected: Vec<_> = fields.map(|(_, f)| f.name).collect();
        expected.extend(parts.header.ret.map(|_| "returnValue"));
        prop_assert_eq!(names, expected);
        let validator = VALIDATOR.get_or_init(validator);
        prop_assert!(validator.is_valid(&value), "{:?}\n{value:#}", validator.validate(&value));
    }
}

static VALIDATOR: std::sync::OnceLock<jsonschema::Validator> = std::sync::OnceLock::new();
