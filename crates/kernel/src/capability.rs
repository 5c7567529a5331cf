//! Which capabilities this process holds.

use std::fs;

use serde::Serialize;

/// A capability that something here wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Whether this process holds it. CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON.
    pub held: bool,
    /// What it is wanted for.
    pub purpose: &'static str,
}

/// Bit, name, purpose.
const WANTED: [(u32, &str, &str); 8] = [
    (39, "CAP_BPF", "load programs and maps (5.8)"),
    (38, "CAP_PERFMON", "attach tracing programs, read kernel memory in them (5.8)"),
    (21, "CAP_SYS_ADMIN", "mount tracefs, count runs of programs; stands for the two above"),
    (12, "CAP_NET_ADMIN", "attach programs to cgroups and sockets"),
    (19, "CAP_SYS_PTRACE", "read /proc of other users' processes"),
    (2, "CAP_DAC_READ_SEARCH", "read files of other users' processes"),
    (24, "CAP_SYS_RESOURCE", "lock more memory than the limit: kernels before 5.11 charge maps to it"),
    (34, "CAP_SYSLOG", "see addresses of kernel functions"),
];

const SYS_ADMIN: u32 = 21;

/// What this process holds of what is wanted.
pub(crate) fn probe() -> Vec<Capability> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    from_bits(effective(&status).unwrap_or(0))
}

/// Whether this process holds what it takes to load and attach programs.
pub(crate) fn for_programs() -> bool {
    const NEEDED: [&str; 3] = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"];
    probe().iter().all(|capability| capability.held || !NEEDED.contains(&capability.name))
}

fn effective(status: &str) -> Option<u64> {
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}

fn from_bits(bits: u64) -> Vec<Capability> {
    let holds = |bit: u32| bits & (1 << bit) != 0;
    WANTED
        .into_iter()
        .map(|(bit, name, purpose)| {
            let implied = matches!(name, "CAP_BPF" | "CAP_PERFMON") && holds(SYS_ADMIN);
            Capability { name, held: holds(bit) || implied, purpose }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bits: u64, name: &str) -> bool {
        from_bits(bits).into_iter().any(|capability| capability.name == name && capability.held)
    }

    #[test]
    fn status_lines_give_bits() {
        assert_eq!(effective("Name:\tx\nCapEff:\t000001fffeffffff\n"), Some(0x1ff_feff_ffff));
        assert_eq!(effective("Name:\tx\n"), None);
    }

    #[test]
    fn bits_give_names() {
        assert!(held(0x1ff_feff_ffff, "CAP_SYS_PTRACE"));
        assert!(!held(0x1ff_feff_ffff, "CAP_SYS_RESOURCE"));
        assert!(held(1 << 39, "CAP_BPF") && !held(1 << 39, "CAP_PERFMON"));
        assert!(held(1 << 21, "CAP_PERFMON"), "CAP_SYS_ADMIN implies it");
        assert!(!held(0, "CAP_BPF"));
    }
}
