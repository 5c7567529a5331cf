//! Conditions: `selection and not 1 of filter_*`.

/// A condition as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    /// A selection.
    Name(String),
    /// So many of those whose names are like this.
    Of(Quantity, String),
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    All,
    AtLeast(usize),
}

/// Deepest that a condition may nest: it is walked by recursion.
const MAX_DEPTH: usize = 32;

/// Reads a condition.
///
/// # Errors
///
/// What is not in the language.
pub(crate) fn parse(text: &str) -> Result<Condition, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('|', " | ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, depth: 0 };
    let condition = parser.or()?;
    match parser.words.first() {
        None => Ok(condition),
        Some(&"|") => Err("an aggregation behind '|' is not supported: it is a correlation now".into()),
        Some(word) => Err(format!("unexpected '{word}' in the condition")),
    }
}

struct Parser<'t> {
    words: &'t [&'t str],
    depth: usize,
}

fn is(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

impl<'t> Parser<'t> {
    fn accept(&mut self, keyword: &str) -> bool {
        match self.words.split_first() {
            Some((word, rest)) if is(word, keyword) => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self, what: &str) -> Result<&'t str, String> {
        let (word, rest) = self.words.split_first().ok_or_else(|| format!("{what} is missing at the end"))?;
        self.words = rest;
        Ok(word)
    }

    fn or(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the condition nests deeper than {MAX_DEPTH}"));
        }
        let mut all = vec![self.and()?];
        while self.accept("or") {
            all.push(self.and()?);
        }
        self.depth -= 1;
        Ok(one_or(all, Condition::Or))
    }

    fn and(&mut self) -> Result<Condition, String> {
        let mut all = vec![self.unary()?];
        while self.accept("and") {
            all.push(self.unary()?);
        }
        Ok(one_or(all, Condition::And))
    }

    fn unary(&mut self) -> Result<Condition, String> {
        let mut negated = false;
        while self.accept("not") {
            negated = !negated;
        }
        let operand = self.operand()?;
        Ok(if negated { Condition::Not(Box::new(operand)) } else { operand })
    }

    fn operand(&mut self) -> Result<Condition, String> {
        let word = self.next("a selection")?;
        if word == "(" {
            let inner = self.or()?;
            return match self.next("')'")? {
                ")" => Ok(inner),
                other => Err(format!("')' is missing before '{other}'")),
            };
        }
        if !self.words.first().is_some_and(|w| is(w, "of")) {
            return match word {
                ")" | "|" => Err(format!("a selection is missing before '{word}'")),
                _ if ["and", "or", "of"].iter().any(|k| is(word, k)) => {
                    Err(format!("a selection is missing before '{word}'"))
                }
                _ => Ok(Condition::Name(word.to_owned())),
            };
        }
        let quantity = match word {
            _ if is(word, "all") => Quantity::All,
            _ if is(word, "any") => Quantity::AtLeast(1),
            _ => match word.parse() {
                Ok(n) if n > 0 => Quantity::AtLeast(n),
                _ => return Err(format!("'{word} of': 'all', 'any' or a number is wanted")),
            },
        };
        self.accept("of");
        let which = self.next("what the selections are called")?;
        if ["(", ")", "|"].contains(&which) {
            return Err(format!("what the selections are called is missing before '{which}'"));
        }
        Ok(Condition::Of(quantity, which.to_owned()))
    }
}

fn one_or(mut all: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => one,
        (last, _) => {
            all.extend(last);
            many(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> Condition {
        Condition::Name(name.into())
    }

    #[test]
    fn grammar() {
        let not = |c| Condition::Not(Box::new(c));
        for (text, condition) in [
            ("a", name("a")),
            ("(a)", name("a")),
            ("not a", not(name("a"))),
            ("not not a", name("a")),
            ("a AND b or c", Condition::Or(vec![Condition::And(vec![name("a"), name("b")]), name("c")])),
            ("a and(b or c)", Condition::And(vec![name("a"), Condition::Or(vec![name("b"), name("c")])])),
            ("1 of sel_*", Condition::Of(Quantity::AtLeast(1), "sel_*".into())),
            ("not all of them", not(Condition::Of(Quantity::All, "them".into()))),
            ("any of x*", Condition::Of(Quantity::AtLeast(1), "x*".into())),
            ("all", name("all")),
        ] {
            assert_eq!(parse(text), Ok(condition), "{text}");
        }
        for wrong in [
            "",
            "a b",
            "a and",
            "(a",
            "a)",
            "0 of x",
            "x of y",
            "1 of",
            "a | count() > 5",
            "and",
            "not",
            "1 of (",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(a|b_*|and|or|not|1|all|of|them|\\(|\\)|\\||[ -~]| ){0,20}") {
            let _ = parse(&text);
        }
    }
}
