//! The tables of system calls.

use context::KernelSymbols;

use crate::memory::{Memory, word};
use crate::modules::{Owner, Owners};

/// An entry that leads where none should.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HookedCall {
    pub(crate) syscall: String,
    pub(crate) address: u64,
    pub(crate) function: Option<String>,
    pub(crate) owner: String,
}

/// Tables, and whether their numbers are those of 32-bit calls.
const TABLES: [(&str, bool); 2] = [("sys_call_table", false), ("ia32_sys_call_table", true)];
/// Where the kernel's addresses begin, on every architecture with 48 bits of them or more.
const KERNEL: u64 = 0xff00_0000_0000_0000;

pub(crate) fn hooked(
    memory: &Memory,
    symbols: &KernelSymbols,
    owners: &Owners,
) -> Result<Vec<HookedCall>, String> {
    let mut found = vec![];
    symbols.address(TABLES[0].0)?;
    for (table, compat) in TABLES {
        let Ok(start) = symbols.address(table) else { continue };
        let known = catalogue::SYSCALLS.iter().filter_map(|s| if compat { s.compat } else { s.native });
        let mut entries = known.max().map_or(0, |n| u64::from(n) + 1);
        // A kernel with fewer calls: what stands behind its table is another symbol's.
        if let Some(end) = symbols.next(start) {
            entries = entries.min((end - start) / 8);
        }
        let bytes = memory
            .bytes(start, usize::try_from(entries * 8).unwrap_or(0))
            .map_err(|e| format!("reading {table}: {e}"))?;
        for number in 0..entries {
            let address = word(&bytes, usize::try_from(number * 8).unwrap_or(0));
            let owner = owners.of(address);
            // Padding behind the last entry is no address.
            if address < KERNEL || (owner == Owner::Kernel && is_call(symbols, address)) {
                continue;
            }
            let number = u32::try_from(number).unwrap_or(0);
            let name = catalogue::syscall_name(number, compat).map_or(number.to_string(), String::from);
            let function = owner.function(symbols, address);
            found.push(HookedCall {
                syscall: if compat { format!("compat_{name}") } else { name },
                address,
                function: function.map(|s| s.name.to_string()),
                owner: owner.name().to_string(),
            });
        }
    }
    Ok(found)
}

/// A function begins there that is a system call by its name: `__x64_sys_read`, `__ia32_compat_sys_...`, `sys_ni_syscall`.
fn is_call(symbols: &KernelSymbols, address: u64) -> bool {
    symbols.at(address).any(|s| s.name.contains("sys_"))
}
