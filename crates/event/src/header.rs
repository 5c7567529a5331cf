//! The head of every record: `struct record_header` of `bpf/lib/record.h`.

use catalogue::Lane;

use crate::{DecodeError, bytes};

/// Size of `struct record_header`.
pub const HEADER_BYTES: usize = 168;

/// [`Header::probe`] of a record that no program made.
pub const NO_PROBE: u16 = u16::MAX;

/// Whose identity a header carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The task that ran when the event happened.
    Current = 0,
    /// The owner of the socket: the event happened in an interrupt, or on another's behalf.
    Owner = 1,
    /// Nobody's: what is zero is not known.
    Unknown = 2,
    /// The owner of the listening socket that the connection came to: nobody has accepted it yet.
    Listener = 3,
}

impl Origin {
    /// The origin of that number, as in a record.
    pub const fn from_number(n: u8) -> Option<Origin> {
        match n {
            0 => Some(Origin::Current),
            1 => Some(Origin::Owner),
            2 => Some(Origin::Unknown),
            3 => Some(Origin::Listener),
            _ => None,
        }
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Current => "current",
            Origin::Owner => "owner",
            Origin::Unknown => "unknown",
            Origin::Listener => "listener",
        }
    }
}

/// `enum record_flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// By a 32-bit system call.
    pub const COMPAT: u8 = 1 << 0;
    /// [`Header::ret`] is there.
    pub const RETURN: u8 = 1 << 1;
    /// By a kernel thread.
    pub const KTHREAD: u8 = 1 << 2;
    /// [`Header::syscall`] is there.
    pub const SYSCALL: u8 = 1 << 3;

    /// By a task that is in every tree that it must be in: see [`Flags::in_tree`].
    pub const IN_TREE: u8 = 1 << 4;

    /// By a request in a ring of io_uring.
    pub const IO_URING: u8 = 1 << 5;

    /// A policy had the process killed: see [`Flags::killed`].
    pub const KILLED: u8 = 1 << 6;

    /// A policy had the act refused.
    pub const DENIED: u8 = 1 << 7;

    /// By a 32-bit system call.
    pub const fn compat(self) -> bool {
        self.0 & Self::COMPAT != 0
    }

    /// By a request in a ring of io_uring: by the task that submitted it, whichever task carried it out.
    pub const fn io_uring(self) -> bool {
        self.0 & Self::IO_URING != 0
    }

    /// A policy had the kernel kill the process, before it could go on.
    pub const fn killed(self) -> bool {
        self.0 & Self::KILLED != 0
    }

    /// A policy had the kernel refuse the act.
    pub const fn denied(self) -> bool {
        self.0 & Self::DENIED != 0
    }

    /// By a kernel thread.
    pub const fn kthread(self) -> bool {
        self.0 & Self::KTHREAD != 0
    }

    /// The kernel found the task in every tree of processes that events are asked of; it knows of every birth. False where it did not look, or
    /// was not asked yet.
    pub const fn in_tree(self) -> bool {
        self.0 & Self::IN_TREE != 0
    }
}

/// What every record says: when, where, and who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When the program's run began: boot clock, nanoseconds.
    pub time: u64,
    /// Place among the records of this slot.
    pub seq: u64,
    /// Number in the catalogue.
    pub event: u16,
    /// Row in the lane's ledger; [`NO_PROBE`] for a record made in user space.
    pub probe: u16,
    /// The lane.
    pub lane: Lane,
    /// The slot of this CPU that it was built in.
    pub slot: u8,
    /// Whose identity follows.
    pub origin: Origin,
    /// Flags.
    pub flags: Flags,
    /// The CPU.
    pub cpu: u32,
    /// Start of the thread: boot clock, nanoseconds.
    pub start_time: u64,
    /// Start of the process.
    pub leader_start_time: u64,
    /// Start of the parent process.
    pub parent_start_time: u64,
    /// Cgroup, in the hierarchy where containers are told apart.
    pub cgroup: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent.
    pub ppid: u32,
    /// Process id in the task's own pid namespace.
    pub ns_pid: u32,
    /// Thread id in the task's own pid namespace.
    pub ns_tid: u32,
    /// Process id of the parent in the task's own pid namespace.
    pub ns_ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Mount namespace.
    pub mnt_ns: u32,
    /// Pid namespace.
    pub pid_ns: u32,
    /// Network namespace.
    pub net_ns: u32,
    /// UTS namespace.
    pub uts_ns: u32,
    /// IPC namespace.
    pub ipc_ns: u32,
    /// User namespace.
    pub user_ns: u32,
    /// Cgroup namespace.
    pub cgroup_ns: u32,
    /// Number of the system call, in the 32-bit table if [`Flags::compat`].
    pub syscall: Option<u32>,
    /// Command name of the thread, up to a NUL; see [`Header::comm`].
    pub comm: [u8; 16],
    /// Grows with each program that the task executes; a new task has its maker's.
    pub exec_id: u64,
    /// What the system call returned.
    pub ret: Option<i64>,
}

/// Offsets in `struct record_header`.
mod at {
    pub(super) const TIME: usize = 0;
    pub(super) const SEQ: usize = 8;
    pub(super) const LENGTH: usize = 16;
    pub(super) const EVENT: usize = 20;
    pub(super) const PROBE: usize = 22;
    pub(super) const LANE: usize = 24;
    pub(super) const SLOT: usize = 25;
    pub(super) const ORIGIN: usize = 26;
    pub(super) const FLAGS: usize = 27;
    pub(super) const CPU: usize = 28;
    /// Four 64-bit words: start times and cgroup.
    pub(super) const WHO64: usize = 32;
    /// Seventeen 32-bit words: ids and namespaces.
    pub(super) const WHO32: usize = 64;
    pub(super) const SYSCALL: usize = 132;
    pub(super) const COMM: usize = 136;
    pub(super) const EXEC_ID: usize = 152;
    pub(super) const RET: usize = 160;
    const _: () = assert!(RET + 8 == super::HEADER_BYTES);
}

impl Header {
    /// A header that knows nobody: for records made in user space.
    pub const fn unknown(time: u64) -> Header {
        Header {
            time,
            seq: 0,
            event: 0,
            probe: NO_PROBE,
            lane: Lane::Life,
            slot: 0,
            origin: Origin::Unknown,
            flags: Flags(0),
            cpu: 0,
            start_time: 0,
            leader_start_time: 0,
            parent_start_time: 0,
            cgroup: 0,
            pid: 0,
            tid: 0,
            ppid: 0,
            ns_pid: 0,
            ns_tid: 0,
            ns_ppid: 0,
            uid: 0,
            gid: 0,
            euid: 0,
            egid: 0,
            mnt_ns: 0,
            pid_ns: 0,
            net_ns: 0,
            uts_ns: 0,
            ipc_ns: 0,
            user_ns: 0,
            cgroup_ns: 0,
            syscall: None,
            comm: [0; 16],
            exec_id: 0,
            ret: None,
        }
    }

    /// The command name, without what follows its NUL.
    pub fn comm(&self) -> &[u8] {
        let end = self.comm.iter().position(|&b| b == 0).unwrap_or(self.comm.len());
        self.comm.get(..end).unwrap_or_default()
    }

    /// The time of any record with a whole header, checked no further: what a merge sorts by before decoding.
    pub fn peek_time(record: &[u8]) -> Option<u64> {
        (record.len() >= HEADER_BYTES).then(|| bytes::u64(record, at::TIME))
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Header, DecodeError> {
        let Some(h) = record.first_chunk::<HEADER_BYTES>() else {
            return Err(DecodeError::Short { length: record.len() });
        };
        let stated = bytes::u32(h, at::LENGTH);
        if usize::try_from(stated) != Ok(record.len()) {
            return Err(DecodeError::Length { stated, length: record.len() });
        }
        let Some(lane) = Lane::from_number(h[at::LANE]) else {
            return Err(DecodeError::UnknownLane { lane: h[at::LANE] });
        };
        let Some(origin) = Origin::from_number(h[at::ORIGIN]) else {
            return Err(DecodeError::UnknownOrigin { origin: h[at::ORIGIN] });
        };
        // Each of its bits is a flag.
        let flags = h[at::FLAGS];
        let id = |n: usize| bytes::u32(h, at::WHO32 + 4 * n);
        Ok(Header {
            time: bytes::u64(h, at::TIME),
            seq: bytes::u64(h, at::SEQ),
            event: bytes::u16(h, at::EVENT),
            probe: bytes::u16(h, at::PROBE),
            lane,
            slot: h[at::SLOT],
            origin,
            flags: Flags(flags),
            cpu: bytes::u32(h, at::CPU),
            start_time: bytes::u64(h, at::WHO64),
            leader_start_time: bytes::u64(h, at::WHO64 + 8),
            parent_start_time: bytes::u64(h, at::WHO64 + 16),
            cgroup: bytes::u64(h, at::WHO64 + 24),
            pid: id(0),
            tid: id(1),
            ppid: id(2),
            ns_pid: id(3),
            ns_tid: id(4),
            ns_ppid: id(5),
            uid: id(6),
            gid: id(7),
            euid: id(8),
            egid: id(9),
            mnt_ns: id(10),
            pid_ns: id(11),
            net_ns: id(12),
            uts_ns: id(13),
            ipc_ns: id(14),
            user_ns: id(15),
            cgroup_ns: id(16),
            syscall: (flags & Flags::SYSCALL != 0).then(|| bytes::u32(h, at::SYSCALL)),
            comm: bytes::array(h, at::COMM),
            exec_id: bytes::u64(h, at::EXEC_ID),
            ret: (flags & Flags::RETURN != 0).then(|| bytes::u64(h, at::RET).cast_signed()),
        })
    }

    /// The header as it stands in a record of `length` bytes. Whether there is a system call and a return value is told
    /// by `syscall` and `ret`, not by `flags`.
    pub fn encode(&self, length: u32) -> [u8; HEADER_BYTES] {
        let mut flags = self.flags.0 & !(Flags::SYSCALL | Flags::RETURN);
        flags |= if self.syscall.is_some() { Flags::SYSCALL } else { 0 };
        flags |= if self.ret.is_some() { Flags::RETURN } else { 0 };
        let mut h = [0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| h[at..at + bytes.len()].copy_from_slice(bytes);
        put(at::TIME, &self.time.to_le_bytes());
        put(at::SEQ, &self.seq.to_le_bytes());
        put(at::LENGTH, &length.to_le_bytes());
        put(at::EVENT, &self.event.to_le_bytes());
        put(at::PROBE, &self.probe.to_le_bytes());
        put(at::LANE, &[self.lane as u8, self.slot, self.origin as u8, flags]);
        put(at::CPU, &self.cpu.to_le_bytes());
        let wide = [self.start_time, self.leader_start_time, self.parent_start_time, self.cgroup];
        for (n, word) in wide.into_iter().enumerate() {
            put(at::WHO64 + 8 * n, &word.to_le_bytes());
        }
        #[rustfmt::skip]
        let ids: [u32; 17] = [
            self.pid, self.tid, self.ppid, self.ns_pid, self.ns_tid, self.ns_ppid,
            self.uid, self.gid, self.euid, self.egid,
            self.mnt_ns, self.pid_ns, self.net_ns, self.uts_ns, self.ipc_ns, self.user_ns, self.cgroup_ns,
        ];
        for (n, word) in ids.into_iter().enumerate() {
            put(at::WHO32 + 4 * n, &word.to_le_bytes());
        }
        put(at::SYSCALL, &self.syscall.unwrap_or(u32::MAX).to_le_bytes());
        put(at::COMM, &self.comm);
        put(at::EXEC_ID, &self.exec_id.to_le_bytes());
        put(at::RET, &self.ret.unwrap_or(0).to_le_bytes());
        h
    }
}
