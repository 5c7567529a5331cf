//! The file that ran: found, compared, read.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::digest::{Digest, Output};

/// Bytes of the longest file that is hashed.
const LONGEST: u64 = 512 << 20;

/// Which file, and in which state: its change time grows with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device, as `stat` numbers it.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: u64,
}

/// The digest of that file, which `pid` executed; `None` if it is not found, not the same any more, or too long. Reads the file.
pub fn digest<D: Digest>(file: &FileId, pid: u32, parent: u32, path: &Path) -> Option<Output<D>> {
    let below = |pid: u32| {
        let root = format!("/proc/{pid}/root").into_bytes();
        PathBuf::from(std::ffi::OsStr::from_bytes(&[&root, path.as_os_str().as_bytes()].concat()))
    };
    // A path that is not absolute is of a file that has none.
    let named = path.is_absolute().then(|| [below(pid), below(parent), path.to_path_buf()]);
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    digest_at::<D>(file, pid, &exe, true)
        .or_else(|| named.into_iter().flatten().find_map(|place| digest_at::<D>(file, pid, &place, false)))
}

/// The very file of an identity, open.
#[derive(Debug)]
pub struct Exact {
    file: FileId,
    pid: u32,
    runs: bool,
    found: OwnedFd,
    /// What is in it.
    pub content: fs::File,
}

impl Exact {
    /// What is at that place, if it is that file; `runs`: the process `pid` runs it, or has it mapped.
    pub fn open(file: &FileId, pid: u32, place: &Path, runs: bool) -> Option<Exact> {
        // Only looked at until it is known to be the file: to open another could do something.
        let found = rustix::fs::open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        if !is_it(file, pid, &found, runs) {
            return None;
        }
        let opened = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let content = fs::File::from(rustix::fs::open(opened, flags, Mode::empty()).ok()?);
        Some(Exact { file: *file, pid, runs, found, content })
    }

    /// It was not changed since.
    pub fn is_unchanged(&self) -> bool {
        is_it(&self.file, self.pid, &self.found, self.runs)
    }
}

/// The digest of what is there, if it is that file; `runs`: a process runs it.
fn digest_at<D: Digest>(file: &FileId, pid: u32, place: &Path, runs: bool) -> Option<Output<D>> {
    let exact = Exact::open(file, pid, place, runs)?;
    let mut content = (&exact.content).take(LONGEST + 1);
    let (mut hash, mut some, mut read) = (D::new(), vec![0; 128 << 10], 0);
    loop {
        match content.read(&mut some).ok()? {
            0 => break,
            n => {
                hash.update(some.get(..n)?);
                read += n as u64;
            }
        }
    }
    (read <= LONGEST && exact.is_unchanged()).then(|| hash.finalize())
}

/// The descriptor is of that file, in that state.
///
/// A removal changes the change time, and what removes itself is worth a hash. A file that runs can not be written; so one without a
/// name that its process runs still, and that was not written since, is taken.
fn is_it(file: &FileId, pid: u32, found: &OwnedFd, runs: bool) -> bool {
    let Ok(stat) = rustix::fs::fstat(found) else { return false };
    let time = |seconds: i64, nanos: u64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let changed = time(stat.st_ctime, stat.st_ctime_nsec) != i128::from(file.ctime);
    let written = time(stat.st_mtime, stat.st_mtime_nsec) > i128::from(file.ctime);
    if changed && (!runs || stat.st_nlink > 0 || written) {
        return false;
    }
    is_inode(file.dev, file.inode, pid, found)
}

/// The descriptor is of the file that the kernel has by that device and inode number, in whatever state; `pid` is who saw it.
///
/// What `stat` says of a file's device and inode number is up to its file system: of overlays and btrfs it is not what the kernel has
/// in the inode itself, which the event tells. So what procfs shows of the descriptor counts too.
pub fn is_inode(dev: u32, inode: u64, pid: u32, found: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(found) else { return false };
    if (stat.st_dev, stat.st_ino) == (u64::from(dev), inode) {
        return true;
    }
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{}", found.as_raw_fd())) else {
        return false;
    };
    let number = |key: &str| info.lines().find_map(|l| l.strip_prefix(key)?.trim().parse::<u64>().ok());
    let Some(mount) = number("mnt_id:") else { return false };
    number("ino:").unwrap_or(stat.st_ino) == inode
        && (device(&format!("/proc/{pid}/mountinfo"), mount)
            .or_else(|| device("/proc/self/mountinfo", mount))
            == Some(dev))
}

/// The device of a mount, as `stat` numbers devices.
fn device(mountinfo: &str, mount: u64) -> Option<u32> {
    let text = fs::read_to_string(mountinfo).ok()?;
    let line = text.lines().find(|l| l.split(' ').next().and_then(|n| n.parse().ok()) == Some(mount))?;
    let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
    u32::try_from(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?)).ok()
}
