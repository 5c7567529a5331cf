//! `tarsius torture`: tries to break the promise on this kernel.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};
use anyhow::Context as _;
use comfy_table::CellAlignment;
use torture::{Report, Row};

use crate::cli::Torture;
use crate::events::{print, table};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::watch::stop_on;

const TITLE: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Cyan)));
const GOOD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red)));

/// Tortures and reports. Succeeds only if the promise held.
pub(crate) fn run(options: &Torture) -> anyhow::Result<ExitCode> {
    if let Some(part) = &options.worker {
        torture::play(part)?;
        return Ok(ExitCode::SUCCESS);
    }
    let own = std::env::current_exe().context("finding this program's file, to start workers from")?;
    let stop = stop_on(&[SIGINT, SIGTERM, SIGHUP])?;
    let report = torture::run(
        &torture::Options {
            duration: Duration::from_secs(options.seconds),
            cpus: (!options.cpus.is_empty()).then(|| options.cpus.concat()),
            control: options.control.map(Into::into),
            buffers: options.buffers,
            worker: vec![own.into(), "torture".into(), "--worker".into()],
        },
        &stop,
    )?;
    let mut out = anstream::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        show(&mut out, &report)?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A column: its title, and what of a program stands in it.
type Column = (&'static str, fn(&Row) -> u64);

/// Losses have a column only if there are any.
const ALWAYS: usize = 5;
const COLUMNS: [Column; 18] = [
    ("RUNS", |r| r.runs),
    ("SKIPPED", |r| r.skipped),
    ("FILTERED", |r| r.filtered),
    ("SUBMITTED", |r| r.submitted),
    ("DELIVERED", |r| r.delivered),
    ("RING FULL", |r| r.ring_full),
    ("SLOT BUSY", |r| r.slot_busy),
    ("TOO BIG", |r| r.too_big),
    ("STOLEN", |r| r.stolen),
    ("UNTRACKED", |r| r.untracked),
    ("CORRUPT", |r| r.corrupt),
    ("EXPECTED", |r| r.expected),
    ("INTACT", |r| r.intact),
    ("TORN", |r| r.torn),
    ("MISATTRIBUTED", |r| r.misattributed),
    ("DUPLICATED", |r| r.duplicated),
    ("REPORTED", |r| r.reported),
    ("SILENT", |r| r.silent),
];
const JUDGED: usize = 11;

fn show(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let cpus: Vec<String> = report.cpus.iter().map(u32::to_string).collect();
    let control = report.control.map(|c| format!(", control {c}")).unwrap_or_default();
    writeln!(
        out,
        "{TITLE}Torture{TITLE:#}: kernel {} ({}), {} s on CPUs {}{control}\n",
        report.kernel,
        report.model,
        report.seconds,
        cpus.join(",")
    )?;
    rows(out, &report.rows)?;
    let t = &report.totals;
    writeln!(
        out,
        "\n{} acts had to leave {} events: {} came intact, {} are missing and reported; {} runs were skipped, {} records came late",
        t.operations, t.expected, t.intact, t.reported, t.skipped, t.late
    )?;
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for sample in &report.samples {
        writeln!(out, "{BAD}!{BAD:#} {sample}")?;
    }
    for wrong in &report.imbalance {
        writeln!(out, "{BAD}!{BAD:#} the ledger does not add up: {wrong}")?;
    }
    let text = format!(
        "torn {}, misattributed {}, duplicated {}, silent {}",
        t.torn, t.misattributed, t.duplicated, t.silent
    );
    if report.passed {
        writeln!(out, "{GOOD}The promise held{GOOD:#}: {text}; the ledger adds up.")
    } else if t.intact == 0 {
        writeln!(out, "{BAD}Nothing was seen{BAD:#}: {text}.")
    } else {
        writeln!(out, "{BAD}The promise was broken{BAD:#}: {text}.")
    }
}

fn rows(out: &mut impl Write, rows: &[Row]) -> std::io::Result<()> {
    let shown =
        |n: usize, of: fn(&Row) -> u64| !(ALWAYS..JUDGED).contains(&n) || rows.iter().any(|r| of(r) > 0);
    let columns: Vec<Column> =
        COLUMNS.iter().enumerate().filter(|(n, c)| shown(*n, c.1)).map(|(_, c)| *c).collect();
    let header: Vec<&str> = ["LANE", "PROBE"].into_iter().chain(columns.iter().map(|c| c.0)).collect();
    let mut table = table(&header);
    for row in rows {
        let numbers = columns.iter().map(|c| c.1(row).to_string());
        table.add_row([row.lane.name().to_string(), row.probe.to_string()].into_iter().chain(numbers));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    print(out, &table)
}
