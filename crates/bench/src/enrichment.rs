//! What it costs to tell more of each event (`--enrichment`): for the task that acts, and for Tarsius.

use std::io::Write as _;

use anyhow::{Context as _, ensure};

use crate::{OPENS, TURNS, beside, cpu_time, median, table};

/// Programs executed in one turn.
const EXECUTIONS: u64 = 2_000;

/// What acts, and by which event that is told.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    /// Writes a byte to /dev/null.
    Write,
    /// Executes a program that ends.
    Execute,
}

impl Load {
    const fn event(self) -> &'static str {
        match self {
            Load::Write => "write",
            Load::Execute => "sched_process_exec",
        }
    }

    const fn count(self) -> u64 {
        match self {
            Load::Write => OPENS,
            Load::Execute => EXECUTIONS,
        }
    }

    /// A turn: nanoseconds of CPU of one act.
    fn turn(self) -> anyhow::Result<f64> {
        let mut null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        let start = cpu_time() + children();
        for _ in 0..self.count() {
            match self {
                Load::Write => null.write_all(b"x").context("/dev/null")?,
                Load::Execute => {
                    let status = std::process::Command::new("/bin/true").status().context("/bin/true")?;
                    ensure!(status.success(), "/bin/true: {status}");
                }
            }
        }
        Ok((cpu_time() + children() - start) as f64 / self.count() as f64)
    }
}

/// CPU nanoseconds of the processes that were waited for.
fn children() -> u64 {
    // SAFETY: all zeros are a value of it, and it lives through the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let nanos = |t: libc::timeval| t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_usec.unsigned_abs() * 1_000;
    nanos(usage.ru_utime) + nanos(usage.ru_stime)
}

/// Measures and prints.
pub(crate) fn report() -> anyhow::Result<()> {
    println!(
        "{TURNS} turns of {OPENS} writes of a byte to /dev/null, and of {EXECUTIONS} executions of /bin/true; median of the turns\n"
    );
    let tree = format!("tree={}", std::process::id());
    let ways = [
        (Load::Write, None),
        (Load::Write, Some("fd-paths")),
        (Load::Execute, None),
        (Load::Execute, Some("environment")),
        (Load::Execute, Some("executable-hash")),
        (Load::Execute, Some("package")),
    ];
    let mut measured = vec![(vec![], vec![], 0u64); ways.len()];
    for _ in 0..TURNS {
        for ((load, enrichment), (times, own, lost)) in ways.iter().zip(&mut measured) {
            let mut options = vec!["--events", load.event(), "--scope", &*tree, "--output", "json:/dev/null"];
            options.extend(enrichment.iter().flat_map(|what| ["--enrichment", what]));
            let mut time = Ok(f64::NAN);
            let (_, report, ..) = beside(&options, || {
                time = load.turn();
                0.0
            })?;
            ensure!(report.received + report.lost >= load.count(), "{} came", report.received);
            times.push(time?);
            own.push(report.cpu as f64 / report.received as f64);
            *lost += report.lost;
        }
    }
    let mut table =
        table(&["DELIVERED", "ns per act", "added", "Tarsius' CPU per event, ns", "added", "lost"]);
    let mut plain = (f64::NAN, f64::NAN);
    for ((load, enrichment), (times, own, lost)) in ways.iter().zip(&mut measured) {
        let (time, own) = (median(times), median(own));
        if enrichment.is_none() {
            plain = (time, own);
        }
        table.add_row([
            enrichment
                .map_or_else(|| load.event().to_owned(), |what| format!("{} with {what}", load.event())),
            format!("{time:.0}"),
            format!("{:.0}", time - plain.0),
            format!("{own:.0}"),
            format!("{:.0}", own - plain.1),
            lost.to_string(),
        ]);
    }
    println!("{table}\n");
    Ok(())
}
