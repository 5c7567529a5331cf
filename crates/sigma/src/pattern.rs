//! Values of fields: texts with wildcards, and what modifiers make of them.

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Piece {
    Bytes(Vec<u8>),
    /// `*`
    Any,
    /// `?`
    One,
}

/// A text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pattern(Vec<Piece>);

/// What a pattern asks of a text, in the words of the expression language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Any text.
    Any,
    Is(Vec<u8>),
    Starts(Vec<u8>),
    Ends(Vec<u8>),
    Contains(Vec<u8>),
    /// With `*` and `?`, which a backslash makes plain.
    Like(Vec<u8>),
}

/// The characters that stand for a dash on other systems' command lines.
const DASHES: [&str; 5] = ["-", "/", "\u{2013}", "\u{2014}", "\u{2015}"];
/// Most dashes of a value that are varied: each makes five values of one.
const MAX_DASHES: usize = 3;

impl Pattern {
    /// Reads a value. A backslash takes from a `*`, `?` or backslash behind it what it stands for, and is itself before anything
    /// else.
    pub(crate) fn parse(text: &str) -> Pattern {
        let mut pattern = Pattern::default();
        let mut rest = text.as_bytes();
        loop {
            rest = match rest {
                [] => return pattern,
                [b'\\', plain @ (b'*' | b'?' | b'\\'), after @ ..] | [plain, after @ ..]
                    if rest[0] == b'\\' || !matches!(rest[0], b'*' | b'?') =>
                {
                    pattern.push(*plain);
                    after
                }
                [wild, after @ ..] => {
                    pattern.add(if *wild == b'*' { Piece::Any } else { Piece::One });
                    after
                }
            }
        }
    }

    /// That text, whatever is in it.
    pub(crate) fn plain(bytes: Vec<u8>) -> Pattern {
        Pattern(vec![Piece::Bytes(bytes)])
    }

    fn push(&mut self, byte: u8) {
        match self.0.last_mut() {
            Some(Piece::Bytes(bytes)) => bytes.push(byte),
            _ => self.0.push(Piece::Bytes(vec![byte])),
        }
    }

    fn add(&mut self, piece: Piece) {
        if piece != Piece::Any || self.0.last() != Some(&Piece::Any) {
            self.0.push(piece);
        }
    }

    /// With anything before and behind it, or one of them.
    pub(crate) fn within(self, before: bool, behind: bool) -> Pattern {
        let mut pattern = Pattern::default();
        let whole =
            before.then_some(Piece::Any).into_iter().chain(self.0).chain(behind.then_some(Piece::Any));
        whole.filter(|p| *p != Piece::Bytes(vec![])).for_each(|piece| pattern.add(piece));
        pattern
    }

    /// Its text, if it has no wildcard.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Piece::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// What it asks.
    pub(crate) fn shape(&self) -> Shape {
        use Piece::{Any, Bytes};
        match self.0.as_slice() {
            [] => Shape::Is(vec![]),
            [Any] => Shape::Any,
            [Bytes(b)] => Shape::Is(b.clone()),
            [Bytes(b), Any] => Shape::Starts(b.clone()),
            [Any, Bytes(b)] => Shape::Ends(b.clone()),
            [Any, Bytes(b), Any] => Shape::Contains(b.clone()),
            pieces => {
                let mut like = vec![];
                for piece in pieces {
                    match piece {
                        Any => like.push(b'*'),
                        Piece::One => like.push(b'?'),
                        Bytes(bytes) => {
                            for &b in bytes {
                                like.extend((b"*?\\".contains(&b)).then_some(b'\\'));
                                like.push(b);
                            }
                        }
                    }
                }
                Shape::Like(like)
            }
        }
    }

    /// With every sort of dash in the place of those that begin a word; none, if these are too many.
    pub(crate) fn dashes(&self) -> Option<Vec<Pattern>> {
        let mut all = vec![Pattern::default()];
        let (mut before, mut varied) = (None, 0);
        for piece in &self.0 {
            let Piece::Bytes(bytes) = piece else {
                all.iter_mut().for_each(|p| p.add(piece.clone()));
                before = None;
                continue;
            };
            for (n, &byte) in bytes.iter().enumerate() {
                let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
                if b"-/".contains(&byte) && !word(before.as_ref()) && word(bytes.get(n + 1)) {
                    varied += 1;
                    if varied > MAX_DASHES {
                        return None;
                    }
                    let with = |p: &Pattern, dash: &str| {
                        let mut p = p.clone();
                        dash.bytes().for_each(|b| p.push(b));
                        p
                    };
                    all = all.iter().flat_map(|p| DASHES.iter().map(|dash| with(p, dash))).collect();
                } else {
                    all.iter_mut().for_each(|p| p.push(byte));
                }
                before = Some(byte);
            }
        }
        Some(all)
    }
}

/// As UTF-16, with the less significant byte first or last.
pub(crate) fn utf16(text: &[u8], little: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let units = text.encode_utf16();
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

/// In base64 (RFC 4648), with padding.
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = vec![];
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap_or(0);
            out.push(if digit <= chunk.len() { DIGITS[value] } else { b'=' });
        }
    }
    out
}

/// What is in any text in base64 that has these bytes in it: one for each place that they can begin at, of three. A digit at either end that
/// depends on their neighbours is left out.
pub(crate) fn base64_anywhere(bytes: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|shift| {
        let shifted: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
        let digits = base64(&shifted);
        let start = [0, 2, 3][shift];
        let end = digits.len() - [0, 3, 2][shifted.len() % 3];
        digits.get(start..end).unwrap_or_default().to_vec()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_and_backslashes() {
        let is = |text: &str| Shape::Is(text.into());
        for (text, shape) in [
            ("", is("")),
            ("abc", is("abc")),
            ("*", Shape::Any),
            ("***", Shape::Any),
            ("a*", Shape::Starts("a".into())),
            ("*a", Shape::Ends("a".into())),
            ("*a*", Shape::Contains("a".into())),
            ("a*b?", Shape::Like("a*b?".into())),
            (r"a\*", is("a*")),
            (r"a\?b", is("a?b")),
            (r"a\\*", Shape::Starts(r"a\".into())),
            (r"a\\\*", is(r"a\*")),
            (r"a\b", is(r"a\b")),
            (r"a\\b", is(r"a\b")),
            (r"a\", is(r"a\")),
            (r"a\?*", Shape::Starts("a?".into())),
            (r"a\**b", Shape::Like(r"a\**b".into())),
        ] {
            assert_eq!(Pattern::parse(text).shape(), shape, "{text}");
        }
        assert_eq!(Pattern::parse("*a").within(true, true).shape(), Shape::Contains("a".into()));
        assert_eq!(Pattern::parse("").within(true, true).shape(), Shape::Any);
    }

    #[test]
    fn dashes_begin_words() {
        let shapes = |text: &str| -> Option<Vec<Shape>> {
            Some(Pattern::parse(text).dashes()?.iter().map(Pattern::shape).collect())
        };
        let five = shapes("-x").expect("five");
        assert_eq!(five.len(), 5);
        assert!(five.contains(&Shape::Is("/x".into())) && five.contains(&Shape::Is("\u{2014}x".into())));
        assert_eq!(shapes("a-x"), Some(vec![Shape::Is("a-x".into())]));
        assert_eq!(shapes(" -a -b*").expect("25").len(), 25);
        assert_eq!(shapes("-a -b -c -d"), None);
    }

    #[test]
    fn encodings() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded.as_bytes());
        }
        assert_eq!(utf16("aé".as_bytes(), true), [b'a', 0, 0xe9, 0]);
        assert_eq!(utf16(b"a", false), [0, b'a']);
    }

    proptest! {
        #[test]
        fn one_of_three_is_in_what_is_encoded(
            before in prop::collection::vec(any::<u8>(), 0..7),
            bytes in prop::collection::vec(any::<u8>(), 3..20),
            behind in prop::collection::vec(any::<u8>(), 0..7),
        ) {
            let whole = base64(&[&before[..], &bytes[..], &behind[..]].concat());
            let part = &base64_anywhere(&bytes)[before.len() % 3];
            prop_assert!(whole.windows(part.len()).any(|w| w == part.as_slice()));
        }

        #[test]
        fn any_text_is_a_pattern(text in ".*") {
            let pattern = Pattern::parse(&text);
            let _ = (pattern.shape(), pattern.dashes());
        }
    }
}
