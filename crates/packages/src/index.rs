//! From paths to packages.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::SystemTime;

use context::Package;

use crate::root::{Root, Stamp};
use crate::{MARGIN, apk, dpkg};

/// Paths that are kept of one root; those beyond make the database one that is not known.
const PATHS: usize = 4 << 20;

/// Folders of the root that may be links into `/usr`.
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// The packages of one root, by the paths of their files.
///
/// Of a path only a sum is kept, of 64 bits, by a key that nobody knows: 200,000 paths are 3 MiB, and a path that is no package's
/// is taken for one of them in one of 10^13 cases.
#[derive(Debug)]
pub(crate) struct Index {
    key: RandomState,
    /// In order.
    paths: Vec<(u64, u32)>,
    packages: Vec<Arc<Package>>,
    merged: Vec<&'static str>,
    stamps: [Stamp; STAMPED.len()],
    /// When it was begun to be read, nanoseconds since the epoch.
    read: u64,
}

/// What changes when packages come and go.
const STAMPED: [&str; 5] =
    [dpkg::STATUS, dpkg::LISTS, dpkg::DIVERSIONS, apk::INSTALLED[0], apk::INSTALLED[1]];

/// The state of a root's databases.
pub(crate) fn stamps(root: &Root) -> [Stamp; STAMPED.len()] {
    STAMPED.map(|path| root.stamp(path))
}

impl Index {
    /// Of that root; `None` if it has no database that can be read.
    pub(crate) fn read(root: &Root) -> Option<Index> {
        let mut index = Index {
            key: RandomState::new(),
            paths: vec![],
            packages: vec![],
            merged: MERGED.into_iter().filter(|name| root.is_merged(name)).collect(),
            read: now(),
            stamps: stamps(root),
        };
        let found = dpkg::read(root, &mut index) | apk::read(root, &mut index);
        if !found || index.paths.len() > PATHS {
            return None;
        }
        index.paths.sort_unstable();
        index.paths.shrink_to_fit();
        Some(index)
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
        self.paths.len()
    }

    pub(crate) fn package(&mut self, name: &str, version: &str) -> u32 {
        self.packages.push(Arc::new(Package { name: name.into(), version: version.into() }));
        u32::try_from(self.packages.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn path(&mut self, path: &[u8], package: u32) {
        if self.paths.len() <= PATHS {
            self.paths.push((self.sum(path), package));
        }
    }

    /// The package that has that path; of several the one that was read first.
    pub(crate) fn owner(&self, path: &[u8]) -> Option<&Arc<Package>> {
        let sum = self.sum(path);
        let at = self.paths.partition_point(|&(s, _)| s < sum);
        let &(_, package) = self.paths.get(at).filter(|&&(s, _)| s == sum)?;
        self.packages.get(package as usize)
    }

    /// Of the path as it is where `/bin` and the like are links into `/usr`.
    fn sum(&self, path: &[u8]) -> u64 {
        let top = |name: &&&str| {
            path.strip_prefix(b"/")
                .and_then(|p| p.strip_prefix(name.as_bytes()))
                .is_some_and(|p| p.starts_with(b"/"))
        };
        let usr: &[u8] = if self.merged.iter().any(|name| top(&name)) { b"/usr" } else { b"" };
        self.key.hash_one((usr.len() + path.len(), Chained(usr, path)))
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
