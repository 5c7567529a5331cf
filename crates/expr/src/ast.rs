//! An expression as it is written.

/// Bytes of an expression's text, from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From the beginning of one to the end of another.
    pub(crate) const fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }

    /// Line and column of its first byte in `text`, both from 1; columns count characters.
    pub fn place(self, text: &str) -> (usize, usize) {
        let before = text.get(..self.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// An expression, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub at: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A value that is written out.
    Literal(Literal),
    /// A name.
    Name(String),
    /// `of.name`.
    Member {
        /// Of what.
        of: Box<Expr>,
        /// Which.
        name: String,
    },
    /// `of[index]`.
    Index {
        /// Of what.
        of: Box<Expr>,
        /// Which.
        index: Box<Expr>,
    },
    /// `name(args)`, `on.name(args)`.
    Call {
        /// The value before the dot.
        on: Option<Box<Expr>>,
        /// Of the function.
        name: String,
        /// What it is given.
        args: Vec<Expr>,
    },
    /// An operator before an operand.
    Unary(Unary, Box<Expr>),
    /// An operator between two.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `test ? yes : no`.
    Conditional {
        /// What decides.
        test: Box<Expr>,
        /// The value if true.
        yes: Box<Expr>,
        /// The value if false.
        no: Box<Expr>,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
}

/// A value that is written out.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `true`, `false`.
    Bool(bool),
    /// `12`, `0x1f`, `12u`.
    Int(i128),
    /// `1.5`.
    Double(f64),
    /// `"text"`, `b"bytes"`.
    Text(Vec<u8>),
}

/// An operator before an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// `!`
    Not,
    /// `-`
    Minus,
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `in`
    In,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}

impl Binary {
    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Binary::Or => "||",
            Binary::And => "&&",
            Binary::Eq => "==",
            Binary::Ne => "!=",
            Binary::Lt => "<",
            Binary::Le => "<=",
            Binary::Gt => ">",
            Binary::Ge => ">=",
            Binary::In => "in",
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Mul => "*",
            Binary::Div => "/",
            Binary::Rem => "%",
        }
    }
}

/// Expressions that were not written but made, of one place.
impl Expr {
    /// A text.
    pub fn text(value: impl Into<Vec<u8>>, at: Span) -> Expr {
        Expr { kind: Kind::Literal(Literal::Text(value.into())), at }
    }

    /// A number.
    pub fn int(value: i128, at: Span) -> Expr {
        Expr { kind: Kind::Literal(Literal::Int(value)), at }
    }

    /// A truth value.
    pub fn bool(value: bool, at: Span) -> Expr {
        Expr { kind: Kind::Literal(Literal::Bool(value)), at }
    }

    /// A name with dots.
    pub fn path(path: &str, at: Span) -> Expr {
        let mut parts = path.split('.').map(str::to_owned);
        let first = Expr { kind: Kind::Name(parts.next().unwrap_or_default()), at };
        parts.fold(first, |of, name| Expr { kind: Kind::Member { of: Box::new(of), name }, at })
    }

    /// `self.name(args)`.
    pub fn call(self, name: &str, args: Vec<Expr>) -> Expr {
        let at = self.at;
        Expr { kind: Kind::Call { on: Some(Box::new(self)), name: name.into(), args }, at }
    }

    /// `self op other`.
    pub fn binary(self, op: Binary, other: Expr) -> Expr {
        let at = self.at.to(other.at);
        Expr { kind: Kind::Binary(op, Box::new(self), Box::new(other)), at }
    }

    /// `!self`.
    pub fn negated(self) -> Expr {
        let at = self.at;
        Expr { kind: Kind::Unary(Unary::Not, Box::new(self)), at }
    }

    /// All of them, or any; of none, what changes nothing.
    pub fn joined(op: Binary, all: impl IntoIterator<Item = Expr>, at: Span) -> Expr {
        let joined = all.into_iter().reduce(|a, b| a.binary(op, b));
        joined.unwrap_or_else(|| Expr::bool(op == Binary::And, at))
    }

    /// The name with dots that this is, if it is one.
    pub fn as_path(&self) -> Option<String> {
        match &self.kind {
            Kind::Name(name) => Some(name.clone()),
            Kind::Member { of, name } => Some(format!("{}.{name}", of.as_path()?)),
            _ => None,
        }
    }
}
