//! What is wrong with a selection or scope.

/// What is wrong with a selection or scope. Each says which flag, which part of it, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No event has that name.
    #[error("unknown event '{name}'{}", hint(suggestion))]
    UnknownEvent {
        /// The name.
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// No event's name is like that.
    #[error("no event matches '{pattern}'; `tarsius list events` shows them all")]
    NoEventMatches {
        /// The pattern.
        pattern: String,
    },
    /// No event has that tag.
    #[error("unknown tag '{tag}'; tags are {known}")]
    UnknownTag {
        /// The tag.
        tag: String,
        /// All tags, with commas.
        known: String,
    },
    /// The event is in every stream.
    #[error("event '{name}' can not be excluded: it tells what was lost")]
    AlwaysSelected {
        /// Its name.
        name: String,
    },
    /// The part of `--events` is understood but not there yet.
    #[error("--events '{token}' is not supported yet: {what}")]
    EventsUnsupported {
        /// The part.
        token: String,
        /// What it would do.
        what: &'static str,
    },
    /// A scope of no known kind.
    #[error("--scope '{token}': unknown{}; a scope is one of {KINDS}", hint(suggestion))]
    UnknownScope {
        /// The flag's value.
        token: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A scope that is understood but not there yet.
    #[error("--scope '{token}' is not supported yet: {why}")]
    ScopeUnsupported {
        /// The flag's value.
        token: String,
        /// Why.
        why: &'static str,
    },
    /// A scope of a known kind that says something that kind can not.
    #[error("--scope '{token}': {problem}; allowed: {allowed}")]
    BadScope {
        /// The flag's value.
        token: String,
        /// What is wrong.
        problem: String,
        /// What is right.
        allowed: &'static str,
    },
    /// The root of a tree to watch does not run.
    #[error("--scope 'tree': no process has pid {pid}; allowed: pids of running processes")]
    NoSuchProcess {
        /// The pid.
        pid: u32,
    },
    /// More trees and followed scopes than marks.
    #[error("--scope: more than 64 'tree' and 'follow' in use at once")]
    TooManyMarks,
}

/// The kinds of scope, for messages.
pub(crate) const KINDS: &str =
    "uid, pid, tid, mntns, pidns, comm, exec, container, not-container, tree, follow";

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|s| format!("; did you mean '{s}'?")).unwrap_or_default()
}
