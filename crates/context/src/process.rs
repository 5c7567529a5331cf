//! One process as the table knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Executable;

/// Bytes of a command name in the kernel, with its NUL.
pub const COMM_BYTES: usize = 16;

/// The bytes of a command name before its NUL.
pub fn comm_bytes(comm: &[u8; COMM_BYTES]) -> &[u8] {
    let end = comm.iter().position(|&b| b == 0).unwrap_or(COMM_BYTES);
    comm.get(..end).unwrap_or(comm)
}

/// A process, whatever becomes of its number: pids are reused, but no two processes of one pid start in the same nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process id on the host (the kernel's `tgid`).
    pub pid: u32,
    /// When its leading thread started, nanoseconds of the boot clock.
    pub start_time: u64,
}

impl ProcessKey {
    /// The key, unless it is nobody's: the idle task has pid 0, and a start time of 0 is one that is not known.
    pub fn new(pid: u32, start_time: u64) -> Option<ProcessKey> {
        (pid != 0 && start_time != 0).then_some(ProcessKey { pid, start_time })
    }
}

/// What the header of any event tells of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The process.
    pub key: ProcessKey,
    /// Its parent at that moment: a reaper, where the one that made it had died.
    pub parent: Option<ProcessKey>,
    /// Command name of the thread.
    pub comm: [u8; COMM_BYTES],
    /// The thread is the one that leads the process, so that `comm` is the process's.
    pub leader: bool,
    /// Real user id.
    pub uid: u32,
    /// Cgroup, in the hierarchy where containers are told apart.
    pub cgroup: u64,
    /// Mount namespace.
    pub mnt_ns: u32,
    /// Pid namespace.
    pub pid_ns: u32,
    /// Process id in that pid namespace.
    pub ns_pid: u32,
    /// Grows with each program that it executes; a new process has its maker's.
    pub exec_id: u64,
}

/// What a fork tells of the new process beyond its creator's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// The new process.
    pub key: ProcessKey,
    /// Its parent: the creator, or the creator's parent after `CLONE_PARENT`.
    pub parent: Option<ProcessKey>,
    /// Its cgroup.
    pub cgroup: u64,
    /// Its pid namespace.
    pub pid_ns: u32,
    /// Its process id in that pid namespace.
    pub ns_pid: u32,
}

/// A bit that a process carries and hands on to the processes it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(pub(crate) u64);

impl Mark {
    /// The bit, in a word of which the other bits are other marks.
    pub fn word(self) -> u64 {
        self.0
    }
}

/// At most so many programs are kept that a process ran before; with one more, all but that are forgotten.
const PAST: u8 = 16;
/// The time of an execution that was not told, or is told next.
pub(crate) const NOT_KNOWN: u64 = u64::MAX;

/// A program that a process ran before the one that it runs.
#[derive(Debug)]
pub(crate) struct Past {
    program: Program,
    since: u64,
    before: Option<Arc<Past>>,
    /// How many there are, with those before.
    length: u8,
}

impl Drop for Past {
    /// Not one within the other: there may be no stack for that.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(mut past) = before.and_then(Arc::into_inner) {
            before = past.before.take();
        }
    }
}

/// What a process ran, and what it was called then.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) comm: [u8; COMM_BYTES],
    pub(crate) executable: Option<Arc<Executable>>,
}

impl Program {
    /// Command name when it was executed, or, of the last program, now.
    pub fn comm(&self) -> &[u8] {
        comm_bytes(&self.comm)
    }

    /// Its path, by the kernel, where it is known.
    pub fn path(&self) -> Option<&[u8]> {
        self.executable.as_deref().map(Executable::path)
    }
}

/// Most bytes of a command line that are kept; a few go on to tens of thousands.
const LINE_BYTES: usize = 2048;

/// How a program was called. What a fork makes shares it.
#[derive(Debug, PartialEq, Eq)]
pub struct Called {
    path: Box<[u8]>,
    line: Box<[u8]>,
    cut: bool,
}

impl Called {
    /// By that path, with these arguments: each has a NUL behind it, and `cut` says that some are missing.
    pub(crate) fn with(path: &[u8], arguments: &[u8], cut: bool) -> Called {
        let whole = arguments.strip_suffix(b"\0").unwrap_or(arguments);
        let kept = whole.get(..LINE_BYTES).unwrap_or(whole);
        let line = kept.iter().map(|&b| if b == 0 { b' ' } else { b }).collect();
        Called { path: path.into(), line, cut: cut || kept.len() < whole.len() }
    }

    /// The path that the caller gave; empty where it was not read.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Its arguments with a space between them: all, or, if the second is true, the beginning.
    pub fn line(&self) -> (&[u8], bool) {
        (&self.line, self.cut)
    }
}

/// One process as the table knows it.
#[derive(Debug)]
pub struct Process {
    pub(crate) key: ProcessKey,
    pub(crate) parent: Option<ProcessKey>,
    pub(crate) comm: [u8; COMM_BYTES],
    pub(crate) executable: Option<Arc<Executable>>,
    pub(crate) called: Option<Arc<Called>>,
    pub(crate) uid: u32,
    pub(crate) cgroup: u64,
    pub(crate) mnt_ns: u32,
    pub(crate) pid_ns: u32,
    pub(crate) ns_pid: u32,
    /// That of the program named by `executable`, if one is.
    pub(crate) exec_id: u64,
    pub(crate) exit_time: Option<u64>,
    /// Since when it runs what it runs, or [`NOT_KNOWN`].
    pub(crate) since: u64,
    pub(crate) past: Option<Arc<Past>>,
    /// Atomic so that a reader of the table can mark; no order between marks is needed.
    pub(crate) marks: AtomicU64,
    /// Seen since the sweep for a victim last passed.
    pub(crate) recent: bool,
}

impl Process {
    /// Which process.
    pub fn key(&self) -> ProcessKey {
        self.key
    }

    /// The process that made it, or had it made in its name (`CLONE_PARENT`). It stays when that process dies, though the
    /// kernel then names a reaper. For a process that was there before Tarsius, the parent it had when first seen.
    pub fn parent(&self) -> Option<ProcessKey> {
        self.parent
    }

    /// Command name of its leading thread, without the NUL.
    pub fn comm(&self) -> &[u8] {
        comm_bytes(&self.comm)
    }

    /// Path of the program that it runs, by the kernel; `None` where it is not known, and for kernel threads.
    pub fn executable(&self) -> Option<&[u8]> {
        self.program().map(Executable::path)
    }

    /// The kernel's number of the execution by which it runs that (`self_exec_id`).
    pub fn exec_id(&self) -> u64 {
        self.exec_id
    }

    /// The program that it runs, where it is known.
    pub fn program(&self) -> Option<&Executable> {
        self.executable.as_deref()
    }

    /// How the program that it runs was called, where its execution was seen.
    pub fn called(&self) -> Option<&Called> {
        self.called.as_deref()
    }

    /// Real user id when last seen.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Cgroup when last seen.
    pub fn cgroup(&self) -> u64 {
        self.cgroup
    }

    /// Mount namespace when last seen.
    pub fn mnt_ns(&self) -> u32 {
        self.mnt_ns
    }

    /// Pid namespace when last seen.
    pub fn pid_ns(&self) -> u32 {
        self.pid_ns
    }

    /// Process id in its own pid namespace.
    pub fn ns_pid(&self) -> u32 {
        self.ns_pid
    }

    /// When its last thread ended, nanoseconds of the boot clock.
    pub fn exit_time(&self) -> Option<u64> {
        self.exit_time
    }

    /// Since when it runs what it runs, nanoseconds of the boot clock: 0 if that was so when it was first seen, and the end of time
    /// where an execution was lost.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Whether it lived at a moment of the boot clock.
    pub fn lived_at(&self, time: u64) -> bool {
        self.key.start_time <= time && self.exit_time.is_none_or(|end| time < end)
    }

    /// What it ran at a moment of the boot clock in its life; `None` where that is not known.
    pub fn program_at(&self, time: u64) -> Option<Program> {
        if time >= self.since {
            return Some(self.now());
        }
        // When the last one's time was over, is not known either then.
        let mut past = self.past.as_ref().filter(|p| self.since != NOT_KNOWN || time < p.since);
        while let Some(p) = past {
            if time >= p.since {
                return Some(p.program.clone());
            }
            past = p.before.as_ref();
        }
        None
    }

    pub(crate) fn now(&self) -> Program {
        Program { comm: self.comm, executable: self.executable.clone() }
    }

    /// It does not run any more what it ran: what it runs, and since when, is not known yet.
    pub(crate) fn replaced(&mut self, exec_id: u64) {
        let next = self.exec_id.checked_add(1) == Some(exec_id);
        let before = self.past.take().filter(|p| p.length < PAST);
        if next && self.since != NOT_KNOWN {
            let length = before.as_ref().map_or(0, |p| p.length) + 1;
            let program = self.now();
            self.past = Some(Arc::new(Past { program, since: self.since, before, length }));
        }
        self.exec_id = exec_id;
        self.executable = None;
        self.called = None;
        self.since = NOT_KNOWN;
    }

    /// All its marks.
    pub fn marks(&self) -> u64 {
        self.marks.load(Ordering::Relaxed)
    }

    /// Whether it carries a mark.
    pub fn is_marked(&self, mark: Mark) -> bool {
        self.marks() & mark.0 != 0
    }

    /// Puts a mark on it. What it makes from now on carries it too.
    pub fn mark(&self, mark: Mark) {
        self.marks.fetch_or(mark.0, Ordering::Relaxed);
    }

    pub(crate) fn unmark(&self, mark: Mark) {
        self.marks.fetch_and(!mark.0, Ordering::Relaxed);
    }
}
