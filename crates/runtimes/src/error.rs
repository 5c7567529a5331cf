//! What can go wrong when a runtime is asked.

/// What can go wrong when a runtime is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its socket could not be connected to.
    #[error("connect: {0}")]
    Connect(std::io::Error),
    /// It broke the protocol, or hung up.
    #[error("talk HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// It answered with that status of HTTP.
    #[error("status {0}")]
    Status(u16),
    /// It answered with that status of gRPC.
    #[error("gRPC status {0}")]
    Grpc(u32),
    /// Its answer was not understood.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
    /// Its answer was longer than any that is of use, or broke off.
    #[error("the answer is longer than {} bytes, or broke off", crate::transport::LONGEST)]
    Body,
    /// It did not answer in time.
    #[error("no answer within {} seconds", crate::DEADLINE.as_secs())]
    Slow,
}

impl Error {
    /// There is no such runtime here.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::Connect(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused))
    }
}
