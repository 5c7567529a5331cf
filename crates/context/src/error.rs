//! What can go wrong when the host is read.

use std::path::{Path, PathBuf};

/// What can go wrong when the host is read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else than expected.
    #[error("{}: not understood: {text:?}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Its text.
        text: String,
    },
    /// No cgroup hierarchy is mounted.
    #[error("no cgroup hierarchy in /proc/self/mountinfo: containers can not be told apart")]
    NoHierarchy,
}

impl Error {
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Error {
        Error::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn malformed(path: &Path, text: &str) -> Error {
        Error::Malformed { path: path.to_path_buf(), text: text.to_string() }
    }
}
