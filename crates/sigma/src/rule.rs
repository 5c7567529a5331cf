//! A rule as it is written, and what becomes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::{Fields, Place};
use serde_saphyr::{Location, Spanned};

use crate::correlation::{self, Correlation};
use crate::detection::{self, Tree};
use crate::error::{Error, Source};
use crate::logsource::{self, LogSource, Record};
use crate::translate::{self, Cond};
use crate::yaml::Node;

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its id, a UUID; of a rule that has none, its name or title.
    pub id: String,
    /// By what correlations and filters may name it.
    pub name: Option<String>,
    /// What it finds, in a line.
    pub title: String,
    /// The same at length.
    pub description: String,
    /// Who wrote it: whoever passes on the rule or what it found is asked to name them.
    pub author: String,
    /// How bad what it finds is, if it says so.
    pub level: Option<Level>,
    /// How far it is tested: `stable`, `test`, `experimental`; may be empty.
    pub status: String,
    /// ATT&CK techniques, such as `T1059.004`.
    pub techniques: Vec<String>,
    /// ATT&CK tactics, such as `privilege-escalation`.
    pub tactics: Vec<String>,
    /// All tags, as they are written.
    pub tags: Vec<String>,
    /// Where to read more.
    pub references: Vec<String>,
    /// What else it finds.
    pub false_positives: Vec<String>,
    /// Where it stands.
    pub place: Place,
    /// What becomes of it.
    pub kind: Kind,
}

/// How bad what a rule finds is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing bad by itself.
    Informational,
    /// Seldom worth a look.
    Low,
    /// Worth a look.
    Medium,
    /// To be looked at soon.
    High,
    /// To be looked at now.
    Critical,
}

impl Level {
    /// All, from the least.
    pub const ALL: [Level; 5] =
        [Level::Informational, Level::Low, Level::Medium, Level::High, Level::Critical];

    /// As rules write it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

/// What becomes of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// It finds single events: any of these.
    Single {
        /// Events, no event twice.
        sources: Vec<Event>,
    },
    /// It finds what other rules found, several times or together.
    Correlation(Correlation),
    /// It narrows other rules.
    Filter {
        /// How many.
        rules: usize,
    },
    /// It is understood, but asks for what no kernel event shows.
    NoSource {
        /// What.
        why: String,
    },
    /// It is not understood, or asks for what can not be done.
    Unsupported(Error),
}

/// An event, and what of it a rule finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name in the catalogue.
    pub event: &'static str,
    /// What must hold, in the expression language; it compiles with the event's [`policy::Fields`].
    pub condition: String,
    /// Fields that the rule asks for and this event has not: they are like nothing that is asked of them.
    pub absent: Vec<String>,
}

/// Parts of a rule that has a detection, as they are before filters.
#[derive(Debug)]
pub(crate) struct Detection {
    pub(crate) source: LogSource,
    pub(crate) tree: Tree,
    pub(crate) at: Place,
}

/// What a document says.
#[derive(Debug)]
pub(crate) enum Said {
    Detection(Detection),
    Filter { detection: Detection, rules: Option<Vec<String>> },
    Correlation(correlation::Written),
    Wrong(Error),
}

/// A rule on its way.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) rule: Rule,
    pub(crate) said: Said,
    /// What its condition is asked of, by event.
    pub(crate) records: Vec<Record>,
    /// The same conditions, before they are written.
    pub(crate) conds: Vec<(&'static catalogue::Event, Cond)>,
}

/// Reads a document.
pub(crate) fn read(source: &Source, document: &Spanned<Node>) -> Draft {
    let node = &document.value;
    let text = |key: &str| node.get(key).and_then(|n| n.value.scalar()).unwrap_or_default();
    let texts = |key: &str| -> Vec<String> {
        node.get(key)
            .map(|n| Node::each(n).iter().filter_map(|n| n.value.scalar()).collect())
            .unwrap_or_default()
    };
    let (title, name, tags) = (text("title"), text("name"), texts("tags"));
    let name = (!name.is_empty()).then_some(name);
    let file = source.0.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    let title = if title.is_empty() { name.clone().unwrap_or(file) } else { title };
    let id = Some(text("id"))
        .filter(|id| !id.is_empty())
        .or_else(|| name.clone())
        .unwrap_or_else(|| title.clone());
    let (techniques, tactics) = attack(&tags);
    let mut said = said(source, document).unwrap_or_else(Said::Wrong);
    let level = text("level");
    let known = Level::ALL.into_iter().find(|l| l.name() == level);
    if let (None, Some(at), false) = (known, node.get("level"), level.is_empty()) {
        let hint =
            expr::nearest(&level, Level::ALL.map(Level::name)).map(|s| format!("; did you mean '{s}'?"));
        said = Said::Wrong(
            source.wrong(at, format!("no level is called '{level}'{}", hint.unwrap_or_default())),
        );
    }
    let rule = Rule {
        id,
        name,
        title,
        description: text("description").trim().to_owned(),
        author: text("author"),
        level: known,
        status: text("status"),
        techniques,
        tactics,
        tags,
        references: texts("references"),
        false_positives: texts("falsepositives"),
        place: source.at(document),
        kind: Kind::NoSource { why: String::new() },
    };
    Draft { rule, said, records: vec![], conds: vec![] }
}

/// Techniques and tactics of ATT&CK among tags.
fn attack(tags: &[String]) -> (Vec<String>, Vec<String>) {
    let of = tags.iter().filter_map(|tag| tag.strip_prefix("attack.")).map(str::to_ascii_lowercase);
    let numbered = |tag: &str, letters: &[char]| {
        tag.strip_prefix(letters).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let (mut techniques, mut tactics) = (vec![], vec![]);
    for tag in of {
        if numbered(&tag, &['t']) {
            techniques.push(tag.to_ascii_uppercase());
        } else if !numbered(&tag, &['g', 's', 'm', 'c']) {
            // The others are groups, software, mitigations and campaigns.
            tactics.push(tag.replace('_', "-"));
        }
    }
    (techniques, tactics)
}

fn said(source: &Source, document: &Spanned<Node>) -> Result<Said, Error> {
    let node = &document.value;
    if !matches!(node, Node::Map(_)) {
        return Err(source.wrong(document, format!("a rule is a map: this is {}", node.name())));
    }
    if let Some(correlation) = node.get("correlation") {
        return Ok(Said::Correlation(correlation::read(source, correlation)?));
    }
    let of = |detection: &Spanned<Node>| -> Result<Detection, Error> {
        let at = source.at(detection);
        let log = node.get("logsource").ok_or_else(|| source.wrong(document, "'logsource' is missing"))?;
        Ok(Detection { source: log_source(source, log)?, tree: detection::read(source, detection)?, at })
    };
    if let Some(filter) = node.get("filter") {
        let Node::Map(entries) = &filter.value else {
            return Err(source.wrong(filter, format!("'filter' is {}: a map is wanted", filter.value.name())));
        };
        // Beside the selections stands which rules it is for.
        let selections = entries.iter().filter(|(k, _)| k.value != "rules").cloned().collect();
        let detection = Spanned::new(Node::Map(selections), filter.referenced, filter.defined);
        let rules = filter
            .value
            .get("rules")
            .map(|rules| Node::each(rules).iter().filter_map(|r| r.value.scalar()).collect::<Vec<_>>());
        let rules = rules.filter(|rules| rules.iter().all(|r| r != "any"));
        return Ok(Said::Filter { detection: of(&detection)?, rules });
    }
    match node.get("detection") {
        Some(detection) => Ok(Said::Detection(of(detection)?)),
        None => {
            Err(source.wrong(document, "this is no rule: 'detection' is missing, and so is 'correlation'"))
        }
    }
}

fn log_source(source: &Source, node: &Spanned<Node>) -> Result<LogSource, Error> {
    if !matches!(node.value, Node::Map(_)) {
        return Err(source.wrong(node, format!("'logsource' is {}: a map is wanted", node.value.name())));
    }
    let text = |key: &str| node.value.get(key).and_then(|n| n.value.scalar());
    Ok(LogSource {
        category: text("category"),
        product: text("product"),
        service: text("service"),
        definition: text("definition"),
    })
}

impl Draft {
    /// Narrows the rules that this filter is for.
    pub(crate) fn filter(&mut self, drafts: &mut [Draft]) {
        let Said::Filter { detection, rules } = &self.said else { return };
        let mut narrowed = 0;
        for draft in drafts {
            let named = |r: &String| *r == draft.rule.id || draft.rule.name.as_ref() == Some(r);
            let Said::Detection(of) = &mut draft.said else { continue };
            let same = |a: &Option<String>, b: &Option<String>| a.is_none() || a == b;
            let (filter, rule) = (&detection.source, &of.source);
            let fits = same(&filter.category, &rule.category)
                && same(&filter.product, &rule.product)
                && same(&filter.service, &rule.service);
            if fits && rules.as_ref().is_none_or(|rules| rules.iter().any(named)) {
                let tree = std::mem::replace(&mut of.tree, Tree::All(vec![]));
                of.tree = Tree::All(vec![tree, detection.tree.clone()]);
                narrowed += 1;
            }
        }
        self.rule.kind = Kind::Filter { rules: narrowed };
    }

    /// Finds the events of a rule, and makes its conditions.
    pub(crate) fn translate(&mut self) {
        self.rule.kind = match &self.said {
            Said::Wrong(error) => Kind::Unsupported(error.clone()),
            Said::Detection(detection) => match conditions(detection) {
                Err(error) => Kind::Unsupported(error),
                Ok(Err(why)) => Kind::NoSource { why },
                Ok(Ok(found)) => {
                    let sources = found.iter().map(|f| Event {
                        event: f.record.event.name,
                        condition: f.text.clone(),
                        absent: f.absent.iter().cloned().collect(),
                    });
                    let kind = Kind::Single { sources: sources.collect() };
                    for f in found {
                        self.conds.push((f.record.event, f.cond));
                        self.records.push(f.record);
                    }
                    kind
                }
            },
            Said::Filter { .. } | Said::Correlation(_) => return,
        };
    }
}

struct Found {
    record: Record,
    cond: Cond,
    text: String,
    absent: BTreeSet<String>,
}

/// The events that a detection finds, each with its condition; or why there is none.
fn conditions(detection: &Detection) -> Result<Result<Vec<Found>, String>, Error> {
    let records = match logsource::records(&detection.source, &detection.tree) {
        Ok(records) => records,
        Err(why) => return Ok(Err(why)),
    };
    let mut found: Vec<Found> = vec![];
    let mut never = BTreeSet::new();
    for record in records {
        let mut absent = BTreeSet::new();
        let cond = translate::condition(&detection.tree, &record, &mut absent)?;
        if cond == Cond::Const(false) {
            never.append(&mut absent);
            continue;
        }
        match found.iter_mut().find(|f| f.record.event.id == record.event.id) {
            // Of several records of one event, any.
            Some(known) => {
                known.cond = translate::any(vec![known.cond.clone(), cond]);
                known.absent.append(&mut absent);
            }
            None => found.push(Found { record, cond, text: String::new(), absent }),
        }
    }
    if found.is_empty()
        && let Some(record) = logsource::elsewhere(&detection.source)
    {
        let mut absent = BTreeSet::new();
        let cond = translate::condition(&detection.tree, &record, &mut absent)?;
        if absent.is_empty() {
            found.push(Found { record, cond, text: String::new(), absent });
        }
    }
    if found.is_empty() {
        let never: Vec<String> = never.into_iter().collect();
        return Ok(Err(logsource::blame(&detection.source, &detection.tree, &never)));
    }
    for one in &mut found {
        one.text = translate::text(&one.cond);
        let fields = Fields { event: one.record.event };
        expr::parse(&one.text).and_then(|parsed| expr::compile(&parsed, &fields)).map_err(|e| Error {
            place: detection.at.clone(),
            why: format!("{}: {e}", one.record.event.name),
        })?;
    }
    Ok(Ok(found))
}

/// Documents of a file, in which one of `action: global` says what the others begin with.
pub(crate) fn documents(source: &Source, text: &str) -> Result<Vec<Spanned<Node>>, Error> {
    // A value that may be a text is one: `y` is no truth value, and `0640` not 640.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    let read = serde_saphyr::from_multiple_with_options(text, options);
    let documents: Vec<Spanned<Node>> = read.map_err(|e| {
        let (line, column) = e.location().map_or((1, 1), |l| (l.line(), l.column()));
        let message = e.without_snippet().to_string();
        // The place stands before the message already.
        let why = message.split(" at line ").next().unwrap_or_default().to_owned();
        Error { place: source.place(line, column), why }
    })?;
    let mut global: Option<Spanned<Node>> = None;
    let mut rules = vec![];
    for document in documents.into_iter().filter(|d| d.value != Node::Null) {
        match document.value.get("action").and_then(|a| a.value.scalar()).as_deref() {
            Some("global") => global = Some(document),
            Some("reset") => global = None,
            _ => rules.push(match &global {
                Some(global) => over(global, document),
                None => document,
            }),
        }
    }
    Ok(rules)
}

/// A map with what a global one says before, where it does not say it itself.
fn over(global: &Spanned<Node>, document: Spanned<Node>) -> Spanned<Node> {
    let (Node::Map(before), Node::Map(own)) = (&global.value, &document.value) else { return document };
    let mut entries = before.iter().filter(|(k, _)| k.value != "action").cloned().collect::<Vec<_>>();
    for (key, value) in own {
        match entries.iter_mut().find(|(k, _)| k.value == key.value) {
            Some((_, known)) => *known = over(known, value.clone()),
            None => entries.push((key.clone(), value.clone())),
        }
    }
    Spanned::new(Node::Map(entries), document.referenced, document.defined)
}

/// What stands for a file that is none.
pub(crate) fn wrong(source: &Source, error: Error) -> Draft {
    let at = Spanned::new(Node::Null, Location::UNKNOWN, Location::UNKNOWN);
    let mut draft = read(source, &at);
    draft.rule.place = Place { file: Arc::clone(&source.0), ..error.place.clone() };
    draft.said = Said::Wrong(error);
    draft
}
