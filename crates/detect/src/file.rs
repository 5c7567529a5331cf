//! Files of detectors: Tracee's form, and what goes beyond it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catalogue::Event;
use event::{Severity, Threat};
use expr::{Binary, Expr, Span, Term, Type};
use policy::{About, Fields, FileError, Place, Slot, Source};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::correlation::{Comparison, Correlation, MOST, Measure};
use crate::detector::{Case, Detector, Look, Maturity, Of, Produced};
use crate::input::{FILE_PLACED, In, Inputs, OfFields, ROADS, Road};

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Detectors that were read together, and may look at what others of them find.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// They are sorted so that each stands behind those whose findings it looks at.
    pub detectors: Vec<Detector>,
}

impl Library {
    /// The detectors of these names, ids or tags, and those whose findings they look at.
    pub fn select(&self, wanted: impl Fn(&Detector) -> bool) -> Vec<Detector> {
        let mut take: Vec<bool> = self.detectors.iter().map(&wanted).collect();
        // What one looks at stands before it.
        for (n, detector) in self.detectors.iter().enumerate().rev() {
            if !take[n] {
                continue;
            }
            for look in &detector.looks {
                if let Of::Finding(name) = &look.of {
                    for (m, other) in self.detectors.iter().enumerate() {
                        take[m] |= other.produced.name == *name;
                    }
                }
            }
        }
        let taken = self.detectors.iter().zip(take).filter(|(_, take)| *take);
        taken.map(|(detector, _)| detector.clone()).collect()
    }
}

/// The detectors that come with Tarsius.
///
/// # Errors
///
/// All that is wrong with them; nothing, where the tests have passed.
pub fn shipped() -> Result<Library, Vec<FileError>> {
    let files = SHIPPED.iter().map(|(name, text)| (Path::new(name).into(), Ok((*text).to_owned())));
    read(files.collect())
}

/// Reads detectors, beside those that come with Tarsius: of files, and of all `.yaml`, `.yml` and `.json` files in directories.
///
/// # Errors
///
/// All that is wrong, so that it can be mended at once; what is read then is not to be used.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Library, Vec<FileError>> {
    let mut files: Vec<(Arc<Path>, Result<String, FileError>)> =
        SHIPPED.iter().map(|(name, text)| (Path::new(name).into(), Ok((*text).to_owned()))).collect();
    let mut errors = vec![];
    for path in paths {
        match policy::files(path.as_ref()) {
            Ok(found) => files.extend(found.into_iter().map(|f| (f.as_path().into(), policy::read_text(&f)))),
            Err(error) => errors.push(error),
        }
    }
    match read(files) {
        Ok(library) if errors.is_empty() => Ok(library),
        Ok(_) => Err(errors),
        Err(more) => Err(errors.into_iter().chain(more).collect()),
    }
}

/// The detectors of a text alone.
///
/// # Errors
///
/// All that is wrong with it.
pub fn parse(path: &Path, text: &str) -> Result<Library, Vec<FileError>> {
    read(vec![(path.into(), Ok(text.to_owned()))])
}

fn read(files: Vec<(Arc<Path>, Result<String, FileError>)>) -> Result<Library, Vec<FileError>> {
    let mut errors = vec![];
    let mut texts = vec![];
    for (file, text) in files {
        match text {
            Ok(text) => texts.push((file, text)),
            Err(error) => errors.push(error),
        }
    }
    let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source::new(file, text)).collect();
    let mut lists: FxHashMap<Arc<str>, Vec<Vec<u8>>> = FxHashMap::default();
    let mut written = vec![];
    for source in &sources {
        match source.documents::<Document>() {
            Ok(documents) => {
                for document in documents {
                    match document.value.ty.value.as_str() {
                        "string_list" => list(source, &document, &mut lists, &mut errors),
                        "detector" => written.extend(Written::new(source, document, &mut errors)),
                        other => errors.push(source.wrong(
                            &document.value.ty,
                            format!("type '{other}' is neither 'detector' nor 'string_list'"),
                        )),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    for (n, one) in written.iter().enumerate() {
        let same =
            |other: &&Written<'_>| other.id.value == one.id.value || other.produced.name == one.produced.name;
        if let Some(other) = written.iter().take(n).find(same) {
            errors.push(one.source.wrong(
                &one.id,
                format!(
                    "detector '{}', or what it finds, is there already, at {}",
                    one.id.value, other.place
                ),
            ));
        }
        if catalogue::event(&one.produced.name).is_some() || *one.produced.name == *FILE_PLACED {
            let message = format!("'{}' is the name of an event, or of several", one.produced.name);
            errors.push(one.source.wrong(&one.id, message));
        }
    }
    let order = in_order(&written, &mut errors);
    let detectors: Vec<Detector> =
        order.into_iter().filter_map(|n| written[n].compile(&written, &lists, &mut errors)).collect();
    if errors.is_empty() { Ok(Library { detectors }) } else { Err(errors) }
}

/// Each behind those whose findings it looks at.
fn in_order(written: &[Written<'_>], errors: &mut Vec<FileError>) -> Vec<usize> {
    let needs = |n: usize| {
        let names = written[n].looks.iter().map(|l| l.value.name.value.as_str());
        names.filter_map(|name| written.iter().position(|w| *w.produced.name == *name)).collect::<Vec<_>>()
    };
    let (mut order, mut done) = (vec![], vec![false; written.len()]);
    while order.len() < written.len() {
        let ready: Vec<usize> =
            (0..written.len()).filter(|&n| !done[n] && needs(n).iter().all(|&m| done[m])).collect();
        if ready.is_empty() {
            for (one, _) in written.iter().zip(&done).filter(|(_, done)| !**done) {
                errors.push(
                    one.source
                        .wrong(&one.id, format!("detector '{}' looks at what it finds itself", one.id.value)),
                );
            }
            break;
        }
        for n in ready {
            done[n] = true;
            order.push(n);
        }
    }
    order
}

fn list(
    source: &Source<'_>,
    document: &Spanned<Document>,
    lists: &mut FxHashMap<Arc<str>, Vec<Vec<u8>>>,
    errors: &mut Vec<FileError>,
) {
    match (&document.value.name, &document.value.values) {
        (Some(name), Some(values)) => {
            let values = values.iter().map(|v| v.clone().into_bytes()).collect();
            if lists.insert(name.value.as_str().into(), values).is_some() {
                errors.push(source.wrong(name, format!("there is a list '{}' already", name.value)));
            }
        }
        _ => errors.push(source.wrong(&document.value.ty, "a list has 'name' and 'values'")),
    }
}

/// A document of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "type")]
    ty: Spanned<String>,
    // Of a list.
    name: Option<Spanned<String>>,
    values: Option<Vec<String>>,
    // Of a detector.
    id: Option<Spanned<String>>,
    produced_event: Option<ProducedText>,
    requirements: Option<Requirements>,
    #[serde(default)]
    conditions: Vec<Spanned<String>>,
    threat: Option<ThreatText>,
    #[serde(rename = "auto_populate")]
    _auto_populate: Option<AutoPopulate>,
    output: Option<OutputText>,
    threshold: Option<ThresholdText>,
    sequence: Option<PartsText>,
    together: Option<PartsText>,
    unusual: Option<UnusualText>,
    absence: Option<PartsText>,
    /// Beyond Tracee's: how far it can be relied on.
    maturity: Option<Spanned<String>>,
    #[serde(default)]
    false_positives: Vec<String>,
    /// Beyond Tracee's: events in which it must find something, or nothing.
    #[serde(default)]
    tests: Vec<Spanned<CaseText>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducedText {
    name: Spanned<String>,
    #[serde(rename = "version")]
    _version: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    fields: Vec<FieldText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    name: Spanned<String>,
    #[serde(rename = "type")]
    ty: Spanned<String>,
    #[serde(rename = "optional")]
    _optional: Option<bool>,
    #[serde(rename = "description")]
    _description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirements {
    events: Vec<Spanned<LookText>>,
    #[serde(rename = "min_tracee_version")]
    _min_tracee_version: Option<String>,
    #[serde(rename = "max_tracee_version")]
    _max_tracee_version: Option<String>,
    #[serde(rename = "architectures")]
    _architectures: Option<Vec<String>>,
    #[serde(rename = "datastores")]
    _datastores: Option<Vec<serde::de::IgnoredAny>>,
    #[serde(rename = "enrichments")]
    _enrichments: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookText {
    name: Spanned<String>,
    #[serde(rename = "dependency")]
    _dependency: Option<String>,
    #[serde(rename = "min_version")]
    _min_version: Option<String>,
    #[serde(rename = "max_version")]
    _max_version: Option<String>,
    #[serde(default)]
    data_filters: Vec<Spanned<String>>,
    #[serde(default)]
    scope_filters: Vec<Spanned<String>>,
    /// Beyond Tracee's: what must hold of this event alone.
    condition: Option<Spanned<String>>,
    /// Beyond Tracee's: what it has in common with the other parts, if that is not said in the same way of all.
    by: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThreatText {
    name: Option<String>,
    #[serde(default)]
    description: String,
    severity: Spanned<String>,
    mitre: Option<Mitre>,
    #[serde(rename = "properties")]
    _properties: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mitre {
    technique: Option<Technique>,
    /// Beyond Tracee's: ids of others of which the same is a sign.
    #[serde(default)]
    other_techniques: Vec<Spanned<String>>,
    tactic: Option<Tactic>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Technique {
    id: String,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tactic {
    #[serde(rename = "id")]
    _id: Option<String>,
    name: String,
}

/// Tracee's choice of what is told beside the finding: all of it is here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoPopulate {
    #[serde(rename = "threat")]
    _threat: Option<bool>,
    #[serde(rename = "detected_from")]
    _detected_from: Option<bool>,
    #[serde(rename = "process_ancestry")]
    _process_ancestry: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputText {
    fields: Vec<OutputField>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputField {
    name: Spanned<String>,
    expression: Spanned<String>,
    #[serde(rename = "optional")]
    _optional: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThresholdText {
    count: Spanned<u32>,
    window: Spanned<String>,
    #[serde(default)]
    by: Vec<Spanned<String>>,
    /// Not events are counted, but how many different values this has.
    distinct: Option<Spanned<String>>,
}

/// All events of `requirements`: in their order, or in any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartsText {
    window: Spanned<String>,
    #[serde(default)]
    by: Vec<Spanned<String>>,
}

/// What was seldom there before, or never.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnusualText {
    of: Spanned<String>,
    /// For how long nothing is told of those who are new.
    learn: Spanned<String>,
    /// It was there less often than that.
    times: Option<Spanned<u32>>,
    #[serde(default)]
    by: Vec<Spanned<String>>,
}

/// A test of a detector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    /// How often it finds something: once, if that is not said.
    finds: Option<usize>,
    events: Vec<Spanned<GivenText>>,
}

/// An event that is made up. Beside what is named here it has, by the names that conditions ask by, what is told of who did it.
#[derive(Debug, Deserialize)]
struct GivenText {
    event: String,
    /// So many seconds after the first.
    #[serde(default)]
    at: f64,
    /// So many of them, at the same time. In their texts, `%n` is the number of each, from 1; a text that is nothing else is a number.
    times: Option<u32>,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(flatten)]
    who: Map<String, Value>,
}

/// Several events, as it is written.
struct Several {
    measure: Measure,
    count: Spanned<u32>,
    window: Spanned<String>,
    by: Vec<Spanned<String>>,
    distinct: Option<Spanned<String>>,
}

/// What there is beside a detector that is read.
struct Reading<'r> {
    all: &'r [Written<'r>],
    lists: &'r FxHashMap<Arc<str>, Vec<Vec<u8>>>,
    requests: &'r RefCell<BTreeSet<&'static str>>,
}

/// A detector as it is written, with what others must know of it.
struct Written<'t> {
    source: &'t Source<'t>,
    id: Spanned<String>,
    produced: Produced,
    looks: Vec<Spanned<LookText>>,
    conditions: Vec<Spanned<String>>,
    threat: Option<Threat>,
    outputs: Vec<OutputField>,
    several: Option<Several>,
    maturity: Maturity,
    false_positives: Vec<String>,
    tests: Vec<Case>,
    place: Place,
}

/// The first event of a test is at so many seconds after 1970, as the clocks of events are.
const TESTS_BEGIN: f64 = 1_700_000_000.0;

impl<'t> Written<'t> {
    fn new(source: &'t Source<'t>, document: Spanned<Document>, errors: &mut Vec<FileError>) -> Option<Self> {
        let place = source.at(&document);
        let d = document.value;
        let (Some(id), Some(produced), Some(requirements)) = (d.id, d.produced_event, d.requirements) else {
            errors.push(source.wrong(&d.ty, "a detector has 'id', 'produced_event' and 'requirements'"));
            return None;
        };
        let mut fields = vec![];
        for field in &produced.fields {
            match type_of(&field.ty.value) {
                Some(ty) => fields.push((field.name.value.clone(), ty)),
                None => errors.push(source.wrong(
                    &field.ty,
                    format!(
                        "unknown type '{}'; known: {}",
                        field.ty.value,
                        TYPES.map(|(name, _)| name).join(", ")
                    ),
                )),
            }
        }
        let threat = d.threat.map(|t| {
            let severity = severity(&t.severity.value);
            if severity.is_none() {
                errors.push(source.wrong(
                    &t.severity,
                    format!(
                        "unknown severity '{}'; known: info, low, medium, high, critical",
                        t.severity.value
                    ),
                ));
            }
            let (technique, others, tactic) =
                t.mitre.map_or((None, vec![], None), |m| (m.technique, m.other_techniques, m.tactic));
            if let (None, Some(other)) = (&technique, others.first()) {
                errors.push(source.wrong(other, "there is no 'technique' beside which these are others"));
            }
            Threat {
                name: t.name,
                description: t.description,
                severity: severity.unwrap_or(Severity::Info),
                tactic: tactic.map(|t| t.name),
                technique: technique.map(|t| (t.id, t.name)),
                other_techniques: others.into_iter().map(|other| other.value).collect(),
            }
        });
        if requirements.events.is_empty() {
            errors.push(source.wrong(&id, "a detector looks at an event at least"));
        }
        let parts = u32::try_from(requirements.events.len()).unwrap_or(u32::MAX);
        let of_parts = |measure: Measure, text: PartsText| Several {
            measure,
            count: Spanned::new(parts, text.window.referenced, text.window.defined),
            window: text.window,
            by: text.by,
            distinct: None,
        };
        let several = match (d.threshold, d.sequence, d.together, d.unusual, d.absence) {
            (None, None, None, None, None) => None,
            (Some(t), None, None, None, None) => Some(Several {
                measure: if t.distinct.is_some() { Measure::Values } else { Measure::Events },
                count: t.count,
                window: t.window,
                by: t.by,
                distinct: t.distinct,
            }),
            (None, Some(text), None, None, None) => Some(of_parts(Measure::InOrder, text)),
            (None, None, Some(text), None, None) => Some(of_parts(Measure::Together, text)),
            (None, None, None, None, Some(text)) => Some(of_parts(Measure::Absent, text)),
            (None, None, None, Some(u), None) => Some(Several {
                measure: Measure::Unusual,
                count: u.times.unwrap_or_else(|| Spanned::new(1, u.learn.referenced, u.learn.defined)),
                window: u.learn,
                by: u.by,
                distinct: Some(u.of),
            }),
            _ => {
                let message =
                    "of 'threshold', 'sequence', 'together', 'unusual' and 'absence', a detector has one";
                errors.push(source.wrong(&id, message));
                None
            }
        };
        let maturity = d.maturity.as_ref().map_or(Some(Maturity::default()), |text| maturity(&text.value));
        if let (None, Some(text)) = (maturity, &d.maturity) {
            let known = Maturity::ALL.map(Maturity::name).join(", ");
            errors.push(source.wrong(text, format!("unknown maturity '{}'; known: {known}", text.value)));
        }
        let tests = d.tests.iter().filter_map(|test| case(source, test, errors)).collect();
        Some(Written {
            source,
            produced: Produced {
                name: produced.name.value.as_str().into(),
                description: produced.description,
                tags: produced.tags,
                fields,
            },
            id,
            looks: requirements.events,
            conditions: d.conditions,
            threat,
            outputs: d.output.map(|o| o.fields).unwrap_or_default(),
            several,
            maturity: maturity.unwrap_or_default(),
            false_positives: d.false_positives,
            tests,
            place,
        })
    }

    fn compile<'r>(
        &self,
        all: &'r [Written<'r>],
        lists: &'r FxHashMap<Arc<str>, Vec<Vec<u8>>>,
        errors: &mut Vec<FileError>,
    ) -> Option<Detector> {
        let before = errors.len();
        for output in &self.outputs {
            if !self.produced.fields.iter().any(|(name, _)| *name == output.name.value) {
                errors.push(self.source.wrong(
                    &output.name,
                    format!("'{}' is none of the fields of 'produced_event'", output.name.value),
                ));
            }
        }
        // What is told is asked of each event that has it; if none has, that is an error.
        let mut told: Vec<Option<Result<(), FileError>>> = vec![None; self.outputs.len()];
        let requests = RefCell::default();
        let context = Reading { all, lists, requests: &requests };
        let looks: Vec<Look> =
            self.looks.iter().enumerate().flat_map(|n| self.look(n, &context, &mut told, errors)).collect();
        if errors.len() == before {
            errors.extend(told.into_iter().flatten().filter_map(Result::err));
        }
        let correlation = self.several.as_ref().map(|s| self.correlation(s, errors));
        let trees: BTreeSet<Option<usize>> = looks.iter().map(|look| look.tree).collect();
        if let Some(several) = &self.several
            && (trees.len() > 1 || (several.measure == Measure::Unusual && trees.iter().any(Option::is_some)))
        {
            let message = match several.measure {
                Measure::Unusual => "what is usual is not learnt of trees of processes",
                _ => "'tree' stands in the same place of each 'by', or in none",
            };
            errors.push(self.source.wrong(several.by.first().unwrap_or(&several.window), message));
        }
        if let (None, Some(by)) = (&correlation, self.looks.iter().find_map(|l| l.value.by.as_ref()?.first()))
        {
            errors.push(self.source.wrong(by, "'by' is for detectors of several events"));
        }
        (errors.len() == before).then(|| Detector {
            id: self.id.value.as_str().into(),
            produced: self.produced.clone(),
            threat: self.threat.clone(),
            looks,
            correlation,
            learns: self.learns(),
            requests: requests.take(),
            maturity: self.maturity,
            false_positives: self.false_positives.clone(),
            tests: self.tests.clone(),
            place: self.place.clone(),
        })
    }

    /// All that decides what is learnt; not for how long, nor how often something must be there.
    fn learns(&self) -> Option<String> {
        let several = self.several.as_ref().filter(|several| several.measure == Measure::Unusual)?;
        let mut words: Vec<&str> = vec![];
        for look in self.looks.iter().map(|look| &look.value) {
            words.push(&look.name.value);
            let filters = look.data_filters.iter().chain(&look.scope_filters);
            words.extend(filters.chain(&look.condition).map(|text| text.value.as_str()));
        }
        let asked = self.conditions.iter().chain(&several.distinct).chain(&several.by);
        words.extend(asked.map(|text| text.value.as_str()));
        Some(words.join("; "))
    }

    fn correlation(&self, several: &Several, errors: &mut Vec<FileError>) -> Correlation {
        let (window, count) = (&several.window, &several.count);
        let within = policy::seconds(&window.value);
        if within.is_none() {
            let message = format!("'{}' is no time: a number and s, m, h or d, such as 30s", window.value);
            errors.push(self.source.wrong(window, message));
        }
        let least = if several.measure == Measure::Unusual { 1 } else { 2 };
        if !(least..=MOST).contains(&count.value) {
            let message = match several.measure {
                Measure::Unusual => format!("'times' is 1 to {MOST}: it was there less often before"),
                Measure::Events | Measure::Values => format!("a threshold is 2 to {MOST}"),
                Measure::InOrder | Measure::Together => "one event alone is in no order".into(),
                Measure::Absent => "an absence is that of events after the first: one at least".into(),
            };
            errors.push(self.source.wrong(count, message));
        }
        for by in self.looks.iter().filter_map(|look| look.value.by.as_ref()) {
            if by.len() != several.by.len() {
                let message = format!(
                    "what events have in common are {} values here, and {} there",
                    by.len(),
                    several.by.len()
                );
                errors.push(self.source.wrong(by.first().unwrap_or(window), message));
            }
        }
        Correlation {
            measure: several.measure,
            within: within.unwrap_or(Duration::ZERO),
            condition: vec![(
                if several.measure == Measure::Unusual {
                    Comparison::Less
                } else {
                    Comparison::GreaterOrEqual
                },
                count.value.into(),
            )],
            parts: self.looks.len(),
        }
    }

    /// A look for each event that a name stands for.
    fn look(
        &self,
        (part, look): (usize, &Spanned<LookText>),
        reading: &Reading<'_>,
        told: &mut [Option<Result<(), FileError>>],
        errors: &mut Vec<FileError>,
    ) -> Vec<Look> {
        let name = &look.value.name;
        let event = |event: &'static Event, road| (Of::Event(event), OfFields::Event(Fields { event }), road);
        let of: Vec<(Of, OfFields<'_>, Option<Road>)> =
            match reading.all.iter().find(|w| *w.produced.name == *name.value) {
                Some(Written { produced, .. }) => {
                    let fields = OfFields::Finding(&produced.name, &produced.fields);
                    vec![(Of::Finding(Arc::clone(&produced.name)), fields, None)]
                }
                None if name.value == FILE_PLACED => ROADS
                    .iter()
                    .filter_map(|road| Some(event(catalogue::event(road.0)?, Some(*road))))
                    .collect(),
                None => match policy::find_events(&name.value) {
                    Ok(events) => events.into_iter().map(|found| event(found, None)).collect(),
                    Err(error) => {
                        errors.push(self.source.wrong(name, error.to_string()));
                        vec![]
                    }
                },
            };
        let before = errors.len();
        of.into_iter()
            .filter_map(|(of, fields, road)| {
                // What is wrong with it is wrong for all, and said once.
                if errors.len() > before {
                    return None;
                }
                let (placed, beside) = road.map_or((None, None), |(_, path, beside)| (Some(path), beside));
                let inputs = Inputs { of: fields, placed, lists: reading.lists, requests: reading.requests };
                let condition = self.condition(&look.value, beside, &inputs, errors)?;
                let outputs = self.produced.fields.iter().map(|(name, ty)| {
                    let of_field = self.outputs.iter().enumerate().filter(|(_, o)| o.name.value == *name);
                    of_field.fold(None, |found, (n, output)| match self.output(output, *ty, &inputs) {
                        Ok(term) => {
                            told[n] = Some(Ok(()));
                            found.or(Some(term))
                        }
                        Err(error) => {
                            told[n].get_or_insert(Err(error));
                            found
                        }
                    })
                });
                let outputs = outputs.collect();
                let mut value = |text: &Spanned<String>| {
                    let compiled = expr::parse(&text.value).and_then(|e| expr::compile_value(&e, &inputs));
                    compiled
                        .map_err(|e| errors.push(self.source.wrong_in(text, &e)))
                        .ok()
                        .map(|(term, _)| term)
                };
                let of_all = self.several.as_ref().map(|s| &s.by);
                let by: Vec<Term<In>> =
                    look.value.by.as_ref().or(of_all).into_iter().flatten().filter_map(&mut value).collect();
                let is_tree =
                    |term: &Term<In>| matches!(term, Term::Field(In::Event(Slot::About(About::Tree))));
                let tree = by.iter().position(is_tree);
                let value = self.several.iter().find_map(|s| s.distinct.as_ref()).and_then(value);
                Some(Look { of, condition, outputs, part, by, tree, value })
            })
            .collect()
    }

    /// What must hold; `None` if something is wrong with it.
    #[expect(clippy::option_option, reason = "the outer one is an error that was noted")]
    fn condition(
        &self,
        look: &LookText,
        beside: Option<&str>,
        inputs: &Inputs<'_>,
        errors: &mut Vec<FileError>,
    ) -> Option<Option<expr::Condition<crate::In>>> {
        let before = errors.len();
        let mut filters = vec![];
        for filter in &look.data_filters {
            match inputs.of {
                OfFields::Event(fields) => match policy::filter(&prefixed(&filter.value), &fields) {
                    Ok(expr) => filters.push((filter.value.as_str(), expr)),
                    // The place is that of the text with `data.` before it.
                    Err(e) => errors.push(self.source.wrong(filter, e.message)),
                },
                OfFields::Finding(..) => errors.push(self.source.wrong(
                    filter,
                    "what a detector finds has no filters: say it in 'condition', data.NAME == \"...\"",
                )),
            }
        }
        let mut all: Vec<Expr> = policy::together(filters);
        match beside.map(expr::parse).transpose() {
            Ok(beside) => all.extend(beside),
            Err(e) => errors.push(self.source.wrong(&look.name, e.message)),
        }
        for filter in &look.scope_filters {
            match policy::in_scope(filter.value.trim(), &inputs.who()) {
                Ok(expr) => all.push(expr),
                Err(e) => errors.push(self.source.wrong_in(filter, &e)),
            }
        }
        for text in look.condition.iter().chain(&self.conditions) {
            // Each alone, so that what is wrong is said with its place; then together.
            let parsed = expr::parse(&text.value).and_then(|e| expr::compile(&e, inputs).map(|_| e));
            match parsed {
                Ok(expr) => all.push(expr),
                Err(e) => errors.push(self.source.wrong_in(text, &e)),
            }
        }
        if errors.len() > before {
            return None;
        }
        if all.is_empty() {
            return Some(None);
        }
        match expr::compile(&Expr::joined(Binary::And, all, Span::default()), inputs) {
            Ok(condition) => Some(Some(condition)),
            Err(e) => {
                errors.push(self.source.wrong(&look.name, e.message));
                None
            }
        }
    }

    fn output(
        &self,
        output: &OutputField,
        ty: Type,
        inputs: &Inputs<'_>,
    ) -> Result<expr::Term<crate::In>, FileError> {
        let text = &output.expression;
        match expr::parse(&text.value).and_then(|e| expr::compile_value(&e, inputs)) {
            Ok((term, found)) if found == ty || (ty == Type::Text && found == Type::Ip) => Ok(term),
            Ok((_, found)) => {
                let message = format!("'{}' is {}, not {}", text.value, found.name(), ty.name());
                Err(self.source.wrong(text, message))
            }
            Err(e) => Err(self.source.wrong_in(text, &e)),
        }
    }
}

/// Filters of detectors are of the event's own fields.
fn prefixed(filter: &str) -> String {
    if filter.starts_with("data.") || filter.starts_with("args.") {
        filter.into()
    } else {
        format!("data.{filter}")
    }
}

const TYPES: [(&str, Type); 12] = [
    ("string", Type::Text),
    ("bytes", Type::Text),
    ("int32", Type::Int),
    ("int64", Type::Int),
    ("uint32", Type::Int),
    ("uint64", Type::Int),
    ("int", Type::Int),
    ("bool", Type::Bool),
    ("double", Type::Double),
    ("float", Type::Double),
    ("string_array", Type::Texts),
    ("string[]", Type::Texts),
];

fn type_of(name: &str) -> Option<Type> {
    TYPES.iter().find(|(n, _)| *n == name).map(|(_, ty)| *ty)
}

fn maturity(name: &str) -> Option<Maturity> {
    Maturity::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
}

/// The recording that a test stands for.
fn case(source: &Source<'_>, test: &Spanned<CaseText>, errors: &mut Vec<FileError>) -> Option<Case> {
    let before = errors.len();
    let CaseText { finds, events } = &test.value;
    if events.is_empty() {
        errors.push(source.wrong(test, "a test has an event at least"));
    }
    let mut recording = String::new();
    for given in events {
        let GivenText { event, at, times, data, who } = &given.value;
        let line = catalogue::event(event).ok_or_else(|| {
            let known = catalogue::EVENTS.iter().map(|e| e.name);
            let hint =
                expr::nearest(event, known).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
            format!("unknown event '{event}'{hint}")
        });
        let at = Duration::try_from_secs_f64(TESTS_BEGIN + at).map_err(|e| format!("at: {e}"));
        let at = at.and_then(|at| u64::try_from(at.as_nanos()).map_err(|e| format!("at: {e}")));
        let lines = line.and_then(|event| {
            let at = at?;
            let Some(times) = *times else { return Ok(policy::made(event, at, who, data)? + "\n") };
            if !(1..=MOST).contains(&times) {
                return Err(format!("times: an event is there 1 to {MOST} times"));
            }
            let one = |n| Ok(policy::made(event, at, &numbered(who, n), &numbered(data, n))? + "\n");
            (1..=times).map(one).collect::<Result<String, String>>()
        });
        match lines {
            Ok(lines) => recording.push_str(&lines),
            Err(message) => errors.push(source.wrong(given, message)),
        }
    }
    (errors.len() == before).then(|| Case { recording, finds: finds.unwrap_or(1), place: source.at(test) })
}

/// With `%n` in texts replaced.
fn numbered(given: &Map<String, Value>, n: u32) -> Map<String, Value> {
    given.iter().map(|(name, value)| (name.clone(), number(value, n))).collect()
}

fn number(value: &Value, n: u32) -> Value {
    match value {
        Value::String(text) if text == "%n" => n.into(),
        Value::String(text) => text.replace("%n", &n.to_string()).into(),
        Value::Array(all) => all.iter().map(|value| number(value, n)).collect(),
        Value::Object(parts) => Value::Object(numbered(parts, n)),
        _ => value.clone(),
    }
}

fn severity(name: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(name))
}
