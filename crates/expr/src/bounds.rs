//! What fields must be for a condition to hold: what can be asked of each field by itself, before anything else is known.

use std::borrow::Cow;

use crate::Net;
use crate::eval::{Condition, Function, Term, Test, Truth};
use crate::text::{How, TextTest};

/// What must be so for a condition to hold, or to be unknown. A field that is not known may be anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Bounds<'c, S> {
    /// Nothing that can be said here.
    Open,
    /// It never holds.
    Never,
    /// All of these.
    All(Vec<Bounds<'c, S>>),
    /// One of these.
    Any(Vec<Bounds<'c, S>>),
    /// A field is so, or with `not` is not.
    Field {
        /// Which.
        slot: &'c S,
        /// How.
        is: Is<'c>,
        /// It is not so.
        not: bool,
    },
}

/// What a field is.
#[derive(Debug, Clone, PartialEq)]
pub enum Is<'c> {
    /// True.
    True,
    /// One of these numbers.
    Numbers(&'c [i128]),
    /// A number from the first to the second, both included.
    Range(i128, i128),
    /// A number with all of these bits.
    Bits(i128),
    /// An address in one of these networks.
    Nets(&'c [Net]),
    /// A text that is, begins with, or ends with one of these.
    Texts(Vec<(Place, Cow<'c, [u8]>)>),
}

/// What of a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All of it.
    Whole,
    /// Its beginning.
    Start,
    /// Its end.
    End,
}

impl<S> Condition<S> {
    /// What fields must be for it to hold, or to be unknown; and whether that is all of it: that it holds where they are so.
    pub fn bounds(&self) -> (Bounds<'_, S>, bool) {
        let mut exact = true;
        let bounds = of(&self.test, false, &mut exact);
        (bounds, exact)
    }
}

fn of<'c, S>(test: &'c Test<S>, not: bool, exact: &mut bool) -> Bounds<'c, S> {
    let field = |term: &'c Term<S>, is: Is<'c>| match term {
        Term::Field(slot) => Some(Bounds::Field { slot, is, not }),
        _ => None,
    };
    let found = match test {
        Test::Const(Truth::True) => return if not { Bounds::Never } else { Bounds::Open },
        Test::Const(Truth::False) => return if not { Bounds::Open } else { Bounds::Never },
        Test::Not(test) => return of(test, !not, exact),
        Test::All(tests) | Test::Any(tests) => {
            let parts = tests.iter().map(|test| of(test, not, exact)).collect();
            return if matches!(test, Test::All(_)) != not { Bounds::All(parts) } else { Bounds::Any(parts) };
        }
        Test::Bool(term) => field(term, Is::True),
        Test::Ints(term, list) => field(term, Is::Numbers(list)),
        Test::Range(term, low, high) => field(term, Is::Range(*low, *high)),
        Test::Bits(term, bits) => field(term, Is::Bits(*bits)),
        Test::Nets(term, nets) => field(term, Is::Nets(nets)),
        Test::Text(Term::Field(slot), test) => text(slot, test, not, exact),
        Test::Text(Term::Call(Function::Basename, args), test) => match &**args {
            [Term::Field(slot)] if !not => name(test).map(|is| {
                *exact = false;
                Bounds::Field { slot, is, not }
            }),
            _ => None,
        },
        _ => None,
    };
    found.unwrap_or_else(|| {
        *exact = false;
        Bounds::Open
    })
}

fn text<'c, S>(slot: &'c S, test: &'c TextTest, not: bool, exact: &mut bool) -> Option<Bounds<'c, S>> {
    if test.fold {
        return None;
    }
    let each = |place: Place, list: &'c [Box<[u8]>]| {
        Is::Texts(list.iter().map(|one| (place, Cow::Borrowed(&**one))).collect())
    };
    let is = match &test.how {
        How::IsOne(one) => Is::Texts(vec![(Place::Whole, Cow::Borrowed(&**one))]),
        How::Is(set) => {
            let mut all: Vec<_> = set.iter().map(|one| (Place::Whole, Cow::Borrowed(&**one))).collect();
            all.sort_by(|a, b| a.1.cmp(&b.1));
            Is::Texts(all)
        }
        How::Starts(list) => each(Place::Start, list),
        How::Ends(list) => each(Place::End, list),
        How::Like(list) => {
            return wild(slot, list.iter().map(|one| Wild::like(one)).collect(), not, exact);
        }
        How::Glob(globs) => {
            return wild(slot, globs.iter().map(|g| Wild::glob(g.glob().glob())).collect(), not, exact);
        }
        How::Contains(_) | How::ContainsAny(..) | How::Matches(_) => return None,
    };
    Some(Bounds::Field { slot, is, not })
}

/// What is asked of the last component of a path, as a question to the path. Slashes at its end do not count: such a path may be any.
fn name(test: &TextTest) -> Option<Is<'_>> {
    let plain = |one: &[u8]| !one.is_empty() && !one.contains(&b'/');
    let whole = |one: &[u8]| {
        [(Place::End, Cow::Owned([b"/", one].concat())), (Place::Whole, Cow::Owned(one.to_vec()))]
    };
    if test.fold {
        return None;
    }
    let mut texts: Vec<(Place, Cow<'_, [u8]>)> = match &test.how {
        How::IsOne(one) if plain(one) => whole(one).into(),
        How::Is(set) if set.iter().all(|one| plain(one)) => set.iter().flat_map(|one| whole(one)).collect(),
        How::Ends(list) if list.iter().all(|one| plain(one)) => {
            list.iter().map(|one| (Place::End, Cow::Borrowed(&**one))).collect()
        }
        _ => return None,
    };
    texts.push((Place::End, Cow::Borrowed(b"/")));
    Some(Is::Texts(texts))
}

/// What is literal at both ends of a pattern.
struct Wild {
    start: Vec<u8>,
    end: Vec<u8>,
    /// There is nothing else in it.
    literal: bool,
    /// Between them is anything, and nothing is asked of it.
    free: bool,
}

impl Wild {
    /// Of a pattern in which `*` stands for any bytes and `?` for one.
    fn like(pattern: &[u8]) -> Wild {
        let special = |b: &u8| matches!(b, b'*' | b'?' | b'\\');
        let (Some(first), Some(last)) = (pattern.iter().position(special), pattern.iter().rposition(special))
        else {
            return Wild { start: pattern.to_vec(), end: vec![], literal: true, free: false };
        };
        // What follows a backslash is not what it looks like.
        let end = if pattern[last] == b'\\' { pattern.len() } else { last + 1 };
        let free = pattern[first..=last].iter().all(|b| *b == b'*');
        Wild { start: pattern[..first].to_vec(), end: pattern[end..].to_vec(), literal: false, free }
    }

    /// Of a glob.
    fn glob(pattern: &str) -> Wild {
        let bytes = pattern.as_bytes();
        let special = |b: &u8| matches!(b, b'*' | b'?' | b'[' | b']' | b'{' | b'}' | b'\\' | b',');
        let (Some(first), Some(last)) = (bytes.iter().position(special), bytes.iter().rposition(special))
        else {
            return Wild { start: bytes.to_vec(), end: vec![], literal: true, free: false };
        };
        // `**/` stands for nothing, too.
        let end = &bytes[last + 1..];
        let end = if bytes[..=last].ends_with(b"**") { end.strip_prefix(b"/").unwrap_or(end) } else { end };
        let end = if bytes[last] == b'\\' { &[][..] } else { end };
        Wild { start: bytes[..first].to_vec(), end: end.to_vec(), literal: false, free: false }
    }
}

fn wild<'c, S>(slot: &'c S, list: Vec<Wild>, not: bool, exact: &mut bool) -> Option<Bounds<'c, S>> {
    let field =
        |place, text: Vec<u8>| Bounds::Field { slot, is: Is::Texts(vec![(place, Cow::Owned(text))]), not };
    let mut any = vec![];
    for Wild { start, end, literal, free } in list {
        let one = match (literal, start.is_empty(), end.is_empty()) {
            (true, ..) => field(Place::Whole, start),
            (_, _, true) if free && !start.is_empty() => field(Place::Start, start),
            (_, true, _) if free && !end.is_empty() => field(Place::End, end),
            // That it does not begin so is more than that it is not like the whole.
            _ if not => return None,
            _ => {
                *exact = false;
                let ends = [(Place::Start, start), (Place::End, end)];
                Bounds::All(
                    ends.into_iter().filter(|(_, t)| !t.is_empty()).map(|(p, t)| field(p, t)).collect(),
                )
            }
        };
        any.push(one);
    }
    Some(if not { Bounds::All(any) } else { Bounds::Any(any) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_patterns() {
        let of = |w: Wild| {
            (String::from_utf8(w.start).unwrap(), String::from_utf8(w.end).unwrap(), w.literal, w.free)
        };
        let is = |start: &str, end: &str, literal, free| (start.to_owned(), end.to_owned(), literal, free);
        assert_eq!(of(Wild::like(b"/etc/*")), is("/etc/", "", false, true));
        assert_eq!(of(Wild::like(b"*.so")), is("", ".so", false, true));
        assert_eq!(of(Wild::like(b"a*b?c")), is("a", "c", false, false));
        assert_eq!(of(Wild::like(b"a**b")), is("a", "b", false, true));
        assert_eq!(of(Wild::like(br"a*b\*")), is("a", "", false, false));
        assert_eq!(of(Wild::like(br"a\?b")), is("a", "b", false, false));
        assert_eq!(of(Wild::like(b"abc")), is("abc", "", true, false));
        assert_eq!(of(Wild::glob("/home/*/.ssh/**")), is("/home/", "", false, false));
        assert_eq!(of(Wild::glob("**/id_rsa")), is("", "id_rsa", false, false));
        assert_eq!(of(Wild::glob("/a/{b,c}/d")), is("/a/", "/d", false, false));
        assert_eq!(of(Wild::glob("/a/[!x]/d")), is("/a/", "/d", false, false));
    }
}
