//! Policies tried on recorded events.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expr::{Binary, Condition, Expr, Span, Truth};
use serde::Deserialize;

use crate::Policy;
use crate::fields::{Evidence as _, Fields, Slot};
use crate::filter::in_scope;
use crate::recorded::{LineError, recorded};

/// What a test expects: the YAML file that `tarsius policy test` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Policy files or directories, beside this file.
    #[serde(default)]
    pub policies: Vec<PathBuf>,
    /// The recorded events, beside this file.
    pub events: PathBuf,
    /// What each policy must match; policies that are not named must match nothing.
    #[serde(default)]
    pub expect: BTreeMap<String, Expected>,
}

/// What a policy must match.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// These lines, from 1.
    Lines(Vec<usize>),
    /// So many lines.
    Count(usize),
}

/// Which lines each policy matches, by its name, and which it could not decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The lines that it matches.
    pub matched: Vec<usize>,
    /// The lines of which what it asks is not recorded.
    pub undecided: Vec<usize>,
}

/// Judges recorded events. Limits and `dedupe` are not applied: they depend on when events come.
///
/// # Errors
///
/// The first line that is no event of this version's.
pub fn replay(
    policies: &[Policy],
    file: &Path,
    lines: impl BufRead,
) -> Result<BTreeMap<Arc<str>, Outcome>, LineError> {
    let mut outcomes: BTreeMap<Arc<str>, Outcome> =
        policies.iter().map(|p| (Arc::clone(&p.name), Outcome::default())).collect();
    // A scope, compiled for an event, is the same for each line.
    let mut scopes: BTreeMap<(usize, u16), InScope> = BTreeMap::new();
    recorded(file, lines, |unread| {
        let facts = &unread.read()?;
        let (line, event) = (facts.number(), facts.definition());
        for (n, policy) in policies.iter().enumerate() {
            let rules = policy.rules.iter().flat_map(|r| &r.events).filter(|(e, _)| e.id == event.id);
            let truths = rules.map(|(_, c)| c.as_ref().map_or(Truth::True, |c| c.of(facts)));
            let any = truths.fold(Truth::False, |a, b| match (a, b) {
                (Truth::True, _) | (_, Truth::True) => Truth::True,
                (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
                _ => Truth::False,
            });
            if any == Truth::False {
                continue;
            }
            let scope = scopes.entry((n, event.id)).or_insert_with(|| scope(policy, event));
            let whose = match scope {
                Ok(None) => Truth::True,
                Ok(Some(condition)) => condition.of(facts),
                Err(message) => return Err(format!("policy {}: {message}", policy.name)),
            };
            let Some(outcome) = outcomes.get_mut(&policy.name) else { continue };
            match (any, whose) {
                (_, Truth::False) => {}
                (Truth::True, Truth::True) => outcome.matched.push(line),
                _ => outcome.undecided.push(line),
            }
        }
        Ok(())
    })?;
    Ok(outcomes)
}

/// A scope as a condition on what is recorded, if it asks for anything; or what it asks that is not recorded.
type InScope = Result<Option<Condition<Slot>>, String>;

fn scope(policy: &Policy, event: &'static catalogue::Event) -> InScope {
    let fields = Fields { event };
    let all = policy.scope_text.iter().map(|token| in_scope(token, &fields));
    let all = all.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    if all.is_empty() {
        return Ok(None);
    }
    let whole = Expr::joined(Binary::And, all, Span::default());
    expr::compile(&whole, &fields).map(Some).map_err(|e| e.to_string())
}
