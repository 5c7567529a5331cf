use catalogue::Quality;
use context::{BootId, Clock, Containers, Hierarchy, ProcessKey, Processes};
use event::build::RecordBuilder;
use event::{Flags, Header, Origin};
use proptest::prelude::*;
use sieve::{Head, Sieve};

use super::*;

const STARTED: u64 = 1000;

fn context() -> Context {
    let mut containers = Containers::with(Hierarchy::V2 { root: "/none".into() }, 100);
    containers.made(0, 5, &format!("/docker/{}", "ab".repeat(32)));
    containers.removed(0, 6, "/lxc/old"); // known, but not made since start
    let clock = Clock::fixed(BootId([1; 16]), "host", STARTED, 0);
    Context::with(Processes::new(100), containers, clock)
}

/// A process with this pid, whose parent is that one; each starts at its pid.
fn header(pid: u32, ppid: u32) -> Header {
    let mut h = Header::unknown(5000);
    h.origin = Origin::Current;
    (h.pid, h.tid, h.ppid) = (pid, pid, ppid);
    (h.start_time, h.leader_start_time, h.parent_start_time) = (pid.into(), pid.into(), ppid.into());
    h
}

fn named(pid: u32, ppid: u32, comm: &str) -> Header {
    let mut h = header(pid, ppid);
    h.comm[..comm.len()].copy_from_slice(comm.as_bytes());
    h
}

fn record(name: &str, h: Header) -> RecordBuilder {
    RecordBuilder::new(catalogue::event(name).unwrap(), h)
}

fn show(scope: &Scope, ctx: &mut Context, record: RecordBuilder) -> bool {
    let bytes = record.finish();
    let event = Event::decode(&bytes).unwrap();
    ctx.observe(&event);
    scope.matches(&event, ctx)
}

fn field(event: &str, name: &str) -> u8 {
    let at = catalogue::event(event).unwrap().fields.iter().position(|f| f.name == name);
    u8::try_from(at.unwrap()).unwrap()
}

fn fork(by: Header, child: u32, up: u32) -> RecordBuilder {
    let at = |name| field("sched_process_fork", name);
    let child_pid = i32::try_from(child).unwrap();
    record("sched_process_fork", by)
        .put_i32(at("child_tid"), child_pid)
        .put_i32(at("child_pid"), child_pid)
        .put_u64(at("start_time"), child.into())
        .put_i32(at("up_pid"), i32::try_from(up).unwrap())
        .put_u64(at("up_start_time"), up.into())
}

fn exec(by: Header, path: &str) -> RecordBuilder {
    record("sched_process_exec", by).put_str(
        field("sched_process_exec", "pathname"),
        path.as_bytes(),
        Quality::Ok,
    )
}

/// Whether an event by this header is in this scope.
fn in_scope(flags: &[&str], h: Header) -> bool {
    let (mut scope, mut ctx) = (Scope::parse(flags).unwrap(), context());
    scope.begin(&mut ctx).unwrap();
    show(&scope, &mut ctx, record("setns", h))
}

#[test]
fn numbers() {
    let h = Header { uid: 1000, mnt_ns: 7, pid_ns: 8, tid: 31, ..header(30, 1) };
    let table = [
        ("uid=1000", true),
        ("uid=0,1000", true),
        ("uid=0", false),
        ("uid!=0", true),
        ("uid!=0,1000", false),
        ("uid>999", true),
        ("uid>1000", false),
        ("uid>=1000", true),
        ("uid<1000", false),
        ("uid<=1000", true),
        ("uid>4294967295", false),
        ("pid=30", true),
        ("pid=31", false),
        ("tid=31", true),
        ("mntns=7", true),
        ("mntns!=7", false),
        ("pidns=8", true),
        ("pid>29", true),
    ];
    for (flag, expected) in table {
        assert_eq!(in_scope(&[flag], h), expected, "{flag}");
    }
    assert!(in_scope(&["uid=1000", "pid=30"], h) && !in_scope(&["uid=1000", "pid=1"], h));
    assert!(in_scope(&[], h));
}

#[test]
fn names_and_programs() {
    let h = named(30, 1, "a-name-of-15-by");
    for (flag, expected) in [
        ("comm=a-name-of-15-bytes", true),
        ("comm=bash,a-name*", true),
        ("comm=*by", true),
        ("comm=bash", false),
        ("comm!=bash", true),
        ("comm!=a-*", false),
        ("exec=/bin/a", false),
        ("exec!=/bin/a", true),
    ] {
        assert_eq!(in_scope(&[flag], h), expected, "{flag}");
    }
    for (flag, expected) in [
        ("exec=/bin/ls", true),
        ("bin=/bin/*", true),
        ("binary=/sbin/*,*/ls", true),
        ("executable!=/bin/ls", false),
    ] {
        let scope = Scope::parse(&[flag]).unwrap();
        assert_eq!(show(&scope, &mut context(), exec(h, "/bin/ls")), expected, "{flag}");
    }
}

#[test]
fn containers_and_what_is_new() {
    let (inside, old, host) = (
        Header { cgroup: 5, ..header(2000, 1) },
        Header { cgroup: 6, ..header(30, 1) },
        Header { cgroup: 9, ..header(30, 1) },
    );
    for (flag, expected) in [
        ("container", [true, true, false]),
        ("not-container", [false, false, true]),
        ("container=abab", [true, false, false]),
        ("container=zz,ol", [false, true, false]),
        ("container!=abab", [false, true, true]),
        ("container=new", [true, false, false]),
        ("container!=new", [false, true, true]),
        ("pid=new", [true, false, false]),
        ("pid!=new", [false, true, true]),
    ] {
        assert_eq!([inside, old, host].map(|h| in_scope(&[flag], h)), expected, "{flag}");
    }
}

#[test]
fn the_unknown_equals_nothing() {
    let nobody = Header::unknown(1);
    for flag in ["uid=0", "uid<9", "comm=*", "container", "pid=new", "tree!=1", "exec=*"] {
        let expected = flag.contains('!');
        let (mut scope, mut ctx) = (Scope::parse(&[flag]).unwrap(), context());
        show(&scope, &mut ctx, record("setns", header(1, 0)));
        scope.begin(&mut ctx).unwrap();
        assert_eq!(show(&scope, &mut ctx, record("setns", nobody)), expected, "{flag}");
        assert!(show(&scope, &mut ctx, record("lost_events", nobody)), "loss is everybody's");
    }
    assert!(in_scope(&["uid!=0"], nobody) && in_scope(&["not-container"], nobody));
}

#[test]
fn trees() {
    let mut ctx = context();
    let all = Scope::default();
    for (pid, ppid) in [(1, 0), (10, 1), (11, 10), (12, 1)] {
        show(&all, &mut ctx, record("setns", header(pid, ppid)));
    }
    let mut scope = Scope::parse(&["tree=10"]).unwrap();
    let mut outside = Scope::parse(&["tree!=10"]).unwrap();
    scope.begin(&mut ctx).unwrap();
    outside.begin(&mut ctx).unwrap();
    let mut check = |h: Header, expected: bool| {
        assert_eq!(show(&scope, &mut ctx, record("setns", h)), expected, "{}", h.pid);
        assert_eq!(show(&outside, &mut ctx, record("setns", h)), !expected, "{}", h.pid);
    };
    check(header(10, 1), true);
    check(header(11, 10), true);
    check(header(12, 1), false);
    check(header(1, 0), false);
    show(&scope, &mut ctx, fork(header(11, 10), 20, 11));
    show(&scope, &mut ctx, fork(header(20, 11), 21, 1)); // CLONE_PARENT
    let mut seeds: Vec<u32> = scope.seeds(&ctx).iter().map(|s| s.0).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [10, 11, 20, 21]);
    assert!(show(&scope, &mut ctx, record("setns", header(21, 1))));
    // Born of one that was never heard of; the kernel knows better.
    let stray = header(31, 30);
    assert!(!show(&scope, &mut ctx, record("setns", stray)));
    assert!(show(&scope, &mut ctx, record("setns", Header { flags: Flags(Flags::IN_TREE), ..stray })));
    let missing = Scope::parse(&["tree=99"]).unwrap().begin(&mut ctx).unwrap_err();
    assert_eq!(missing, Error::NoSuchProcess { pid: 99 });
}

#[test]
fn followed() {
    let mut ctx = context();
    let all = Scope::default();
    show(&all, &mut ctx, record("setns", named(10, 1, "bash")));
    show(&all, &mut ctx, record("setns", named(11, 10, "vim")));
    let mut scope = Scope::parse(&["comm=bash,sh", "follow"]).unwrap();
    scope.begin(&mut ctx).unwrap();
    assert!(
        show(&scope, &mut ctx, record("setns", named(11, 10, "vim"))),
        "made before start by what matches"
    );
    // A match whose first event is the fork; then it becomes something else, and so does the child.
    assert!(!show(&scope, &mut ctx, record("setns", named(30, 1, "cron"))));
    assert!(show(&scope, &mut ctx, fork(named(30, 1, "sh"), 31, 30)));
    assert!(show(&scope, &mut ctx, record("setns", named(30, 1, "other"))));
    assert!(show(&scope, &mut ctx, fork(named(31, 30, "ls"), 32, 31)));
    // What it is for a while, while it makes and executes nothing, is in scope, but not followed.
    assert!(show(&scope, &mut ctx, record("setns", named(50, 1, "sh"))));
    assert!(!show(&scope, &mut ctx, record("setns", named(50, 1, "x"))));
    assert!(show(&scope, &mut ctx, record("setns", named(32, 1, "x"))));
    assert!(!show(&scope, &mut ctx, record("setns", named(40, 1, "x"))));
}

#[test]
fn what_the_kernel_gets() {
    let asked = |flags: &[&str]| -> Vec<sieve::Column> {
        Scope::parse(flags).unwrap().sieve(None).0.columns().map(|(column, _)| *column).collect()
    };
    let head = sieve::Column::Head;
    let all = ["uid=0,1,2", "uid!=1", "uid>=0", "comm!=a*,b", "mntns=4", "pid=new", "container"];
    assert_eq!(asked(&all), [head(Head::Uid), head(Head::MntNs), head(Head::Comm)]);
    assert_eq!(asked(&["pid<10", "tid>3"]), [head(Head::Pid), head(Head::Tid)]);
    assert_eq!(asked(&["uid=0", "follow"]), [head(Head::Uid)]);
    // Which tree it is, is known once it has begun.
    assert_eq!(asked(&["exec=/bin/sh", "tree=1"]), [sieve::Column::Executable(sieve::Kind::Start)]);
    assert_eq!(
        asked(&["comm=*b,*c", "exec!=*/sh"]),
        [head(Head::CommEnd), sieve::Column::Executable(sieve::Kind::End)]
    );
    let admits = |flags: &[&str], comm: &str, uid| {
        let sieve = Sieve::new(vec![Scope::parse(flags).unwrap().sieve(None).0]).unwrap();
        sieve.admits(&record("setns", Header { uid, ..named(1, 0, comm) }).finish())
    };
    for (comm, uid, passes) in
        [("b", 0, false), ("ab", 0, false), ("ba", 0, true), ("ba", 1, false), ("ba", 3, false)]
    {
        assert_eq!(admits(&all[..4], comm, uid), passes, "{comm} {uid}");
    }
    assert!(admits(&["comm=a*,b"], "ax", 0) && !admits(&["comm=a*,b"], "bx", 0));
    assert!(admits(&["comm=*b,*ac"], "b", 0) && admits(&["comm=*b,*ac"], "xac", 0));
    assert!(!admits(&["comm=*b,*ac"], "bc", 0) && !admits(&["comm=*b,*ac"], "ba", 0));
    assert!(admits(&["comm!=*b"], "ba", 0) && !admits(&["comm!=*b"], "ab", 0));
    assert_eq!(Sieve::new(vec![Scope::parse(&["comm!=a*b"]).unwrap().sieve(None).0]), None);
}

#[test]
fn errors_say_what_is_allowed() {
    let error = |flag: &str| Scope::parse(&[flag]).unwrap_err().to_string();
    assert_eq!(
        error("uid=root"),
        "--scope 'uid=root': 'root' is no such number; allowed: =, != and numbers with commas, or <, <=, >, >= and one \
         number, from 0 to 4294967295"
    );
    for (flag, part) in [
        ("uid", "a value is missing"),
        ("uid=", "a value is missing"),
        ("uid=1,,2", "a value is missing"),
        ("uid=4294967296", "no such number"),
        ("uid=+1", "no such number"),
        ("uid>1,2", "'1,2' is no such number"),
        ("uid<0", "nothing is below 0"),
        ("uid!5", "'!5' is no test"),
        ("comm>a", "can not be less or more"),
        ("exec=ls", "'ls' is no absolute path"),
        ("follow=1", "it takes no value"),
        ("tree=x", "no such number"),
        ("not-container=1", "it takes no value"),
        ("uts=host", "not supported yet"),
        ("container=started", "not supported yet"),
        ("udi=0", "did you mean 'uid'?"),
        ("colour=red", "a scope is one of uid, pid"),
        ("", "a scope is one of uid, pid"),
        ("pid>new", "'new' can not be less or more"),
    ] {
        let message = error(flag);
        assert!(message.contains(part) && message.contains(&format!("'{flag}'")), "{flag}: {message}");
    }
}

fn flag() -> impl Strategy<Value = String> {
    let number = (
        prop::sample::select(vec!["uid", "pid", "tid", "mntns", "pidns"]),
        "(=|!=)[0-4](,[0-4])?|(<=|>|>=)[0-4]",
    );
    prop_oneof![
        4 => number.prop_map(|(key, test)| format!("{key}{test}")),
        2 => "comm(=|!=)[ab][*]?(,[ab]{1,2})?",
        2 => "tree(=|!=)[1-3](,[1-3])?",
        1 => prop::sample::select(vec!["container", "not-container", "container!=abab", "pid=new", "exec!=/a", "exec=/a"])
            .prop_map(String::from),
        1 => Just("follow".to_string()),
    ]
}

#[derive(Debug, Clone)]
struct Act {
    origin: Origin,
    pid: u32,
    ids: [u32; 4],
    comm: String,
    cgroup: u64,
    child: Option<(u32, u32)>,
    exit: bool,
}

fn act() -> impl Strategy<Value = Act> {
    let origin = prop::sample::select(vec![
        Origin::Current,
        Origin::Current,
        Origin::Current,
        Origin::Owner,
        Origin::Listener,
        Origin::Unknown,
    ]);
    let child = prop::option::weighted(0.3, (5..12u32, 1..5u32));
    let exit = prop::bool::weighted(0.15);
    (origin, 1..12u32, prop::array::uniform4(0..5u32), "[ab]{1,2}", 4..7u64, child, exit).prop_map(
        |(origin, pid, ids, comm, cgroup, child, exit)| Act { origin, pid, ids, comm, cgroup, child, exit },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The kernel never turns away what is in scope. Its words are kept here as the kernel keeps them: seeded at start,
    /// at fork the child's is its maker's, at exit it goes; the dead may still own a socket.
    #[test]
    fn the_kernel_never_turns_away_what_is_in_scope(
        flags in prop::collection::vec(flag(), 0..4),
        acts in prop::collection::vec(act(), 1..30),
    ) {
        let (mut scope, mut ctx) = (Scope::parse(&flags).unwrap(), context());
        let all = Scope::default();
        for (pid, ppid) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            show(&all, &mut ctx, record("setns", named(pid, ppid, "a")));
        }
        scope.begin(&mut ctx).unwrap();
        let (trees, sieve) = (scope.trees(), Sieve::new(vec![scope.sieve(Some(&ctx)).0]));
        let passes = |sieve: &Option<Sieve>, bytes: &[u8]| sieve.as_ref().is_none_or(|sieve| sieve.admits(bytes));
        let mark = scope.followed().into_iter().flat_map(|way| way.columns().map(|(c, _)| *c).collect::<Vec<_>>());
        let mark: u64 = mark.map(|column| if let sieve::Column::Followed(mark) = column { mark } else { 0 }).sum();
        let mut words: std::collections::HashMap<u32, u64> = scope.seeds(&ctx).into_iter().collect();
        let (mut living, mut dead) = (vec![1, 2, 3, 4], Vec::new());
        for act in acts {
            let there = match act.origin {
                Origin::Current => living.contains(&act.pid),
                Origin::Owner | Origin::Listener => living.contains(&act.pid) || dead.contains(&act.pid),
                Origin::Unknown => true,
            };
            if !there {
                continue;
            }
            let mut h = match act.origin {
                Origin::Unknown => Header::unknown(1),
                origin => Header { origin, cgroup: act.cgroup, ..named(act.pid, 1, &act.comm) },
            };
            if act.origin != Origin::Unknown {
                [h.uid, h.mnt_ns, h.pid_ns, h.tid] = act.ids;
            }
            let mut word = words.get(&h.pid).copied().unwrap_or(0);
            let event = match act.child {
                Some((child, up))
                    if act.origin == Origin::Current && !living.contains(&child) && !dead.contains(&child) =>
                {
                    living.push(child);
                    let born = fork(h, child, up);
                    let begins = scope.following(catalogue::event("sched_process_fork").unwrap(), &ctx);
                    if begins.is_some_and(|way| passes(&Sieve::new(vec![way]), &born.clone().finish())) {
                        word |= mark;
                        words.insert(h.pid, word);
                    }
                    words.insert(child, word);
                    born
                }
                _ if act.origin == Origin::Current && act.exit => {
                    living.retain(|&pid| pid != act.pid);
                    dead.push(act.pid);
                    words.remove(&act.pid);
                    record("sched_process_exit", h)
                        .put_bool(field("sched_process_exit", "process_group_exit"), true)
                }
                _ => record("setns", h),
            };
            // An owner who is not the current task may have exited, and its word gone with it, while user space still knows its tree.
            let in_tree = word & trees.all == trees.all && word & trees.none == 0;
            let passes = passes(&sieve, &event.clone().finish()) || word & mark != 0;
            let admitted = (passes && in_tree) || h.origin != Origin::Current;
            let matched = show(&scope, &mut ctx, event);
            prop_assert!(admitted || !matched, "{flags:?}: {h:?}");
            // What the kernel knows of trees is all that there is to know.
            if act.origin == Origin::Current {
                let key = ProcessKey::new(h.pid, h.leader_start_time).unwrap();
                let marks = ctx.processes.get(key).unwrap().marks();
                let asked = trees.all | trees.none;
                prop_assert_eq!(marks & asked, word & asked);
                // Of who is followed, the kernel follows too many.
                prop_assert_eq!(marks & mark & !word, 0);
            }
        }
    }
}

proptest! {
    /// What the kernel is told of several scopes together lets pass what either would.
    #[test]
    fn together_they_let_pass_what_either_does(
        one in prop::collection::vec(flag(), 0..4),
        other in prop::collection::vec(flag(), 0..4),
        acts in prop::collection::vec(act(), 1..30),
    ) {
        let ways = [one, other].map(|flags| Scope::parse(&flags).unwrap().sieve(None).0);
        let both = Sieve::new(ways.to_vec());
        let sieves = ways.map(|way| Sieve::new(vec![way]));
        for act in acts {
            let mut h = Header { origin: act.origin, cgroup: act.cgroup, ..named(act.pid, 1, &act.comm) };
            [h.uid, h.mnt_ns, h.pid_ns, h.tid] = act.ids;
            let bytes = record("setns", h).finish();
            let passes = |sieve: &Option<Sieve>| sieve.as_ref().is_none_or(|sieve| sieve.admits(&bytes));
            // Two stay two.
            prop_assert_eq!(sieves.iter().any(passes), passes(&both), "{:?} of {:?} in {:?}", h, &sieves, &both);
        }
    }
}
