//! In which cgroup hierarchy containers are told apart on this host.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// Version 1 controllers in order of preference. Every container runtime puts a container under all that are mounted; the
/// first are those that no host goes without, and where each container has a cgroup of its own even if nothing is limited.
const CONTROLLERS: [&str; 8] = ["memory", "pids", "cpuset", "devices", "freezer", "cpu", "blkio", "cpuacct"];

/// A cgroup hierarchy. Every task is in exactly one cgroup of each; the sensor takes a task's cgroup id from this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// The one of version 2.
    V2 {
        /// Where it is mounted.
        root: PathBuf,
    },
    /// That of one controller of version 1.
    V1 {
        /// The controller, as the kernel names it.
        controller: String,
        /// Where it is mounted.
        root: PathBuf,
        /// Its number, as in `cgroup_mkdir`'s `hierarchy_id`; never 0.
        id: u32,
    },
}

impl Hierarchy {
    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        match self {
            Hierarchy::V2 { root } | Hierarchy::V1 { root, .. } => root,
        }
    }

    /// Its controller, of version 1.
    pub fn controller(&self) -> Option<&str> {
        match self {
            Hierarchy::V2 { .. } => None,
            Hierarchy::V1 { controller, .. } => Some(controller),
        }
    }

    /// Its number in the kernel; 0 is version 2's.
    pub fn id(&self) -> u32 {
        match self {
            Hierarchy::V2 { .. } => 0,
            Hierarchy::V1 { id, .. } => *id,
        }
    }
}

/// Chooses the hierarchy in which container runtimes of this host put their containers.
///
/// Version 2 where `/sys/fs/cgroup` itself is of version 2: so runc and systemd tell a unified host, whatever single
/// controller of version 1 someone mounted elsewhere. On hybrid hosts (version 2 at `/sys/fs/cgroup/unified`, without
/// controllers) and on hosts of version 1 only, runtimes use the controllers' hierarchies: the first that is mounted of
/// memory, pids, cpuset, devices, freezer, cpu, blkio, cpuacct. Failing that, version 2 wherever it is mounted.
///
/// # Errors
///
/// `/proc` can not be read, or nothing is mounted.
pub fn choose_hierarchy() -> Result<Hierarchy, Error> {
    let read = |path: &str| {
        let path = Path::new(path);
        std::fs::read(path).map_err(|e| Error::read(path, e))
    };
    let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    choose(&String::from_utf8_lossy(&mounts), &String::from_utf8_lossy(&own)).ok_or(Error::NoHierarchy)
}

/// Chooses from the text of `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn choose(mountinfo: &str, own: &str) -> Option<Hierarchy> {
    let mut mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    // A whole hierarchy before a part of it, the shortest path before bind mounts of it elsewhere.
    mounts.sort_by_key(|m| (m.part, m.point.as_os_str().len()));
    let unified = mounts.iter().find(|m| m.v2);
    if let Some(m) = mounts.iter().find(|m| m.v2 && m.point == Path::new("/sys/fs/cgroup")) {
        return Some(Hierarchy::V2 { root: m.point.clone() });
    }
    let v1 = CONTROLLERS.iter().find_map(|&controller| {
        let mount = mounts.iter().find(|m| !m.v2 && m.options.split(',').any(|o| o == controller))?;
        let id = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let id = parts.next()?.parse().ok()?;
            parts.next()?.split(',').any(|c| c == controller).then_some(id)
        })?;
        Some(Hierarchy::V1 { controller: controller.to_string(), root: mount.point.clone(), id })
    });
    v1.or_else(|| Some(Hierarchy::V2 { root: unified?.point.clone() }))
}

struct Mount<'a> {
    /// Only a part of the hierarchy is mounted here.
    part: bool,
    point: PathBuf,
    v2: bool,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of mountinfo: `id parent dev root point options [tags...] - type source super-options`.
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (left, right) = line.split_once(" - ")?;
        let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
        let (root, point) = (left.next()?, left.next()?);
        let v2 = match right.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        Some(Mount { part: root != "/", point: unescape(point), v2, options: right.nth(1)? })
    }
}

/// Undoes the kernel's `\ooo` for blanks and backslashes in paths.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let octal = (byte == b'\\')
            .then(|| text.get(at + 1..at + 4).and_then(|o| u8::from_str_radix(o, 8).ok()))
            .flatten();
        out.push(octal.unwrap_or(byte));
        at += if octal.is_some() { 4 } else { 1 };
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

/// Calls `found` with the id (the inode number) and the path of each cgroup under `root`, the root first, until it returns
/// false. Cgroups that vanish meanwhile are passed over.
///
/// # Errors
///
/// The root can not be read.
pub(crate) fn walk(root: &Path, mut found: impl FnMut(u64, &str) -> bool) -> Result<(), Error> {
    use std::os::unix::fs::{DirEntryExt, MetadataExt};
    let top = std::fs::metadata(root).map_err(|e| Error::read(root, e))?;
    std::fs::read_dir(root).map_err(|e| Error::read(root, e))?;
    if !found(top.ino(), "/") {
        return Ok(());
    }
    let mut open = vec![(root.to_path_buf(), String::new())];
    while let Some((folder, path)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            let name = entry.file_name();
            let path = format!("{path}/{}", String::from_utf8_lossy(name.as_bytes()));
            if !found(entry.ino(), &path) {
                return Ok(());
            }
            open.push((entry.path(), path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(controller: &str, root: &str, id: u32) -> Option<Hierarchy> {
        Some(Hierarchy::V1 { controller: controller.into(), root: root.into(), id })
    }

    fn v2(root: &str) -> Option<Hierarchy> {
        Some(Hierarchy::V2 { root: root.into() })
    }

    #[test]
    fn unified_hosts() {
        let host = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
                    31 23 0:27 / /proc rw - proc proc rw";
        assert_eq!(choose(host, "0::/init.scope\n"), v2("/sys/fs/cgroup"));
        let with_net_cls = format!("{host}\n40 23 0:40 / /opt/vpn/net_cls rw - cgroup cgroup rw,net_cls");
        assert_eq!(choose(&with_net_cls, "0::/\n1:net_cls:/"), v2("/sys/fs/cgroup"));
        assert_eq!(choose("31 23 0:27 / /proc rw - proc proc rw", "0::/"), None);
    }

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
50 31 0:32 /docker /very/elsewhere rw,relatime - cgroup cgroup rw,memory
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn hybrid_and_v1_hosts() {
        let own = "9:name=systemd:/\n4:memory:/\n3:cpuset:/a:b\n2:cpu,cpuacct:/\n0::/";
        assert_eq!(choose(HYBRID, own), v1("memory", "/sys/fs/cgroup/memory", 4));
        let no_memory: String =
            HYBRID.lines().filter(|l| !l.ends_with("memory")).map(|l| format!("{l}\n")).collect();
        assert_eq!(choose(&no_memory, own), v1("cpuset", "/sys/fs/cgroup/cpuset", 3));
        assert_eq!(
            choose(&no_memory.replace("cpuset", "perf_event"), own),
            v1("cpu", "/sys/fs/cgroup/cpu,cpuacct", 2)
        );
        let only_unified = HYBRID.lines().last().unwrap();
        assert_eq!(choose(only_unified, "0::/"), v2("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn blanks_in_paths() {
        assert_eq!(unescape("/a\\040b\\134c\\"), Path::new("/a b\\c\\"));
        assert_eq!(unescape("/é\\04"), Path::new("/é\\04"));
    }

    #[test]
    fn walks_every_folder() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/file"), "").unwrap();
        let mut seen = Vec::new();
        walk(root.path(), |id, path| {
            seen.push((id, path.to_string()));
            true
        })
        .unwrap();
        seen.sort_by(|x, y| x.1.cmp(&y.1));
        let ino = |p: &str| std::fs::metadata(root.path().join(p)).unwrap().ino();
        assert_eq!(seen, [(ino(""), "/".into()), (ino("a"), "/a".into()), (ino("a/b"), "/a/b".into())]);
        assert!(walk(&root.path().join("none"), |_, _| true).is_err());
    }
}
