//! Can a tracepoint program be preempted here? Measured, not derived: the answer chooses the hooks.

use std::{fs, io, thread};

use libbpf_rs::{MapCore, MapFlags, ObjectBuilder};
use serde::Serialize;

use crate::{config, per_cpu, support::Support, sys::Btf};

static OBJECT: &[u8] = include_bytes!(env!("PREEMPT_OBJECT"));

/// How the kernel schedules, as running now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// The kernel gives way only where it returns to user space or sleeps.
    None,
    /// And at marked places.
    Voluntary,
    /// Preemptible, but ordinary tasks are preempted only at the tick (6.13).
    Lazy,
    /// Preemptible everywhere outside of guarded sections.
    Full,
    /// Interrupts and most locks are preemptible too.
    Rt,
    /// No source said.
    Unknown,
}

impl Model {
    /// The name, as the kernel's `preempt=` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Voluntary => "voluntary",
            Self::Lazy => "lazy",
            Self::Full => "full",
            Self::Rt => "rt",
            Self::Unknown => "unknown",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "voluntary" => Self::Voluntary,
            "lazy" => Self::Lazy,
            "full" => Self::Full,
            _ => return None,
        })
    }
}

/// The preempt count as one program of the measurement saw it, PREEMPT_MASK part only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// How often the program ran for the measuring thread.
    pub runs: u32,
    /// How often it could read the count.
    pub known: u32,
    /// The lowest count.
    pub low: u32,
    /// The highest count.
    pub high: u32,
}

/// Preemption of the kernel and of programs.
#[derive(Debug, Clone, Serialize)]
pub struct Preemption {
    /// The model as running now.
    pub model: Model,
    /// Where the model was read.
    pub model_source: String,
    /// Whether the model can change while the kernel runs (`PREEMPT_DYNAMIC`, 5.12).
    pub dynamic: bool,
    /// Whether tp_btf and raw tracepoint programs can be preempted: the case on Linux 7. `None`: not found out, assume it.
    pub tracepoint_programs_preemptible: Option<bool>,
    /// The reason for the answer, with what was measured.
    pub why: String,
    /// Count in a tp_btf program on a system call tracepoint.
    pub syscall_tp_btf: Reading,
    /// Count in a tp_btf program on any other tracepoint.
    pub plain_tp_btf: Reading,
    /// Count in a perf tracepoint program: the control, always above zero where the kernel counts.
    pub perf_tracepoint: Reading,
}

impl Preemption {
    pub(crate) fn probe(release: &str, version: &str, btf: Option<&Btf>) -> Self {
        let (model, model_source) = model(release, version);
        let (verdict, why, readings) = match measure(btf) {
            Ok(readings) => {
                let (verdict, why) = judge(&readings);
                (verdict, why, readings)
            }
            Err(why) => (None, why, [Reading::default(); 3]),
        };
        Self {
            model,
            model_source,
            dynamic: version.contains("PREEMPT_DYNAMIC"),
            tracepoint_programs_preemptible: verdict,
            why,
            syscall_tp_btf: readings[0],
            plain_tp_btf: readings[1],
            perf_tracepoint: readings[2],
        }
    }

    /// The answer as support of "tracepoint programs run to their end without another task's run in between".
    pub fn tracepoint_programs_undisturbed(&self) -> Support {
        match self.tracepoint_programs_preemptible {
            Some(false) => Support::Yes,
            Some(true) | None => Support::no(self.why.as_str()),
        }
    }
}

/// Reads the model where the kernel tells it, else from its name and configuration.
fn model(release: &str, version: &str) -> (Model, String) {
    // 5.12 had the file one level up.
    for path in ["/sys/kernel/debug/sched/preempt", "/sys/kernel/debug/sched_preempt"] {
        if let Some(model) = fs::read_to_string(path).ok().as_deref().and_then(chosen) {
            let rt = version.contains("PREEMPT_RT");
            return (if rt { Model::Rt } else { model }, path.into());
        }
    }
    if version.contains("PREEMPT_RT")
        || fs::read_to_string("/sys/kernel/realtime").is_ok_and(|text| text.trim() == "1")
    {
        return (Model::Rt, "the kernel's version text".into());
    }
    let dynamic = version.contains("PREEMPT_DYNAMIC");
    if dynamic
        && let Some(model) = fs::read_to_string("/proc/cmdline").ok().as_deref().and_then(from_command_line)
    {
        return (model, "the kernel command line".into());
    }
    match config::read(release) {
        Ok((text, path)) => (from_config(&text), path),
        Err(why) => (Model::Unknown, why),
    }
}

/// The model in parentheses: `none voluntary (full) lazy`.
fn chosen(text: &str) -> Option<Model> {
    text.split_whitespace().find_map(|word| Model::from_name(word.strip_prefix('(')?.strip_suffix(')')?))
}

fn from_command_line(text: &str) -> Option<Model> {
    // The last one wins, as in the kernel.
    text.split_whitespace().rev().find_map(|word| word.strip_prefix("preempt=")).and_then(Model::from_name)
}

fn from_config(text: &str) -> Model {
    let set = |option: &str| text.lines().any(|line| line.strip_prefix(option) == Some("=y"));
    [
        ("CONFIG_PREEMPT_RT", Model::Rt),
        ("CONFIG_PREEMPT_LAZY", Model::Lazy),
        ("CONFIG_PREEMPT", Model::Full),
        ("CONFIG_PREEMPT_VOLUNTARY", Model::Voluntary),
        ("CONFIG_PREEMPT_NONE", Model::None),
    ]
    .into_iter()
    .find_map(|(option, model)| set(option).then_some(model))
    .unwrap_or(Model::Unknown)
}

/// What the three readings (system call, plain, control) mean.
fn judge(readings: &[Reading; 3]) -> (Option<bool>, String) {
    let [syscall, plain, control] = readings;
    let seen: Vec<_> = [syscall, plain].into_iter().filter(|reading| reading.known > 0).collect();
    if seen.is_empty() {
        return if syscall.runs + plain.runs == 0 {
            (None, "the tp_btf programs did not run".into())
        } else {
            (None, "the kernel's preempt count is not readable here".into())
        };
    }
    if seen.iter().all(|reading| reading.low > 0) {
        return (
            Some(false),
            "tp_btf programs run with preemption off: the preempt count was never zero".into(),
        );
    }
    if control.known == 0 {
        return (
            None,
            "the preempt count was zero, but the perf tracepoint to compare with did not run".into(),
        );
    }
    if control.high > 0 {
        (
            Some(true),
            "tp_btf programs run with a preempt count of zero, where a perf tracepoint's is above zero"
                .into(),
        )
    } else {
        (Some(false), "this kernel keeps no preempt count, so it preempts nothing inside the kernel".into())
    }
}

/// A name for the measuring thread that no other task has: it tells the thread in any PID namespace.
fn thread_name() -> [u8; 16] {
    let mut name = [0; 16];
    let mut random = [0u8; 4];
    if fs::File::open("/dev/urandom")
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut random))
        .is_err()
    {
        random = rustix::process::getpid().as_raw_nonzero().get().to_le_bytes();
    }
    let text = format!("trs{:08x}", u32::from_le_bytes(random));
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

/// What the programs are told, as their `setting`: the thread's name, and where this kernel keeps per-CPU variables.
fn setting(name: [u8; 16], btf: Option<&Btf>) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&name);
    let distances = per_cpu::from_runqueues(["__preempt_count", "current_task", "pcpu_hot"], btf);
    for (distance, place) in distances.into_iter().zip(bytes[16..].as_chunks_mut::<8>().0) {
        *place = distance.unwrap_or(0).to_ne_bytes();
    }
    bytes
}

fn measure(btf: Option<&Btf>) -> Result<[Reading; 3], String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: libbpf_rs::Error| format!("{what}: {error}")
    };
    let name = thread_name();
    let mut open =
        ObjectBuilder::default().open_memory(OBJECT).map_err(failed("the measuring programs do not open"))?;
    for mut map in open.maps_mut() {
        if map.name().to_string_lossy().ends_with(".rodata") {
            let data = map.initial_value_mut().ok_or("the measuring programs have no configuration")?;
            let setting = setting(name, btf);
            data.get_mut(..setting.len())
                .ok_or("the measuring programs have no configuration")?
                .copy_from_slice(&setting);
        }
    }
    let object = open.load().map_err(failed("the measuring programs do not load"))?;
    let mut links = Vec::new();
    let mut refusals = Vec::new();
    for program in object.progs_mut() {
        match program.attach() {
            Ok(link) => links.push(link),
            Err(error) => refusals.push(format!("{}: {error}", program.name().to_string_lossy())),
        }
    }
    trigger(name).map_err(|error| format!("the measuring thread failed: {error}"))?;
    drop(links);

    let map =
        object.maps().find(|map| map.name() == "readings").ok_or("the measuring programs have no map")?;
    let mut readings = [Reading::default(); 3];
    for (index, reading) in (0u32..).zip(&mut readings) {
        let value = map.lookup(&index.to_ne_bytes(), MapFlags::ANY).map_err(failed("the readings"))?;
        let words: Vec<u32> = value
            .unwrap_or_default()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&word| u32::from_ne_bytes(word))
            .collect();
        if let [runs, known, low, high] = words[..] {
            *reading = Reading { runs, known, low, high };
        }
    }
    if readings[0].runs + readings[1].runs == 0 && !refusals.is_empty() {
        return Err(format!("the measuring programs do not attach: {}", refusals.join("; ")));
    }
    Ok(readings)
}

/// Makes system calls in a thread of that name.
fn trigger(name: [u8; 16]) -> io::Result<()> {
    // Many, for on Linux 7 a run is skipped while another task's run of the program is unfinished on this CPU.
    const TIMES: u32 = 64;
    let text = std::ffi::CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            rustix::thread::set_name(text)?;
            // Waiting for oneself waits for nobody and takes no other child's exit status: ECHILD.
            let own = rustix::process::getpid();
            for _ in 0..TIMES {
                let result = rustix::process::waitpid(Some(own), rustix::process::WaitOptions::NOHANG);
                if result.is_ok() {
                    return Err(io::Error::other("waiting for oneself succeeded"));
                }
            }
            Ok(())
        })?;
        thread.join().map_err(|_| io::Error::other("it panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(low: u32, high: u32) -> Reading {
        Reading { runs: 8, known: 8, low, high }
    }

    #[test]
    fn the_preempt_file_marks_the_model() {
        assert_eq!(chosen("none voluntary (full)\n"), Some(Model::Full));
        assert_eq!(chosen("full (lazy) \n"), Some(Model::Lazy));
        assert_eq!(chosen("(none) voluntary full lazy"), Some(Model::None));
        assert_eq!(chosen("(undefined)"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn the_last_command_line_word_wins() {
        assert_eq!(from_command_line("quiet preempt=full panic=-1 preempt=none\n"), Some(Model::None));
        assert_eq!(from_command_line("quiet"), None);
        assert_eq!(from_command_line("preempt=strange"), None);
    }

    #[test]
    fn configurations_name_the_default() {
        assert_eq!(
            from_config("CONFIG_PREEMPT_NONE=y\n# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_COUNT=y\n"),
            Model::None
        );
        assert_eq!(from_config("CONFIG_PREEMPT=y\nCONFIG_PREEMPT_DYNAMIC=y\n"), Model::Full);
        assert_eq!(from_config("CONFIG_PREEMPT_RT=y\n"), Model::Rt);
        assert_eq!(from_config(""), Model::Unknown);
    }

    #[test]
    fn readings_are_judged_against_the_control() {
        let none = Reading::default();
        assert_eq!(judge(&[reading(0, 0), reading(0, 0), reading(1, 1)]).0, Some(true));
        assert_eq!(judge(&[reading(1, 1), reading(0, 0), reading(1, 1)]).0, Some(true), "one is enough");
        assert_eq!(judge(&[reading(1, 2), reading(1, 1), reading(2, 2)]).0, Some(false));
        assert_eq!(judge(&[reading(1, 2), none, none]).0, Some(false), "no control needed");
        assert_eq!(judge(&[reading(0, 0), reading(0, 0), reading(0, 0)]).0, Some(false), "no count kept");
        assert_eq!(judge(&[reading(0, 0), reading(0, 0), none]).0, None);
        assert_eq!(judge(&[Reading { runs: 8, ..none }, none, none]).0, None);
        assert_eq!(judge(&[none, none, none]).0, None);
    }

    #[test]
    fn thread_names_fit() {
        assert_eq!(thread_name().iter().position(|&byte| byte == 0), Some(11));
    }
}
