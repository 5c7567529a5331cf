//! JSON that is looked into where something is asked of it, and not before: of a recorded event little is asked.
//!
//! What is passed over on the way is not checked. Of text that is no JSON, what is asked for is not there.

use std::borrow::Cow;
use std::cell::RefCell;

/// The text of a value, and nothing around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The value at the beginning of a text, behind white space.
    pub(crate) fn first(text: &'a str) -> Option<Raw<'a>> {
        let begin = behind_space(text.as_bytes(), 0);
        text.get(begin..end_of(text.as_bytes(), begin)?).map(Raw)
    }

    /// Its text.
    pub(crate) const fn as_str(self) -> &'a str {
        self.0
    }

    /// What an object has by that name: the first.
    #[inline]
    pub(crate) fn get(self, key: &str) -> Option<Raw<'a>> {
        self.entries().find(|(k, _)| k.is(key)).map(|(_, value)| value)
    }

    /// The names and values of an object, in their order; of anything else none.
    #[inline]
    pub(crate) fn entries(self) -> impl Iterator<Item = (Raw<'a>, Raw<'a>)> {
        let mut walk = Walk::of(self.0, b'{');
        std::iter::from_fn(move || walk.member())
    }

    /// The elements of an array, if it is one.
    #[inline]
    pub(crate) fn elements(self) -> Option<impl Iterator<Item = Raw<'a>>> {
        let mut walk = Walk::of(self.0, b'[');
        self.0.starts_with('[').then(|| std::iter::from_fn(move || walk.next()))
    }

    /// Whether it is this text.
    #[inline]
    pub(crate) fn is(self, text: &str) -> bool {
        match self.inner() {
            Some(inner) if !inner.contains('\\') => inner == text,
            _ => self.text().is_some_and(|own| own == text),
        }
    }

    /// A string's text, with what was escaped.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.inner()?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str(self.0).ok().map(Cow::Owned)
    }

    /// An integer.
    pub(crate) fn int(self) -> Option<i128> {
        self.0.parse().ok()
    }

    /// True or false.
    pub(crate) fn bool(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// Between a string's quotes.
    fn inner(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }
}

/// An object whose names and values are remembered, as far as it was walked through.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    walk: RefCell<Walk<'a>>,
    known: RefCell<Vec<(Raw<'a>, Raw<'a>)>>,
}

impl<'a> Members<'a> {
    /// Those of the object that a text begins with, or the elements of an array, each by its `name`. Where it ends need not be known.
    pub(crate) fn of(text: &'a str) -> Members<'a> {
        let open = if text.starts_with('[') { b'[' } else { b'{' };
        Members { walk: RefCell::new(Walk::of(text, open)), known: RefCell::new(Vec::with_capacity(16)) }
    }

    /// What has that name: the first.
    pub(crate) fn get(&self, key: &str) -> Option<Raw<'a>> {
        let mut known = self.known.borrow_mut();
        if let Some((_, value)) = known.iter().find(|(k, _)| k.is(key)) {
            return Some(*value);
        }
        let mut walk = self.walk.borrow_mut();
        while let Some(member) = walk.member() {
            known.push(member);
            if member.0.is(key) {
                return Some(member.1);
            }
        }
        None
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

    /// The next name and its value; of an array the next element, by its name.
    fn member(&mut self) -> Option<(Raw<'a>, Raw<'a>)> {
        if self.text.starts_with('[') {
            // One that has no name is none of any name.
            let element = self.next()?;
            return Some((element.get("name").unwrap_or(Raw("null")), element));
        }
        let key = self.next()?;
        self.expect(b':')?;
        Some((key, self.value()?))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let at = behind_space(self.text.as_bytes(), self.at);
        (self.text.as_bytes().get(at) == Some(&byte)).then(|| self.at = at + 1)
    }

    fn value(&mut self) -> Option<Raw<'a>> {
        let begin = behind_space(self.text.as_bytes(), self.at);
        self.at = end_of(self.text.as_bytes(), begin)?;
        self.text.get(begin..self.at).map(Raw)
    }
}

fn behind_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Where the value ends that begins there.
#[inline]
fn end_of(text: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    let mut depth = 0_usize;
    loop {
        at = match text.get(at)? {
            b'"' => end_of_string(text, at + 1)?,
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
                return Some(at + length.count()).filter(|end| *end > at);
            }
        };
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Characters of a string that are looked at one by one.
const SHORT: usize = 16;

/// Behind the quote that ends a string.
#[inline]
fn end_of_string(text: &[u8], mut at: usize) -> Option<usize> {
    // Most are shorter than what a search is worth.
    for _ in 0..SHORT {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    loop {
        let rest = text.get(at..)?;
        let found = memchr::memchr2(b'"', b'\\', rest)?;
        if rest.get(found) == Some(&b'"') {
            return Some(at + found + 1);
        }
        at += found + 2;
    }
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
        prop_assert_eq!(&serde_json::from_str::<Json>(raw.0).unwrap(), json);
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
        let followed = format!("{}, \"not there\": 1}}", raw.0);
        let members = Members::of(&followed);
        // In another order than they stand.
        for (key, json) in all.into_iter().flatten().rev() {
            let one = raw.get(key);
            prop_assert!(one.is_some(), "no {key:?} in {raw:?}");
            assert_same(one.unwrap(), json)?;
            prop_assert_eq!(members.get(key).map(Raw::as_str), one.map(Raw::as_str));
        }
        prop_assert_eq!(members.get("not there"), None);
        Ok(())
    }

    #[test]
    fn elements_by_their_names() {
        let members = Members::of(
            r#"[ {"name":"a","u":1}, 5, {"name":"b", "u":2}, {"v":0,"name":"\u0063"}], {"name":"d"}"#,
        );
        let number = |name: &str| members.get(name).and_then(|m| m.get("u")).and_then(Raw::int);
        assert_eq!((number("b"), number("a"), number("d")), (Some(2), Some(1), None));
        assert_eq!(members.get("c").unwrap().get("v").unwrap().int(), Some(0));
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
