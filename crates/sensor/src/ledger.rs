//! The ledger: what became of every run of every probe, on every CPU.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use catalogue::{Lane, Program};
use serde::Serialize;

use crate::ring::Mapping;

const OUTCOMES: usize = 8;
const ROW: usize = OUTCOMES * size_of::<u64>();

/// Why an event was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The ring had no room: the reader was too slow, or `--buffers` too small.
    RingFull,
    /// Every slot of the CPU was held by a run that this one had interrupted.
    SlotBusy,
    /// The record did not fit into a slot.
    TooBig,
    /// The slot's owner had changed under the run.
    Stolen,
    /// State could not be kept: of a task its place in a watched tree, or what it was before a call that changes it; of a connection
    /// that it is under way, or the beginning of a message.
    Untracked,
    /// The kernel did not run the program (`recursion_misses`, or the link's missed count).
    Skipped,
    /// The record came, but could not be decoded.
    Corrupt,
    /// A packet was captured, but could not be written to a file.
    Unwritten,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 8] = [
        Cause::RingFull,
        Cause::SlotBusy,
        Cause::TooBig,
        Cause::Stolen,
        Cause::Untracked,
        Cause::Skipped,
        Cause::Corrupt,
        Cause::Unwritten,
    ];

    /// The name in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::RingFull => "ring_full",
            Cause::SlotBusy => "slot_busy",
            Cause::TooBig => "too_big",
            Cause::Stolen => "stolen",
            Cause::Untracked => "untracked",
            Cause::Skipped => "skipped",
            Cause::Corrupt => "corrupt",
            Cause::Unwritten => "unwritten",
        }
    }
}

/// The counts of one program, on one CPU or on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Runs that began.
    pub attempts: u64,
    /// Runs with nothing to tell, or out of scope.
    pub filtered: u64,
    /// Records given to the ring.
    pub submitted: u64,
    /// Lost: see [`Cause`].
    pub ring_full: u64,
    /// Lost: see [`Cause`].
    pub slot_busy: u64,
    /// Lost: see [`Cause`].
    pub too_big: u64,
    /// Lost: see [`Cause`].
    pub stolen: u64,
    /// Lost: see [`Cause`].
    pub untracked: u64,
    /// Lost: see [`Cause`]. Known for all CPUs together only.
    pub skipped: u64,
    /// Records that the reader got.
    pub received: u64,
    /// Of those, the ones that could not be decoded.
    pub corrupt: u64,
}

impl Counts {
    /// Lost for that cause.
    pub const fn lost(&self, cause: Cause) -> u64 {
        match cause {
            Cause::RingFull => self.ring_full,
            Cause::SlotBusy => self.slot_busy,
            Cause::TooBig => self.too_big,
            Cause::Stolen => self.stolen,
            Cause::Untracked => self.untracked,
            Cause::Skipped => self.skipped,
            Cause::Corrupt => self.corrupt,
            // No program loses these.
            Cause::Unwritten => 0,
        }
    }

    /// Lost for any cause.
    pub fn lost_in_all(&self) -> u64 {
        Cause::ALL.iter().map(|&c| self.lost(c)).sum()
    }

    /// What the equations say is wrong; empty once the load has stopped and the rings are empty. In between, runs and records under
    /// way are missing on one side.
    pub fn imbalance(&self) -> Vec<String> {
        let outcomes =
            self.filtered + self.submitted + self.ring_full + self.slot_busy + self.too_big + self.stolen;
        let mut wrong = vec![];
        if self.attempts != outcomes {
            wrong.push(format!("{} attempts, {outcomes} outcomes", self.attempts));
        }
        if self.submitted != self.received {
            wrong.push(format!("{} submitted, {} received", self.submitted, self.received));
        }
        wrong
    }

    fn add(&mut self, other: &Counts) {
        self.attempts += other.attempts;
        self.filtered += other.filtered;
        self.submitted += other.submitted;
        self.ring_full += other.ring_full;
        self.slot_busy += other.slot_busy;
        self.too_big += other.too_big;
        self.stolen += other.stolen;
        self.untracked += other.untracked;
        self.skipped += other.skipped;
        self.received += other.received;
        self.corrupt += other.corrupt;
    }
}

/// One row: a program on a CPU, or (`cpu` none) what is known for all CPUs together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Lane of the program.
    pub lane: Lane,
    /// The program.
    pub probe: &'static str,
    /// The CPU.
    pub cpu: Option<u32>,
    /// Its counts.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The whole ledger at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Ledger {
    /// When it was read: boot clock, nanoseconds.
    pub time: u64,
    /// Rows of the loaded programs that have counted anything, by lane, program and CPU.
    pub rows: Vec<Row>,
    /// Records that named no lane, program or CPU of ours, so that they have no row.
    pub strays: u64,
    /// Records missing in the sequences of the slots: those that full rings refused; exactly these once the watch has ended.
    pub holes: u64,
    /// Records that came twice or out of turn within their slot: never, or something is badly wrong.
    pub disorder: u64,
}

impl Ledger {
    /// Each program over all CPUs.
    pub fn by_probe(&self) -> Vec<Row> {
        let mut sums: BTreeMap<(Lane, &'static str), Counts> = BTreeMap::new();
        for row in &self.rows {
            sums.entry((row.lane, row.probe)).or_default().add(&row.counts);
        }
        sums.into_iter().map(|((lane, probe), counts)| Row { lane, probe, cpu: None, counts }).collect()
    }

    /// Everything together.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.rows.iter().for_each(|r| total.add(&r.counts));
        total.corrupt += self.strays;
        total
    }

    /// Nothing was lost.
    pub fn clean(&self) -> bool {
        self.total().lost_in_all() == 0 && self.disorder == 0
    }

    /// What was lost since `before`: lane, program, CPU, cause, how many.
    pub fn losses_since(&self, before: &Ledger) -> Vec<Loss> {
        let old: BTreeMap<_, _> = before.rows.iter().map(|r| ((r.lane, r.probe, r.cpu), r.counts)).collect();
        let mut losses = vec![];
        for row in &self.rows {
            let was = old.get(&(row.lane, row.probe, row.cpu)).copied().unwrap_or_default();
            for cause in Cause::ALL {
                let count = row.counts.lost(cause).saturating_sub(was.lost(cause));
                if count > 0 {
                    losses.push(Loss { lane: row.lane, probe: row.probe, cpu: row.cpu, cause, count });
                }
            }
        }
        losses
    }
}

/// Events lost in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Lane that lost them.
    pub lane: Lane,
    /// Program that lost them.
    pub probe: &'static str,
    /// CPU, where it is known.
    pub cpu: Option<u32>,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub count: u64,
}

/// The reader's side of a lane: its rows in the kernel, mapped, and what it got itself.
#[derive(Debug)]
pub(crate) struct LaneLedger {
    lane: Lane,
    mapping: Mapping,
    probes: u32,
    cpus: u32,
    received: Vec<u64>,
    corrupt: Vec<u64>,
    sequences: Sequences,
}

/// Slots that a CPU can have in a lane: MAX_SLOTS in `bpf/lib/lane.h`.
const SLOTS: usize = 8;

/// The numbers of the records of each slot. A slot has one owner at a time, so they come in order; what is missing was refused by the ring.
#[derive(Debug)]
struct Sequences {
    next: Vec<u64>,
    holes: u64,
    disorder: u64,
}

impl Sequences {
    fn new(cpus: u32) -> Self {
        Self { next: vec![0; cpus as usize * SLOTS], holes: 0, disorder: 0 }
    }

    fn note(&mut self, cpu: u32, slot: u8, seq: u64) {
        let place = cpu as usize * SLOTS + usize::from(slot);
        let Some(next) = self.next.get_mut(place) else {
            self.disorder += 1;
            return;
        };
        match seq.checked_sub(*next) {
            Some(missing) => self.holes += missing,
            None => self.disorder += 1,
        }
        *next = seq.saturating_add(1).max(*next);
    }

    fn end(&mut self, cpu: u32, slot: u8, count: u64) {
        if let Some(next) = self.next.get_mut(cpu as usize * SLOTS + usize::from(slot)) {
            self.holes += count.saturating_sub(*next);
            *next = count.max(*next);
        }
    }
}

impl LaneLedger {
    pub(crate) fn new(lane: Lane, fd: impl AsFd, probes: u32, cpus: u32) -> rustix::io::Result<Self> {
        let rows = probes as usize * cpus as usize;
        let length = (rows * ROW).next_multiple_of(rustix::param::page_size());
        let mapping = Mapping::new(fd.as_fd(), 0, length, false)?;
        Ok(Self {
            lane,
            mapping,
            probes,
            cpus,
            received: vec![0; rows],
            corrupt: vec![0; rows],
            sequences: Sequences::new(cpus),
        })
    }

    fn row(&self, cpu: u32, probe: u16) -> Option<usize> {
        (cpu < self.cpus && u32::from(probe) < self.probes)
            .then(|| cpu as usize * self.probes as usize + usize::from(probe))
    }

    /// Counts a record that came; false if it names a row that is not there.
    pub(crate) fn received(&mut self, cpu: u32, probe: u16) -> bool {
        let row = self.row(cpu, probe);
        row.and_then(|r| self.received.get_mut(r)).map(|n| *n += 1).is_some()
    }

    /// Notes the number of a record that came by a ring.
    pub(crate) fn sequence(&mut self, cpu: u32, slot: u8, seq: u64) {
        self.sequences.note(cpu, slot, seq);
    }

    /// Notes how many records a slot has numbered in all, once nothing more can come.
    pub(crate) fn sequence_end(&mut self, cpu: u32, slot: u8, count: u64) {
        self.sequences.end(cpu, slot, count);
    }

    /// Records that are missing in the sequences of this lane's slots, and records that came twice or out of turn.
    pub(crate) fn holes_and_disorder(&self) -> (u64, u64) {
        (self.sequences.holes, self.sequences.disorder)
    }

    /// Counts a record that could not be decoded; false if it names a row that is not there.
    pub(crate) fn corrupt(&mut self, cpu: u32, probe: u16) -> bool {
        let row = self.row(cpu, probe);
        row.and_then(|r| self.corrupt.get_mut(r)).map(|n| *n += 1).is_some()
    }

    fn count(&self, row: usize, outcome: usize) -> u64 {
        let at = row * ROW + outcome * size_of::<u64>();
        debug_assert!(at + size_of::<u64>() <= self.mapping.len());
        // SAFETY: within the mapping: `row` is below probes * cpus, for which the mapping was made; aligned to 8; the kernel's programs
        // add to this word atomically.
        unsafe { self.mapping.start().add(at).cast::<AtomicU64>().as_ref() }.load(Ordering::Relaxed)
    }

    pub(crate) fn rows(&self, program: &'static Program, out: &mut Vec<Row>) {
        for cpu in 0..self.cpus {
            let Some(row) = self.row(cpu, program.probe) else { continue };
            let counts = Counts {
                attempts: self.count(row, 0),
                filtered: self.count(row, 1),
                submitted: self.count(row, 2),
                ring_full: self.count(row, 3),
                slot_busy: self.count(row, 4),
                too_big: self.count(row, 5),
                stolen: self.count(row, 6),
                untracked: self.count(row, 7),
                skipped: 0,
                received: self.received[row],
                corrupt: self.corrupt[row],
            };
            if counts != Counts::default() {
                out.push(Row { lane: self.lane, probe: program.name, cpu: Some(cpu), counts });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_show_holes_and_repeats() {
        let mut sequences = Sequences::new(2);
        for (cpu, slot, seq) in [(0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 4), (0, 0, 5)] {
            sequences.note(cpu, slot, seq);
        }
        assert_eq!((sequences.holes, sequences.disorder), (2, 0));
        sequences.note(0, 0, 5);
        sequences.note(9, 0, 0);
        assert_eq!((sequences.holes, sequences.disorder), (2, 2));
        sequences.end(0, 0, 8);
        sequences.end(0, 0, 8);
        assert_eq!((sequences.holes, sequences.disorder), (4, 2));
    }

    fn ledger(counts: Counts) -> Ledger {
        Ledger {
            rows: vec![Row { lane: Lane::Task, probe: "ptrace", cpu: Some(0), counts }],
            ..Ledger::default()
        }
    }

    #[test]
    fn equations() {
        let good = Counts {
            attempts: 10,
            filtered: 3,
            submitted: 5,
            ring_full: 1,
            slot_busy: 1,
            received: 5,
            ..Counts::default()
        };
        assert_eq!(good.imbalance(), Vec::<String>::new());
        assert_eq!(Counts { attempts: 11, ..good }.imbalance(), ["11 attempts, 10 outcomes"]);
        assert_eq!(Counts { received: 4, ..good }.imbalance(), ["5 submitted, 4 received"]);
    }

    #[test]
    fn losses_are_what_grew() {
        let before = ledger(Counts { ring_full: 2, ..Counts::default() });
        let after = ledger(Counts { ring_full: 5, skipped: 1, ..Counts::default() });
        let losses = after.losses_since(&before);
        assert_eq!(
            losses.iter().map(|l| (l.cause, l.count)).collect::<Vec<_>>(),
            [(Cause::RingFull, 3), (Cause::Skipped, 1)]
        );
        assert!(!after.clean());
        assert!(ledger(Counts::default()).clean());
        assert_eq!(after.losses_since(&after), []);
    }
}
