//! Text with wildcards.

/// Text in which each `*` stands for any bytes, none too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Pattern {
        Pattern(text.as_bytes().to_vec())
    }

    /// The text, if it has no wildcard.
    pub(crate) fn exact(&self) -> Option<&[u8]> {
        (!self.0.contains(&b'*')).then_some(&self.0)
    }

    /// What a text must begin with, if that is all that is asked.
    pub(crate) fn start(&self) -> Option<&[u8]> {
        self.0.strip_suffix(b"*").filter(|start| !start.contains(&b'*'))
    }

    /// What a text must end with, if that is all that is asked.
    pub(crate) fn end(&self) -> Option<&[u8]> {
        self.0.strip_prefix(b"*").filter(|end| !end.contains(&b'*'))
    }

    /// What it begins with, up to its first wildcard.
    pub(crate) fn literal(&self) -> &[u8] {
        self.0.split(|&b| b == b'*').next().unwrap_or_default()
    }

    /// Keeps at most so many bytes of a text without wildcard.
    pub(crate) fn cut_exact(mut self, bytes: usize) -> Pattern {
        if self.exact().is_some() {
            self.0.truncate(bytes);
        }
        self
    }

    pub(crate) fn matches(&self, mut text: &[u8]) -> bool {
        let mut parts = self.0.split(|&b| b == b'*');
        let Some(head) = parts.next() else { return text.is_empty() };
        let Some(rest) = text.strip_prefix(head) else { return false };
        text = rest;
        let Some(tail) = parts.next_back() else { return text.is_empty() };
        // The leftmost place for each part leaves the most for those after it.
        for part in parts.filter(|p| !p.is_empty()) {
            let Some(at) = text.windows(part.len()).position(|w| w == part) else { return false };
            text = text.get(at + part.len()..).unwrap_or_default();
        }
        text.ends_with(tail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(p: &[u8], t: &[u8]) -> bool {
        match (p.split_first(), t.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => naive(rest, t) || (!t.is_empty() && naive(p, &t[1..])),
            (Some((a, p)), Some((b, t))) => a == b && naive(p, t),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_naive_matcher(p in "[ab*]{0,7}", t in "[ab]{0,7}") {
            prop_assert_eq!(Pattern::new(&p).matches(t.as_bytes()), naive(p.as_bytes(), t.as_bytes()));
        }
    }
}
