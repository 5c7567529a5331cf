//! Rules of Sigma as detectors.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use ::sigma::{Comparison, Correlation as OfRules, Kind, Level, Measure, Rule};
use event::{Severity, Threat};
use expr::Term;
use policy::{Fields, Place};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Library;
use crate::correlation::{Correlation, MOST};
use crate::detector::{Detector, Look, Maturity, Of, Produced};
use crate::input::{In, Inputs, OfFields};

/// The tag of what Sigma's rules find.
pub const SIGMA: &str = "sigma";

/// Options by which fields are taken that a rule asks for.
type Requests = RefCell<BTreeSet<&'static str>>;

/// A rule that finds nothing here, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {title}: {why}")]
pub struct Idle {
    /// Where it stands.
    pub place: Place,
    /// Its title.
    pub title: String,
    /// Why.
    pub why: String,
    /// It is not understood, or asks for what can not be done. Otherwise it asks for what no event of the kernel shows.
    pub unsupported: bool,
}

impl Library {
    /// Adds rules of Sigma; gives those that find nothing.
    ///
    /// What a rule finds is called by its `name`, or else as its file, or, where a file has several rules, by its title.
    pub fn add_sigma(&mut self, rules: &[Rule]) -> Vec<Idle> {
        let mut idle = vec![];
        let mut names: FxHashSet<Arc<str>> =
            self.detectors.iter().map(|d| Arc::clone(&d.produced.name)).collect();
        let mut ids: FxHashSet<Arc<str>> = self.detectors.iter().map(|d| Arc::clone(&d.id)).collect();
        let mut in_file: FxHashMap<&std::path::Path, usize> = FxHashMap::default();
        for rule in rules {
            *in_file.entry(&rule.place.file).or_default() += 1;
        }
        // Members of correlations are told by themselves only if one of these says so.
        let members = |generate: bool| {
            let of = rules.iter().filter_map(move |rule| match &rule.kind {
                Kind::Correlation(of) if of.generate == generate => Some(&of.members),
                _ => None,
            });
            of.flatten().map(|member| member.rule).collect::<FxHashSet<usize>>()
        };
        let quiet = &members(false) - &members(true);
        for (n, rule) in rules.iter().enumerate() {
            let mut not_at = |place: &Place, why: String, unsupported: bool| {
                idle.push(Idle { place: place.clone(), title: rule.title.clone(), why, unsupported });
            };
            let mut not = |why: String, unsupported: bool| not_at(&rule.place, why, unsupported);
            let requests = RefCell::default();
            let made = match &rule.kind {
                Kind::Single { .. } if quiet.contains(&n) => continue,
                Kind::Filter { .. } => continue,
                Kind::Single { .. } => looks(rule, 0, None, &requests).map(|looks| (looks, None)),
                Kind::Correlation(of) => correlation(of, rules, &requests),
                Kind::NoSource { why } => {
                    not(why.clone(), false);
                    continue;
                }
                Kind::Unsupported(error) => {
                    not_at(&error.place, error.why.clone(), true);
                    continue;
                }
            };
            match made {
                Err(why) => not(why, true),
                Ok(_) if ids.contains(rule.id.as_str()) => {
                    not(format!("there is a rule of the id {} already", rule.id), true)
                }
                Ok((looks, correlation)) => {
                    let alone = in_file.get(&*rule.place.file).is_some_and(|n| *n == 1);
                    let name = unique(&name(rule, alone), &names);
                    names.insert(Arc::clone(&name));
                    let id: Arc<str> = rule.id.as_str().into();
                    ids.insert(Arc::clone(&id));
                    self.detectors.push(Detector {
                        requests: requests.take(),
                        ..detector(rule, id, name, looks, correlation)
                    });
                }
            }
        }
        idle
    }
}

fn detector(
    rule: &Rule,
    id: Arc<str>,
    name: Arc<str>,
    looks: Vec<Look>,
    correlation: Option<Correlation>,
) -> Detector {
    Detector {
        learns: None,
        id,
        produced: Produced {
            name,
            description: rule.title.clone(),
            tags: std::iter::once(SIGMA.to_owned()).chain(rule.tags.iter().cloned()).collect(),
            fields: vec![],
        },
        threat: Some(Threat {
            name: Some(rule.title.clone()),
            description: rule.description.clone(),
            severity: rule.level.map_or(Severity::Info, severity),
            tactic: rule.tactics.first().map(|t| titled(t)),
            technique: rule.techniques.first().map(|t| (t.clone(), None)),
            other_techniques: rule.techniques.iter().skip(1).cloned().collect(),
        }),
        looks,
        correlation,
        requests: BTreeSet::new(),
        maturity: if rule.status == "stable" { Maturity::Stable } else { Maturity::Incubating },
        false_positives: rule.false_positives.clone(),
        tests: vec![],
        place: rule.place.clone(),
    }
}

const fn severity(level: Level) -> Severity {
    match level {
        Level::Informational => Severity::Info,
        Level::Low => Severity::Low,
        Level::Medium => Severity::Medium,
        Level::High => Severity::High,
        Level::Critical => Severity::Critical,
    }
}

/// `privilege-escalation` as ATT&CK writes it.
fn titled(tactic: &str) -> String {
    let words = tactic.split('-').map(|word| match word {
        "and" => word.to_owned(),
        _ => word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect(),
    });
    words.collect::<Vec<String>>().join(" ")
}

fn name(rule: &Rule, alone: bool) -> String {
    let file = rule.place.file.file_stem().filter(|_| alone).map(|stem| stem.to_string_lossy());
    let text = rule.name.as_deref().or(file.as_deref()).unwrap_or(&rule.title);
    let mut name = String::new();
    for c in text.chars() {
        match c.is_ascii_alphanumeric() {
            true => name.push(c.to_ascii_lowercase()),
            false if !name.ends_with('_') => name.push('_'),
            false => {}
        }
    }
    name.trim_matches('_').to_owned()
}

/// The name, or with a number after it: no event's and no other's.
fn unique(name: &str, names: &FxHashSet<Arc<str>>) -> Arc<str> {
    let name = if name.is_empty() { SIGMA } else { name };
    let taken = |name: &str| names.contains(name) || catalogue::event(name).is_some();
    let numbered = (2..).map(|n| format!("{name}_{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default().into()
}

/// What a rule of single events looks at, as that part of a correlation by those keys.
fn looks(
    rule: &Rule,
    part: usize,
    keys: Option<&[::sigma::Keys]>,
    requests: &Requests,
) -> Result<Vec<Look>, String> {
    let Kind::Single { sources } = &rule.kind else { return Ok(vec![]) };
    let lists = FxHashMap::default();
    let look = |source: &::sigma::Event| {
        let event =
            catalogue::event(source.event).ok_or_else(|| format!("there is no event {}", source.event))?;
        let inputs = Inputs { of: OfFields::Event(Fields { event }), placed: None, lists: &lists, requests };
        let wrong = |e: expr::Error| format!("{}: {e}", event.name);
        let condition =
            expr::parse(&source.condition).and_then(|e| expr::compile(&e, &inputs)).map_err(wrong)?;
        let term = |text: &String| -> Result<Term<In>, String> {
            let compiled = expr::parse(text).and_then(|e| expr::compile_value(&e, &inputs));
            compiled.map(|(term, _)| term).map_err(wrong)
        };
        let keys = keys.and_then(|keys| keys.iter().find(|k| k.event == event.name));
        Ok(Look {
            of: Of::Event(event),
            condition: Some(condition),
            outputs: vec![],
            part,
            tree: None,
            by: keys.into_iter().flat_map(|k| &k.by).map(term).collect::<Result<_, _>>()?,
            value: keys.and_then(|k| k.value.as_ref()).map(term).transpose()?,
        })
    };
    sources.iter().map(look).collect()
}

fn correlation(
    of: &OfRules,
    rules: &[Rule],
    requests: &Requests,
) -> Result<(Vec<Look>, Option<Correlation>), String> {
    let mut all = vec![];
    for (part, member) in of.members.iter().enumerate() {
        let rule = rules.get(member.rule).ok_or("a rule of it is missing")?;
        all.extend(looks(rule, part, Some(&member.keys), requests)?);
    }
    if matches!(of.measure, Measure::Events | Measure::Values)
        && of.condition.iter().any(|(_, than)| *than >= i128::from(MOST))
    {
        return Err(format!("no more than {MOST} events are counted"));
    }
    let correlation = Correlation {
        measure: of.measure.into(),
        within: of.within,
        condition: of.condition.clone(),
        parts: of.members.len(),
    };
    let most = match of.measure {
        Measure::Events | Measure::Values => MOST as usize,
        Measure::Together | Measure::InOrder => correlation.parts,
    };
    if !(1..=most).any(|count| correlation.holds(count)) {
        return Err("what is counted begins with one, and comes to no count that is so".into());
    }
    let grows = |(comparison, _): &(Comparison, i128)| {
        matches!(comparison, Comparison::GreaterOrEqual | Comparison::Greater | Comparison::Equal)
    };
    if of.measure == Measure::InOrder && !of.condition.iter().any(grows) {
        return Err("how many came in their order is told as they come: that it is only to be small is so from the first one on".into());
    }
    Ok((all, Some(correlation)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn library(text: &str) -> (Library, Vec<String>) {
        let mut library = Library::default();
        let idle = library.add_sigma(&::sigma::parse(Path::new("dir/a_file.yml"), text));
        (library, idle.iter().map(ToString::to_string).collect())
    }

    const RULE: &str = "title: A Shell - Started\nid: 1\nlevel: high\ntags: [attack.privilege-escalation, attack.t1059.004]\n\
        logsource: {product: linux, category: process_creation}\ndetection: {s: {Image: /bin/sh}, condition: s}\n";

    #[test]
    fn rules_become_detectors() {
        let (library, idle) = library(RULE);
        assert_eq!(idle, [""; 0]);
        let detector = &library.detectors[0];
        assert_eq!((&*detector.id, &*detector.produced.name), ("1", "a_file"));
        let threat = detector.threat.as_ref().unwrap();
        assert_eq!(threat.severity, Severity::High);
        assert_eq!(threat.tactic.as_deref(), Some("Privilege Escalation"));
        assert_eq!(threat.technique, Some(("T1059.004".into(), None)));
        assert!(detector.produced.tags.contains(&SIGMA.to_owned()));
    }

    #[test]
    fn names_are_of_one_rule() {
        let (library, idle) = library(&format!(
            "{RULE}---\n{}---\n{RULE}---\n{}",
            RULE.replace("id: 1", "id: 2"),
            RULE.replace("A Shell - Started", "openat").replace("id: 1", "id: 3")
        ));
        let names: Vec<&str> = library.detectors.iter().map(|d| &*d.produced.name).collect();
        assert_eq!(names, ["a_shell_started", "a_shell_started_2", "openat_2"]);
        assert_eq!(idle, ["dir/a_file.yml:15:1: A Shell - Started: there is a rule of the id 1 already"]);
    }

    #[test]
    fn members_are_told_by_correlations() {
        let several = "title: Many\nid: many\ncorrelation:\n  type: event_count\n  rules: [1]\n  group-by: [ParentImage]\n  timespan: 1m\n  condition: {gte: 3}\n";
        let (both, idle) = library(&format!("{RULE}---\n{several}"));
        assert_eq!(idle, [""; 0]);
        assert_eq!(both.detectors.len(), 1);
        let many = &both.detectors[0];
        assert_eq!(&*many.id, "many");
        assert_eq!(many.correlation.as_ref().unwrap().condition, [(Comparison::GreaterOrEqual, 3)]);
        assert_eq!(many.looks[0].by.len(), 1);
        let (both, _) =
            library(&format!("{RULE}---\n{}", several.replace("  type:", "  generate: true\n  type:")));
        assert_eq!(both.detectors.len(), 2);
        let (_, idle) = library(&format!("{RULE}---\n{}", several.replace("gte: 3", "lt: 1")));
        assert!(idle[0].contains("comes to no count that is so"), "{idle:?}");
        let in_order = several.replace("event_count", "temporal_ordered").replace("gte: 3", "lte: 1");
        let (_, idle) = library(&format!("{RULE}---\n{in_order}"));
        assert!(idle[0].contains("only to be small"), "{idle:?}");
        let (_, idle) = library(&format!("{RULE}---\n{}", several.replace("3}", "5000}")));
        assert!(idle[0].contains("no more than 4096"), "{idle:?}");
    }
}
