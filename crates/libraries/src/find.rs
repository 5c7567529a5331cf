//! The very file that a process has loaded: not one that has its name meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Which file, in which state: what is written to it changes `ctime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// As `st_dev`.
    pub(crate) dev: u32,
    pub(crate) inode: u64,
    /// Nanoseconds since the epoch.
    pub(crate) ctime: u64,
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let ctime = meta.ctime().cast_unsigned().wrapping_mul(1_000_000_000);
        Ok(Self {
            // The kernel's records have as many bits of it.
            dev: meta.dev() as u32,
            inode: meta.ino(),
            ctime: ctime.wrapping_add(meta.ctime_nsec().cast_unsigned()),
        })
    }
}

/// A file that something else than a file may have taken the place of: so opening it waits for nobody.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// The file of that identity, by its path as the process sees it and as we do, or by the process's mapping of it.
pub(crate) fn find(pid: u32, path: &[u8], identity: Identity) -> Option<File> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let root = PathBuf::from(format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap_or(path));
    let by_path = [root, path.to_path_buf()].into_iter().filter(|p| p.is_absolute());
    let by_mapping = mappings(pid).filter(|m| m.inode == identity.inode).map(|m| m.file);
    by_path
        .chain(by_mapping)
        .filter_map(|path| open(&path).ok())
        .find(|file| Identity::of(file).is_ok_and(|found| found == identity))
}

/// A file that is mapped executable.
struct Mapping {
    inode: u64,
    /// Opens it, whatever has become of its name.
    file: PathBuf,
    name: Vec<u8>,
}

fn mappings(pid: u32) -> impl Iterator<Item = Mapping> {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mapping = move |line: &[u8]| {
        // Range, protection, offset, device, inode, and after blanks the name.
        let mut words = line.splitn(6, |&b| b == b' ');
        let (range, protection) = (words.next()?, words.next()?);
        let inode = std::str::from_utf8(words.nth(2)?).ok()?.parse().ok()?;
        let name = words.next()?.trim_ascii_start();
        (protection.get(2) == Some(&b'x') && inode != 0).then(|| Mapping {
            inode,
            file: Path::new(&format!("/proc/{pid}/map_files"))
                .join(std::ffi::OsStr::from_bytes(&unpadded(range))),
            name: name.to_vec(),
        })
    };
    let found: Vec<Mapping> = maps.split(|&b| b == b'\n').filter_map(mapping).collect();
    found.into_iter()
}

/// The range as `map_files` names it: without the zeros that `maps` puts before an address.
fn unpadded(range: &[u8]) -> Vec<u8> {
    let number = |n: &[u8]| n.iter().position(|&b| b != b'0').map_or(b"0".to_vec(), |at| n[at..].to_vec());
    range.split(|&b| b == b'-').map(number).collect::<Vec<_>>().join(&b'-')
}

/// What a process has mapped executable, but for its program.
pub(crate) fn loaded(pid: u32) -> Vec<(Identity, Vec<u8>, File)> {
    let program = File::open(format!("/proc/{pid}/exe")).and_then(|f| Identity::of(&f)).ok();
    mappings(pid)
        .filter_map(|m| {
            let file = open(&m.file).ok()?;
            let identity = Identity::of(&file).ok()?;
            (Some(identity) != program).then_some((identity, m.name, file))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn identity(path: &Path) -> Identity {
        Identity::of(&File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn only_the_very_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.so");
        fs::write(&path, "one").unwrap();
        let one = identity(&path);
        let name = path.as_os_str().as_bytes();
        let mut text = String::new();
        find(std::process::id(), name, one).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        // Another file of that name.
        fs::rename(&path, dir.path().join("b.so")).unwrap();
        fs::write(&path, "two").unwrap();
        assert!(find(std::process::id(), name, one).is_none());
        // A process that there is not: the path is enough.
        assert!(find(0, name, identity(&path)).is_some());
    }

    #[test]
    fn what_this_process_has_loaded() {
        let loaded = loaded(std::process::id());
        assert!(loaded.iter().any(|(_, name, _)| name.windows(5).any(|w| w == b"/libc")));
        let program = identity(&std::env::current_exe().unwrap());
        assert!(loaded.iter().all(|(identity, ..)| *identity != program));
    }

    #[test]
    fn ranges_as_map_files_has_them() {
        assert_eq!(unpadded(b"00400000-0040b000"), b"400000-40b000");
        assert_eq!(unpadded(b"7f00-7f10"), b"7f00-7f10");
    }
}
