//! The program that a process runs.

use std::sync::{Arc, OnceLock};

/// The program that a process runs. What a fork makes shares it.
#[derive(Debug, Default)]
pub struct Executable {
    path: Box<[u8]>,
    hash: OnceLock<Arc<FileHash>>,
    owner: OnceLock<Arc<FileOwner>>,
}

impl Executable {
    /// The program of that path.
    pub(crate) fn at(path: &[u8]) -> Arc<Executable> {
        Arc::new(Executable { path: path.into(), hash: OnceLock::new(), owner: OnceLock::new() })
    }

    /// Its path, by the kernel.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Says where its hash will be; the first to say so counts.
    pub fn hash_with(&self, hash: Arc<FileHash>) {
        // Another's is of the same execution.
        let _ = self.hash.set(hash);
    }

    /// SHA-256 of its file, if that is known by now.
    pub fn sha256(&self) -> Option<Sha256> {
        self.hash.get()?.get()
    }

    /// Says where its owner will be; the first to say so counts.
    pub fn owned_by(&self, owner: Arc<FileOwner>) {
        // Another's is of the same execution.
        let _ = self.owner.set(owner);
    }

    /// The package that it is of, if that is known by now.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.get()?.get()
    }

    /// Whether its file is another than what the package brought, if that is known by now.
    pub fn modified(&self) -> Option<bool> {
        self.owner.get()?.modified()
    }
}

/// A package of the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
}

/// Whose a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// That package's.
    Package(Arc<Package>),
    /// The system has packages, and it is of none.
    Nobody,
    /// It can not be told.
    Unknown,
}

/// The package of a file, once it was looked for, and whether the file is what that brought: shared with who looks.
#[derive(Debug, Default)]
pub struct FileOwner {
    owner: OnceLock<Owner>,
    modified: OnceLock<bool>,
}

impl FileOwner {
    /// The owner, if it is known by now.
    pub fn get(&self) -> Option<&Owner> {
        self.owner.get()
    }

    /// It is known now.
    pub fn set(&self, owner: Owner) {
        // There is one who looks.
        let _ = self.owner.set(owner);
    }

    /// Whether the file is another than what the package brought, if that is known by now.
    pub fn modified(&self) -> Option<bool> {
        self.modified.get().copied()
    }

    /// That is known now.
    pub fn set_modified(&self, modified: bool) {
        // There is one who looks.
        let _ = self.modified.set(modified);
    }
}

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The hash of a file, once it has been computed: shared by all that run it, and by who computes it.
#[derive(Debug, Default)]
pub struct FileHash(OnceLock<Option<Sha256>>);

impl FileHash {
    /// The hash, if it is known by now.
    pub fn get(&self) -> Option<Sha256> {
        self.0.get().copied().flatten()
    }

    /// It was tried, and is not to be had.
    pub fn failed(&self) -> bool {
        self.0.get() == Some(&None)
    }

    /// It is known now, or is not to be had.
    pub fn set(&self, hash: Option<Sha256>) {
        // Whoever was first had the same file.
        let _ = self.0.set(hash);
    }
}
