//! What this kernel can do, found out once, at start, by trying.
//!
//! The sensor chooses by [`Features`], never by version numbers: distributions carry features back, security policies
//! take them away. Nothing stays attached. Each answer that is *no* says why.

mod capability;
mod code;
mod config;
mod hook;
mod hooks;
mod host;
mod maps;
mod per_cpu;
mod preempt;
mod support;
mod sys;

use std::{collections::BTreeMap, thread, time::Instant};

use serde::Serialize;

pub use capability::Capability;
pub use hook::{Helper, HookKind, Kfunc, MapKind};
pub use hooks::probe_function;
pub use host::{Cgroup2, Error, Tracefs, boot_id, boot_offset, hostname, online_cpus, possible_cpus};
pub use preempt::{Model, Preemption, Reading};
pub use support::Support;
pub use sys::count_runs;

/// What this kernel can do for this process.
#[derive(Debug, Clone, Serialize)]
pub struct Features {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// `uname -v`.
    pub version: String,
    /// The kernel's type information, /sys/kernel/btf/vmlinux (5.4), can be read and parsed.
    pub btf: Support,
    /// Preemption of the kernel and of tracepoint programs.
    pub preemption: Preemption,
    /// Hooks whose programs load, attach and, for LSM, run.
    pub hooks: BTreeMap<HookKind, Support>,
    /// Map types that can be created.
    pub maps: BTreeMap<MapKind, Support>,
    /// Helpers that programs of a hook may call. Says nothing about whether the hook itself can be used.
    pub helpers: BTreeMap<Helper, BTreeMap<HookKind, Support>>,
    /// Kernel functions that programs of a hook may call.
    pub kfuncs: BTreeMap<Kfunc, BTreeMap<HookKind, Support>>,
    /// Compare-and-swap, exchange, fetch-and-add (5.12).
    pub atomics: Support,
    /// The kernel counts the runs it skips (`recursion_misses`, 5.12).
    pub skip_counter: Support,
    /// A record can be written to a ring where the kernel holds a lock that spins: the ring's own lock does not sleep.
    pub rings_under_locks: Support,
    /// Capabilities wanted, and which are held.
    pub capabilities: Vec<Capability>,
    /// The file system of the tracepoints.
    pub tracefs: Tracefs,
    /// The cgroup2 hierarchy.
    pub cgroup2: Cgroup2,
    /// Active security modules, in order; `None` if securityfs is not mounted.
    pub lsms: Option<Vec<String>>,
    /// Lockdown mode (`none`, `integrity`, `confidentiality`); `None` if securityfs is not mounted.
    pub lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `net.core.bpf_jit_enable`: 0 means that programs are interpreted, many times slower.
    pub jit: Option<i64>,
    /// `kernel.perf_event_paranoid`: above 2 some distributions refuse perf tracepoints without CAP_PERFMON.
    pub perf_event_paranoid: Option<i64>,
    /// `RLIMIT_MEMLOCK` in bytes, `None` for no limit. Kernels before 5.11 charge maps to it.
    pub memlock_limit: Option<u64>,
    /// How long it took to find all this out, in milliseconds.
    pub took_ms: u64,
}

impl Features {
    /// Tries everything. Never fails: what can not be found out is a *no* with its reason.
    pub fn probe() -> Self {
        let start = Instant::now();
        let _quiet = sys::Quiet::new();
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy().into_owned();
        let version = uname.version().to_string_lossy().into_owned();

        let tracefs = Tracefs::probe();
        let cgroup2 = Cgroup2::probe();
        let lsms = host::lsms();
        let (btf, btf_support) = match sys::Btf::of_kernel() {
            Ok(btf) => (Some(btf), Support::Yes),
            Err(error) => (None, Support::no(format!("/sys/kernel/btf/vmlinux: {error}"))),
        };
        let place = hooks::Place {
            btf: btf.as_ref(),
            tracefs: tracefs.mount.as_deref(),
            cgroup: cgroup2.mount.as_deref(),
            lsms: lsms.as_deref(),
        };
        // Side by side: both wait for grace periods while they take programs off.
        let (preemption, hooks, helpers, kfuncs) = thread::scope(|scope| {
            let hooks = scope.spawn(|| hooks::probe(&place));
            let code = scope.spawn(|| {
                let asked = code::asked(btf.as_ref());
                (code::helpers(&asked), code::kfuncs(&asked, btf.as_ref()))
            });
            let preemption = Preemption::probe(&release, &version, btf.as_ref());
            // A panic in there leaves the map empty: nothing is claimed to work.
            let (helpers, kfuncs) = code.join().unwrap_or_default();
            (preemption, hooks.join().unwrap_or_default(), helpers, kfuncs)
        });
        let rings_under_locks = maps::rings_under_locks(preemption.model, btf.as_ref());
        Self {
            machine: uname.machine().to_string_lossy().into_owned(),
            btf: btf_support,
            preemption,
            hooks,
            maps: maps::probe(),
            helpers,
            kfuncs,
            atomics: code::atomics(),
            skip_counter: code::skip_counter(),
            rings_under_locks,
            capabilities: capability::probe(),
            tracefs,
            cgroup2,
            lsms,
            lockdown: host::lockdown(),
            unprivileged_bpf_disabled: host::sysctl("/proc/sys/kernel/unprivileged_bpf_disabled"),
            jit: host::sysctl("/proc/sys/net/core/bpf_jit_enable"),
            perf_event_paranoid: host::sysctl("/proc/sys/kernel/perf_event_paranoid"),
            memlock_limit: rustix::process::getrlimit(rustix::process::Resource::Memlock).current,
            release,
            version,
            took_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whether a hook can be used.
    pub fn hook(&self, hook: HookKind) -> bool {
        self.hooks.get(&hook).is_some_and(Support::yes)
    }

    /// Whether a map type can be used.
    pub fn map(&self, map: MapKind) -> bool {
        self.maps.get(&map).is_some_and(Support::yes)
    }

    /// Whether programs of a hook may call a helper.
    pub fn helper(&self, helper: Helper, hook: HookKind) -> bool {
        self.helpers.get(&helper).and_then(|hooks| hooks.get(&hook)).is_some_and(Support::yes)
    }

    /// Whether programs of a hook may call a kernel function.
    pub fn kfunc(&self, kfunc: Kfunc, hook: HookKind) -> bool {
        self.kfuncs.get(&kfunc).and_then(|hooks| hooks.get(&hook)).is_some_and(Support::yes)
    }

    /// Whether a tracepoint program of ours must be prepared for another task's run in its midst, and for being skipped.
    pub fn tracepoint_programs_preemptible(&self) -> bool {
        self.preemption.tracepoint_programs_preemptible.unwrap_or(true)
    }

    /// Wanted capabilities that this process lacks.
    pub fn missing_capabilities(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().filter(|capability| !capability.held)
    }
}
