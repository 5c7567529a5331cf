//! `tarsius sigma`: rules of Sigma, looked at without watching.

use std::io::Write as _;
use std::process::ExitCode;

use ::sigma::{Kind, Rule};
use anyhow::Context as _;

use crate::cli::SigmaCommand;

/// Does what was asked.
pub(crate) fn run(command: &SigmaCommand) -> anyhow::Result<ExitCode> {
    match command {
        SigmaCommand::Check { paths, conditions } => {
            let rules = ::sigma::load(paths).context("reading rules")?;
            check(&rules, *conditions)
        }
    }
}

/// Each rule with what becomes of it, and the sums.
fn check(rules: &[Rule], conditions: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let (mut loaded, mut of_logs, mut sourceless, mut unsupported) = (0, 0, 0, 0);
    for rule in rules {
        let (place, title) = (&rule.place, &rule.title);
        match &rule.kind {
            Kind::Single { sources } => {
                loaded += 1;
                let events: Vec<&str> = sources.iter().map(|s| s.event).collect();
                of_logs += u64::from(events.contains(&"log_line"));
                writeln!(out, "loaded       {place}: {title}: {}", events.join(", "))?;
                for source in sources {
                    if !source.absent.is_empty() {
                        writeln!(out, "             {} has no {}", source.event, source.absent.join(", "))?;
                    }
                    if conditions {
                        writeln!(out, "             {}: {}", source.event, source.condition)?;
                    }
                }
            }
            Kind::Correlation(correlation) => {
                loaded += 1;
                writeln!(out, "loaded       {place}: {title}: of {} rules", correlation.members.len())?;
            }
            Kind::Filter { rules } => {
                loaded += 1;
                writeln!(out, "loaded       {place}: {title}: narrows {rules} rules")?;
            }
            Kind::NoSource { why } => {
                sourceless += 1;
                writeln!(out, "no source    {place}: {title}: {why}")?;
            }
            Kind::Unsupported(error) => {
                unsupported += 1;
                writeln!(out, "unsupported  {}: {title}: {}", error.place, error.why)?;
            }
        }
    }
    if of_logs > 0 {
        writeln!(out, "{of_logs} of them look at what --log-source names")?;
    }
    writeln!(
        out,
        "{} rules: {loaded} loaded, {sourceless} without a source, {unsupported} unsupported",
        rules.len()
    )?;
    Ok(if unsupported == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
