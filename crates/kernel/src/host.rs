//! The machine around the kernel: its name, boot, processors, mounts and limits.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::Support;

/// A fact of the machine that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// A file does not say what it should.
    #[error("{path} holds {text:?}")]
    Malformed {
        /// The file.
        path: &'static str,
        /// What it holds.
        text: String,
    },
}

fn read(path: &'static str) -> Result<String, Error> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|source| Error::Read { path, source })
}

/// CPUs that are running now.
pub fn online_cpus() -> Result<Vec<u32>, Error> {
    cpus("/sys/devices/system/cpu/online")
}

/// CPUs that may ever run under this boot: the size of anything that has a place for each CPU.
pub fn possible_cpus() -> Result<Vec<u32>, Error> {
    cpus("/sys/devices/system/cpu/possible")
}

fn cpus(path: &'static str) -> Result<Vec<u32>, Error> {
    let text = read(path)?;
    cpu_list(&text).ok_or(Error::Malformed { path, text })
}

/// `0-3,8` to numbers.
fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

/// What names this boot: new at each start of the kernel.
pub fn boot_id() -> Result<String, Error> {
    read("/proc/sys/kernel/random/boot_id")
}

/// The name of the machine, in this UTS namespace.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Wall time less CLOCK_BOOTTIME, in nanoseconds: added to a record's time it gives wall time. Moves when the clock is set.
pub fn boot_offset() -> i64 {
    // Read between two readings of the other clock, so that a pause in between is halved, and the least disturbed of a few.
    (0..5)
        .map(|_| {
            let before = nanoseconds(ClockId::Boottime);
            let wall = nanoseconds(ClockId::Realtime);
            let after = nanoseconds(ClockId::Boottime);
            (after - before, wall - (before + after) / 2)
        })
        .min_by_key(|(pause, _)| *pause)
        .map_or(0, |(_, offset)| offset)
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A mount, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    root: String,
    point: PathBuf,
    kind: String,
}

/// Parses /proc/PID/mountinfo. Lines that do not fit are left out.
fn mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut fields = left.split(' ').skip(3);
            let root = unescape(fields.next()?);
            let point = PathBuf::from(unescape(fields.next()?));
            Some(Mount { root, point, kind: right.split(' ').next()?.to_owned() })
        })
        .collect()
}

/// Mountinfo writes space, tab, newline and backslash as `\ooo`.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// The cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cgroup2 {
    /// Where it is mounted.
    pub mount: Option<PathBuf>,
    /// Whether version 1 hierarchies are mounted beside it: containers may then be told apart only there.
    pub hybrid: bool,
    /// Whether the mount shows the whole hierarchy as this cgroup namespace sees it, not a part of it.
    pub whole: bool,
}

impl Cgroup2 {
    pub(crate) fn probe() -> Self {
        Self::from_mounts(&mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()))
    }

    fn from_mounts(mounts: &[Mount]) -> Self {
        let all = || mounts.iter().filter(|mount| mount.kind == "cgroup2");
        let best = all().find(|mount| mount.root == "/").or_else(|| all().next());
        Self {
            mount: best.map(|mount| mount.point.clone()),
            hybrid: best.is_some() && mounts.iter().any(|mount| mount.kind == "cgroup"),
            whole: best.is_some_and(|mount| mount.root == "/"),
        }
    }
}

/// The file system that knows the tracepoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tracefs {
    /// Whether it can be read.
    pub support: Support,
    /// Where it is mounted.
    pub mount: Option<PathBuf>,
    /// Whether it was mounted by this probe.
    pub mounted_now: bool,
}

impl Tracefs {
    /// Looks for tracefs, and mounts it where it belongs if it is nowhere. It stays mounted: the sensor reads it.
    pub(crate) fn probe() -> Self {
        const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        let usable = |place: &Path| fs::read_dir(place.join("events")).map(drop);
        for place in PLACES.map(Path::new) {
            if usable(place).is_ok() {
                return Self { support: Support::Yes, mount: Some(place.into()), mounted_now: false };
            }
        }
        let place = Path::new(PLACES[0]);
        let flags = rustix::mount::MountFlags::NOSUID
            | rustix::mount::MountFlags::NODEV
            | rustix::mount::MountFlags::NOEXEC;
        let mounted = rustix::mount::mount("tracefs", place, "tracefs", flags, None);
        match (mounted, usable(place)) {
            (Ok(()), Ok(())) => Self { support: Support::Yes, mount: Some(place.into()), mounted_now: true },
            (Ok(()), Err(error)) => Self {
                support: Support::no(format!("mounted but not readable: {error}")),
                mount: None,
                mounted_now: true,
            },
            (Err(error), _) => {
                let why = format!("not mounted, and can not be mounted at {}: {error}", place.display());
                Self { support: Support::no(why), mount: None, mounted_now: false }
            }
        }
    }
}

/// The active security modules; `None` if securityfs is not mounted.
pub(crate) fn lsms() -> Option<Vec<String>> {
    fs::read_to_string("/sys/kernel/security/lsm").ok().map(|text| lsm_list(&text))
}

fn lsm_list(text: &str) -> Vec<String> {
    text.trim().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The lockdown mode (5.4): the word in brackets; `None` if securityfs is not mounted.
pub(crate) fn lockdown() -> Option<String> {
    bracketed(&fs::read_to_string("/sys/kernel/security/lockdown").ok()?)
}

fn bracketed(text: &str) -> Option<String> {
    text.split_whitespace().find_map(|word| Some(word.strip_prefix('[')?.strip_suffix(']')?.to_owned()))
}

/// A number in /proc/sys.
pub(crate) fn sysctl(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list(""), None);
        assert_eq!(cpu_list("0-x"), None);
    }

    #[test]
    fn this_machine_has_cpus_a_boot_and_a_name() {
        assert!(!online_cpus().expect("readable").is_empty());
        assert!(possible_cpus().expect("readable").len() >= online_cpus().expect("readable").len());
        assert_eq!(boot_id().expect("readable").len(), 36);
        assert!(!hostname().is_empty());
        assert!(boot_offset() > 0);
    }

    #[test]
    fn mountinfo_gives_the_cgroup_hierarchy() {
        let hybrid = "24 1 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                      25 24 0:23 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu\n\
                      26 24 0:24 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n";
        let cgroup = Cgroup2::from_mounts(&mounts(hybrid));
        assert_eq!(cgroup.mount.as_deref(), Some(Path::new("/sys/fs/cgroup/uni fied")));
        assert!(cgroup.hybrid && cgroup.whole);

        let part_first =
            "30 1 0:24 /pod /mnt rw - cgroup2 cgroup2 rw\n31 1 0:24 / /cg rw - cgroup2 cgroup2 rw\n";
        let cgroup = Cgroup2::from_mounts(&mounts(part_first));
        assert_eq!(cgroup.mount.as_deref(), Some(Path::new("/cg")));
        assert!(!cgroup.hybrid);

        assert_eq!(Cgroup2::from_mounts(&mounts("nonsense\n")).mount, None);
    }

    #[test]
    fn lists_of_security_modules() {
        assert_eq!(lsm_list("lockdown,capability,bpf"), ["lockdown", "capability", "bpf"]);
        assert!(lsm_list("\n").is_empty());
        assert_eq!(bracketed("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(bracketed("none"), None);
    }
}
