//! What a rule asks: selections, their fields with modifiers, and the condition that joins them.

use policy::Place;
use serde_saphyr::Spanned;

use crate::condition::{self, Condition, Quantity};
use crate::error::{Error, Source};
use crate::pattern::{self, Pattern, Shape};
use crate::yaml::Node;

/// What a rule asks, of whatever has its fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    Test(Test),
}

/// What is asked of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// Which; none: anything that is there.
    pub(crate) field: Option<String>,
    pub(crate) op: Op,
    pub(crate) place: Place,
}

/// What can be asked of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// It is like this; in whatever case, unless `cased`.
    Like {
        pattern: Pattern,
        cased: bool,
    },
    Matches(String),
    /// It is in this network.
    Cidr(String),
    Compare(Order, i128),
    /// It is there.
    Exists,
    /// It is not there, or there is nothing in it.
    Null,
    /// It is, begins with, ends with or contains another field.
    Field {
        other: String,
        affix: Option<Affix>,
        cased: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affix {
    Start,
    End,
    Anywhere,
}

impl Tree {
    /// All tests in it.
    pub(crate) fn tests(&self, f: &mut dyn FnMut(&Test)) {
        match self {
            Tree::All(all) | Tree::Any(all) => all.iter().for_each(|t| t.tests(f)),
            Tree::Not(tree) => tree.tests(f),
            Tree::Test(test) => f(test),
        }
    }
}

/// Most ways of choosing so many of several selections that are written out.
const MAX_CHOICES: usize = 256;
/// Most tests of a rule, with each selection counted wherever it is named.
const MAX_TESTS: usize = 20_000;

/// Reads a detection: selections and a condition.
///
/// # Errors
///
/// What is wrong with it, or is not supported.
pub(crate) fn read(source: &Source, detection: &Spanned<Node>) -> Result<Tree, Error> {
    let Node::Map(entries) = &detection.value else {
        let why = format!("'detection' is {}: a map of selections is wanted", detection.value.name());
        return Err(source.wrong(detection, why));
    };
    let mut selections = vec![];
    let mut condition = None;
    for (key, value) in entries {
        match key.value.as_str() {
            "condition" => condition = Some(value),
            "timeframe" => {
                return Err(source.wrong(key, "'timeframe' belongs to aggregations: it is a correlation now"));
            }
            name => selections.push((name, selection(source, value)?)),
        }
    }
    let Some(condition) = condition else {
        return Err(source.wrong(detection, "'condition' is missing in 'detection'"));
    };
    // A list of conditions: any of them.
    let mut any = vec![];
    let mut budget = MAX_TESTS;
    for one in Node::each(condition) {
        let Node::Text(text) = &one.value else {
            return Err(source.wrong(one, format!("a condition is a text: this is {}", one.value.name())));
        };
        let parsed = condition::parse(text).map_err(|why| source.wrong(one, why))?;
        any.push(join(&parsed, &selections, &mut budget).map_err(|why| source.wrong(one, why))?);
    }
    if any.is_empty() {
        return Err(source.wrong(condition, "'condition' is empty"));
    }
    Ok(one_or(any, Tree::Any))
}

fn join(condition: &Condition, selections: &[(&str, Tree)], budget: &mut usize) -> Result<Tree, String> {
    let mut all = |conditions: &[Condition]| {
        conditions.iter().map(|c| join(c, selections, budget)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match condition {
        Condition::And(conditions) => Tree::All(all(conditions)?),
        Condition::Or(conditions) => Tree::Any(all(conditions)?),
        Condition::Not(inner) => Tree::Not(Box::new(join(inner, selections, budget)?)),
        Condition::Name(name) => {
            let found = selections.iter().find(|(n, _)| n == name);
            let Some((_, tree)) = found else {
                let known = selections.iter().map(|(n, _)| *n);
                let hint = expr::nearest(name, known).map(|s| format!("; did you mean '{s}'?"));
                return Err(format!("no selection is called '{name}'{}", hint.unwrap_or_default()));
            };
            charge(tree, budget)?;
            tree.clone()
        }
        Condition::Of(quantity, which) => {
            let wanted = |name: &str| match which.as_str() {
                // What begins so is for use by name only.
                "them" => !name.starts_with('_'),
                pattern => policy::matches(pattern, name.as_bytes()),
            };
            let chosen: Vec<&Tree> = selections.iter().filter(|(n, _)| wanted(n)).map(|(_, t)| t).collect();
            if chosen.is_empty() {
                return Err(format!("no selection is called like '{which}'"));
            }
            chosen.iter().try_for_each(|tree| charge(tree, budget))?;
            let cloned = |trees: &[&Tree]| trees.iter().map(|t| (*t).clone()).collect();
            match *quantity {
                Quantity::All => Tree::All(cloned(&chosen)),
                Quantity::AtLeast(1) => Tree::Any(cloned(&chosen)),
                Quantity::AtLeast(n) => {
                    let mut choices = vec![];
                    if !choose(n, &chosen, &mut vec![], &mut choices) {
                        return Err(format!("'{n} of {which}': more than {MAX_CHOICES} choices"));
                    }
                    let charged = choices.iter().flatten().try_for_each(|tree| charge(tree, budget));
                    charged?;
                    Tree::Any(choices.iter().map(|choice| Tree::All(cloned(choice))).collect())
                }
            }
        }
    })
}

fn charge(tree: &Tree, budget: &mut usize) -> Result<(), String> {
    let mut tests = 0;
    tree.tests(&mut |_| tests += 1);
    *budget = budget.checked_sub(tests).ok_or_else(|| format!("more than {MAX_TESTS} tests"))?;
    Ok(())
}

/// All choices of `n` of them; false, if these are too many.
fn choose<'t>(
    n: usize,
    of: &[&'t Tree],
    so_far: &mut Vec<&'t Tree>,
    choices: &mut Vec<Vec<&'t Tree>>,
) -> bool {
    if n == 0 {
        choices.push(so_far.clone());
        return choices.len() <= MAX_CHOICES;
    }
    if of.len() < n {
        return true;
    }
    (0..=of.len() - n).all(|at| {
        so_far.push(of[at]);
        let well = choose(n - 1, &of[at + 1..], so_far, choices);
        so_far.pop();
        well
    })
}

/// A map: all of its fields; a list: any of its maps and keywords.
fn selection(source: &Source, node: &Spanned<Node>) -> Result<Tree, Error> {
    match &node.value {
        Node::Map(entries) => {
            let fields = entries.iter().map(|(key, value)| field(source, key, value));
            Ok(one_or(fields.collect::<Result<_, _>>()?, Tree::All))
        }
        Node::List(items) => {
            let any = items.iter().map(|item| match &item.value {
                Node::Map(_) | Node::List(_) => selection(source, item),
                _ => keyword(source, item),
            });
            Ok(one_or(any.collect::<Result<_, _>>()?, Tree::Any))
        }
        Node::Null => Err(source.wrong(node, "the selection is empty")),
        _ => keyword(source, node),
    }
}

fn keyword(source: &Source, node: &Spanned<Node>) -> Result<Tree, Error> {
    let Some(text) = node.value.scalar() else {
        return Err(source.wrong(node, format!("a keyword is a text: this is {}", node.value.name())));
    };
    let pattern = Pattern::parse(&text).within(true, true);
    Ok(Tree::Test(Test { field: None, op: Op::Like { pattern, cased: false }, place: source.at(node) }))
}

/// What modifiers ask beside what they make of values.
#[derive(Default)]
struct Modifiers<'k> {
    all: bool,
    cased: bool,
    negated: bool,
    affix: Option<Affix>,
    /// In the order that they stand in: each makes values of values.
    makers: Vec<&'k str>,
    kind: Kind,
}

#[derive(Default, PartialEq)]
enum Kind {
    #[default]
    Text,
    Matches(String),
    Cidr,
    Exists,
    Compare(Order),
    Field,
}

const MODIFIERS: [&str; 28] = [
    "contains",
    "startswith",
    "endswith",
    "all",
    "re",
    "i",
    "m",
    "s",
    "cidr",
    "base64",
    "base64offset",
    "wide",
    "utf16le",
    "utf16be",
    "utf16",
    "windash",
    "exists",
    "gt",
    "gte",
    "lt",
    "lte",
    "ne",
    "neq",
    "cased",
    "fieldref",
    "expand",
    "ignorecase",
    "multiline",
];

fn modifiers<'k>(key: &'k str) -> Result<(&'k str, Modifiers<'k>), String> {
    let mut words = key.split('|');
    let name = words.next().unwrap_or_default();
    let mut m = Modifiers::default();
    for word in words {
        match (word, &mut m.kind) {
            ("i" | "ignorecase", Kind::Matches(flags)) => flags.push('i'),
            ("m" | "multiline", Kind::Matches(flags)) => flags.push('m'),
            ("s" | "dotall", Kind::Matches(flags)) => flags.push('s'),
            ("all", _) => m.all = true,
            ("cased", _) => m.cased = true,
            ("ne" | "neq", _) => m.negated = true,
            ("contains", _) => m.affix = Some(Affix::Anywhere),
            ("startswith", _) => m.affix = Some(Affix::Start),
            ("endswith", _) => m.affix = Some(Affix::End),
            (
                "base64" | "base64offset" | "wide" | "utf16le" | "utf16be" | "utf16" | "windash" | "expand",
                _,
            ) => {
                m.makers.push(word);
            }
            ("re", kind) => *kind = Kind::Matches(String::new()),
            ("cidr", kind) => *kind = Kind::Cidr,
            ("exists", kind) => *kind = Kind::Exists,
            ("fieldref", kind) => *kind = Kind::Field,
            ("gt", kind) => *kind = Kind::Compare(Order::Greater),
            ("gte", kind) => *kind = Kind::Compare(Order::GreaterOrEqual),
            ("lt", kind) => *kind = Kind::Compare(Order::Less),
            ("lte", kind) => *kind = Kind::Compare(Order::LessOrEqual),
            ("minute" | "hour" | "day" | "week" | "month" | "year", _) => {
                return Err(format!("the modifier '{word}' is of times in logs: no field here is one"));
            }
            _ => {
                let hint = expr::nearest(word, MODIFIERS).map(|s| format!("; did you mean '{s}'?"));
                return Err(format!("unknown modifier '{word}'{}", hint.unwrap_or_default()));
            }
        }
    }
    if !matches!(m.kind, Kind::Text | Kind::Field) && (m.affix.is_some() || !m.makers.is_empty()) {
        return Err(format!("'{key}': these modifiers do not go together"));
    }
    Ok((name, m))
}

/// A field with its modifiers: any of its values, or all.
fn field(source: &Source, key: &Spanned<String>, value: &Spanned<Node>) -> Result<Tree, Error> {
    let (name, modifiers) = modifiers(&key.value).map_err(|why| source.wrong(key, why))?;
    let name = (!name.is_empty()).then(|| name.to_owned());
    let nothing = [value.clone()];
    let values = if value.value == Node::Null { &nothing } else { Node::each(value) };
    let mut tests = vec![];
    for one in values {
        let ops = ops(&one.value, &modifiers, name.is_none()).map_err(|why| source.wrong(one, why))?;
        let test = |(op, negated)| {
            let test = Tree::Test(Test { field: name.clone(), op, place: source.at(one) });
            if negated { Tree::Not(Box::new(test)) } else { test }
        };
        tests.push(one_or(ops.into_iter().map(test).collect(), Tree::Any));
    }
    if tests.is_empty() {
        return Err(source.wrong(value, "the list of values is empty"));
    }
    let joined = one_or(tests, if modifiers.all { Tree::All } else { Tree::Any });
    Ok(if modifiers.negated { Tree::Not(Box::new(joined)) } else { joined })
}

/// What a value asks: any of these, or, where the second is true, the opposite.
fn ops(value: &Node, m: &Modifiers<'_>, keyword: bool) -> Result<Vec<(Op, bool)>, String> {
    if *value == Node::Null {
        return Ok(vec![(Op::Null, false)]);
    }
    let text =
        value.scalar().ok_or_else(|| format!("a value is a text or a number: this is {}", value.name()))?;
    let one = |op| Ok(vec![(op, false)]);
    match &m.kind {
        Kind::Matches(flags) => {
            one(Op::Matches(if flags.is_empty() { text } else { format!("(?{flags}){text}") }))
        }
        Kind::Cidr => {
            text.parse::<expr::Net>().map_err(|()| format!("'{text}' is no network, such as 10.0.0.0/8"))?;
            one(Op::Cidr(text))
        }
        Kind::Exists => match text.as_str() {
            "true" | "yes" => one(Op::Exists),
            "false" | "no" => Ok(vec![(Op::Exists, true)]),
            _ => Err(format!("'exists' is true or false, not '{text}'")),
        },
        Kind::Compare(order) => {
            let number = text.parse().map_err(|_| format!("'{text}' is no whole number"))?;
            one(Op::Compare(*order, number))
        }
        Kind::Field => one(Op::Field { other: text, affix: m.affix, cased: m.cased }),
        Kind::Text => Ok(texts(&text, m, keyword)?.into_iter().map(|op| (op, false)).collect()),
    }
}

fn texts(text: &str, m: &Modifiers<'_>, keyword: bool) -> Result<Vec<Op>, String> {
    let mut patterns = vec![Pattern::parse(text)];
    let mut cased = m.cased;
    for maker in &m.makers {
        let mut made = vec![];
        for pattern in patterns {
            if *maker == "windash" {
                made.extend(
                    pattern.dashes().ok_or_else(|| format!("'{text}' has too many dashes for 'windash'"))?,
                );
                continue;
            }
            if *maker == "expand" {
                if text.split('%').count() > 2 {
                    return Err(format!("'{text}' has a placeholder, for which nothing is known to stand"));
                }
                made.push(pattern);
                continue;
            }
            let plain = pattern
                .text()
                .ok_or_else(|| format!("'{text}' has wildcards, which '{maker}' can not encode"))?;
            match *maker {
                "base64" => made.push(Pattern::plain(pattern::base64(plain))),
                "base64offset" => made.extend(pattern::base64_anywhere(plain).map(Pattern::plain)),
                "utf16be" => made.push(Pattern::plain(pattern::utf16(plain, false))),
                "utf16" => {
                    // Behind the mark that says which byte is first.
                    let whole = [&[0xff, 0xfe], &pattern::utf16(plain, true)[..]].concat();
                    made.push(Pattern::plain(whole));
                }
                _ => made.push(Pattern::plain(pattern::utf16(plain, true))),
            }
            // Case is what distinguishes its digits.
            cased |= maker.starts_with("base64");
        }
        patterns = made;
    }
    let affix = if keyword { Some(Affix::Anywhere) } else { m.affix };
    let (before, behind) = match affix {
        None => (false, false),
        Some(Affix::Start) => (false, true),
        Some(Affix::End) => (true, false),
        Some(Affix::Anywhere) => (true, true),
    };
    let ops = patterns.into_iter().map(|pattern| {
        let pattern = pattern.within(before, behind);
        // What is like anything, is there.
        if pattern.shape() == Shape::Any { Op::Exists } else { Op::Like { pattern, cased } }
    });
    Ok(ops.collect())
}

fn one_or(mut all: Vec<Tree>, many: fn(Vec<Tree>) -> Tree) -> Tree {
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => one,
        (last, _) => {
            all.extend(last);
            many(all)
        }
    }
}
