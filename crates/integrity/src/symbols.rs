//! The kernel's symbols.

use std::fs;

use crate::modules::Owner;

/// So many symbols of others may stand between a function's and an address in it.
const MOST_BETWEEN: usize = 4096;

/// `/proc/kallsyms`: the file's text, and where each symbol stands in it, by address.
#[derive(Debug)]
pub struct Symbols {
    text: String,
    sorted: Vec<(u64, u32)>,
}

/// A symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Where it stands.
    pub address: u64,
    /// What it is called.
    pub name: &'a str,
    /// The module that it is of.
    pub module: Option<&'a str>,
}

impl Symbols {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// The file can not be read, or shows no addresses.
    pub fn read() -> Result<Self, String> {
        let text =
            fs::read_to_string("/proc/kallsyms").map_err(|e| format!("reading /proc/kallsyms: {e}"))?;
        let symbols = Self::parse(text);
        if symbols.sorted.iter().all(|s| s.0 == 0) {
            return Err("/proc/kallsyms shows no addresses (kernel.kptr_restrict, or no CAP_SYSLOG)".into());
        }
        Ok(symbols)
    }

    fn parse(text: String) -> Self {
        let mut sorted = vec![];
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if let Some((address, _)) = line.split_once(' ')
                && let (Ok(address), Ok(at)) = (u64::from_str_radix(address, 16), u32::try_from(at))
            {
                sorted.push((address, at));
            }
            at += line.len();
        }
        sorted.sort_unstable();
        Self { text, sorted }
    }

    fn symbol(&self, entry: &(u64, u32)) -> Option<Symbol<'_>> {
        let line = self.text.get(entry.1 as usize..)?.lines().next()?;
        let mut words = line.split_ascii_whitespace().skip(2);
        let name = words.next()?;
        let module = words.next().map(|m| m.trim_matches(['[', ']']));
        Some(Symbol { address: entry.0, name, module })
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.sorted.iter().filter_map(|entry| self.symbol(entry))
    }

    /// The symbols of exactly that address.
    pub(crate) fn at(&self, address: u64) -> impl Iterator<Item = Symbol<'_>> {
        let from = self.sorted.partition_point(|s| s.0 < address);
        let same = self.sorted.get(from..).unwrap_or_default().iter().take_while(move |s| s.0 == address);
        same.filter_map(|s| self.symbol(s))
    }

    /// The function that an address lies in, which is `owner`'s: its symbols only, as those of another module's code that was freed after its
    /// start may be listed still. Code that nobody owns up to has a name only where a
    /// symbol stands at just that address.
    pub(crate) fn function(&self, address: u64, owner: &Owner) -> Option<Symbol<'_>> {
        let module = match owner {
            Owner::Hidden => return self.at(address).next(),
            Owner::Kernel => None,
            Owner::Module(name) => Some(name.as_str()),
        };
        let behind = self.sorted.partition_point(|s| s.0 <= address);
        let before = self.sorted.get(behind.saturating_sub(MOST_BETWEEN)..behind)?;
        before.iter().rev().filter_map(|entry| self.symbol(entry)).find(|s| s.module == module)
    }

    /// The next address behind that one at which a symbol stands.
    pub(crate) fn next(&self, address: u64) -> Option<u64> {
        self.sorted.get(self.sorted.partition_point(|s| s.0 <= address)).map(|s| s.0)
    }

    /// The symbol of that name, of the kernel itself if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<Symbol<'_>> {
        let mut of_module = None;
        let needle = format!(" {name}");
        for (at, _) in self.text.match_indices(&needle) {
            let behind = self.text.as_bytes().get(at + needle.len());
            if !matches!(behind, Some(b'\n' | b'\t' | b' ') | None) {
                continue;
            }
            let start = self.text.get(..at)?.rfind('\n').map_or(0, |n| n + 1);
            let address = self.text.get(start..)?.split(' ').next()?;
            let entry = (u64::from_str_radix(address, 16).ok()?, u32::try_from(start).ok()?);
            match self.symbol(&entry) {
                Some(s) if s.name == name && s.module.is_none() => return Some(s),
                Some(s) if s.name == name => of_module = Some(s),
                _ => {}
            }
        }
        of_module
    }

    pub(crate) fn address(&self, name: &str) -> Result<u64, String> {
        let found = self.find(name).filter(|s| s.module.is_none()).map(|s| s.address);
        found.ok_or_else(|| format!("/proc/kallsyms has no {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_name_and_address() {
        let symbols = Symbols::parse(
            "ffffffff81000000 T _stext\nffffffff81000010 t do_it\nffffffff81000010 T alias\nffffffffc0000000 t do_it_not\t[m]\n"
                .into(),
        );
        assert_eq!(
            symbols.iter().map(|s| s.name).collect::<Vec<_>>(),
            ["_stext", "do_it", "alias", "do_it_not"]
        );
        assert_eq!(symbols.find("do_it").map(|s| s.address), Some(0xffff_ffff_8100_0010));
        assert_eq!(symbols.at(0xffff_ffff_8100_0010).count(), 2);
        assert_eq!(symbols.function(0xffff_ffff_8100_000f, &Owner::Kernel).map(|s| s.name), Some("_stext"));
        let of = |owner| symbols.function(0xffff_ffff_c000_0004, &owner).map(|s| s.name);
        assert_eq!(of(Owner::Module("m".into())), Some("do_it_not"));
        assert_eq!(of(Owner::Module("other".into())), None, "what another module had there");
        assert_eq!(of(Owner::Hidden), None);
        assert_eq!(symbols.next(0xffff_ffff_8100_0000), Some(0xffff_ffff_8100_0010));
        assert!(symbols.address("do_it_not").is_err());
    }
}
