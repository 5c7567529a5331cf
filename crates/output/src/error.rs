//! What is wrong with an `--output`.

use std::io;

/// What is wrong with an `--output`. Each says which one, and what would do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such format.
    #[error("--output '{given}': unknown format '{format}'{}; {FORM}", hint(suggestion))]
    UnknownFormat {
        /// The flag's value.
        given: String,
        /// The format in it.
        format: String,
        /// What may have been meant.
        suggestion: Option<&'static str>,
    },
    /// Understood, but not there yet.
    #[error("--output '{given}': {what} not supported yet; {FORM}")]
    Unsupported {
        /// The flag's value.
        given: String,
        /// What it asks for, with its verb.
        what: &'static str,
    },
    /// A colon, and no path after it.
    #[error("--output '{given}': the path is empty; {FORM}")]
    EmptyPath {
        /// The flag's value.
        given: String,
    },
    /// `none` goes nowhere.
    #[error("--output '{given}': 'none' takes no path")]
    NonePath {
        /// The flag's value.
        given: String,
    },
    /// Two outputs would write to one place, and mix their lines.
    #[error("--output '{first}' and '{second}' both write to {place}; give each its own")]
    Twice {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Where to.
        place: String,
    },
    /// The file can not be made or opened.
    #[error("--output '{given}': {what}: {source}")]
    Open {
        /// The flag's value.
        given: String,
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

/// The form of an `--output`, for messages.
const FORM: &str = "write FORMAT[:PATH], where FORMAT is table, json or none, and PATH a file, stdout or stderr, \
                    for example 'json:/var/log/tarsius.json'";

fn hint(suggestion: &Option<&str>) -> String {
    suggestion.map(|s| format!("; did you mean '{s}'?")).unwrap_or_default()
}
