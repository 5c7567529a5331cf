//! From text to expression.

use crate::lex::{Token, lex};
use crate::{Binary, Error, Expr, Kind, Literal, Span, Unary};

/// Most bytes of an expression.
const MAX_BYTES: usize = 64 << 10;
/// Deepest that an expression may nest: it is walked by recursion.
const MAX_DEPTH: usize = 64;

/// Reads an expression.
///
/// # Errors
///
/// What is not in the language, with its place.
pub fn parse(text: &str) -> Result<Expr, Error> {
    if text.len() > MAX_BYTES {
        let at = Span { start: 0, end: text.len() };
        return Err(Error::new(at, format!("the expression is longer than {MAX_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: lex(text)?, next: 0, depth: 0 };
    let expr = parser.conditional()?;
    match parser.peek() {
        (Token::End, _) => Ok(expr),
        (token, at) => Err(Error::new(*at, format!("unexpected {} after the expression", token.describe()))),
    }
}

/// Operators by strength, the weakest first.
const LEVELS: [&[Binary]; 5] = [
    &[Binary::Or],
    &[Binary::And],
    &[Binary::Eq, Binary::Ne, Binary::Le, Binary::Ge, Binary::Lt, Binary::Gt, Binary::In],
    &[Binary::Add, Binary::Sub],
    &[Binary::Mul, Binary::Div, Binary::Rem],
];

struct Parser {
    tokens: Vec<(Token, Span)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &(Token, Span) {
        // The last token is the end, and is never passed.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> (Token, Span) {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn accept(&mut self, sign: &str) -> Option<Span> {
        let (token, at) = self.peek();
        let at = *at;
        matches!(token, Token::Sign(s) if *s == sign).then(|| {
            self.next += 1;
            at
        })
    }

    fn expect(&mut self, sign: &str, what: &str) -> Result<Span, Error> {
        self.accept(sign).ok_or_else(|| {
            let (token, at) = self.peek();
            Error::new(*at, format!("'{sign}' is missing {what}, found {}", token.describe()))
        })
    }

    /// Runs a rule one level deeper.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new(self.peek().1, format!("nested deeper than {MAX_DEPTH}")));
        }
        let result = rule(self);
        self.depth -= 1;
        result
    }

    fn conditional(&mut self) -> Result<Expr, Error> {
        self.nested(|p| {
            let test = p.binary(0)?;
            if p.accept("?").is_none() {
                return Ok(test);
            }
            let yes = p.conditional()?;
            p.expect(":", "between the two values of '?'")?;
            let no = p.conditional()?;
            let at = test.at.to(no.at);
            Ok(Expr {
                kind: Kind::Conditional { test: Box::new(test), yes: Box::new(yes), no: Box::new(no) },
                at,
            })
        })
    }

    fn binary(&mut self, level: usize) -> Result<Expr, Error> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut chain = 0;
        while let Some(&op) = operators.iter().find(|op| self.accept(op.text()).is_some()) {
            let right = self.binary(level + 1)?;
            // `a && b && ...` is walked by recursion too; a chain is laid out flat when it is compiled.
            chain += 1;
            if chain > MAX_CHAIN {
                return Err(Error::new(right.at, format!("more than {MAX_CHAIN} operands in a row")));
            }
            left = left.binary(op, right);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        for (sign, op) in [("!", Unary::Not), ("-", Unary::Minus)] {
            if let Some(start) = self.accept(sign) {
                let operand = self.nested(Self::unary)?;
                let at = start.to(operand.at);
                // The one way to write a negative number.
                if let (Unary::Minus, Kind::Literal(Literal::Int(n))) = (op, &operand.kind) {
                    return Ok(Expr::int(-n, at));
                }
                return Ok(Expr { kind: Kind::Unary(op, Box::new(operand)), at });
            }
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Expr, Error> {
        let mut expr = self.primary()?;
        let mut chain = 0;
        loop {
            chain += 1;
            if chain > MAX_DEPTH {
                return Err(Error::new(expr.at, format!("more than {MAX_DEPTH} members or calls in a row")));
            }
            if self.accept(".").is_some() {
                let (token, at) = self.advance();
                let Token::Name(name) = token else {
                    let what = format!("a name is missing after '.', found {}", token.describe());
                    return Err(Error::new(at, what));
                };
                expr = match self.arguments()? {
                    Some((args, end)) => {
                        let at = expr.at.to(end);
                        Expr { kind: Kind::Call { on: Some(Box::new(expr)), name, args }, at }
                    }
                    None => {
                        let at = expr.at.to(at);
                        Expr { kind: Kind::Member { of: Box::new(expr), name }, at }
                    }
                };
            } else if self.accept("[").is_some() {
                let index = Box::new(self.conditional()?);
                let at = expr.at.to(self.expect("]", "after the index")?);
                expr = Expr { kind: Kind::Index { of: Box::new(expr), index }, at };
            } else {
                return Ok(expr);
            }
        }
    }

    /// What stands in brackets after a name, if it is called.
    fn arguments(&mut self) -> Result<Option<(Vec<Expr>, Span)>, Error> {
        if self.accept("(").is_none() {
            return Ok(None);
        }
        let args = self.list(")", "after the arguments")?;
        Ok(Some(args))
    }

    fn list(&mut self, close: &str, what: &str) -> Result<(Vec<Expr>, Span), Error> {
        let mut items = vec![];
        loop {
            if let Some(end) = self.accept(close) {
                return Ok((items, end));
            }
            items.push(self.conditional()?);
            if self.accept(",").is_none() {
                return Ok((items, self.expect(close, what)?));
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Error> {
        let (token, at) = self.advance();
        let literal = |l| Ok(Expr { kind: Kind::Literal(l), at });
        match token {
            Token::Int(n) => literal(Literal::Int(n)),
            Token::Double(n) => literal(Literal::Double(n)),
            Token::Text(text) => literal(Literal::Text(text)),
            Token::Name(name) => match name.as_str() {
                "true" => literal(Literal::Bool(true)),
                "false" => literal(Literal::Bool(false)),
                _ => Ok(match self.arguments()? {
                    Some((args, end)) => Expr { kind: Kind::Call { on: None, name, args }, at: at.to(end) },
                    None => Expr { kind: Kind::Name(name), at },
                }),
            },
            Token::Sign("(") => {
                let inner = self.conditional()?;
                let end = self.expect(")", "after the bracket's expression")?;
                Ok(Expr { at: at.to(end), ..inner })
            }
            Token::Sign("[") => {
                let (items, end) = self.list("]", "after the list")?;
                Ok(Expr { kind: Kind::List(items), at: at.to(end) })
            }
            Token::Sign("{") => Err(Error::new(at, "maps and messages of CEL are not in the language")),
            token => Err(Error::new(at, format!("an expression is missing, found {}", token.describe()))),
        }
    }
}

/// Most operands of operators of one strength in a row.
const MAX_CHAIN: usize = 1024;
