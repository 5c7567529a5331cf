//! Hooks by ftrace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use context::KernelSymbols;

use crate::layout::Layout;
use crate::memory::Memory;
use crate::modules::{Owner, Owners};

/// A function of the kernel that is hooked by code which is not the kernel's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hook {
    pub(crate) symbol: Option<String>,
    pub(crate) trampoline: Option<String>,
    pub(crate) callback: String,
    pub(crate) offset: i64,
    pub(crate) owner: String,
    pub(crate) flags: String,
    pub(crate) count: Option<u64>,
}

/// Of the kernel's list of hooked functions, those with a callback that is in a module, or in no code that has a name.
pub(crate) fn enabled(tracefs: &Path) -> Result<Vec<Hook>, String> {
    let file = tracefs.join("enabled_functions");
    let text = fs::read_to_string(&file).map_err(|e| format!("reading {}: {e}", file.display()))?;
    Ok(parse(&text))
}

/// The kernel's own use of code that it makes at run time.
const GENERATED: [&str; 3] = ["bpf", "__builtin__ftrace", "__builtin__kprobes"];

/// Lines like `commit_creds (1) R I     \ttramp: 0xffffffffc0a00000 (thunk+0x0/0x60 [module]) ->ftrace_regs_call+0x0/0x80`, and below
/// some of them `\tdirect-->name+0x0/0x10 [module]`.
fn parse(text: &str) -> Vec<Hook> {
    let mut found = vec![];
    let mut function: Option<Hook> = None;
    for line in text.lines() {
        let mut rest = line;
        if !line.starts_with(['\t', ' ']) {
            function = head(line).map(|(hook, behind)| {
                rest = behind;
                hook
            });
        }
        let Some(hook) = &function else { continue };
        let trampoline = rest.split_once("tramp: ").and_then(|(_, t)| t.split([' ', '\n']).next());
        for callback in callbacks(rest) {
            let (name, offset, owner) = parts(callback);
            let hidden = owner.is_none() && name.starts_with("0x");
            if hidden || owner.is_some_and(|o| !GENERATED.contains(&o)) {
                found.push(Hook {
                    trampoline: trampoline.map(String::from),
                    callback: name.into(),
                    offset,
                    owner: owner.unwrap_or("hidden").into(),
                    ..hook.clone()
                });
            }
        }
    }
    found
}

/// `name (count) flags`, and what follows.
fn head(line: &str) -> Option<(Hook, &str)> {
    let (name, rest) = line.split_once(" (")?;
    let (count, rest) = rest.split_once(')')?;
    let end = rest.find(['\t', '-']).unwrap_or(rest.len());
    let (flags, behind) = rest.split_at(end);
    let hook = Hook {
        symbol: Some(name.into()),
        count: count.trim().parse().ok(),
        flags: flags.split_whitespace().collect::<Vec<_>>().join(" "),
        ..Hook::default()
    };
    Some((hook, behind))
}

/// What is called: in parentheses behind a trampoline or an `ops`, or behind `direct-->`. What follows a plain `->` is the kernel's way there.
fn callbacks(text: &str) -> Vec<&str> {
    let mut found = vec![];
    for mark in ["tramp: ", "ops: "] {
        for (at, _) in text.match_indices(mark) {
            let behind = text.get(at + mark.len()..).unwrap_or_default();
            let end = behind.find("->").or_else(|| behind.find('\t')).unwrap_or(behind.len());
            let part = behind.get(..end).unwrap_or_default();
            if let Some((_, callback)) = part.split_once('(') {
                found.push(callback.trim_end().trim_end_matches(')'));
            }
        }
    }
    if let Some((_, direct)) = text.split_once("direct-->") {
        found.push(direct.trim());
    }
    found
}

/// Of `name+0x10/0x60 [module]` the name, the offset and the module.
fn parts(text: &str) -> (&str, i64, Option<&str>) {
    let (symbol, owner) = match text.split_once(" [") {
        Some((symbol, owner)) => (symbol, owner.split([']', ' ']).next()),
        None => (text, None),
    };
    let (name, offset) = symbol.split_once('+').unwrap_or((symbol, "0"));
    let offset =
        offset.split('/').next().and_then(|o| i64::from_str_radix(o.trim_start_matches("0x"), 16).ok());
    (name, offset.unwrap_or(0), owner)
}

/// The kernel's list of users of ftrace: seen here also where two hook one function, of which the kernel then names neither.
pub(crate) struct Users {
    list: u64,
    function: u64,
    next: u64,
}

impl Users {
    pub(crate) fn new(layout: &Layout, symbols: &KernelSymbols) -> Result<Self, String> {
        Ok(Self {
            list: symbols.address("ftrace_ops_list")?,
            function: layout.offset("ftrace_ops", "func")?,
            next: layout.offset("ftrace_ops", "next")?,
        })
    }

    /// Callbacks that are not the kernel's.
    pub(crate) fn foreign(&self, memory: &Memory, symbols: &KernelSymbols, owners: &Owners) -> Vec<Hook> {
        let mut found = vec![];
        let mut seen = BTreeSet::new();
        let mut at = memory.word(self.list).unwrap_or(0);
        while at != 0 && seen.insert(at) && seen.len() < 4096 {
            let (Ok(function), Ok(next)) = (memory.word(at + self.function), memory.word(at + self.next))
            else {
                break;
            };
            at = next;
            let owner = owners.of(function);
            if function == 0 || owner == Owner::Kernel {
                continue;
            }
            let symbol = owner.function(symbols, function);
            found.push(Hook {
                callback: symbol.map_or_else(|| format!("{function:#x}"), |s| s.name.to_string()),
                offset: symbol.map_or(0, |s| function.wrapping_sub(s.address).cast_signed()),
                owner: owner.name().into(),
                ..Hook::default()
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_hooks_are_none() {
        let text = "\
__x64_sys_getppid (1) R I     \ttramp: 0xffffffffc0201000 (kprobe_ftrace_handler+0x0/0x1d0) ->kprobe_ftrace_handler+0x0/0x1d0
bpf_lsm_file_open (1) R   D   M \ttramp: ftrace_regs_caller+0x0/0x65 (call_direct_funcs+0x0/0x20) ->call_direct_funcs+0x0/0x20
\tdirect-->bpf_trampoline_6442489757+0x0/0x1000
do_exit (2) R               ->arch_ftrace_ops_list_func+0x0/0x200
vfs_read (1)   D   \tdirect-->bpf_trampoline_1+0x0/0x10 [bpf]
";
        assert_eq!(parse(text), []);
    }

    #[test]
    fn a_modules_hook_is_told() {
        let text = "commit_creds (1) R I     \ttramp: 0xffffffffc0a00000 (thunk+0x10/0x60 [rk]) ->ftrace_regs_call+0x0/0x80\n";
        let hook = Hook {
            symbol: Some("commit_creds".into()),
            trampoline: Some("0xffffffffc0a00000".into()),
            callback: "thunk".into(),
            offset: 16,
            owner: "rk".into(),
            flags: "R I".into(),
            count: Some(1),
        };
        assert_eq!(parse(text), std::slice::from_ref(&hook));
        let hidden = text.replace("thunk+0x10/0x60 [rk]", "0xffffffffc09ff010");
        let callback = "0xffffffffc09ff010".to_string();
        assert_eq!(parse(&hidden), [Hook { callback, offset: 0, owner: "hidden".into(), ..hook }]);
    }
}
