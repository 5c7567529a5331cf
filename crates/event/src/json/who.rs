//! What a line says that does not stand in the record.

use crate::{Event, Frame};

/// Knows the host, the processes and the containers.
///
/// The lifetimes let an implementation lend what it holds; whoever keeps it behind a lock holds the lock for the call of
/// [`write_event`](super::write_event).
pub trait Who {
    /// Name of the host.
    fn host(&self) -> &str;

    /// Id of this boot, as in `/proc/sys/kernel/random/boot_id`.
    fn boot_id(&self) -> &str;

    /// Nanoseconds since the epoch at a time of the boot clock.
    fn wall_time(&self, boot_ns: u64) -> u64;

    /// A number for a task that no other task has, in this boot or another.
    fn unique_id(&self, start_time: u64, tid: u32) -> u64;

    /// Path of what the event's process runs.
    fn executable<'s>(&'s self, event: &Event<'_>) -> Option<&'s [u8]> {
        let _ = event;
        None
    }

    /// SHA-256 of what [`Who::executable`] names, if it is known.
    fn sha256(&self, event: &Event<'_>) -> Option<[u8; 32]> {
        let _ = event;
        None
    }

    /// The package that has what [`Who::executable`] names, or that none has it, if that is known.
    fn package(&self, event: &Event<'_>) -> Option<Option<PackageRef<'_>>> {
        let _ = event;
        None
    }

    /// Name of a user, of a task in that cgroup.
    fn user(&self, uid: u32, cgroup: u64) -> Option<&str> {
        let _ = (uid, cgroup);
        None
    }

    /// The container that a cgroup belongs to.
    fn container(&self, cgroup: u64) -> Option<ContainerRef<'_>> {
        let _ = cgroup;
        None
    }

    /// The ancestors of the event's process, the parent first.
    fn ancestors(&self, event: &Event<'_>, f: &mut dyn FnMut(Ancestor<'_>)) {
        let _ = (event, f);
    }

    /// What a frame that is of a file is called. Asked for no others.
    fn symbol<'s>(&'s self, frame: &Frame) -> SymbolRef<'s> {
        let _ = frame;
        SymbolRef::missing("not_looked_up")
    }

    /// Names of the policies that the event matched.
    fn matched_policies(&self, event: &Event<'_>, f: &mut dyn FnMut(&str)) {
        let _ = (event, f);
    }

    /// What these did beside telling it: actions, and who has done each.
    fn enforcement(&self, event: &Event<'_>, f: &mut dyn FnMut(&str, &str)) {
        let _ = (event, f);
    }
}

/// Why an address has no name: what is mapped there is no file; the file was not found any more, is too long or no sound ELF file, or has
/// no symbol there; the name came too late; nobody was asked.
pub const UNRESOLVED: [&str; 9] = [
    "anonymous_memory",
    "mappings_busy",
    "no_code",
    "file_gone",
    "file_too_large",
    "file_unreadable",
    "no_symbol",
    "late",
    "not_looked_up",
];

/// What an address in a file is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolRef<'a> {
    /// Path of the file, if it was found.
    pub path: Option<&'a [u8]>,
    /// Name of the function, and how far it had come; or why there is none.
    pub name: Result<(&'a str, u64), &'static str>,
    /// File and line of the source, if the file says so.
    pub source: Option<&'a str>,
    /// The functions that were inlined there, the outermost first.
    pub inlined: &'a [Box<str>],
}

impl SymbolRef<'_> {
    /// Nothing but why.
    pub const fn missing(reason: &'static str) -> Self {
        SymbolRef { path: None, name: Err(reason), source: None, inlined: &[] }
    }
}

/// A package of the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageRef<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Whether the file is another than what the package brought, if that is known.
    pub modified: Option<bool>,
}

/// A container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContainerRef<'a> {
    /// Its id.
    pub id: &'a str,
    /// What runs it: `docker`, `containerd` ...; may be empty.
    pub runtime: &'a str,
    /// Its name, if it is known.
    pub name: Option<&'a str>,
    /// Name of its image, if it is known.
    pub image: Option<&'a str>,
    /// Digest of its image, if it is known.
    pub image_digest: Option<&'a str>,
    /// What is written on it.
    pub labels: LabelsRef<'a>,
    /// Its pod in Kubernetes, if it is known.
    pub pod: Option<PodRef<'a>>,
}

/// A pod of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodRef<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: Option<&'a str>,
    /// Its UID.
    pub uid: Option<&'a str>,
    /// The container is the one that holds the pod's namespaces.
    pub sandbox: bool,
    /// What is written on it.
    pub labels: LabelsRef<'a>,
}

/// What is written on a container or a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelsRef<'a> {
    /// Keys and values; no key twice.
    pub kept: &'a [(Box<str>, Box<str>)],
    /// How many there are more.
    pub left_out: usize,
}

/// A process from which the event's process descends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor<'a> {
    /// As [`Who::unique_id`].
    pub unique_id: u64,
    /// Process id.
    pub pid: u32,
    /// Process id in its own pid namespace.
    pub ns_pid: u32,
    /// Boot clock, nanoseconds.
    pub start_time: u64,
    /// Command name.
    pub comm: &'a [u8],
    /// Path of what it runs.
    pub executable: Option<&'a [u8]>,
    /// Its arguments with spaces between them; told of the parent of what is executed only.
    pub command_line: Option<&'a [u8]>,
}
