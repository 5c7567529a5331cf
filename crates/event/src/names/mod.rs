//! The names behind numbers.
//!
//! Flags are joined with `|`; bits without a name come last, in hexadecimal. A number without a name is shown as it is.

mod errno;
mod flags;
mod numbers;
mod packet;
mod reverse;

use std::fmt::{self, Write};
use std::sync::LazyLock;

use catalogue::{Format, Names, NamesKind};

pub use packet::{dns_operation, dns_response, icmp, icmpv6, ip_protocol};
pub use reverse::{all, are_flags, number as parse};

type Table = &'static [(u64, &'static str)];

/// Writes a number by its names.
///
/// # Errors
///
/// Only those of `out`.
pub fn render(format: Format, value: i64, out: &mut impl Write) -> fmt::Result {
    let bits = value.cast_unsigned();
    // A flag word of 32 bits may have come as a negative number.
    let word = bits & u64::from(u32::MAX);
    match format {
        Format::OpenFlags => open_flags(word, out),
        Format::FileMode => file_mode(bits, out),
        Format::FileType => match file_type(bits) {
            Some(name) => out.write_str(name),
            None => write!(out, "{value}"),
        },
        Format::Signal => signal(value, out),
        Format::RenameFlags => all_flags(flags::RENAME, word, out),
        Format::MountFlags => mount_flags(bits, out),
        Format::UmountFlags => all_flags(flags::UMOUNT, word, out),
        Format::SocketType => socket_type(word, out),
        Format::TcpState => number(numbers::TCP_STATE, value, out),
        Format::PrctlOption => number(numbers::PRCTL_OPTION, value, out),
        Format::CloneFlags => all_flags(flags::CLONE, word, out),
        Format::PtraceRequest => match find(numbers::PTRACE_REQUEST, bits) {
            Some(name) => out.write_str(name),
            None => number(numbers::PTRACE_ARCH, value, out),
        },
        Format::MemfdFlags => memfd_flags(word, out),
        Format::BpfProgType => number(numbers::BPF_PROG_TYPE, value, out),
        Format::Names(names) => by_table(names, value, out),
    }
}

/// Words of 32 bits may have come with or without a sign, so that only those bits count where a table has no wider value.
fn by_table(names: &Names, value: i64, out: &mut impl Write) -> fmt::Result {
    let wide = names.entries.iter().any(|&(n, _)| n > u64::from(u32::MAX) && n < u64::MAX >> 1);
    let bits = if wide { value.cast_unsigned() } else { value.cast_unsigned() & u64::from(u32::MAX) };
    match names.kind {
        NamesKind::Number => match find(names.entries, bits) {
            Some(name) => out.write_str(name),
            None => number(names.entries, i64::from(value as i32), out),
        },
        NamesKind::Flags => match find_empty(names.entries).filter(|_| bits == 0) {
            Some(name) => out.write_str(name),
            None => all_flags(names.entries, bits, out),
        },
        NamesKind::Mask { mask, values } => {
            let mut list = List::new(out);
            match find(values, bits & mask) {
                Some(name) => list.push(name)?,
                None if bits & mask == 0 => {}
                None => list.push(format_args!("{:#x}", bits & mask))?,
            }
            let rest = list.flags(names.entries, bits & !mask)?;
            list.end(rest)
        }
    }
}

/// The name of a word without any flag.
fn find_empty(table: Table) -> Option<&'static str> {
    table.iter().find(|&&(n, _)| n == 0).map(|&(_, name)| name)
}

/// A number that shows itself by name: [`render`] as a `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named(pub Format, pub i64);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(self.0, self.1, f)
    }
}

/// The error that a return value stands for: `-2` is `ENOENT`.
pub fn errno(ret: i64) -> Option<&'static str> {
    // The kernel's MAX_ERRNO.
    (-4095..0).contains(&ret).then(|| find(errno::ERRNO, ret.unsigned_abs())).flatten()
}

/// A capability: `0` is `CAP_CHOWN`.
pub fn capability(number: u8) -> Option<&'static str> {
    find(numbers::CAPABILITY, number.into())
}

/// An address family: `2` is `AF_INET`.
pub fn socket_family(number: u16) -> Option<&'static str> {
    find(numbers::SOCKET_FAMILY, number.into())
}

/// A type of DNS records: `1` is `A`.
pub fn dns_type(number: u16) -> Option<&'static str> {
    find(numbers::DNS_TYPE, number.into())
}

/// A class of DNS records: `1` is `IN`.
pub fn dns_class(number: u16) -> Option<&'static str> {
    match number {
        1 => Some("IN"),
        3 => Some("CH"),
        4 => Some("HS"),
        254 => Some("NONE"),
        255 => Some("ANY"),
        _ => None,
    }
}

/// The file type in a mode: `0o10644` is `S_IFIFO`.
pub fn file_type(mode: u64) -> Option<&'static str> {
    match mode & 0o170000 {
        0o010000 => Some("S_IFIFO"),
        0o020000 => Some("S_IFCHR"),
        0o040000 => Some("S_IFDIR"),
        0o060000 => Some("S_IFBLK"),
        0o100000 => Some("S_IFREG"),
        0o120000 => Some("S_IFLNK"),
        0o140000 => Some("S_IFSOCK"),
        _ => None,
    }
}

/// The system call of that number, as [`catalogue::syscall_name`], but by its place in a table.
pub fn syscall(number: u32, compat: bool) -> Option<&'static str> {
    static TABLES: LazyLock<[Vec<Option<&'static str>>; 2]> = LazyLock::new(|| {
        let table = |compat| {
            (0..1024).map(|number| catalogue::syscall_name(number, compat)).collect::<Vec<Option<&str>>>()
        };
        [table(false), table(true)]
    });
    let [native, small] = &*TABLES;
    (if compat { small } else { native }).get(usize::try_from(number).ok()?).copied().flatten()
}

fn find(table: Table, value: u64) -> Option<&'static str> {
    let place = table.binary_search_by_key(&value, |&(v, _)| v).ok()?;
    table.get(place).map(|&(_, name)| name)
}

fn number(table: Table, value: i64, out: &mut impl Write) -> fmt::Result {
    match find(table, value.cast_unsigned()) {
        Some(name) => out.write_str(name),
        None => write!(out, "{value}"),
    }
}

/// Writes names with `|` between them.
struct List<'w, W> {
    out: &'w mut W,
    empty: bool,
}

impl<'w, W: Write> List<'w, W> {
    fn new(out: &'w mut W) -> Self {
        List { out, empty: true }
    }

    fn push(&mut self, item: impl fmt::Display) -> fmt::Result {
        if !self.empty {
            self.out.write_char('|')?;
        }
        self.empty = false;
        write!(self.out, "{item}")
    }

    /// The names of the bits; returns the bits that have none.
    fn flags(&mut self, table: Table, mut bits: u64) -> Result<u64, fmt::Error> {
        for &(flag, name) in table {
            if flag != 0 && bits & flag == flag {
                self.push(name)?;
                bits &= !flag;
            }
        }
        Ok(bits)
    }

    /// Ends the list with what has no name.
    fn end(mut self, rest: u64) -> fmt::Result {
        if rest != 0 {
            self.push(format_args!("{rest:#x}"))
        } else if self.empty {
            self.out.write_char('0')
        } else {
            Ok(())
        }
    }
}

fn all_flags(table: Table, bits: u64, out: &mut impl Write) -> fmt::Result {
    let mut list = List::new(out);
    let rest = list.flags(table, bits)?;
    list.end(rest)
}

fn open_flags(bits: u64, out: &mut impl Write) -> fmt::Result {
    let mut list = List::new(out);
    list.push(match bits & 3 {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        2 => "O_RDWR",
        // Neither to read nor to write, for ioctl only: see open(2).
        _ => "O_ACCMODE",
    })?;
    let rest = list.flags(flags::OPEN, bits & !3)?;
    list.end(rest)
}

fn file_mode(mode: u64, out: &mut impl Write) -> fmt::Result {
    if let Some(name) = file_type(mode) {
        write!(out, "{name}|")?;
    }
    write!(out, "0{:03o}", mode & 0o7777)?;
    let rest = mode & if file_type(mode).is_some() { !0o177777 } else { !0o7777 };
    if rest != 0 { write!(out, "|{rest:#x}") } else { Ok(()) }
}

/// Numbers from 32 on are real-time signals, counted as the kernel does; the C library keeps the first two to itself.
fn signal(value: i64, out: &mut impl Write) -> fmt::Result {
    match value {
        32 => out.write_str("SIGRTMIN"),
        33..=64 => write!(out, "SIGRTMIN+{}", value - 32),
        _ => number(numbers::SIGNAL, value, out),
    }
}

fn mount_flags(bits: u64, out: &mut impl Write) -> fmt::Result {
    /// Kernels before 2.4 asked for it; later ones ignore it, together with the bits that it takes.
    const MAGIC: u64 = 0xC0ED_0000;
    const MASK: u64 = 0xFFFF_0000;
    let mut list = List::new(out);
    let mut rest = bits;
    if rest & MASK == MAGIC {
        list.push("MS_MGC_VAL")?;
        rest &= !MASK;
    }
    let rest = list.flags(flags::MOUNT, rest)?;
    list.end(rest)
}

fn socket_type(bits: u64, out: &mut impl Write) -> fmt::Result {
    const FLAGS: Table = &[(0o4000, "SOCK_NONBLOCK"), (0o2000000, "SOCK_CLOEXEC")];
    let mut list = List::new(out);
    let kind = bits & 15;
    match find(numbers::SOCKET_TYPE, kind) {
        Some(name) => list.push(name)?,
        None => list.push(kind)?,
    }
    let rest = list.flags(FLAGS, bits & !15)?;
    list.end(rest)
}

fn memfd_flags(bits: u64, out: &mut impl Write) -> fmt::Result {
    /// The upper six bits: binary logarithm of the size of huge pages.
    const SHIFT: u32 = 26;
    let mut list = List::new(out);
    let rest = list.flags(flags::MEMFD, bits & !(63 << SHIFT))?;
    match bits >> SHIFT & 63 {
        0 => {}
        n @ 10..20 => list.push(format_args!("MFD_HUGE_{}KB", 1u64 << (n - 10)))?,
        n @ 20..30 => list.push(format_args!("MFD_HUGE_{}MB", 1u64 << (n - 20)))?,
        n @ 30..40 => list.push(format_args!("MFD_HUGE_{}GB", 1u64 << (n - 30)))?,
        n => list.push(format_args!("{n}<<MFD_HUGE_SHIFT"))?,
    }
    list.end(rest)
}

#[cfg(test)]
mod tests;
