//! The probe against what can be known without it. Needs root; prints SKIP otherwise.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kernel::{Features, HookKind, MapKind, Support};

/// Whether the test can run; says so if not. One test at a time: they share the process's descriptors.
fn root(test: &str) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    if !rustix::process::geteuid().is_root() {
        println!("SKIP {test}: needs root");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn own_programs() -> BTreeSet<String> {
    // Descriptors of BPF objects that this process holds.
    fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| target.contains("bpf") || target.contains("perf_event"))
        .collect()
}

#[test]
fn agrees_with_what_the_kernel_shows_and_leaves_nothing() {
    let Some(_alone) = root("agrees_with_what_the_kernel_shows_and_leaves_nothing") else { return };
    let features = Features::probe();

    assert_eq!(own_programs(), BTreeSet::new(), "something is still open");

    let uname = rustix::system::uname();
    assert_eq!(features.release, uname.release().to_string_lossy());
    assert_eq!(features.btf.yes(), fs::metadata("/sys/kernel/btf/vmlinux").is_ok());
    let has_kprobes = fs::metadata("/sys/bus/event_source/devices/kprobe/type").is_ok();
    assert!(has_kprobes || !features.hook(HookKind::Kprobe), "kprobes without a PMU");
    assert_eq!(features.tracefs.support.yes(), fs::metadata("/sys/kernel/tracing/events").is_ok());
    if let Some(mount) = &features.cgroup2.mount {
        assert!(mount.join("cgroup.procs").exists(), "{mount:?} is no cgroup2");
    }
    if let Some(lsms) = &features.lsms {
        let listed = lsms.iter().any(|lsm| lsm == "bpf");
        assert!(listed || !features.hook(HookKind::Lsm), "LSM programs run though bpf is not listed");
    }
    // Rings in an array need rings.
    assert!(features.map(MapKind::RingBuffer) || !features.map(MapKind::ArrayOfRingBuffers));
    // Every question has an answer, and every no has a reason.
    assert_eq!(features.hooks.len(), HookKind::ALL.len());
    assert_eq!(features.maps.len(), MapKind::ALL.len());
    let answers = features
        .hooks
        .values()
        .chain(features.maps.values())
        .chain(features.helpers.values().flat_map(|hooks| hooks.values()))
        .chain(features.kfuncs.values().flat_map(|hooks| hooks.values()));
    for answer in answers {
        assert!(answer.yes() || answer.why().is_some_and(|why| !why.is_empty()));
    }
}

#[test]
fn the_same_answers_twice() {
    let Some(_alone) = root("the_same_answers_twice") else { return };
    let (first, second) = (Features::probe(), Features::probe());
    assert_eq!(first.hooks, second.hooks);
    assert_eq!(first.maps, second.maps);
    assert_eq!(first.helpers, second.helpers);
    assert_eq!(first.kfuncs, second.kfuncs);
    assert_eq!(
        first.preemption.tracepoint_programs_preemptible,
        second.preemption.tracepoint_programs_preemptible
    );
    assert_eq!(first.atomics, second.atomics);
}

#[test]
fn the_control_counts_where_anything_counts() {
    let Some(_alone) = root("the_control_counts_where_anything_counts") else { return };
    let preemption = Features::probe().preemption;
    let (tp_btf, control) = (preemption.syscall_tp_btf, preemption.perf_tracepoint);
    if tp_btf.high > 0 && control.known > 0 {
        assert!(control.low > 0, "a perf tracepoint ran preemptible: {preemption:?}");
    }
    assert_eq!(
        preemption.tracepoint_programs_undisturbed() == Support::Yes,
        preemption.tracepoint_programs_preemptible == Some(false)
    );
}
