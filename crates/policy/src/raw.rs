//! JSON that is looked into where something is asked of it, and not before: of a recorded event little is asked.
//!
//! What is passed over on the way is not checked. Of text that is no JSON, what is asked for is not there.

use std::borrow::Cow;
use std::cell::RefCell;

/// The text of a value, and nothing around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    written: &'a str,
    /// Something is, in this string.
    escaped: bool,
}

impl<'a> Raw<'a> {
    /// The value at the beginning of a text, behind white space.
    pub(crate) fn first(text: &'a str) -> Option<Raw<'a>> {
        Walk { text, at: 0, first: true }.value()
    }

    /// As it is written.
    pub(crate) const fn written(self) -> &'a str {
        self.written
    }

    /// What an object has by that name: the first.
    #[inline]
    pub(crate) fn get(self, key: &str) -> Option<Raw<'a>> {
        self.entries().find(|(k, _)| k.is(key)).map(|(_, value)| value)
    }

    /// The names and values of an object, in their order; of anything else none.
    #[inline]
    pub(crate) fn entries(self) -> impl Iterator<Item = (Raw<'a>, Raw<'a>)> {
        let mut walk = Walk::of(self.written, b'{');
        std::iter::from_fn(move || walk.member())
    }

    /// The elements of an array, if it is one.
    #[inline]
    pub(crate) fn elements(self) -> Option<impl Iterator<Item = Raw<'a>>> {
        let mut walk = Walk::of(self.written, b'[');
        self.written.starts_with('[').then(|| std::iter::from_fn(move || walk.next()))
    }

    /// Whether it is this text.
    #[inline]
    pub(crate) fn is(self, text: &str) -> bool {
        match self.inner() {
            Some(inner) if !self.escaped => inner == text,
            _ => self.text().is_some_and(|own| own == text),
        }
    }

    /// A string's text, with what was escaped.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.inner()?;
        if !self.escaped {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str(self.written).ok().map(Cow::Owned)
    }

    /// A string as it is written, if nothing in it is escaped.
    #[inline]
    pub(crate) fn plain(self) -> Option<&'a str> {
        self.inner().filter(|_| !self.escaped)
    }

    /// An integer.
    pub(crate) fn int(self) -> Option<i128> {
        match self.written.as_bytes() {
            // All that a machine counts with.
            [b'-', digits @ ..] => digits_of(digits).map(|n| -i128::from(n)),
            digits => digits_of(digits).map(i128::from),
        }
        .or_else(|| self.written.parse().ok())
    }

    /// True or false.
    pub(crate) fn bool(self) -> Option<bool> {
        match self.written {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Between a string's quotes.
    #[inline]
    fn inner(self) -> Option<&'a str> {
        self.written.strip_prefix('"')?.strip_suffix('"')
    }
}

/// A number of digits, if it is not longer than one of 64 bits may be.
fn digits_of(text: &[u8]) -> Option<u64> {
    let is_one = matches!(text.len(), 1..=19) && text.iter().all(u8::is_ascii_digit);
    is_one.then(|| text.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

/// An object or an array of objects, of which that is remembered by its name that was walked through.
#[derive(Debug)]
pub(crate) struct Members<'a, T> {
    walk: RefCell<Walk<'a>>,
    known: RefCell<Vec<(Raw<'a>, T)>>,
}

impl<'a, T: Copy> Members<'a, T> {
    fn new(text: &'a str, open: u8) -> Members<'a, T> {
        Members { walk: RefCell::new(Walk::of(text, open)), known: RefCell::new(Vec::with_capacity(8)) }
    }

    fn find(&self, key: &str, next: impl Fn(&mut Walk<'a>) -> Option<(Raw<'a>, T)>) -> Option<T> {
        let mut known = self.known.borrow_mut();
        if let Some((_, value)) = known.iter().find(|(k, _)| k.is(key)) {
            return Some(*value);
        }
        let mut walk = self.walk.borrow_mut();
        while let Some((name, value)) = next(&mut walk) {
            known.push((name, value));
            if name.is(key) {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Members<'a, Raw<'a>> {
    /// Those of the object that a text begins with. Where it ends need not be known.
    pub(crate) fn of(text: &'a str) -> Self {
        Members::new(text, b'{')
    }

    /// What has that name: the first.
    pub(crate) fn get(&self, key: &str) -> Option<Raw<'a>> {
        self.find(key, Walk::member)
    }
}

/// What an object is of which one member is its name.
pub(crate) trait Named<'a>: Copy + Default {
    /// Takes what else there is, member by member.
    fn take(&mut self, key: Raw<'a>, value: Raw<'a>);
}

impl<'a, T: Named<'a>> Members<'a, T> {
    /// The elements of the array that a text begins with. Where it ends need not be known.
    pub(crate) fn elements(text: &'a str) -> Self {
        Members::new(text, b'[')
    }

    /// The element that has that `name`: the first.
    pub(crate) fn named(&self, name: &str) -> Option<T> {
        self.find(name, Walk::named)
    }
}

/// A walk along what is in an object or array.
#[derive(Debug)]
struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// Nothing has been met.
    first: bool,
}

impl<'a> Walk<'a> {
    fn of(text: &'a str, open: u8) -> Walk<'a> {
        let is_one = text.as_bytes().first() == Some(&open);
        Walk { text, at: if is_one { 1 } else { text.len() }, first: true }
    }

    /// The next element, or the next name.
    fn next(&mut self) -> Option<Raw<'a>> {
        if !std::mem::take(&mut self.first) {
            self.expect(b',')?;
        }
        self.value()
    }

    /// The next element, and what it says of itself by which name.
    fn named<T: Named<'a>>(&mut self) -> Option<(Raw<'a>, T)> {
        if !std::mem::take(&mut self.first) {
            self.expect(b',')?;
        }
        let (mut name, mut found) = (None, T::default());
        if self.expect(b'{').is_some() {
            let mut within = Walk { text: self.text, at: self.at, first: true };
            while let Some((key, value)) = within.member() {
                match key.is("name") {
                    true => name = name.or(Some(value)),
                    false => found.take(key, value),
                }
            }
            self.at = within.at;
            self.expect(b'}')?;
        } else {
            self.value()?;
        }
        // One that has no name is none of any name.
        Some((name.unwrap_or(Raw { written: "null", escaped: false }), found))
    }

    /// The next name and its value.
    #[inline]
    fn member(&mut self) -> Option<(Raw<'a>, Raw<'a>)> {
        let key = self.next()?;
        self.expect(b':')?;
        Some((key, self.value()?))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let at = behind_space(self.text, self.at);
        (self.text.as_bytes().get(at) == Some(&byte)).then(|| self.at = at + 1)
    }

    fn value(&mut self) -> Option<Raw<'a>> {
        let begin = behind_space(self.text, self.at);
        let (end, escaped) = end_of(self.text.as_bytes(), begin)?;
        self.at = end;
        self.text.get(begin..end).map(|written| Raw { written, escaped })
    }
}

#[inline]
fn behind_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Where the value ends that begins there, and whether something in it is escaped.
#[inline]
fn end_of(text: &[u8], begin: usize) -> Option<(usize, bool)> {
    let mut at = begin;
    let mut depth = 0_usize;
    let mut escaped = false;
    loop {
        at = match text.get(at)? {
            b'"' => end_of_string(text, at + 1, &mut escaped)?,
            b'{' | b'[' => {
                depth += 1;
                at + 1
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at + 1
            }
            _ if depth > 0 => at + 1,
            // A number or a word.
            _ => {
                let rest = text.get(at..)?;
                let length = rest
                    .iter()
                    .take_while(|b| !matches!(b, b',' | b':' | b'}' | b']') && !b.is_ascii_whitespace());
                return Some((at + length.count(), false)).filter(|(end, _)| *end > at);
            }
        };
        if depth == 0 {
            return Some((at, escaped));
        }
    }
}

/// Behind the quote that ends a string, and whether something before it is escaped.
#[inline]
fn end_of_string(text: &[u8], mut at: usize, escaped: &mut bool) -> Option<usize> {
    loop {
        // Most are shorter than what setting out for a search is worth.
        at += match text.get(at..)?.first_chunk().map(|eight| quote_or_backslash(u64::from_le_bytes(*eight)))
        {
            Some(8) => {
                at += 8;
                let eight = text.get(at..)?.first_chunk();
                match eight.map(|eight| quote_or_backslash(u64::from_le_bytes(*eight))) {
                    Some(8) | None => memchr::memchr2(b'"', b'\\', text.get(at..)?)?,
                    Some(there) => there,
                }
            }
            Some(there) => there,
            None => memchr::memchr2(b'"', b'\\', text.get(at..)?)?,
        };
        if text.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        *escaped = true;
        at += 2;
    }
}

/// How many of eight bytes, the lowest first, stand before a quote or a backslash.
#[inline]
const fn quote_or_backslash(eight: u64) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest byte of which the highest bit is set is one that was zero; above it, carries may set more.
    const fn zeros(n: u64) -> u64 {
        n.wrapping_sub(ONES) & !n & HIGH
    }
    let found = zeros(eight ^ (ONES * b'"' as u64)) | zeros(eight ^ (ONES * b'\\' as u64));
    found.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    /// Any value of JSON, of what recordings have: no fractions.
    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            "[ -~é\\\\\"\n]{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                proptest::collection::vec(("[a-c\\\\\"]{0,2}", inner), 0..5)
                    .prop_map(|all| Json::Object(all.into_iter().collect())),
            ]
        })
    }

    fn assert_same(raw: Raw<'_>, json: &Json) -> Result<(), TestCaseError> {
        prop_assert_eq!(&serde_json::from_str::<Json>(raw.written).unwrap(), json);
        let text = raw.text();
        prop_assert_eq!(text.as_deref(), json.as_str());
        prop_assert_eq!(raw.bool(), json.as_bool());
        let int = json.as_i64().map(i128::from).or(json.as_u64().map(i128::from));
        prop_assert_eq!(raw.int(), int);
        let elements = raw.elements().map(|all| all.collect::<Vec<_>>());
        prop_assert_eq!(elements.as_ref().map(Vec::len), json.as_array().map(Vec::len));
        for (raw, json) in elements.into_iter().flatten().zip(json.as_array().into_iter().flatten()) {
            assert_same(raw, json)?;
        }
        let all = json.as_object();
        prop_assert_eq!(raw.entries().count(), all.map_or(0, serde_json::Map::len));
        let followed = format!("{}, \"not there\": 1}}", raw.written);
        let members = Members::of(&followed);
        // In another order than they stand.
        for (key, json) in all.into_iter().flatten().rev() {
            let one = raw.get(key);
            prop_assert!(one.is_some(), "no {key:?} in {raw:?}");
            assert_same(one.unwrap(), json)?;
            prop_assert_eq!(members.get(key).map(Raw::written), one.map(Raw::written));
        }
        prop_assert_eq!(members.get("not there"), None);
        Ok(())
    }

    #[test]
    fn elements_by_their_names() {
        #[derive(Debug, Clone, Copy, Default)]
        struct Sum(i128);
        impl<'a> Named<'a> for Sum {
            fn take(&mut self, _: Raw<'a>, value: Raw<'a>) {
                self.0 += value.int().unwrap_or(100);
            }
        }
        let members = Members::<Sum>::elements(
            r#"[ {"name":"a","u":1}, 5, {"name":"b", "u":2, "w" : 7 }, {}, {"v":0,"name":"\u0063"}, {"name":"d","v":[]}], {"name":"e"}"#,
        );
        let sum = |name: &str| members.named(name).map(|sum| sum.0);
        assert_eq!((sum("b"), sum("a"), sum("e")), (Some(9), Some(1), None));
        assert_eq!((sum("c"), sum("d")), (Some(0), Some(100)));
    }

    proptest! {
        #[test]
        fn it_is_what_a_parser_says(json in json(), pretty in any::<bool>(), behind in "[ \n]{0,2}") {
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
            let text = format!("{behind}{}{behind}", text.unwrap());
            assert_same(Raw::first(&text).unwrap(), &json)?;
        }

        /// Whatever the text is, something ends it.
        #[test]
        fn any_text(text in "[\\[\\]{}\",:\\\\ a1é-]{0,40}") {
            if let Some(raw) = Raw::first(&text) {
                let _ = (raw.text(), raw.int(), raw.bool(), raw.get("a"));
                let _ = raw.entries().count() + raw.elements().map_or(0, Iterator::count);
            }
        }
    }
}
