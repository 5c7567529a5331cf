//! The operations of the files of proc.
//!
//! Each file is opened without being read (`O_PATH`: that calls nothing of it), then followed from this thread's descriptor through the
//! kernel's memory to its operations. So no symbol of the kernel's data is needed, and every file is seen, whoever made it.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use context::KernelSymbols;
use rustix::fs::{Mode, OFlags, open};

use crate::layout::Layout;
use crate::memory::Memory;
use crate::modules::{Owner, Owners, pointers};

/// Files that the kernel itself makes, whatever modules there are: their operations are the kernel's.
const OWN: &[&str] = &[
    "buddyinfo",
    "cgroups",
    "cmdline",
    "consoles",
    "cpuinfo",
    "devices",
    "diskstats",
    "filesystems",
    "interrupts",
    "iomem",
    "ioports",
    "kallsyms",
    "keys",
    "kmsg",
    "loadavg",
    "locks",
    "meminfo",
    "misc",
    "modules",
    "pagetypeinfo",
    "partitions",
    "softirqs",
    "stat",
    "swaps",
    "timer_list",
    "uptime",
    "version",
    "vmallocinfo",
    "vmstat",
    "zoneinfo",
    "self/net/arp",
    "self/net/dev",
    "self/net/netlink",
    "self/net/packet",
    "self/net/protocols",
    "self/net/raw",
    "self/net/route",
    "self/net/tcp",
    "self/net/udp",
    "self/net/unix",
];

/// Not looked into: a directory for each interrupt.
const DEEP: &[&str] = &["irq", "sys"];
const DEEPEST: usize = 4;
const MOST: usize = 4096;

/// What was found of all files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooked {
    pub(crate) seq_ops: BTreeSet<String>,
    pub(crate) file_ops: BTreeSet<String>,
}

/// Members that point to functions, with their places; bytes to read for them.
type Functions = (Vec<(String, usize)>, usize);

pub(crate) struct Proc {
    files: u64,
    table: u64,
    fds: u64,
    inode: u64,
    operations: u64,
    entry_of_inode: u64,
    proc_ops: u64,
    seq_ops: u64,
    entry_name: u64,
    file_functions: Functions,
    proc_functions: Functions,
    seq_functions: Functions,
}

impl Proc {
    pub(crate) fn new(layout: &Layout) -> Result<Self, String> {
        // From the inode back to the start of proc's own, and on to the entry.
        let entry = layout.offset("proc_inode", "pde")?;
        let inode = layout.offset("proc_inode", "vfs_inode")?;
        Ok(Self {
            files: layout.offset("task_struct", "files")?,
            table: layout.offset("files_struct", "fdt")?,
            fds: layout.offset("fdtable", "fd")?,
            inode: layout.offset("file", "f_inode")?,
            operations: layout.offset("inode", "i_fop")?,
            entry_of_inode: entry.wrapping_sub(inode),
            proc_ops: layout.offset("proc_dir_entry", "proc_ops")?,
            seq_ops: layout.offset("proc_dir_entry", "seq_ops")?,
            entry_name: layout.offset("proc_dir_entry", "name")?,
            file_functions: layout.functions("file_operations")?,
            proc_functions: layout.functions("proc_ops")?,
            seq_functions: layout.functions("seq_operations")?,
        })
    }

    pub(crate) fn hooked(
        &self,
        memory: &Memory,
        symbols: &KernelSymbols,
        owners: &Owners,
    ) -> Result<Hooked, String> {
        let mut look =
            Look { proc: self, memory, symbols, owners, seen: BTreeSet::new(), found: Hooked::default() };
        let task = memory.current_task().map_err(|e| format!("reading the current task: {e}"))?;
        for path in paths() {
            // Gone meanwhile, or not for us.
            let Ok(fd) = open(&path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) else {
                continue;
            };
            // What can not be read is of a file that went away.
            let _ = look.file(task, &fd, &path);
        }
        Ok(look.found)
    }
}

struct Look<'a> {
    proc: &'a Proc,
    memory: &'a Memory,
    symbols: &'a KernelSymbols,
    owners: &'a Owners,
    /// Operations looked at already, and whether only the kernel's own were right.
    seen: BTreeSet<(u64, bool)>,
    found: Hooked,
}

impl Look<'_> {
    fn file(&mut self, task: u64, fd: &OwnedFd, path: &Path) -> std::io::Result<()> {
        let (proc, memory) = (self.proc, self.memory);
        let files = memory.word(task + proc.files)?;
        let table = memory.word(files + proc.table)?;
        let fds = memory.word(table + proc.fds)?;
        let file = memory.word(fds + fd.as_raw_fd().unsigned_abs() as u64 * 8)?;
        let inode = memory.word(file + proc.inode)?;
        // Always the kernel's: what modules bring hangs on the entry.
        let operations = memory.word(inode + proc.operations)?;
        let members = &proc.file_functions;
        self.operations(operations, members, path, true, false)?;

        let entry = memory.word(inode.wrapping_add(proc.entry_of_inode))?;
        if entry == 0 || !self.is_entry(entry, path) {
            return Ok(());
        }
        let own = path.strip_prefix("/proc").is_ok_and(|p| OWN.iter().any(|o| Path::new(o) == p));
        let operations = memory.word(entry + proc.proc_ops)?;
        let is_dir = path.is_dir();
        if operations != 0 && !is_dir {
            self.operations(operations, &proc.proc_functions, path, own, false)?;
        }
        if is_dir || operations == 0 {
            return Ok(());
        }
        // One word that is the address of sequence operations or of a single function that writes all: told apart by the function that opens.
        let opens: Vec<u64> = {
            let bytes = memory.bytes(operations, proc.proc_functions.1)?;
            pointers(&bytes, &proc.proc_functions.0)
                .filter(|(n, _)| *n == "proc_open")
                .map(|(_, p)| p)
                .collect()
        };
        let opened_by =
            |names: &[&str]| opens.iter().any(|&p| self.symbols.at(p).any(|s| names.contains(&s.name)));
        let written_by = memory.word(entry + proc.seq_ops)?;
        if written_by == 0 {
            return Ok(());
        }
        if opened_by(&["proc_seq_open", "seq_open_net"]) {
            self.operations(written_by, &proc.seq_functions, path, own, true)?;
        } else if opened_by(&["proc_single_open", "single_open_net"]) {
            self.function(written_by, "single_show", path, own, true);
        }
        Ok(())
    }

    /// The entry has the file's name: so the places are right, and the entry is there.
    fn is_entry(&self, entry: u64, path: &Path) -> bool {
        let name = self.memory.word(entry + self.proc.entry_name).and_then(|at| self.memory.string(at, 256));
        path.file_name().is_some_and(|n| name.is_ok_and(|name| n.to_string_lossy() == name.as_str()))
    }

    fn operations(
        &mut self,
        at: u64,
        functions: &Functions,
        path: &Path,
        own: bool,
        seq: bool,
    ) -> std::io::Result<()> {
        if at == 0 || !self.seen.insert((at, own)) {
            return Ok(());
        }
        let bytes = self.memory.bytes(at, functions.1)?;
        for (name, function) in pointers(&bytes, &functions.0) {
            self.function(function, name, path, own, seq);
        }
        Ok(())
    }

    fn function(&mut self, function: u64, name: &str, path: &Path, own: bool, seq: bool) {
        let owner = self.owners.of(function);
        if owner == Owner::Kernel || (!own && matches!(owner, Owner::Module(_))) {
            return;
        }
        let symbol = owner.function(self.symbols, function);
        let symbol = symbol.map_or_else(|| format!("{function:#x}"), |s| s.name.to_string());
        let found = format!("{}.{name}: {symbol} [{}]", path.display(), owner.name());
        if seq { &mut self.found.seq_ops } else { &mut self.found.file_ops }.insert(found);
    }
}

/// Every file and directory of proc but those of processes and settings.
fn paths() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/proc"), PathBuf::from("/proc/self/net")];
    let mut at = 0;
    while let Some(directory) = found.get(at).cloned() {
        at += 1;
        let inside = directory.strip_prefix("/proc").map(Path::to_path_buf).unwrap_or_default();
        if found.len() > MOST
            || inside.components().count() >= DEEPEST
            || DEEP.iter().any(|d| inside == Path::new(d))
            || !fs::symlink_metadata(&directory).is_ok_and(|m| m.is_dir())
        {
            continue;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process =
                directory == Path::new("/proc") && name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
            if !process && entry.file_type().is_ok_and(|t| !t.is_symlink()) {
                found.push(entry.path());
            }
        }
    }
    found
}
