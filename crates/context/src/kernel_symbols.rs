//! The kernel's symbols.

use std::fs;

/// `/proc/kallsyms`: the file's text, and where each symbol stands in it, by address.
#[derive(Debug)]
pub struct KernelSymbols {
    text: String,
    sorted: Vec<(u64, u32)>,
}

/// A symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Where it stands.
    pub address: u64,
    /// What it is called.
    pub name: &'a str,
    /// The module that it is of.
    pub module: Option<&'a str>,
}

impl KernelSymbols {
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

    pub(crate) fn parse(text: String) -> Self {
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

    fn symbol(&self, entry: &(u64, u32)) -> Option<KernelSymbol<'_>> {
        let line = self.text.get(entry.1 as usize..)?.lines().next()?;
        let mut words = line.split_ascii_whitespace().skip(2);
        let name = words.next()?;
        let module = words.next().map(|m| m.trim_matches(['[', ']']));
        Some(KernelSymbol { address: entry.0, name, module })
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = KernelSymbol<'_>> {
        self.sorted.iter().filter_map(|entry| self.symbol(entry))
    }

    /// The symbols of exactly that address.
    pub fn at(&self, address: u64) -> impl Iterator<Item = KernelSymbol<'_>> {
        let from = self.sorted.partition_point(|s| s.0 < address);
        let same = self.sorted.get(from..).unwrap_or_default().iter().take_while(move |s| s.0 == address);
        same.filter_map(|s| self.symbol(s))
    }

    /// The symbols at that address and before it, the nearest first.
    pub fn before(&self, address: u64) -> impl Iterator<Item = KernelSymbol<'_>> {
        let behind = self.sorted.partition_point(|s| s.0 <= address);
        self.sorted.get(..behind).unwrap_or_default().iter().rev().filter_map(|entry| self.symbol(entry))
    }

    /// The function or object that an address of the kernel's lies in, or lies behind.
    pub fn nearest(&self, address: u64) -> Option<KernelSymbol<'_>> {
        // The kernel has the upper half of what there is; symbols below are offsets, of what each CPU has of its own.
        self.before(address).next().filter(|s| s.address >= 1 << 63)
    }

    /// The next address behind that one at which a symbol stands.
    pub fn next(&self, address: u64) -> Option<u64> {
        self.sorted.get(self.sorted.partition_point(|s| s.0 <= address)).map(|s| s.0)
    }

    /// The symbol of that name, of the kernel itself if it has one.
    pub fn find(&self, name: &str) -> Option<KernelSymbol<'_>> {
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

    /// The address of the kernel's own symbol of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn address(&self, name: &str) -> Result<u64, String> {
        let found = self.find(name).filter(|s| s.module.is_none()).map(|s| s.address);
        found.ok_or_else(|| format!("/proc/kallsyms has no {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_name_and_address() {
        let symbols = KernelSymbols::parse(
            "0000000000000000 A fixed\nffffffff81000000 T _stext\nffffffff81000010 t do_it\nffffffff81000010 T alias\nffffffffc0000000 t do_it_not\t[m]\n"
                .into(),
        );
        assert_eq!(
            symbols.iter().map(|s| s.name).collect::<Vec<_>>(),
            ["fixed", "_stext", "do_it", "alias", "do_it_not"]
        );
        assert_eq!(symbols.find("do_it").map(|s| s.address), Some(0xffff_ffff_8100_0010));
        assert_eq!(symbols.at(0xffff_ffff_8100_0010).count(), 2);
        assert_eq!(
            symbols.before(0xffff_ffff_8100_000f).map(|s| s.name).collect::<Vec<_>>(),
            ["_stext", "fixed"]
        );
        assert_eq!(
            symbols.nearest(0xffff_ffff_c000_0004).map(|s| (s.name, s.module)),
            Some(("do_it_not", Some("m")))
        );
        assert_eq!(symbols.nearest(0x1000), None, "an address of user space");
        assert_eq!(symbols.next(0xffff_ffff_8100_0000), Some(0xffff_ffff_8100_0010));
        assert!(symbols.address("do_it_not").is_err());
    }
}
