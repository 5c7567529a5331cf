//! Policy files: Tracee's, in both of its dialects, and what goes beyond.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use catalogue::Event;
use expr::{Condition, Expr, Span};
use serde::Deserialize;
use serde_saphyr::Spanned;
use sieve::Column;

use crate::fields::{Fields, Slot};
use crate::sieve::alternatives;
use crate::{Scope, Selection, filter, selection};

/// A policy: what to watch, of whom, and what to do then.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name, unique among those in force.
    pub name: Arc<str>,
    /// What it is for.
    pub description: Option<String>,
    /// Of whom.
    pub scope: Scope,
    /// The same as it is written.
    pub scope_text: Vec<String>,
    /// What.
    pub rules: Vec<Rule>,
    /// Where it stands.
    pub place: Place,
    /// What detectors find that it selects.
    pub detectors: Vec<String>,
    /// Whether what its rules do to who acts is done.
    pub mode: Mode,
}

impl Policy {
    /// That of the command line: these events, of that scope. It has no name.
    pub fn of_flags(selection: &Selection, scope: Scope) -> Policy {
        let place = Place { file: Arc::from(Path::new("--events")), line: 1, column: 1 };
        let rule = Rule {
            events: selection.iter().filter(|e| !e.always).map(|event| (event, None)).collect(),
            conditions: vec![],
            actions: vec![Action::Log],
            limit: None,
            dedupe: None,
            place: place.clone(),
        };
        Policy {
            name: "".into(),
            description: None,
            scope,
            scope_text: vec![],
            rules: vec![rule],
            place,
            detectors: vec![],
            mode: Mode::Monitor,
        }
    }
}

/// Whether what a policy does to who acts is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is told, and not done.
    #[default]
    Monitor,
    /// It is done.
    Enforce,
}

impl Mode {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Monitor => "monitor",
            Mode::Enforce => "enforce",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Mode> {
        [Mode::Monitor, Mode::Enforce].into_iter().find(|mode| mode.name() == name)
    }
}

/// A rule of a policy.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The events, each with what must hold of it.
    pub events: Vec<(&'static Event, Option<Arc<Condition<Slot>>>)>,
    /// The conditions as they are written.
    pub conditions: Vec<Asked>,
    /// What is done.
    pub actions: Vec<Action>,
    /// At most so many in such a time.
    pub limit: Option<Limit>,
    /// Those that are alike are told once.
    pub dedupe: Option<Dedupe>,
    /// Where it stands.
    pub place: Place,
}

/// A condition of a rule, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    text: String,
    /// It has the form of a filter.
    filter: bool,
    /// It is an exception.
    negate: bool,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.negate { write!(f, "!({})", self.text) } else { f.write_str(&self.text) }
    }
}

impl Asked {
    /// What the kernel looks at for it in an event, and whether that is all that it asks.
    pub fn looks_at(&self, event: &'static Event) -> (Vec<Column>, bool) {
        let fields = Fields { event };
        let expr = match self.filter {
            true => filter::translate(&self.text, &fields),
            false => expr::parse(&self.text),
        };
        let expr = expr.map(|expr| if self.negate { expr.negated() } else { expr });
        let Ok(condition) = expr.and_then(|expr| expr::compile(&expr, &fields)) else {
            return (vec![], false);
        };
        let (ways, exact) = alternatives(event, Some(&condition), |slot: &Slot| Some(*slot));
        let mut columns: Vec<Column> = ways.iter().flat_map(|w| w.columns().map(|(c, _)| *c)).collect();
        columns.sort();
        columns.dedup();
        (columns, exact && ways.iter().all(|way| !way.is_open()))
    }
}

/// What a rule does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writes it to the outputs: what every rule does, whatever else.
    Log,
    /// Says in what is written that somebody should look at it.
    Alert,
    /// Keeps a copy of the file that the event is about, whatever the policy's mode: it changes nothing.
    Capture,
    /// Kills the process that acted, where the policy's mode is to enforce.
    Kill,
    /// Refuses the act, where the policy's mode is to enforce.
    Deny,
}

impl Action {
    const ALL: [Action; 5] = [Action::Log, Action::Alert, Action::Capture, Action::Kill, Action::Deny];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Log => "log",
            Action::Alert => "alert",
            Action::Capture => "capture",
            Action::Kill => "kill",
            Action::Deny => "deny",
        }
    }
}

/// At most so many events in such a time: a bucket of `burst`, filled evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub events: u32,
    /// In what time.
    pub per: Duration,
}

/// Of events that are alike, only the first in a time is told.
#[derive(Debug, Clone)]
pub struct Dedupe {
    /// What makes them alike: for each event of the rule, its fields.
    pub by: Vec<(&'static Event, Vec<expr::Term<Slot>>)>,
    /// The time.
    pub window: Duration,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// What is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Something in it.
    #[error("{place}: {message}")]
    At {
        /// Where.
        place: Place,
        /// What, and what may have been meant.
        message: String,
    },
    /// It can not be read.
    #[error("{}: {message}", file.display())]
    Unread {
        /// The file or directory.
        file: PathBuf,
        /// Why.
        message: String,
    },
}

/// Most bytes of a policy file.
const MAX_BYTES: u64 = 16 << 20;

/// Reads policies: of files, and of all `.yaml`, `.yml` and `.json` files in directories, sorted by name. `findings` says what detectors find: a
/// rule may name it as it names an event.
///
/// # Errors
///
/// All that is wrong, so that it can be mended at once; what is read then is not to be used.
pub fn load<P: AsRef<Path>>(
    paths: &[P],
    findings: &dyn Fn(&str) -> bool,
) -> Result<Vec<Policy>, Vec<FileError>> {
    let (mut policies, mut errors): (Vec<Policy>, _) = (vec![], vec![]);
    for path in paths {
        match files(path.as_ref()) {
            Ok(files) => {
                for file in files {
                    match read(&file, findings) {
                        Ok(more) => policies.extend(more),
                        Err(wrong) => errors.extend(wrong),
                    }
                }
            }
            Err(wrong) => errors.push(wrong),
        }
    }
    let mut known: std::collections::HashMap<&str, &Place> = Default::default();
    for policy in &policies {
        if let Some(other) = known.insert(&policy.name, &policy.place) {
            let message = format!("policy '{}' is there already, at {other}", policy.name);
            errors.push(FileError::At { place: policy.place.clone(), message });
        }
    }
    if errors.is_empty() { Ok(policies) } else { Err(errors) }
}

/// The files that paths stand for, as far as they can be found.
pub fn file_names<P: AsRef<Path>>(paths: &[P]) -> Vec<PathBuf> {
    paths.iter().filter_map(|p| files(p.as_ref()).ok()).flatten().collect()
}

/// The files that a path stands for: itself, or all `.yaml`, `.yml` and `.json` files in a directory, sorted by name.
///
/// # Errors
///
/// There is none, or the directory can not be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unread = |message: String| FileError::Unread { file: path.to_owned(), message };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| unread(e.to_string()))?;
    let mut files = vec![];
    for entry in entries {
        let file = entry.map_err(|e| unread(e.to_string()))?.path();
        let hidden = file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        let policy =
            file.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
        if policy && !hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        Err(unread("no .yaml, .yml or .json file in this directory".into()))
    } else {
        Ok(files)
    }
}

fn read(path: &Path, findings: &dyn Fn(&str) -> bool) -> Result<Vec<Policy>, Vec<FileError>> {
    parse(path, &read_text(path).map_err(|e| vec![e])?, findings)
}

/// Reads a file of a user's.
///
/// # Errors
///
/// It can not be read, is too long, or no text.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let unread = |message: String| FileError::Unread { file: path.to_owned(), message };
    let size = std::fs::metadata(path).map_err(|e| unread(e.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(unread(format!("longer than {} MiB", MAX_BYTES >> 20)));
    }
    let bytes = std::fs::read(path).map_err(|e| unread(e.to_string()))?;
    String::from_utf8(bytes).map_err(|_| unread("not UTF-8".into()))
}

/// The policies in a text: one, or several with `---` between them.
///
/// # Errors
///
/// All that is wrong with it.
pub fn parse(
    path: &Path,
    text: &str,
    findings: &dyn Fn(&str) -> bool,
) -> Result<Vec<Policy>, Vec<FileError>> {
    let source = Source::new(&Arc::from(path), text);
    let documents: Vec<Spanned<Document>> = source.documents().map_err(|e| vec![e])?;
    if documents.is_empty() {
        return Err(vec![source.error(1, 1, "no policy in this file".into())]);
    }
    let mut errors = vec![];
    let policies = documents.into_iter().filter_map(|d| source.policy(d, findings, &mut errors)).collect();
    if errors.is_empty() { Ok(policies) } else { Err(errors) }
}

/// A policy of either dialect, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    metadata: Option<Metadata>,
    spec: Option<Spanned<Body>>,
    #[serde(rename = "type")]
    ty: Option<Spanned<String>>,
    name: Option<Spanned<String>>,
    description: Option<String>,
    #[serde(rename = "version")]
    _version: Option<String>,
    scope: Option<Vec<Spanned<String>>>,
    default_actions: Option<Vec<Spanned<String>>>,
    rules: Option<Vec<Spanned<RuleText>>>,
    mode: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: Spanned<String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    #[serde(default, rename = "labels")]
    _labels: std::collections::BTreeMap<String, String>,
    #[serde(rename = "namespace")]
    _namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    scope: Vec<Spanned<String>>,
    #[serde(default)]
    default_actions: Vec<Spanned<String>>,
    rules: Vec<Spanned<RuleText>>,
    mode: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleText {
    event: Spanned<String>,
    #[serde(default)]
    filters: Vec<Spanned<String>>,
    condition: Option<Spanned<String>>,
    #[serde(default)]
    exceptions: Vec<Spanned<String>>,
    #[serde(default)]
    actions: Vec<Spanned<String>>,
    rate_limit: Option<Spanned<String>>,
    dedupe: Option<DedupeText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DedupeText {
    by: Vec<Spanned<String>>,
    window: Spanned<String>,
}

/// A file's text, in which things have a place.
#[derive(Debug)]
pub struct Source<'t> {
    file: Arc<Path>,
    text: &'t str,
}

impl<'t> Source<'t> {
    /// A file, and what is in it.
    pub fn new(file: &Arc<Path>, text: &'t str) -> Source<'t> {
        Source { file: Arc::clone(file), text }
    }

    /// The documents of YAML: one, or several with `---` between them.
    ///
    /// # Errors
    ///
    /// It is not YAML, or not of that form.
    pub fn documents<T: serde::de::DeserializeOwned>(&self) -> Result<Vec<Spanned<T>>, FileError> {
        serde_saphyr::from_multiple(self.text).map_err(|e| {
            let (line, column) = e.location().map_or((1, 1), |l| (l.line(), l.column()));
            let message = e.without_snippet().to_string();
            // The place stands before the message already.
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            self.error(line, column, message)
        })
    }

    fn error(&self, line: u64, column: u64, message: String) -> FileError {
        FileError::At { place: self.place(line, column), message }
    }

    fn place(&self, line: u64, column: u64) -> Place {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
        Place { file: Arc::clone(&self.file), line: number(line), column: number(column) }
    }

    /// Where something stands.
    pub fn at<T>(&self, spanned: &Spanned<T>) -> Place {
        self.place(spanned.defined.line(), spanned.defined.column())
    }

    /// What is wrong with something.
    pub fn wrong<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> FileError {
        FileError::At { place: self.at(at), message: message.into() }
    }

    /// What is wrong with a part of a text in the file. A text may be quoted or folded there, so the part's line is looked for.
    pub fn wrong_in(&self, text: &Spanned<String>, error: &expr::Error) -> FileError {
        let mut place = self.at(text);
        let (line, column) = error.at.place(&text.value);
        let wanted = text.value.lines().nth(line - 1).unwrap_or_default();
        let from = self.text.lines().enumerate().skip(place.line - 1);
        for (number, found) in from {
            let skip = if number + 1 == place.line { place.column - 1 } else { 0 };
            let start = found.char_indices().nth(skip).map_or(found.len(), |(at, _)| at);
            if let Some(at) =
                found.get(start..).and_then(|rest| rest.find(wanted)).filter(|_| !wanted.is_empty())
            {
                let before = found.get(..start + at).unwrap_or_default().chars().count();
                (place.line, place.column) = (number + 1, before + column);
                break;
            }
        }
        FileError::At { place, message: error.to_string() }
    }
}

impl Source<'_> {
    fn policy(
        &self,
        document: Spanned<Document>,
        findings: &dyn Fn(&str) -> bool,
        errors: &mut Vec<FileError>,
    ) -> Option<Policy> {
        let place = self.at(&document);
        let missing = |what: &str| FileError::At { place: place.clone(), message: what.to_owned() };
        let at_start = errors.len();
        let d = document.value;
        let (name, description, scope, default_actions, rules, mode) = match (&d.kind, &d.ty) {
            (Some(kind), None) => {
                if kind.value != "Policy" {
                    errors.push(self.wrong(kind, format!("kind '{}' is not 'Policy'", kind.value)));
                }
                match &d.api_version {
                    Some(v) if ["tracee.aquasec.com/v1beta1", "tarsius/v1"].contains(&v.value.as_str()) => {}
                    Some(v) => errors.push(self.wrong(
                        v,
                        format!(
                            "unknown apiVersion '{}'; known: tracee.aquasec.com/v1beta1, tarsius/v1",
                            v.value
                        ),
                    )),
                    None => errors.push(missing("apiVersion is missing: tracee.aquasec.com/v1beta1")),
                }
                for (key, there) in [
                    ("name", d.name.is_some()),
                    ("scope", d.scope.is_some()),
                    ("rules", d.rules.is_some()),
                    ("mode", d.mode.is_some()),
                ] {
                    if there {
                        errors.push(missing(&format!(
                            "'{key}' stands in metadata or spec where there is a 'kind'"
                        )));
                    }
                }
                let (Some(metadata), Some(spec)) = (d.metadata, d.spec) else {
                    errors.push(missing("'metadata' or 'spec' is missing"));
                    return None;
                };
                let description = metadata.annotations.get("description").cloned();
                let body = spec.value;
                (metadata.name, description, body.scope, body.default_actions, body.rules, body.mode)
            }
            (None, Some(ty)) => {
                if ty.value != "policy" {
                    errors.push(self.wrong(ty, format!("type '{}' is not 'policy'", ty.value)));
                }
                let (Some(name), Some(rules)) = (d.name, d.rules) else {
                    errors.push(missing("'name' or 'rules' is missing"));
                    return None;
                };
                (
                    name,
                    d.description,
                    d.scope.unwrap_or_default(),
                    d.default_actions.unwrap_or_default(),
                    rules,
                    d.mode,
                )
            }
            _ => {
                errors.push(missing(
                    "no policy: either 'kind: Policy' with 'apiVersion', or 'type: policy' is needed",
                ));
                return None;
            }
        };
        if let Err(message) = check_name(&name.value) {
            errors.push(self.wrong(&name, message));
        }
        if rules.is_empty() {
            errors.push(self.wrong(&name, format!("policy '{}' has no rules", name.value)));
        }
        let scope_text = scope.iter().map(|s| s.value.trim().to_owned()).filter(|s| s != "global").collect();
        let scope = self.scope(&scope, errors);
        let defaults = self.actions(&default_actions, errors);
        let mode = mode.map_or(Some(Mode::Monitor), |mode| {
            let read = Mode::parse(&mode.value);
            if read.is_none() {
                let message = format!("unknown mode '{}'; a policy's mode is monitor or enforce", mode.value);
                errors.push(self.wrong(&mode, message));
            }
            read
        });
        // What a rule with `-` before its event leaves out, it leaves out of all others.
        let mut unwanted: Vec<&'static Event> = vec![];
        for rule in &rules {
            if let Some(event) = rule.value.event.value.trim().strip_prefix('-') {
                match selection::find(event, true) {
                    Ok(events) => unwanted.extend(events),
                    Err(e) => errors.push(self.wrong(&rule.value.event, e.to_string())),
                }
            }
        }
        let mut detectors = vec![];
        let mut compiled = vec![];
        for rule in rules.iter().filter(|r| !r.value.event.value.trim().starts_with('-')) {
            let event = rule.value.event.value.trim();
            if catalogue::event(event).is_none() && findings(event) {
                let asked = &rule.value;
                if let Some(text) =
                    asked.filters.iter().chain(&asked.condition).chain(&asked.exceptions).next()
                {
                    errors.push(
                        self.wrong(
                            text,
                            "what a detector finds has no filters here: they are the detector's",
                        ),
                    );
                }
                detectors.push(event.to_owned());
                continue;
            }
            match selection::find(event, false) {
                Ok(mut events) => {
                    events.retain(|e| !unwanted.iter().any(|u| u.id == e.id));
                    compiled.push(self.rule(rule, &events, &defaults, errors));
                }
                Err(e) => errors.push(self.wrong(&rule.value.event, e.to_string())),
            }
        }
        if errors.len() > at_start {
            return None;
        }
        Some(Policy {
            name: name.value.as_str().into(),
            description,
            scope: scope.unwrap_or_default(),
            scope_text,
            rules: compiled,
            place,
            detectors,
            mode: mode.unwrap_or_default(),
        })
    }

    fn scope(&self, tokens: &[Spanned<String>], errors: &mut Vec<FileError>) -> Option<Scope> {
        let global = tokens.iter().find(|t| t.value.trim() == "global");
        if let Some(global) = global.filter(|_| tokens.len() > 1) {
            errors.push(self.wrong(global, "'global' is everything: no other scope can stand beside it"));
        }
        let mut read = vec![];
        for token in tokens.iter().filter(|t| t.value.trim() != "global") {
            match Scope::parse(&[token.value.as_str()]) {
                Ok(_) => read.push(token.value.as_str()),
                Err(e) => {
                    // The flag is not what was written here.
                    let message = e.to_string();
                    let message = message.strip_prefix("--").unwrap_or(&message);
                    errors.push(self.wrong(token, message));
                }
            }
        }
        Scope::parse(&read).ok()
    }

    fn actions(&self, texts: &[Spanned<String>], errors: &mut Vec<FileError>) -> Vec<Action> {
        let mut actions = vec![];
        for text in texts {
            let name = text.value.as_str();
            // Tracee's older name of it.
            let name = if name == "print" { "log" } else { name };
            match Action::ALL.into_iter().find(|action| action.name() == name) {
                Some(action) if actions.contains(&action) => {}
                Some(action) => actions.push(action),
                None => {
                    let known = Action::ALL.map(Action::name);
                    let hint = expr::nearest(name, known)
                        .map(|s| format!("; did you mean '{s}'?"))
                        .unwrap_or_default();
                    let message =
                        format!("unknown action '{name}'{hint}; actions are {}, print", known.join(", "));
                    errors.push(self.wrong(text, message));
                }
            }
        }
        actions
    }

    fn rule(
        &self,
        rule: &Spanned<RuleText>,
        events: &[&'static Event],
        defaults: &[Action],
        errors: &mut Vec<FileError>,
    ) -> Rule {
        let text = &rule.value;
        let mut parsed: Vec<(&Spanned<String>, bool, Option<Expr>)> = vec![];
        for filter in &text.filters {
            parsed.push((filter, false, None));
        }
        for (condition, negate) in
            text.condition.iter().map(|c| (c, false)).chain(text.exceptions.iter().map(|e| (e, true)))
        {
            match expr::parse(&condition.value) {
                Ok(expr) => parsed.push((condition, negate, Some(expr))),
                Err(e) => errors.push(self.wrong_in(condition, &e)),
            }
        }
        let mut compiled = vec![];
        for &event in events {
            let fields = Fields { event };
            let mut all: Vec<Expr> = vec![];
            let mut filters: Vec<(&str, Expr)> = vec![];
            for (text, negate, expr) in &parsed {
                let is_filter = expr.is_none();
                let expr = match expr {
                    Some(expr) => Ok(expr.clone()),
                    None => filter::translate(&text.value, &fields),
                };
                // Each alone, so that what is wrong is said with its place; then together.
                let checked = expr.and_then(|expr| expr::compile::<Fields>(&expr, &fields).map(|_| expr));
                match checked {
                    Ok(expr) if is_filter => filters.push((&text.value, expr)),
                    Ok(expr) => all.push(if *negate { expr.negated() } else { expr }),
                    Err(e) => errors.push(self.wrong_in(text, &e)),
                }
            }
            all.extend(filter::together(filters));
            let whole = Expr::joined(expr::Binary::And, all, Span::default());
            let condition = (!parsed.is_empty()).then(|| expr::compile(&whole, &fields).ok()).flatten();
            compiled.push((event, condition.map(Arc::new)));
        }
        let mut actions = self.actions(&text.actions, errors);
        if actions.is_empty() {
            actions = defaults.to_vec();
        }
        if actions.is_empty() {
            actions.push(Action::Log);
        }
        Rule {
            events: compiled,
            conditions: parsed
                .iter()
                .map(|(text, negate, expr)| Asked {
                    text: text.value.clone(),
                    filter: expr.is_none(),
                    negate: *negate,
                })
                .collect(),
            actions,
            limit: text.rate_limit.as_ref().and_then(|l| self.limit(l, errors)),
            dedupe: text.dedupe.as_ref().and_then(|d| self.dedupe(d, events, errors)),
            place: self.at(rule),
        }
    }

    fn limit(&self, text: &Spanned<String>, errors: &mut Vec<FileError>) -> Option<Limit> {
        let parsed = text.value.split_once('/').and_then(|(events, per)| {
            let events = events.trim().parse().ok().filter(|n| *n > 0)?;
            let per = match per.trim() {
                "s" => Duration::from_secs(1),
                "m" => Duration::from_secs(60),
                "h" => Duration::from_secs(3600),
                "d" => Duration::from_secs(86_400),
                _ => return None,
            };
            Some(Limit { events, per })
        });
        if parsed.is_none() {
            errors.push(self.wrong(
                text,
                format!("'{}' is no rate: events and a time, such as 10/s, 5/m, 100/h, 1/d", text.value),
            ));
        }
        parsed
    }

    fn dedupe(
        &self,
        text: &DedupeText,
        events: &[&'static Event],
        errors: &mut Vec<FileError>,
    ) -> Option<Dedupe> {
        let before = errors.len();
        let window = seconds(&text.window.value);
        if window.is_none() {
            let message =
                format!("'{}' is no time: a number and s, m, h or d, such as 30s", text.window.value);
            errors.push(self.wrong(&text.window, message));
        }
        let mut by = vec![];
        for &event in events {
            let fields = Fields { event };
            let mut terms = vec![];
            for one in &text.by {
                match expr::parse(&one.value).and_then(|e| expr::compile_value(&e, &fields)) {
                    Ok((term, _)) => terms.push(term),
                    Err(e) => errors.push(self.wrong_in(one, &e)),
                }
            }
            by.push((event, terms));
        }
        (errors.len() == before).then(|| Dedupe { by, window: window.unwrap_or_default() })
    }
}

/// A time: a number and its unit, s, m, h or d.
pub fn seconds(text: &str) -> Option<Duration> {
    let unit = text.trim().chars().last()?;
    let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
    let unit = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok().filter(|d| !d.is_zero())
}

/// A name of DNS (RFC 1123), as Kubernetes wants it.
fn check_name(name: &str) -> Result<(), String> {
    let label = |l: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !l.is_empty() && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("'{name}' is no name of a policy: lower-case letters, digits, '-' and '.', up to 253"))
    }
}
