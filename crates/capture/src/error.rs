use std::path::PathBuf;

/// What can be wrong before anything is captured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of `--artifacts` that means nothing.
    #[error("--artifacts {option}: {what}")]
    Option {
        /// The part.
        option: String,
        /// What is allowed.
        what: &'static str,
    },
    /// The folder can not be made or cleared.
    #[error("{what} {path}: {source}")]
    Folder {
        /// What was tried.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The thread that writes can not be started.
    #[error("starting the thread that writes what is captured: {0}")]
    Thread(std::io::Error),
}
