//! The modules that are in the kernel, by its own memory, and those that it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use context::{KernelSymbol, KernelSymbols};

use crate::layout::Layout;
use crate::memory::{Memory, word};

/// A module's state while it is not formed yet: not shown, and rightly so.
const UNFORMED: u32 = 3;
/// More modules than any kernel has: a walk that comes so far goes in a circle.
const MOST: usize = 16384;

/// A module in the kernel's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) src_version: Option<String>,
    pub(crate) unformed: bool,
    /// Where its code and data are.
    pub(crate) ranges: Vec<(u64, u64)>,
}

/// Reads the kernel's search tree of module addresses. A module that takes itself out of the list of modules is mostly still in it, as the
/// kernel needs it to handle what happens in the module's code.
pub(crate) struct Tree {
    root: u64,
    left: u64,
    right: u64,
    node: u64,
    of_node: u64,
    name: u64,
    state: u64,
    src_version: u64,
    ranges: Vec<(u64, u64)>,
}

impl Tree {
    pub(crate) fn new(layout: &Layout, symbols: &KernelSymbols) -> Result<Self, String> {
        let ranges = match layout.array("module", "mem") {
            // 6.4 and later: code, data, read-only data ... each for itself
            Ok((count, size)) => {
                let mem = layout.offset("module", "mem")?;
                let (base, bytes) =
                    (layout.offset("module_memory", "base")?, layout.offset("module_memory", "size")?);
                (0..count as u64).map(|n| (mem + n * size + base, mem + n * size + bytes)).collect()
            }
            Err(_) => ["core_layout", "init_layout"]
                .into_iter()
                .map(|l| {
                    Ok((
                        layout.offset("module", &format!("{l}.base"))?,
                        layout.offset("module", &format!("{l}.size"))?,
                    ))
                })
                .collect::<Result<_, String>>()?,
        };
        Ok(Self {
            root: symbols.address("mod_tree")?
                + layout.offset("mod_tree_root", "root")?
                + layout.offset("latch_tree_root", "tree")?
                + layout.offset("rb_root", "rb_node")?,
            left: layout.offset("rb_node", "rb_left")?,
            right: layout.offset("rb_node", "rb_right")?,
            node: layout.offset("mod_tree_node", "node")? + layout.offset("latch_tree_node", "node")?,
            of_node: layout.offset("mod_tree_node", "mod")?,
            name: layout.offset("module", "name")?,
            state: layout.offset("module", "state")?,
            src_version: layout.offset("module", "srcversion")?,
            ranges,
        })
    }

    /// Every module in the tree, by the address of its struct module. What changes meanwhile may be missed or be found half.
    pub(crate) fn walk(&self, memory: &Memory) -> BTreeMap<u64, Module> {
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut ahead = vec![memory.word(self.root).unwrap_or(0)];
        while let Some(node) = ahead.pop() {
            if node == 0 || !seen.insert(node) || seen.len() > MOST {
                continue;
            }
            let (Ok(left), Ok(right)) = (memory.word(node + self.left), memory.word(node + self.right))
            else {
                continue;
            };
            ahead.extend([left, right]);
            let Ok(module) = memory.word(node - self.node + self.of_node) else { continue };
            if let Some(read) = self.module(memory, module) {
                found.insert(module, read);
            }
        }
        found
    }

    fn module(&self, memory: &Memory, module: u64) -> Option<Module> {
        let name = memory.string(module + self.name, 56).ok()?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let src_version = memory.word(module + self.src_version).ok().filter(|&p| p != 0);
        let src_version = src_version.and_then(|p| memory.string(p, 64).ok()).filter(|s| !s.is_empty());
        let range = |&(base, size): &(u64, u64)| {
            let base = memory.word(module + base).ok().filter(|&b| b != 0)?;
            Some((base, base + u64::from(memory.half(module + size).ok()?)))
        };
        Some(Module {
            name,
            src_version,
            unformed: memory.half(module + self.state).ok()? == UNFORMED,
            ranges: self.ranges.iter().filter_map(range).collect(),
        })
    }
}

/// The names in /proc/modules; `None` where the kernel knows no modules.
pub(crate) fn listed() -> Option<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/modules").ok()?;
    Some(text.lines().filter_map(|l| l.split(' ').next().map(String::from)).collect())
}

/// Where the modules of /proc/modules are, as far as it tells: for kernels whose memory can not be read.
pub(crate) fn listed_ranges() -> Vec<(u64, u64, String)> {
    let text = fs::read_to_string("/proc/modules").unwrap_or_default();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let base = u64::from_str_radix(words.get(5)?.strip_prefix("0x")?, 16).ok().filter(|&b| b != 0)?;
        Some((base, base + words.get(1)?.parse::<u64>().ok()?, (*words.first()?).to_string()))
    };
    text.lines().filter_map(line).collect()
}

/// The loaded modules that /sys/module shows, with their source's hash. Modules built into the kernel have no `initstate`.
pub(crate) fn in_sysfs() -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/sys/module").into_iter().flatten().flatten() {
        if entry.path().join("initstate").exists() {
            let hash = fs::read_to_string(entry.path().join("srcversion")).ok();
            found.insert(
                entry.file_name().to_string_lossy().into_owned(),
                hash.map(|h| h.trim().to_string()).filter(|h| !h.is_empty()),
            );
        }
    }
    found
}

/// What hides: by name, the address of its struct module if known, and its source's hash.
pub(crate) type Hidden = BTreeMap<String, (Option<u64>, Option<String>)>;

/// Modules that are in the kernel and not on the list, at one time. The kernel's memory and /sys are looked at before and after the list, so
/// that what comes or goes meanwhile does not count.
pub(crate) fn hidden(memory: Option<(&Memory, &Tree)>) -> Hidden {
    let look = || {
        let mut all: Hidden = in_sysfs().into_iter().map(|(name, hash)| (name, (None, hash))).collect();
        for (address, module) in memory.map(|(m, t)| t.walk(m)).unwrap_or_default() {
            if !module.unformed {
                all.insert(module.name, (Some(address), module.src_version));
            }
        }
        all
    };
    let before = look();
    let Some(listed) = listed() else { return Hidden::new() };
    if before.keys().all(|name| listed.contains(name)) {
        return Hidden::new();
    }
    let after = look();
    let there = |(name, found): &(String, (Option<u64>, Option<String>))| {
        !listed.contains(name) && after.get(name) == Some(found)
    };
    before.into_iter().filter(there).collect()
}

/// Whose code or data an address is.
pub(crate) struct Owners {
    kernel: (u64, u64),
    modules: Vec<(u64, u64, String)>,
    listed: BTreeSet<String>,
}

/// See [`Owners`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The kernel's own code.
    Kernel,
    /// A module that is on the list of modules.
    Module(String),
    /// A module that is not, or none at all.
    Hidden,
}

/// So many symbols of others may stand between a function's and an address in it.
const MOST_BETWEEN: usize = 4096;

impl Owner {
    /// The function of this owner's that an address lies in: by its symbols only, as those of another module's code that was freed after its
    /// start may be listed still. Code that nobody owns up to has a name only where a symbol stands at just that address.
    pub(crate) fn function<'s>(&self, symbols: &'s KernelSymbols, address: u64) -> Option<KernelSymbol<'s>> {
        let module = match self {
            Owner::Hidden => return symbols.at(address).next(),
            Owner::Kernel => None,
            Owner::Module(name) => Some(name.as_str()),
        };
        symbols.before(address).take(MOST_BETWEEN).find(|s| s.module == module)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Owner::Kernel => "system",
            Owner::Module(name) => name,
            Owner::Hidden => "hidden",
        }
    }
}

impl Owners {
    pub(crate) fn new(symbols: &KernelSymbols, memory: Option<(&Memory, &Tree)>) -> Result<Self, String> {
        let modules = match memory {
            Some((memory, tree)) => tree
                .walk(memory)
                .into_values()
                .flat_map(|m| m.ranges.into_iter().map(move |r| (r.0, r.1, m.name.clone())))
                .collect(),
            None => listed_ranges(),
        };
        Ok(Self {
            kernel: (symbols.address("_stext")?, symbols.address("_etext")?),
            modules,
            listed: listed().unwrap_or_default(),
        })
    }

    pub(crate) fn of(&self, address: u64) -> Owner {
        if (self.kernel.0..self.kernel.1).contains(&address) {
            return Owner::Kernel;
        }
        let module = self.modules.iter().find(|m| (m.0..m.1).contains(&address));
        match module {
            Some((.., name)) if self.listed.contains(name) => Owner::Module(name.clone()),
            _ => Owner::Hidden,
        }
    }
}

/// A word of bytes that were read, as an address.
pub(crate) fn pointers<'a>(
    bytes: &'a [u8],
    members: &'a [(String, usize)],
) -> impl Iterator<Item = (&'a str, u64)> {
    members.iter().map(|(name, at)| (name.as_str(), word(bytes, *at))).filter(|(_, p)| *p != 0)
}
