//! The types of the catalogue's tables. The build script reads this file too, to write values of them.

use serde::Serialize;

/// An isolated path from probe to reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Birth, execution and death of processes, credentials, namespaces, cgroups.
    Life = 0,
    /// Everything else in process context.
    Task = 1,
    /// Packets and socket state.
    Net = 2,
    /// Captured bytes.
    Bulk = 3,
}

impl Lane {
    /// All lanes, in the order of their numbers.
    pub const ALL: [Lane; 4] = [Lane::Life, Lane::Task, Lane::Net, Lane::Bulk];

    /// The lane's name in C, JSON and documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Lane::Life => "life",
            Lane::Task => "task",
            Lane::Net => "net",
            Lane::Bulk => "bulk",
        }
    }

    /// The lane of that number, as in a record's header.
    pub const fn from_number(n: u8) -> Option<Lane> {
        match n {
            0 => Some(Lane::Life),
            1 => Some(Lane::Task),
            2 => Some(Lane::Net),
            3 => Some(Lane::Bulk),
            _ => None,
        }
    }

    /// Bytes for fields in one slot of this lane. The largest record of the life lane is an execution with 32 KiB of
    /// arguments, as much environment, and four paths of 4 KiB; of the task lane a rename with two paths; both with a user stack; of the
    /// bulk lane a packet of 65535 bytes.
    pub const fn slot_bytes(self) -> u32 {
        match self {
            Lane::Life => 98 * 1024,
            Lane::Task => 26 * 1024,
            Lane::Net => 8 * 1024,
            Lane::Bulk => 66 * 1024,
        }
    }
}

/// What the kernel may be doing when a hook's program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// On behalf of the current task.
    Task,
    /// In a soft interrupt: `current` is a stranger.
    Softirq,
    /// In a hard interrupt.
    Hardirq,
    /// In a non-maskable interrupt.
    Nmi,
    /// Anywhere: refused for programs that need a slot.
    Any,
}

/// Where a program attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "target")]
pub enum Hook {
    /// A tracepoint by BTF (kernel 5.5 and later); not preemptible before Linux 7.
    TpBtf(&'static str),
    /// A perf tracepoint, `group/name`; runs with preemption off on every kernel.
    Tracepoint(&'static str),
    /// A function's entry by kprobe.
    Kprobe(&'static str),
    /// A function's entry by trampoline.
    Fentry(&'static str),
    /// An LSM hook.
    Lsm(&'static str),
    /// A cgroup hook: `cgroup_skb/egress`, `cgroup/connect4` ...
    Cgroup(&'static str),
    /// An iterator, run by the sensor.
    Iter(&'static str),
    /// Entry of the system calls in `syscalls`, by the dispatcher of `sys_enter`.
    SysEnter,
    /// Exit of the system calls in `syscalls`, by the dispatcher of `sys_exit`.
    SysExit,
    /// The dispatcher itself: entry of every system call.
    DispatchEnter,
    /// The dispatcher itself: exit of every system call.
    DispatchExit,
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hook::TpBtf(t) => write!(f, "tp_btf/{t}"),
            Hook::Tracepoint(t) => write!(f, "tp/{t}"),
            Hook::Kprobe(t) => write!(f, "kprobe/{t}"),
            Hook::Fentry(t) => write!(f, "fentry/{t}"),
            Hook::Lsm(t) => write!(f, "lsm/{t}"),
            Hook::Cgroup(t) => f.write_str(t),
            Hook::Iter(t) => write!(f, "iter/{t}"),
            Hook::SysEnter => f.write_str("sys_enter"),
            Hook::SysExit => f.write_str("sys_exit"),
            Hook::DispatchEnter => f.write_str("raw_syscalls/sys_enter"),
            Hook::DispatchExit => f.write_str("raw_syscalls/sys_exit"),
        }
    }
}

/// Type of a field: what stands in the record, and which key of Tracee's `EventValue` it has in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Signed, 4 bytes.
    I32,
    /// Unsigned, 4 bytes.
    U32,
    /// Signed, 8 bytes.
    I64,
    /// Unsigned, 8 bytes.
    U64,
    /// 4 bytes, 0 or 1.
    Bool,
    /// An address, 8 bytes.
    Pointer,
    /// A point in time: nanoseconds of the boot clock in the record, of the wall clock outside; 8 bytes.
    Time,
    /// Bytes without a NUL.
    Str,
    /// A path: bytes without a NUL.
    Path,
    /// Strings, each followed by a NUL.
    StrArray,
    /// A socket address as the C library has it.
    Sockaddr,
    /// An IP address, in network order: 4 or 16 bytes.
    Ip,
    /// `struct cred_record`.
    Cred,
    /// `struct packet_record`.
    Packet,
    /// The header of an IPv4 packet, with its options.
    Ipv4,
    /// The first header of an IPv6 packet.
    Ipv6,
    /// The header of a TCP segment, with its options.
    Tcp,
    /// The header of a UDP datagram.
    Udp,
    /// The first 8 bytes of an ICMP message.
    Icmp,
    /// The first 8 bytes of an ICMPv6 message.
    Icmpv6,
    /// A DNS message, of which everything is shown.
    Dns,
    /// A DNS message, of which the questions are shown.
    DnsQuestions,
    /// A DNS message, of which the questions and answers are shown.
    DnsAnswers,
    /// The head of an HTTP/1 message: its first line and its headers.
    Http,
    /// The head of an HTTP/1 request.
    HttpRequest,
    /// The head of an HTTP/1 response.
    HttpResponse,
    /// Bytes.
    Bytes,
    /// A structure of the user-visible interface: see [`Field::layout`].
    Struct,
    /// Such structures, or numbers, one after the other.
    Structs,
}

/// How the names behind a number are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named for the constants of the kernel's headers that it stands for")]
pub enum Format {
    OpenFlags,
    FileMode,
    FileType,
    Signal,
    RenameFlags,
    MountFlags,
    UmountFlags,
    SocketType,
    TcpState,
    PrctlOption,
    CloneFlags,
    PtraceRequest,
    MemfdFlags,
    BpfProgType,
    /// In a table of names.tsv.
    Names(&'static Names),
}

impl Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(match self {
            Format::OpenFlags => "open_flags",
            Format::FileMode => "file_mode",
            Format::FileType => "file_type",
            Format::Signal => "signal",
            Format::RenameFlags => "rename_flags",
            Format::MountFlags => "mount_flags",
            Format::UmountFlags => "umount_flags",
            Format::SocketType => "socket_type",
            Format::TcpState => "tcp_state",
            Format::PrctlOption => "prctl_option",
            Format::CloneFlags => "clone_flags",
            Format::PtraceRequest => "ptrace_request",
            Format::MemfdFlags => "memfd_flags",
            Format::BpfProgType => "bpf_prog_type",
            Format::Names(names) => names.name,
        })
    }
}

/// One of several meanings, by what another field of the event says: a member of a union, a set of names.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice<T: 'static> {
    /// What they have in common.
    pub name: &'static str,
    /// The field that says which: its place in [`Event::fields`].
    pub by: usize,
    /// The bits of its number that do.
    pub mask: u64,
    /// The meanings by these bits, sorted.
    pub of: &'static [(u64, &'static T)],
}

impl<T> Choice<T> {
    /// The meaning, if the other field is that number.
    pub fn get(&self, number: u64) -> Option<&'static T> {
        let place = self.of.binary_search_by_key(&(number & self.mask), |&(n, _)| n).ok()?;
        self.of.get(place).map(|&(_, one)| one)
    }
}

/// A table of names.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// Its own name.
    pub name: &'static str,
    /// How a number is read.
    pub kind: NamesKind,
    /// Names by number; of flags, those that mean several bits first.
    pub entries: &'static [(u64, &'static str)],
}

/// How a number is read by a table of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesKind {
    /// Bits.
    Flags,
    /// One name for each number; they are sorted.
    Number,
    /// A number in the bits of a mask, with sorted names of its own, and flags in the others.
    Mask {
        /// The bits.
        mask: u64,
        /// The names.
        values: &'static [(u64, &'static str)],
    },
}

/// A structure of the interface between user space and the kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// The same in 32-bit programs, where it is another.
    pub compat: Option<&'static Layout>,
    /// What of it is shown.
    pub members: &'static [Member],
}

/// A member of a structure.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name; empty where the structure is a mere number.
    pub name: &'static str,
    /// Its type.
    pub ty: MemberType,
    /// Where it stands.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// How the number is shown by name.
    pub format: Option<Format>,
}

/// Type of a member of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the usual ones")]
pub enum MemberType {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    /// An address.
    Ptr,
    /// In network order.
    Be16,
    /// In network order.
    Be32,
    /// Text that ends with a NUL, or with the member.
    Str,
    Bytes,
}

/// What the programs must know of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its event's place in [`EVENTS`](crate::EVENTS).
    pub event: usize,
    /// The names that the kernel has for it: [`SYSCALLS`](crate::SYSCALLS).
    pub names: &'static [&'static str],
    /// It is told at its entry.
    pub never_returns: bool,
    /// It returns in a new task too.
    pub makes_child: bool,
    /// Its arguments.
    pub arguments: &'static [Argument],
}

/// What the programs must know of an argument: `struct argument` of `syscall.bpf.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// `enum argument_kind`.
    pub kind: u8,
    /// The kernel writes there.
    pub written: bool,
    /// `enum argument_count`.
    pub count: u8,
    /// 64 bits, which a 32-bit call gives in two registers.
    pub pair: bool,
    /// Bytes of an element.
    pub size: u32,
    /// Bytes of an element in a 32-bit call; 0 where they are not known.
    pub compat_size: u32,
    /// The same in a 32-bit call that has another name there.
    pub alias_size: u32,
    /// Of a structure whose size the caller says: the bytes that a size of 0 stands for.
    pub least: u32,
    /// It is the number of a descriptor.
    pub descriptor: Option<Descriptor>,
}

/// A descriptor among the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The field that says what it stands for, on request: its index in the event.
    pub path: u8,
    /// It may be `AT_FDCWD`, the current directory.
    pub directory: bool,
}

/// How sure a field's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// As the kernel has it.
    Ok = 0,
    /// Cut: there was more.
    Truncated = 1,
    /// The memory could not be read.
    Faulted = 2,
    /// Not to be had at this tier or in this case.
    Unavailable = 3,
    /// A path as the caller named it, joined to the kernel's path of the directory where it starts; symbolic links in it
    /// were not followed, and another thread could have changed it meanwhile.
    Unresolved = 4,
}

impl Quality {
    /// The quality of that number, as in a record.
    pub const fn from_number(n: u8) -> Option<Quality> {
        match n {
            0 => Some(Quality::Ok),
            1 => Some(Quality::Truncated),
            2 => Some(Quality::Faulted),
            3 => Some(Quality::Unavailable),
            4 => Some(Quality::Unresolved),
            _ => None,
        }
    }

    /// The name in JSON and documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Quality::Ok => "ok",
            Quality::Truncated => "truncated",
            Quality::Faulted => "faulted",
            Quality::Unavailable => "unavailable",
            Quality::Unresolved => "unresolved",
        }
    }
}

/// A field of an event. Its index in a record is its place in [`Event::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Name in JSON, as Tracee's where Tracee has it.
    pub name: &'static str,
    /// Type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// How the number is shown by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The same, where another field says which.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "choice_name")]
    pub formats: Option<&'static Choice<Names>>,
    /// What the bytes of a [`Type::Struct`] mean, or of each element of [`Type::Structs`].
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "layout_name")]
    pub layout: Option<&'static Layout>,
    /// The same, where another field says which. Where that says none of these, the bytes have no meaning.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "choice_name")]
    pub layouts: Option<&'static Choice<Layout>>,
    /// The `--enrichment` that must ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_request: Option<&'static str>,
    /// Meaning, with unit.
    pub doc: &'static str,
}

fn layout_name<S: serde::Serializer>(layout: &Option<&'static Layout>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(layout.map_or("", |l| l.name))
}

fn choice_name<T, S: serde::Serializer>(
    choice: &Option<&'static Choice<T>>,
    s: S,
) -> Result<S::Ok, S::Error> {
    s.serialize_str(choice.map_or("", |c| c.name))
}

/// One way to take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Name: the kind of hook.
    pub name: &'static str,
    /// The programs that it needs, all of them.
    pub programs: &'static [ProgramRef],
    /// What it sees.
    pub sees: &'static str,
    /// What a better tier would see and this does not; empty if nothing.
    pub misses: &'static str,
}

/// A program by its place in [`PROGRAMS`](crate::PROGRAMS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramRef(pub usize);

impl ProgramRef {
    /// The program.
    pub fn get(self) -> &'static Program {
        &crate::PROGRAMS[self.0]
    }
}

impl Serialize for ProgramRef {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(s)
    }
}

/// One BPF program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Name. A handler of system calls is two functions in the object, `NAME__btf` and `NAME__perf`, of which one is
    /// loaded; any other program is the function of this name.
    pub name: &'static str,
    /// Where it attaches.
    pub hook: Hook,
    /// For handlers of system calls: which; `all` for one that the events of all calls share.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub syscalls: &'static [&'static str],
    /// Its lane.
    pub lane: Lane,
    /// Its row in the lane's ledger.
    pub probe: u16,
    /// For handlers of system calls: its place in the chain of handlers.
    #[serde(skip)]
    pub stage: u8,
    /// In which contexts the kernel runs it.
    pub contexts: &'static [Context],
    /// It builds records, so it needs a slot.
    pub slot: bool,
    /// It writes which tasks are in a watched tree.
    pub writes_scope: bool,
}

impl Program {
    /// Names of the functions in the object that this program is.
    pub fn functions(&self) -> Vec<String> {
        if self.is_syscall() {
            vec![format!("{}__btf", self.name), format!("{}__perf", self.name)]
        } else {
            vec![self.name.to_string()]
        }
    }

    /// It is a handler that the events of all system calls share.
    pub fn handles_all_calls(&self) -> bool {
        self.syscalls == ["all"]
    }

    /// It stands on a hook that can refuse the act, as those of LSM and of a socket's addresses.
    pub const fn denies(&self) -> bool {
        match self.hook {
            Hook::Lsm(_) => true,
            Hook::Cgroup(name) => matches!(
                name.as_bytes(),
                b"cgroup/connect4"
                    | b"cgroup/connect6"
                    | b"cgroup/bind4"
                    | b"cgroup/bind6"
                    | b"cgroup/sendmsg4"
                    | b"cgroup/sendmsg6"
            ),
            _ => false,
        }
    }

    /// It is a handler of system calls, or their dispatcher.
    pub const fn is_syscall(&self) -> bool {
        matches!(self.hook, Hook::SysEnter | Hook::SysExit | Hook::DispatchEnter | Hook::DispatchExit)
    }
}

/// A program that emits no event itself but serves others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Support {
    /// The program.
    pub program: ProgramRef,
    /// It is loaded when one of these is.
    pub serves: &'static [ProgramRef],
    /// It tells of events that those do not see: the kernel's table of wanted events says of which.
    pub tells: bool,
    /// What it does.
    pub doc: &'static str,
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Number in records; never reused.
    pub id: u16,
    /// Place in [`EVENTS`](crate::EVENTS), and in the kernel's table of wanted events.
    #[serde(skip)]
    pub index: u16,
    /// Name, as Tracee's where the concept is the same.
    pub name: &'static str,
    /// Its family: the folder of its entry.
    pub family: &'static str,
    /// Its lane.
    pub lane: Lane,
    /// Tags that select it (`--events tag=fs`); `default` marks the default set.
    pub tags: &'static [&'static str],
    /// Other names by which it is selected: what Tracee calls it, the names of a system call in the 32-bit table.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub aliases: &'static [&'static str],
    /// What happened when one sees it.
    pub doc: &'static str,
    /// Its fields, in the order of their indices.
    pub fields: &'static [Field],
    /// Ways to take it, best first.
    pub tiers: &'static [Tier],
    /// In the stream whatever is selected.
    pub always: bool,
}
