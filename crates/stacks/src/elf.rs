//! Symbols and debug information of one file.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use blazesym::symbolize::source::{Elf as ElfFile, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};
use context::{Function, Unresolved};
use hashes::Exact;
use rustix::fs::MemfdFlags;

/// Bytes of the longest file that is read.
pub(crate) const LONGEST: u64 = 64 << 20;
/// Bytes of a name; of a longer one the rest is left out.
const NAME: usize = 512;
/// Inlined functions that are told of one place.
const INLINED: usize = 8;

/// A file, as it was when it was read.
///
/// It is a copy, in memory: the symboliser maps what it reads, and a file that is cut short while it is mapped ends the process that reads it.
/// Nor does anything in it lead to other files, as those with separate debug information: none is looked for.
pub(crate) struct Elf {
    symbolizer: Symbolizer,
    with_debug: Source<'static>,
    without: Source<'static>,
    bytes: u64,
    /// Holds the copy.
    _memory: File,
}

impl Elf {
    pub(crate) fn copy(exact: &Exact) -> Result<Elf, Unresolved> {
        let length = exact.content.metadata().map_err(|_| Unresolved::Unreadable)?.len();
        if length > LONGEST {
            return Err(Unresolved::TooLarge);
        }
        let memory = rustix::fs::memfd_create("stacks", MemfdFlags::CLOEXEC);
        let mut memory = File::from(memory.map_err(|_| Unresolved::Unreadable)?);
        let (mut content, mut some, mut bytes) = ((&exact.content).take(LONGEST + 1), vec![0; 128 << 10], 0);
        loop {
            match content.read(&mut some).map_err(|_| Unresolved::Unreadable)? {
                0 => break,
                n => {
                    let some = some.get(..n).unwrap_or_default();
                    memory.write_all(some).map_err(|_| Unresolved::Unreadable)?;
                    bytes += some.len() as u64;
                }
            }
        }
        if bytes > LONGEST {
            return Err(Unresolved::TooLarge);
        }
        // It may have been written to meanwhile.
        if !exact.is_unchanged() {
            return Err(Unresolved::Gone);
        }
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let source = |debug: bool| {
            let mut elf = ElfFile::new(&path);
            elf.debug_syms = debug;
            Source::Elf(elf)
        };
        let symbolizer = Symbolizer::builder()
            .enable_auto_reload(false)
            .enable_code_info(true)
            .enable_inlined_fns(true)
            // It takes a C function named `b` for the C++ type that is mangled so.
            .enable_demangling(false)
            .set_debug_dirs(Some::<[&Path; 0]>([]))
            .build();
        Ok(Elf { symbolizer, with_debug: source(true), without: source(false), bytes, _memory: memory })
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The function at an offset in the file.
    pub(crate) fn function(&self, offset: u64) -> Result<Function, Unresolved> {
        let ask = |source| self.symbolizer.symbolize_single(source, Input::FileOffset(offset));
        // Debug information that is unsound, or compressed, leaves the symbols.
        let found = ask(&self.with_debug).or_else(|_| ask(&self.without));
        match found.map_err(|_| Unresolved::Unreadable)? {
            Symbolized::Sym(symbol) => Ok(function(&symbol)),
            Symbolized::Unknown(_) => Err(Unresolved::NoSymbol),
        }
    }
}

fn function(symbol: &Sym<'_>) -> Function {
    let inlined = symbol.inlined.iter().take(INLINED).map(|f| match source(f.code_info.as_ref()) {
        Some(source) => format!("{} ({source})", name(&f.name)).into(),
        None => name(&f.name).into(),
    });
    Function {
        name: name(&symbol.name).into(),
        offset: symbol.offset as u64,
        source: source(symbol.code_info.as_deref()).map(Into::into),
        inlined: inlined.collect(),
    }
}

/// The name as its source has it: what is mangled says so by its beginning.
fn name(symbol: &str) -> String {
    let rust = rustc_demangle::try_demangle(symbol).ok().map(|name| format!("{name:#}"));
    let cpp = || {
        let symbol = symbol.strip_prefix("_Z").and_then(|_| cpp_demangle::Symbol::new(symbol).ok())?;
        symbol.demangle().ok()
    };
    short(&rust.or_else(cpp).unwrap_or_else(|| symbol.into())).into()
}

fn source(info: Option<&CodeInfo<'_>>) -> Option<String> {
    let info = info?;
    let path = info.to_path();
    let path = path.to_string_lossy();
    let path = short(&path);
    Some(match info.line {
        Some(line) => format!("{path}:{line}"),
        None => path.into(),
    })
}

fn short(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_the_source_has_them() {
        for (symbol, expected) in [
            // Of C, though each is a type of C++ where it is mangled.
            ("b", "b"),
            ("main", "main"),
            ("_ZN3foo3barEi", "foo::bar(int)"),
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_Z", "_Z"),
            ("_ZN", "_ZN"),
        ] {
            assert_eq!(name(symbol), expected);
        }
        assert_eq!(name(&"x".repeat(9999)).len(), NAME);
    }
}
