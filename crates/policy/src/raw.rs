//! JSON that is looked into where something is asked of it, and not before: of a recorded event little is asked.
//!
//! What is passed over on the way is not checked. Of text that is no JSON, what is asked for is not there.

use std::borrow::Cow;

/// The text of a value, and nothing around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The value at the beginning of a text, behind white space.
    pub(crate) fn first(text: &'a str) -> Option<Raw<'a>> {
        let begin = behind_space(text.as_bytes(), 0);
        text.get(begin..end_of(text.as_bytes(), begin)?).map(Raw)
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
        std::iter::from_fn(move || {
            let key = walk.next()?;
            walk.expect(b':')?;
            Some((key, walk.value()?))
        })
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

/// A walk along what is in an object or array.
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

/// Behind the quote that ends a string.
#[inline]
fn end_of_string(text: &[u8], mut at: usize) -> Option<usize> {
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
        for (key, json) in all.into_iter().flatten() {
            let one = raw.get(key);
            prop_assert!(one.is_some(), "no {key:?} in {raw:?}");
            assert_same(one.unwrap(), json)?;
        }
        Ok(())
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
