//! What is wrong with an expression, and where.

use crate::Span;
use crate::suggest::nearest;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", hint(suggestion.as_deref()))]
pub struct Error {
    /// What.
    pub message: String,
    /// Which bytes of the expression.
    pub at: Span,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl Error {
    pub(crate) fn new(at: Span, message: impl Into<String>) -> Error {
        Error { message: message.into(), at, suggestion: None }
    }

    /// Suggests the one of `known` that is nearest to what was written.
    pub(crate) fn meant<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
        Error { suggestion: nearest(written, known), ..self }
    }
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|s| format!("; did you mean '{s}'?")).unwrap_or_default()
}
