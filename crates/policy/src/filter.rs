//! Filters in Tracee's form: `data.pathname=/etc/*`, as expressions.

use catalogue::Format;
use expr::{Binary, Expr, Schema as _, Span, Type};

use crate::fields::{Fields, Part, Slot};

/// What is wrong with a filter, and which bytes of it.
pub(crate) type FilterError = expr::Error;

const OPERATORS: [(&str, Binary); 6] = [
    ("!=", Binary::Ne),
    ("<=", Binary::Le),
    (">=", Binary::Ge),
    ("=", Binary::Eq),
    ("<", Binary::Lt),
    (">", Binary::Gt),
];

/// Reads a filter: a field, an operator, and values with commas of which one must fit. In a text, `*` stands for anything.
///
/// # Errors
///
/// A field that the event has not; an operator or a value that the field can not have.
pub fn translate(text: &str, fields: &Fields) -> Result<Expr, expr::Error> {
    let whole = Span { start: 0, end: text.len() };
    let wrong = |at: Span, message: String| FilterError { message, at, suggestion: None };
    let end = text.find(['=', '!', '<', '>']).unwrap_or(text.len());
    let key_at = Span { start: 0, end };
    let (key, rest) = text.split_at(end);
    let key = key.trim();
    // Tracee's older name for the event's own fields.
    let path = key.strip_prefix("args.").map_or_else(|| key.to_owned(), |name| format!("data.{name}"));
    let Some(field) = fields.field(&path) else {
        let names = fields.names();
        let suggestion = expr::nearest(&path, names.iter().map(String::as_str));
        let message = match path.strip_prefix("data.") {
            Some(name) => format!("{} has no field '{name}'", fields.event.name),
            None => format!("unknown field '{key}'"),
        };
        return Err(FilterError { message, at: key_at, suggestion });
    };
    let subject = Expr::path(&path, key_at);
    if rest.is_empty() && field.ty == Type::Bool {
        return Ok(subject);
    }
    let Some((sign, op)) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign)) else {
        return Err(wrong(
            whole,
            format!("'{text}' has no operator: a filter is {key}=VALUE, or with != < <= > >="),
        ));
    };
    let values_at = Span { start: end + sign.len(), end: text.len() };
    let mut at = values_at.start;
    let mut tests = vec![];
    for value in text[values_at.start..].split(',') {
        let span = Span { start: at, end: at + value.len() };
        at += value.len() + 1;
        let value = value.trim();
        if value.is_empty() && field.ty != Type::Text {
            return Err(wrong(span, "a value is missing".into()));
        }
        let ordered = !matches!(op, Binary::Eq | Binary::Ne);
        if ordered && field.ty != Type::Int {
            return Err(wrong(span, format!("'{sign}' is for numbers: '{key}' is {}", field.ty.name())));
        }
        tests.push(one(&subject, &field, value, *op, fields, span)?);
    }
    if tests.len() > 1 && !matches!(op, Binary::Eq | Binary::Ne) {
        return Err(wrong(values_at, format!("'{sign}' takes one number")));
    }
    let any = Expr::joined(Binary::Or, tests, whole);
    Ok(if *op == Binary::Ne { any.negated() } else { any })
}

/// A scope as a condition: one that a single event can be asked for.
///
/// # Errors
///
/// A scope that is known while watching only; a value that it can not have.
pub fn in_scope(token: &str, fields: &Fields) -> Result<Expr, FilterError> {
    let end = token.find(['=', '!', '<', '>']).unwrap_or(token.len());
    let (key, rest) = token.split_at(end);
    // A scope asks for the host's ids, and for beginnings of containers' ids.
    let text = match (key, rest) {
        ("follow" | "tree", _) | ("pid" | "container", "=new" | "!=new" | "=started") => {
            let message = format!("scope '{token}' is known while watching only, not of an event alone");
            return Err(FilterError { message, at: Span { start: 0, end: token.len() }, suggestion: None });
        }
        ("pid", rest) => format!("hostPid{rest}"),
        ("tid", rest) => format!("hostTid{rest}"),
        ("not-container", _) => "host".to_owned(),
        ("container", "") => "container".to_owned(),
        ("container", rest) => format!("containerId{}*", rest.replace(',', "*,")),
        _ => token.to_owned(),
    };
    translate(&text, fields)
}

/// Filters that stand together, each with its text: of one field that is to be one of several values, one must fit; all others must.
pub fn together<'t>(filters: impl IntoIterator<Item = (&'t str, Expr)>) -> Vec<Expr> {
    let mut by_key: Vec<(&str, Expr)> = vec![];
    for (text, filter) in filters {
        let end = text.find(['=', '!', '<', '>']).unwrap_or(text.len());
        let key = text[..end].trim();
        let is_value = text[end..].starts_with('=');
        match by_key.iter_mut().find(|(k, _)| is_value && *k == key) {
            Some((_, any)) => *any = any.clone().binary(Binary::Or, filter),
            // What is not a value stands for itself.
            None => by_key.push((if is_value { key } else { "" }, filter)),
        }
    }
    by_key.into_iter().map(|(_, filter)| filter).collect()
}

/// That the field is that value; with an order, that it is less or more.
fn one(
    subject: &Expr,
    field: &expr::Field<Slot>,
    value: &str,
    op: Binary,
    fields: &Fields,
    at: Span,
) -> Result<Expr, FilterError> {
    let wrong = |message: String| FilterError { message, at, suggestion: None };
    let subject = Expr { at, ..subject.clone() };
    match field.ty {
        Type::Int => {
            if let Ok(n) = value.parse::<i128>() {
                let op = if op == Binary::Ne { Binary::Eq } else { op };
                return Ok(subject.binary(op, Expr::int(n, at)));
            }
            if let Some(names) = field.names {
                // One flag among others, as Tracee's texts of flags are asked.
                let inner = value.trim_matches('*');
                if inner.len() < value.len() {
                    return Ok(texts(subject, value, at));
                }
                return match names.number(inner) {
                    Some(n) => Ok(subject.binary(Binary::Eq, Expr::int(n, at))),
                    None => {
                        let suggestion = expr::nearest(inner, names.all());
                        Err(FilterError {
                            message: format!("no number is called '{inner}' here"),
                            at,
                            suggestion,
                        })
                    }
                };
            }
            // Names that depend on another field: known only with the event.
            if let Slot::Data { index, part: Part::Whole } = field.slot
                && let Some(choice) = fields.event.fields.get(usize::from(index)).and_then(|f| f.formats)
            {
                let numbers = choice
                    .of
                    .iter()
                    .filter_map(|(_, names)| event::names::parse(Format::Names(names), value));
                let tests: Vec<Expr> =
                    numbers.map(|n| subject.clone().binary(Binary::Eq, Expr::int(n.into(), at))).collect();
                if !tests.is_empty() {
                    return Ok(Expr::joined(Binary::Or, tests, at));
                }
            }
            Err(wrong(format!("'{value}' is no number")))
        }
        Type::Double => Err(wrong(format!("'{value}' is no number"))),
        Type::Bool => match value {
            "true" | "1" => Ok(subject),
            "false" | "0" => Ok(subject.negated()),
            _ => Err(wrong(format!("'{value}' is neither true nor false"))),
        },
        Type::Ip => {
            let net: Result<expr::Net, ()> = value.parse();
            net.map_err(|()| wrong(format!("'{value}' is no address or network")))?;
            let list = Expr { kind: expr::Kind::List(vec![Expr::text(value, at)]), at };
            Ok(subject.binary(Binary::In, list))
        }
        Type::Text => Ok(texts(subject, value, at)),
        // An element, or all of them as a command line.
        Type::Texts => {
            let var = Expr::path("element", at);
            let element = texts(var.clone(), value, at);
            let any = subject.clone().call("exists", vec![var, element]);
            let line = subject.call("join", vec![Expr::text(" ", at)]);
            Ok(any.binary(Binary::Or, texts(line, value, at)))
        }
        Type::Ints => Err(wrong("a list of numbers has no filter in this form; use a condition".into())),
    }
}

/// That a text is like a value in which `*` stands for anything.
fn texts(subject: Expr, value: &str, at: Span) -> Expr {
    let literal = |text: &str| vec![Expr::text(text, at)];
    let inner = value.trim_start_matches('*').trim_end_matches('*');
    if inner.contains('*') {
        // A backslash and a question mark are themselves here.
        let escaped = value.replace('\\', "\\\\").replace('?', "\\?");
        return subject.call("like", literal(&escaped));
    }
    match (value.starts_with('*'), value.ends_with('*')) {
        // Any text, but one that is there.
        _ if inner.is_empty() && !value.is_empty() => subject.call("contains", literal("")),
        (true, true) => subject.call("contains", literal(inner)),
        (true, false) => subject.call("endsWith", literal(inner)),
        (false, true) => subject.call("startsWith", literal(inner)),
        (false, false) => subject.binary(Binary::Eq, Expr::text(value, at)),
    }
}
