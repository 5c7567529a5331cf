//! From a written expression to a compiled one: names found, types checked, constants folded.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;
use globset::GlobBuilder;
use memchr::memmem::Finder;

use crate::eval::{Affix, Function, Nothing, Test, address};
use crate::text::{How, TextTest, lower};
use crate::{
    Binary, Condition, Error, Expr, Kind, List, Literal, Names, Net, Span, Term, Text, Truth, Type, Unary,
    Value,
};

/// Most memory that a regular expression may take when compiled.
const MAX_REGEX: usize = 1 << 20;

/// The fields that there are.
pub trait Schema {
    /// What a field is found by in a subject.
    type Slot: Clone;

    /// The field of that name, with dots; an index by a text is a name too.
    fn field(&self, path: &str) -> Option<Field<Self::Slot>>;

    /// All names, for suggestions.
    fn names(&self) -> Vec<String>;

    /// A list of texts that has a name.
    fn list(&self, _name: &str) -> Option<&[Vec<u8>]> {
        None
    }

    /// What a store has under a key, by the store's name and the member's: `process.comm` of `process(7).comm`, `user` of `user(0)`.
    fn store(&self, _path: &str) -> Option<Stored<Self::Slot>> {
        None
    }

    /// All of those names.
    fn stores(&self) -> Vec<&'static str> {
        vec![]
    }

    /// A function of the schema's own, of constant texts.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn function(&self, _name: &str, _args: &[&str]) -> Option<Result<Field<Self::Slot>, String>> {
        None
    }
}

/// A field.
#[derive(Debug, Clone)]
pub struct Field<S> {
    /// What it is found by.
    pub slot: S,
    /// Its values' type.
    pub ty: Type,
    /// The names of its numbers.
    pub names: Option<&'static dyn Names>,
}

/// What a store has under a key.
#[derive(Debug, Clone)]
pub struct Stored<S> {
    /// What it gives.
    pub field: Field<S>,
    /// The type of its keys.
    pub key: Type,
}

/// Checks and compiles a condition.
///
/// # Errors
///
/// What it names and there is not; what has not the type that it must have; what is wrong with a constant.
pub fn compile<S: Schema>(expr: &Expr, schema: &S) -> Result<Condition<S::Slot>, Error> {
    let checker = Checker { schema, vars: vec![] };
    Ok(Condition { test: checker.test(expr)?.cheapest_first() })
}

/// Checks and compiles an expression of any type.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_value<S: Schema>(expr: &Expr, schema: &S) -> Result<(Term<S::Slot>, Type), Error> {
    let checker = Checker { schema, vars: vec![] };
    let typed = checker.expr(expr)?;
    Ok((typed.term, typed.ty))
}

struct Checker<'s, S> {
    schema: &'s S,
    /// The loops that this is in, the outermost first.
    vars: Vec<(String, Type)>,
}

/// A term and what is known of it.
struct Typed<S> {
    term: Term<S>,
    ty: Type,
    names: Option<&'static dyn Names>,
    at: Span,
}

impl<S> Typed<S> {
    fn new(term: Term<S>, ty: Type, at: Span) -> Typed<S> {
        Typed { term, ty, names: None, at }
    }

    fn constant(&self) -> Option<&Value<'static>> {
        match &self.term {
            Term::Const(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes of a constant text.
    fn literal(&self) -> Option<&[u8]> {
        self.constant()?.as_text()
    }

    fn into_test(self) -> Test<S> {
        match self.term {
            Term::Test(test) => *test,
            Term::Const(Value::Bool(b)) => Test::Const(b.into()),
            term => Test::Bool(term),
        }
    }

    /// As a text, if its numbers have names.
    fn named(self) -> Typed<S> {
        match self.names {
            Some(names) => Typed::new(Term::Named(Box::new(self.term), names), Type::Text, self.at),
            None => self,
        }
    }

    /// The text whose case does not matter, if this is a text in lower case.
    fn unfolded(self) -> (Term<S>, bool) {
        match self.term {
            Term::Call(Function::Lower, args) => match <[_; 1]>::try_from(args.into_vec()) {
                Ok([inner]) => (inner, true),
                Err(args) => (Term::Call(Function::Lower, args.into()), false),
            },
            term => (term, false),
        }
    }
}

fn text(bytes: impl Into<Vec<u8>>) -> Value<'static> {
    Value::Text(Text { bytes: Cow::Owned(bytes.into()), cut: false })
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl<S: Schema> Checker<'_, S> {
    fn test(&self, expr: &Expr) -> Result<Test<S::Slot>, Error> {
        let typed = self.expr(expr)?;
        match typed.ty {
            Type::Bool => Ok(typed.into_test()),
            ty => Err(Error::new(expr.at, format!("a condition is missing: this is {}", ty.name()))),
        }
    }

    fn expr(&self, expr: &Expr) -> Result<Typed<S::Slot>, Error> {
        let at = expr.at;
        match &expr.kind {
            Kind::Literal(literal) => {
                let (value, ty) = match literal {
                    Literal::Bool(b) => (Value::Bool(*b), Type::Bool),
                    Literal::Int(n) => (Value::Int(*n), Type::Int),
                    Literal::Double(n) => (Value::Double(*n), Type::Double),
                    Literal::Text(bytes) => (text(bytes.clone()), Type::Text),
                };
                Ok(Typed::new(Term::Const(value), ty, at))
            }
            Kind::Name(_) | Kind::Member { .. } => self.field(expr),
            Kind::Index { of, index } => self.index(expr, of, index),
            Kind::Call { on: Some(on), name, args } => self.method(at, on, name, args),
            Kind::Call { on: None, name, args } => self.function(at, name, args),
            Kind::Unary(Unary::Not, operand) => Ok(boolean(negate(self.test(operand)?), at)),
            Kind::Unary(Unary::Minus, operand) => {
                let operand = self.expr(operand)?;
                number(&operand)?;
                let (ty, zero) = (operand.ty, Term::Const(Value::Int(0)));
                let term = Term::Arithmetic(Binary::Sub, Box::new((zero, operand.term)));
                Ok(Typed::new(fold(term), ty, at))
            }
            Kind::Binary(op @ (Binary::And | Binary::Or), ..) => self.junction(*op, expr),
            Kind::Binary(Binary::In, left, right) => self.within(at, left, right),
            Kind::Binary(op, left, right) => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                match op {
                    Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem => {
                        arithmetic(*op, left, right, at)
                    }
                    _ => Ok(boolean(compare(*op, left, right)?, at)),
                }
            }
            Kind::Conditional { test, yes, no } => {
                let test = self.test(test)?;
                let (yes, no) = (self.expr(yes)?, self.expr(no)?);
                if yes.ty != no.ty {
                    let what =
                        format!("'?' gives {} or {}: both must be the same", yes.ty.name(), no.ty.name());
                    return Err(Error::new(at, what));
                }
                let ty = yes.ty;
                if ty == Type::Bool {
                    return Ok(boolean(Test::If(Box::new((test, yes.into_test(), no.into_test()))), at));
                }
                Ok(Typed::new(Term::If(Box::new((test, yes.term, no.term))), ty, at))
            }
            Kind::List(items) => self.literal_list(items, at),
        }
    }

    /// A chain of `&&` or `||`, laid out flat.
    fn junction(&self, op: Binary, expr: &Expr) -> Result<Typed<S::Slot>, Error> {
        let mut written = vec![];
        // The left operand is the rest of the chain.
        let mut at = expr;
        while let Kind::Binary(found, left, right) = &at.kind
            && *found == op
        {
            written.push(&**right);
            at = left;
        }
        written.push(at);
        let operands = written.into_iter().rev().map(|operand| self.test(operand));
        let mut operands = operands.collect::<Result<Vec<_>, Error>>()?;
        let (stop, neutral) = match op {
            Binary::And => (Truth::False, Truth::True),
            _ => (Truth::True, Truth::False),
        };
        let is = |test: &Test<_>, truth| matches!(test, Test::Const(c) if *c == truth);
        operands.retain(|test| !is(test, neutral));
        let test = if operands.iter().any(|test| is(test, stop)) {
            Test::Const(stop)
        } else if operands.len() > 1 {
            let flat = operands.into_iter().flat_map(|test| match (op, test) {
                (Binary::And, Test::All(inner)) | (Binary::Or, Test::Any(inner)) => inner.into_vec(),
                (_, test) => vec![test],
            });
            match op {
                Binary::And => Test::All(flat.collect()),
                _ => Test::Any(flat.collect()),
            }
        } else {
            operands.pop().unwrap_or(Test::Const(neutral))
        };
        Ok(boolean(test, expr.at))
    }

    fn field(&self, expr: &Expr) -> Result<Typed<S::Slot>, Error> {
        let Some(path) = expr.as_path() else { return self.member(expr) };
        if let Some(found) = self.vars.iter().rev().position(|(name, _)| *name == path) {
            let ty = self.vars[self.vars.len() - 1 - found].1;
            return Ok(Typed::new(Term::Var(found), ty, expr.at));
        }
        if let Some(list) = self.schema.list(&path) {
            let values = list.iter().map(|b| text(b.clone())).collect();
            return Ok(Typed::new(Term::Const(Value::List(List::Values(values))), Type::Texts, expr.at));
        }
        self.named_field(&path, expr.at)
    }

    /// `store(key).member`.
    fn member(&self, expr: &Expr) -> Result<Typed<S::Slot>, Error> {
        let (mut of, mut members) = (expr, String::new());
        while let Kind::Member { of: inner, name } = &of.kind {
            members = format!(".{name}{members}");
            of = inner;
        }
        match &of.kind {
            Kind::Call { on: None, name, args } if self.is_store(name) => {
                self.stored(expr.at, &format!("{name}{members}"), args)
            }
            _ => Err(Error::new(expr.at, "only fields have members: this is a value")),
        }
    }

    fn is_store(&self, name: &str) -> bool {
        self.schema.stores().iter().any(|path| path.split('.').next() == Some(name))
    }

    /// What a store has under the one argument.
    fn stored(&self, at: Span, path: &str, args: &[Expr]) -> Result<Typed<S::Slot>, Error> {
        let (name, member) = path.split_once('.').unwrap_or((path, ""));
        let Some(Stored { field, key: wanted }) = self.schema.store(path) else {
            let all = self.schema.stores();
            let members = all.iter().filter_map(|path| path.strip_prefix(name)?.strip_prefix('.'));
            let members: Vec<&str> = members.collect();
            let what = match member {
                "" => format!("'{name}(...)' stands before one of: .{}", members.join(", .")),
                _ => format!("'{name}(...)' has no member '{member}'"),
            };
            return Err(Error::new(at, what).meant(member, members));
        };
        let [arg] = args else {
            return Err(Error::new(at, format!("'{name}' takes one argument, not {}", args.len())));
        };
        let key = self.expr(arg)?;
        if key.ty != wanted {
            return Err(Error::new(
                arg.at,
                format!("this is {}, {} is wanted", key.ty.name(), wanted.name()),
            ));
        }
        let term = Term::Stored(field.slot, Box::new(key.term));
        Ok(Typed { term, ty: field.ty, names: field.names, at })
    }

    fn named_field(&self, path: &str, at: Span) -> Result<Typed<S::Slot>, Error> {
        let Some(field) = self.schema.field(path) else {
            let names = self.schema.names();
            let error = Error::new(at, format!("unknown field '{path}'"));
            return Err(error.meant(path, names.iter().map(String::as_str)));
        };
        Ok(Typed { term: Term::Field(field.slot), ty: field.ty, names: field.names, at })
    }

    fn index(&self, expr: &Expr, of: &Expr, index: &Expr) -> Result<Typed<S::Slot>, Error> {
        if let (Some(path), Kind::Literal(Literal::Text(key))) = (of.as_path(), &index.kind) {
            return self.named_field(&format!("{path}.{}", lossy(key)), expr.at);
        }
        let (list, index) = (self.expr(of)?, self.expr(index)?);
        let Some(element) = list.ty.element() else {
            return Err(Error::new(of.at, format!("{} has no elements", list.ty.name())));
        };
        if index.ty != Type::Int {
            return Err(Error::new(index.at, format!("an index is a number, not {}", index.ty.name())));
        }
        let term = Term::Call(Function::Item, Box::new([list.term, index.term]));
        Ok(Typed::new(fold(term), element, expr.at))
    }

    fn literal_list(&self, items: &[Expr], at: Span) -> Result<Typed<S::Slot>, Error> {
        let mut values = vec![];
        let mut ty: Option<Type> = None;
        for item in items {
            let typed = self.expr(item)?;
            let element = match typed.ty {
                Type::Text => Type::Texts,
                Type::Int => Type::Ints,
                other => {
                    let what = format!("lists are of texts or of numbers, not of {}", other.name());
                    return Err(Error::new(item.at, what));
                }
            };
            if ty.is_some_and(|ty| ty != element) {
                return Err(Error::new(item.at, "a list is of texts or of numbers, not of both"));
            }
            ty = Some(element);
            match typed.term {
                Term::Const(value) => values.push(value),
                _ => return Err(Error::new(item.at, "a list is of constants")),
            }
        }
        let term = Term::Const(Value::List(List::Values(values)));
        Ok(Typed::new(term, ty.unwrap_or(Type::Texts), at))
    }

    /// `left in right`.
    fn within(&self, at: Span, left: &Expr, right: &Expr) -> Result<Typed<S::Slot>, Error> {
        let value = self.expr(left)?;
        if let Kind::Call { on: None, name, args } = &right.kind
            && name == "cidr"
        {
            if value.ty != Type::Ip {
                return Err(Error::new(
                    left.at,
                    format!("only addresses are in networks: this is {}", value.ty.name()),
                ));
            }
            let args = args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
            let nets = args.iter().map(net).collect::<Result<_, _>>()?;
            return Ok(boolean(Test::Nets(value.term, nets), at));
        }
        let list = self.expr(right)?;
        let Some(element) = list.ty.element() else {
            return Err(Error::new(
                right.at,
                format!("a list is missing behind 'in': this is {}", list.ty.name()),
            ));
        };
        let wrong = || Error::new(at, format!("{} can not be in {}", value.ty.name(), list.ty.name()));
        let Some(Value::List(List::Values(constants))) = list.constant() else {
            if value.ty != element {
                return Err(wrong());
            }
            return Ok(boolean(Test::Within(Box::new((value.term, list.term))), at));
        };
        // The constants, each for itself.
        let each =
            || constants.iter().map(|c| Typed::<S::Slot>::new(Term::Const(c.clone()), element, list.at));
        let sorted = |numbers: Result<Vec<i128>, Error>| {
            numbers.map(|mut numbers| {
                numbers.sort_unstable();
                numbers.dedup();
                numbers.into_boxed_slice()
            })
        };
        let test = match (value.ty, element) {
            _ if constants.is_empty() => Test::Const(Truth::False),
            (Type::Text, Type::Text) => {
                let texts = constants.iter().filter_map(Value::as_text).map(<[u8]>::to_vec).collect();
                let (term, fold) = value.unfolded();
                text_test(term, TextFn::Is, texts, fold, list.at)?
            }
            (Type::Int, Type::Int) => {
                let numbers = constants.iter().map(|c| match c {
                    Value::Int(n) => Ok(*n),
                    _ => Err(wrong()),
                });
                Test::Ints(value.term, sorted(numbers.collect())?)
            }
            (Type::Int, Type::Text) => {
                let Some(names) = value.names else { return Err(wrong()) };
                let numbers =
                    constants.iter().map(|c| named(names, c.as_text().unwrap_or_default(), list.at));
                Test::Ints(value.term, sorted(numbers.collect())?)
            }
            (Type::Ip, Type::Text) => {
                Test::Nets(value.term, each().map(|t| net(&t)).collect::<Result<_, _>>()?)
            }
            _ => return Err(wrong()),
        };
        Ok(boolean(fold_test(test), at))
    }

    fn function(&self, at: Span, name: &str, args: &[Expr]) -> Result<Typed<S::Slot>, Error> {
        match (name, args) {
            ("has", [arg]) => {
                let typed = self.expr(arg)?;
                Ok(boolean(Test::Known(typed.term), at))
            }
            // Where it may not be known, that counts as if it did not hold.
            ("known", [arg]) => {
                let test = self.test(arg)?;
                let known = Test::Known(Term::Test(Box::new(test.clone())));
                Ok(boolean(Test::All([known, test].into()), at))
            }
            ("size", [arg]) => self.call(Function::Size, arg, &[], at),
            ("int", [arg]) => self.call(Function::Int, arg, &[], at),
            ("string", [arg]) => self.call(Function::Text, arg, &[], at),
            ("has" | "known" | "size" | "int" | "string", _) => {
                Err(Error::new(at, format!("'{name}' takes one argument, not {}", args.len())))
            }
            _ if self.is_store(name) => self.stored(at, name, args),
            ("cidr", _) => Err(Error::new(at, "'cidr' stands behind 'in': address in cidr(\"10.0.0.0/8\")")),
            _ => {
                let texts = args.iter().map(|arg| match &arg.kind {
                    Kind::Literal(Literal::Text(bytes)) => std::str::from_utf8(bytes).ok(),
                    _ => None,
                });
                let texts: Option<Vec<&str>> = texts.collect();
                match texts.and_then(|texts| self.schema.function(name, &texts)) {
                    Some(Ok(field)) => {
                        Ok(Typed { term: Term::Field(field.slot), ty: field.ty, names: field.names, at })
                    }
                    Some(Err(message)) => Err(Error::new(at, message)),
                    None => {
                        let functions = ["has", "known", "size", "int", "string", "cidr"].into_iter();
                        let stores =
                            self.schema.stores().into_iter().filter_map(|path| path.split('.').next());
                        let known = functions.chain(METHODS).chain(stores);
                        Err(Error::new(at, format!("unknown function '{name}'")).meant(name, known))
                    }
                }
            }
        }
    }

    fn call(&self, function: Function, on: &Expr, args: &[Expr], at: Span) -> Result<Typed<S::Slot>, Error> {
        let first = self.expr(on)?;
        let (takes, gives): (&[Type], Type) = match function {
            Function::Size => (&[Type::Text, Type::Texts, Type::Ints], Type::Int),
            Function::Int => (&[Type::Int, Type::Double, Type::Text, Type::Bool], Type::Int),
            Function::Text => (&[Type::Text, Type::Int, Type::Double, Type::Bool, Type::Ip], Type::Text),
            Function::Entropy => (&[Type::Text], Type::Double),
            Function::Split => (&[Type::Text], Type::Texts),
            Function::Join => (&[Type::Texts], Type::Text),
            _ => (&[Type::Text], Type::Text),
        };
        // A number with names is called by them where a text is wanted.
        let first =
            if takes.contains(&Type::Int) && function != Function::Text { first } else { first.named() };
        if !takes.contains(&first.ty) {
            return Err(Error::new(
                on.at,
                format!("this is {}, {} is wanted", first.ty.name(), takes[0].name()),
            ));
        }
        let mut terms = vec![first.term];
        for arg in args {
            let typed = self.expr(arg)?;
            if typed.ty != Type::Text {
                return Err(Error::new(arg.at, format!("this is {}, a text is wanted", typed.ty.name())));
            }
            terms.push(typed.term);
        }
        Ok(Typed::new(fold(Term::Call(function, terms.into())), gives, at))
    }

    fn method(&self, at: Span, on: &Expr, name: &str, args: &[Expr]) -> Result<Typed<S::Slot>, Error> {
        if let Some(how) = TextFn::by_name(name) {
            return self.text_method(at, on, how, args);
        }
        let count = |takes: &str| Error::new(at, format!("'{name}' takes {takes}, not {}", args.len()));
        let function = match (name, args.len()) {
            ("size", 0) => Function::Size,
            ("lower" | "lowerAscii", 0) => Function::Lower,
            ("upper" | "upperAscii", 0) => Function::Upper,
            ("trim", 0) => Function::Trim,
            ("basename", 0) => Function::Basename,
            ("dirname", 0) => Function::Dirname,
            ("entropy", 0) => Function::Entropy,
            ("replace", 2) => Function::Replace,
            ("split", 1) => Function::Split,
            ("join", 0 | 1) => Function::Join,
            ("exists" | "all", 2) => return self.items(at, on, name, args),
            ("has", 1) => return self.bits(at, on, &args[0]),
            ("replace" | "exists" | "all", _) => return Err(count("two arguments")),
            ("split" | "has", _) => return Err(count("one argument")),
            (
                "size" | "lower" | "lowerAscii" | "upper" | "upperAscii" | "trim" | "basename" | "dirname"
                | "entropy" | "join",
                _,
            ) => {
                return Err(count("no argument"));
            }
            _ => return Err(Error::new(at, format!("unknown function '{name}'")).meant(name, METHODS)),
        };
        self.call(function, on, args, at)
    }

    /// `flags.has("O_CREAT")`.
    fn bits(&self, at: Span, on: &Expr, arg: &Expr) -> Result<Typed<S::Slot>, Error> {
        let (value, bits) = (self.expr(on)?, self.expr(arg)?);
        if value.ty != Type::Int {
            return Err(Error::new(on.at, format!("only numbers have bits: this is {}", value.ty.name())));
        }
        let bits = match (bits.constant(), value.names) {
            (Some(Value::Int(n)), _) => *n,
            (Some(Value::Text(t)), Some(names)) => named(names, &t.bytes, arg.at)?,
            _ => return Err(Error::new(arg.at, "a number or the name of a flag is wanted")),
        };
        Ok(boolean(fold_test(Test::Bits(value.term, bits)), at))
    }

    /// `list.exists(x, condition)`, `list.all(x, condition)`.
    fn items(&self, at: Span, on: &Expr, name: &str, args: &[Expr]) -> Result<Typed<S::Slot>, Error> {
        let list = self.expr(on)?;
        let Some(element) = list.ty.element() else {
            return Err(Error::new(on.at, format!("a list is wanted: this is {}", list.ty.name())));
        };
        let (Some(Kind::Name(var)), Some(body)) = (args.first().map(|a| &a.kind), args.get(1)) else {
            return Err(Error::new(
                at,
                format!("the first argument of '{name}' is a name: list.{name}(x, x == 1)"),
            ));
        };
        let mut vars = self.vars.clone();
        vars.push((var.clone(), element));
        let test = Checker { schema: self.schema, vars }.test(body)?;
        let test = Test::Items { every: name == "all", of: Box::new(list.term), test: Box::new(test) };
        Ok(boolean(test, at))
    }

    fn text_method(&self, at: Span, on: &Expr, how: TextFn, args: &[Expr]) -> Result<Typed<S::Slot>, Error> {
        let name = how.name();
        let value = self.expr(on)?.named();
        if args.is_empty() {
            return Err(Error::new(at, format!("'{name}' takes at least one text")));
        }
        // In a list, `contains` is `in` the other way round.
        if how == TextFn::Contains && value.ty.element().is_some() {
            let items = args.iter().map(|arg| self.within(at, arg, on).map(Typed::into_test));
            return Ok(boolean(any(items.collect::<Result<_, _>>()?), at));
        }
        if value.ty != Type::Text {
            return Err(Error::new(on.at, format!("'{name}' is of texts: this is {}", value.ty.name())));
        }
        let args = args.iter().map(|arg| self.expr(arg)).collect::<Result<Vec<_>, _>>()?;
        let mut texts = vec![];
        let mut dynamic = vec![];
        for arg in args {
            match (&arg.term, arg.ty) {
                (Term::Const(Value::List(list)), Type::Texts) => {
                    texts.extend(list.iter().filter_map(|v| v.as_text().map(<[u8]>::to_vec)));
                }
                (Term::Const(Value::Text(text)), _) => texts.push(text.bytes.to_vec()),
                (_, Type::Text) => dynamic.push(arg),
                (_, ty) => {
                    return Err(Error::new(arg.at, format!("'{name}' takes texts: this is {}", ty.name())));
                }
            }
        }
        match <[_; 1]>::try_from(dynamic) {
            // One text in another, both of the subject.
            Ok([part]) if texts.is_empty() => {
                let affix = match how {
                    TextFn::StartsWith => Affix::Start,
                    TextFn::EndsWith => Affix::End,
                    TextFn::Contains => Affix::Anywhere,
                    _ => return Err(Error::new(part.at, format!("'{name}' takes a constant text"))),
                };
                Ok(boolean(Test::Affix(affix, Box::new((value.term, part.term))), at))
            }
            Ok([part]) => Err(Error::new(part.at, format!("'{name}' takes one text, or constants"))),
            Err(dynamic) if dynamic.is_empty() => {
                let (term, fold) = value.unfolded();
                Ok(boolean(fold_test(text_test(term, how, texts, fold, at)?), at))
            }
            Err(_) => Err(Error::new(at, format!("'{name}' takes one text, or constants"))),
        }
    }
}

/// What texts can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextFn {
    Is,
    StartsWith,
    EndsWith,
    Contains,
    Like,
    Glob,
    Matches,
}

const METHODS: [&str; 19] = [
    "startsWith",
    "endsWith",
    "contains",
    "like",
    "glob",
    "matches",
    "has",
    "exists",
    "all",
    "size",
    "lower",
    "upper",
    "trim",
    "basename",
    "dirname",
    "entropy",
    "replace",
    "split",
    "join",
];

impl TextFn {
    fn by_name(name: &str) -> Option<TextFn> {
        use TextFn::{Contains, EndsWith, Glob, Like, Matches, StartsWith};
        [StartsWith, EndsWith, Contains, Like, Glob, Matches].into_iter().find(|f| f.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            TextFn::Is => "is",
            TextFn::StartsWith => "startsWith",
            TextFn::EndsWith => "endsWith",
            TextFn::Contains => "contains",
            TextFn::Like => "like",
            TextFn::Glob => "glob",
            TextFn::Matches => "matches",
        }
    }
}

/// A test of a text against constants, of which one must fit.
fn text_test<S>(
    term: Term<S>,
    how: TextFn,
    mut texts: Vec<Vec<u8>>,
    fold: bool,
    at: Span,
) -> Result<Test<S>, Error> {
    if fold && how != TextFn::Matches {
        for text in &mut texts {
            // In lower case it would never be what is not.
            if lower(text).as_ref() != text.as_slice() {
                let what = format!("a text in lower case never fits '{}'", lossy(text));
                return Err(Error::new(at, what).meant_exactly(&lossy(&lower(text))));
            }
        }
    }
    let boxed = |texts: Vec<Vec<u8>>| texts.into_iter().map(Vec::into_boxed_slice);
    let how = match how {
        TextFn::Is => match texts.len() {
            1 => How::IsOne(texts.pop().unwrap_or_default().into()),
            _ => How::Is(boxed(texts).collect()),
        },
        TextFn::StartsWith => How::Starts(boxed(texts).collect()),
        TextFn::EndsWith => How::Ends(boxed(texts).collect()),
        TextFn::Contains if texts.len() == 1 && !fold => {
            let needle = texts.pop().unwrap_or_default();
            How::Contains(Box::new(Finder::new(&needle).into_owned()))
        }
        TextFn::Contains => {
            let built = AhoCorasick::builder().ascii_case_insensitive(fold).build(&texts);
            let built = built.map_err(|e| Error::new(at, e.to_string()))?;
            How::ContainsAny(Box::new(built), boxed(texts).collect())
        }
        TextFn::Like => How::Like(boxed(texts).collect()),
        TextFn::Glob => {
            let globs = texts.iter().map(|t| {
                let text = std::str::from_utf8(t).map_err(|_| Error::new(at, "a glob is UTF-8"))?;
                let glob = GlobBuilder::new(text).literal_separator(true).build();
                glob.map(|g| g.compile_matcher()).map_err(|e| Error::new(at, format!("no glob: {e}")))
            });
            How::Glob(globs.collect::<Result<_, _>>()?)
        }
        TextFn::Matches => {
            let expressions = texts.iter().map(|t| {
                let text =
                    std::str::from_utf8(t).map_err(|_| Error::new(at, "a regular expression is UTF-8"))?;
                Ok(format!("(?:{text})"))
            });
            let one = expressions.collect::<Result<Vec<_>, Error>>()?.join("|");
            let one = if texts.len() == 1 { &one[3..one.len() - 1] } else { &one };
            let built =
                regex::bytes::RegexBuilder::new(one).case_insensitive(fold).size_limit(MAX_REGEX).build();
            let wrong = |e: regex::Error| {
                let message = e.to_string();
                let last =
                    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Error::new(at, format!("no regular expression: {last}"))
            };
            How::Matches(Box::new(built.map_err(wrong)?))
        }
    };
    Ok(Test::Text(term, TextTest { how, fold }))
}

impl Error {
    fn meant_exactly(self, suggestion: &str) -> Error {
        Error { suggestion: Some(suggestion.to_owned()), ..self }
    }
}

fn any<S>(mut tests: Vec<Test<S>>) -> Test<S> {
    match (tests.pop(), tests.is_empty()) {
        (Some(test), true) => test,
        (Some(test), false) => {
            tests.push(test);
            Test::Any(tests.into())
        }
        (None, _) => Test::Const(Truth::False),
    }
}

fn boolean<S>(test: Test<S>, at: Span) -> Typed<S> {
    Typed::new(Term::Test(Box::new(test)), Type::Bool, at)
}

fn negate<S>(test: Test<S>) -> Test<S> {
    match test {
        Test::Const(truth) => Test::Const(!truth),
        Test::Not(test) => *test,
        test => Test::Not(Box::new(test)),
    }
}

fn number<S>(typed: &Typed<S>) -> Result<(), Error> {
    match typed.ty {
        Type::Int | Type::Double => Ok(()),
        ty => Err(Error::new(typed.at, format!("a number is wanted: this is {}", ty.name()))),
    }
}

/// The number of a name.
fn named(names: &'static dyn Names, name: &[u8], at: Span) -> Result<i128, Error> {
    let text = lossy(name);
    names.number(&text).ok_or_else(|| {
        let last = text.rsplit('|').next().unwrap_or_default();
        Error::new(at, format!("no number is called '{text}' here")).meant(last, names.all())
    })
}

/// The network that a constant text names.
fn net<S>(typed: &Typed<S>) -> Result<Net, Error> {
    let text = typed.literal().and_then(|t| std::str::from_utf8(t).ok());
    let net = text.and_then(|t| t.parse().ok());
    net.ok_or_else(|| {
        let what = "an address or network is wanted, such as 10.0.0.0/8";
        Error::new(typed.at, what.to_owned() + &text.map(|t| format!("; not '{t}'")).unwrap_or_default())
    })
}

fn arithmetic<S>(op: Binary, left: Typed<S>, right: Typed<S>, at: Span) -> Result<Typed<S>, Error> {
    let (left, right) = match (left.ty, right.ty) {
        (Type::Text, Type::Int) => (left, right.named()),
        (Type::Int, Type::Text) => (left.named(), right),
        _ => (left, right),
    };
    let ty = match (left.ty, right.ty) {
        (Type::Text, Type::Text) if op == Binary::Add => Type::Text,
        (Type::Int, Type::Int) => Type::Int,
        (Type::Int | Type::Double, Type::Int | Type::Double) => Type::Double,
        (a, b) => {
            let what = format!("'{}' between {} and {}", op.text(), a.name(), b.name());
            return Err(Error::new(at, what));
        }
    };
    Ok(Typed::new(fold(Term::Arithmetic(op, Box::new((left.term, right.term)))), ty, at))
}

/// `==`, `!=`, `<` ...
fn compare<S>(op: Binary, left: Typed<S>, right: Typed<S>) -> Result<Test<S>, Error> {
    // The constant to the right, so that there is one form.
    let (op, left, right) = match (left.constant(), right.constant()) {
        (Some(_), None) => (mirrored(op), right, left),
        _ => (op, left, right),
    };
    let at = left.at.to(right.at);
    let at = if at.end < at.start { right.at.to(left.at) } else { at };
    let equality = matches!(op, Binary::Eq | Binary::Ne);
    let signed = |test| if op == Binary::Ne { negate(test) } else { test };
    let wrong = || {
        let what = format!("{} is compared with {}", left.ty.name(), right.ty.name());
        Error::new(at, what)
    };
    match (left.ty, right.ty) {
        (Type::Int, Type::Text) => {
            let (Some(names), Some(name), true) = (left.names, right.literal(), equality) else {
                return Err(wrong());
            };
            let number = named(names, name, right.at)?;
            Ok(signed(Test::Ints(left.term, Box::new([number]))))
        }
        (Type::Ip, Type::Text) if equality => {
            let address = right.literal().and_then(address);
            let Some(address) = address else {
                net(&right)?;
                let error = Error::new(right.at, "an address is compared with a network");
                return Err(error.meant_exactly("in cidr(...)"));
            };
            let one = net(&Typed::<S>::new(Term::Const(text(address.to_string())), Type::Text, right.at))?;
            Ok(signed(Test::Nets(left.term, Box::new([one]))))
        }
        (Type::Text, Type::Text) if equality && right.literal().is_some() => {
            let wanted = right.literal().unwrap_or_default().to_vec();
            let (term, fold) = left.unfolded();
            Ok(signed(fold_test(text_test(term, TextFn::Is, vec![wanted], fold, right.at)?)))
        }
        (Type::Int, Type::Int) => {
            let Some(&Value::Int(n)) = right.constant() else {
                return Ok(Test::Compare(op, Box::new((left.term, right.term))));
            };
            let term = left.term;
            Ok(fold_test(match op {
                Binary::Lt => Test::Range(term, i128::MIN, n.saturating_sub(1)),
                Binary::Le => Test::Range(term, i128::MIN, n),
                Binary::Gt => Test::Range(term, n.saturating_add(1), i128::MAX),
                Binary::Ge => Test::Range(term, n, i128::MAX),
                _ => signed(Test::Ints(term, Box::new([n]))),
            }))
        }
        (Type::Bool, Type::Bool) if equality => match right.constant() {
            Some(Value::Bool(wanted)) => {
                let wanted = *wanted == (op == Binary::Eq);
                let test = left.into_test();
                Ok(if wanted { test } else { negate(test) })
            }
            _ => Ok(Test::Compare(op, Box::new((left.term, right.term)))),
        },
        (Type::Int | Type::Double, Type::Int | Type::Double)
        | (Type::Text, Type::Text)
        | (Type::Ip, Type::Ip)
        | (Type::Bool, Type::Bool) => Ok(fold_test(Test::Compare(op, Box::new((left.term, right.term))))),
        _ => Err(wrong()),
    }
}

const fn mirrored(op: Binary) -> Binary {
    match op {
        Binary::Lt => Binary::Gt,
        Binary::Le => Binary::Ge,
        Binary::Gt => Binary::Lt,
        Binary::Ge => Binary::Le,
        other => other,
    }
}

/// What is made of constants only is one.
fn fold<S>(term: Term<S>) -> Term<S> {
    let constant = match &term {
        Term::Arithmetic(_, pair) => is_const(&pair.0) && is_const(&pair.1),
        Term::Call(_, args) => args.iter().all(is_const),
        _ => false,
    };
    if !constant {
        return term;
    }
    let folded = owned(term.value(&Nothing::default()));
    folded.map_or(term, Term::Const)
}

fn fold_test<S>(test: Test<S>) -> Test<S> {
    let constant = match &test {
        Test::Text(term, _) | Test::Ints(term, _) | Test::Range(term, ..) | Test::Bits(term, _) => {
            is_const(term)
        }
        Test::Compare(_, pair) => is_const(&pair.0) && is_const(&pair.1),
        _ => false,
    };
    if constant {
        let condition = Condition { test };
        return Test::Const(condition.of(&Nothing::default()));
    }
    test
}

fn is_const<S>(term: &Term<S>) -> bool {
    matches!(term, Term::Const(_))
}

/// A value that borrows nothing; none, if it is not known.
fn owned(value: Value<'_>) -> Option<Value<'static>> {
    Some(match value {
        Value::Unknown => return None,
        Value::Bool(b) => Value::Bool(b),
        Value::Int(n) => Value::Int(n),
        Value::Double(n) => Value::Double(n),
        Value::Ip(ip) => Value::Ip(ip),
        Value::Text(t) => Value::Text(Text { bytes: Cow::Owned(t.bytes.into_owned()), cut: t.cut }),
        Value::List(list) => Value::List(List::Values(list.iter().map(owned).collect::<Option<_>>()?)),
    })
}
