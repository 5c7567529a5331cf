//! What is shown at the end.

use std::io::{self, Write};
use std::time::Duration;

use catalogue::Lane;

use crate::SinkCounts;
use crate::number::Grouped;

/// What happened in a run.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// Events by name, in any order; those of which there was none are left out.
    pub events: &'a [(&'a str, u64)],
    /// What became of them.
    pub sinks: &'a [SinkCounts],
    /// What became of the records.
    pub ledger: &'a LedgerSummary,
    /// How long it ran.
    pub elapsed: Duration,
}

/// The ledger, in short.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerSummary {
    /// Records that reached the pipeline.
    pub delivered: u64,
    /// Runs of probes whose event was not wanted of that task.
    pub filtered: u64,
    /// What was lost, a row for each lane, probe and cause.
    pub rows: Vec<LossRow>,
}

/// Events lost at one probe for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossRow {
    /// The lane.
    pub lane: Lane,
    /// The probe.
    pub probe: String,
    /// The cause, as the ledger names it.
    pub cause: String,
    /// How many.
    pub count: u64,
}

/// Writes a summary.
///
/// # Errors
///
/// Those of `w`.
pub fn summary(w: &mut impl Write, summary: &Summary<'_>) -> io::Result<()> {
    events(w, summary)?;
    for sink in summary.sinks.iter().filter(|sink| sink.dropped > 0) {
        writeln!(
            w,
            "output {}: {} events written, {} DROPPED",
            sink.name,
            Grouped(sink.written),
            Grouped(sink.dropped)
        )?;
    }
    ledger(w, summary.ledger)
}

fn events(w: &mut impl Write, summary: &Summary<'_>) -> io::Result<()> {
    let mut events: Vec<_> = summary.events.iter().filter(|(_, count)| *count > 0).copied().collect();
    events.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let total: u64 = events.iter().map(|(_, count)| count).sum();
    let names = events.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("total".len());
    let digits = Grouped(total).to_string().len();
    for &(name, count) in &events {
        writeln!(w, "{name:<names$}  {:>digits$}", Grouped(count))?;
    }
    let seconds = summary.elapsed.as_secs_f64();
    write!(w, "{:<names$}  {:>digits$}  in {seconds:.1} s", "total", Grouped(total))?;
    if seconds > 0.0 {
        // Saturates, and a rate is never negative.
        write!(w, ", {} per second", Grouped((total as f64 / seconds).round() as u64))?;
    }
    writeln!(w)
}

fn ledger(w: &mut impl Write, ledger: &LedgerSummary) -> io::Result<()> {
    let (delivered, filtered) = (Grouped(ledger.delivered), Grouped(ledger.filtered));
    let mut rows: Vec<_> = ledger.rows.iter().filter(|row| row.count > 0).collect();
    if rows.is_empty() {
        return writeln!(
            w,
            "ledger: clean: {delivered} records delivered, nothing lost ({filtered} filtered in the kernel)"
        );
    }
    rows.sort_by(|a, b| (a.lane, &a.probe, &a.cause).cmp(&(b.lane, &b.probe, &b.cause)));
    let lost = Grouped(rows.iter().map(|row| row.count).sum());
    writeln!(
        w,
        "ledger: LOST {lost} of {} records ({filtered} filtered in the kernel)",
        Grouped(ledger.delivered + lost.0)
    )?;
    let width = |head: &str, longest: Option<usize>| longest.unwrap_or(0).max(head.len());
    let probe = width("PROBE", rows.iter().map(|row| row.probe.len()).max());
    let cause = width("CAUSE", rows.iter().map(|row| row.cause.len()).max());
    let count = width("COUNT", Some(lost.to_string().len()));
    writeln!(w, "  {:<4}  {:<probe$}  {:<cause$}  {:>count$}", "LANE", "PROBE", "CAUSE", "COUNT")?;
    for row in rows {
        let LossRow { probe: p, cause: c, .. } = row;
        writeln!(w, "  {:<4}  {p:<probe$}  {c:<cause$}  {:>count$}", row.lane.name(), Grouped(row.count))?;
    }
    writeln!(w, "  {:<4}  {:<probe$}  {:<cause$}  {lost:>count$}", "", "total", "")
}

#[cfg(test)]
mod tests;
