//! The symbols that a shared object exports, found as the dynamic loader finds them: by its program headers. Section headers can be
//! missing, or lie.

use std::fs::File;

use object::elf::{self, FileHeader32, FileHeader64, GnuHashHeader, HashHeader};
use object::read::elf::{Dyn as _, FileHeader, GnuHashTable, ProgramHeader as _, Sym as _};
use object::{Endianness, FileKind, ReadCache, ReadRef as _};

/// Most symbols of one object, and most bytes of one of its tables: the largest in use have a tenth of it.
const MOST_SYMBOLS: u64 = 1 << 20;
const MOST_BYTES: u64 = 64 << 20;

/// Names that the linker puts into every object; they mean its own addresses.
const OF_THE_LINKER: [&[u8]; 10] = [
    b"_init",
    b"_fini",
    b"_edata",
    b"edata",
    b"_end",
    b"end",
    b"_etext",
    b"etext",
    b"__bss_start",
    b"_start",
];

/// Why an object's exports can not be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file contradicts itself.
    #[error("not a sound shared object: {0}")]
    Unsound(#[from] object::read::Error),
    /// What it says it has is not there.
    #[error("its {0} is not where it says")]
    Missing(&'static str),
    /// A table of it is beyond what is read.
    #[error("its {0} is larger than any that is read")]
    TooLarge(&'static str),
}

/// Names that an object exports, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exports(Vec<Box<[u8]>>);

impl Exports {
    /// Those of a file; of one that is no ELF file, or not linked dynamically, there are none.
    ///
    /// # Errors
    ///
    /// A file that is not sound, or too large.
    pub fn of(file: File) -> Result<Self, Error> {
        let data = ReadCache::new(file);
        let names = match FileKind::parse(&data) {
            Ok(FileKind::Elf64) => names::<FileHeader64<Endianness>>(&data)?,
            Ok(FileKind::Elf32) => names::<FileHeader32<Endianness>>(&data)?,
            _ => vec![],
        };
        Ok(Self::new(names))
    }

    pub(crate) fn new(mut names: Vec<Box<[u8]>>) -> Self {
        // One name may stand there in several versions.
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    /// Whether that name is exported.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.binary_search_by(|n| (**n).cmp(name)).is_ok()
    }

    /// The names that the other exports too.
    pub fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a [u8]> {
        let (few, many) = if self.0.len() < other.0.len() { (self, other) } else { (other, self) };
        few.0.iter().map(|n| &**n).filter(|n| many.contains(n))
    }

    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|n| n.len() + size_of::<Box<[u8]>>()).sum()
    }
}

/// Where an address of the object stands in the file, and how many bytes of its segment follow.
fn place<Elf: FileHeader<Endian = Endianness>>(
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    address: u64,
) -> Result<(u64, u64), Error> {
    segments
        .iter()
        .filter(|s| s.p_type(endian) == elf::PT_LOAD)
        .find_map(|s| {
            let into = address.checked_sub(s.p_vaddr(endian).into())?;
            let rest = s.p_filesz(endian).into().checked_sub(into).filter(|&rest| rest > 0)?;
            Some((s.p_offset(endian).into().checked_add(into)?, rest))
        })
        .ok_or(Error::Missing("table"))
}

fn names<Elf: FileHeader<Endian = Endianness>>(data: &ReadCache<File>) -> Result<Vec<Box<[u8]>>, Error> {
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let dynamic = segments.iter().find_map(|s| s.dynamic(endian, data).transpose()).transpose()?;
    let entries = dynamic.unwrap_or_default().iter();
    let entries = entries.map(|d| (d.tag(endian), d.val(endian))).take_while(|(tag, _)| *tag != elf::DT_NULL);
    let (mut symbols, mut strings, mut length, mut hash, mut gnu_hash) = (None, None, None, None, None);
    for (tag, value) in entries {
        match tag {
            elf::DT_SYMTAB => symbols = Some(value),
            elf::DT_STRTAB => strings = Some(value),
            elf::DT_STRSZ => length = Some(value),
            elf::DT_HASH => hash = Some(value),
            elf::DT_GNU_HASH => gnu_hash = Some(value),
            _ => {}
        }
    }
    let (Some(symbols), Some(strings), Some(length)) = (symbols, strings, length) else { return Ok(vec![]) };
    // The table of symbols does not say how many it has: the tables to find them by do.
    let count = match (hash, gnu_hash) {
        (Some(hash), _) => {
            let (at, _) = place::<Elf>(segments, endian, hash)?;
            let hash =
                data.read_at::<HashHeader<Endianness>>(at).map_err(|()| Error::Missing("hash table"))?;
            u64::from(hash.chain_count.get(endian))
        }
        (None, Some(gnu_hash)) => {
            let (at, rest) = place::<Elf>(segments, endian, gnu_hash)?;
            let bytes = data
                .read_bytes_at(at, rest.min(MOST_BYTES))
                .map_err(|()| Error::Missing("GNU hash table"))?;
            if bytes.len() < size_of::<GnuHashHeader<Endianness>>() {
                return Err(Error::Missing("GNU hash table"));
            }
            u64::from(GnuHashTable::<Elf>::parse(endian, bytes)?.symbol_table_length(endian).unwrap_or(0))
        }
        (None, None) => 0,
    };
    if count > MOST_SYMBOLS {
        return Err(Error::TooLarge("table of symbols"));
    }
    if length > MOST_BYTES {
        return Err(Error::TooLarge("table of names"));
    }
    let (at, _) = place::<Elf>(segments, endian, symbols)?;
    let symbols: &[Elf::Sym] =
        data.read_slice_at(at, count as usize).map_err(|()| Error::Missing("table of symbols"))?;
    let (at, _) = place::<Elf>(segments, endian, strings)?;
    let strings = data.read_bytes_at(at, length).map_err(|()| Error::Missing("table of names"))?;
    let exported = symbols.iter().filter(|s| {
        // A special section: not defined, or the name of a version.
        let bound = [elf::STB_GLOBAL, elf::STB_WEAK, elf::STB_GNU_UNIQUE].contains(&s.st_bind());
        let visible = [elf::STV_DEFAULT, elf::STV_PROTECTED].contains(&s.st_visibility());
        bound && visible && !s.is_undefined(endian) && !s.st_shndx(endian).is_special()
    });
    let named = exported.filter_map(|s| {
        let name = strings.get(s.st_name(endian) as usize..)?;
        let name = name.get(..memchr::memchr(0, name)?)?;
        (!name.is_empty() && !OF_THE_LINKER.contains(&name)).then(|| name.into())
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// This process's own C library.
    fn libc() -> Vec<u8> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|l| l.contains("/libc.so") || l.contains("/libc-")).unwrap();
        fs::read(line.split_whitespace().last().unwrap()).unwrap()
    }

    fn of(bytes: &[u8]) -> Result<Exports, Error> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Exports::of(file)
    }

    #[test]
    fn what_is_defined_is_exported() {
        let exports = of(&libc()).unwrap();
        assert!(exports.contains(b"fopen") && exports.contains(b"environ"));
        // Undefined there, private, the name of a version, the linker's.
        for name in ["__tls_get_addr", "nl_load_locale_from_archive", "GLIBC_2.2.5", "_end"] {
            assert!(!exports.contains(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn section_headers_do_not_matter() {
        let whole = libc();
        let mut without = whole.clone();
        // e_shoff, and e_shnum with e_shstrndx.
        without[40..48].fill(0);
        without[60..64].fill(0);
        assert_eq!(of(&without).unwrap(), of(&whole).unwrap());
    }

    #[test]
    fn what_two_have_in_common() {
        let exports = |names: &[&str]| Exports::new(names.iter().map(|n| n.as_bytes().into()).collect());
        let (a, b) = (exports(&["c", "a", "a"]), exports(&["b", "c", "d"]));
        assert_eq!(a.common(&b).collect::<Vec<_>>(), [b"c"]);
        assert_eq!(b.common(&a).collect::<Vec<_>>(), [b"c"]);
    }

    #[test]
    fn other_files_export_nothing() {
        assert_eq!(of(b"").unwrap(), Exports::default());
        assert_eq!(of(b"#!/bin/sh\nexit 0\n").unwrap(), Exports::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Whatever is wrong with an object, it does no harm.
        #[test]
        fn damaged_objects(at in prop::collection::vec((0usize..4096, any::<u8>()), 1..20), cut in prop_oneof![0usize..200_000, Just(usize::MAX)]) {
            static LIBC: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(libc);
            let mut bytes = LIBC[..cut.min(LIBC.len())].to_vec();
            for (at, byte) in at {
                if let Some(b) = bytes.get_mut(at) {
                    *b = byte;
                }
            }
            let _ = of(&bytes);
        }
    }
}
