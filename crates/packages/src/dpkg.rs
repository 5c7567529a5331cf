//! dpkg's database: `status` has the versions, `info/PACKAGE.list` the paths, `info/PACKAGE.md5sums` digests of most files, `diversions`
//! those paths that a package has moved away.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use crate::digest::Algorithm;
use crate::error::Unread;
use crate::index::Index;
use crate::root::Root;

pub(crate) const STATUS: &str = "var/lib/dpkg/status";
pub(crate) const LISTS: &str = "var/lib/dpkg/info";
pub(crate) const DIVERSIONS: &str = "var/lib/dpkg/diversions";
/// Files of that folder; a package has about six.
const MOST: usize = 400_000;

/// Reads the database into the index; false if there is none.
pub(crate) fn read(root: &Root, index: &mut Index) -> Result<bool, Unread> {
    let Some(status) = root.read(STATUS) else { return Ok(false) };
    let installed = installed(&String::from_utf8_lossy(&status));
    let diversions = root.read(DIVERSIONS).unwrap_or_default();
    let diversions = diverted(&diversions);
    let mut lists = root.names(LISTS, MOST);
    lists.sort_unstable();
    for list in lists.iter().filter_map(|file| file.strip_suffix(".list")) {
        let Some(version) = installed.get(list) else { continue };
        let Some(paths) = root.read(&format!("{LISTS}/{list}.list")) else { continue };
        let name = list.split(':').next().unwrap_or(list);
        let package = index.package(name, version, Some(Algorithm::Md5))?;
        let digests = root.read(&format!("{LISTS}/{list}.md5sums")).unwrap_or_default();
        let digests = md5sums(&digests);
        for path in paths.split(|&b| b == b'\n').filter(|p| p.len() > 1) {
            let digest = path.get(1..).and_then(|p| digests.get(p)).copied();
            let path = match diversions.get(path) {
                Some((to, by)) if *by != name.as_bytes() => to,
                _ => path,
            };
            index.path(path, package, digest)?;
        }
    }
    Ok(true)
}

/// Lines of a digest, two spaces, and a path from the root.
fn md5sums(text: &[u8]) -> HashMap<&[u8], &[u8]> {
    let lines = text.split(|&b| b == b'\n').filter_map(|line| {
        let (digest, path) = line.split_at_checked(32)?;
        Some((path.strip_prefix(b"  ")?, digest))
    });
    lines.collect()
}

/// Versions of the packages that are there, or were in part, by the names of their lists: with the architecture where several may be
/// there, as dpkg has it.
fn installed(status: &str) -> FxHashMap<String, String> {
    let mut versions = FxHashMap::default();
    for stanza in status.split("\n\n") {
        let field = |name: &str| {
            let mut lines = stanza.lines().filter_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            lines.next().map(str::trim)
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        if let Some(architecture) = field("Architecture") {
            versions.insert(format!("{name}:{architecture}"), version.to_string());
        }
        versions.entry(name.to_string()).or_insert_with(|| version.to_string());
    }
    versions
}

/// Lines in threes: a path, where the file of that path is now, and for which package that is not so (`:` for none).
fn diverted(text: &[u8]) -> FxHashMap<&[u8], (&[u8], &[u8])> {
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    let threes = lines.chunks_exact(3).filter_map(|three| match three {
        [from, to, by] => Some((*from, (*to, *by))),
        _ => None,
    });
    threes.collect()
}
