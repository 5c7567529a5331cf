//! Shared objects loaded: copies of the C library.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// The C library of this process.
fn library() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|l| l.contains("/libc.so") || l.contains("/libc-")).unwrap();
    fs::read(line.split_whitespace().last().unwrap()).unwrap()
}

/// Maps a file executable, as the loader would.
fn map(file: &File) {
    let (prot, fd) = (libc::PROT_READ | libc::PROT_EXEC, file.as_raw_fd());
    // SAFETY: a new mapping, which is not touched.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE, fd, 0) };
    assert_ne!(at, libc::MAP_FAILED);
}

/// Loads a copy of the C library.
pub(crate) fn load(path: &Path) {
    fs::write(path, library()).unwrap();
    map(&File::open(path).unwrap());
}

/// The act: loads a copy that has no name any more, and one whose tables lie in no segment; lives until it is over.
pub(crate) fn perform(dir: &Path, _: &[String]) {
    let path = dir.join("gone.so");
    fs::write(&path, library()).unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    map(&file);
    let mut damaged = library();
    // e_phoff and e_phnum; in each header, p_type: no PT_LOAD (1) is left.
    let first = u64::from_le_bytes(damaged[32..40].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes([damaged[56], damaged[57]]));
    for header in damaged[first..].chunks_exact_mut(56).take(count).filter(|h| h[..4] == [1, 0, 0, 0]) {
        header[..4].fill(0);
    }
    let path = dir.join("damaged.so");
    fs::write(&path, damaged).unwrap();
    map(&File::open(path).unwrap());
    std::io::stdin().read_to_end(&mut vec![]).unwrap();
}
