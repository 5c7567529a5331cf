//! What can go wrong with a torture itself; what it finds is in the report.

use std::io;

/// An error of the torture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel side could not be started.
    #[error(transparent)]
    Sensor(#[from] sensor::Error),
    /// The place where the workers act could not be prepared, or an act failed that can not fail.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A CPU was named that is not there.
    #[error("there is no CPU {cpu} online here (there are {online})")]
    NoCpu {
        /// The one that was named.
        cpu: u32,
        /// Those that there are.
        online: String,
    },
    /// A worker ended before it was told to. Why stands on standard error.
    #[error("worker {worker} ({kind}) ended early ({status}): the report would be about nothing")]
    Worker {
        /// Its number.
        worker: u8,
        /// What it does.
        kind: &'static str,
        /// How it ended.
        status: String,
    },
    /// Workers were told to end, and did not for long: they are killed.
    #[error("workers did not end: {workers}")]
    Stuck {
        /// Which, what state they are in, and where in the kernel.
        workers: String,
    },
    /// The part given to a worker is none.
    #[error("not the part of a worker: {0}")]
    Part(#[from] serde_json::Error),
}

impl Error {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Error::System { what, source }
    }

    /// The error that the C library left.
    pub(crate) fn last(what: impl Into<String>) -> Self {
        Self::system(what)(io::Error::last_os_error())
    }
}
