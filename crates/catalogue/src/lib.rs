//! The catalogue: every event that Tarsius knows, its fields, and the ways to take it.
//!
//! The entries stand in `families/*/events.toml`. The build script checks them, and turns them into the static tables here
//! and into the C header [`HEADER`] that the BPF programs are compiled with; so names and numbers are the same on both
//! sides of the kernel's border, and a wrong entry fails the build with its file and event.

use std::collections::HashMap;
use std::sync::LazyLock;

mod model;

pub use model::{
    Argument, Call, Choice, Context, Descriptor, Event, Field, Format, Hook, Lane, Layout, Member,
    MemberType, Names, NamesKind, Program, ProgramRef, Quality, Support, Tier, Type,
};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));
include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// The C header generated from the catalogue (`catalogue.h`): numbers of events, fields, probes and stages.
pub const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/catalogue.h"));

/// The event of that name, or of which that is an alias.
pub fn event(name: &str) -> Option<&'static Event> {
    static BY_NAME: LazyLock<HashMap<&str, &Event>> = LazyLock::new(|| {
        let aliases = EVENTS.iter().flat_map(|e| e.aliases.iter().map(move |alias| (*alias, e)));
        // Names come last: an alias is not taken before them.
        aliases.chain(EVENTS.iter().map(|e| (e.name, e))).collect()
    });
    BY_NAME.get(name).copied()
}

/// The event of that number, as it stands in a record's header.
pub fn event_by_id(id: u16) -> Option<&'static Event> {
    EVENTS.binary_search_by_key(&id, |e| e.id).ok().and_then(|i| EVENTS.get(i))
}

/// The program of that name.
pub fn program(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|p| p.name == name)
}

/// The program that has a row (`probe`) in a lane's ledger.
pub fn program_of(lane: Lane, probe: u16) -> Option<&'static Program> {
    PROGRAMS.iter().find(|p| p.lane == lane && p.probe == probe)
}

/// Number of rows that a lane's ledger has for each CPU.
pub fn probes_in(lane: Lane) -> u32 {
    u32::try_from(PROGRAMS.iter().filter(|p| p.lane == lane).count()).unwrap_or(u32::MAX)
}

/// The system call of that number on this architecture (`compat`: in the 32-bit table).
pub fn syscall_name(number: u32, compat: bool) -> Option<&'static str> {
    SYSCALLS.iter().find(|s| if compat { s.compat } else { s.native } == Some(number)).map(|s| s.name)
}

/// A system call and its numbers on this architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syscall {
    /// Its name, as in the kernel's tables.
    pub name: &'static str,
    /// Its number in the native table.
    pub native: Option<u32>,
    /// Its number in the 32-bit compat table.
    pub compat: Option<u32>,
}

/// The system call of that name.
pub fn syscall(name: &str) -> Option<&'static Syscall> {
    SYSCALLS.iter().find(|s| s.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sorted_by_id_and_unique() {
        assert!(EVENTS.windows(2).all(|w| w[0].id < w[1].id));
        for e in EVENTS {
            assert_eq!(event_by_id(e.id).map(|e| e.name), Some(e.name));
            assert_eq!(event(e.name).map(|e| e.id), Some(e.id));
        }
    }

    #[test]
    fn probes_are_dense_in_each_lane() {
        for lane in Lane::ALL {
            for n in 0..probes_in(lane) {
                assert!(program_of(lane, n as u16).is_some(), "{lane:?} {n}");
            }
        }
    }

    #[test]
    fn no_two_handlers_of_a_syscall_share_a_stage() {
        for a in PROGRAMS {
            for b in PROGRAMS.iter().filter(|b| b.name != a.name && b.hook == a.hook && b.stage == a.stage) {
                let shared = a.handles_all_calls()
                    || b.handles_all_calls()
                    || a.syscalls.iter().any(|s| b.syscalls.contains(s));
                assert!(
                    a.syscalls.is_empty() || b.syscalls.is_empty() || !shared,
                    "{} and {}",
                    a.name,
                    b.name
                );
            }
        }
    }

    #[test]
    fn syscalls_of_this_architecture() {
        let openat = syscall("openat").expect("openat exists everywhere");
        assert_eq!(syscall_name(openat.native.unwrap(), false), Some("openat"));
        #[cfg(target_arch = "x86_64")]
        assert_eq!((openat.native, openat.compat), (Some(257), Some(295)));
    }

    #[test]
    fn header_names_every_event() {
        for e in EVENTS {
            assert!(HEADER.contains(&format!("#define EVENT_{} {}\n", e.name, e.id)));
        }
    }
}
