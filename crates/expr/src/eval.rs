//! Conditions, asked.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::text::{TextTest, lower};
use crate::{Binary, List, Names, Net, Text, Value};

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// What it would need is not known.
    Unknown,
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Truth {
        if truth { Truth::True } else { Truth::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Truth;

    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

/// What conditions are asked of.
pub trait Subject {
    /// What a field is found by.
    type Slot;

    /// The value of a field; [`Value::Unknown`] if it has one that is not known.
    fn get(&self, slot: &Self::Slot) -> Value<'_>;

    /// What a store has under a key; [`Value::Unknown`] if that is not known.
    fn look_up(&self, _slot: &Self::Slot, _key: &Value<'_>) -> Value<'_> {
        Value::Unknown
    }
}

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition<S> {
    pub(crate) test: Test<S>,
}

impl<S> Condition<S> {
    /// What it comes to for a subject.
    pub fn of<Q: Subject<Slot = S>>(&self, subject: &Q) -> Truth {
        self.test.of(subject, None)
    }

    /// Shows each field and store that it asks for.
    pub fn asks(&self, show: &mut dyn FnMut(&S)) {
        self.test.asks(show);
    }

    /// Whether it is the same for every subject, and what.
    pub fn constant(&self) -> Option<Truth> {
        match self.test {
            Test::Const(truth) => Some(truth),
            _ => None,
        }
    }
}

/// A compiled expression that is not a condition.
#[derive(Debug, Clone)]
pub enum Term<S> {
    /// A field.
    Field(S),
    /// A constant.
    Const(Value<'static>),
    /// The value that a loop is at, so many loops outward.
    Var(usize),
    /// A condition's outcome.
    Test(Box<Test<S>>),
    /// The name of a number.
    Named(Box<Term<S>>, &'static dyn Names),
    /// What a store has under a key.
    Stored(S, Box<Term<S>>),
    /// A function of values.
    Call(Function, Box<[Term<S>]>),
    /// Arithmetic, or texts joined.
    Arithmetic(Binary, Box<(Term<S>, Term<S>)>),
    /// One or the other.
    If(Box<(Test<S>, Term<S>, Term<S>)>),
}

/// A function of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `size(x)`.
    Size,
    /// `x.lower()`.
    Lower,
    /// `x.upper()`.
    Upper,
    /// `x.trim()`.
    Trim,
    /// `x.basename()`.
    Basename,
    /// `x.dirname()`.
    Dirname,
    /// `x.entropy()`.
    Entropy,
    /// `x.replace(a, b)`.
    Replace,
    /// `x.split(a)`.
    Split,
    /// `x.join(a)`.
    Join,
    /// `int(x)`.
    Int,
    /// `string(x)`.
    Text,
    /// `x[n]`.
    Item,
}

/// A compiled condition, or a part of one.
#[derive(Debug, Clone)]
pub enum Test<S> {
    /// A constant.
    Const(Truth),
    /// All hold.
    All(Box<[Test<S>]>),
    /// One holds.
    Any(Box<[Test<S>]>),
    /// It does not hold.
    Not(Box<Test<S>>),
    /// The value is true.
    Bool(Term<S>),
    /// The value is known.
    Known(Term<S>),
    /// A text is like this.
    #[expect(private_interfaces, reason = "only this crate looks inside")]
    Text(Term<S>, TextTest),
    /// A number is one of these; sorted.
    Ints(Term<S>, Box<[i128]>),
    /// A number is from the first to the second, both included.
    Range(Term<S>, i128, i128),
    /// A number has these bits.
    Bits(Term<S>, i128),
    /// An address is in one of these.
    Nets(Term<S>, Box<[Net]>),
    /// Two values compare so.
    Compare(Binary, Box<(Term<S>, Term<S>)>),
    /// A text begins with, ends with or contains another.
    Affix(Affix, Box<(Term<S>, Term<S>)>),
    /// A value is in a list.
    Within(Box<(Term<S>, Term<S>)>),
    /// For one value of a list, or for each, this holds.
    Items {
        /// For each.
        every: bool,
        /// The list.
        of: Box<Term<S>>,
        /// What holds.
        test: Box<Test<S>>,
    },
    /// One or the other.
    If(Box<(Test<S>, Test<S>, Test<S>)>),
}

/// Where one text is in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affix {
    /// At its beginning.
    Start,
    /// At its end.
    End,
    /// Anywhere.
    Anywhere,
}

/// The values that loops are at, the innermost first.
struct Loop<'l> {
    value: Value<'l>,
    outer: Option<&'l Loop<'l>>,
}

impl<S> Test<S> {
    fn asks(&self, show: &mut dyn FnMut(&S)) {
        match self {
            Test::Const(_) => {}
            Test::All(all) | Test::Any(all) => all.iter().for_each(|test| test.asks(show)),
            Test::Not(test) => test.asks(show),
            Test::Bool(term)
            | Test::Known(term)
            | Test::Text(term, _)
            | Test::Ints(term, _)
            | Test::Range(term, ..)
            | Test::Bits(term, _)
            | Test::Nets(term, _) => term.asks(show),
            Test::Compare(_, pair) | Test::Affix(_, pair) | Test::Within(pair) => {
                pair.0.asks(show);
                pair.1.asks(show);
            }
            Test::Items { of, test, .. } => {
                of.asks(show);
                test.asks(show);
            }
            Test::If(parts) => {
                parts.0.asks(show);
                parts.1.asks(show);
                parts.2.asks(show);
            }
        }
    }

    fn of<Q: Subject<Slot = S>>(&self, q: &Q, vars: Option<&Loop<'_>>) -> Truth {
        match self {
            Test::Const(truth) => *truth,
            Test::All(all) => every(all.iter().map(|t| t.of(q, vars))),
            Test::Any(any) => !every(any.iter().map(|t| !t.of(q, vars))),
            Test::Not(test) => !test.of(q, vars),
            Test::Bool(term) => match term.of(q, vars) {
                Value::Bool(truth) => truth.into(),
                _ => Truth::Unknown,
            },
            Test::Known(term) => (term.of(q, vars) != Value::Unknown).into(),
            Test::Text(term, test) => match term.of(q, vars) {
                Value::Text(text) => test.of(&text),
                _ => Truth::Unknown,
            },
            Test::Ints(term, list) => match term.of(q, vars) {
                Value::Int(n) => list.binary_search(&n).is_ok().into(),
                _ => Truth::Unknown,
            },
            Test::Range(term, low, high) => match term.of(q, vars) {
                Value::Int(n) => (*low..=*high).contains(&n).into(),
                _ => Truth::Unknown,
            },
            Test::Bits(term, bits) => match term.of(q, vars) {
                Value::Int(n) => (n & bits == *bits).into(),
                _ => Truth::Unknown,
            },
            Test::Nets(term, nets) => match term.of(q, vars) {
                Value::Ip(ip) => nets.iter().any(|net| net.contains(ip)).into(),
                _ => Truth::Unknown,
            },
            Test::Compare(op, pair) => compare(*op, &pair.0.of(q, vars), &pair.1.of(q, vars)),
            Test::Affix(affix, pair) => match (pair.0.of(q, vars), pair.1.of(q, vars)) {
                (Value::Text(text), Value::Text(part)) if !part.cut => affix.of(&text, &part.bytes),
                _ => Truth::Unknown,
            },
            Test::Within(pair) => match (pair.0.of(q, vars), pair.1.of(q, vars)) {
                (Value::Unknown, _) => Truth::Unknown,
                (value, Value::List(list)) => {
                    let found = !every(list.iter().map(|item| !compare(Binary::Eq, &value, &item)));
                    if found == Truth::False && !list.is_whole() { Truth::Unknown } else { found }
                }
                _ => Truth::Unknown,
            },
            Test::Items { every: all, of, test } => match of.of(q, vars) {
                Value::List(list) => {
                    let one = |value| test.of(q, Some(&Loop { value, outer: vars }));
                    let (outcome, open) = if *all {
                        (every(list.iter().map(one)), Truth::True)
                    } else {
                        (!every(list.iter().map(|v| !one(v))), Truth::False)
                    };
                    // What is missing of the list might have decided otherwise.
                    if outcome == open && !list.is_whole() { Truth::Unknown } else { outcome }
                }
                _ => Truth::Unknown,
            },
            Test::If(parts) => match parts.0.of(q, vars) {
                Truth::True => parts.1.of(q, vars),
                Truth::False => parts.2.of(q, vars),
                Truth::Unknown => Truth::Unknown,
            },
        }
    }
}

impl<S> Test<S> {
    /// The same, with what costs little before what costs much: what they come to together does not depend on their order.
    pub(crate) fn cheapest_first(self) -> Test<S> {
        let sorted = |tests: Box<[Test<S>]>| {
            let mut tests: Vec<_> = tests.into_iter().map(Test::cheapest_first).collect();
            tests.sort_by_cached_key(Test::cost);
            tests.into()
        };
        match self {
            Test::All(tests) => Test::All(sorted(tests)),
            Test::Any(tests) => Test::Any(sorted(tests)),
            Test::Not(test) => Test::Not(Box::new(test.cheapest_first())),
            Test::Items { every, of, test } => {
                Test::Items { every, of, test: Box::new(test.cheapest_first()) }
            }
            test => test,
        }
    }

    /// Roughly; of a field asked for and looked at, one.
    fn cost(&self) -> usize {
        match self {
            Test::Const(_) => 0,
            Test::All(tests) | Test::Any(tests) => tests.iter().map(Test::cost).sum(),
            Test::Not(test) => test.cost(),
            Test::Bool(term)
            | Test::Known(term)
            | Test::Ints(term, _)
            | Test::Range(term, ..)
            | Test::Bits(term, _)
            | Test::Nets(term, _) => term.cost(),
            Test::Text(term, test) => term.cost() + test.cost(),
            Test::Compare(_, pair) | Test::Affix(_, pair) => pair.0.cost() + pair.1.cost(),
            Test::Within(pair) => MANY + pair.0.cost() + pair.1.cost(),
            Test::Items { of, test, .. } => of.cost() + MANY * test.cost(),
            Test::If(parts) => parts.0.cost() + parts.1.cost().max(parts.2.cost()),
        }
    }
}

/// Elements of a list, as it is commonly.
const MANY: usize = 8;

/// Whether all are true; stops at the first that is false.
fn every(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut all = Truth::True;
    for truth in truths {
        match truth {
            Truth::False => return Truth::False,
            Truth::Unknown => all = Truth::Unknown,
            Truth::True => {}
        }
    }
    all
}

impl Affix {
    fn of(self, text: &Text<'_>, part: &[u8]) -> Truth {
        let bytes: &[u8] = &text.bytes;
        let found = match self {
            Affix::Start => bytes.starts_with(part),
            Affix::End => !text.cut && bytes.ends_with(part),
            Affix::Anywhere => memchr::memmem::find(bytes, part).is_some(),
        };
        let may_go_on = text.cut && (self != Affix::Start || part.starts_with(bytes));
        if !found && may_go_on { Truth::Unknown } else { found.into() }
    }
}

fn compare(op: Binary, a: &Value<'_>, b: &Value<'_>) -> Truth {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Ip(a), Value::Ip(b)) => Some(a.to_canonical().cmp(&b.to_canonical())),
        (Value::Text(a), Value::Text(b)) => match (a.cut, b.cut) {
            (false, false) => Some(a.bytes.cmp(&b.bytes)),
            // What is there may differ already.
            _ => {
                let shared = a.bytes.len().min(b.bytes.len());
                Some(a.bytes[..shared].cmp(&b.bytes[..shared])).filter(|o| o.is_ne())
            }
        },
        (Value::Double(_) | Value::Int(_), Value::Double(_) | Value::Int(_)) => {
            double(a).zip(double(b)).and_then(|(a, b)| a.partial_cmp(&b))
        }
        _ => None,
    };
    let Some(order) = order else { return Truth::Unknown };
    match op {
        Binary::Ne => order.is_ne(),
        Binary::Lt => order.is_lt(),
        Binary::Le => order.is_le(),
        Binary::Gt => order.is_gt(),
        Binary::Ge => order.is_ge(),
        _ => order.is_eq(),
    }
    .into()
}

fn double(value: &Value<'_>) -> Option<f64> {
    match *value {
        Value::Int(n) => Some(n as f64),
        Value::Double(n) => Some(n),
        _ => None,
    }
}

/// A condition that has no subject: of constants.
pub(crate) struct Nothing<S>(std::marker::PhantomData<S>);

impl<S> Default for Nothing<S> {
    fn default() -> Self {
        Nothing(std::marker::PhantomData)
    }
}

impl<S> Subject for Nothing<S> {
    type Slot = S;

    fn get(&self, _: &S) -> Value<'_> {
        Value::Unknown
    }
}

impl<S> Term<S> {
    /// Shows each field and store that it asks for.
    pub fn asks(&self, show: &mut dyn FnMut(&S)) {
        match self {
            Term::Field(slot) => show(slot),
            Term::Const(_) | Term::Var(_) => {}
            Term::Test(test) => test.asks(show),
            Term::Named(term, _) => term.asks(show),
            Term::Stored(slot, key) => {
                show(slot);
                key.asks(show);
            }
            Term::Call(_, args) => args.iter().for_each(|term| term.asks(show)),
            Term::Arithmetic(_, pair) => {
                pair.0.asks(show);
                pair.1.asks(show);
            }
            Term::If(parts) => {
                parts.0.asks(show);
                parts.1.asks(show);
                parts.2.asks(show);
            }
        }
    }

    fn cost(&self) -> usize {
        match self {
            Term::Const(_) | Term::Var(_) => 0,
            Term::Field(_) => 1,
            Term::Test(test) => test.cost(),
            Term::Named(term, _) => MANY + term.cost(),
            Term::Stored(_, key) => MANY * MANY + key.cost(),
            Term::Call(_, args) => 1 + args.iter().map(Term::cost).sum::<usize>(),
            Term::Arithmetic(_, pair) => pair.0.cost() + pair.1.cost(),
            Term::If(parts) => parts.0.cost() + parts.1.cost().max(parts.2.cost()),
        }
    }

    /// Its value for a subject.
    pub fn value<'q, Q: Subject<Slot = S>>(&'q self, subject: &'q Q) -> Value<'q> {
        self.of(subject, None)
    }

    fn of<'q, Q: Subject<Slot = S>>(&'q self, q: &'q Q, vars: Option<&'q Loop<'q>>) -> Value<'q> {
        match self {
            Term::Field(slot) => q.get(slot),
            Term::Const(value) => value.clone(),
            Term::Var(outward) => {
                let found = (0..*outward).try_fold(vars, |at, _| at.map(|l| l.outer));
                found.flatten().map_or(Value::Unknown, |l| l.value.clone())
            }
            Term::Test(test) => match test.of(q, vars) {
                Truth::True => Value::Bool(true),
                Truth::False => Value::Bool(false),
                Truth::Unknown => Value::Unknown,
            },
            Term::Named(term, names) => match term.of(q, vars) {
                Value::Int(n) => owned(names.name(n).unwrap_or_else(|| n.to_string())),
                _ => Value::Unknown,
            },
            Term::Stored(slot, key) => q.look_up(slot, &key.of(q, vars)),
            Term::Call(function, args) => function.of(args, q, vars),
            Term::Arithmetic(op, pair) => arithmetic(*op, &pair.0.of(q, vars), &pair.1.of(q, vars)),
            Term::If(parts) => match parts.0.of(q, vars) {
                Truth::True => parts.1.of(q, vars),
                Truth::False => parts.2.of(q, vars),
                Truth::Unknown => Value::Unknown,
            },
        }
    }
}

fn owned(text: impl Into<Vec<u8>>) -> Value<'static> {
    Value::Text(Text { bytes: Cow::Owned(text.into()), cut: false })
}

/// Numbers that are too big come to nothing known.
fn arithmetic(op: Binary, a: &Value<'_>, b: &Value<'_>) -> Value<'static> {
    let found = match (a, b) {
        (Value::Text(a), Value::Text(b)) if op == Binary::Add && !a.cut && !b.cut => {
            Some(owned([&a.bytes[..], &b.bytes[..]].concat()))
        }
        (Value::Int(a), Value::Int(b)) => match op {
            Binary::Add => a.checked_add(*b),
            Binary::Sub => a.checked_sub(*b),
            Binary::Mul => a.checked_mul(*b),
            Binary::Div => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Int),
        _ => double(a).zip(double(b)).map(|(a, b)| {
            Value::Double(match op {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
                Binary::Div => a / b,
                _ => a % b,
            })
        }),
    };
    found.unwrap_or(Value::Unknown)
}

impl Function {
    fn of<'q, S, Q>(self, args: &'q [Term<S>], q: &'q Q, vars: Option<&'q Loop<'q>>) -> Value<'q>
    where
        Q: Subject<Slot = S>,
    {
        let arg = |n: usize| args.get(n).map_or(Value::Unknown, |term| term.of(q, vars));
        let whole = |value: Value<'q>| match value {
            Value::Text(Text { bytes, cut: false }) => Some(bytes),
            _ => None,
        };
        let usize_int = |n: usize| Value::Int(n as i128);
        match self {
            Function::Size => match arg(0) {
                // As many characters as it has; bytes that are no text count each for itself.
                Value::Text(Text { bytes, cut: false }) => {
                    usize_int(std::str::from_utf8(&bytes).map_or(bytes.len(), |s| s.chars().count()))
                }
                Value::List(list) if list.is_whole() => usize_int(list.iter().count()),
                _ => Value::Unknown,
            },
            Function::Lower | Function::Upper | Function::Trim | Function::Basename | Function::Dirname => {
                let Value::Text(text) = arg(0) else { return Value::Unknown };
                self.of_text(text)
            }
            Function::Entropy => whole(arg(0)).map_or(Value::Unknown, |text| Value::Double(entropy(&text))),
            Function::Replace => match (whole(arg(0)), whole(arg(1)), whole(arg(2))) {
                (Some(text), Some(from), Some(to)) => owned(replace(&text, &from, &to)),
                _ => Value::Unknown,
            },
            Function::Split => match (whole(arg(0)), whole(arg(1))) {
                (Some(text), Some(by)) => Value::List(List::Values(split(&text, &by))),
                _ => Value::Unknown,
            },
            Function::Join => {
                match (arg(0), args.get(1).map_or(Some(Cow::Borrowed(&b""[..])), |_| whole(arg(1)))) {
                    (Value::List(list), Some(by)) => Value::Text(list.joined(&by)),
                    _ => Value::Unknown,
                }
            }
            Function::Int => match arg(0) {
                Value::Int(n) => Value::Int(n),
                Value::Bool(b) => Value::Int(b.into()),
                Value::Double(d) if d.is_finite() => Value::Int(d as i128),
                Value::Text(Text { bytes, cut: false }) => {
                    let parsed = std::str::from_utf8(&bytes).ok().and_then(|s| s.parse().ok());
                    parsed.map_or(Value::Unknown, Value::Int)
                }
                _ => Value::Unknown,
            },
            Function::Text => match arg(0) {
                Value::Int(n) => owned(n.to_string()),
                Value::Bool(b) => owned(b.to_string()),
                Value::Double(d) => owned(d.to_string()),
                Value::Ip(ip) => owned(ip.to_string()),
                text @ Value::Text(_) => text,
                Value::List(_) | Value::Unknown => Value::Unknown,
            },
            Function::Item => match (arg(0), arg(1)) {
                (Value::List(list), Value::Int(n)) => {
                    let item = usize::try_from(n).ok().and_then(|n| list.iter().nth(n));
                    item.unwrap_or(Value::Unknown)
                }
                _ => Value::Unknown,
            },
        }
    }

    fn of_text(self, text: Text<'_>) -> Value<'_> {
        let cut = text.cut;
        let part = |bytes: Cow<'static, [u8]>, cut| Value::Text(Text { bytes, cut });
        let keep = |f: fn(&[u8]) -> &[u8]| match text.bytes {
            Cow::Borrowed(bytes) => Value::Text(Text { bytes: Cow::Borrowed(f(bytes)), cut }),
            Cow::Owned(ref bytes) => part(Cow::Owned(f(bytes).to_vec()), cut),
        };
        match self {
            Function::Lower => match text.bytes {
                Cow::Borrowed(bytes) => Value::Text(Text { bytes: lower(bytes), cut }),
                Cow::Owned(bytes) => part(Cow::Owned(bytes.to_ascii_lowercase()), cut),
            },
            Function::Upper => part(Cow::Owned(text.bytes.to_ascii_uppercase()), cut),
            Function::Trim if cut => keep(<[u8]>::trim_ascii_start),
            Function::Trim => keep(<[u8]>::trim_ascii),
            // The last component is the part that is missing.
            _ if cut => Value::Unknown,
            Function::Basename => keep(basename),
            _ => keep(dirname),
        }
    }
}

/// The last component of a path; of `/` itself, `/`.
pub(crate) fn basename(path: &[u8]) -> &[u8] {
    let trimmed = trim_slashes(path);
    let start = memchr::memrchr(b'/', trimmed).map_or(0, |n| n + 1);
    match trimmed.get(start..) {
        Some(name) if !name.is_empty() => name,
        _ => path.get(..1).unwrap_or_default(),
    }
}

/// A path without its last component; of a name alone, `.`.
fn dirname(path: &[u8]) -> &[u8] {
    let trimmed = trim_slashes(path);
    match memchr::memrchr(b'/', trimmed) {
        Some(0) => b"/",
        Some(n) => trim_slashes(&trimmed[..n]),
        None if path.starts_with(b"/") => b"/",
        None => b".",
    }
}

/// Shannon's, of its bytes: bits that each of them tells, 0 to 8. Words have about 2 to 3, as short as they are, random letters up to 4.7.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    text.iter().for_each(|&b| counts[usize::from(b)] += 1);
    let share = |&count: &u32| f64::from(count) / text.len() as f64;
    counts.iter().filter(|&&count| count > 0).map(share).map(|p| -p * p.log2()).sum()
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |n| n + 1);
    &path[..end]
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn split(text: &[u8], by: &[u8]) -> Vec<Value<'static>> {
    if by.is_empty() {
        return text.iter().map(|&b| owned([b])).collect();
    }
    let mut parts = vec![];
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, by) {
        parts.push(owned(&rest[..at]));
        rest = &rest[at + by.len()..];
    }
    parts.push(owned(rest));
    parts
}

/// The address in a text.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths() {
        for (path, base, dir) in [
            ("/etc/passwd", "passwd", "/etc"),
            ("/etc/", "etc", "/"),
            ("/", "/", "/"),
            ("x", "x", "."),
            ("a//b", "b", "a"),
            ("", "", "."),
        ] {
            assert_eq!(basename(path.as_bytes()), base.as_bytes(), "{path}");
            assert_eq!(dirname(path.as_bytes()), dir.as_bytes(), "{path}");
        }
    }

    #[test]
    fn replacing_and_splitting() {
        assert_eq!(replace(b"aXbXc", b"X", b"--"), b"a--b--c");
        assert_eq!(replace(b"abc", b"", b"x"), b"abc");
        assert_eq!(split(b"a,b,", b","), [owned("a"), owned("b"), owned("")]);
        assert_eq!(split(b"ab", b""), [owned("a"), owned("b")]);
    }
}
