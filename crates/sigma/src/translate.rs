//! From what a rule asks to a condition on an event, in the expression language.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use expr::{Schema as _, Truth, Type};
use policy::Fields;

use crate::detection::{Affix, Op, Order, Test, Tree};
use crate::error::Error;
use crate::logsource::{Arguments, Record};
use crate::pattern::Shape;

/// A condition on an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cond {
    Const(bool),
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
    Ask(Ask),
    /// A condition as it is written.
    Guard(Cow<'static, str>),
}

/// A question about a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) subject: Subject,
    pub(crate) what: What,
}

/// A value of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The expression.
    pub(crate) text: String,
    pub(crate) ty: Type,
    /// Whether it is as nothing where it is not known.
    pub(crate) optional: bool,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Text { how: How, texts: Vec<Vec<u8>>, cased: bool },
    Matches(Vec<String>),
    Nets(Vec<String>),
    Ints(Vec<i128>),
    Order(Order, i128),
    Bool(bool),
    Known,
    Empty,
    Other { other: String, affix: Option<Affix>, cased: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Is,
    Starts,
    Ends,
    Contains,
    Like,
}

/// What a tree asks of a record; the fields that it asks and the record has not are added to `absent`.
///
/// # Errors
///
/// What can not be asked of such a field.
pub(crate) fn condition(tree: &Tree, record: &Record, absent: &mut BTreeSet<String>) -> Result<Cond, Error> {
    let fields = Fields { event: record.event };
    let asked = Translator { record, fields }.tree(tree, absent)?;
    Ok(match record.guard.clone() {
        Some(guard) => all(vec![Cond::Guard(guard), asked]),
        None => asked,
    })
}

/// All of them.
pub(crate) fn all(conds: Vec<Cond>) -> Cond {
    joined(conds, false)
}

/// One of them.
pub(crate) fn any(conds: Vec<Cond>) -> Cond {
    joined(conds, true)
}

/// All, or any, laid out flat, without what changes nothing; what asks alike of one value is one question.
fn joined(conds: Vec<Cond>, any: bool) -> Cond {
    let mut flat: Vec<Cond> = vec![];
    for cond in conds {
        match cond {
            Cond::Const(truth) if truth == any => return cond,
            Cond::Const(_) => {}
            Cond::Any(inner) if any => inner.into_iter().for_each(|c| add(&mut flat, c, true)),
            Cond::All(inner) if !any => flat.extend(inner),
            cond => add(&mut flat, cond, any),
        }
    }
    match (flat.len(), flat.pop()) {
        (_, None) => Cond::Const(!any),
        (1, Some(one)) => one,
        (_, Some(last)) => {
            flat.push(last);
            if any { Cond::Any(flat) } else { Cond::All(flat) }
        }
    }
}

fn add(to: &mut Vec<Cond>, cond: Cond, any: bool) {
    if to.contains(&cond) {
        return;
    }
    if let (true, Cond::Ask(new)) = (any, &cond) {
        for known in to.iter_mut() {
            if let Cond::Ask(known) = known
                && known.takes(new)
            {
                return;
            }
        }
    }
    to.push(cond);
}

impl Ask {
    /// Takes over what another asks of the same value in the same way, as a further answer that would do.
    fn takes(&mut self, other: &Ask) -> bool {
        if self.subject != other.subject {
            return false;
        }
        match (&mut self.what, &other.what) {
            (What::Text { how, texts, cased }, What::Text { how: h, texts: more, cased: c })
                if how == h && cased == c =>
            {
                texts.extend(more.iter().cloned());
            }
            (What::Matches(all), What::Matches(more)) => all.extend(more.iter().cloned()),
            (What::Nets(all), What::Nets(more)) => all.extend(more.iter().cloned()),
            (What::Ints(all), What::Ints(more)) => all.extend(more),
            _ => return false,
        }
        true
    }
}

struct Translator<'r> {
    record: &'r Record,
    fields: Fields,
}

impl Translator<'_> {
    fn tree(&self, tree: &Tree, absent: &mut BTreeSet<String>) -> Result<Cond, Error> {
        let mut each =
            |trees: &[Tree]| trees.iter().map(|t| self.tree(t, absent)).collect::<Result<Vec<_>, _>>();
        Ok(match tree {
            Tree::All(trees) => all(each(trees)?),
            Tree::Any(trees) => any(each(trees)?),
            Tree::Not(tree) => negated(self.tree(tree, absent)?),
            Tree::Test(test) => self.test(test, absent)?,
        })
    }

    fn test(&self, test: &Test, absent: &mut BTreeSet<String>) -> Result<Cond, Error> {
        let wrong = |why: String| Error { place: test.place.clone(), why };
        let subjects = match &test.field {
            None => self.record.text.iter().map(|path| self.subject(path)).collect::<Result<Vec<_>, _>>(),
            Some(field) if self.record.arguments == Arguments::Keyed => {
                return self.keyed(field, &test.op, absent).map_err(wrong);
            }
            Some(field) => match self.record.constants.iter().find(|(name, _)| name == field) {
                Some((_, constant)) => {
                    return constant_is(constant, &test.op).map(Cond::Const).map_err(wrong);
                }
                None => self.subjects(field, &test.op),
            },
        };
        let subjects = subjects.map_err(wrong)?;
        if subjects.is_empty() {
            absent.extend(test.field.clone());
            return Ok(Cond::Const(test.op == Op::Null));
        }
        // A value is nothing, if each column is.
        let join = if test.op == Op::Null { all } else { any };
        let asks = subjects.into_iter().map(|subject| self.ask(subject, test));
        Ok(join(asks.collect::<Result<_, _>>()?))
    }

    /// `FIELD=VALUE` in a line, as auditd and sudo write it.
    fn keyed(&self, field: &str, op: &Op, absent: &mut BTreeSet<String>) -> Result<Cond, String> {
        // What belongs to a value, where it may end, and where it may begin.
        let (of, end, start) = (r#"[^\s;"']*"#, r#"["']?(?:$|[\s;"',)])"#, r#"(?:^|[\s;"'(])"#);
        let cased = matches!(op, Op::Like { cased: true, .. });
        let value = match op {
            Op::Like { pattern, .. } => keyed_value(pattern.shape(), of),
            Op::Exists | Op::Null => Some(of.to_owned()),
            Op::Matches(_) | Op::Cidr(_) | Op::Compare(..) | Op::Field { .. } => None,
        };
        let Some(value) = value else {
            absent.insert(field.to_owned());
            return Ok(Cond::Const(false));
        };
        let flag = if cased { "" } else { "(?i)" };
        let asked = format!(r#"{flag}{start}{}=["']?{value}{end}"#, escaped(field.as_bytes()));
        let ask = Cond::Ask(Ask { subject: self.subject("data.line")?, what: What::Matches(vec![asked]) });
        Ok(if *op == Op::Null { negated(ask) } else { ask })
    }

    /// A field's columns, as far as they can be as the rule asks.
    fn subjects(&self, field: &str, op: &Op) -> Result<Vec<Subject>, String> {
        let column = self.record.columns.iter().flat_map(|c| c.iter()).find(|(name, _)| *name == field);
        if let Some((_, paths)) = column {
            return paths.iter().map(|path| self.subject(path)).collect();
        }
        let place = field.strip_prefix('a').filter(|n| n.len() < 4).and_then(|n| n.parse::<usize>().ok());
        let Some(place) = place else { return Ok(vec![]) };
        match self.record.arguments {
            Arguments::None | Arguments::Keyed => Ok(vec![]),
            Arguments::Words => {
                let mut all = vec![self.subject(&format!("?data.argv[{place}]"))?];
                // A program is called by its name or by a path, and logs show either.
                let exact = matches!(op, Op::Like { pattern, .. } if matches!(pattern.shape(), Shape::Is(_)));
                if place == 0 && exact {
                    all.push(self.subject("?data.argv[0].basename()")?);
                }
                Ok(all)
            }
            Arguments::Call => {
                let argument = self.record.event.fields.get(place).map(|f| format!("data.{}", f.name));
                let subject = argument.map(|path| self.subject(&path)).transpose()?;
                // Of what is not a number, a log has the address.
                Ok(subject.filter(|s| s.ty == Type::Int).into_iter().collect())
            }
        }
    }

    fn subject(&self, path: &str) -> Result<Subject, String> {
        let text = path.trim_start_matches('?');
        let typed = expr::parse(text).and_then(|e| expr::compile_value(&e, &self.fields));
        let (_, ty) = typed.map_err(|e| e.to_string())?;
        Ok(Subject { text: text.to_owned(), ty, optional: path.starts_with('?') })
    }

    fn ask(&self, subject: Subject, test: &Test) -> Result<Cond, Error> {
        let wrong = |why: String| Error { place: test.place.clone(), why };
        let name = test.field.as_deref().unwrap_or("keywords");
        let mut subject = subject;
        let what = match &test.op {
            Op::Exists => What::Known,
            Op::Null => {
                let absent = negated(Cond::Ask(Ask { subject: subject.clone(), what: What::Known }));
                if subject.ty != Type::Text {
                    return Ok(absent);
                }
                return Ok(any(vec![absent, Cond::Ask(Ask { subject, what: What::Empty })]));
            }
            Op::Matches(text) => What::Matches(vec![text.clone()]),
            Op::Cidr(net) if subject.ty == Type::Ip => What::Nets(vec![net.clone()]),
            Op::Cidr(_) => {
                return Err(wrong(format!("'cidr' is of addresses: '{name}' is {}", subject.ty.name())));
            }
            Op::Compare(order, number) if subject.ty == Type::Int => What::Order(*order, *number),
            Op::Compare(..) => {
                return Err(wrong(format!(
                    "only numbers are less or more: '{name}' is {}",
                    subject.ty.name()
                )));
            }
            Op::Field { other, affix, cased } => return self.other(&subject, other, *affix, *cased, test),
            Op::Like { pattern, cased } => match (subject.ty, pattern.shape()) {
                (Type::Int, Shape::Is(text)) => {
                    let numbers = self.numbers(&subject, &String::from_utf8_lossy(&text));
                    match numbers.as_slice() {
                        // No number is such a text.
                        [] => return Ok(Cond::Const(false)),
                        _ => What::Ints(numbers),
                    }
                }
                (Type::Bool, Shape::Is(text)) => match text.to_ascii_lowercase().as_slice() {
                    b"true" | b"yes" | b"1" => What::Bool(true),
                    b"false" | b"no" | b"0" => What::Bool(false),
                    _ => return Ok(Cond::Const(false)),
                },
                (Type::Ip, Shape::Is(text)) if as_net(&text).is_some() => {
                    What::Nets(as_net(&text).into_iter().collect())
                }
                (_, shape) => text_like(shape, *cased),
            },
        };
        if what == What::Empty && !matches!(subject.ty, Type::Text | Type::Texts) {
            return Ok(Cond::Const(false));
        }
        if matches!(what, What::Text { .. } | What::Matches(_))
            && !matches!(subject.ty, Type::Text | Type::Texts)
        {
            subject.text = format!("string({})", subject.text);
            subject.ty = Type::Text;
        }
        Ok(Cond::Ask(Ask { subject, what }))
    }

    /// The numbers that a text may be.
    fn numbers(&self, subject: &Subject, text: &str) -> Vec<i128> {
        if self.record.arguments == Arguments::Call && subject.text.starts_with("data.") {
            let Ok(bits) = u64::from_str_radix(text, 16) else { return vec![] };
            // Of a number that the call takes as 32 bits with a sign, the same bits are another number.
            let signed = u32::try_from(bits).ok().map(|b| i128::from(b.cast_signed())).filter(|n| *n < 0);
            return std::iter::once(i128::from(bits)).chain(signed).collect();
        }
        let named = || self.fields.field(&subject.text)?.names?.number(text);
        text.parse().ok().or_else(named).into_iter().collect()
    }

    /// One field beside another.
    fn other(
        &self,
        subject: &Subject,
        other: &str,
        affix: Option<Affix>,
        cased: bool,
        test: &Test,
    ) -> Result<Cond, Error> {
        let wrong = |why: String| Error { place: test.place.clone(), why };
        let others = self.subjects(other, &test.op).map_err(wrong)?;
        if others.is_empty() {
            return Err(wrong(format!("{} has no field '{other}'", self.record.event.name)));
        }
        let asks = others.into_iter().map(|other| {
            if other.ty != subject.ty
                || (other.ty != Type::Text && affix.is_some())
                || subject.ty == Type::Texts
            {
                return Err(wrong(format!("{} is compared with {}", subject.ty.name(), other.ty.name())));
            }
            // Only texts have a case.
            let cased = cased || subject.ty != Type::Text;
            let what = What::Other { other: other.text.clone(), affix, cased };
            let ask = Cond::Ask(Ask { subject: subject.clone(), what });
            let known = Cond::Ask(Ask { subject: other.clone(), what: What::Known });
            Ok(if other.optional { all(vec![known, ask]) } else { ask })
        });
        Ok(any(asks.collect::<Result<_, _>>()?))
    }
}

fn negated(cond: Cond) -> Cond {
    match cond {
        Cond::Const(truth) => Cond::Const(!truth),
        Cond::Not(inner) => *inner,
        cond => Cond::Not(Box::new(cond)),
    }
}

fn as_net(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_string())
}

/// The expression of a value; `of` is that of any.
fn keyed_value(shape: Shape, of: &str) -> Option<String> {
    Some(match shape {
        Shape::Any => of.to_owned(),
        Shape::Is(text) => escaped(&text),
        Shape::Starts(text) => escaped(&text) + of,
        Shape::Ends(text) => of.to_owned() + &escaped(&text),
        Shape::Contains(text) => format!("{of}{}{of}", escaped(&text)),
        Shape::Like(text) => {
            let mut out = String::new();
            let mut bytes = text.iter();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'*' => out.push_str(of),
                    b'?' => out.push_str(of.strip_suffix('*')?),
                    b'\\' => out.push_str(&escaped(&[*bytes.next()?])),
                    byte => out.push_str(&escaped(&[*byte])),
                }
            }
            out
        }
    })
}

/// A text as an expression that is that text.
fn escaped(text: &[u8]) -> String {
    let escape = |&byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    text.iter().map(escape).collect()
}

fn text_like(shape: Shape, cased: bool) -> What {
    let (how, text) = match shape {
        Shape::Any => return What::Known,
        Shape::Is(text) if text.is_empty() => return What::Empty,
        Shape::Is(text) => (How::Is, text),
        Shape::Starts(text) => (How::Starts, text),
        Shape::Ends(text) => (How::Ends, text),
        Shape::Contains(text) => (How::Contains, text),
        Shape::Like(text) => (How::Like, text),
    };
    let text = if cased { text } else { text.to_ascii_lowercase() };
    What::Text { how, texts: vec![text], cased }
}

/// Whether a constant is as a rule asks.
fn constant_is(constant: &str, op: &Op) -> Result<bool, String> {
    let what = match op {
        Op::Like { pattern, cased } => text_like(pattern.shape(), *cased),
        Op::Matches(text) => What::Matches(vec![text.clone()]),
        Op::Exists => return Ok(true),
        Op::Null => return Ok(false),
        Op::Cidr(_) | Op::Compare(..) | Op::Field { .. } => {
            return Err(format!("'{constant}' is a text, of which this can not be asked"));
        }
    };
    let subject = Subject { text: literal(constant.as_bytes()), ty: Type::Text, optional: false };
    let text = text(&Cond::Ask(Ask { subject, what }));
    // A constant has no fields, so any event's will do.
    let event = catalogue::EVENTS.first().ok_or("no event is in the catalogue")?;
    let condition = expr::parse(&text).and_then(|e| expr::compile(&e, &Fields { event }));
    Ok(condition.map_err(|e| e.to_string())?.constant() == Some(Truth::True))
}

/// A condition as it is written.
pub(crate) fn text(cond: &Cond) -> String {
    let mut out = String::new();
    write(cond, &mut out, false);
    out
}

/// Writes a condition, in brackets if it is of several parts and `bound` to something.
fn write(cond: &Cond, out: &mut String, bound: bool) {
    let chain = |out: &mut String, conds: &[Cond], op: &str| {
        out.push_str(if bound { "(" } else { "" });
        for (n, cond) in conds.iter().enumerate() {
            out.push_str(if n > 0 { op } else { "" });
            write(cond, out, true);
        }
        out.push_str(if bound { ")" } else { "" });
    };
    match cond {
        Cond::Const(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Cond::All(conds) => chain(out, conds, " && "),
        Cond::Any(conds) => chain(out, conds, " || "),
        Cond::Not(inner) if matches!(**inner, Cond::Ask(Ask { what: What::Known, .. })) => {
            out.push('!');
            write(inner, out, true);
        }
        Cond::Not(inner) => {
            out.push_str("!(");
            write(inner, out, false);
            out.push(')');
        }
        Cond::Guard(text) => out.push_str(text),
        Cond::Ask(ask) => write_ask(ask, out, bound),
    }
}

fn write_ask(ask: &Ask, out: &mut String, bound: bool) {
    let subject = &ask.subject.text;
    // Writing to a string does not fail.
    let mut put = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
    };
    if ask.what == What::Known {
        return put(format_args!("has({subject})"));
    }
    let guarded = ask.subject.optional;
    if guarded {
        let bracket = if bound { "(" } else { "" };
        // What is asked of a value that was made of another is known when that is.
        put(format_args!("{bracket}has({subject}) && "));
    }
    if ask.subject.ty == Type::Texts {
        put(format_args!("{subject}.exists(one, {})", asked("one", &ask.what)));
    } else {
        put(format_args!("{}", asked(subject, &ask.what)));
    }
    if guarded && bound {
        out.push(')');
    }
}

fn asked(subject: &str, what: &What) -> String {
    let list = |texts: &[Vec<u8>]| texts.iter().map(|t| literal(t)).collect::<Vec<_>>().join(", ");
    let quoted =
        |texts: &[String]| texts.iter().map(|t| literal(t.as_bytes())).collect::<Vec<_>>().join(", ");
    let folded = |text: &str, cased: bool| if cased { text.to_owned() } else { format!("{text}.lower()") };
    match what {
        What::Text { how, texts, cased } => {
            let (subject, texts_listed) = (folded(subject, *cased), list(texts));
            match (how, texts.len()) {
                (How::Is, 1) => format!("{subject} == {texts_listed}"),
                (How::Is, _) => format!("{subject} in [{texts_listed}]"),
                (How::Starts, _) => format!("{subject}.startsWith({texts_listed})"),
                (How::Ends, _) => format!("{subject}.endsWith({texts_listed})"),
                (How::Contains, _) => format!("{subject}.contains({texts_listed})"),
                (How::Like, _) => format!("{subject}.like({texts_listed})"),
            }
        }
        What::Matches(texts) => format!("{subject}.matches({})", quoted(texts)),
        What::Nets(nets) => format!("{subject} in cidr({})", quoted(nets)),
        What::Ints(numbers) => match numbers.as_slice() {
            [one] => format!("{subject} == {one}"),
            _ => format!(
                "{subject} in [{}]",
                numbers.iter().map(i128::to_string).collect::<Vec<_>>().join(", ")
            ),
        },
        What::Order(order, number) => {
            let sign = match order {
                Order::Less => "<",
                Order::LessOrEqual => "<=",
                Order::Greater => ">",
                Order::GreaterOrEqual => ">=",
            };
            format!("{subject} {sign} {number}")
        }
        What::Bool(true) => subject.to_owned(),
        What::Bool(false) => format!("!{subject}"),
        What::Known => format!("has({subject})"),
        What::Empty => format!("{subject} == \"\""),
        What::Other { other, affix, cased } => {
            let (a, b) = (folded(subject, *cased), folded(other, *cased));
            match affix {
                None => format!("{a} == {b}"),
                Some(Affix::Start) => format!("{a}.startsWith({b})"),
                Some(Affix::End) => format!("{a}.endsWith({b})"),
                Some(Affix::Anywhere) => format!("{a}.contains({b})"),
            }
        }
    }
}

/// A text as the expression language has it.
pub(crate) fn literal(bytes: &[u8]) -> String {
    let byte = |out: &mut String, b: u32| {
        // Writing to a string does not fail.
        let _ = write!(out, "\\x{b:02x}");
    };
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_ascii_control() => byte(&mut out, u32::from(c)),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| byte(&mut out, u32::from(*b)));
    }
    out.push('"');
    out
}
