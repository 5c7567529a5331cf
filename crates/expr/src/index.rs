//! Conditions by what must be so of a field, so that only those are asked of a subject that it may meet.

use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind, Look};
use rustc_hash::FxHashMap;

use crate::eval::{Condition, Function, Subject, Term, Test, basename};
use crate::text::{How, TextTest};
use crate::value::Value;

/// A guard of more than that is none: each is a place in a table.
const MOST: usize = 256;

/// What must be so of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// It is this text.
    Text(Box<[u8]>),
    /// It is this number.
    Int(i128),
    /// It begins with this.
    Start(Box<[u8]>),
    /// Its last component, as of a path, in lower case.
    Name(Box<[u8]>),
}

impl Key {
    /// How many subjects may pass, roughly.
    fn breadth(&self) -> usize {
        match self {
            Key::Text(_) => 1,
            Key::Name(_) => 2,
            // Numbers are more often the same than texts are.
            Key::Int(_) => 4,
            // The root of all paths begins most of them.
            Key::Start(start) => 64 * 8 / start.len().clamp(1, 8),
        }
    }

    fn name(bytes: &[u8]) -> Key {
        Key::Name(basename(bytes).to_ascii_lowercase().into())
    }
}

/// Of these one must be so, if the condition is to hold, or to be unknown while these are known.
pub(crate) type Guard<'c, S> = Vec<(&'c S, Key)>;

impl<S> Condition<S> {
    /// What must be so for it to hold; `None` if nothing is that can be looked up.
    pub(crate) fn guard(&self) -> Option<Guard<'_, S>> {
        guard(&self.test)
    }
}

fn guard<S>(test: &Test<S>) -> Option<Guard<'_, S>> {
    let found = match test {
        Test::All(all) => {
            let breadth = |guard: &Guard<'_, S>| guard.iter().map(|(_, key)| key.breadth()).sum::<usize>();
            all.iter().filter_map(guard).min_by_key(breadth)?
        }
        Test::Any(any) => any.iter().map(guard).collect::<Option<Vec<_>>>()?.concat(),
        Test::Ints(Term::Field(slot), list) => list.iter().map(|n| (slot, Key::Int(*n))).collect(),
        Test::Text(Term::Field(slot), test) => keys(test)?.into_iter().map(|key| (slot, key)).collect(),
        Test::Text(Term::Call(Function::Basename, of), test) => {
            let [Term::Field(slot)] = &**of else { return None };
            let name = |one: &[u8]| (slot, Key::Name(one.to_ascii_lowercase().into()));
            match &test.how {
                How::IsOne(one) => vec![name(one)],
                How::Is(set) => set.iter().map(|one| name(one)).collect(),
                _ => return None,
            }
        }
        _ => return None,
    };
    (found.len() <= MOST).then_some(found)
}

/// What a text must be, to pass.
fn keys(test: &TextTest) -> Option<Vec<Key>> {
    let whole = |one: &[u8]| if test.fold { Key::name(one) } else { Key::Text(one.into()) };
    Some(match &test.how {
        How::IsOne(one) => vec![whole(one)],
        How::Is(set) => set.iter().map(|one| whole(one)).collect(),
        How::Starts(list) if !test.fold => list.iter().map(|start| Key::Start(start.clone())).collect(),
        How::Ends(list) => list.iter().map(|end| named(end)).collect::<Option<_>>()?,
        How::Matches(regex) => {
            let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(regex.as_str()).ok()?;
            matching(&parsed)?
        }
        _ => return None,
    })
}

/// Of a text that ends so, the last component; `None` if it may have begun before that.
fn named(end: &[u8]) -> Option<Key> {
    let at = memchr::memrchr(b'/', end)?;
    (at + 1 < end.len()).then(|| Key::name(end))
}

/// How texts begin, or what their last component is, that an expression matches.
fn matching(expression: &Hir) -> Option<Vec<Key>> {
    if let HirKind::Alternation(any) = expression.kind() {
        return any.iter().map(matching).collect::<Option<Vec<_>>>().map(|keys| keys.concat());
    }
    if let HirKind::Capture(group) = expression.kind() {
        return matching(&group.sub);
    }
    let looks = expression.properties();
    let literals = |kind: ExtractKind| {
        let found = Extractor::new().kind(kind).limit_total(MOST).extract(expression);
        found.literals().map(|all| all.iter().map(|l| l.as_bytes().to_vec()).collect::<Vec<_>>())
    };
    if looks.look_set_suffix().contains(Look::End)
        && let Some(ends) = literals(ExtractKind::Suffix)
        && let Some(names) = ends.iter().map(|end| named(end)).collect()
    {
        return Some(names);
    }
    if !looks.look_set_prefix().contains(Look::Start) {
        return None;
    }
    let starts = literals(ExtractKind::Prefix)?;
    starts.into_iter().map(|start| (!start.is_empty()).then(|| Key::Start(start.into()))).collect()
}

/// Places of conditions, which may stand for any things.
#[derive(Debug)]
pub struct Index<S> {
    /// Those that must be asked each time.
    always: Vec<usize>,
    /// Those found by what a field is.
    by_field: Vec<ByField<S>>,
}

impl<S> Default for Index<S> {
    fn default() -> Self {
        Index { always: vec![], by_field: vec![] }
    }
}

#[derive(Debug)]
struct ByField<S> {
    slot: S,
    texts: FxHashMap<Box<[u8]>, Vec<usize>>,
    ints: FxHashMap<i128, Vec<usize>>,
    names: FxHashMap<Box<[u8]>, Vec<usize>>,
    /// By beginnings; and how long these are.
    starts: FxHashMap<Box<[u8]>, Vec<usize>>,
    lengths: Vec<usize>,
    /// All, for a value of which something is missing.
    all: Vec<usize>,
}

impl<S: Clone + PartialEq> Index<S> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.always.is_empty() && self.by_field.is_empty()
    }

    /// Adds the place of a condition, or of what has none.
    pub fn add(&mut self, place: usize, condition: Option<&Condition<S>>) {
        let Some(guard) = condition.and_then(Condition::guard) else {
            self.always.push(place);
            return;
        };
        for (slot, key) in guard {
            let known = self.by_field.iter().position(|f| f.slot == *slot);
            let at = known.unwrap_or_else(|| {
                self.by_field.push(ByField::new(slot.clone()));
                self.by_field.len() - 1
            });
            if let Some(field) = self.by_field.get_mut(at) {
                field.add(place, key);
            }
        }
    }

    /// The places of conditions that may hold of a subject, or may be unknown, in their order, each once; they are added to `out`.
    pub fn candidates<Q: Subject<Slot = S>>(&self, subject: &Q, out: &mut Vec<usize>) {
        out.extend_from_slice(&self.always);
        for field in &self.by_field {
            field.candidates(&subject.get(&field.slot), out);
        }
        if !self.by_field.is_empty() {
            out.sort_unstable();
            out.dedup();
        }
    }
}

impl<S> ByField<S> {
    fn new(slot: S) -> Self {
        ByField {
            slot,
            texts: FxHashMap::default(),
            ints: FxHashMap::default(),
            names: FxHashMap::default(),
            starts: FxHashMap::default(),
            lengths: vec![],
            all: vec![],
        }
    }

    fn add(&mut self, place: usize, key: Key) {
        if self.all.last() != Some(&place) {
            self.all.push(place);
        }
        let places = match key {
            Key::Int(n) => self.ints.entry(n).or_default(),
            Key::Text(text) => self.texts.entry(text).or_default(),
            Key::Name(name) => self.names.entry(name).or_default(),
            Key::Start(start) => {
                if !self.lengths.contains(&start.len()) {
                    self.lengths.push(start.len());
                }
                self.starts.entry(start).or_default()
            }
        };
        places.push(place);
    }

    fn candidates(&self, value: &Value<'_>, out: &mut Vec<usize>) {
        let mut add =
            |found: Option<&Vec<usize>>| out.extend_from_slice(found.map(Vec::as_slice).unwrap_or_default());
        match value {
            Value::Int(n) => add(self.ints.get(n)),
            Value::Text(text) if !text.cut => {
                add(self.texts.get(&*text.bytes));
                for &length in &self.lengths {
                    add(text.bytes.get(..length).and_then(|start| self.starts.get(start)));
                }
                if !self.names.is_empty() {
                    let name = basename(&text.bytes);
                    match name.iter().any(u8::is_ascii_uppercase) {
                        true => add(self.names.get(&*name.to_ascii_lowercase())),
                        false => add(self.names.get(name)),
                    }
                }
            }
            // What is not known whole is for the conditions to decide, and to count.
            _ => add(Some(&self.all)),
        }
    }
}
