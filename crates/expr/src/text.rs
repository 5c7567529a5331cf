//! What a text is compared with, where that is known beforehand.

use std::borrow::Cow;
use std::fmt;

use aho_corasick::AhoCorasick;
use globset::GlobMatcher;
use memchr::memmem::Finder;
use regex::bytes::Regex;
use rustc_hash::FxHashSet;

use crate::{Text, Truth};

/// A comparison of a text with something constant.
#[derive(Debug, Clone)]
pub(crate) struct TextTest {
    pub(crate) how: How,
    /// Whether the case of ASCII letters does not matter; what it is compared with is in lower case then.
    pub(crate) fold: bool,
}

/// How texts are compared.
#[derive(Clone)]
pub(crate) enum How {
    /// It is one of these.
    Is(FxHashSet<Box<[u8]>>),
    /// It is this one.
    IsOne(Box<[u8]>),
    /// It begins with one of these.
    Starts(Box<[Box<[u8]>]>),
    /// It ends with one of these.
    Ends(Box<[Box<[u8]>]>),
    /// This is in it.
    Contains(Box<Finder<'static>>),
    /// One of these is in it; and what these are.
    ContainsAny(Box<AhoCorasick>, Box<[Box<[u8]>]>),
    /// It is like one of these: `*` stands for any bytes, `?` for one.
    Like(Box<[Box<[u8]>]>),
    /// It is a path like one of these.
    Glob(Box<[GlobMatcher]>),
    /// The expression matches somewhere in it.
    Matches(Box<Regex>),
}

impl fmt::Debug for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let all = |list: &[Box<[u8]>]| list.iter().map(|b| lossy(b)).collect::<Vec<_>>().join(", ");
        match self {
            How::Is(set) => {
                let mut list: Vec<Box<[u8]>> = set.iter().cloned().collect();
                list.sort();
                write!(f, "is {}", all(&list))
            }
            How::IsOne(one) => write!(f, "is {}", lossy(one)),
            How::Starts(list) => write!(f, "starts with {}", all(list)),
            How::Ends(list) => write!(f, "ends with {}", all(list)),
            How::Contains(finder) => write!(f, "contains {}", lossy(finder.needle())),
            How::ContainsAny(..) => write!(f, "contains one of several"),
            How::Like(list) => write!(f, "is like {}", all(list)),
            How::Glob(globs) => {
                write!(f, "is like {}", globs.iter().map(|g| g.glob().glob()).collect::<Vec<_>>().join(", "))
            }
            How::Matches(regex) => write!(f, "matches {regex}"),
        }
    }
}

impl TextTest {
    /// Whether a text passes.
    pub(crate) fn of(&self, text: &Text<'_>) -> Truth {
        let whole: &[u8] = &text.bytes;
        let folded: Cow<'_, [u8]>;
        // The others fold for themselves, so that nothing is copied.
        let bytes = if self.fold && matches!(self.how, How::Is(_) | How::Contains(_) | How::Glob(_)) {
            folded = lower(whole);
            &*folded
        } else {
            whole
        };
        let found = match &self.how {
            How::Is(set) => !text.cut && set.contains(bytes),
            How::IsOne(one) => !text.cut && self.same(bytes, one),
            How::Starts(list) => list.iter().any(|p| self.starts(bytes, p)),
            How::Ends(list) => {
                let end = |p: &[u8]| bytes.len().checked_sub(p.len()).and_then(|at| bytes.get(at..));
                !text.cut && list.iter().any(|p| end(p).is_some_and(|end| self.same(end, p)))
            }
            How::Contains(finder) => finder.find(bytes).is_some(),
            How::ContainsAny(any, _) => any.is_match(bytes),
            How::Like(list) => !text.cut && list.iter().any(|like| like_matches(like, bytes, self.fold)),
            How::Glob(globs) => !text.cut && globs.iter().any(|g| g.is_match(path(bytes))),
            How::Matches(regex) => !text.cut && regex.is_match(bytes),
        };
        match found {
            true => Truth::True,
            false if text.cut && self.may_go_on(bytes) => Truth::Unknown,
            false => Truth::False,
        }
    }

    /// Roughly, beside looking at a number.
    pub(crate) fn cost(&self) -> usize {
        match &self.how {
            How::IsOne(_) | How::Is(_) | How::Starts(_) | How::Ends(_) => 1,
            How::Contains(_) | How::ContainsAny(..) | How::Like(_) => 4,
            How::Glob(_) | How::Matches(_) => 16,
        }
    }

    /// Whether a text of which only this beginning is known may pass, though it did not so far.
    fn may_go_on(&self, start: &[u8]) -> bool {
        match &self.how {
            How::Is(set) => set.iter().any(|one| one.len() > start.len() && self.starts(one, start)),
            How::IsOne(one) => one.len() > start.len() && self.starts(one, start),
            How::Starts(list) => list.iter().any(|p| self.starts(p, start)),
            _ => true,
        }
    }

    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        if self.fold { a.eq_ignore_ascii_case(b) } else { a == b }
    }

    fn starts(&self, text: &[u8], with: &[u8]) -> bool {
        text.get(..with.len()).is_some_and(|start| self.same(start, with))
    }
}

/// In lower case; borrowed if it is so already.
pub(crate) fn lower(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(bytes.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bytes)
    }
}

fn path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Whether a text is like a pattern in which `*` stands for any bytes and `?` for one; a backslash takes from a `*`, `?` or
/// backslash behind it what it stands for. With `fold`, of a text in whatever case; the pattern is in lower case then. In linear
/// space and at most the product of both lengths of time.
fn like_matches(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    // What a part of the pattern is: the byte it stands for, and how long it is.
    let unit = |at: usize| match (pattern.get(at), pattern.get(at + 1)) {
        (Some(b'\\'), Some(&b @ (b'*' | b'?' | b'\\'))) => (Some(b), 2),
        (b, _) => (b.copied(), 1),
    };
    let star_at = |at: usize| pattern.get(at) == Some(&b'*');
    let (mut p, mut t) = (0, 0);
    // Where to go on from if what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if star_at(p) {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        let (byte, length) = unit(p);
        let any = length == 1 && byte == Some(b'?');
        let here = text.get(t).map(|b| if fold { b.to_ascii_lowercase() } else { *b });
        if any || byte == here {
            p += length;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
    while star_at(p) {
        p += 1;
    }
    p >= pattern.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn likes() {
        for (pattern, text, like) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"c:\x", r"c:\x", true),
            (r"\\*", r"\\x", true),
            ("*b*", "aba", true),
            ("*bc", "bcbc", true),
            ("**", "x", true),
        ] {
            assert_eq!(like_matches(pattern.as_bytes(), text.as_bytes(), false), like, "{pattern} {text}");
        }
    }

    #[test]
    fn folded_texts_are_compared_in_whatever_case() {
        let of = |how, text: &[u8], cut| {
            TextTest { how, fold: true }.of(&Text { bytes: Cow::Borrowed(text), cut })
        };
        let one = |b: &[u8]| -> Box<[u8]> { b.into() };
        assert_eq!(of(How::IsOne(one(b"ab")), b"aB", false), Truth::True);
        assert_eq!(of(How::IsOne(one(b"abc")), b"aB", true), Truth::Unknown);
        assert_eq!(of(How::IsOne(one(b"xbc")), b"aB", true), Truth::False);
        assert_eq!(of(How::Starts([one(b"a")].into()), b"AB", false), Truth::True);
        assert_eq!(of(How::Starts([one(b"abc")].into()), b"AB", false), Truth::False);
        assert_eq!(of(How::Starts([one(b"abc")].into()), b"AB", true), Truth::Unknown);
        assert_eq!(of(How::Ends([one(b"xyz"), one(b"b")].into()), b"AB", false), Truth::True);
        assert_eq!(of(How::Like([one(b"a*d")].into()), b"AbcD", false), Truth::True);
        assert_eq!(of(How::Like([one(b"a*d")].into()), b"Abc", false), Truth::False);
    }

    fn naive(p: &[u8], t: &[u8]) -> bool {
        match (p.split_first(), t.split_first()) {
            (None, None) => true,
            (Some((b'*', p)), None) => naive(p, t),
            (Some((b'*', rest)), Some((_, tail))) => naive(rest, t) || naive(p, tail),
            (Some((b'?', p)), Some((_, t))) => naive(p, t),
            (Some((a, p)), Some((b, t))) => a == b && naive(p, t),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn like_is_what_it_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(like_matches(pattern.as_bytes(), text.as_bytes(), false), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
