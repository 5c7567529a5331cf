//! Words.

use crate::{Error, Span};

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Name(String),
    Int(i128),
    Double(f64),
    Text(Vec<u8>),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

impl Token {
    /// As it is called in a message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Token::Name(name) => format!("'{name}'"),
            Token::Int(n) => format!("'{n}'"),
            Token::Double(n) => format!("'{n}'"),
            Token::Text(_) => "a text".into(),
            Token::Sign(sign) => format!("'{sign}'"),
            Token::End => "the end".into(),
        }
    }
}

/// Those of two bytes first.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", ".",
    "?", ":", "{", "}",
];

/// All words of a text, the last of which is [`Token::End`].
pub(crate) fn lex(text: &str) -> Result<Vec<(Token, Span)>, Error> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = vec![];
    loop {
        let (token, span) = lexer.next()?;
        let end = token == Token::End;
        tokens.push((token, span));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, start: usize) -> Span {
        Span { start, end: self.at }
    }

    fn take(&mut self, while_: impl Fn(char) -> bool) -> &str {
        let start = self.at;
        let rest = self.rest();
        self.at += rest.find(|c| !while_(c)).unwrap_or(rest.len());
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn next(&mut self) -> Result<(Token, Span), Error> {
        loop {
            self.take(|c| c.is_ascii_whitespace());
            if !self.rest().starts_with("//") {
                break;
            }
            self.take(|c| c != '\n');
        }
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok((Token::End, self.span(start))) };
        if let Some(token) = self.string()? {
            return Ok((token, self.span(start)));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
            let token = if name == "in" { Token::Sign("in") } else { Token::Name(name) };
            return Ok((token, self.span(start)));
        }
        if first.is_ascii_digit() {
            let token = self.number()?;
            return Ok((token, self.span(start)));
        }
        if let Some(sign) = SIGNS.iter().find(|s| self.rest().starts_with(**s)) {
            self.at += sign.len();
            return Ok((Token::Sign(sign), self.span(start)));
        }
        self.at += first.len_utf8();
        let error = Error::new(self.span(start), format!("unexpected {first:?}"));
        Err(match first {
            '=' => Error { suggestion: Some("==".into()), ..error },
            '&' => Error { suggestion: Some("&&".into()), ..error },
            '|' => Error { suggestion: Some("||".into()), ..error },
            _ => error,
        })
    }

    fn number(&mut self) -> Result<Token, Error> {
        let start = self.at;
        let wrong = |span, text: &str| Error::new(span, format!("'{text}' is no number"));
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            let digits = self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
            let digits = digits.trim_end_matches(['u', 'U']);
            return i128::from_str_radix(digits, 16)
                .map(Token::Int)
                .map_err(|_| wrong(self.span(start), &self.text[start..self.at]));
        }
        self.take(|c| c.is_ascii_digit());
        let fraction =
            self.rest().strip_prefix('.').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
        if fraction {
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
        }
        let exponent = self
            .rest()
            .strip_prefix(['e', 'E'])
            .is_some_and(|r| r.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit()));
        if exponent {
            self.at += 1;
            self.take(|c| c == '+' || c == '-');
            self.take(|c| c.is_ascii_digit());
        }
        let digits = self.text[start..self.at].to_owned();
        // What is glued to a number: `12u` is one, `12abc` is not.
        let tail = self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
        let parsed = match tail.as_str() {
            "" if fraction || exponent => digits.parse().ok().map(Token::Double),
            "" | "u" | "U" if !(fraction || exponent) => digits.parse().ok().map(Token::Int),
            _ => None,
        };
        parsed.ok_or_else(|| wrong(self.span(start), &self.text[start..self.at]))
    }

    /// A text in quotes, with `r` (no escapes) or `b` (bytes) before it, if there is one here.
    fn string(&mut self) -> Result<Option<Token>, Error> {
        let start = self.at;
        let prefix = self.rest().len() - self.rest().trim_start_matches(['r', 'R', 'b', 'B']).len();
        let raw = self.rest()[..prefix].contains(['r', 'R']);
        let Some(quote) = self.rest()[prefix..].chars().next().filter(|c| prefix <= 2 && "'\"".contains(*c))
        else {
            return Ok(None);
        };
        let triple: String = [quote; 3].iter().collect();
        let fence = if self.rest()[prefix..].starts_with(&triple) { triple } else { quote.to_string() };
        self.at += prefix + fence.len();
        let mut out = vec![];
        loop {
            let rest = self.rest();
            if rest.starts_with(&fence) {
                self.at += fence.len();
                return Ok(Some(Token::Text(out)));
            }
            let Some(c) = rest.chars().next().filter(|&c| c != '\n' || fence.len() == 3) else {
                return Err(Error::new(self.span(start), format!("the text has no end: {fence} is missing")));
            };
            self.at += c.len_utf8();
            if c == '\\' && !raw {
                self.escape(&mut out)?;
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.at - 1;
        let c = self.rest().chars().next().unwrap_or(' ');
        self.at += c.len_utf8().min(self.rest().len());
        let mut digits = |radix: u32, n: usize| {
            let text = self.text.get(self.at..self.at + n).unwrap_or_default();
            let value = u32::from_str_radix(text, radix).ok();
            self.at += if value.is_some() { n } else { 0 };
            value
        };
        let utf8 = |c: char| c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
        let known = match c {
            'n' => Some(vec![b'\n']),
            't' => Some(vec![b'\t']),
            'r' => Some(vec![b'\r']),
            'a' => Some(vec![7]),
            'b' => Some(vec![8]),
            'f' => Some(vec![12]),
            'v' => Some(vec![11]),
            '\\' | '\'' | '"' | '`' | '?' => Some(utf8(c)),
            'x' | 'X' => digits(16, 2).and_then(|n| u8::try_from(n).ok()).map(|b| vec![b]),
            'u' => digits(16, 4).and_then(char::from_u32).map(utf8),
            'U' => digits(16, 8).and_then(char::from_u32).map(utf8),
            '0'..='3' => {
                self.at -= 1;
                let text = self.text.get(self.at..self.at + 3).unwrap_or_default();
                let byte = u8::from_str_radix(text, 8).ok();
                self.at += if byte.is_some() { 3 } else { 1 };
                byte.map(|b| vec![b])
            }
            _ => None,
        };
        match known {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => {
                let error = Error::new(self.span(start), format!("unknown escape '\\{c}'"));
                return Err(Error { suggestion: Some(format!("\\\\{c}")), ..error });
            }
        }
        Ok(())
    }
}
