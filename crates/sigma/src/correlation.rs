//! Correlations: what several events say that one does not.

use std::time::Duration;

use policy::Place;
use serde_saphyr::Spanned;

use crate::error::{Error, Source};
use crate::logsource::Record;
use crate::rule::{Draft, Kind, Said};
use crate::translate::literal;
use crate::yaml::Node;

/// What is found of what other rules find.
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    /// What is counted.
    pub measure: Measure,
    /// The rules whose findings are counted.
    pub members: Vec<Member>,
    /// By how many keys findings are told apart: each group is counted for itself.
    pub keys: usize,
    /// In what time.
    pub within: Duration,
    /// How many there must be: all of these hold. For [`Measure::Together`] and [`Measure::InOrder`] it is about how many of the rules.
    pub condition: Vec<(Comparison, i128)>,
    /// Whether the findings of the rules are findings by themselves, too.
    pub generate: bool,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Events.
    Events,
    /// Different values of [`Keys::value`].
    Values,
    /// Rules of which there is one, in whatever order.
    Together,
    /// The same, in the order of the members.
    InOrder,
}

/// How a count is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `eq`
    Equal,
    /// `neq`
    NotEqual,
    /// `lt`
    Less,
    /// `lte`
    LessOrEqual,
    /// `gt`
    Greater,
    /// `gte`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether a count passes.
    pub fn holds(self, count: i128, than: i128) -> bool {
        match self {
            Comparison::Equal => count == than,
            Comparison::NotEqual => count != than,
            Comparison::Less => count < than,
            Comparison::LessOrEqual => count <= than,
            Comparison::Greater => count > than,
            Comparison::GreaterOrEqual => count >= than,
        }
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        })
    }
}

/// A rule whose findings are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its place in the list that [`crate::load`] gives.
    pub rule: usize,
    /// By what its findings are told apart, for each of its events.
    pub keys: Vec<Keys>,
}

/// By what events are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The event.
    pub event: &'static str,
    /// Expressions; events of one group have the same values.
    pub by: Vec<String>,
    /// The expression whose different values are counted.
    pub value: Option<String>,
}

/// A correlation as it is written.
#[derive(Debug)]
pub(crate) struct Written {
    measure: Measure,
    rules: Vec<(String, Place)>,
    group_by: Vec<(String, Place)>,
    value: Option<(String, Place)>,
    within: Duration,
    condition: Vec<(Comparison, i128)>,
    /// What a field of `group_by` is called in each rule: alias, rule, field.
    aliases: Vec<(String, String, String)>,
    generate: bool,
}

const TYPES: [(&str, Measure); 4] = [
    ("event_count", Measure::Events),
    ("value_count", Measure::Values),
    ("temporal", Measure::Together),
    ("temporal_ordered", Measure::InOrder),
];

const COMPARISONS: [(&str, Comparison); 6] = [
    ("eq", Comparison::Equal),
    ("neq", Comparison::NotEqual),
    ("lt", Comparison::Less),
    ("lte", Comparison::LessOrEqual),
    ("gt", Comparison::Greater),
    ("gte", Comparison::GreaterOrEqual),
];

/// Reads a correlation.
///
/// # Errors
///
/// What is wrong with it, or is not supported.
pub(crate) fn read(source: &Source, node: &Spanned<Node>) -> Result<Written, Error> {
    let missing = |key: &str| source.wrong(node, format!("'{key}' is missing in 'correlation'"));
    let get = |key: &str| node.value.get(key);
    let named = |of: &Spanned<Node>| {
        let name = of.value.scalar().map(|name| (name, source.at(of)));
        name.ok_or_else(|| source.wrong(of, format!("a name is wanted: this is {}", of.value.name())))
    };
    let names = |key: &str| -> Result<Vec<_>, Error> {
        get(key).map_or(Ok(vec![]), |list| Node::each(list).iter().map(named).collect())
    };
    let ty = get("type").ok_or_else(|| missing("type"))?;
    let name = ty.value.scalar().unwrap_or_default();
    let Some((_, measure)) = TYPES.iter().find(|(n, _)| *n == name) else {
        let hint = expr::nearest(&name, TYPES.map(|(n, _)| n)).map(|s| format!("; did you mean '{s}'?"));
        return Err(source.wrong(ty, format!("no correlation of type '{name}'{}", hint.unwrap_or_default())));
    };
    let rules = names("rules")?;
    if rules.is_empty() {
        return Err(missing("rules"));
    }
    let timespan = get("timespan").or_else(|| get("timeframe")).ok_or_else(|| missing("timespan"))?;
    let within =
        timespan.value.scalar().and_then(|text| time(&text)).ok_or_else(|| {
            source.wrong(timespan, "a time is a whole number and s, m, h or d, such as 30s")
        })?;
    let (condition, value) = match get("condition") {
        Some(condition) => comparisons(source, condition)?,
        None if matches!(measure, Measure::Together | Measure::InOrder) => (vec![], None),
        None => return Err(missing("condition")),
    };
    if *measure == Measure::Values && value.is_none() {
        return Err(missing("condition.field"));
    }
    let mut aliases = vec![];
    if let Some(Node::Map(entries)) = get("aliases").map(|a| &a.value) {
        for (alias, of) in entries {
            let Node::Map(fields) = &of.value else {
                return Err(source.wrong(
                    of,
                    format!("an alias is a map from rules to fields: this is {}", of.value.name()),
                ));
            };
            for (rule, field) in fields {
                aliases.push((alias.value.clone(), rule.value.clone(), named(field)?.0));
            }
        }
    }
    let generate = get("generate").is_some_and(|g| g.value == Node::Bool(true));
    Ok(Written {
        measure: *measure,
        rules,
        group_by: names("group-by")?,
        value,
        within,
        condition,
        aliases,
        generate,
    })
}

type Counted = (Vec<(Comparison, i128)>, Option<(String, Place)>);

fn comparisons(source: &Source, node: &Spanned<Node>) -> Result<Counted, Error> {
    let Node::Map(entries) = &node.value else {
        let why =
            format!("a correlation's condition is a map, such as gte: 10; this is {}", node.value.name());
        return Err(source.wrong(node, why));
    };
    let (mut all, mut field) = (vec![], None);
    for (key, value) in entries {
        let number = || match value.value {
            Node::Int(n) => Ok(n),
            _ => {
                Err(source.wrong(value, format!("a whole number is wanted: this is {}", value.value.name())))
            }
        };
        match COMPARISONS.iter().find(|(name, _)| *name == key.value) {
            Some((_, comparison)) => all.push((*comparison, number()?)),
            None if key.value == "field" => field = value.value.scalar().map(|f| (f, source.at(value))),
            None => return Err(source.wrong(key, format!("unknown comparison '{}'", key.value))),
        }
    }
    if all.is_empty() {
        return Err(source.wrong(node, "a comparison is missing, such as gte: 10"));
    }
    Ok((all, field))
}

/// A time: a number and its unit.
fn time(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'M' => 30 * 86_400,
        'y' => 365 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).filter(|s| *s > 0).map(Duration::from_secs)
}

/// Finds the rules that a correlation names.
pub(crate) fn resolve(drafts: &[Draft], at: usize) -> Option<Kind> {
    let Said::Correlation(written) = &drafts.get(at)?.said else { return None };
    Some(match members(drafts, written) {
        Err(Missing::Wrong(error)) => Kind::Unsupported(error),
        Err(Missing::NoSource(why)) => Kind::NoSource { why },
        Ok(members) => Kind::Correlation(Correlation {
            measure: written.measure,
            keys: written.group_by.len(),
            within: written.within,
            condition: match written.condition.as_slice() {
                // Of each rule one.
                [] => vec![(Comparison::GreaterOrEqual, members.len() as i128)],
                written => written.to_vec(),
            },
            members,
            generate: written.generate,
        }),
    })
}

enum Missing {
    Wrong(Error),
    NoSource(String),
}

fn members(drafts: &[Draft], written: &Written) -> Result<Vec<Member>, Missing> {
    let mut members = vec![];
    for (name, place) in &written.rules {
        let wrong = |why: String| Missing::Wrong(Error { place: place.clone(), why });
        let found = drafts.iter().position(|d| d.rule.id == *name || d.rule.name.as_ref() == Some(name));
        let rule = found.ok_or_else(|| wrong(format!("no rule is called '{name}'")))?;
        let of = &drafts[rule];
        match &of.rule.kind {
            Kind::Single { .. } => {}
            Kind::NoSource { why } => {
                return Err(Missing::NoSource(format!("the rule '{name}' has none: {why}")));
            }
            Kind::Unsupported(error) => {
                return Err(wrong(format!("the rule '{name}' is not supported: {error}")));
            }
            Kind::Correlation(_) | Kind::Filter { .. } => {
                return Err(wrong(format!("'{name}' is no rule of single events")));
            }
        }
        if matches!(of.said, Said::Correlation(_)) {
            return Err(wrong(format!("'{name}' is a correlation: correlations of these are not supported")));
        }
        let mut keys = vec![];
        for record in &of.records {
            let key = |(field, place): &(String, Place)| {
                let alias = written.aliases.iter().find(|(alias, rule, _)| {
                    alias == field && (*rule == of.rule.id || of.rule.name.as_ref() == Some(rule))
                });
                let field = alias.map_or(field, |(_, _, field)| field);
                let why = format!("{} has no field '{field}' to tell findings apart by", record.event.name);
                column(record, field).ok_or_else(|| Missing::Wrong(Error { place: place.clone(), why }))
            };
            let by = written.group_by.iter().map(key).collect::<Result<_, _>>()?;
            let value = written.value.as_ref().map(key).transpose()?;
            keys.push(Keys { event: record.event.name, by, value });
        }
        members.push(Member { rule, keys });
    }
    Ok(members)
}

/// The expression of a field: the first of its columns.
fn column(record: &Record, field: &str) -> Option<String> {
    if let Some((_, constant)) = record.constants.iter().find(|(name, _)| *name == field) {
        return Some(literal(constant.as_bytes()));
    }
    let found = record.columns.iter().flat_map(|c| c.iter()).find(|(name, _)| *name == field);
    found.and_then(|(_, paths)| paths.first()).map(|path| path.trim_start_matches('?').to_owned())
}
