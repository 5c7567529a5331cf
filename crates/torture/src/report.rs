//! What came of it.

use std::collections::BTreeMap;

use catalogue::Lane;
use sensor::{Counts, Ledger, Plan};
use serde::Serialize;

use crate::check::{Checker, Faults, Found, Place, Trace};

/// The report. Durations are in seconds; everything else counts events, records or runs.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// Its preemption model.
    pub model: &'static str,
    /// A task can be preempted by another inside of some program.
    pub tasks_preempt: bool,
    /// Also inside tracepoint programs by BTF.
    pub tracepoint_programs_preemptible: bool,
    /// The control that was run, if it was one.
    pub control: Option<&'static str>,
    /// How long the load ran.
    pub seconds: u64,
    /// The CPUs that were loaded; packets were steered to the first.
    pub cpus: Vec<u32>,
    /// The promise held.
    pub passed: bool,
    /// Everything together.
    pub totals: Totals,
    /// Equations of the ledger that do not hold.
    pub imbalance: Vec<String>,
    /// Program by program.
    pub rows: Vec<Row>,
    /// What was wrong, the first cases.
    pub samples: Vec<String>,
    /// What the load lacked here.
    pub notes: Vec<String>,
    /// Most memory that this process had, in KiB; the rings are in it, each of their pages twice, as they are mapped twice.
    pub memory_kib: u64,
}

/// Sums over all programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is described in `Row`")]
pub struct Totals {
    /// Acts of the workers.
    pub operations: u64,
    pub expected: u64,
    pub intact: u64,
    pub torn: u64,
    pub misattributed: u64,
    pub duplicated: u64,
    pub reported: u64,
    pub silent: u64,
    /// Records given out after younger ones: held up for longer than others wait for them.
    pub late: u64,
    pub runs: u64,
    pub skipped: u64,
    pub filtered: u64,
    pub submitted: u64,
    pub delivered: u64,
    /// Every loss of the ledger.
    pub lost: u64,
}

/// One program.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// Its lane.
    pub lane: Lane,
    /// The program.
    pub probe: &'static str,
    /// Runs that the kernel was to make: attempts and skipped.
    pub runs: u64,
    /// Runs that the kernel did not make.
    pub skipped: u64,
    /// Runs with nothing to tell.
    pub filtered: u64,
    /// Records given to the ring.
    pub submitted: u64,
    /// Records that were decoded.
    pub delivered: u64,
    /// Lost, by cause.
    pub ring_full: u64,
    /// Lost, by cause.
    pub slot_busy: u64,
    /// Lost, by cause.
    pub too_big: u64,
    /// Lost, by cause.
    pub stolen: u64,
    /// State that could not be kept.
    pub untracked: u64,
    /// Records that could not be decoded: torn.
    pub corrupt: u64,
    /// Events that the workers' acts had to leave.
    pub expected: u64,
    /// Of these, told with everything right.
    pub intact: u64,
    /// Events with content of another, or of none.
    pub torn: u64,
    /// Events with the right content and the wrong task.
    pub misattributed: u64,
    /// Events told again.
    pub duplicated: u64,
    /// Missing, and in the ledger.
    pub reported: u64,
    /// Missing, and not in the ledger.
    pub silent: u64,
}

/// The sums and rows of a run that is over.
pub(crate) fn rows(
    plan: &Plan,
    ledger: &Ledger,
    kernel_runs: &BTreeMap<&'static str, u64>,
    checker: &Checker,
    found: &[(Trace, Found)],
) -> (Totals, Vec<Row>) {
    let mut rows: BTreeMap<(Lane, &'static str), Row> = BTreeMap::new();
    for row in ledger.by_probe() {
        rows.insert((row.lane, row.probe), new_row(row.lane, row.probe, &row.counts, checker));
    }
    // The dispatchers of system calls do not count their runs themselves: each is no more than one look at a table.
    for (probe, &runs) in kernel_runs {
        if let Some(program) = catalogue::program(probe).filter(|p| is_dispatcher(p)) {
            let none = Counts::default();
            let row = rows
                .entry((program.lane, program.name))
                .or_insert_with(|| new_row(program.lane, program.name, &none, checker));
            row.runs += runs;
            row.filtered += runs;
        }
    }
    let mut missing: BTreeMap<u16, u64> = BTreeMap::new();
    for (trace, found) in found {
        *missing.entry(trace.event()).or_default() += found.missing;
        if let Some(row) = teller(plan, checker, *trace).and_then(|p| rows.get_mut(&p)) {
            row.expected += found.expected;
            row.intact += found.intact;
        }
    }
    for (event, missing) in missing {
        let lost = losses(plan, ledger, event);
        let first = found.iter().map(|f| f.0).find(|t| t.event() == event);
        if let Some(row) = first.and_then(|t| teller(plan, checker, t)).and_then(|p| rows.get_mut(&p)) {
            row.reported += missing.min(lost);
            row.silent += missing.saturating_sub(lost);
        }
    }
    let rows: Vec<Row> = rows.into_values().collect();
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let known: Vec<Place> =
        rows.iter().filter_map(|r| catalogue::program(r.probe)).map(|p| (p.lane, p.probe)).collect();
    // A record can be so torn that it names no program of ours.
    let mut strange = Faults::default();
    for (_, f) in checker.faults.iter().filter(|(place, _)| !known.contains(place)) {
        strange.torn += f.torn;
        strange.misattributed += f.misattributed;
        strange.duplicated += f.duplicated;
    }
    let in_all: u64 = found.iter().map(|f| f.1.missing).sum();
    let lost = ledger.total().lost_in_all();
    let silent = sum(|r| r.silent).max(in_all.saturating_sub(lost));
    let totals = Totals {
        operations: checker.acts(),
        expected: found.iter().map(|f| f.1.expected).sum(),
        intact: found.iter().map(|f| f.1.intact).sum(),
        torn: sum(|r| r.torn) + strange.torn + ledger.strays,
        misattributed: sum(|r| r.misattributed) + strange.misattributed,
        duplicated: sum(|r| r.duplicated) + strange.duplicated,
        reported: in_all - silent,
        silent,
        late: 0,
        runs: sum(|r| r.runs),
        skipped: sum(|r| r.skipped),
        filtered: sum(|r| r.filtered),
        submitted: sum(|r| r.submitted),
        delivered: sum(|r| r.delivered),
        lost,
    };
    (totals, rows)
}

fn new_row(lane: Lane, probe: &'static str, c: &Counts, checker: &Checker) -> Row {
    let faults = catalogue::program(probe)
        .and_then(|p| checker.faults.get(&(p.lane, p.probe)))
        .copied()
        .unwrap_or_default();
    Row {
        lane,
        probe,
        runs: c.attempts + c.skipped,
        skipped: c.skipped,
        filtered: c.filtered,
        submitted: c.submitted,
        delivered: c.received - c.corrupt,
        ring_full: c.ring_full,
        slot_busy: c.slot_busy,
        too_big: c.too_big,
        stolen: c.stolen,
        untracked: c.untracked,
        corrupt: c.corrupt,
        expected: 0,
        intact: 0,
        torn: faults.torn + c.corrupt,
        misattributed: faults.misattributed,
        duplicated: faults.duplicated,
        reported: 0,
        silent: 0,
    }
}

fn is_dispatcher(program: &catalogue::Program) -> bool {
    matches!(program.hook, catalogue::Hook::DispatchEnter | catalogue::Hook::DispatchExit)
}

/// The program that tells this trace: the one most of them came from.
fn teller(plan: &Plan, checker: &Checker, trace: Trace) -> Option<(Lane, &'static str)> {
    let most = checker.told.iter().filter(|((t, _), _)| *t == trace).max_by_key(|(_, n)| **n);
    let told = most.and_then(|((_, (lane, probe)), _)| catalogue::program_of(*lane, *probe));
    let program = told.or_else(|| tellers(plan, trace.event()).next())?;
    Some((program.lane, program.name))
}

/// The programs by which this event is taken here.
fn tellers(plan: &Plan, event: u16) -> impl Iterator<Item = &'static catalogue::Program> {
    let name = catalogue::event_by_id(event).map(|e| e.name);
    let choice = plan.choices.iter().find(|c| Some(c.event) == name);
    choice.and_then(|c| c.tier).into_iter().flat_map(|t| t.programs).map(|p| p.get())
}

/// Everything by which the ledger says that events of this kind may be missing.
fn losses(plan: &Plan, ledger: &Ledger, event: u16) -> u64 {
    let own: Vec<&str> = tellers(plan, event).map(|p| p.name).collect();
    let dispatched = tellers(plan, event).any(catalogue::Program::is_syscall);
    ledger
        .by_probe()
        .iter()
        .map(|row| {
            let program = catalogue::program(row.probe);
            let dispatches = program.is_some_and(is_dispatcher);
            if own.contains(&row.probe) || dispatches && dispatched {
                row.counts.lost_in_all()
            } else {
                // State about a task that was not kept may hide any event of it.
                row.counts.untracked
            }
        })
        .sum()
}

/// What of the ledger does not add up, now that all has come to rest.
pub(crate) fn imbalance(ledger: &Ledger) -> Vec<String> {
    let mut wrong = vec![];
    for row in ledger.rows.iter().filter(|r| r.cpu.is_some()) {
        for text in row.counts.imbalance() {
            wrong.push(format!("{} on CPU {}: {text}", row.probe, row.cpu.unwrap_or_default()));
        }
    }
    let full = ledger.total().ring_full;
    if ledger.holes != full {
        wrong.push(format!(
            "{} holes in the numbers of the records, {full} refused by the rings",
            ledger.holes
        ));
    }
    if ledger.disorder != 0 {
        wrong.push(format!("{} records twice or out of turn", ledger.disorder));
    }
    wrong
}

/// Programs that the kernel ran more or less often than they have counted themselves.
pub(crate) fn uncounted(ledger: &Ledger, runs: &BTreeMap<&'static str, u64>) -> Vec<String> {
    let attempts: BTreeMap<&str, u64> =
        ledger.by_probe().iter().map(|r| (r.probe, r.counts.attempts)).collect();
    let count = |probe: &str| catalogue::program(probe).is_some_and(|p| !is_dispatcher(p));
    let differ = runs.iter().filter(|(probe, _)| count(probe)).filter_map(|(probe, &runs)| {
        let counted = attempts.get(probe).copied().unwrap_or(0);
        (runs != counted)
            .then(|| format!("{probe}: the kernel ran it {runs} times, it counted {counted} attempts"))
    });
    differ.collect()
}
