//! `tarsius doctor`: this kernel, and what can be done with it.

use std::io::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Color, Style};
use kernel::{Features, Support};
use sensor::{Choice, Planner};
use serde::Serialize;

use crate::cli::Doctor;
use crate::events::{print, table};

const TITLE: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Cyan)));
const GOOD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red)));

/// What `doctor --json` prints.
#[derive(Serialize)]
struct Report {
    kernel: Features,
    events: Vec<Choice>,
    /// Why the main job can not run here; empty if it can.
    obstacles: Vec<String>,
}

/// Examines and reports. Succeeds when the main job can run.
pub(crate) fn run(options: &Doctor) -> anyhow::Result<ExitCode> {
    let features = Features::probe();
    let plan = Planner::new(&features).plan(|e| !e.tiers.iter().all(|t| t.programs.is_empty()));
    let obstacles = obstacles(&features, &plan.choices);
    let can_run = obstacles.is_empty();
    let report = Report { kernel: features, events: plan.choices, obstacles };
    let mut out = anstream::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        kernel_part(&mut out, &report.kernel)?;
        hooks_part(&mut out, &report.kernel)?;
        events_part(&mut out, &report)?;
        verdict(&mut out, &report)?;
    }
    Ok(if can_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The main job needs a kernel with types and rings, leave to load programs, and a way to take process events.
fn obstacles(features: &Features, choices: &[Choice]) -> Vec<String> {
    let mut found = vec![];
    if let Err(error) = sensor::check(features) {
        found.push(error.to_string());
    }
    for (map, why) in features.maps.iter().filter_map(|(m, s)| Some((m, s.why()?))) {
        if matches!(map, kernel::MapKind::RingBuffer | kernel::MapKind::ArrayOfRingBuffers) {
            found.push(format!("no {map}: {why}"));
        }
    }
    for name in ["sched_process_fork", "sched_process_exec", "sched_process_exit"] {
        if choices.iter().any(|c| c.event == name && c.tier.is_none()) {
            found.push(format!("{name} can not be taken, without which no event can be blamed on anybody"));
        }
    }
    found
}

fn mark(support: &Support) -> String {
    match support.why() {
        None => format!("{GOOD}yes{GOOD:#}"),
        Some(why) => format!("{BAD}no{BAD:#}   {why}"),
    }
}

fn kernel_part(out: &mut impl std::io::Write, f: &Features) -> std::io::Result<()> {
    let line = |out: &mut dyn std::io::Write, name: &str, value: &str| writeln!(out, "  {name:<24}{value}");
    writeln!(out, "{TITLE}Kernel{TITLE:#}")?;
    line(out, "release", &format!("{} ({})", f.release, f.machine))?;
    line(out, "build", &f.version)?;
    line(out, "types (BTF)", &mark(&f.btf))?;
    let p = &f.preemption;
    let dynamic = if p.dynamic { ", can be changed while running" } else { "" };
    line(out, "preemption", &format!("{}{dynamic} (from {})", p.model.name(), p.model_source))?;
    let preemptible = match p.tracepoint_programs_preemptible {
        Some(true) => "yes: handlers of system calls go by perf tracepoints, which are not skipped",
        Some(false) => "no",
        None => "not known; taken for yes",
    };
    line(out, "programs preemptible", &format!("{preemptible} ({})", p.why))?;
    line(out, "atomics", &mark(&f.atomics))?;
    line(out, "skips counted", &mark(&f.skip_counter))?;
    line(out, "rings under locks", &mark(&f.rings_under_locks))?;
    let object = if sensor::is_modern(f) {
        "modern"
    } else {
        "legacy: slots are claimed without compare-and-swap, paths have 96 names at most"
    };
    line(out, "programs taken", object)?;
    line(
        out,
        "tracefs",
        &f.tracefs.mount.as_ref().map_or_else(|| mark(&f.tracefs.support), |m| m.display().to_string()),
    )?;
    let cgroup = match (&f.cgroup2.mount, f.cgroup2.hybrid) {
        (Some(m), true) => format!("{} (hybrid: containers may be in cgroup v1)", m.display()),
        (Some(m), false) => m.display().to_string(),
        (None, _) => "not mounted: no packets, no connects by cgroup".into(),
    };
    line(out, "cgroup v2", &cgroup)?;
    if let Some(lsms) = &f.lsms {
        line(out, "security modules", &lsms.join(", "))?;
    }
    if let Some(lockdown) = &f.lockdown {
        line(out, "lockdown", lockdown)?;
    }
    let missing: Vec<String> =
        f.missing_capabilities().map(|c| format!("{} ({})", c.name, c.purpose)).collect();
    let capabilities = if missing.is_empty() {
        format!("{GOOD}all held{GOOD:#}")
    } else {
        format!("missing {}", missing.join("; "))
    };
    line(out, "capabilities", &capabilities)?;
    writeln!(out)
}

fn hooks_part(out: &mut impl std::io::Write, f: &Features) -> std::io::Result<()> {
    writeln!(out, "{TITLE}Hooks{TITLE:#}")?;
    for (hook, support) in &f.hooks {
        writeln!(out, "  {:<24}{}", hook.name(), mark(support))?;
    }
    writeln!(out, "\n{TITLE}Maps{TITLE:#}")?;
    for (map, support) in &f.maps {
        writeln!(out, "  {:<24}{}", map.name(), mark(support))?;
    }
    writeln!(out)
}

fn events_part(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    writeln!(out, "{TITLE}Events{TITLE:#}, as they would be taken here")?;
    let mut events = table(&["  EVENT", "TIER", "PROBES", "MISSED WITH IT"]);
    for choice in &report.events {
        let (tier, probes, missed) = match choice.tier {
            Some(tier) => {
                let mut hooks: Vec<String> = tier.programs.iter().map(|p| p.get().hook.to_string()).collect();
                hooks.dedup();
                (tier.name, hooks.join(" "), tier.misses.to_string())
            }
            None => (
                "-",
                String::new(),
                choice
                    .refused
                    .iter()
                    .map(|r| format!("{}: {}", r.tier, r.why))
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
        };
        events.add_row([format!("  {}", choice.event), tier.to_string(), probes, missed]);
    }
    print(out, &events)?;
    let mut reasons: Vec<(&str, &str)> =
        report.events.iter().flat_map(|c| &c.refused).map(|r| (r.tier, r.why.as_str())).collect();
    reasons.sort_unstable();
    reasons.dedup();
    if !reasons.is_empty() {
        writeln!(out, "\n{TITLE}Why not a better tier{TITLE:#}")?;
        reasons.iter().try_for_each(|(tier, why)| writeln!(out, "  {tier:<12} {why}"))?;
    }
    writeln!(out)
}

fn verdict(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    if report.obstacles.is_empty() {
        let taken = report.events.iter().filter(|c| c.tier.is_some()).count();
        writeln!(
            out,
            "{GOOD}Tarsius can run here{GOOD:#}: {taken} of {} events can be taken.",
            report.events.len()
        )
    } else {
        writeln!(out, "{BAD}Tarsius can not run here{BAD:#}:")?;
        report.obstacles.iter().try_for_each(|o| writeln!(out, "  {o}"))
    }
}
