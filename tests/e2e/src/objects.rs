//! What the kernel has of BPF, by id.

use std::collections::BTreeSet;
use std::fs;

/// A kind of kernel object that programs are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A program.
    Program,
    /// A map.
    Map,
    /// A link of a program to its hook.
    Link,
}

impl Object {
    /// Every kind.
    pub const ALL: [Object; 3] = [Object::Program, Object::Map, Object::Link];

    /// The command of bpf(2) that gives the id behind one, and the name of an id in /proc/PID/fdinfo.
    fn command_and_name(self) -> (i64, &'static str) {
        match self {
            Object::Program => (11, "prog_id:"), // BPF_PROG_GET_NEXT_ID
            Object::Map => (12, "map_id:"),      // BPF_MAP_GET_NEXT_ID
            Object::Link => (31, "link_id:"),    // BPF_LINK_GET_NEXT_ID, since 5.8
        }
    }

    /// The ids of all that the kernel has of the kind.
    pub fn ids(self) -> BTreeSet<u32> {
        let command = self.command_and_name().0;
        let mut attribute = [0u8; 16];
        let mut ids = BTreeSet::new();
        let mut id = 0u32;
        loop {
            attribute[0..4].copy_from_slice(&id.to_ne_bytes());
            // SAFETY: the attribute is as long as is said, and lives through the call.
            let error =
                unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), attribute.len()) };
            if error != 0 {
                return ids;
            }
            id = u32::from_ne_bytes(*attribute[4..].first_chunk().unwrap());
            ids.insert(id);
        }
    }

    /// The ids of those that a process has open. Others on this machine load programs too: what appeared meanwhile need not be ours.
    pub fn ids_of(self, pid: u32) -> BTreeSet<u32> {
        let name = self.command_and_name().1;
        let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
        let texts = files.flatten().filter_map(|f| fs::read_to_string(f.path()).ok());
        texts.filter_map(|t| t.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok())).collect()
    }
}
