//! Conditions by what must be so of a field, so that only those are asked of a subject that it may meet.

use aho_corasick::AhoCorasick;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind, Look};
use rustc_hash::FxHashMap;

use crate::eval::{Condition, Function, Subject, Term, Test, basename};
use crate::text::{How, TextTest};
use crate::value::Value;

/// A guard of more than that is none: each is a place in a table.
const MOST: usize = 256;

/// A part of a text that is shorter than that is in too many.
const SHORTEST: usize = 2;

/// What must be so of a field, or of an element of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// It is this text.
    Text(Box<[u8]>),
    /// It is this number.
    Int(i128),
    /// It begins with this.
    Start(Box<[u8]>),
    /// Its last component, as of a path, in lower case.
    Name(Box<[u8]>),
    /// This is in it, in whatever case; in lower case.
    Part(Box<[u8]>),
}

impl Key {
    /// How many subjects may pass, roughly.
    fn breadth(&self) -> usize {
        match self {
            Key::Text(_) => 1,
            Key::Name(_) => 2,
            // Numbers are more often the same than texts are.
            Key::Int(_) => 4,
            // The root of all paths begins most of them. Each character more leaves fewer.
            Key::Start(text) | Key::Part(text) => 1 << (12 - text.len().min(10)),
        }
    }

    fn name(bytes: &[u8]) -> Key {
        Key::Name(basename(bytes).to_ascii_lowercase().into())
    }

    fn part(bytes: &[u8]) -> Option<Key> {
        (bytes.len() >= SHORTEST).then(|| Key::Part(bytes.to_ascii_lowercase().into()))
    }
}

fn breadth(keys: &[Key]) -> usize {
    keys.iter().map(Key::breadth).sum()
}

/// Of these one must be so, if the condition is to hold, or to be unknown while these are known.
pub(crate) type Guard<'c, S> = Vec<(&'c S, Key)>;

impl<S> Condition<S> {
    /// What must be so for it to hold; `None` if nothing is that can be looked up.
    pub(crate) fn guard(&self) -> Option<Guard<'_, S>> {
        guard(&self.test)?.into_iter().map(|(slot, key)| Some((slot?, key))).collect()
    }
}

/// As [`Guard`]; without a field where it is of what the innermost loop is at.
fn guard<S>(test: &Test<S>) -> Option<Vec<(Option<&S>, Key)>> {
    let found: Vec<_> = match test {
        Test::All(all) => {
            let breadth =
                |guard: &Vec<(Option<&S>, Key)>| guard.iter().map(|(_, key)| key.breadth()).sum::<usize>();
            all.iter().filter_map(guard).min_by_key(breadth)?
        }
        Test::Any(any) => any.iter().map(guard).collect::<Option<Vec<_>>>()?.concat(),
        Test::Ints(term, list) => {
            let slot = source(term)?;
            list.iter().map(|n| (slot, Key::Int(*n))).collect()
        }
        Test::Text(term, test) => {
            let (slot, keys) = of_text(term, test)?;
            keys.into_iter().map(|key| (slot, key)).collect()
        }
        // Of what is asked of other fields nothing follows: where the list is not whole, it is not known whatever they are.
        Test::Items { every: false, of, test } => {
            let Term::Field(slot) = &**of else { return None };
            let of_items = guard(test)?.into_iter();
            of_items
                .map(|(field, key)| field.is_none().then_some((Some(slot), key)))
                .collect::<Option<_>>()?
        }
        _ => return None,
    };
    (found.len() <= MOST).then_some(found)
}

/// The field that a term is; nothing if it is what the innermost loop is at.
fn source<S>(term: &Term<S>) -> Option<Option<&S>> {
    match term {
        Term::Field(slot) => Some(Some(slot)),
        Term::Var(0) => Some(None),
        _ => None,
    }
}

/// What a text must be of which something is asked.
fn of_text<'t, S>(term: &'t Term<S>, test: &TextTest) -> Option<(Option<&'t S>, Vec<Key>)> {
    if let Some(slot) = source(term) {
        return Some((slot, keys(test)?));
    }
    // What is made of these is in the text itself, but for the case of letters.
    let mut of = term;
    while let Term::Call(Function::Basename | Function::Lower | Function::Upper | Function::Trim, args) = of {
        of = args.first()?;
    }
    let slot = source(of)?;
    let name = |one: &[u8]| Key::Name(one.to_ascii_lowercase().into());
    let is_name =
        matches!(term, Term::Call(Function::Basename, args) if args.first().and_then(source).is_some());
    let keys = match &test.how {
        How::IsOne(one) if is_name => vec![name(one)],
        How::Is(set) if is_name => set.iter().map(|one| name(one)).collect(),
        _ => parts(test)?,
    };
    Some((slot, keys))
}

/// What a text must be, to pass.
fn keys(test: &TextTest) -> Option<Vec<Key>> {
    let whole = |one: &[u8]| if test.fold { Key::name(one) } else { Key::Text(one.into()) };
    let found = match &test.how {
        How::IsOne(one) => Some(vec![whole(one)]),
        How::Is(set) => Some(set.iter().map(|one| whole(one)).collect()),
        How::Starts(list) if !test.fold => Some(list.iter().map(|s| Key::Start(s.clone())).collect()),
        How::Ends(list) => list.iter().map(|end| named(end)).collect(),
        How::Matches(regex) => return matching(&parsed(regex)?),
        _ => None,
    };
    found.or_else(|| parts(test))
}

/// What must be in a text, to pass.
fn parts(test: &TextTest) -> Option<Vec<Key>> {
    let each = |list: &[Box<[u8]>]| list.iter().map(|one| Key::part(one)).collect();
    match &test.how {
        How::IsOne(one) => Some(vec![Key::part(one)?]),
        How::Is(set) => set.iter().map(|one| Key::part(one)).collect(),
        How::Starts(list) | How::Ends(list) | How::ContainsAny(_, list) => each(list),
        How::Contains(finder) => Some(vec![Key::part(finder.needle())?]),
        How::Like(list) => list.iter().map(|like| Key::part(literal(like))).collect(),
        How::Glob(_) => None,
        How::Matches(regex) => within(&parsed(regex)?),
    }
}

/// The longest part of a pattern that stands for itself.
fn literal(pattern: &[u8]) -> &[u8] {
    let parts = pattern.split(|b| matches!(b, b'*' | b'?' | b'\\'));
    parts.max_by_key(|part| part.len()).unwrap_or_default()
}

fn parsed(regex: &regex::bytes::Regex) -> Option<Hir> {
    regex_syntax::ParserBuilder::new().utf8(false).build().parse(regex.as_str()).ok()
}

/// Of a text that ends so, the last component; `None` if it may have begun before that.
fn named(end: &[u8]) -> Option<Key> {
    let at = memchr::memrchr(b'/', end)?;
    (at + 1 < end.len()).then(|| Key::name(end))
}

/// How texts begin, what their last component is, or what is in them, that an expression matches.
fn matching(expression: &Hir) -> Option<Vec<Key>> {
    if let HirKind::Alternation(any) = expression.kind() {
        return any.iter().map(matching).collect::<Option<Vec<_>>>().map(|keys| keys.concat());
    }
    if let HirKind::Capture(group) = expression.kind() {
        return matching(&group.sub);
    }
    let looks = expression.properties();
    let ends = || {
        let ends =
            looks.look_set_suffix().contains(Look::End).then(|| literals(ExtractKind::Suffix, expression));
        ends??.iter().map(|end| named(end)).collect::<Option<Vec<_>>>()
    };
    let starts = || {
        let starts =
            looks.look_set_prefix().contains(Look::Start).then(|| literals(ExtractKind::Prefix, expression));
        let key = |start: Vec<u8>| (!start.is_empty()).then(|| Key::Start(start.into()));
        starts??.into_iter().map(key).collect::<Option<Vec<_>>>()
    };
    let found = [ends(), starts(), within(expression)];
    found.into_iter().flatten().min_by_key(|keys| breadth(keys))
}

fn literals(kind: ExtractKind, expression: &Hir) -> Option<Vec<Vec<u8>>> {
    let found = Extractor::new().kind(kind).limit_total(MOST).extract(expression);
    found.literals().map(|all| all.iter().map(|l| l.as_bytes().to_vec()).collect())
}

/// What is in all texts that an expression matches: one of these.
fn within(expression: &Hir) -> Option<Vec<Key>> {
    let begins = |expression: &Hir| {
        let starts = literals(ExtractKind::Prefix, expression)?;
        let mut keys = starts.iter().map(|start| Key::part(start)).collect::<Option<Vec<_>>>()?;
        keys.sort();
        keys.dedup();
        (!keys.is_empty()).then_some(keys)
    };
    let inner = match expression.kind() {
        HirKind::Capture(group) => within(&group.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => within(&repeated.sub),
        HirKind::Alternation(any) => {
            any.iter().map(within).collect::<Option<Vec<_>>>().map(|keys| keys.concat())
        }
        // Each of its parts is in it; and so is how what is left of it begins, from each of them on.
        HirKind::Concat(all) => {
            let rest = (1..all.len()).filter_map(|at| begins(&Hir::concat(all.get(at..)?.to_vec())));
            all.iter().filter_map(within).chain(rest).min_by_key(|keys| breadth(keys))
        }
        _ => None,
    };
    inner.into_iter().chain(begins(expression)).min_by_key(|keys| breadth(keys))
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
    starts: Starts,
    parts: Parts,
    /// All, for a value of which something is missing.
    all: Vec<usize>,
}

impl<S: Clone + PartialEq> Index<S> {
    /// Of the places of conditions, or of what has none, in their order.
    pub fn new<'c>(conditions: impl IntoIterator<Item = (usize, Option<&'c Condition<S>>)>) -> Index<S>
    where
        S: 'c,
    {
        let mut index = Index::default();
        let mut by_field: Vec<(S, Vec<(usize, Key)>)> = vec![];
        for (place, condition) in conditions {
            let Some(guard) = condition.and_then(Condition::guard) else {
                index.always.push(place);
                continue;
            };
            for (slot, key) in guard {
                match by_field.iter_mut().find(|(known, _)| known == slot) {
                    Some((_, keys)) => keys.push((place, key)),
                    None => by_field.push((slot.clone(), vec![(place, key)])),
                }
            }
        }
        for (slot, keys) in by_field {
            match ByField::new(slot, keys) {
                Ok(field) => index.by_field.push(field),
                Err(places) => index.always.extend(places),
            }
        }
        index.always.sort_unstable();
        index.always.dedup();
        index
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.always.is_empty() && self.by_field.is_empty()
    }

    /// The places of conditions that may hold of a subject, or may be unknown, in their order, each once; they are added to `out`.
    pub fn candidates<Q: Subject<Slot = S>>(&self, subject: &Q, out: &mut Vec<usize>) {
        out.extend_from_slice(&self.always);
        for field in &self.by_field {
            field.candidates(&subject.get(&field.slot), out);
        }
        if !self.by_field.is_empty() && out.len() > 1 {
            out.sort_unstable();
            out.dedup();
        }
    }
}

impl<S> ByField<S> {
    /// Or the places, if there is no such table of them.
    fn new(slot: S, keys: Vec<(usize, Key)>) -> Result<Self, Vec<usize>> {
        let mut all: Vec<usize> = keys.iter().map(|(place, _)| *place).collect();
        all.sort_unstable();
        all.dedup();
        let (mut texts, mut ints, mut names) =
            <(FxHashMap<_, Vec<_>>, FxHashMap<_, Vec<_>>, FxHashMap<_, Vec<_>>)>::default();
        let (mut starts, mut parts) = <(FxHashMap<_, Vec<_>>, FxHashMap<_, Vec<_>>)>::default();
        for (place, key) in keys {
            match key {
                Key::Int(n) => ints.entry(n).or_default(),
                Key::Text(text) => texts.entry(text).or_default(),
                Key::Name(name) => names.entry(name).or_default(),
                Key::Start(start) => starts.entry(start).or_default(),
                Key::Part(part) => parts.entry(part).or_default(),
            }
            .push(place);
        }
        let Ok(parts) = Parts::new(parts) else { return Err(all) };
        Ok(ByField { slot, texts, ints, names, starts: Starts::new(starts), parts, all })
    }

    fn candidates(&self, value: &Value<'_>, out: &mut Vec<usize>) {
        match value {
            Value::Int(n) => extend(out, self.ints.get(n)),
            Value::Text(text) if !text.cut => self.of_text(&text.bytes, out),
            Value::List(list) if list.is_whole() => {
                list.iter().for_each(|item| self.candidates(&item, out));
            }
            // What is not known whole is for the conditions to decide, and to count.
            _ => out.extend_from_slice(&self.all),
        }
    }

    fn of_text(&self, text: &[u8], out: &mut Vec<usize>) {
        if !self.texts.is_empty() {
            extend(out, self.texts.get(text));
        }
        self.starts.candidates(text, out);
        self.parts.candidates(text, out);
        if !self.names.is_empty() {
            let name = basename(text);
            match name.iter().any(u8::is_ascii_uppercase) {
                true => extend(out, self.names.get(&*name.to_ascii_lowercase())),
                false => extend(out, self.names.get(name)),
            }
        }
    }
}

fn extend(out: &mut Vec<usize>, found: Option<&Vec<usize>>) {
    out.extend_from_slice(found.map(Vec::as_slice).unwrap_or_default());
}

/// Places by how a text begins.
#[derive(Debug)]
struct Starts {
    /// Sorted, so that what a text begins with stands before it, and all between the two begin with that as well.
    sorted: Vec<Start>,
}

#[derive(Debug)]
struct Start {
    text: Box<[u8]>,
    /// The longest of the others that this begins with.
    shorter: Option<usize>,
    places: Vec<usize>,
}

impl Starts {
    fn new(starts: FxHashMap<Box<[u8]>, Vec<usize>>) -> Starts {
        let mut all: Vec<_> = starts.into_iter().collect();
        all.sort();
        let mut sorted: Vec<Start> = vec![];
        for (text, places) in all {
            let shorter = Starts::longest(&sorted, sorted.len().checked_sub(1), &text);
            sorted.push(Start { text, shorter, places });
        }
        Starts { sorted }
    }

    /// Of one and those that it begins with, the longest that a text begins with.
    fn longest(sorted: &[Start], mut at: Option<usize>, text: &[u8]) -> Option<usize> {
        while let Some(start) = at.and_then(|at| sorted.get(at)) {
            if text.starts_with(&start.text) {
                return at;
            }
            at = start.shorter;
        }
        None
    }

    fn candidates(&self, text: &[u8], out: &mut Vec<usize>) {
        let before = self.sorted.partition_point(|start| *start.text <= *text);
        let mut at = Starts::longest(&self.sorted, before.checked_sub(1), text);
        while let Some(start) = at.and_then(|at| self.sorted.get(at)) {
            out.extend_from_slice(&start.places);
            at = start.shorter;
        }
    }
}

/// Places by what is in a text: all are looked for at once.
#[derive(Debug, Default)]
struct Parts {
    finder: Option<AhoCorasick>,
    /// By the numbers of what it finds.
    places: Vec<Vec<usize>>,
}

impl Parts {
    fn new(parts: FxHashMap<Box<[u8]>, Vec<usize>>) -> Result<Parts, aho_corasick::BuildError> {
        if parts.is_empty() {
            return Ok(Parts::default());
        }
        let (texts, places): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let finder = AhoCorasick::builder().ascii_case_insensitive(true).build(texts)?;
        Ok(Parts { finder: Some(finder), places })
    }

    fn candidates(&self, text: &[u8], out: &mut Vec<usize>) {
        let Some(finder) = &self.finder else { return };
        for found in finder.find_overlapping_iter(text) {
            extend(out, self.places.get(found.pattern().as_usize()));
        }
    }
}
