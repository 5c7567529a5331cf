//! The very file that was mapped.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashes::Exact;

use crate::worker::Question;

/// Bytes that are read of a process's mappings: some 60000 of them.
const MAPS: u64 = 8 << 20;

/// The file, and its path as its process knows it. It is taken by the process's mapping of it, or by the path by which it was executed or
/// loaded, if the process or its parent leads there.
pub(crate) fn open(question: &Question) -> Option<(Exact, Arc<[u8]>)> {
    let Question { file, pid, parent, .. } = question;
    if let Some(mapping) = mapping(*pid, question.address)
        && let Some(exact) = Exact::open(file, *pid, &mapping.link, true)
    {
        return Some((exact, mapping.name.into()));
    }
    let path = question.path.as_ref().filter(|p| p.first() == Some(&b'/'))?;
    let below = |pid: &u32| {
        let root = format!("/proc/{pid}/root").into_bytes();
        PathBuf::from(std::ffi::OsStr::from_bytes(&[&root, &path[..]].concat()))
    };
    let places = [below(pid), below(parent), Path::new(std::ffi::OsStr::from_bytes(path)).to_path_buf()];
    let exact = places.iter().find_map(|place| Exact::open(file, *pid, place, false))?;
    Some((exact, Arc::clone(path)))
}

struct Mapping {
    /// Opens what is mapped, whatever has become of its name.
    link: PathBuf,
    name: Vec<u8>,
}

/// What a process has mapped at an address now.
fn mapping(pid: u32, address: u64) -> Option<Mapping> {
    let mut maps = vec![];
    File::open(format!("/proc/{pid}/maps")).ok()?.take(MAPS).read_to_end(&mut maps).ok()?;
    maps.split(|&b| b == b'\n').find_map(|line| {
        let (start, end, name) = parse(line)?;
        (start..end).contains(&address).then(|| Mapping {
            // Without the zeros that `maps` puts before an address.
            link: format!("/proc/{pid}/map_files/{start:x}-{end:x}").into(),
            name: name.to_vec(),
        })
    })
}

/// Range, protection, offset, device, inode, and after blanks the name.
fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut words = line.splitn(6, |&b| b == b' ');
    let (start, end) = std::str::from_utf8(words.next()?).ok()?.split_once('-')?;
    let name = words.nth(4)?.trim_ascii_start();
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps() {
        let line = b"55c0-55d0 r-xp 00001000 fe:00 123                        /usr/bin/some thing";
        assert_eq!(parse(line), Some((0x55c0, 0x55d0, &b"/usr/bin/some thing"[..])));
        assert_eq!(parse(b"55c0-55d0 r-xp 00001000"), None);
        assert_eq!(parse(b""), None);
    }
}
