//! Columns: what of an event is asked for, and how its values are compared.

use std::net::IpAddr;

use crate::{Prefix, Values};

/// Bytes of a text that are compared from its beginning: `LONG_BYTES` of `bpf/lib/lane.h`.
pub const LONG: usize = 240;
/// Bytes of a text that are compared from its end: `SUFFIX_BYTES`.
pub const SUFFIX: usize = 64;
/// Bytes of a number, an address or a name: `SHORT_BYTES`.
pub const SHORT: usize = 16;
/// Bytes of `struct column`.
pub const COLUMN_BYTES: usize = 32;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// How the bytes of a value are read: `enum column_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// 4 bytes, a number without sign.
    U32 = 0,
    /// 4 bytes, a number with sign.
    I32 = 1,
    /// 8 bytes, without sign.
    U64 = 2,
    /// 8 bytes, with sign.
    I64 = 3,
    /// A command name of 16 bytes, with a NUL at its end.
    Comm = 4,
    /// A text, from its beginning.
    Start = 5,
    /// A text, from its end.
    End = 6,
    /// The IP address of a socket address.
    Address = 7,
    /// The port of a socket address.
    Port = 8,
    /// A command name, from its end.
    CommEnd = 9,
    /// The path of a UNIX socket's address, from its beginning; of another family that is an empty one.
    UnixStart = 10,
    /// The same, from its end.
    UnixEnd = 11,
}

impl Kind {
    /// Whether it is of a text that is compared by up to [`LONG`] bytes.
    pub const fn is_long(self) -> bool {
        matches!(self, Kind::Start | Kind::End | Kind::UnixStart | Kind::UnixEnd)
    }
}

/// What of a record's header is asked for, by its place there (`struct record_header`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "each is named as the header's member is")]
pub enum Head {
    Cgroup = 56,
    Pid = 64,
    Tid = 68,
    Ppid = 72,
    NsPid = 76,
    NsTid = 80,
    NsPpid = 84,
    Uid = 88,
    Gid = 92,
    Euid = 96,
    Egid = 100,
    MntNs = 104,
    PidNs = 108,
    NetNs = 112,
    UserNs = 124,
    Comm = 136,
    /// The same, from its end.
    CommEnd = 137,
    Return = 160,
}

impl Head {
    /// As conditions call it.
    pub const fn name(self) -> &'static str {
        match self {
            Head::Cgroup => "cgroupId",
            Head::Pid => "hostPid",
            Head::Tid => "hostTid",
            Head::Ppid => "hostParentProcessId",
            Head::NsPid => "pid",
            Head::NsTid => "tid",
            Head::NsPpid => "ppid",
            Head::Uid => "uid",
            Head::Gid => "gid",
            Head::Euid => "euid",
            Head::Egid => "egid",
            Head::MntNs => "mntns",
            Head::PidNs => "pidns",
            Head::NetNs => "netns",
            Head::UserNs => "userns",
            Head::Comm => "comm",
            Head::CommEnd => "comm from its end",
            Head::Return => "retval",
        }
    }

    /// Where it stands in the header.
    pub const fn at(self) -> u16 {
        match self {
            Head::CommEnd => Head::Comm as u16,
            _ => self as u16,
        }
    }

    /// Whether it is asked before a slot is claimed: `classes_of_task()` of `bpf/lib/sieve.h`.
    pub const fn is_early(self) -> bool {
        use Head::{Cgroup, Comm, CommEnd, Euid, Gid, MntNs, Pid, PidNs, Return, Tid, Uid};
        matches!(self, Cgroup | Comm | CommEnd | Euid | Gid | MntNs | Pid | PidNs | Return | Tid | Uid)
    }

    const fn kind(self) -> Kind {
        match self {
            Head::Cgroup => Kind::U64,
            Head::Comm => Kind::Comm,
            Head::CommEnd => Kind::CommEnd,
            Head::Return => Kind::I64,
            _ => Kind::U32,
        }
    }
}

/// What of an event is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// Who did it, and what the call returned.
    Head(Head),
    /// Whether who did it is in a tree of processes: the tree's bit in a process's word in the map `scope_tree`. No record has it, the kernel asks
    /// before there is one.
    Tree(u64),
    /// The path of what who did it runs, from its beginning or from its end ([`Kind::Start`], [`Kind::End`]). No record has it: the kernel knows it
    /// some time after the execution, and as a number.
    Executable(Kind),
    /// Whether who did it is followed by a scope, for all that the kernel can know: the scope's bit in another such word. No record has it.
    Followed(u64),
    /// A field of the event.
    Field {
        /// Its place in the catalogue.
        field: u8,
        /// How its payload is read.
        kind: Kind,
        /// Of a number, from which byte on.
        at: u16,
        /// Of a number, the bits that are asked for.
        mask: u64,
    },
}

impl Column {
    /// All of a field.
    pub const fn field(field: u8, kind: Kind) -> Column {
        Column::Field { field, kind, at: 0, mask: u64::MAX }
    }

    /// How its value is read.
    pub const fn kind(&self) -> Kind {
        match self {
            Column::Head(head) => head.kind(),
            Column::Tree(_) | Column::Followed(_) => Kind::U64,
            Column::Executable(kind) => *kind,
            Column::Field { kind, .. } => *kind,
        }
    }

    /// These numbers; those that it can not have are left out.
    pub fn numbers(&self, numbers: &[i128]) -> Values {
        let found = numbers.iter().filter_map(|n| self.number(*n));
        Values::beginning(found.map(|n| Prefix::new(&n.to_be_bytes(), 64)))
    }

    /// What is in that tree.
    pub fn in_tree(tree: u64) -> (Column, Values) {
        let column = Column::Tree(tree);
        (column, column.numbers(&[tree.into()]))
    }

    /// Who is followed by that scope.
    pub fn followed(mark: u64) -> (Column, Values) {
        let column = Column::Followed(mark);
        (column, column.numbers(&[mark.into()]))
    }

    /// Whether it can be asked before a record is begun.
    pub const fn is_early(&self) -> bool {
        match self {
            Column::Head(head) => head.is_early(),
            Column::Tree(_) | Column::Executable(_) | Column::Followed(_) => true,
            Column::Field { .. } => false,
        }
    }

    /// Whether no record has it, so that it can not be asked later.
    pub const fn is_early_only(&self) -> bool {
        matches!(self, Column::Tree(_) | Column::Executable(_) | Column::Followed(_))
    }

    /// The numbers from the first to the last.
    pub fn range(&self, first: i128, last: i128) -> Values {
        let (low, high) = match self.kind() {
            Kind::U32 => (0, u32::MAX.into()),
            Kind::I32 => (i32::MIN.into(), i32::MAX.into()),
            Kind::I64 => (i64::MIN.into(), i64::MAX.into()),
            Kind::Port => (0, u16::MAX.into()),
            _ => (0, u64::MAX.into()),
        };
        if first <= low && last >= high {
            return Values::all(true);
        }
        match (self.number(first.max(low)), self.number(last.min(high))) {
            (Some(a), Some(b)) => Values::range(a, b),
            _ => Values::all(false),
        }
    }

    /// A number as it is compared: those with a sign so that they stand in their order.
    fn number(&self, n: i128) -> Option<u64> {
        match self.kind() {
            Kind::U32 => u32::try_from(n).ok().map(u64::from),
            Kind::I32 => i32::try_from(n).ok().map(|n| flip(n.into())),
            Kind::I64 => i64::try_from(n).ok().map(flip),
            Kind::Port => u16::try_from(n).ok().map(u64::from),
            _ => u64::try_from(n).ok(),
        }
    }

    /// Texts that are this one; `None` if that can not be said.
    pub fn whole(&self, text: &[u8]) -> Option<Values> {
        self.text(text, true)
    }

    /// Texts that begin so, or, of a column that is read from its end, end so.
    pub fn part(&self, text: &[u8]) -> Option<Values> {
        self.text(text, false)
    }

    fn text(&self, text: &[u8], whole: bool) -> Option<Values> {
        // In a key, a NUL says that the text has ended.
        if text.contains(&0) {
            return None;
        }
        let (mut bytes, most) = match self.kind() {
            Kind::Comm => (text.to_vec(), SHORT),
            Kind::Start | Kind::UnixStart => (text.to_vec(), LONG),
            Kind::End | Kind::UnixEnd => (text.iter().rev().copied().collect(), SUFFIX),
            Kind::CommEnd => (text.iter().rev().copied().collect(), SHORT),
            _ => return None,
        };
        if whole {
            bytes.push(0);
        }
        bytes.truncate(most);
        Some(Values::beginning([Prefix::new(&bytes, bytes.len() as u32 * 8)]))
    }

    /// Whether a text is asked for whole; a longer one is asked for by its first bytes, or by its last.
    pub fn fits(&self, text: &[u8]) -> bool {
        let most = match self.kind() {
            Kind::Comm | Kind::CommEnd => SHORT,
            Kind::End | Kind::UnixEnd => SUFFIX,
            _ => LONG,
        };
        text.len() < most
    }

    /// The value in a payload, as it is compared; `None` if it is none, or of another form.
    pub(crate) fn key(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let (at, mask) = match self {
            Column::Head(_) | Column::Executable(_) => (0, u64::MAX),
            Column::Tree(_) | Column::Followed(_) => return None,
            Column::Field { at, mask, .. } => (usize::from(*at), *mask),
        };
        let at = payload.get(at..)?;
        let four = || at.first_chunk().map(|b| u32::from_ne_bytes(*b));
        let eight = || at.first_chunk().map(|b| u64::from_ne_bytes(*b));
        let number = |n: u64| Some((n & mask).to_be_bytes().to_vec());
        match self.kind() {
            Kind::U32 => number(four()?.into()),
            Kind::I32 => number(flip(four()?.cast_signed().into())),
            Kind::U64 => number(eight()?),
            Kind::I64 => number(flip(eight()?.cast_signed())),
            Kind::Comm => Some(at.get(..SHORT)?.to_vec()),
            Kind::CommEnd => {
                let name = at.get(..SHORT)?.split(|&b| b == 0).next()?;
                // The last byte of 16 always is a NUL.
                let mut reversed: Vec<u8> = name.iter().take(SHORT - 1).rev().copied().collect();
                reversed.resize(SHORT, 0);
                Some(reversed)
            }
            Kind::Start => Some(from_start(at)),
            Kind::End => Some(from_end(at)),
            Kind::UnixStart => Some(from_start(unix_path(at)?)),
            Kind::UnixEnd => Some(from_end(unix_path(at)?)),
            Kind::Address => match u16::from_ne_bytes(*at.first_chunk()?) {
                AF_INET => Some(address(IpAddr::from(*at.get(4..)?.first_chunk::<4>()?)).into()),
                AF_INET6 => Some(at.get(8..24)?.to_vec()),
                _ => None,
            },
            Kind::Port => match u16::from_ne_bytes(*at.first_chunk()?) {
                AF_INET | AF_INET6 => number(u16::from_be_bytes(*at.get(2..)?.first_chunk()?).into()),
                _ => None,
            },
        }
    }
}

/// The addresses of a network: IPv4 as IPv6 has it.
pub(crate) fn network(address_: IpAddr, bits: u8) -> Values {
    let bytes = address(address_);
    let bits = u32::from(bits) + if address_.is_ipv4() { 96 } else { 0 };
    let net = Values::beginning([Prefix::new(&bytes, bits)]);
    if address_.is_ipv4() {
        return net;
    }
    // What is mapped from IPv4 is IPv4.
    let mapped = Values::beginning([Prefix::new(&address(IpAddr::from([0, 0, 0, 0])), 96)]);
    net.and(&mapped.not())
}

fn address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl Column {
    /// The addresses of networks.
    pub fn networks(&self, networks: impl IntoIterator<Item = (IpAddr, u8)>) -> Values {
        networks
            .into_iter()
            .map(|(a, bits)| network(a, bits))
            .fold(Values::all(false), |all, one| all.or(&one))
    }
}

/// A number with sign, so that the order is that of its bits.
fn flip(n: i64) -> u64 {
    n.cast_unsigned() ^ 1 << 63
}

fn from_start(text: &[u8]) -> Vec<u8> {
    ended(text.iter().take(LONG).copied().collect(), LONG)
}

fn from_end(text: &[u8]) -> Vec<u8> {
    ended(text.iter().rev().take(SUFFIX).copied().collect(), SUFFIX)
}

/// The path in an address; `None` of a name that is no path, which may have NULs in it.
fn unix_path(address: &[u8]) -> Option<&[u8]> {
    let (family, rest) = address.split_first_chunk::<2>()?;
    match (u16::from_ne_bytes(*family), rest) {
        (AF_UNIX, [0, ..]) => None,
        (AF_UNIX, path) => path.split(|&b| b == 0).next(),
        _ => Some(b""),
    }
}

/// With a NUL behind it, where there is room.
fn ended(mut text: Vec<u8>, most: usize) -> Vec<u8> {
    if text.len() < most {
        text.push(0);
    }
    text
}
