//! The syntax of `--scope`.

use context::COMM_BYTES;

use super::condition::{Condition, Number, Text};
use crate::Error;
use crate::pattern::Pattern;
use expr::nearest;

const NUMBERS: &str = "=, != and numbers with commas, or <, <=, >, >= and one number, from 0 to 4294967295";
const PIDS: &str =
    "=, != and numbers with commas or 'new', or <, <=, >, >= and one number, from 0 to 4294967295";
const TEXTS: &str = "=, != and texts with commas, * for anything";
const PATHS: &str = "=, != and absolute paths with commas, * for anything";
const CONTAINERS: &str =
    "'container', 'not-container', or container with =, != and 'new' or beginnings of ids with commas";
const TREES: &str = "=, != and pids with commas";
const ALONE: &str = "the word alone";

const KEYS: [&str; 14] = [
    "uid",
    "pid",
    "tid",
    "mntns",
    "pidns",
    "comm",
    "exec",
    "executable",
    "bin",
    "binary",
    "container",
    "not-container",
    "tree",
    "follow",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    Not,
    Less,
    LessOrIs,
    More,
    MoreOrIs,
}

/// One value of `--scope`, cut at its operator.
struct Parts<'a> {
    token: &'a str,
    allowed: &'static str,
    /// Operator and what follows it; `None` for a word alone.
    test: Option<(Operator, &'a str)>,
}

/// The condition that one value of `--scope` sets; `None` for `follow`, which is none.
pub(super) fn condition(token: &str) -> Result<Option<Condition>, Error> {
    let end = token.find(['=', '!', '<', '>']).unwrap_or(token.len());
    let (key, rest) = token.split_at_checked(end).unwrap_or((token, ""));
    let test = operator(rest);
    let parts = |allowed| Parts { token, allowed, test };
    let bad_operator = !rest.is_empty() && test.is_none();
    let condition = match key {
        _ if bad_operator && KEYS.contains(&key) => {
            return Err(parts("=, !=, <, <=, >, >=").wrong(format!("'{rest}' is no test")));
        }
        "uid" => parts(NUMBERS).number(Number::Uid)?,
        "pid" if matches!(test, Some((_, "new"))) => {
            let negate = parts(PIDS).equality("new")?.0;
            Condition::NewProcess { negate }
        }
        "pid" => parts(PIDS).number(Number::Pid)?,
        "tid" => parts(NUMBERS).number(Number::Tid)?,
        "mntns" => parts(NUMBERS).number(Number::MntNs)?,
        "pidns" => parts(NUMBERS).number(Number::PidNs)?,
        "comm" => parts(TEXTS).texts(Text::Comm)?,
        "exec" | "executable" | "bin" | "binary" => parts(PATHS).texts(Text::Executable)?,
        "container" => parts(CONTAINERS).container()?,
        "not-container" => {
            parts(ALONE).alone()?;
            Condition::InContainer { negate: true }
        }
        "tree" => {
            let parts = parts(TREES);
            let (negate, values) = parts.equality("tree")?;
            Condition::Tree { roots: parts.list(values, |v| parts.u32(v))?, mark: None, negate }
        }
        "follow" => {
            parts(ALONE).alone()?;
            return Ok(None);
        }
        "uts" => {
            let why = "events tell a UTS namespace by its number, not by its host name";
            return Err(Error::ScopeUnsupported { token: token.into(), why });
        }
        _ => {
            let suggestion = nearest(key, KEYS);
            return Err(Error::UnknownScope { token: token.into(), suggestion });
        }
    };
    Ok(Some(condition))
}

fn operator(rest: &str) -> Option<(Operator, &str)> {
    // Longer ones first.
    let all = [
        ("!=", Operator::Not),
        ("<=", Operator::LessOrIs),
        (">=", Operator::MoreOrIs),
        ("=", Operator::Is),
        ("<", Operator::Less),
        (">", Operator::More),
    ];
    all.iter().find_map(|(text, op)| Some((*op, rest.strip_prefix(text)?)))
}

impl<'a> Parts<'a> {
    fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::BadScope { token: self.token.into(), problem: problem.into(), allowed: self.allowed }
    }

    fn alone(&self) -> Result<(), Error> {
        if self.test.is_some() { Err(self.wrong("it takes no value")) } else { Ok(()) }
    }

    /// Whether it is `!=`, and the value.
    fn equality(&self, key: &str) -> Result<(bool, &'a str), Error> {
        match self.test {
            Some((Operator::Is, value)) => Ok((false, value)),
            Some((Operator::Not, value)) => Ok((true, value)),
            Some(_) => Err(self.wrong(format!("'{key}' can not be less or more"))),
            None => Err(self.wrong("a value is missing")),
        }
    }

    fn list<T>(&self, values: &'a str, read: impl Fn(&'a str) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let one = |v: &'a str| match v.trim() {
            "" => Err(self.wrong("a value is missing")),
            v => read(v),
        };
        values.split(',').map(one).collect()
    }

    fn u32(&self, value: &str) -> Result<u32, Error> {
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        let number = value.parse().ok().filter(|_| digits);
        number.ok_or_else(|| self.wrong(format!("'{value}' is no such number")))
    }

    fn number(&self, of: Number) -> Result<Condition, Error> {
        let (op, values) = self.test.ok_or_else(|| self.wrong("a value is missing"))?;
        let negate = match op {
            Operator::Is => false,
            Operator::Not => true,
            _ => {
                let limit = u64::from(self.u32(values.trim())?);
                let all = u64::from(u32::MAX);
                let (low, high) = match op {
                    Operator::LessOrIs => (0, limit),
                    Operator::More => (limit + 1, all),
                    Operator::MoreOrIs => (limit, all),
                    _ => (0, limit.checked_sub(1).ok_or_else(|| self.wrong("nothing is below 0"))?),
                };
                return Ok(Condition::Range { of, low, high });
            }
        };
        Ok(Condition::Numbers { of, list: self.list(values, |v| self.u32(v))?, negate })
    }

    fn texts(&self, of: Text) -> Result<Condition, Error> {
        let (negate, values) = self.equality(if of == Text::Comm { "comm" } else { "exec" })?;
        let read = |value: &str| match of {
            Text::Comm => Ok(Pattern::new(value).cut_exact(COMM_BYTES - 1)),
            Text::Executable if value.starts_with(['/', '*']) => Ok(Pattern::new(value)),
            Text::Executable => Err(self.wrong(format!("'{value}' is no absolute path"))),
        };
        Ok(Condition::Texts { of, list: self.list(values, read)?, negate })
    }

    fn container(&self) -> Result<Condition, Error> {
        if self.test.is_none() {
            return Ok(Condition::InContainer { negate: false });
        }
        let (negate, values) = self.equality("container")?;
        match values {
            "new" => Ok(Condition::NewContainer { negate }),
            "started" => {
                let why =
                    "whether a container's own program runs already is not told; 'container=new' is near";
                Err(Error::ScopeUnsupported { token: self.token.into(), why })
            }
            _ => Ok(Condition::ContainerIds { list: self.list(values, |v| Ok(v.to_string()))?, negate }),
        }
    }
}
