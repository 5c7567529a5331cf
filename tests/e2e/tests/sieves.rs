//! What the kernel decides of conditions, and what user space does: never otherwise.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use catalogue::{Quality, Type};
use context::{BootId, Clock, Containers, Context, Hierarchy, Processes};
use e2e::scaled;
use event::build::RecordBuilder;
use event::{Cred, Event, Flags, Header, Origin, SockAddr, UnixName};
use expr::Truth;
use policy::{Facts, Fields};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sensor::sifter::Sifter;
use sieve::{Column, Enforcement, Sieve};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("sieves_decide_as_user_space_does", decide_as_user_space),
    ("sieves_that_are_wrong_are_seen", wrong_ones_are_seen),
];

/// The events of which conditions are asked, and what these ask of their fields.
const EVENTS: [(&str, &[&str]); 4] = [
    (
        "security_file_open",
        &[
            r#"data.pathname == "PATH""#,
            r#"data.pathname.startsWith("PART")"#,
            r#"data.pathname.endsWith("PART")"#,
            r#"data.pathname.like("PART*PART")"#,
            r#"data.pathname.like("*PART")"#,
            r#"data.pathname.glob("/a/**/PART")"#,
            r#"data.pathname.basename() == "ab""#,
            r#"data.pathname in ["PATH", "PATH"]"#,
            r#"data.pathname.contains("PART")"#,
            "data.flags == N",
            "data.flags < N",
            "data.mode >= N",
            "data.inode in [N, N, N]",
            "data.inode > N",
            "data.rewritten",
            r#"data.flags.contains("O_CREAT")"#,
        ],
    ),
    (
        "security_socket_connect",
        &[
            r#"data.remote_addr.ip in cidr("10.0.0.0/9")"#,
            r#"data.remote_addr.ip in cidr("0.0.0.0/0")"#,
            r#"data.remote_addr.ip in cidr("::/0")"#,
            r#"data.remote_addr.ip in cidr("fe80::/10", "10.128.0.0/16")"#,
            r#"data.remote_addr.ip == "10.0.0.1""#,
            "data.remote_addr.port == 443",
            "data.remote_addr.port < 1024",
            "data.sockfd > N",
            r#"data.remote_addr.path == "PATH""#,
            r#"data.remote_addr.path == """#,
            r#"data.remote_addr.path.startsWith("PART")"#,
            r#"data.remote_addr.path.endsWith("PART")"#,
            r#"data.remote_addr.path in ["@PART", "PATH"]"#,
        ],
    ),
    (
        "commit_creds",
        &[
            "data.new_cred.uid == 0",
            "data.new_cred.euid != data.old_cred.euid",
            "data.old_cred.uid > N",
            "data.new_cred.cap_effective > N",
            "data.new_cred.fsgid in [N, N]",
        ],
    ),
    (
        "openat",
        &[
            r#"data.pathname.startsWith("PART")"#,
            r#"data.pathname.endsWith("PART")"#,
            "data.dirfd == -100",
            "data.dirfd >= N",
            "data.flags != N",
            "data.duration < N",
        ],
    ),
];

/// What is asked of all of them.
const ABOUT: [&str; 12] = [
    "uid == N",
    "uid >= N",
    "gid != N",
    "euid in [N, N]",
    "hostPid < N",
    "retval < 0",
    "retval in [N, -2]",
    r#"comm == "ab""#,
    r#"comm.startsWith("a")"#,
    r#"comm.endsWith("b")"#,
    "mntns == N",
    "cgroupId > N",
];

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        -3..4i64,
        prop::sample::select(vec![64, 0o100, 1024, 65535, 1 << 31, -(1 << 31), i64::MAX, i64::MIN])
    ]
}

/// A path of which some are alike; some are long.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "(/[ab]{1,2}){1,3}/?",
        1 => Just(String::new()),
        1 => "/a/[ab]{230,250}",
        1 => "/a/[ab]{55,70}/b",
    ]
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]{1,2}", 4 => "/[ab]{1,2}", 2 => "/?[ab]/[ab]", 1 => path()]
}

/// An atom with its letters filled in.
fn atom(event: usize) -> impl Strategy<Value = String> {
    let of_event = prop::sample::select(EVENTS[event].1.to_vec());
    let any = prop_oneof![3 => of_event, 1 => prop::sample::select(ABOUT.to_vec())];
    let fill = (
        prop::collection::vec(path(), 2),
        prop::collection::vec(part(), 2),
        prop::collection::vec(number(), 3),
    );
    (any, fill).prop_map(|(atom, (paths, parts, numbers))| {
        let mut text = atom.to_owned();
        paths.iter().for_each(|p| text = text.replacen("PATH", p, 1));
        parts.iter().for_each(|p| text = text.replacen("PART", p, 1));
        let mut out = String::new();
        let mut numbers = numbers.into_iter();
        let mut last = ' ';
        for c in text.chars() {
            // Not those in names.
            match c {
                'N' if matches!(last, ' ' | '[') => out += &numbers.next().unwrap_or(7).to_string(),
                c => out.push(c),
            }
            last = c;
        }
        out
    })
}

fn condition(event: usize) -> impl Strategy<Value = String> {
    atom(event).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" && "))),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(|any| format!("({})", any.join(" || "))),
            1 => inner.prop_map(|one| format!("!({one})")),
        ]
    })
}

/// A record of that event: what a field is does not matter to who reads its bytes.
fn record(event: usize) -> impl Strategy<Value = Vec<u8>> {
    let definition = catalogue::event(EVENTS[event].0).unwrap();
    let who = (
        prop::array::uniform8(number()),
        "[ab]{0,3}",
        0..8u8,
        prop::sample::select(vec![Origin::Current, Origin::Current, Origin::Owner, Origin::Unknown]),
    );
    let quality = || {
        prop_oneof![6 => Just(Quality::Ok), 1 => prop::sample::select(vec![
            Quality::Truncated, Quality::Unresolved, Quality::Faulted, Quality::Unavailable,
        ])]
    };
    let field = || {
        (
            quality(),
            prop::collection::vec(path(), 1),
            number(),
            prop::array::uniform4(number()),
            0..7u8,
            0..10u8,
        )
    };
    let fields = prop::collection::vec(field(), definition.fields.len());
    (who, fields).prop_map(move |((ids, comm, flags, origin), fields)| {
        let id = |n: usize| ids[n] as u32;
        let mut h = match origin {
            Origin::Unknown => Header::unknown(1),
            origin => Header {
                origin,
                uid: id(0),
                gid: id(1),
                euid: id(2),
                pid: id(3),
                tid: id(3),
                mnt_ns: id(4),
                cgroup: ids[5] as u64,
                ..Header::unknown(1)
            },
        };
        if origin != Origin::Unknown {
            h.comm[..comm.len()].copy_from_slice(comm.as_bytes());
        }
        if flags & 1 != 0 {
            h.flags = Flags(Flags::RETURN);
            h.ret = Some(ids[6]);
        }
        let mut record = RecordBuilder::new(definition, h);
        for (index, (quality, paths, number, more, family, missing)) in fields.into_iter().enumerate() {
            let at = index as u8;
            if missing == 0 {
                continue;
            }
            let there = !matches!(quality, Quality::Faulted | Quality::Unavailable);
            record = match definition.fields[index].ty {
                Type::Str | Type::Path => {
                    record.put_str(at, if there { paths[0].as_bytes() } else { b"" }, quality)
                }
                _ if !there => record.put(at, quality, b""),
                Type::I32 => record.put_i32(at, number as i32),
                Type::U32 => record.put_u32(at, number as u32),
                Type::Bool => record.put_bool(at, number & 1 != 0),
                Type::U64 | Type::I64 | Type::Pointer => record.put_u64(at, number as u64),
                Type::Sockaddr => {
                    let port = if number & 1 == 0 { 443 } else { number as u16 };
                    let last = more[0] as u8;
                    let v4 =
                        |net: [u8; 2]| SockAddr::Inet { addr: Ipv4Addr::new(net[0], net[1], 0, last), port };
                    let v6 = |addr: Ipv6Addr| SockAddr::Inet6 { addr, port, flowinfo: 0, scope_id: 0 };
                    record.put_sockaddr(
                        at,
                        &match family {
                            0 => v4([10, 0]),
                            1 => v4([10, 128]),
                            2 => v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into())),
                            3 => v6(Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped()),
                            4 => SockAddr::Unix(UnixName::Unnamed),
                            5 => SockAddr::Unix(UnixName::Abstract(
                                &paths[0].as_bytes()[..paths[0].len().min(107)],
                            )),
                            _ => SockAddr::Unix(UnixName::Path(
                                &paths[0].as_bytes()[..paths[0].len().min(107)],
                            )),
                        },
                    )
                }
                Type::Cred => {
                    let mut cred = Cred::default();
                    (cred.uid, cred.euid, cred.fsgid) = (more[0] as u32, more[1] as u32, more[2] as u32);
                    cred.cap_effective.0 = more[3] as u64;
                    record.put_cred(at, &cred)
                }
                other => panic!("{other:?}"),
            };
        }
        record.finish()
    })
}

/// Conditions and records at random, the same ones each time; how many, and in how many the kernel decides otherwise than it should.
struct Outcome {
    asked: u64,
    left_out: u64,
    exact: u64,
    killed: u64,
    wrong: Vec<String>,
}

fn ask(conditions: usize, spoil: bool) -> Outcome {
    let ctx = Context::with(
        Processes::new(10),
        Containers::with(Hierarchy::V2 { root: "/none".into() }, 10),
        Clock::fixed(BootId([1; 16]), "host", 1000, 0),
    );
    let mut sifter = Sifter::load(&kernel::Features::probe()).unwrap();
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let mut outcome = Outcome { asked: 0, left_out: 0, exact: 0, killed: 0, wrong: vec![] };
    for n in 0..conditions {
        let place = n % EVENTS.len();
        let definition = catalogue::event(EVENTS[place].0).unwrap();
        let text = condition(place).new_tree(&mut runner).unwrap().current();
        let compile = |text: &str| {
            let parsed = expr::parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            expr::compile(&parsed, &Fields { event: definition }).unwrap_or_else(|e| panic!("{text}: {e:?}"))
        };
        let compiled = compile(&text);
        let (ways, exact) = policy::alternatives(definition, Some(&compiled), |slot| Some(*slot));
        let columns: Vec<Column> = ways.iter().flat_map(|way| way.columns().map(|(c, _)| *c)).collect();
        let exact = exact && !ways.is_empty();
        // What is decided wholly may have something done.
        let kill = Enforcement { kill: exact, deny: false };
        let ways = ways.into_iter().map(|way| way.enforcing(kill)).collect();
        let Some(sieve) = Sieve::new(ways) else { continue };
        let exact = exact && columns.iter().all(|c| sieve.columns().iter().any(|t| t.column == *c));
        let put = match spoil {
            false => sieve.clone(),
            // What is asked for is turned round.
            true => {
                let opposite = compile(&format!("!({text})"));
                match Sieve::new(policy::alternatives(definition, Some(&opposite), |slot| Some(*slot)).0) {
                    Some(sieve) => sieve,
                    None => continue,
                }
            }
        };
        sifter.put(&BTreeMap::from([(definition.id, put)])).unwrap();
        for _ in 0..25 {
            let bytes = record(place).new_tree(&mut runner).unwrap().current();
            let event = Event::decode(&bytes).unwrap();
            let user = compiled.of(&Facts { event: &event, ctx: &ctx });
            let (model, (kernel, kills)) = (sieve.admits(&bytes), sifter.sift(&bytes).unwrap());
            // Of a text that was cut, or the name of a socket that is no path, the kernel asks nothing.
            let unasked = |field: event::FieldValue<'_>| {
                let is_name = matches!(
                    field.value,
                    Some(event::Value::Sockaddr(SockAddr::Unix(UnixName::Abstract(_))))
                );
                field.quality == Quality::Truncated || is_name
            };
            let exact = exact && !(0..definition.fields.len()).any(|n| unasked(event.field(n)));
            outcome.asked += 1;
            outcome.left_out += u64::from(!kernel);
            outcome.exact += u64::from(exact);
            let mut well = kernel == model && kills == sieve.enforcement(&bytes).kill;
            // What is left out is not wanted; where the kernel decides all, nothing that is not wanted passes.
            well &= kernel || user == Truth::False;
            well &= !(exact && kernel && user == Truth::False);
            // Nobody is killed for what is not so.
            well &= !kills || user == Truth::True;
            outcome.killed += u64::from(kills);
            if !well {
                outcome.wrong.push(format!(
                    "{text}: user {user:?}, model {model}, kernel {kernel} (exact {exact}): {event:?}"
                ));
            }
        }
    }
    outcome
}

/// Random conditions, random records: what the kernel leaves out, user space does not want; where a condition asks of columns only, the kernel
/// leaves out all that user space does not want; and the model of it says the same.
fn decide_as_user_space(_: &str) {
    let outcome = ask(scaled(400).max(100), false);
    assert_eq!(outcome.wrong, [""; 0], "of {}", outcome.asked);
    // It was not all of one kind.
    let Outcome { asked, left_out, exact, killed, .. } = outcome;
    assert!(
        asked > 1000 && left_out > asked / 10 && left_out < asked && exact > asked / 4 && killed > asked / 20,
        "{asked} {left_out} {exact} {killed}"
    );
}

/// The control: sieves that ask for the opposite.
fn wrong_ones_are_seen(_: &str) {
    let outcome = ask(40, true);
    assert!(outcome.wrong.len() > 100, "{} of {}", outcome.wrong.len(), outcome.asked);
}
