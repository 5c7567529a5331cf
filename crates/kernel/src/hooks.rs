//! Which hooks can be used: for each, a program of two instructions is loaded, attached and taken off again.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
};

use libbpf_sys as bpf;

use crate::{
    HookKind, Support,
    support::{Step, explain},
    sys::{self, Btf, Insn, PerfEvent, Program},
};

/// A function that exists for BPF's own tests (5.5) and that nothing else calls: a probe there disturbs nobody.
const QUIET_FUNCTION: &CStr = c"bpf_fentry_test1";
/// The name of the perf event source of kprobes.
const KPROBE: &str = "kprobe";
/// A tracepoint of low rate.
const QUIET_TRACEPOINT: &CStr = c"sched_process_exec";

/// What the probes of hooks need to know of the machine.
pub(crate) struct Place<'a> {
    pub(crate) btf: Option<&'a Btf>,
    pub(crate) tracefs: Option<&'a Path>,
    pub(crate) cgroup: Option<&'a Path>,
    pub(crate) lsms: Option<&'a [String]>,
}

/// Why a hook can not be used: an error at a step, or a reason of our own.
enum Refusal {
    Error(Step, io::Error),
    Reason(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

trait At<T> {
    fn at(self, step: Step) -> Result<T, Refusal>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Refusal> {
        self.map_err(|error| Refusal::Error(step, error.into()))
    }
}

/// Tries all hooks. Side by side, because taking one off may wait tens of milliseconds for a grace period.
pub(crate) fn probe(place: &Place<'_>) -> BTreeMap<HookKind, Support> {
    thread::scope(|scope| {
        let probes: Vec<_> =
            HookKind::ALL.iter().map(|&hook| (hook, scope.spawn(move || try_hook(hook, place)))).collect();
        probes
            .into_iter()
            .map(|(hook, thread)| {
                let support = match thread.join() {
                    Ok(Ok(())) => Support::Yes,
                    Ok(Err(Refusal::Reason(why))) => Support::No { why },
                    Ok(Err(Refusal::Error(step, error))) => Support::No { why: explain(step, &error) },
                    Err(_) => Support::no("the probe itself failed"),
                };
                (hook, support)
            })
            .collect()
    })
}

fn try_hook(hook: HookKind, place: &Place<'_>) -> Result<(), Refusal> {
    use HookKind as H;
    match hook {
        H::TpBtf | H::Fentry | H::Fexit | H::Lsm | H::Iter | H::RawTracepoint => {
            let program = load(hook, place)?;
            match hook {
                H::RawTracepoint => {
                    drop(sys::open_raw_tracepoint(Some(QUIET_TRACEPOINT), &program).at(Step::Attach)?)
                }
                H::Iter => {
                    let link = sys::link(&program, None, bpf::BPF_TRACE_ITER).at(Step::Attach)?;
                    sys::open_iterator(&link).at(Step::Attach)?;
                }
                H::Lsm => {
                    let _link = sys::open_raw_tracepoint(None, &program).at(Step::Attach)?;
                    seen_to_run(&program, place.lsms)?;
                }
                _ => drop(sys::open_raw_tracepoint(None, &program).at(Step::Attach)?),
            }
        }
        H::LsmCgroup | H::CgroupSkb | H::CgroupSockAddr | H::CgroupSock | H::SockOps => {
            let path = place.cgroup.ok_or_else(|| "no cgroup2 hierarchy is mounted".to_owned())?;
            let cgroup = File::open(path).at(Step::Open("the cgroup2 root"))?;
            let program = load(hook, place)?;
            sys::link(&program, Some(cgroup.as_fd()), shape(hook).1).at(Step::Attach)?;
        }
        H::KprobeMulti => {
            let program = load(hook, place)?;
            sys::link_kprobe_multi(&program, QUIET_FUNCTION).at(Step::Attach)?;
        }
        H::Tracepoint => {
            let events = place
                .tracefs
                .ok_or_else(|| "tracefs, which knows the ids of tracepoints, is not there".to_owned())?;
            let id = events.join("events/sched/sched_process_exec/id");
            let id = fs::read_to_string(id).at(Step::Open("the id of a tracepoint"))?;
            let id = id.trim().parse().map_err(|_| format!("the id of a tracepoint is no number: {id:?}"))?;
            let event = PerfEvent { kind: 2, config: id, ..PerfEvent::default() };
            sys::attach_perf(event, None, -1, 0, &load(hook, place)?).at(Step::Attach)?;
        }
        H::Kprobe | H::Kretprobe => {
            let kind = dynamic_pmu(KPROBE)?;
            let name = CString::from(QUIET_FUNCTION);
            let event = PerfEvent { kind, config: u64::from(hook == H::Kretprobe), ..PerfEvent::default() };
            sys::attach_perf(event, Some(&name), -1, 0, &load(hook, place)?).at(Step::Attach)?;
        }
        H::Uprobe => {
            let kind = dynamic_pmu("uprobe")?;
            let (file, offset) = never_called_code()?;
            let event = PerfEvent { kind, config2: offset, ..PerfEvent::default() };
            sys::attach_perf(event, Some(&file), 0, -1, &load(hook, place)?).at(Step::Attach)?;
        }
        H::PerfEvent => {
            // PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, one sample a second: gone before the first.
            let event = PerfEvent { kind: 1, config: 0, period: 1_000_000_000, ..PerfEvent::default() };
            sys::attach_perf(event, None, -1, 0, &load(hook, place)?).at(Step::Attach)?;
        }
    }
    Ok(())
}

/// Program type, attach type, and what of the kernel's type information the program is for.
fn shape(hook: HookKind) -> (bpf::bpf_prog_type, bpf::bpf_attach_type, Option<(&'static str, u32)>) {
    use HookKind as H;
    const FUNC: u32 = bpf::BTF_KIND_FUNC;
    match hook {
        H::TpBtf => (
            bpf::BPF_PROG_TYPE_TRACING,
            bpf::BPF_TRACE_RAW_TP,
            Some(("btf_trace_sched_process_exec", bpf::BTF_KIND_TYPEDEF)),
        ),
        H::Fentry => (bpf::BPF_PROG_TYPE_TRACING, bpf::BPF_TRACE_FENTRY, Some(("bpf_fentry_test1", FUNC))),
        H::Fexit => (bpf::BPF_PROG_TYPE_TRACING, bpf::BPF_TRACE_FEXIT, Some(("bpf_fentry_test1", FUNC))),
        H::Iter => (bpf::BPF_PROG_TYPE_TRACING, bpf::BPF_TRACE_ITER, Some(("bpf_iter_task", FUNC))),
        // Nobody calls getsid(2) often, and it is easily called.
        H::Lsm => (bpf::BPF_PROG_TYPE_LSM, bpf::BPF_LSM_MAC, Some(("bpf_lsm_task_getsid", FUNC))),
        H::LsmCgroup => (bpf::BPF_PROG_TYPE_LSM, bpf::BPF_LSM_CGROUP, Some(("bpf_lsm_socket_bind", FUNC))),
        H::RawTracepoint => (bpf::BPF_PROG_TYPE_RAW_TRACEPOINT, 0, None),
        H::Tracepoint => (bpf::BPF_PROG_TYPE_TRACEPOINT, 0, None),
        H::Kprobe | H::Kretprobe | H::Uprobe => (bpf::BPF_PROG_TYPE_KPROBE, 0, None),
        H::KprobeMulti => (bpf::BPF_PROG_TYPE_KPROBE, bpf::BPF_TRACE_KPROBE_MULTI, None),
        H::CgroupSkb => (bpf::BPF_PROG_TYPE_CGROUP_SKB, bpf::BPF_CGROUP_INET_EGRESS, None),
        H::CgroupSockAddr => (bpf::BPF_PROG_TYPE_CGROUP_SOCK_ADDR, bpf::BPF_CGROUP_INET4_CONNECT, None),
        H::CgroupSock => (bpf::BPF_PROG_TYPE_CGROUP_SOCK, bpf::BPF_CGROUP_INET_SOCK_CREATE, None),
        H::SockOps => (bpf::BPF_PROG_TYPE_SOCK_OPS, bpf::BPF_CGROUP_SOCK_OPS, None),
        H::PerfEvent => (bpf::BPF_PROG_TYPE_PERF_EVENT, 0, None),
    }
}

/// A program of this hook's type, to be loaded with any code; or why there can be none.
pub(crate) fn program<'a>(
    hook: HookKind,
    btf: Option<&Btf>,
    code: &'a [Insn],
) -> Result<Program<'a>, String> {
    let (kind, attach, target) = shape(hook);
    let btf_id = match (target, btf) {
        (None, _) => 0,
        (Some((name, _)), None) => {
            return Err(format!("needs the kernel's type information, to find {name}"));
        }
        (Some((name, kind)), Some(btf)) => {
            btf.find(name, kind).ok_or_else(|| format!("{name} is not in the kernel's type information"))?
        }
    };
    Ok(Program { kind, attach, btf_id, code })
}

fn load(hook: HookKind, place: &Place<'_>) -> Result<OwnedFd, Refusal> {
    // What each must answer to change nothing: cgroup programs 1 (go on), all others 0.
    let answer = match hook {
        HookKind::LsmCgroup
        | HookKind::CgroupSkb
        | HookKind::CgroupSockAddr
        | HookKind::CgroupSock
        | HookKind::SockOps => 1,
        _ => 0,
    };
    let code = [Insn::set(0, answer), Insn::EXIT];
    sys::load(program(hook, place.btf, &code)?, false).at(Step::Load)
}

/// An LSM program attaches, and never runs, where `bpf` is not among the active LSMs. So look whether it runs.
fn seen_to_run(program: &OwnedFd, lsms: Option<&[String]>) -> Result<(), Refusal> {
    let listed = lsms.map(|lsms| lsms.iter().any(|lsm| lsm == "bpf"));
    let never = || {
        match lsms {
        Some(lsms) => format!("loads and attaches but never runs: bpf is not among the active LSMs ({})", lsms.join(",")),
        None => "loads and attaches but never runs: probably bpf is not among the active LSMs (kernel parameter lsm=)".into(),
    }
    };
    let Ok(_counting) = sys::count_runs() else {
        // Nothing counts the runs: believe the list.
        return if listed == Some(true) { Ok(()) } else { Err(Refusal::Reason(never())) };
    };
    rustix::process::getsid(Some(rustix::process::getpid())).map_err(io::Error::from).at(Step::Trigger)?;
    let (info, _) = sys::program_info(program).at(Step::Trigger)?;
    if info.run_cnt > 0 { Ok(()) } else { Err(Refusal::Reason(never())) }
}

/// A kprobe can be put on that function of the kernel: there is one of that name, and no more.
///
/// Asked by making one that is never switched on. Kernels tell of several functions of one name since 6.6, and since 5.10.199, 5.15.136 and
/// 6.1.60 ("tracing/kprobes: Return EADDRNOTAVAIL when func matches several symbols"); others take the first.
///
/// # Errors
///
/// Why not, in words.
pub fn probe_function(name: &str) -> Result<(), String> {
    let event = PerfEvent { kind: dynamic_pmu(KPROBE)?, ..PerfEvent::default() };
    let function = CString::new(name).map_err(|_| format!("{name:?} is no name of a function"))?;
    match sys::open_perf(event, Some(&function), -1, 0) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::ENOENT) => format!("this kernel has no function {name} to probe"),
            Some(libc::EADDRNOTAVAIL) => format!("this kernel has more than one function {name}"),
            _ => format!("no probe on the kernel's function {name}: {error}"),
        }),
    }
}

/// The type number of a PMU that the kernel has registered.
fn dynamic_pmu(name: &str) -> Result<u32, String> {
    let path = format!("/sys/bus/event_source/devices/{name}/type");
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("this kernel has no {name}s (no perf event source of that name)"),
        _ => format!("{path}: {error}"),
    })?;
    text.trim().parse().map_err(|_| format!("{path} is no number: {text:?}"))
}

/// Where a function of this program lies in its file: something to put a uprobe on.
fn never_called_code() -> Result<(CString, u64), String> {
    #[inline(never)]
    extern "C" fn target() -> u32 {
        std::hint::black_box(0x7a51)
    }
    let address = std::hint::black_box(target as extern "C" fn() -> u32) as usize as u64;
    let maps = fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
    maps.lines()
        .find_map(|line| file_offset(line, address))
        .and_then(|(file, offset)| Some((CString::new(file).ok()?, offset)))
        .ok_or_else(|| "could not find this program's own code in /proc/self/maps".into())
}

/// The file and offset behind an address, if this line of /proc/PID/maps covers it.
fn file_offset(line: &str, address: u64) -> Option<(&str, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
    let file = &line[line.find('/')?..];
    (start..end).contains(&address).then_some((file, address - start + offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_lines_give_file_offsets() {
        let line = "55d0a0002000-55d0a0004000 r-xp 00001000 fe:00 4711   /usr/bin/my tool";
        assert_eq!(file_offset(line, 0x55d0_a000_2010), Some(("/usr/bin/my tool", 0x1010)));
        assert_eq!(file_offset(line, 0x55d0_a000_4000), None);
        assert_eq!(
            file_offset("7ffe00000000-7ffe00001000 rw-p 00000000 00:00 0 [stack]", 0x7ffe_0000_0010),
            None
        );
    }

    #[test]
    fn own_code_has_a_file() {
        let (file, offset) = never_called_code().expect("readable");
        assert!(file.to_bytes().starts_with(b"/") && offset > 0);
    }
}
