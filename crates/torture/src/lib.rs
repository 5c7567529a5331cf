//! Torture: tries to break the promise on the running kernel, and tells whether it held.
//!
//! > Every event is delivered intact, or reported lost. Never torn, never silently missing, never blamed on another task.
//!
//! Workers do things of which each carries a mark of its own (`script`), several on each CPU, while real-time tasks preempt them, timers and
//! packets interrupt them, and processes end in storms (`cast`, `worker`). The production programs watch, by the sensor that
//! `tarsius watch` runs on. Every event is compared with what its worker wrote down that it did (`journal`, `check`), and the ledger's
//! equations are checked (`report`).
//!
//! A [`Control`] does the same with one thing made wrong that is known to be wrong. It has to fail, or the torture has seen nothing.

mod cast;
mod check;
mod error;
mod journal;
mod report;
mod script;
mod stage;
mod worker;

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::{Features, Model};
use sensor::{Scratch, Sensor};

use cast::Cast;
use check::Checker;
use journal::Order;
use stage::Stage;

pub use error::Error;
pub use report::{Report, Row, Totals};
pub use worker::play;

/// One thing that is known to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// All programs build their records in one buffer for each CPU, without a claim: as Tracee once did. Torn on every kernel.
    SharedScratch,
    /// The net lane has a buffer of its own, the others share one: Tracee's published fix. Torn where tasks preempt one another inside
    /// programs.
    SingleSlotPerContext,
    /// Programs hang on tracepoints by BTF, whether these can be preempted or not. Skipped where they can (Linux 7).
    NaiveAttachment,
}

impl Control {
    /// Every control.
    pub const ALL: [Control; 3] =
        [Control::SharedScratch, Control::SingleSlotPerContext, Control::NaiveAttachment];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Control::SharedScratch => "shared-scratch",
            Control::SingleSlotPerContext => "single-slot-per-context",
            Control::NaiveAttachment => "naive-attachment",
        }
    }
}

/// How to torture.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long the load runs.
    pub duration: Duration,
    /// CPUs to load; packets are steered to the first. `None`: the first four there are.
    pub cpus: Option<Vec<u32>>,
    /// What to make wrong.
    pub control: Option<Control>,
    /// Bytes for all rings together.
    pub buffers: u64,
    /// The command that becomes a worker ([`play`]) when its part is appended.
    pub worker: Vec<OsString>,
}

/// The workers wait when a ring is so full, and go on when all are so empty: what the rings refuse shows nothing but that they are full.
const FULL: f64 = 0.5;
const EMPTY: f64 = 0.1;
/// How long to wait for a filled ring before looking anyway.
const LOOK: Duration = Duration::from_millis(10);
/// A worker that does not come to its end by then is stuck, and killed: an error.
const PATIENCE: Duration = Duration::from_secs(600);
/// Packets under way when the workers end have arrived by then.
const SETTLE: Duration = Duration::from_millis(100);

/// Runs it; `stop` ends it early. The process gets a network and mounts of its own: call it from the only thread.
///
/// # Errors
///
/// What keeps the torture from being run; what it finds is in the report.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<Report, Error> {
    let mut features = Features::probe();
    sensor::check(&features)?;
    let cpus = choose_cpus(options)?;
    let preemptible = features.tracepoint_programs_preemptible();
    if options.control == Some(Control::NaiveAttachment) {
        features.preemption.tracepoint_programs_preemptible = Some(false);
    }
    let stage = Stage::new(&features, cpus.first().copied().unwrap_or(0))?;
    let (mut cast, workers) = Cast::start(&options.worker, cast::parts(&cpus, &stage))?;
    let mut checker = Checker::new(&stage.path, workers);

    let sensor_options = sensor::Options {
        buffers: options.buffers,
        scratch: match options.control {
            Some(Control::SharedScratch) => Scratch::Shared,
            Some(Control::SingleSlotPerContext) => Scratch::PerContext,
            _ => Scratch::Claimed,
        },
        ..sensor::Options::default()
    };
    let counting = kernel::count_runs();
    // Everything that can be taken: what the checker does not look at is load.
    let mut sensor =
        Sensor::start(&features, &sensor_options, |e| !e.tiers.iter().all(|t| t.programs.is_empty()))?;
    let mut undecoded = vec![];
    sensor.existing(|record| take(&mut checker, &mut undecoded, record))?;
    let trees: Vec<(u32, u64)> = cast.pids().map(|pid| (pid, 1)).collect();
    sensor.mark(&trees)?;
    sensor.watch_trees(1, 0)?;

    // Refused or not is known already.
    worker::set_realtime(Some(worker::READER));
    cast.cue()?;
    let started = Instant::now();
    let mut order = Order::Act;
    while started.elapsed() < options.duration && !stop.load(Ordering::Relaxed) {
        round(&mut sensor, &mut checker, &mut undecoded);
        cast.all_run()?;
        let next = match sensor.fill() {
            fill if fill > FULL => Order::Wait,
            fill if fill < EMPTY => Order::Act,
            _ => order,
        };
        if next != order {
            order = next;
            checker.tell(order);
        }
    }
    let seconds = started.elapsed().as_secs();
    checker.tell(Order::Stop);
    let told = Instant::now();
    while !cast.all_ended()? {
        round(&mut sensor, &mut checker, &mut undecoded);
        if told.elapsed() > PATIENCE {
            return Err(Error::Stuck { workers: cast.running() });
        }
    }
    let ended = Instant::now();
    while ended.elapsed() < SETTLE {
        round(&mut sensor, &mut checker, &mut undecoded);
    }
    sensor.finish(|record| take(&mut checker, &mut undecoded, record));
    note(&mut sensor, &mut undecoded);

    let found = checker.conclude();
    let ledger = sensor.ledger();
    let kernel_runs = sensor.kernel_runs();
    let (mut totals, rows) = report::rows(sensor.plan(), &ledger, &kernel_runs, &checker, &found);
    totals.late = sensor.late();
    let mut samples = checker.samples.clone();
    if totals.silent > 0 {
        samples.extend(checker.first_missing.values().cloned());
    }
    let mut imbalance = report::imbalance(&ledger);
    let mut notes = stage.notes.clone();
    match counting {
        Ok(_) => imbalance.extend(report::uncounted(&ledger, &kernel_runs)),
        Err(e) => notes.push(format!("the kernel does not count runs to compare the ledger with: {e}")),
    }
    imbalance.extend(checker.unknown().iter().map(|w| format!("the identity of worker {w} was never told")));
    let missing = sensor.plan().missing().map(|c| format!("{} can not be taken on this kernel", c.event));
    notes.extend(missing);
    let held = totals.torn + totals.misattributed + totals.duplicated + totals.silent == 0;
    let model = features.preemption.model;
    Ok(Report {
        kernel: features.release.clone(),
        model: model.name(),
        tasks_preempt: preemptible || !matches!(model, Model::None | Model::Voluntary),
        tracepoint_programs_preemptible: preemptible,
        control: options.control.map(Control::name),
        seconds,
        cpus,
        passed: held && imbalance.is_empty() && totals.intact > 0,
        totals,
        imbalance,
        rows,
        samples,
        notes,
        memory_kib: peak_memory(),
    })
}

fn choose_cpus(options: &Options) -> Result<Vec<u32>, Error> {
    let online = kernel::online_cpus().map_err(sensor::Error::from)?;
    let Some(named) = &options.cpus else { return Ok(online.into_iter().take(cast::CPUS).collect()) };
    if let Some(&cpu) = named.iter().find(|c| !online.contains(c)) {
        let online: Vec<String> = online.iter().map(u32::to_string).collect();
        return Err(Error::NoCpu { cpu, online: online.join(",") });
    }
    Ok(named.clone())
}

fn round(sensor: &mut Sensor, checker: &mut Checker, undecoded: &mut Vec<Vec<u8>>) {
    sensor.wait(LOOK);
    sensor.drain(|record| take(checker, undecoded, record));
    note(sensor, undecoded);
}

fn take(checker: &mut Checker, undecoded: &mut Vec<Vec<u8>>, record: &[u8]) {
    if !checker.record(record) {
        undecoded.push(record.iter().copied().take(sensor::HEAD_BYTES).collect());
    }
}

fn note(sensor: &mut Sensor, undecoded: &mut Vec<Vec<u8>>) {
    undecoded.drain(..).for_each(|record| sensor.corrupt(&record));
}

/// The most that this process had in memory, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
