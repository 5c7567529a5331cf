//! `--output`, parsed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A line of columns each, for people.
    Table,
    /// A line of JSON each.
    Json,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file: emptied, or made with the directories above it.
    File(PathBuf),
}

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// No output.
    None,
    /// One sink.
    Sink {
        /// How.
        format: Format,
        /// Where to.
        target: Target,
    },
}

/// Every name of a format; `None` is no output.
const FORMATS: [(&str, Option<Format>); 5] = [
    ("table", Some(Format::Table)),
    ("json", Some(Format::Json)),
    ("json-lines", Some(Format::Json)),
    ("jsonl", Some(Format::Json)),
    ("none", None),
];

impl Spec {
    /// What happens where no `--output` is given: a table on standard output.
    pub const DEFAULT: Spec = Spec::Sink { format: Format::Table, target: Target::Stdout };

    /// An `--output`: `FORMAT[:PATH]`.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(given: &str) -> Result<Spec, Error> {
        if let Some(what) = unsupported(given) {
            return Err(Error::Unsupported { given: given.into(), what });
        }
        let (name, path) = match given.split_once(':') {
            Some((name, path)) => (name, Some(path)),
            None => (given, None),
        };
        let Some(&(_, format)) = FORMATS.iter().find(|(known, _)| *known == name) else {
            let near =
                FORMATS.iter().map(|&(known, _)| (strsim::damerau_levenshtein(name, known), known)).min();
            let suggestion = near.filter(|&(d, _)| d * 2 <= name.len()).map(|(_, known)| known);
            return Err(Error::UnknownFormat { given: given.into(), format: name.into(), suggestion });
        };
        match (format, path) {
            (None, None) => Ok(Spec::None),
            (None, Some(_)) => Err(Error::NonePath { given: given.into() }),
            (Some(_), Some("")) => Err(Error::EmptyPath { given: given.into() }),
            (Some(format), None | Some("-" | "stdout")) => Ok(Spec::Sink { format, target: Target::Stdout }),
            (Some(format), Some("stderr")) => Ok(Spec::Sink { format, target: Target::Stderr }),
            (Some(format), Some(path)) => Ok(Spec::Sink { format, target: Target::File(path.into()) }),
        }
    }
}

/// What Tracee's other forms ask for.
fn unsupported(given: &str) -> Option<&'static str> {
    const FORMS: [(&str, &str); 7] = [
        ("destinations.", "destinations by name are"),
        ("streams.", "streams are"),
        ("option:", "options of the output are"),
        ("gotemplate", "templates are"),
        ("webhook", "webhooks are"),
        ("forward", "the Fluent Forward protocol is"),
        ("sort-events", "an option to sort (events always come sorted by time) is"),
    ];
    FORMS.iter().find(|(prefix, _)| given.starts_with(prefix)).map(|&(_, what)| what)
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(given: &str) -> Result<Spec, Error> {
        Spec::parse(given)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Table => "table",
            Format::Json => "json",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Stdout => f.write_str("stdout"),
            Target::Stderr => f.write_str("stderr"),
            Target::File(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::None => f.write_str("none"),
            Spec::Sink { format, target } => write!(f, "{format}:{target}"),
        }
    }
}

#[cfg(test)]
mod tests;
