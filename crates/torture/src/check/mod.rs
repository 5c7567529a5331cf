//! Compares every event with what its worker did.
//!
//! An event is recognised by its content, and its content says which act it must be of. Then everything in it has to fit: the other
//! fields to the act, the identity to the worker, the time to the moment of the act. What is of a worker and can not be recognised was
//! torn; what is recognised and bears another's identity was misattributed.

mod children;
mod judge;
mod same;
mod trace;

use std::collections::{BTreeMap, HashMap};

use catalogue::Lane;
use event::{Event, Header};
use packet::Dissector;

use crate::cast::Hired;
use crate::journal::{Journal, Order};
use crate::script::{Kind, Part};
use crate::worker;

use children::Child;
use same::{lossy, same_task, same_time};

pub(crate) use trace::Trace;

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
    dissector: Dissector,
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
            dissector: Dissector::new(|_| true),
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
        self.weigh(&event);
        // As `tarsius watch` does: what is in a packet is told by records of its own.
        let mut made = vec![];
        self.dissector.dissect(&event, |record| made.push(record.to_vec()));
        for record in made {
            match Event::decode(&record) {
                Ok(event) => self.weigh(&event),
                Err(error) => self.sample(|| format!("made undecodable: {error}")),
            }
        }
        true
    }

    /// Judges an event, and notes what is wrong with it.
    fn weigh(&mut self, event: &Event<'_>) {
        let place = (event.header.lane, event.header.probe);
        if let Err(wrong) = self.judge(event) {
            self.note(place, &wrong, || {
                format!(
                    "{} by {} (pid {})",
                    event.definition.name,
                    lossy(event.header.comm()),
                    event.header.pid
                )
            });
        }
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

    /// Compares the children, now that everything is written down, and counts what there should be and what there is.
    pub(crate) fn conclude(&mut self) -> Vec<(Trace, Found)> {
        let mut wrong = vec![];
        for worker in self.workers.values_mut() {
            for (child, fault) in children::compare(worker, &mut self.told) {
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

#[cfg(test)]
mod tests {
    use catalogue::fields::memfd_create::{FLAGS, NAME};
    use event::Origin;
    use event::build::RecordBuilder;

    use super::*;
    use crate::journal::now;
    use crate::script::{self, Which};

    const WORKER: u8 = 7;

    fn header(pid: u32) -> Header {
        let mut header = Header { origin: Origin::Current, pid, tid: pid, ..Header::unknown(now()) };
        header.comm[..12].copy_from_slice(b"torture-w007");
        (header.start_time, header.leader_start_time) = (u64::from(pid), u64::from(pid));
        header
    }

    fn record(event: &str, header: Header, put: impl FnOnce(RecordBuilder) -> RecordBuilder) -> Vec<u8> {
        let probe = 0;
        put(RecordBuilder::new(catalogue::event(event).unwrap(), Header { probe, ..header })).finish()
    }

    fn memfd(header: Header, act: u32) -> Vec<u8> {
        let name = script::marker(Which::First, WORKER, act, script::NAME);
        record("memfd_create", header, |b| {
            b.put_str(NAME as u8, name.as_bytes(), catalogue::Quality::Ok)
                .put_u32(FLAGS as u8, script::memfd_flags(WORKER, act))
        })
    }

    /// A checker of one worker that has done three acts.
    fn checker() -> Checker {
        let part = Part {
            worker: WORKER,
            kind: Kind::Memory,
            cpus: vec![0],
            realtime: false,
            timer: false,
            dir: "/nowhere".into(),
            cgroup: String::new(),
            journal: -1,
        };
        let journal = Journal::new().unwrap();
        (0..3).for_each(|act| journal.begin(act));
        journal.set_done(3);
        let mut checker = Checker::new("/nowhere", vec![(part, journal, 100)]);
        assert!(checker.record(&record("existing_process", header(100), |b| b)));
        checker
    }

    fn faults(checker: &Checker) -> Faults {
        checker.faults.values().copied().next().unwrap_or_default()
    }

    #[test]
    fn what_is_right_is_intact_and_what_did_not_come_is_missing() {
        let mut checker = checker();
        assert!(checker.record(&memfd(header(100), 2)));
        assert_eq!(faults(&checker), Faults::default(), "{:?}", checker.samples);
        let found = checker.conclude();
        let memfd = found.iter().find(|f| f.0 == Trace::Memfd).unwrap().1;
        assert_eq!(memfd, Found { expected: 3, intact: 1, missing: 2 });
    }

    #[test]
    fn each_fault_has_its_class() {
        let mut checker = checker();
        let good = memfd(header(100), 2);
        checker.record(&good);
        checker.record(&good);
        assert_eq!(faults(&checker), Faults { duplicated: 1, ..Faults::default() });
        // The tail of another act's name behind the head of this one's; the flags of another.
        let mut torn = good.clone();
        let last = torn.iter().rposition(u8::is_ascii_lowercase).unwrap();
        torn[last] ^= 1;
        checker.record(&torn);
        // A stranger's identity with a worker's content, and the worker's with a stranger's.
        checker.record(&memfd(header(101), 2));
        checker.record(&record("memfd_create", header(100), |b| b.put_u32(FLAGS as u8, 1)));
        assert_eq!(
            faults(&checker),
            Faults { torn: 2, misattributed: 1, duplicated: 1 },
            "{:?}",
            checker.samples
        );
        // A stranger's own is nobody's business.
        checker.record(&record("memfd_create", header(101), |b| b.put_u32(FLAGS as u8, 1)));
        // From before the act began.
        checker.record(&memfd(Header { time: 1, ..header(100) }, 1));
        assert_eq!(
            faults(&checker),
            Faults { torn: 3, misattributed: 1, duplicated: 1 },
            "{:?}",
            checker.samples
        );
        assert!(!checker.record(&good[..20]));
    }
}
