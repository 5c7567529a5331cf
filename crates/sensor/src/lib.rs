//! The sensor: BPF programs in, records out.
//!
//! It plans how each event is taken on this kernel ([`plan`]), loads and attaches the programs, drains the lanes' rings in the order of
//! time ([`merge`]) and keeps the [`ledger`].

mod config;
mod error;
pub mod ledger;
mod load;
pub mod merge;
pub mod plan;
pub mod ring;
mod sieves;
#[doc(hidden)]
pub mod sifter;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use catalogue::{Event, Hook, Lane};
use kernel::Features;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Enum;
use libbpf_rs::{MapCore as _, MapFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};
use sieve::Sieve;

pub use error::Error;
pub use ledger::{Cause, Counts, Ledger, Loss, Row};
pub use load::{OBJECTS, is_modern, object_for};
pub use plan::{Choice, Plan, Planner};

use ledger::LaneLedger;
use load::Loaded;
use merge::Merge;
use ring::Ring;
pub use sieves::Execution;
use sieves::{Executables, Sieves};

/// How the memory in which records are built is shared out. All but [`Scratch::Claimed`] are wrong, and known to be: by them a test shows
/// that it sees the damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scratch {
    /// A run claims a slot of its lane.
    #[default]
    Claimed,
    /// One buffer for each CPU, used by every program without asking: as Tracee once did.
    Shared,
    /// One buffer for each CPU and context: one for the net lane, one for the others. Tracee's published fix.
    PerContext,
}

/// Kinds of packets: `enum captured` of `bpf/lib/lane.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(pub u32);

#[expect(missing_docs, reason = "each is named for what it stands for")]
impl Kinds {
    pub const NONE: Kinds = Kinds(0);
    pub const ALL: Kinds = Kinds(1);
    pub const IPV4: Kinds = Kinds(1 << 1);
    pub const IPV6: Kinds = Kinds(1 << 2);
    pub const TCP: Kinds = Kinds(1 << 3);
    pub const UDP: Kinds = Kinds(1 << 4);
    pub const ICMP: Kinds = Kinds(1 << 5);
    pub const ICMPV6: Kinds = Kinds(1 << 6);
    /// Over UDP, either port 53.
    pub const DNS: Kinds = Kinds(1 << 7);
    /// Connections, from their first head on.
    pub const HTTP: Kinds = Kinds(1 << 8);
}

impl std::ops::BitOr for Kinds {
    type Output = Kinds;

    fn bitor(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

/// What is captured of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// Which packets.
    pub kinds: Kinds,
    /// Bytes of what a packet carries, behind its headers.
    pub payload: u16,
}

impl Default for Capture {
    fn default() -> Self {
        Self { kinds: Kinds::ALL, payload: 96 }
    }
}

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes for all rings together.
    pub buffers: u64,
    /// How long a record waits for an older one.
    pub hold: Duration,
    /// Take the environment of executed programs.
    pub environment: bool,
    /// Take what the descriptors among a call's arguments stand for.
    pub descriptor_paths: bool,
    /// Take the user stacks of the tasks that events are of.
    pub user_stack: bool,
    /// Take what Tarsius itself does, too.
    pub include_self: bool,
    /// Index of the cgroup v1 subsystem by whose cgroups containers are told apart; -1 for cgroup v2.
    pub subsys: i32,
    /// Slots for each CPU and lane, where not what suits the kernel.
    pub slots: Option<u32>,
    /// Bytes that the fields of a record may have, where not what a slot has.
    pub limit: Option<u32>,
    /// Names of tiers by which no event is to be taken.
    pub avoid: Vec<String>,
    /// Numbers of events that are taken for the user side's own use, and not shown.
    pub hidden: Vec<u16>,
    /// Rings of each lane, where not one for each CPU.
    pub shards: Option<u32>,
    /// Other events may be taken later: [`Sensor::extend`].
    pub extendable: bool,
    /// What is captured of packets, where `net_packet_capture` is taken.
    pub capture: Capture,
    /// How the memory for records is shared out.
    pub scratch: Scratch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buffers: 64 << 20,
            hold: Duration::from_millis(10),
            environment: false,
            descriptor_paths: false,
            user_stack: false,
            include_self: false,
            subsys: -1,
            slots: None,
            limit: None,
            avoid: vec![],
            hidden: vec![],
            shards: None,
            extendable: false,
            capture: Capture::default(),
            scratch: Scratch::Claimed,
        }
    }
}

/// Bytes taken from one ring in one round, about: bounds the memory of a round.
const ROUND: usize = 2 << 20;
/// How long to wait for a record that is being written.
const WRITTEN: Duration = Duration::from_millis(1);

struct LaneRing {
    lane: Lane,
    ring: Ring,
}

/// The running kernel side. Dropping it takes everything out of the kernel.
pub struct Sensor {
    loaded: Loaded,
    rings: Vec<LaneRing>,
    ledgers: BTreeMap<Lane, LaneLedger>,
    merge: Merge,
    hold: u64,
    strays: u64,
    missed: BTreeMap<&'static str, u64>,
    sieves: Sieves,
    executables: Executables,
}

impl Sensor {
    /// Plans, loads and attaches. `wanted` says of each event of the catalogue whether it is to be taken.
    pub fn start(
        features: &Features,
        options: &Options,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Self, Error> {
        check(features)?;
        let mut loaded = load::load(features, options, wanted)?;
        let mut rings = vec![];
        for (lane, fds) in std::mem::take(&mut loaded.rings) {
            for (fd, size) in fds {
                let ring = Ring::new(fd, size).map_err(Error::system("mapping a ring"))?;
                rings.push(LaneRing { lane, ring });
            }
        }
        let mut ledgers = BTreeMap::new();
        for &lane in loaded.plan.lanes() {
            let name = format!("{}_ledger", lane.name());
            let map = loaded.object.maps().find(|m| libbpf_rs::MapCore::name(m) == name.as_str());
            let map = map.ok_or_else(|| Error::Object(format!("no map {name}")))?;
            let ledger = LaneLedger::new(lane, map.as_fd(), catalogue::probes_in(lane), loaded.cpus);
            ledgers.insert(lane, ledger.map_err(Error::system("mapping the ledger"))?);
        }
        let hold = u64::try_from(options.hold.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            loaded,
            rings,
            ledgers,
            merge: Merge::default(),
            hold,
            strays: 0,
            missed: BTreeMap::new(),
            sieves: Sieves::default(),
            executables: Executables::default(),
        })
    }

    /// How each event is taken.
    pub fn plan(&self) -> &Plan {
        &self.loaded.plan
    }

    /// Bytes of all rings.
    pub fn ring_bytes(&self) -> usize {
        self.rings.iter().map(|r| r.ring.size()).sum()
    }

    /// Gives a record of each process alive now, read by an iterator over the kernel's tasks. Called after [`start`](Self::start), so
    /// that a process born in between is in the rings.
    pub fn existing(&mut self, mut give: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut bytes = vec![];
        for (program, link) in &self.loaded.links {
            if !matches!(program.hook, Hook::Iter(_)) {
                continue;
            }
            let mut iter =
                libbpf_rs::Iter::new(link).map_err(Error::bpf("opening the iterator over tasks"))?;
            iter.read_to_end(&mut bytes)
                .map_err(|source| Error::File { path: "the iterator over tasks".into(), source })?;
        }
        let mut rest = &bytes[..];
        while let Some(length) = record_length(rest).filter(|&l| l > 0 && l <= rest.len()) {
            let (record, behind) = rest.split_at(length);
            receive(&mut self.ledgers, &mut self.strays, None, record);
            give(record);
            rest = behind;
        }
        Ok(())
    }

    /// Says who is in a watched tree, or followed: of each process, by pid, a word with a bit for each tree and each scope that follows.
    /// Processes that they make from now on are added by the kernel side. Gives how many it did not know to be so.
    pub fn mark(&mut self, members: &[(u32, u64)]) -> Result<usize, Error> {
        /// `FOLLOWED` of `bpf/lib/scope.h`: what stands there the kernel side writes.
        const FOLLOWED: u32 = 1 << 31;
        let map = load::map(&self.loaded.object, "scope_tree")?;
        let word = |pid: u32| -> Result<u64, Error> {
            let found = map
                .lookup(&pid.to_ne_bytes(), MapFlags::ANY)
                .map_err(Error::bpf("reading scope_tree".to_owned()))?;
            Ok(found.and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes))
        };
        let mut told = 0;
        for (pid, marks) in members {
            let known = word(*pid)?;
            if (known | word(pid | FOLLOWED)?) & marks == *marks {
                continue;
            }
            map.update(&pid.to_ne_bytes(), &(known | marks).to_ne_bytes(), MapFlags::ANY)
                .map_err(Error::bpf("filling scope_tree".to_owned()))?;
            told += 1;
        }
        Ok(told)
    }

    /// Says in which trees a process must be for its events to pass, and in which not: bits of the words of [`mark`](Self::mark).
    pub fn watch_trees(&mut self, all: u64, none: u64) -> Result<(), Error> {
        load::map(&self.loaded.object, "cfg_trees")?
            .update(&0u32.to_ne_bytes(), &[all.to_ne_bytes(), none.to_ne_bytes()].concat(), MapFlags::ANY)
            .map_err(Error::bpf("filling cfg_trees".to_owned()))
    }

    /// No process is in a tree any more, or followed. None may be asked for meanwhile: neither by [`watch_trees`](Self::watch_trees) nor by a sieve.
    pub fn forget_trees(&mut self) -> Result<(), Error> {
        let map = load::map(&self.loaded.object, "scope_tree")?;
        // Who is made meanwhile takes over its maker's trees, if that one still has any: until none has.
        loop {
            let members: Vec<Vec<u8>> = map.keys().collect();
            if members.is_empty() {
                return Ok(());
            }
            for pid in members {
                // One that has ended has taken its own away.
                if let Err(source) = map.delete(&pid)
                    && source.kind() != libbpf_rs::ErrorKind::NotFound
                {
                    return Err(Error::bpf("emptying scope_tree".to_owned())(source));
                }
            }
        }
    }

    /// Takes other events, too, from when this returns. What is taken already goes on as it was; nothing of it is taken off its hook. To be used
    /// with the options of [`start`](Self::start), which must be [`extendable`](Options::extendable); `wanted` says of all events whether
    /// they are to be taken, and of those that are it must say so.
    ///
    /// # Errors
    ///
    /// The kernel refuses the programs; it has no memory for what is to be taken. Nothing has changed then.
    pub fn extend(
        &mut self,
        features: &Features,
        options: &Options,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<(), Error> {
        load::extend(&mut self.loaded, features, options, wanted)
    }

    /// Has the kernel leave out what does not pass its event's sieve, from now on; events without one all pass. The new ones take the place of
    /// the old ones at once, and when this returns, no program goes by the old ones any more.
    ///
    /// # Errors
    ///
    /// The kernel has no memory for them: everything passes then.
    pub fn sift(&mut self, sieves: &BTreeMap<u16, Sieve>) -> Result<(), Error> {
        self.sieves.put(&self.loaded.object, sieves, &self.executables)
    }

    /// Whether the sieves ask for what processes run: then it must be told, by [`runs`](Self::runs).
    pub fn asks_executables(&self) -> bool {
        self.sieves.ask_executables()
    }

    /// Says what a process runs since an execution of it, or since it was made: the executable's path. Of processes of which it is not said,
    /// and of those that have executed something else since, events pass whatever their sieves ask of it.
    ///
    /// # Errors
    ///
    /// There are too many processes, or the kernel has no memory: then it stays unknown.
    pub fn runs(&mut self, execution: Execution, path: &[u8]) -> Result<(), Error> {
        self.sieves.runs(&self.loaded.object, &mut self.executables, execution, path)
    }

    /// Forgets what a process ran, which has ended.
    pub fn ended(&mut self, pid: u32) {
        // It may never have been said.
        if let Ok(map) = load::map(&self.loaded.object, "cfg_executables") {
            let _ = map.delete(&pid.to_ne_bytes());
        }
    }

    /// Waits until a ring is filled to its mark, or for `timeout`. An interrupted wait is over.
    pub fn wait(&self, timeout: Duration) {
        // A ring whose oldest record is still being written counts as readable, but nothing can be read. The task that writes it was preempted,
        // perhaps by this one: looking again at once would keep the CPU from it, and for ever where this one has the higher priority.
        let open = self.rings.iter().filter(|r| !r.ring.blocked());
        let mut fds: Vec<PollFd<'_>> = open.map(|r| PollFd::new(&r.ring, PollFlags::IN)).collect();
        let timeout = if fds.len() < self.rings.len() { timeout.min(WRITTEN) } else { timeout };
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Nothing to do about an error but to look at the rings, which is done anyway.
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// How full the fullest ring is: 0 to 1.
    pub fn fill(&self) -> f64 {
        self.rings.iter().map(|r| r.ring.waiting() as f64 / r.ring.size() as f64).fold(0.0, f64::max)
    }

    /// One round: takes what is in the rings and gives out what no ring can hold anything older than. Returns whether every ring was
    /// emptied.
    pub fn drain(&mut self, give: impl FnMut(&[u8])) -> bool {
        let (emptied, oldest) = self.take_in();
        self.merge.release(oldest.saturating_sub(self.hold), give);
        emptied
    }

    /// Takes the programs off their hooks, then gives out all that is left. The ledger's equations hold afterwards.
    pub fn finish(&mut self, mut give: impl FnMut(&[u8])) {
        // What a link missed is known as long as it stands; what a program was skipped is known of the program, and final without links.
        let missed = self.missed_now();
        self.loaded.links.clear();
        self.missed = missed;
        // A run that was preempted ends after its program is off the hook; a second is long for it.
        for _ in 0..100 {
            while !self.take_in().0 {
                self.merge.release(0, &mut give);
            }
            if self.ledger().rows.iter().all(|r| r.counts.imbalance().is_empty()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.close_sequences();
        self.merge.release(u64::MAX, give);
    }

    /// Counts the holes behind the last record that came from each slot: what the slot itself says it has numbered.
    fn close_sequences(&mut self) {
        for (lane, ledger) in &mut self.ledgers {
            let Ok(map) = load::map(&self.loaded.object, &format!("{}_slots", lane.name())) else { continue };
            let slots = map.max_entries() / self.loaded.cpus.max(1);
            for index in 0..map.max_entries() {
                let value =
                    map.lookup(&index.to_ne_bytes(), MapFlags::ANY).ok().flatten().unwrap_or_default();
                // struct slot: owner, then seq.
                if let Some(seq) = value.get(8..).and_then(|v| v.first_chunk()) {
                    let slot = u8::try_from(index % slots).unwrap_or(u8::MAX);
                    ledger.sequence_end(index / slots, slot, u64::from_ne_bytes(*seq));
                }
            }
        }
    }

    /// Takes every slot of a lane away from the programs, or gives them back: how a test makes `slot_busy` happen.
    #[doc(hidden)]
    pub fn occupy_slots(&self, lane: Lane, occupied: bool) -> Result<(), Error> {
        let map = load::map(&self.loaded.object, &format!("{}_slots", lane.name()))?;
        let mut value = vec![0; map.value_size() as usize];
        value[..8].copy_from_slice(&u64::from(occupied).to_ne_bytes());
        for index in 0..map.max_entries() {
            map.update(&index.to_ne_bytes(), &value, MapFlags::ANY)
                .map_err(Error::bpf("taking the slots"))?;
        }
        Ok(())
    }

    /// Notes that a record could not be decoded.
    pub fn corrupt(&mut self, record: &[u8]) {
        let known = Head::of(record)
            .and_then(|h| self.ledgers.get_mut(&h.lane).map(|l| l.corrupt(h.cpu, h.probe)))
            .unwrap_or(false);
        if !known {
            self.strays += 1;
        }
    }

    /// The ledger now.
    pub fn ledger(&self) -> Ledger {
        let mut rows = vec![];
        let skipped = self.skipped_now();
        for program in self.loaded.plan.programs.values() {
            if let Some(ledger) = self.ledgers.get(&program.lane) {
                ledger.rows(program, &mut rows);
            }
            let skipped = skipped.get(program.name).copied().unwrap_or(0);
            if skipped > 0 {
                let counts = Counts { skipped, ..Counts::default() };
                rows.push(Row { lane: program.lane, probe: program.name, cpu: None, counts });
            }
        }
        rows.sort_by_key(|r| (r.lane, r.probe, r.cpu));
        let (holes, disorder) = self
            .ledgers
            .values()
            .map(LaneLedger::holes_and_disorder)
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        Ledger { time: boot_time(), rows, strays: self.strays, holes, disorder }
    }

    /// Runs that the kernel itself has counted, by program, since [`kernel::count_runs`]: those of the ledger's attempts, if it was called before
    /// [`start`](Self::start). Of programs on hooks of their own; those that others call are not counted by the kernel.
    pub fn kernel_runs(&self) -> BTreeMap<&'static str, u64> {
        let own_hook =
            |p: &&catalogue::Program| !matches!(p.hook, Hook::SysEnter | Hook::SysExit | Hook::Iter(_));
        let programs = self.loaded.plan.programs.values().copied().filter(own_hook);
        programs
            .filter_map(|program| {
                let code = self.loaded.code(program)?;
                Some((program.name, info_of(code.as_fd().as_raw_fd()).run_cnt))
            })
            .collect()
    }

    /// Records given out after younger ones.
    pub fn late(&self) -> u64 {
        self.merge.late()
    }

    fn take_in(&mut self) -> (bool, u64) {
        let mut oldest = boot_time();
        let mut emptied = true;
        for LaneRing { lane, ring } in &mut self.rings {
            let mut last = 0;
            let whole = ring.drain(ROUND, |record| {
                last = record.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
                receive(&mut self.ledgers, &mut self.strays, Some(*lane), record);
                self.merge.push(record);
            });
            if !whole {
                emptied = false;
                oldest = oldest.min(last);
            }
        }
        (emptied, oldest)
    }

    /// Runs that the kernel skipped, by program: those that the program counts (5.12; by perf, 6.7) and those that its link does (6.7).
    /// Kernels that do not count them say 0.
    fn skipped_now(&self) -> BTreeMap<&'static str, u64> {
        let mut skipped = if self.loaded.links.is_empty() { self.missed.clone() } else { self.missed_now() };
        for program in self.loaded.plan.programs.values() {
            let code = self.loaded.code(program);
            *skipped.entry(program.name).or_default() +=
                code.map_or(0, |p| info_of(p.as_fd().as_raw_fd()).recursion_misses);
        }
        skipped
    }

    fn missed_now(&self) -> BTreeMap<&'static str, u64> {
        self.loaded.links.iter().map(|(program, link)| (program.name, missed_by_link(link))).collect()
    }
}

impl std::fmt::Debug for Sensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sensor").field("plan", &self.loaded.plan).finish_non_exhaustive()
    }
}

/// The first reasons for which nothing can work, each with what to do.
pub fn check(features: &Features) -> Result<(), Error> {
    if let Some(why) = features.btf.why() {
        return Err(Error::NoBtf { why: why.into() });
    }
    // CAP_SYS_ADMIN holds both of the others.
    let lacks = |name: &str| features.capabilities.iter().any(|c| c.name == name && !c.held);
    let missing: Vec<&str> = ["CAP_BPF", "CAP_PERFMON"].into_iter().filter(|n| lacks(n)).collect();
    if lacks("CAP_SYS_ADMIN") && !missing.is_empty() {
        return Err(Error::Forbidden { missing: missing.join(", ") });
    }
    let preemption = &features.preemption;
    if !load::is_modern(features) && !claims_are_safe_without_atomics(preemption.model, preemption.dynamic) {
        return Err(Error::Unsafe { model: preemption.model.name() });
    }
    Ok(())
}

/// The legacy object reads and then writes a slot's owner: sound only where no task can run in between, now or after the model was changed
/// while running.
fn claims_are_safe_without_atomics(model: kernel::Model, dynamic: bool) -> bool {
    !dynamic && matches!(model, kernel::Model::None | kernel::Model::Voluntary)
}

/// Bytes of a record from which its row in the ledger can be told.
pub const HEAD_BYTES: usize = 32;

/// What the reader needs of a record's header before it is decoded.
struct Head {
    lane: Lane,
    slot: u8,
    cpu: u32,
    probe: u16,
    seq: u64,
}

impl Head {
    fn of(record: &[u8]) -> Option<Self> {
        let probe = u16::from_ne_bytes(*record.get(22..)?.first_chunk()?);
        let lane = Lane::from_number(*record.get(24)?)?;
        let slot = *record.get(25)?;
        let cpu = u32::from_ne_bytes(*record.get(28..)?.first_chunk()?);
        let seq = u64::from_ne_bytes(*record.get(8..)?.first_chunk()?);
        Some(Self { lane, slot, cpu, probe, seq })
    }
}

fn record_length(record: &[u8]) -> Option<usize> {
    Some(u32::from_ne_bytes(*record.get(16..)?.first_chunk()?) as usize)
}

/// Counts a record that came by a ring of that lane, or by no ring.
fn receive(ledgers: &mut BTreeMap<Lane, LaneLedger>, strays: &mut u64, ring: Option<Lane>, record: &[u8]) {
    let head = Head::of(record).filter(|h| ring.is_none_or(|l| l == h.lane));
    let Some((head, ledger)) = head.and_then(|h| ledgers.get_mut(&h.lane).map(|l| (h, l))) else {
        *strays += 1;
        return;
    };
    if !ledger.received(head.cpu, head.probe) {
        *strays += 1;
    }
    if ring.is_some() {
        ledger.sequence(head.cpu, head.slot, head.seq);
    }
}

fn boot_time() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs()
}

/// What the kernel says of a program; all zeros if it says nothing.
fn info_of(fd: i32) -> libbpf_sys::bpf_prog_info {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = u32::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: `info` is as long as `length` says, all zeros ask for no arrays, and both live through the call.
    let error = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd, &raw mut info, &raw mut length) };
    if error == 0 { info } else { libbpf_sys::bpf_prog_info::default() }
}

/// Runs missed by the link itself: kprobes count them there (6.7).
fn missed_by_link(link: &libbpf_rs::Link) -> u64 {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut length = u32::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: as above.
    let error = unsafe {
        libbpf_sys::bpf_link_get_info_by_fd(link.as_fd().as_raw_fd(), &raw mut info, &raw mut length)
    };
    if error != 0 || info.type_ != libbpf_sys::BPF_LINK_TYPE_PERF_EVENT {
        return 0;
    }
    // SAFETY: the kernel filled the union's member of this link type; every member is plain numbers.
    let event = unsafe { info.__bindgen_anon_1.perf_event };
    if event.type_ != libbpf_sys::BPF_PERF_EVENT_KPROBE {
        return 0;
    }
    // SAFETY: as above.
    unsafe { event.__bindgen_anon_1.kprobe.missed }
}

/// The index of a cgroup v1 controller among the kernel's subsystems, for [`Options::subsys`]; -1 for cgroup v2 (no controller).
pub fn subsys_of(controller: Option<&str>) -> Result<i32, Error> {
    let Some(controller) = controller else { return Ok(-1) };
    // The kernel's names differ from the mount options' in one case.
    let name = if controller == "blkio" { "io" } else { controller };
    let wanted = format!("{name}_cgrp_id");
    let no = || {
        Error::Object(format!(
            "this kernel's types do not tell the place of the cgroup controller {controller}"
        ))
    };
    let btf = Btf::from_vmlinux().map_err(Error::bpf("reading the kernel's types"))?;
    let subsystems = btf.type_by_name::<Enum<'_>>("cgroup_subsys_id").ok_or_else(no)?;
    let found = subsystems.iter().find(|m| m.name.is_some_and(|n| n == wanted.as_str()));
    found.and_then(|m| i32::try_from(m.value).ok()).ok_or_else(no)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Model;

    #[test]
    fn no_claims_without_atomics_where_tasks_preempt() {
        assert!(claims_are_safe_without_atomics(Model::None, false));
        assert!(claims_are_safe_without_atomics(Model::Voluntary, false));
        for (model, dynamic) in [
            (Model::Full, false),
            (Model::Lazy, false),
            (Model::Rt, false),
            (Model::Unknown, false),
            (Model::Voluntary, true),
        ] {
            assert!(!claims_are_safe_without_atomics(model, dynamic), "{model:?} {dynamic}");
        }
    }
}
