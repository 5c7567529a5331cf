//! From paths to packages.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::SystemTime;

use context::{Owner, Package};

use crate::digest::{Algorithm, Expected, Key, Sum};
use crate::error::Unread;
use crate::root::{Root, Stamp};
use crate::{MARGIN, apk, dpkg, rpm};

/// Paths and packages that are kept of one root; with more, what is not among them is not known.
const PATHS: usize = 4 << 20;
const PACKAGES: usize = 1 << 18;

/// How often a root is read that changes meanwhile.
const TRIES: usize = 3;

/// Folders of the root that may be links into `/usr`.
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// The packages of one root, by the paths of their files.
///
/// Of a path and of a file's digest only sums are kept, of 64 bits, by a key that nobody knows: 200,000 paths are 5 MiB, and a path that is
/// no package's is taken for one of them in one of 10^13 cases.
#[derive(Debug)]
pub(crate) struct Index {
    key: Key,
    /// In order.
    files: Vec<File>,
    packages: Vec<(Arc<Package>, Option<Algorithm>)>,
    merged: Vec<&'static str>,
    stamps: Stamps,
    /// When it was begun to be read, nanoseconds since the epoch.
    read: u64,
    unread: Option<Unread>,
}

/// A file of a package.
#[derive(Debug)]
struct File {
    path: u64,
    package: u32,
    digest: Option<Sum>,
}

/// What changes when packages come and go.
const OTHERS: [&str; 5] = [dpkg::STATUS, dpkg::LISTS, dpkg::DIVERSIONS, apk::INSTALLED[0], apk::INSTALLED[1]];

/// The state of a root's databases.
pub(crate) type Stamps = ([Stamp; OTHERS.len()], [Stamp; rpm::FILES.len()]);

fn stamps(root: &Root) -> Stamps {
    (OTHERS.map(|path| root.stamp(path)), rpm::FILES.map(|path| root.stamp(path)))
}

impl Index {
    /// Of that root; `None` if it has no database.
    pub(crate) fn read(root: &Root, key: &Key) -> Option<Index> {
        let mut index = Index::read_once(root, key)?;
        for _ in 1..TRIES {
            if index.is_current(root) {
                return Some(index);
            }
            index = Index::read_once(root, key)?;
        }
        if !index.is_current(root) {
            index.unread = Some(Unread::Changing);
        }
        Some(index)
    }

    /// Without a package.
    pub(crate) fn new(key: &Key, merged: Vec<&'static str>, stamps: Stamps) -> Index {
        Index { key: key.clone(), files: vec![], packages: vec![], merged, stamps, read: now(), unread: None }
    }

    fn read_once(root: &Root, key: &Key) -> Option<Index> {
        let merged = MERGED.into_iter().filter(|name| root.is_merged(name)).collect();
        let mut index = Index::new(key, merged, stamps(root));
        let mut found = false;
        for read in [dpkg::read, apk::read, rpm::read] {
            match read(root, &mut index) {
                Ok(there) => found |= there,
                Err(why) => index.unread = Some(why),
            }
        }
        index.files.sort_unstable_by_key(|f| (f.path, f.package));
        index.files.shrink_to_fit();
        (found || index.unread.is_some()).then_some(index)
    }

    /// Whether a file that was last changed at that time, nanoseconds since the epoch, is the one of which the databases spoke.
    pub(crate) fn is_of(&self, ctime: u64) -> bool {
        ctime.saturating_add(MARGIN.as_nanos() as u64) < self.read
    }

    /// Whether the root's databases are still what they were when they were read.
    pub(crate) fn is_current(&self, root: &Root) -> bool {
        self.stamps == stamps(root)
    }

    /// How many paths there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Why there may be packages that are not in it.
    pub(crate) fn unread(&self) -> Option<Unread> {
        self.unread
    }

    /// Adds a package, the digests of whose files are of that algorithm.
    pub(crate) fn package(
        &mut self,
        name: &str,
        version: &str,
        algorithm: Option<Algorithm>,
    ) -> Result<u32, Unread> {
        let number = u32::try_from(self.packages.len()).ok().filter(|&n| (n as usize) < PACKAGES);
        let number = number.ok_or(Unread::TooLong)?;
        self.packages.push((Arc::new(Package { name: name.into(), version: version.into() }), algorithm));
        Ok(number)
    }

    /// Adds a path of a package, with the digest in hexadecimal of what the package brought, if that is known.
    pub(crate) fn path(&mut self, path: &[u8], package: u32, digest: Option<&[u8]>) -> Result<(), Unread> {
        if self.files.len() >= PATHS {
            return Err(Unread::TooLong);
        }
        let algorithm = self.packages.get(package as usize).and_then(|(_, algorithm)| *algorithm);
        let digest = digest.and_then(|d| self.key.sum(algorithm?, d));
        self.files.push(File { path: self.sum(path), package, digest });
        Ok(())
    }

    /// The package that has that path, of several the one that was read first; and the digest of what it brought.
    pub(crate) fn owner(&self, path: &[u8]) -> Option<(&Arc<Package>, Option<Expected>)> {
        let sum = self.sum(path);
        let at = self.files.partition_point(|f| f.path < sum);
        let file = self.files.get(at).filter(|f| f.path == sum)?;
        let (package, algorithm) = self.packages.get(file.package as usize)?;
        let expected = algorithm.zip(file.digest).map(|(algorithm, sum)| Expected { algorithm, sum });
        Some((package, expected))
    }

    /// Whose that path is. That it is nobody's is only known if every database was read.
    pub(crate) fn answer(&self, path: &[u8]) -> (Owner, Option<Expected>) {
        match self.owner(path) {
            Some((package, expected)) => (Owner::Package(Arc::clone(package)), expected),
            None if self.unread.is_some() => (Owner::Unknown, None),
            None => (Owner::Nobody, None),
        }
    }

    /// Of the path as it is where `/bin` and the like are links into `/usr`.
    fn sum(&self, path: &[u8]) -> u64 {
        let top = |name: &&&str| {
            path.strip_prefix(b"/")
                .and_then(|p| p.strip_prefix(name.as_bytes()))
                .is_some_and(|p| p.starts_with(b"/"))
        };
        let usr: &[u8] = if self.merged.iter().any(|name| top(&name)) { b"/usr" } else { b"" };
        self.key.0.hash_one((usr.len() + path.len(), Chained(usr, path)))
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or_default()
}

/// Two parts that are hashed as one.
struct Chained<'a>(&'a [u8], &'a [u8]);

impl std::hash::Hash for Chained<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.0);
        state.write(self.1);
    }
}
