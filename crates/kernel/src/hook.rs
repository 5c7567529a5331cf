//! The names of what is probed: hooks, helpers, kfuncs, map types.

use std::fmt;

use libbpf_sys as sys;
use serde::Serialize;

/// Declares an enum whose variants have one name each, the same in `Display`, in JSON and in documentation.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$doc])* $variant),+ }

        impl $type {
            /// All of them, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that every place shows.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

named! {
    /// A way to attach a BPF program.
    HookKind {
        /// Tracepoint with typed arguments (5.5).
        TpBtf = "tp_btf",
        /// Tracepoint with raw arguments (4.17).
        RawTracepoint = "raw_tracepoint",
        /// Tracepoint through perf (4.7): needs tracefs for its id. Runs with preemption off on every kernel.
        Tracepoint = "tracepoint",
        /// Kernel function entry through perf's kprobe PMU (4.17).
        Kprobe = "kprobe",
        /// Kernel function return.
        Kretprobe = "kretprobe",
        /// Many kernel functions with one link (5.18).
        KprobeMulti = "kprobe_multi",
        /// Kernel function entry through a trampoline (5.5).
        Fentry = "fentry",
        /// Kernel function return through a trampoline (5.5).
        Fexit = "fexit",
        /// Security hook (5.7). Yes here means that it was seen to run, not only that it attached.
        Lsm = "lsm",
        /// Security hook for the sockets of one cgroup (6.0).
        LsmCgroup = "lsm_cgroup",
        /// Packets of the sockets of a cgroup (4.10).
        CgroupSkb = "cgroup_skb",
        /// bind, connect, sendmsg of a cgroup (4.17).
        CgroupSockAddr = "cgroup_sock_addr",
        /// Socket creation in a cgroup (4.10), release (5.9).
        CgroupSock = "cgroup_sock",
        /// TCP state changes of a cgroup (4.13).
        SockOps = "sock_ops",
        /// Task iterator (5.8).
        Iter = "iter",
        /// User function entry through perf's uprobe PMU (4.17).
        Uprobe = "uprobe",
        /// Perf event: here a software clock (4.9).
        PerfEvent = "perf_event",
    }
}

named! {
    /// A helper function that the kernel side would like to call.
    Helper {
        /// Bounded loop with a callback (5.17).
        Loop = "bpf_loop",
        /// String compare (5.17).
        Strncmp = "bpf_strncmp",
        /// The task's user registers (5.15).
        TaskPtRegs = "bpf_task_pt_regs",
        /// `current` as a typed pointer (5.11).
        CurrentTaskBtf = "bpf_get_current_task_btf",
        /// State that belongs to a task (5.11 for LSM, 5.12 for tracing, 6.2 for perf tracepoints and kprobes).
        TaskStorageGet = "bpf_task_storage_get",
        /// State that belongs to a socket (5.2 for networking, 5.11 for tracing).
        SkStorageGet = "bpf_sk_storage_get",
        /// State that belongs to an inode (5.10, LSM; tracing 6.x).
        InodeStorageGet = "bpf_inode_storage_get",
        /// Path of a file (5.10): only on an allow-list of functions.
        DPath = "bpf_d_path",
        /// Kernel memory, safely (5.5).
        ProbeReadKernel = "bpf_probe_read_kernel",
        /// User memory, without faulting it in (5.5).
        ProbeReadUser = "bpf_probe_read_user",
        /// User strings, without faulting them in (5.5).
        ProbeReadUserStr = "bpf_probe_read_user_str",
        /// Copy into a ring buffer (5.8).
        RingbufOutput = "bpf_ringbuf_output",
        /// How full a ring buffer is (5.8).
        RingbufQuery = "bpf_ringbuf_query",
        /// Time since boot, sleep included (5.8).
        KtimeGetBootNs = "bpf_ktime_get_boot_ns",
        /// Ancestor in the cgroup tree (5.6).
        CurrentAncestorCgroup = "bpf_get_current_ancestor_cgroup_id",
        /// Whether a task is in a cgroup (4.8).
        CurrentTaskUnderCgroup = "bpf_current_task_under_cgroup",
        /// Process id as one PID namespace sees it (5.7).
        NsCurrentPidTgid = "bpf_get_ns_current_pid_tgid",
        /// A per-CPU kernel variable of this CPU (5.10).
        ThisCpuPtr = "bpf_this_cpu_ptr",
        /// Mapping of an address (5.17).
        FindVma = "bpf_find_vma",
        /// The socket of a file (5.11).
        SockFromFile = "bpf_sock_from_file",
        /// Signal to the current process (5.3).
        SendSignal = "bpf_send_signal",
        /// Cookie given at attachment (5.15).
        AttachCookie = "bpf_get_attach_cookie",
        /// User and kernel stacks (4.18).
        GetStack = "bpf_get_stack",
    }
}

impl Helper {
    pub(crate) const fn id(self) -> sys::bpf_func_id {
        match self {
            Self::Loop => sys::BPF_FUNC_loop,
            Self::Strncmp => sys::BPF_FUNC_strncmp,
            Self::TaskPtRegs => sys::BPF_FUNC_task_pt_regs,
            Self::CurrentTaskBtf => sys::BPF_FUNC_get_current_task_btf,
            Self::TaskStorageGet => sys::BPF_FUNC_task_storage_get,
            Self::SkStorageGet => sys::BPF_FUNC_sk_storage_get,
            Self::InodeStorageGet => sys::BPF_FUNC_inode_storage_get,
            Self::DPath => sys::BPF_FUNC_d_path,
            Self::ProbeReadKernel => sys::BPF_FUNC_probe_read_kernel,
            Self::ProbeReadUser => sys::BPF_FUNC_probe_read_user,
            Self::ProbeReadUserStr => sys::BPF_FUNC_probe_read_user_str,
            Self::RingbufOutput => sys::BPF_FUNC_ringbuf_output,
            Self::RingbufQuery => sys::BPF_FUNC_ringbuf_query,
            Self::KtimeGetBootNs => sys::BPF_FUNC_ktime_get_boot_ns,
            Self::CurrentAncestorCgroup => sys::BPF_FUNC_get_current_ancestor_cgroup_id,
            Self::CurrentTaskUnderCgroup => sys::BPF_FUNC_current_task_under_cgroup,
            Self::NsCurrentPidTgid => sys::BPF_FUNC_get_ns_current_pid_tgid,
            Self::ThisCpuPtr => sys::BPF_FUNC_this_cpu_ptr,
            Self::FindVma => sys::BPF_FUNC_find_vma,
            Self::SockFromFile => sys::BPF_FUNC_sock_from_file,
            Self::SendSignal => sys::BPF_FUNC_send_signal,
            Self::AttachCookie => sys::BPF_FUNC_get_attach_cookie,
            Self::GetStack => sys::BPF_FUNC_get_stack,
        }
    }
}

named! {
    /// A kernel function that BPF programs may call where the kernel exports it.
    Kfunc {
        /// A pointer of any type as a typed one (6.2).
        RdonlyCast = "bpf_rdonly_cast",
        /// A pointer without a type as the type it has (6.2).
        CastToKernCtx = "bpf_cast_to_kern_ctx",
        /// Preemption off (6.10).
        PreemptDisable = "bpf_preempt_disable",
        /// RCU read lock (6.2).
        RcuReadLock = "bpf_rcu_read_lock",
        /// A task by its id (6.2).
        TaskFromPid = "bpf_task_from_pid",
        /// The executable of a task (6.12, LSM programs).
        GetTaskExeFile = "bpf_get_task_exe_file",
        /// Path of a path (6.12, LSM programs).
        PathDPath = "bpf_path_d_path",
        /// User string that may fault (6.12, sleepable programs).
        CopyFromUserStr = "bpf_copy_from_user_str",
    }
}

named! {
    /// A map type that the sensor would like to use.
    MapKind {
        /// One ring for many CPUs (5.8).
        RingBuffer = "ring_buffer",
        /// An array that holds one ring for each shard (5.8).
        ArrayOfRingBuffers = "array_of_ring_buffers",
        /// Ring from user space to the kernel (6.1).
        UserRingBuffer = "user_ring_buffer",
        /// State that belongs to a task (5.11).
        TaskStorage = "task_storage",
        /// State that belongs to a socket (5.2).
        SkStorage = "sk_storage",
        /// State that belongs to an inode (5.10).
        InodeStorage = "inode_storage",
        /// State that belongs to a cgroup (6.2).
        CgroupStorage = "cgroup_storage",
        /// Longest prefix match (4.11).
        LpmTrie = "lpm_trie",
        /// Set membership with false positives (5.16).
        BloomFilter = "bloom_filter",
        /// Array that user space maps into memory (5.5).
        MmapableArray = "mmapable_array",
        /// Array that programs only read (5.2).
        ReadOnlyArray = "read_only_array",
        /// Memory shared by programs and user space (6.9).
        Arena = "arena",
    }
}
