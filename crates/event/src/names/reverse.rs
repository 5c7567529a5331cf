//! From names to numbers.

use catalogue::{Format, NamesKind};

use super::{Table, flags, numbers};

/// The tables of a format: names of single values, and of flags that are added to them.
fn tables(format: Format) -> (Table, Table) {
    const ACCESS: Table = &[(0, "O_RDONLY"), (1, "O_WRONLY"), (2, "O_RDWR"), (3, "O_ACCMODE")];
    const TYPES: Table = &[
        (0o010000, "S_IFIFO"),
        (0o020000, "S_IFCHR"),
        (0o040000, "S_IFDIR"),
        (0o060000, "S_IFBLK"),
        (0o100000, "S_IFREG"),
        (0o120000, "S_IFLNK"),
        (0o140000, "S_IFSOCK"),
    ];
    const SOCKET: Table = &[(0o4000, "SOCK_NONBLOCK"), (0o2000000, "SOCK_CLOEXEC")];
    match format {
        Format::OpenFlags => (ACCESS, flags::OPEN),
        Format::FileMode | Format::FileType => (TYPES, &[]),
        Format::Signal => (numbers::SIGNAL, &[]),
        Format::RenameFlags => (&[], flags::RENAME),
        Format::MountFlags => (&[], flags::MOUNT),
        Format::UmountFlags => (&[], flags::UMOUNT),
        Format::SocketType => (numbers::SOCKET_TYPE, SOCKET),
        Format::TcpState => (numbers::TCP_STATE, &[]),
        Format::PrctlOption => (numbers::PRCTL_OPTION, &[]),
        Format::CloneFlags => (&[], flags::CLONE),
        Format::PtraceRequest => (numbers::PTRACE_REQUEST, numbers::PTRACE_ARCH),
        Format::MemfdFlags => (&[], flags::MEMFD),
        Format::BpfProgType => (numbers::BPF_PROG_TYPE, &[]),
        Format::Names(names) => match names.kind {
            NamesKind::Number => (names.entries, &[]),
            NamesKind::Flags => (&[], names.entries),
            NamesKind::Mask { values, .. } => (values, names.entries),
        },
    }
}

/// The number that a name stands for, or several with `|` between them; with digits among them, as [`render`](super::render) writes what
/// has no name.
pub fn number(format: Format, text: &str) -> Option<i64> {
    let (values, flags) = tables(format);
    let one = |part: &str| {
        let named = values.iter().chain(flags).find(|(_, name)| *name == part).map(|&(n, _)| n);
        let digits = || match (part.strip_prefix("0x"), part.strip_prefix('0')) {
            (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
            // Modes are written as they are everywhere: in octal.
            (None, Some(octal)) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
            _ => part.parse().ok(),
        };
        named.or_else(digits)
    };
    let sum = text.split('|').try_fold(0, |sum, part| Some(sum | one(part.trim())?));
    sum.map(u64::cast_signed)
}

/// All names of a format.
pub fn all(format: Format) -> impl Iterator<Item = &'static str> {
    let (values, flags) = tables(format);
    values.iter().chain(flags).map(|&(_, name)| name)
}

/// Whether its numbers are sums of bits with names of their own.
pub fn are_flags(format: Format) -> bool {
    !tables(format).1.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Named;

    #[test]
    fn there_and_back() {
        for (format, text) in [
            (Format::OpenFlags, "O_WRONLY|O_CREAT|O_TRUNC"),
            (Format::OpenFlags, "O_RDONLY"),
            (Format::FileMode, "S_IFREG|0644"),
            (Format::Signal, "SIGKILL"),
            (Format::SocketType, "SOCK_STREAM|SOCK_CLOEXEC"),
            (Format::CloneFlags, "CLONE_NEWNS|CLONE_NEWPID"),
            (Format::BpfProgType, "BPF_PROG_TYPE_KPROBE"),
        ] {
            let n = number(format, text).unwrap_or_else(|| panic!("{text}"));
            let back = Named(format, n).to_string();
            let sorted = |t: &str| {
                let mut parts: Vec<_> = t.split('|').map(str::to_owned).collect();
                parts.sort();
                parts
            };
            assert_eq!(sorted(&back), sorted(text));
        }
        assert_eq!(number(Format::OpenFlags, "O_NOTHING"), None);
        assert_eq!(number(Format::OpenFlags, "0x2|O_CREAT"), Some(0o102));
        assert!(all(Format::Signal).any(|n| n == "SIGTERM"));
        assert!(are_flags(Format::OpenFlags) && !are_flags(Format::Signal));
    }

    /// Every name of the catalogue's fields is found again as the number that it is the name of.
    #[test]
    fn every_name_has_its_number() {
        let formats = catalogue::EVENTS.iter().flat_map(|e| e.fields).filter_map(|f| f.format);
        for format in formats {
            for name in all(format) {
                let n = number(format, name).expect("it is in a table");
                let known: Vec<_> = all(format).filter(|other| number(format, other) == Some(n)).collect();
                assert!(known.contains(&name), "{name}");
            }
        }
    }
}
