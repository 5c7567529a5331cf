//! What is wrong with a rule, and where.

use std::path::PathBuf;

use policy::Place;
use serde_saphyr::Spanned;

/// What of a rule is not understood or can not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Error {
    /// Where.
    pub place: Place,
    /// What, and what may have been meant.
    pub why: String,
}

/// A file or directory that can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Unread {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// A file that is read: its places are told with its name.
#[derive(Debug, Clone)]
pub(crate) struct Source(pub(crate) std::sync::Arc<std::path::Path>);

impl Source {
    pub(crate) fn place(&self, line: u64, column: u64) -> Place {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
        Place { file: self.0.clone(), line: number(line), column: number(column) }
    }

    pub(crate) fn at<T>(&self, spanned: &Spanned<T>) -> Place {
        self.place(spanned.defined.line(), spanned.defined.column())
    }

    pub(crate) fn wrong<T>(&self, at: &Spanned<T>, why: impl Into<String>) -> Error {
        Error { place: self.at(at), why: why.into() }
    }
}
