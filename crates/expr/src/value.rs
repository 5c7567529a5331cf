//! Values, and what they are of.

use std::borrow::Cow;
use std::net::IpAddr;

/// What a value can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// Any bytes.
    Text,
    /// An IP address.
    Ip,
    /// Texts.
    Texts,
    /// Whole numbers.
    Ints,
}

impl Type {
    /// As it is called in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Type::Bool => "a truth value",
            Type::Int => "a number",
            Type::Double => "a number with fraction",
            Type::Text => "a text",
            Type::Ip => "an IP address",
            Type::Texts => "a list of texts",
            Type::Ints => "a list of numbers",
        }
    }

    /// Of what it is a list.
    pub(crate) const fn element(self) -> Option<Type> {
        match self {
            Type::Texts => Some(Type::Text),
            Type::Ints => Some(Type::Int),
            _ => None,
        }
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// There is one, but it is not known.
    Unknown,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number.
    Double(f64),
    /// Bytes.
    Text(Text<'a>),
    /// An IP address.
    Ip(IpAddr),
    /// A list.
    List(List<'a>),
}

impl<'a> Value<'a> {
    /// A text that is wholly there.
    pub const fn text(bytes: &'a [u8]) -> Value<'a> {
        Value::Text(Text { bytes: Cow::Borrowed(bytes), cut: false })
    }

    /// The text, if that is what it is.
    pub fn as_text(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(&text.bytes),
            _ => None,
        }
    }
}

/// A text, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a> {
    /// What is known of it: all, or its beginning.
    pub bytes: Cow<'a, [u8]>,
    /// Whether at least a byte is missing at its end.
    pub cut: bool,
}

/// A list.
#[derive(Debug, Clone, PartialEq)]
pub enum List<'a> {
    /// Texts, each with a NUL behind it.
    Terminated {
        /// All of them.
        raw: &'a [u8],
        /// Whether the last is not whole, or others are missing.
        cut: bool,
    },
    /// Any values. One that is not known may stand for more.
    Values(Vec<Value<'a>>),
}

impl<'a> List<'a> {
    /// Whether all of it is there.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            List::Terminated { cut, .. } => !cut,
            List::Values(values) => !values.contains(&Value::Unknown),
        }
    }

    /// Its texts with a text between them, as far as they are known.
    pub fn joined(&self, by: &[u8]) -> Text<'static> {
        let (mut bytes, mut cut) = (vec![], !self.is_whole());
        for (n, item) in self.iter().enumerate() {
            let Value::Text(text) = item else {
                cut = true;
                break;
            };
            bytes.extend_from_slice(if n > 0 { by } else { b"" });
            bytes.extend_from_slice(&text.bytes);
            if text.cut {
                cut = true;
                break;
            }
        }
        Text { bytes: Cow::Owned(bytes), cut }
    }

    /// The values that are there.
    pub fn iter(&self) -> Items<'_, 'a> {
        match self {
            List::Terminated { raw, cut } => Items::Terminated { raw, cut: *cut },
            List::Values(values) => Items::Values(values.iter()),
        }
    }
}

/// The values of a list.
#[derive(Debug)]
pub enum Items<'l, 'a> {
    /// Those left of [`List::Terminated`].
    Terminated {
        /// What is left.
        raw: &'a [u8],
        /// Whether the last is not whole.
        cut: bool,
    },
    /// Those left of [`List::Values`].
    Values(std::slice::Iter<'l, Value<'a>>),
}

impl<'a> Iterator for Items<'_, 'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        match self {
            Items::Values(values) => values.next().cloned(),
            Items::Terminated { raw: [], .. } => None,
            Items::Terminated { raw, cut } => {
                let end = memchr::memchr(0, raw);
                let (item, rest) = raw.split_at(end.unwrap_or(raw.len()));
                *raw = rest.get(1..).unwrap_or_default();
                let cut = *cut && end.is_none();
                Some(Value::Text(Text { bytes: Cow::Borrowed(item), cut }))
            }
        }
    }
}

/// Names of numbers.
pub trait Names: std::fmt::Debug + Sync {
    /// The number of a name, or of several with `|` between them where numbers are sums of flags.
    fn number(&self, name: &str) -> Option<i128>;
    /// The name of a number.
    fn name(&self, number: i128) -> Option<String>;
    /// Whether numbers are sums of named bits.
    fn are_flags(&self) -> bool;
    /// All names, for suggestions.
    fn all(&self) -> Vec<&str>;
}
