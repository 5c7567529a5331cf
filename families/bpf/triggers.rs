//! BPF programs and maps made and attached; kprobes.

use std::ffi::CStr;
use std::path::Path;

use serde_json::json;

use crate::acts::check;
use crate::trigger::{Told, Trigger};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "security_bpf_prog",
        act: |_| _ = program(SOCKET_FILTER, c"marked_prog"),
        check: |told| {
            let line = told.one("name", "marked_prog");
            assert_eq!(line.parsed("type"), "BPF_PROG_TYPE_SOCKET_FILTER");
            assert!(line.get("id").is_u64());
            line.assert_where_told(&[("load", json!(true)), ("helpers", json!(["bpf_ktime_get_ns"]))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_bpf",
        act: |_| _ = program(SOCKET_FILTER, c"marked_prog"),
        check: |told| {
            let loads = told.with("cmd", 5);
            assert!(!loads.is_empty(), "{:?}", told.lines);
            assert_eq!(loads[0].parsed("cmd"), "BPF_PROG_LOAD");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_bpf_map",
        act: |_| _ = map(c"marked_map"),
        check: |told| assert!(told.one("map_name", "marked_map").get("map_id").is_u64()),
        ..Trigger::NONE
    },
    Trigger { event: "bpf_attach", act: attach, check: attached, ..Trigger::NONE },
    Trigger { event: "kprobe_attach", act: kprobe, check: probed, needs: kprobes, ..Trigger::NONE },
];

const MAP_CREATE: u32 = 0;
const PROG_LOAD: u32 = 5;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const SOCKET_FILTER: u32 = 1;
const RAW_TRACEPOINT: u32 = 17;

/// bpf(2) with attributes of which the words at those places are set.
fn bpf(command: u32, words: &[(usize, u32)], names: &[(usize, &CStr)], pointers: &[(usize, u64)]) -> i32 {
    let mut attribute = [0u8; 120];
    for (at, word) in words {
        attribute[*at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    for (at, name) in names {
        attribute[*at..at + name.count_bytes()].copy_from_slice(name.to_bytes());
    }
    for (at, pointer) in pointers {
        attribute[*at..at + 8].copy_from_slice(&pointer.to_ne_bytes());
    }
    // SAFETY: the attributes are zero but for what is set, which points to memory that lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_ptr(), attribute.len()) };
    check(fd) as i32
}

/// Kernels before 5.11 count programs and maps, the watch's too, as this user's locked memory.
fn raise_limit() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is live memory. Where it may not be raised, it does not matter or what follows fails.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
}

/// A small program: calls `bpf_ktime_get_ns` (5), then `r0 = 0; exit`.
fn program(kind: u32, name: &CStr) -> i32 {
    raise_limit();
    let code: [u64; 3] = [0x0000_0005_0000_0085, 0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    let pointers = [(8, code.as_ptr() as u64), (16, c"GPL".as_ptr() as u64)];
    bpf(PROG_LOAD, &[(0, kind), (4, 3)], &[(48, name)], &pointers)
}

/// An array of one word.
fn map(name: &CStr) -> i32 {
    raise_limit();
    bpf(MAP_CREATE, &[(0, 2), (4, 4), (8, 4), (12, 1)], &[(28, name)], &[])
}

fn attach(_: &Path) {
    let program = program(RAW_TRACEPOINT, c"marked_attach");
    bpf(RAW_TRACEPOINT_OPEN, &[(8, program.cast_unsigned())], &[], &[(0, c"sched_process_wait".as_ptr() as u64)]);
}

fn attached(told: &Told<'_>) {
    let line = told.one("prog_name", "marked_attach");
    line.assert(&[("symbol_name", json!("sched_process_wait")), ("attach_type", json!(0))]);
    line.assert_where_told(&[("prog_helpers", json!(["bpf_ktime_get_ns"]))]);
    assert_eq!(line.parsed("attach_type"), "raw_tracepoint");
    assert_eq!(line.parsed("prog_type"), "BPF_PROG_TYPE_RAW_TRACEPOINT");
}

const KPROBE_SOURCE: &str = "/sys/bus/event_source/devices/kprobe/type";

fn kprobes() -> Result<(), String> {
    if Path::new(KPROBE_SOURCE).exists() { Ok(()) } else { Err("this kernel has no kprobes".into()) }
}

fn kprobe(_: &Path) {
    let kind: u32 = std::fs::read_to_string(KPROBE_SOURCE).unwrap().trim().parse().unwrap();
    // struct perf_event_attr of 112 bytes: type, size, then at 56 the function's name.
    let mut attribute = [0u8; 112];
    attribute[0..4].copy_from_slice(&kind.to_ne_bytes());
    attribute[4..8].copy_from_slice(&112u32.to_ne_bytes());
    attribute[56..64].copy_from_slice(&(c"do_exit".as_ptr() as u64).to_ne_bytes());
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_perf_event_open, attribute.as_ptr(), -1, 0, -1, 8) });
}

fn probed(told: &Told<'_>) {
    let line = told.one("symbol_name", "do_exit");
    assert!(line.get("pre_handler_addr").as_u64().unwrap() > 0, "{line:?}");
}
