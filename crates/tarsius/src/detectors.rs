//! The detectors in force, and `tarsius detectors`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use detect::{Correlation, Detector, Detectors, Library, Measure, Of, SIGMA};
use policy::FileError;

use crate::cli::{DetectorsOptions, Kind, Query, RulesCommand};
use crate::events::{print, table};
use crate::{query, replay};

/// What stands for all that look without being named where events are selected.
const ALL: [&str; 2] = ["detectors", "tag=detectors"];

/// The detectors that come with Tarsius, those of `--detectors`, and rules of `--sigma`.
///
/// # Errors
///
/// All that is wrong with detectors, as one error; a rule that can not be read. One that is not understood is said on standard error: whoever
/// loads a collection of rules wants the others all the same.
pub(crate) fn library(detectors: &[PathBuf], sigma: &[PathBuf]) -> anyhow::Result<Library> {
    let mut library = detect::load(detectors).map_err(|errors| one_error(&errors))?;
    if !sigma.is_empty() {
        let rules = ::sigma::load(sigma).context("reading rules of Sigma")?;
        let before = library.detectors.len();
        let (unsupported, sourceless): (Vec<_>, Vec<_>) =
            library.add_sigma(&rules).into_iter().partition(|idle| idle.unsupported);
        for idle in &unsupported {
            eprintln!("tarsius: a rule finds nothing: {idle}");
        }
        eprintln!(
            "tarsius: {} rules of Sigma, and {} without a source, {} unsupported (`tarsius sigma check` says which)",
            library.detectors.len() - before,
            sourceless.len(),
            unsupported.len()
        );
    }
    Ok(library)
}

fn one_error(errors: &[FileError]) -> anyhow::Error {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(lines.join("\n"))
}

/// A file or directory of `--detectors`; Tracee writes `yaml-dir=` before it.
pub(crate) fn path(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(text.strip_prefix("yaml-dir=").unwrap_or(text).into())
}

/// What `--events` selects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    /// What detectors find, by name.
    pub(crate) findings: Vec<String>,
    /// What is left for the catalogue.
    pub(crate) events: Vec<String>,
}

/// Parts the values of `--events`: detectors are named as events are, by what they find, by id, or by either with wildcards.
pub(crate) fn select(library: &Library, flags: &[String]) -> Selected {
    let mut selected = Selected::default();
    let mut unwanted: Vec<&str> = vec![];
    let tokens = flags.iter().flat_map(|f| f.split(',')).map(str::trim).filter(|t| !t.is_empty());
    for token in tokens {
        let (name, excluded) = token.strip_prefix('-').map_or((token, false), |name| (name, true));
        let is_like = |detector: &&Detector| {
            (ALL.contains(&name) && (excluded || detector.maturity.is_on()))
                || (name == SIGMA && detector.produced.tags.iter().any(|tag| tag == SIGMA))
                || policy::matches(name, detector.produced.name.as_bytes())
                || policy::matches(name, detector.id.as_bytes())
        };
        // A wildcard that events have is about events.
        let of_events = name.contains('*') && policy::find_events(name).is_ok();
        let mut found = library.detectors.iter().filter(is_like).map(|d| &*d.produced.name).peekable();
        match (of_events || found.peek().is_none(), excluded) {
            (true, _) => selected.events.push(token.to_owned()),
            (false, true) => unwanted.extend(found),
            (false, false) => selected.findings.extend(found.map(str::to_owned)),
        }
    }
    selected.findings.retain(|f| !unwanted.contains(&f.as_str()));
    selected
}

/// Says on standard error what detectors could not decide, or had to forget.
pub(crate) fn say_undecided(detectors: &Detectors) {
    for (detector, counts) in detectors.iter() {
        let name = &detector.produced.name;
        if counts.undecided > 0 {
            eprintln!(
                "tarsius: {name}: of {} events it is not known whether it is in them",
                counts.undecided
            );
        }
        if counts.evicted > 0 {
            eprintln!("tarsius: {name}: {} counts were forgotten for want of room", counts.evicted);
        }
    }
    if detectors.too_deep() > 0 {
        eprintln!(
            "tarsius: {} findings came of too many others, and were not looked at",
            detectors.too_deep()
        );
    }
}

/// `tarsius detectors`: lists them, or describes one.
pub(crate) fn run(options: &DetectorsOptions) -> anyhow::Result<ExitCode> {
    if options.stats {
        let control = options.control.clone();
        return query::run(&Query { what: Kind::Detector, filters: vec![], json: false, control });
    }
    let library = library(&options.detectors, &options.sigma)?;
    let mut out = anstream::stdout().lock();
    match &options.name {
        None => {
            let mut lines = table(&["ID", "FINDS", "SEVERITY", "MATURITY", "TECHNIQUE", "LOOKS AT", "WHAT"]);
            for detector in &library.detectors {
                let threat = detector.threat.as_ref();
                lines.add_row([
                    detector.id.to_string(),
                    detector.produced.name.to_string(),
                    threat.map_or("-".into(), |t| t.severity.name().to_owned()),
                    detector.maturity.name().to_owned(),
                    technique(detector).unwrap_or("-").to_owned(),
                    looks(detector).join(" "),
                    detector.produced.description.clone(),
                ]);
            }
            print(&mut out, &lines)?;
            let named = library.detectors.iter().filter(|d| !d.maturity.is_on()).count();
            writeln!(
                out,
                "\n{} detectors; {named}, sandbox or deprecated, look only where they are named. \
                 `tarsius detectors ID` describes one.",
                library.detectors.len()
            )?;
        }
        Some(name) => {
            let found = library.detectors.iter().find(|d| *d.id == **name || *d.produced.name == **name);
            let Some(detector) = found else {
                let known = library.detectors.iter().flat_map(|d| [&*d.id, &*d.produced.name]);
                let hint =
                    expr::nearest(name, known).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
                bail!("no detector is called '{name}'{hint} `tarsius detectors` lists them");
            };
            describe(&mut out, detector)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What several events must be together.
fn several(correlation: &Correlation) -> String {
    let how_many: Vec<String> =
        correlation.condition.iter().map(|(comparison, than)| format!("{comparison} {than}")).collect();
    let how_many = how_many.join(" and ");
    let what = match correlation.measure {
        Measure::Unusual => {
            return format!(
                "how often a value was there before: {how_many}, once {:?} have passed",
                correlation.within
            );
        }
        Measure::Absent => {
            return format!("events after the first: none comes within {:?}", correlation.within);
        }
        Measure::Events => "events",
        Measure::Values => "different values",
        Measure::Together => "of what it looks at",
        Measure::InOrder => "of what it looks at, in this order",
    };
    format!("{how_many} {what}, within {:?}", correlation.within)
}

fn technique(detector: &Detector) -> Option<&str> {
    detector.threat.as_ref()?.technique.as_ref().map(|(id, _)| id.as_str())
}

fn looks(detector: &Detector) -> Vec<&str> {
    let mut names: Vec<&str> = detector
        .looks
        .iter()
        .map(|look| match &look.of {
            Of::Event(event) => event.name,
            Of::Finding(name) => name,
        })
        .collect();
    names.dedup();
    names
}

fn describe(out: &mut impl std::io::Write, detector: &Detector) -> std::io::Result<()> {
    writeln!(out, "{}  finds {}", detector.id, detector.produced.name)?;
    writeln!(out, "{}\n", detector.produced.description)?;
    if let Some(threat) = &detector.threat {
        writeln!(out, "severity       {}", threat.severity.name())?;
        writeln!(out, "why            {}", threat.description)?;
        if let Some((id, name)) = &threat.technique {
            writeln!(
                out,
                "technique      {}",
                name.as_ref().map_or(id.clone(), |name| format!("{id} {name}"))
            )?;
        }
        if !threat.other_techniques.is_empty() {
            writeln!(out, "also           {}", threat.other_techniques.join(", "))?;
        }
        if let Some(tactic) = &threat.tactic {
            writeln!(out, "tactic         {tactic}")?;
        }
    }
    let named = if detector.maturity.is_on() { "" } else { ": it looks only where it is named" };
    writeln!(out, "maturity       {}{named}", detector.maturity.name())?;
    writeln!(out, "looks at       {}", looks(detector).join(", "))?;
    if let Some(correlation) = &detector.correlation {
        writeln!(out, "counts         {}", several(correlation))?;
    }
    if !detector.requests.is_empty() {
        let requests: Vec<&str> = detector.requests.iter().copied().collect();
        writeln!(out, "takes          --enrichment {}, by itself", requests.join(","))?;
    }
    let fields: Vec<&str> = detector.produced.fields.iter().map(|(name, _)| name.as_str()).collect();
    if !fields.is_empty() {
        writeln!(out, "tells          {}", fields.join(", "))?;
    }
    writeln!(out, "tags           {}", detector.produced.tags.join(", "))?;
    for other in &detector.false_positives {
        writeln!(out, "may also be    {other}")?;
    }
    writeln!(out, "from           {}", detector.place)
}

/// Whether a detector stands in one of these files, or in a file of one of these directories.
pub(crate) fn own(detector: &Detector, files: &[PathBuf]) -> bool {
    files.iter().any(|path| detector.place.file.starts_with(path))
}

/// `tarsius rules`.
pub(crate) fn rules(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::Test { file } => replay::test(file.as_deref()),
        RulesCommand::Check { paths } => {
            let (shipped, all) = (library(&[], &[])?, library(paths, &[])?);
            let more = all.detectors.len() - shipped.detectors.len();
            let tests = |library: &Library| library.detectors.iter().map(|d| d.tests.len()).sum::<usize>();
            let tests = match tests(&all) - tests(&shipped) {
                0 => String::new(),
                tests => format!("; `tarsius rules test` runs their {tests} tests"),
            };
            writeln!(
                std::io::stdout(),
                "{more} detectors, beside {} that come with Tarsius: all well{tests}",
                shipped.detectors.len()
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_detectors_are_told_apart() {
        let library = library(&[], &[]).unwrap();
        let of = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
            let selected = select(&library, &flags);
            (selected.findings, selected.events)
        };
        let strings = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(of(&["openat,anti_debugging"]), (strings(&["anti_debugging"]), strings(&["openat"])));
        assert_eq!(of(&["TRC-102", "-openat"]), (strings(&["anti_debugging"]), strings(&["-openat"])));
        assert_eq!(
            of(&["TRC-10*", "-TRC-103"]).0.iter().filter(|f| *f == "ptrace_code_injection").count(),
            0
        );
        assert_eq!(of(&["*"]), (vec![], strings(&["*"])));
        // Those that must be named are not among them all, but may be kept from looking as the others.
        let on = library.detectors.iter().filter(|d| d.maturity.is_on()).count();
        assert!(on < library.detectors.len());
        assert_eq!(of(&["detectors"]).0.len(), on);
        assert_eq!(of(&["detectors,files_looked_for"]).0.len(), on + 1);
        assert_eq!(of(&["files_looked_for,-detectors"]).0.len(), 0);
        assert_eq!(of(&["no_such"]), (vec![], strings(&["no_such"])));
    }
}
