//! What can go wrong with the control socket.

use std::path::PathBuf;

/// What can go wrong with the control socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another watch answers there.
    #[error(
        "{0}: another watch has that control socket; --control PATH names another, --control none does without"
    )]
    Live(PathBuf),
    /// There is something that is no socket.
    #[error("{0}: there is something that is no socket")]
    NotASocket(PathBuf),
    /// It can not be made.
    #[error("making the control socket {path}: {why}")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// Nobody answers there.
    #[error("{path}: {why}; is `tarsius watch` running, with that --control?")]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// Somebody listens there, and accepts nobody.
    #[error("{0}: the watch does not answer: was it stopped (SIGSTOP), or does it hang?")]
    Hangs(PathBuf),
    /// The conversation broke off.
    #[error("talking to the watch")]
    Talk(#[from] std::io::Error),
    /// The watch said something that is no answer.
    #[error("the watch's answer is not understood")]
    Malformed(#[from] serde_json::Error),
    /// The watch's own error.
    #[error("{0}")]
    Refused(String),
}
