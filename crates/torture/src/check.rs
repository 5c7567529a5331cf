//! Compares every event with what its worker did.
//!
//! An event is recognised by its content, and its content says which act it must be of. Then everything in it has to fit: the other
//! fields to the act, the identity to the worker, the time to the moment of the act. What is of a worker and can not be recognised was
//! torn; what is recognised and bears another's identity was misattributed.

use std::collections::{BTreeMap, HashMap};

use catalogue::fields::{
    cgroup_mkdir, cgroup_rmdir, commit_creds, existing_process, memfd_create, net_packet_dns_request,
    net_tcp_state, sched_process_exec, sched_process_exit, sched_process_fork, security_file_open,
    security_inode_create, security_inode_rename, security_inode_unlink, security_socket_connect, setresgid,
    socket_accept,
};
use catalogue::{Lane, Quality};
use event::{Event, Header, Origin, SockAddr, Value};

use crate::cast::Hired;
use crate::journal::{Journal, Order};
use crate::script::{self, End, Kind, Part, Which};
use crate::worker;

/// What one act must leave in the stream, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Trace {
    Open,
    Create,
    Rename,
    Unlink,
    Memfd,
    Setresgid,
    CommitCreds,
    Fork,
    Exec,
    Exit,
    Connect,
    Accept,
    SynSent,
    Established,
    Closed,
    Incoming,
    DnsEgress,
    DnsIngress,
    CgroupMkdir,
    CgroupRmdir,
}

impl Trace {
    pub(crate) const ALL: [Trace; 20] = [
        Trace::Open,
        Trace::Create,
        Trace::Rename,
        Trace::Unlink,
        Trace::Memfd,
        Trace::Setresgid,
        Trace::CommitCreds,
        Trace::Fork,
        Trace::Exec,
        Trace::Exit,
        Trace::Connect,
        Trace::Accept,
        Trace::SynSent,
        Trace::Established,
        Trace::Closed,
        Trace::Incoming,
        Trace::DnsEgress,
        Trace::DnsIngress,
        Trace::CgroupMkdir,
        Trace::CgroupRmdir,
    ];

    /// The event that it is.
    pub(crate) const fn event(self) -> u16 {
        match self {
            Trace::Open => security_file_open::EVENT_ID,
            Trace::Create => security_inode_create::EVENT_ID,
            Trace::Rename => security_inode_rename::EVENT_ID,
            Trace::Unlink => security_inode_unlink::EVENT_ID,
            Trace::Memfd => memfd_create::EVENT_ID,
            Trace::Setresgid => setresgid::EVENT_ID,
            Trace::CommitCreds => commit_creds::EVENT_ID,
            Trace::Fork => sched_process_fork::EVENT_ID,
            Trace::Exec => sched_process_exec::EVENT_ID,
            Trace::Exit => sched_process_exit::EVENT_ID,
            Trace::Connect => security_socket_connect::EVENT_ID,
            Trace::Accept => socket_accept::EVENT_ID,
            Trace::SynSent | Trace::Established | Trace::Closed | Trace::Incoming => net_tcp_state::EVENT_ID,
            Trace::DnsEgress | Trace::DnsIngress => net_packet_dns_request::EVENT_ID,
            Trace::CgroupMkdir => cgroup_mkdir::EVENT_ID,
            Trace::CgroupRmdir => cgroup_rmdir::EVENT_ID,
        }
    }

    /// The traces of an act of that kind.
    pub(crate) const fn of(kind: Kind) -> &'static [Trace] {
        match kind {
            Kind::Files => &[Trace::Open, Trace::Create, Trace::Rename, Trace::Unlink],
            Kind::Memory => &[Trace::Memfd],
            Kind::Creds => &[Trace::Setresgid, Trace::CommitCreds],
            Kind::Exec => &[Trace::Fork, Trace::Exec, Trace::Exit],
            Kind::Forks => &[Trace::Fork, Trace::Exit],
            Kind::Connect => &[
                Trace::Connect,
                Trace::Accept,
                Trace::SynSent,
                Trace::Established,
                Trace::Closed,
                Trace::Incoming,
            ],
            Kind::Dns => &[Trace::DnsEgress, Trace::DnsIngress],
            Kind::Flood => &[Trace::DnsEgress],
            Kind::Cgroups => &[Trace::CgroupMkdir, Trace::CgroupRmdir],
        }
    }
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Content of another event, or of none.
    Torn(String),
    /// Right content, wrong task.
    Misattributed(String),
    /// Told before.
    Duplicated,
}

/// How often what was found, for one trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) expected: u64,
    pub(crate) intact: u64,
    pub(crate) missing: u64,
}

/// What was wrong, by the program that told it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) torn: u64,
    pub(crate) misattributed: u64,
    pub(crate) duplicated: u64,
}

/// A set of acts.
#[derive(Debug, Default)]
struct Acts(Vec<u64>);

impl Acts {
    /// Adds one; false if it was there.
    fn insert(&mut self, act: u32) -> bool {
        let (word, bit) = (act as usize / 64, 1 << (act % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, act: u32) -> bool {
        self.0.get(act as usize / 64).is_some_and(|w| w & 1 << (act % 64) != 0)
    }
}

/// A child's birth, execution or death, to be compared once the worker has written down which child it was.
#[derive(Debug, Clone, Copy)]
struct Child {
    trace: Trace,
    time: u64,
    pid: u32,
    start_time: u64,
    code: u32,
    signal: u32,
    /// The act, where the event itself says it.
    act: Option<u32>,
    program: Place,
}

/// A program's row in the ledger.
pub(crate) type Place = (Lane, u16);

#[derive(Debug)]
struct Worker {
    part: Part,
    journal: Journal,
    pid: u32,
    /// Its identity, read by the kernel's iterator before anything began.
    header: Option<Header>,
    seen: HashMap<Trace, Acts>,
    children: Vec<Child>,
}

/// Samples of what was wrong that are kept.
const SAMPLES: usize = 20;

/// The checker.
#[derive(Debug)]
pub(crate) struct Checker {
    dir: String,
    workers: HashMap<u8, Worker>,
    by_pid: HashMap<u32, u8>,
    pub(crate) faults: HashMap<Place, Faults>,
    /// How many records of each trace each program told.
    pub(crate) told: HashMap<(Trace, Place), u64>,
    pub(crate) samples: Vec<String>,
    /// Of each trace that is missing somewhere, where first.
    pub(crate) first_missing: BTreeMap<Trace, String>,
}

type Verdict = Result<(), Wrong>;

fn torn(what: impl Into<String>) -> Wrong {
    Wrong::Torn(what.into())
}

impl Checker {
    pub(crate) fn new(dir: &str, workers: Vec<Hired>) -> Self {
        let by_pid = workers.iter().map(|(part, _, pid)| (*pid, part.worker)).collect();
        let workers = workers
            .into_iter()
            .map(|(part, journal, pid)| {
                let seen = Trace::ALL.iter().map(|&t| (t, Acts::default())).collect();
                (part.worker, Worker { part, journal, pid, header: None, seen, children: vec![] })
            })
            .collect();
        let (faults, told) = Default::default();
        Self {
            dir: dir.into(),
            workers,
            by_pid,
            faults,
            told,
            samples: vec![],
            first_missing: BTreeMap::new(),
        }
    }

    /// Tells all workers what to do.
    pub(crate) fn tell(&self, order: Order) {
        self.workers.values().for_each(|w| w.journal.tell(order));
    }

    /// Takes a record; false if it can not be decoded.
    pub(crate) fn record(&mut self, record: &[u8]) -> bool {
        let Ok(event) = Event::decode(record) else {
            self.sample(|| format!("undecodable: {:?}", Event::decode(record).err()));
            return false;
        };
        let place = (event.header.lane, event.header.probe);
        if let Err(wrong) = self.judge(&event) {
            self.note(place, &wrong, || {
                format!(
                    "{} by {} (pid {})",
                    event.definition.name,
                    lossy(event.header.comm()),
                    event.header.pid
                )
            });
        }
        true
    }

    fn note(&mut self, place: Place, wrong: &Wrong, what: impl FnOnce() -> String) {
        let faults = self.faults.entry(place).or_default();
        match wrong {
            Wrong::Torn(_) => faults.torn += 1,
            Wrong::Misattributed(_) => faults.misattributed += 1,
            Wrong::Duplicated => faults.duplicated += 1,
        }
        self.sample(|| match wrong {
            Wrong::Torn(why) => format!("torn: {}: {why}", what()),
            Wrong::Misattributed(why) => format!("misattributed: {}: {why}", what()),
            Wrong::Duplicated => format!("duplicated: {}", what()),
        });
    }

    fn sample(&mut self, text: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(text());
        }
    }

    fn judge(&mut self, event: &Event<'_>) -> Verdict {
        match event.definition.id {
            existing_process::EVENT_ID => {
                if let Some(worker) = self.by_pid.get(&event.header.pid).and_then(|w| self.workers.get_mut(w))
                {
                    worker.header = Some(event.header);
                }
                Ok(())
            }
            security_file_open::EVENT_ID => self.open(event),
            security_inode_create::EVENT_ID => self.create(event),
            security_inode_rename::EVENT_ID => self.rename(event),
            security_inode_unlink::EVENT_ID => self.unlink(event),
            memfd_create::EVENT_ID => self.memfd(event),
            setresgid::EVENT_ID => self.setresgid(event),
            commit_creds::EVENT_ID => self.commit_creds(event),
            sched_process_fork::EVENT_ID => self.fork(event),
            sched_process_exec::EVENT_ID => self.exec(event),
            sched_process_exit::EVENT_ID => self.exit(event),
            security_socket_connect::EVENT_ID => self.connect(event),
            socket_accept::EVENT_ID => self.accept(event),
            net_tcp_state::EVENT_ID => self.tcp_state(event),
            net_packet_dns_request::EVENT_ID => self.dns(event),
            cgroup_mkdir::EVENT_ID => self.cgroup(event, cgroup_mkdir::CGROUP_PATH, Trace::CgroupMkdir),
            cgroup_rmdir::EVENT_ID => self.cgroup(event, cgroup_rmdir::CGROUP_PATH, Trace::CgroupRmdir),
            _ => Ok(()),
        }
    }

    /// The event could not be recognised. That is fine of a stranger; a worker or its child does nothing that can not be.
    fn unrecognised(&self, event: &Event<'_>) -> Verdict {
        let known = |pid| self.by_pid.get(&pid).and_then(|w| self.workers.get(w));
        let header = &event.header;
        let Some(worker) = known(header.pid).or_else(|| known(header.ppid)) else { return Ok(()) };
        // Before the cue and after the end it does what any program does.
        let before = worker.journal.began(0).is_none_or(|t| header.time < t);
        let after = worker.journal.is_told(Order::Stop);
        if before || after {
            return Ok(());
        }
        let fields: Vec<String> =
            event.fields().take(4).map(|(f, v)| format!("{}={:?}", f.name, v.value)).collect();
        Err(torn(format!("no act of worker {}: {}", worker.part.worker, fields.join(" "))))
    }

    /// The event is of that act, and everything that it says of the act is right. Was it that worker, then, and was it told before?
    fn settle(&mut self, event: &Event<'_>, worker: u8, act: u32, trace: Trace) -> Verdict {
        let place = (event.header.lane, event.header.probe);
        let Some(of) = self.workers.get_mut(&worker) else {
            return Err(torn(format!("there is no worker {worker}")));
        };
        if !Trace::of(of.part.kind).contains(&trace)
            && (of.part.kind, trace) != (Kind::Flood, Trace::DnsIngress)
        {
            return Err(torn(format!("worker {worker} does no such thing")));
        }
        same_time(of, event.header.time, act, trace)?;
        if trace != Trace::Incoming {
            same_task(of, event, of.pid)?;
        }
        if !of.seen.entry(trace).or_default().insert(act) {
            return Err(Wrong::Duplicated);
        }
        *self.told.entry((trace, place)).or_default() += 1;
        Ok(())
    }

    /// Worker and act of a path in the workers' folder.
    fn act_of_path(&self, which: Which, path: &[u8]) -> Option<(u8, u32)> {
        script::parse(which, path.strip_prefix(self.dir.as_bytes())?.strip_prefix(b"/")?)
    }

    fn open(&mut self, event: &Event<'_>) -> Verdict {
        use security_file_open::{FLAGS, MODE, PATHNAME, SYSCALL_PATHNAME};
        let path = bytes(event, PATHNAME);
        if path == worker::program(&self.dir).as_os_str().as_encoded_bytes() {
            // The kernel opens the program that an act executes. That an act says so, its execution is told by.
            return Ok(());
        }
        let Some((worker, act)) = self.act_of_path(Which::First, path) else {
            return self.unrecognised(event);
        };
        let [first, _] = worker::paths(&self.dir, worker, act);
        same_bytes(event, PATHNAME, first.as_bytes())?;
        same_bytes(event, SYSCALL_PATHNAME, first.as_bytes())?;
        same_number(event, FLAGS, |n| n as i32 & script::OPEN_FLAGS, script::open_flags(worker, act))?;
        same_number(event, MODE, |n| n as u32, libc::S_IFREG | script::permissions(worker, act))?;
        self.settle(event, worker, act, Trace::Open)
    }

    fn create(&mut self, event: &Event<'_>) -> Verdict {
        use security_inode_create::{MODE, PATHNAME};
        let path = bytes(event, PATHNAME);
        let Some((worker, act)) = self.act_of_path(Which::First, path) else {
            return self.unrecognised(event);
        };
        let [first, _] = worker::paths(&self.dir, worker, act);
        same_bytes(event, PATHNAME, first.as_bytes())?;
        same_number(event, MODE, |n| n as u32, libc::S_IFREG | script::permissions(worker, act))?;
        self.settle(event, worker, act, Trace::Create)
    }

    fn rename(&mut self, event: &Event<'_>) -> Verdict {
        use security_inode_rename::{FLAGS, NEW_PATH, OLD_PATH};
        let path = bytes(event, OLD_PATH);
        let Some((worker, act)) = self.act_of_path(Which::First, path) else {
            return self.unrecognised(event);
        };
        let [first, second] = worker::paths(&self.dir, worker, act);
        same_bytes(event, OLD_PATH, first.as_bytes())?;
        same_bytes(event, NEW_PATH, second.as_bytes())?;
        same_number(event, FLAGS, |n| n as u32, 0)?;
        self.settle(event, worker, act, Trace::Rename)
    }

    fn unlink(&mut self, event: &Event<'_>) -> Verdict {
        use security_inode_unlink::PATHNAME;
        let path = bytes(event, PATHNAME);
        let Some((worker, act)) = self.act_of_path(Which::Second, path) else {
            return self.unrecognised(event);
        };
        let [_, second] = worker::paths(&self.dir, worker, act);
        same_bytes(event, PATHNAME, second.as_bytes())?;
        self.settle(event, worker, act, Trace::Unlink)
    }

    fn memfd(&mut self, event: &Event<'_>) -> Verdict {
        use memfd_create::{FLAGS, UNAME};
        let name = bytes(event, UNAME);
        let Some((worker, act)) = script::parse(Which::First, name) else { return self.unrecognised(event) };
        same_bytes(event, UNAME, script::marker(Which::First, worker, act, script::NAME).as_bytes())?;
        same_number(event, FLAGS, |n| n as u32, script::memfd_flags(worker, act))?;
        self.settle(event, worker, act, Trace::Memfd)
    }

    /// Worker and act of a saved group; only workers of [`Kind::Creds`] have any.
    fn act_of_group(&self, group: u32) -> Option<(u8, u32)> {
        let (worker, act) = ((group >> 24) as u8, group & 0xff_ffff);
        self.workers.get(&worker).filter(|w| w.part.kind == Kind::Creds).map(|_| (worker, act))
    }

    fn setresgid(&mut self, event: &Event<'_>) -> Verdict {
        use setresgid::{EGID, RGID, SGID};
        let group = number(event, SGID).unwrap_or(0) as u32;
        let Some((worker, act)) = self.act_of_group(group) else { return self.unrecognised(event) };
        same_number(event, RGID, |n| n as u32, u32::MAX)?;
        same_number(event, EGID, |n| n as u32, u32::MAX)?;
        if event.header.ret != Some(0) {
            return Err(torn(format!("returned {:?}", event.header.ret)));
        }
        self.settle(event, worker, act, Trace::Setresgid)
    }

    fn commit_creds(&mut self, event: &Event<'_>) -> Verdict {
        use commit_creds::{NEW_CRED, OLD_CRED};
        let cred = |field| match event.field(field).value {
            Some(Value::Cred(cred)) => Some(cred),
            _ => None,
        };
        let (Some(old), Some(new)) = (cred(OLD_CRED), cred(NEW_CRED)) else {
            return self.unrecognised(event);
        };
        let Some((worker, act)) = self.act_of_group(new.sgid) else { return self.unrecognised(event) };
        let was = act.checked_sub(1).map_or(old.gid, |before| script::group(worker, before));
        if old.sgid != was || (event::Cred { sgid: old.sgid, ..new }) != old {
            return Err(torn(format!("from {old:?} to {new:?}")));
        }
        self.settle(event, worker, act, Trace::CommitCreds)
    }

    fn fork(&mut self, event: &Event<'_>) -> Verdict {
        use sched_process_fork::{
            CHILD_PID, CHILD_TID, CLONE_THREAD, PARENT_PID, PARENT_TID, START_TIME, UP_PID,
        };
        let header = &event.header;
        let Some(worker) = self.by_pid.get(&header.pid).and_then(|w| self.workers.get_mut(w)) else {
            return Ok(());
        };
        if !matches!(worker.part.kind, Kind::Exec | Kind::Forks) {
            return self.unrecognised(event);
        }
        let pid = number(event, CHILD_PID).unwrap_or(0);
        for (field, value) in [
            (CHILD_TID, pid),
            (PARENT_PID, worker.pid.into()),
            (PARENT_TID, worker.pid.into()),
            (UP_PID, worker.pid.into()),
        ] {
            same_number(event, field, |n| n, value)?;
        }
        same_number(event, CLONE_THREAD, |n| n, 0)?;
        same_task(worker, event, worker.pid)?;
        worker.children.push(Child {
            trace: Trace::Fork,
            time: header.time,
            pid: pid as u32,
            start_time: number(event, START_TIME).unwrap_or(0),
            code: 0,
            signal: 0,
            act: None,
            program: (header.lane, header.probe),
        });
        Ok(())
    }

    fn exec(&mut self, event: &Event<'_>) -> Verdict {
        use sched_process_exec::{ARGV, CMDPATH, PATHNAME};
        let Some(Value::StrArray(arguments)) = event.field(ARGV).value else {
            return self.unrecognised(event);
        };
        let first = arguments.into_iter().next().unwrap_or_default();
        let Some((worker, act)) = script::parse(Which::First, first) else { return self.unrecognised(event) };
        if !arguments.eq(script::arguments(worker, act).iter().map(|a| a.as_bytes())) {
            return Err(torn(format!("arguments {}", lossy(arguments.raw()))));
        }
        let program = worker::program(&self.dir);
        same_bytes(event, CMDPATH, program.as_os_str().as_encoded_bytes())?;
        same_bytes(event, PATHNAME, program.as_os_str().as_encoded_bytes())?;
        let Some(of) = self.workers.get_mut(&worker) else {
            return Err(torn(format!("there is no worker {worker}")));
        };
        child_of(of, event, &[script::PROGRAM])?;
        of.children.push(child(event, Trace::Exec, Some(act)));
        Ok(())
    }

    fn exit(&mut self, event: &Event<'_>) -> Verdict {
        use sched_process_exit::{EXIT_CODE, PROCESS_GROUP_EXIT, SIGNAL_CODE};
        let Some(of) = self.by_pid.get(&event.header.ppid).and_then(|w| self.workers.get_mut(w)) else {
            return self.unrecognised(event);
        };
        let comm = of.part.comm();
        child_of(of, event, &[&comm, script::PROGRAM])?;
        same_number(event, PROCESS_GROUP_EXIT, |n| n, 1)?;
        let code = number(event, EXIT_CODE).unwrap_or(u64::MAX) as u32;
        let signal = number(event, SIGNAL_CODE).unwrap_or(u64::MAX) as u32;
        of.children.push(Child { code, signal, ..child(event, Trace::Exit, None) });
        Ok(())
    }

    fn connect(&mut self, event: &Event<'_>) -> Verdict {
        use security_socket_connect::{REMOTE_ADDR, TYPE};
        let Some((worker, act)) = act_of_address(event, REMOTE_ADDR) else { return self.unrecognised(event) };
        same_number(event, TYPE, |n| n as i32, libc::SOCK_STREAM)?;
        self.settle(event, worker, act, Trace::Connect)
    }

    fn accept(&mut self, event: &Event<'_>) -> Verdict {
        use socket_accept::{LOCAL_ADDR, REMOTE_ADDR};
        let Some((worker, act)) = act_of_address(event, LOCAL_ADDR) else { return self.unrecognised(event) };
        from_localhost(event, REMOTE_ADDR)?;
        self.settle(event, worker, act, Trace::Accept)
    }

    fn tcp_state(&mut self, event: &Event<'_>) -> Verdict {
        use net_tcp_state::{LOCAL_ADDR, NEW_STATE, OLD_STATE, REMOTE_ADDR};
        const ESTABLISHED: u64 = 1;
        const SYN_SENT: u64 = 2;
        const SYN_RECEIVED: u64 = 3;
        const CLOSE: u64 = 7;
        let states = number(event, OLD_STATE).zip(number(event, NEW_STATE));
        if let Some((worker, act)) = act_of_address(event, REMOTE_ADDR) {
            // Before it has a port its address is none.
            let trace = match states {
                Some((CLOSE, SYN_SENT)) => Trace::SynSent,
                Some((SYN_SENT, ESTABLISHED)) => Trace::Established,
                Some((ESTABLISHED, CLOSE)) => Trace::Closed,
                _ => return Err(torn(format!("states {states:?}"))),
            };
            if trace != Trace::SynSent {
                from_localhost(event, LOCAL_ADDR)?;
            }
            return self.settle(event, worker, act, trace);
        }
        if let Some((worker, act)) = act_of_address(event, LOCAL_ADDR) {
            from_localhost(event, REMOTE_ADDR)?;
            // How the accepted end closes depends on which of the two is faster.
            return match states {
                Some((SYN_RECEIVED, ESTABLISHED)) => self.settle(event, worker, act, Trace::Incoming),
                Some((old, new)) if old < 12 && new < 12 => Ok(()),
                _ => Err(torn(format!("states {states:?}"))),
            };
        }
        match event.field(LOCAL_ADDR).value {
            // The listening socket itself.
            Some(Value::Sockaddr(SockAddr::Inet { addr, .. })) if addr.is_unspecified() => Ok(()),
            _ => self.unrecognised(event),
        }
    }

    fn dns(&mut self, event: &Event<'_>) -> Verdict {
        use net_packet_dns_request::{DNS_QUESTIONS, METADATA};
        let (Some(Value::Dns(message)), Some(Value::Packet(packet))) =
            (event.field(DNS_QUESTIONS).value, event.field(METADATA).value)
        else {
            return self.unrecognised(event);
        };
        // Head, length of the first label, label.
        let marker = message.raw().get(13..).and_then(|m| script::parse(Which::First, m));
        let Some((worker, act)) = marker else { return self.unrecognised(event) };
        let question = script::question(worker, act);
        if message.raw() != question {
            return Err(torn(format!("question {}", lossy(message.raw()))));
        }
        let to = script::dns_address(worker);
        let headers = 20 + 8;
        if packet.dst != *to.ip()
            || packet.dst_port != to.port()
            || packet.length as usize != headers + question.len()
            || !packet.src.is_loopback()
        {
            return Err(torn(format!("{packet:?}")));
        }
        let trace = match packet.direction {
            event::Direction::Egress => Trace::DnsEgress,
            event::Direction::Ingress => Trace::DnsIngress,
        };
        self.settle(event, worker, act, trace)
    }

    fn cgroup(&mut self, event: &Event<'_>, field: usize, trace: Trace) -> Verdict {
        let path = bytes(event, field);
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let Some((worker, act)) = script::parse(Which::First, name) else { return self.unrecognised(event) };
        let marker = script::marker(Which::First, worker, act, script::NAME);
        if !path.ends_with(format!("/{marker}").as_bytes()) {
            return Err(torn(format!("path {}", lossy(path))));
        }
        self.settle(event, worker, act, trace)
    }

    /// Compares the children, now that everything is written down, and counts what there should be and what there is.
    pub(crate) fn conclude(&mut self) -> Vec<(Trace, Found)> {
        let mut wrong = vec![];
        for worker in self.workers.values_mut() {
            for (child, fault) in children(worker, &mut self.told) {
                wrong.push((child, worker.part.worker, fault));
            }
        }
        for (child, worker, fault) in wrong {
            self.note(child.program, &fault, || {
                format!("{:?} of pid {}, child of worker {worker}", child.trace, child.pid)
            });
        }
        let mut found: Vec<(Trace, Found)> = Trace::ALL.iter().map(|&t| (t, Found::default())).collect();
        for worker in self.workers.values() {
            for (trace, found) in &mut found {
                if let Some(act) = count(worker, *trace, found) {
                    self.first_missing.entry(*trace).or_insert(format!(
                        "missing: {trace:?} of worker {} ({}), act {act}: from {:?} to {:?}, outcome {}",
                        worker.part.worker,
                        worker.part.kind.name(),
                        worker.journal.began(act),
                        worker.journal.began(act + 1),
                        worker.journal.outcome(act),
                    ));
                }
            }
        }
        found
    }

    /// Acts that were done.
    pub(crate) fn acts(&self) -> u64 {
        self.workers.values().map(|w| u64::from(w.journal.done())).sum()
    }

    /// Workers whose identity is not known: without it nothing can be judged.
    pub(crate) fn unknown(&self) -> Vec<u8> {
        self.workers.values().filter(|w| w.header.is_none()).map(|w| w.part.worker).collect()
    }
}

/// Adds up what a worker's acts had to leave and left; gives the first act of which it is missing.
fn count(worker: &Worker, trace: Trace, found: &mut Found) -> Option<u32> {
    let acts = worker.seen.get(&trace);
    let seen = |act| acts.is_some_and(|a| a.contains(act));
    let done = worker.journal.done();
    if !Trace::of(worker.part.kind).contains(&trace) {
        // What need not come, but may.
        found.intact += (0..done).filter(|&act| seen(act)).count() as u64;
        found.expected += (0..done).filter(|&act| seen(act)).count() as u64;
        return None;
    }
    let mut first = None;
    for act in 0..done {
        // A question that was dropped on its way did not arrive.
        let must = trace != Trace::DnsIngress || worker.journal.outcome(act) == worker::ARRIVED;
        let seen = seen(act);
        found.expected += u64::from(must || seen);
        found.intact += u64::from(seen);
        if must && !seen {
            found.missing += 1;
            first = first.or(Some(act));
        }
    }
    first
}

fn child(event: &Event<'_>, trace: Trace, act: Option<u32>) -> Child {
    let header = &event.header;
    Child {
        trace,
        time: header.time,
        pid: header.pid,
        start_time: header.start_time,
        code: 0,
        signal: 0,
        act,
        program: (header.lane, header.probe),
    }
}

/// Finds for each event of a child the act that made it, and compares them. A number may have been given to several children, one after
/// the other: then the one that was born last before the event.
fn children(worker: &mut Worker, told: &mut HashMap<(Trace, Place), u64>) -> Vec<(Child, Wrong)> {
    let journal = &worker.journal;
    let done = journal.done();
    let mut by_pid: HashMap<u32, Vec<(u64, u32)>> = HashMap::new();
    for act in 0..done {
        by_pid.entry(journal.outcome(act) as u32).or_default().push((journal.began(act).unwrap_or(0), act));
    }
    let mut births: HashMap<u32, u64> = HashMap::new();
    let mut wrong = vec![];
    worker.children.sort_by_key(|c| c.time);
    for child in std::mem::take(&mut worker.children) {
        let act = by_pid
            .get(&child.pid)
            .and_then(|acts| acts[..acts.partition_point(|a| a.0 <= child.time)].last())
            .map(|a| a.1);
        let Some(act) = act else {
            wrong.push((
                child,
                Wrong::Misattributed(format!("worker {} had no such child then", worker.part.worker)),
            ));
            continue;
        };
        let fault = if child.act.is_some_and(|a| a != act) {
            Some(Wrong::Misattributed(format!("it was act {:?}, but that child's is {act}", child.act)))
        } else if *births.entry(act).or_insert(child.start_time) != child.start_time {
            Some(Wrong::Misattributed(format!("born at {}, not {:?}", child.start_time, births.get(&act))))
        } else if child.trace == Trace::Exit && !ended_so(worker, act, &child) {
            Some(torn(format!("code {} signal {} for act {act}", child.code, child.signal)))
        } else if !worker.seen.entry(child.trace).or_default().insert(act) {
            Some(Wrong::Duplicated)
        } else {
            None
        };
        match fault {
            Some(fault) => wrong.push((child, fault)),
            None => *told.entry((child.trace, child.program)).or_default() += 1,
        }
    }
    wrong
}

fn ended_so(worker: &Worker, act: u32, child: &Child) -> bool {
    let number = worker.part.worker;
    let expected = match worker.part.kind {
        Kind::Exec => End::Code(script::arguments(number, act).len() as u8),
        _ => script::end(number, act),
    };
    match expected {
        End::Code(code) => (child.code, child.signal) == (code.into(), 0),
        End::Signal(signal) => (child.code, child.signal) == (0, signal as u32),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bytes<'a>(event: &Event<'a>, field: usize) -> &'a [u8] {
    event.field(field).value.and_then(|v| v.as_bytes()).unwrap_or_default()
}

fn number(event: &Event<'_>, field: usize) -> Option<u64> {
    event.field(field).value.and_then(|v| v.as_u64())
}

/// A field that says of itself that it could not be read is not a wrong one.
fn says_so(event: &Event<'_>, field: usize) -> bool {
    matches!(event.field(field).quality, Quality::Unavailable | Quality::Faulted)
}

fn name_of(event: &Event<'_>, field: usize) -> &'static str {
    event.definition.fields.get(field).map_or("?", |f| f.name)
}

fn same_bytes(event: &Event<'_>, field: usize, expected: &[u8]) -> Verdict {
    let value = bytes(event, field);
    if value == expected || says_so(event, field) {
        return Ok(());
    }
    Err(torn(format!("{} is {:?}, not {:?}", name_of(event, field), lossy(value), lossy(expected))))
}

fn same_number<T: PartialEq + std::fmt::Debug>(
    event: &Event<'_>,
    field: usize,
    of: impl Fn(u64) -> T,
    expected: T,
) -> Verdict {
    let value = number(event, field).map(of);
    if value.as_ref() == Some(&expected) || says_so(event, field) {
        return Ok(());
    }
    Err(torn(format!("{} is {value:?}, not {expected:?}", name_of(event, field))))
}

fn act_of_address(event: &Event<'_>, field: usize) -> Option<(u8, u32)> {
    match event.field(field).value {
        Some(Value::Sockaddr(SockAddr::Inet { addr, port })) => script::act_of_address(addr, port),
        _ => None,
    }
}

fn from_localhost(event: &Event<'_>, field: usize) -> Verdict {
    match event.field(field).value {
        Some(Value::Sockaddr(SockAddr::Inet { addr, port })) if addr.is_loopback() && port != 0 => Ok(()),
        other => Err(torn(format!("{} is {other:?}", name_of(event, field)))),
    }
}

/// The event was when the act was: after it began, and, but for packets that nobody waits for, before the next one began.
fn same_time(of: &Worker, time: u64, act: u32, trace: Trace) -> Verdict {
    let began = of.journal.began(act);
    let next = act.checked_add(1).and_then(|n| of.journal.began(n)).unwrap_or(u64::MAX);
    let waits = !matches!(trace, Trace::DnsIngress | Trace::Incoming);
    if began.is_some_and(|t| t <= time) && (time <= next || !waits) {
        return Ok(());
    }
    Err(torn(format!("time {time} of act {act}, which was from {began:?} to {next}")))
}

/// Everything that the header says of the task is the worker's.
fn same_task(of: &Worker, event: &Event<'_>, pid: u32) -> Verdict {
    let Some(reference) = &of.header else { return Ok(()) };
    let header = &event.header;
    if header.origin == Origin::Unknown {
        return Err(Wrong::Misattributed("nobody's".into()));
    }
    let own =
        |h: &Header| (h.start_time, h.leader_start_time, h.parent_start_time, h.pid, h.tid, h.ppid, h.comm);
    let ns = |h: &Header| (h.ns_pid, h.ns_tid, h.ns_ppid, h.exec_id);
    if own(header) != own(reference) || ns(header) != ns(reference) || header.pid != pid {
        let text = format!("by pid {} ({}), not {pid}", header.pid, lossy(header.comm()));
        return Err(Wrong::Misattributed(text));
    }
    same_place(of, header, reference)
}

/// The event's task is a child of that worker, of one of those names.
fn child_of(of: &Worker, event: &Event<'_>, names: &[&str]) -> Verdict {
    let Some(reference) = &of.header else { return Ok(()) };
    let header = &event.header;
    let expected = (of.pid, reference.leader_start_time, reference.ns_pid);
    if (header.ppid, header.parent_start_time, header.ns_ppid) != expected {
        return Err(Wrong::Misattributed(format!("by a child of {}, not of {}", header.ppid, of.pid)));
    }
    // One program more than the worker's, once it has executed it.
    let executed = u64::from(header.comm() == script::PROGRAM.as_bytes());
    if header.exec_id != reference.exec_id + executed {
        let text = format!("by one that runs program {}, worker: {}", header.exec_id, reference.exec_id);
        return Err(Wrong::Misattributed(text));
    }
    // The kernel cuts names at 15 bytes.
    if header.tid != header.pid
        || !names.iter().any(|n| n.as_bytes().get(..15).unwrap_or(n.as_bytes()) == header.comm())
    {
        return Err(Wrong::Misattributed(format!("by {} (pid {})", lossy(header.comm()), header.pid)));
    }
    same_place(of, header, reference)
}

/// Users, groups, namespaces and the cgroup are the worker's, and the CPU is one that it may run on.
fn same_place(of: &Worker, header: &Header, reference: &Header) -> Verdict {
    let ids = |h: &Header| {
        [
            h.uid,
            h.gid,
            h.euid,
            h.egid,
            h.mnt_ns,
            h.pid_ns,
            h.net_ns,
            h.uts_ns,
            h.ipc_ns,
            h.user_ns,
            h.cgroup_ns,
        ]
    };
    if ids(header) != ids(reference) || header.cgroup != reference.cgroup {
        return Err(Wrong::Misattributed(format!("with ids {:?}, not {:?}", ids(header), ids(reference))));
    }
    if header.origin == Origin::Current && !of.part.cpus.contains(&header.cpu) {
        return Err(Wrong::Misattributed(format!("on CPU {}, not one of {:?}", header.cpu, of.part.cpus)));
    }
    Ok(())
}
