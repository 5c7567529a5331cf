//! What places in files are called: the functions of user stacks.

use std::sync::Arc;

use event::Place;
use rustc_hash::FxHashMap;

/// Bytes of one generation of symbols; there are two.
const BYTES: usize = 8 << 20;

/// What a place in a file is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Path of the file, where it was found.
    pub path: Option<Arc<[u8]>>,
    /// The function, or why there is none.
    pub function: Result<Function, Unresolved>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: Box<str>,
    /// How far from its beginning the place is.
    pub offset: u64,
    /// File and line of the source, if the file says so.
    pub source: Option<Box<str>>,
    /// The functions that were inlined there, the outermost first.
    pub inlined: Box<[Box<str>]>,
}

/// Why a place in a file has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unresolved {
    /// The file was not found any more.
    Gone,
    /// The file is longer than what is read.
    TooLarge,
    /// The file is no sound ELF file.
    Unreadable,
    /// The file has no symbol there.
    NoSymbol,
    /// It was not found in time.
    Late,
}

impl Unresolved {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Unresolved::Gone => "file_gone",
            Unresolved::TooLarge => "file_too_large",
            Unresolved::Unreadable => "file_unreadable",
            Unresolved::NoSymbol => "no_symbol",
            Unresolved::Late => "late",
        }
    }
}

impl Symbol {
    fn bytes(&self) -> usize {
        let function = self.function.as_ref().map_or(0, |f| {
            let inlined: usize = f.inlined.iter().map(|i| i.len() + size_of::<Box<str>>()).sum();
            f.name.len() + f.source.as_ref().map_or(0, |s| s.len()) + inlined
        });
        size_of::<(Place, Symbol)>() + function
    }
}

/// The symbols that are known. Two generations: what was not asked for in a whole one is forgotten.
#[derive(Debug, Default)]
pub struct Symbols {
    young: FxHashMap<Place, Symbol>,
    bytes: usize,
    old: FxHashMap<Place, Symbol>,
}

impl Symbols {
    /// What a place is called, if that is known.
    pub fn get(&self, place: &Place) -> Option<&Symbol> {
        self.young.get(place).or_else(|| self.old.get(place))
    }

    /// The same, and it is remembered for longer.
    pub fn touch(&mut self, place: &Place) -> Option<&Symbol> {
        if let Some(symbol) = self.old.remove(place) {
            self.put(*place, symbol);
        }
        self.get(place)
    }

    /// A place is called so.
    pub fn put(&mut self, place: Place, symbol: Symbol) {
        self.bytes += symbol.bytes();
        if let Some(before) = self.young.insert(place, symbol) {
            self.bytes = self.bytes.saturating_sub(before.bytes());
        }
        if self.bytes > BYTES {
            self.bytes = 0;
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> Place {
        Place { dev: 1, inode: 2, ctime: 3, offset }
    }

    fn symbol(name: &str) -> Symbol {
        let function = Function { name: name.into(), offset: 0, source: None, inlined: Box::new([]) };
        Symbol { path: None, function: Ok(function) }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut symbols = Symbols::default();
        symbols.put(place(0), symbol("kept"));
        let long = "x".repeat(1 << 10);
        for n in 1..100_000 {
            assert_eq!(symbols.touch(&place(0)), Some(&symbol("kept")));
            symbols.put(place(n), symbol(&long));
            let held = symbols.young.len() + symbols.old.len();
            assert!(held * (1 << 10) <= 2 * BYTES + (2 << 10), "{held}");
        }
        assert_eq!(symbols.get(&place(1)), None);
        assert_eq!(symbols.get(&place(99_999)), Some(&symbol(&long)));
    }

    #[test]
    fn what_is_put_again_counts_once() {
        let mut symbols = Symbols::default();
        for _ in 0..100_000 {
            symbols.put(place(7), symbol("again"));
        }
        assert!(symbols.bytes < 1 << 10 && symbols.old.is_empty());
    }
}
