//! Why a database is not read.

/// Why a database that is there is not read, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Unread {
    /// The form of rpm before 4.16.
    #[error("an rpm database in Berkeley DB form")]
    BerkeleyDb,
    /// It is not what it should be.
    #[error("a damaged rpm database: {0}")]
    Damaged(&'static str),
    /// Longer than anybody's.
    #[error("a database that is too long")]
    TooLong,
    /// A transaction is under way, or was broken off.
    #[error("a database in the middle of a change")]
    Changing,
}
