//! Names of users of this host.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustc_hash::FxHashMap;

/// Users that are kept; those beyond have no name.
const MOST: usize = 65_536;
/// Bytes of the longest name that counts; Linux' own tools allow half a line of them.
const LONGEST: usize = 256;

/// The users of a `passwd` file. Those of a directory service are not asked for: that may take long, and tells who is watched.
#[derive(Debug, Default)]
pub struct Users {
    path: PathBuf,
    modified: Option<SystemTime>,
    names: FxHashMap<u32, Box<str>>,
}

impl Users {
    /// Those of `/etc/passwd`. Without such a file, nobody has a name.
    pub fn new() -> Users {
        Users::of(Path::new("/etc/passwd"))
    }

    fn of(path: &Path) -> Users {
        let mut users = Users { path: path.to_path_buf(), ..Users::default() };
        users.refresh();
        users
    }

    /// Reads the file again if it was changed.
    pub fn refresh(&mut self) {
        let modified = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if modified != self.modified {
            self.modified = modified;
            self.names = std::fs::read(&self.path).map(|text| parse(&text)).unwrap_or_default();
        }
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.names.iter().map(|(&uid, name)| (uid, &**name))
    }

    /// The name of a user.
    pub fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(|name| &**name)
    }
}

/// Lines of `NAME:PASSWORD:UID:...`; of several with one number the first counts, as it does for `getpwuid`.
fn parse(text: &[u8]) -> FxHashMap<u32, Box<str>> {
    let mut names = FxHashMap::default();
    for line in text.split(|&b| b == b'\n').filter_map(|l| std::str::from_utf8(l).ok()) {
        let mut parts = line.split(':');
        if let (Some(name), Some(_), Some(Ok(uid))) =
            (parts.next(), parts.next(), parts.next().map(str::parse))
            && !name.is_empty()
            && name.len() <= LONGEST
            && names.len() < MOST
        {
            names.entry(uid).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_number_counts() {
        let names = parse(b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n:x:5::\nbad\nbob:x:1000:\xff\nann:x:1001:100::/:/\nn:x:-1:0");
        assert_eq!(names.get(&0).map(|n| &**n), Some("root"));
        assert_eq!(names.get(&1001).map(|n| &**n), Some("ann"));
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let mut users = Users::of(&path);
        assert_eq!(users.name(7), None);
        std::fs::write(&path, "ann:x:7:7::/:/bin/sh\n").unwrap();
        users.refresh();
        assert_eq!(users.name(7), Some("ann"));
        std::fs::remove_file(&path).unwrap();
        users.refresh();
        assert_eq!(users.name(7), None);
    }
}
