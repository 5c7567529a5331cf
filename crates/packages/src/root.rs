//! A root of files that may be a container's: nothing in it leads out of it, and nothing in it is believed to be short.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Bytes of the longest file that is read.
const LONGEST: u64 = 64 << 20;

/// A root.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

/// In which state a file or folder is.
pub(crate) type Stamp = Option<(u64, u64, i64, i64)>;

impl Root {
    /// The root at that path.
    pub(crate) fn at(path: &Path) -> Option<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).ok().map(Root)
    }

    fn open(&self, path: &str, flags: OFlags) -> Option<File> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags, Mode::empty(), within).ok().map(File::from)
    }

    /// A regular file, to be read.
    pub(crate) fn file(&self, path: &str) -> Option<File> {
        let found = self.open(path, OFlags::empty())?;
        found.metadata().ok()?.is_file().then_some(found)
    }

    /// What a regular file has in it, unless it is too long.
    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let found = self.file(path)?;
        let mut bytes = vec![];
        found.take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= LONGEST).then_some(bytes)
    }

    /// The names in a folder, at most so many.
    pub(crate) fn names(&self, path: &str, most: usize) -> Vec<String> {
        let Some(folder) = self.open(path, OFlags::DIRECTORY) else { return vec![] };
        let Ok(entries) = rustix::fs::Dir::new(folder) else { return vec![] };
        let names = entries.filter_map(|e| Some(e.ok()?.file_name().to_str().ok()?.to_string()));
        names.take(most).collect()
    }

    /// Changes when the file or folder does.
    pub(crate) fn stamp(&self, path: &str) -> Stamp {
        let m = self.open(path, OFlags::empty())?.metadata().ok()?;
        Some((m.dev(), m.ino(), m.ctime(), m.ctime_nsec()))
    }

    /// Whether the name in the root is a symbolic link to the same name in `usr`.
    pub(crate) fn is_merged(&self, name: &str) -> bool {
        let link = rustix::fs::readlinkat(&self.0, name, vec![]);
        link.is_ok_and(|to| to.to_str().is_ok_and(|to| to.trim_start_matches('/') == format!("usr/{name}")))
    }
}
