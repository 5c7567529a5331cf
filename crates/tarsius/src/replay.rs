//! `tarsius replay` and `tarsius rules test`: detectors on recorded events.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use catalogue::fields::lost_events;
use detect::{Case, Detector, Detectors, Library, Of};
use event::json::write_finding_of;
use policy::{Evidence as _, Expected, Outcome, Recorded, Seen};
use serde::Deserialize;

use crate::cli::Replay;
use crate::detectors::{library, own, say_undecided, select};
use crate::policy::{beside, expectations, report};
use crate::watch::DEGRADED;

/// Lines of a recording are long, and what is read should stay in a processor's cache until it is looked at.
const BUFFER: usize = 128 << 10;

/// `tarsius replay`: gives out what is found, as lines of JSON.
pub(crate) fn run(options: &Replay) -> anyhow::Result<ExitCode> {
    let library = library(&options.rules, &options.sigma)?;
    let asked = asked(options, &library)?;
    // And those whose findings they look at.
    let mut detectors = Detectors::new(library.select(|d| asked.contains(&d.produced.name)));
    let mut out = std::io::BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
    let mut line = vec![];
    let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    let mut seen = Seen::default();
    let begun = Instant::now();
    for file in &options.files {
        let mut failed = None;
        let of_file = find(&mut detectors, file, open(file)?, |recorded, found, detectors, degraded| {
            let name = detectors.get(found.detector).map(|d| &d.produced.name);
            let Some(name) = name.filter(|name| asked.contains(*name)) else { return Ok(()) };
            *counts.entry(Arc::clone(name)).or_default() += 1;
            line.clear();
            let read = |kept| Recorded::kept(kept)?.line().ok();
            detectors.tell(found, &recorded.line()?, read, degraded, |finding| {
                write_finding_of(&mut line, finding, |line| line);
            });
            out.write_all(&line).map_err(|error| {
                let message = error.to_string();
                failed = Some(error);
                message
            })
        });
        // A full disk is not the recording's fault.
        if let Some(error) = failed {
            return Err(error.into());
        }
        let of_file = of_file?;
        seen.events += of_file.events;
        seen.findings += of_file.findings;
        seen.kinds.extend(of_file.kinds);
    }
    out.flush()?;
    let took = begun.elapsed().as_secs_f64();
    let per_second = if took > 0.0 { (seen.events as f64 / took).round() } else { 0.0 };
    eprintln!(
        "tarsius: {} events in {took:.3} s, {per_second} a second; {} findings by {} of {} detectors",
        seen.events,
        counts.values().sum::<u64>(),
        counts.len(),
        asked.len()
    );
    for (name, count) in &counts {
        eprintln!("tarsius: {name}: {count}");
    }
    if seen.findings > 0 {
        eprintln!("tarsius: {} findings among what was recorded were passed over", seen.findings);
    }
    let is_blind = |d: &&Detector| {
        d.looks.iter().all(|look| matches!(&look.of, Of::Event(event) if !seen.kinds.contains(&event.id)))
    };
    let blind = detectors.iter().map(|(d, _)| d).filter(is_blind).count();
    if blind > 0 {
        eprintln!("tarsius: {blind} detectors look only at events of which none was recorded");
    }
    say_undecided(&detectors);
    Ok(ExitCode::SUCCESS)
}

/// What is asked for, by its name; by default what those of the files alone find if there are any, or else all.
fn asked(options: &Replay, library: &Library) -> anyhow::Result<BTreeSet<Arc<str>>> {
    let names = |is_asked: &dyn Fn(&Detector) -> bool| {
        let asked = library.detectors.iter().filter(|d| is_asked(d));
        asked.map(|d| Arc::clone(&d.produced.name)).collect()
    };
    if options.events.is_empty() {
        let files = [options.rules.as_slice(), &options.sigma].concat();
        return Ok(names(&|d| if files.is_empty() { d.maturity.is_on() } else { own(d, &files) }));
    }
    let selected = select(library, &options.events);
    if let Some(other) = selected.events.first() {
        bail!("no detector is called '{other}', or finds it; `tarsius detectors` lists them");
    }
    Ok(names(&|d| selected.findings.iter().any(|f| **f == *d.produced.name)))
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, opened)))
}

/// Has detectors look at a recording; `tell` gets all that they find, and whether events were lost shortly before, as the watch says it.
fn find(
    detectors: &mut Detectors,
    file: &Path,
    lines: impl BufRead,
    mut tell: impl FnMut(&Recorded<'_>, &detect::Found, &Detectors, bool) -> Result<(), String>,
) -> Result<Seen, policy::LineError> {
    let mut found = vec![];
    let mut last_loss = None;
    let is_degraded = |recorded: &Recorded<'_>, last_loss: Option<u64>| {
        last_loss.is_some_and(|at| recorded.time().saturating_sub(at) < DEGRADED)
    };
    policy::recorded(file, lines, |unread| {
        if unread.definition().id == lost_events::EVENT_ID {
            last_loss = Some(unread.time());
        }
        // What has waited for too long was found in a line before.
        while let Some((first, kept)) = detectors.due(unread.time()) {
            if let Some(recorded) = Recorded::kept(&kept) {
                detectors.follow(first, &recorded, &mut found);
                let degraded = is_degraded(&recorded, last_loss);
                found.iter().try_for_each(|one| tell(&recorded, one, detectors, degraded))?;
            }
        }
        if detectors.look_at(unread.definition().id) {
            let recorded = unread.read()?;
            detectors.look(&recorded, &mut found);
            let degraded = is_degraded(&recorded, last_loss);
            found.iter().try_for_each(|one| tell(&recorded, one, detectors, degraded))?;
        }
        Ok(())
    })
}

/// What a test expects: the YAML file that `tarsius rules test` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectations {
    /// Files or directories of detectors, beside this file.
    #[serde(default)]
    detectors: Vec<PathBuf>,
    /// The same of rules of Sigma.
    #[serde(default)]
    sigma: Vec<PathBuf>,
    /// The recorded events, beside this file.
    events: PathBuf,
    /// In what each detector must find something, by what it finds; those of the files that are not named must find nothing.
    #[serde(default)]
    expect: BTreeMap<String, Expected>,
}

/// `tarsius rules test`.
pub(crate) fn test(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Some(file) = file else { return own_tests(&[]) };
    // Detectors say of which type they are, expectations do not.
    let is_type = |line: &str| line.starts_with("type:") || line.trim_start().starts_with("\"type\":");
    if file.is_dir() || policy::read_text(file)?.lines().any(is_type) {
        return own_tests(&[file.into()]);
    }
    let expected: Expectations = expectations(file)?;
    let paths = |of: &[PathBuf]| of.iter().map(|path| beside(file, path)).collect::<Vec<_>>();
    let (rules, sigma) = (paths(&expected.detectors), paths(&expected.sigma));
    let library = library(&rules, &sigma)?;
    let files = [rules, sigma].concat();
    let asked =
        |d: &Detector| files.is_empty() || own(d, &files) || expected.expect.contains_key(&*d.produced.name);
    let mut detectors = Detectors::new(library.select(asked));
    let names = detectors.iter().filter(|(d, _)| asked(d)).map(|(d, _)| Arc::clone(&d.produced.name));
    let mut outcomes: BTreeMap<Arc<str>, Outcome> = names.map(|name| (name, Outcome::default())).collect();
    let events = beside(file, &expected.events);
    find(&mut detectors, &events, open(&events)?, |recorded, found, detectors, _| {
        if let Some(outcome) = detectors.get(found.detector).and_then(|d| outcomes.get_mut(&d.produced.name))
        {
            outcome.matched.push(recorded.number());
        }
        Ok(())
    })?;
    say_undecided(&detectors);
    report("detector", &outcomes, &expected.expect)
}

/// Tests detectors by the events that they bring: those of the files, or those that come with Tarsius.
fn own_tests(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let library = library(files, &[])?;
    let mut out = std::io::stdout().lock();
    let (mut well, mut failed, mut untested) = (0, 0, 0);
    for detector in library.detectors.iter().filter(|d| files.is_empty() || own(d, files)) {
        untested += usize::from(detector.tests.is_empty());
        for case in &detector.tests {
            let (found, undecided) =
                found_in(&library, detector, case).with_context(|| case.place.to_string())?;
            let why = if found != case.finds {
                format!("found {found} times, not {}", case.finds)
            } else if found == 0 && undecided > 0 {
                // What a test forgot to tell is no proof that nothing is found.
                format!("of {undecided} events it is not known whether it is in them")
            } else {
                well += 1;
                continue;
            };
            failed += 1;
            writeln!(out, "FAIL {}: {why}, at {}", detector.produced.name, case.place)?;
        }
    }
    writeln!(out, "{well} tests passed, {failed} failed; {untested} detectors have none")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How often a detector finds something in the events of a test, and of how many it could not be known.
fn found_in(library: &Library, detector: &Detector, case: &Case) -> Result<(usize, u64), policy::LineError> {
    let mut detectors = Detectors::new(library.select(|d| d.id == detector.id));
    let mut count = 0;
    find(&mut detectors, &case.place.file, case.recording.as_bytes(), |_, found, detectors, _| {
        count += usize::from(detectors.get(found.detector).is_some_and(|d| d.id == detector.id));
        Ok(())
    })?;
    let of_it = detectors.iter().filter(|(d, _)| d.id == detector.id);
    Ok((count, of_it.map(|(_, counts)| counts.undecided).sum()))
}
