//! What was found, as records.

use std::fs;
use std::path::Path;

use catalogue::Quality;
use catalogue::fields::{
    ftrace_hook, hidden_kernel_module, hooked_proc_fops, hooked_seq_ops, hooked_syscall,
    init_namespaces as namespaces, print_mem_dump, tarsius_info,
};
use context::KernelSymbol;
use event::Header;
use event::build::RecordBuilder;
use rustix::time::{ClockId, clock_gettime};

use crate::{Found, definition};

/// A module that hides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HiddenModule {
    pub(crate) name: String,
    pub(crate) address: Option<u64>,
    pub(crate) src_version: Option<String>,
}

fn now(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs()
}

/// A record under construction, of an event by its number.
struct Building(Option<RecordBuilder>);

impl Building {
    fn new(event: u16) -> Self {
        let header = Header::unknown(now(ClockId::Boottime));
        Self(definition(event).map(|definition| RecordBuilder::new(definition, header)))
    }

    fn with(mut self, put: impl FnOnce(RecordBuilder) -> RecordBuilder) -> Self {
        self.0 = self.0.map(put);
        self
    }

    fn text(self, field: usize, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.with(|r| r.put_str(index(field), text.as_bytes(), Quality::Ok)),
            None => self,
        }
    }

    fn number(self, field: usize, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.with(|r| r.put_u64(index(field), number)),
            None => self,
        }
    }

    fn texts(self, field: usize, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        let bytes: Vec<&[u8]> = texts.iter().map(|t| t.as_ref().as_bytes()).collect();
        self.with(|r| r.put_str_array(index(field), &bytes, Quality::Ok))
    }

    fn finish(self) -> Vec<u8> {
        self.0.map(RecordBuilder::finish).unwrap_or_default()
    }
}

fn index(field: usize) -> u8 {
    u8::try_from(field).unwrap_or(u8::MAX)
}

fn hexadecimal(address: u64) -> String {
    format!("{address:#x}")
}

/// A record for each finding; one for all files whose operations are of a kind.
pub(crate) fn records(found: &Found) -> Vec<Vec<u8>> {
    let mut records = vec![];
    for call in &found.calls {
        let record = Building::new(hooked_syscall::EVENT_ID)
            .text(hooked_syscall::SYSCALL, Some(&call.syscall))
            .text(hooked_syscall::ADDRESS, Some(&hexadecimal(call.address)))
            .text(hooked_syscall::FUNCTION, call.function.as_deref())
            .text(hooked_syscall::OWNER, Some(&call.owner));
        records.push(record.finish());
    }
    for module in &found.hidden {
        let record = Building::new(hidden_kernel_module::EVENT_ID)
            .text(hidden_kernel_module::ADDRESS, module.address.map(hexadecimal).as_deref())
            .text(hidden_kernel_module::NAME, Some(&module.name))
            .text(hidden_kernel_module::SRCVERSION, module.src_version.as_deref());
        records.push(record.finish());
    }
    if !found.seq_ops.is_empty() {
        let record =
            Building::new(hooked_seq_ops::EVENT_ID).texts(hooked_seq_ops::HOOKED_SEQ_OPS, &found.seq_ops);
        records.push(record.finish());
    }
    if !found.file_ops.is_empty() {
        let record = Building::new(hooked_proc_fops::EVENT_ID)
            .texts(hooked_proc_fops::HOOKED_FOPS_POINTERS, &found.file_ops);
        records.push(record.finish());
    }
    for hook in &found.hooks {
        let record = Building::new(ftrace_hook::EVENT_ID)
            .text(ftrace_hook::SYMBOL, hook.symbol.as_deref())
            .text(ftrace_hook::TRAMPOLINE, hook.trampoline.as_deref())
            .text(ftrace_hook::CALLBACK, Some(&hook.callback))
            .number(ftrace_hook::CALLBACK_OFFSET, Some(hook.offset.cast_unsigned()))
            .text(ftrace_hook::CALLBACK_OWNER, Some(&hook.owner))
            .text(ftrace_hook::FLAGS, Some(&hook.flags).filter(|f| !f.is_empty()).map(String::as_str))
            .number(ftrace_hook::COUNT, hook.count);
        records.push(record.finish());
    }
    records
}

/// Memory that was asked for; none if it could not be read.
pub(crate) fn dump(symbol: &KernelSymbol<'_>, length: u32, bytes: Option<&[u8]>, turn: u64) -> Vec<u8> {
    let quality = if bytes.is_some() { Quality::Ok } else { Quality::Faulted };
    Building::new(print_mem_dump::EVENT_ID)
        .with(|r| r.put_bytes(index(print_mem_dump::BYTES), bytes.unwrap_or_default(), quality))
        .number(print_mem_dump::ADDRESS, Some(symbol.address))
        .number(print_mem_dump::LENGTH, Some(length.into()))
        .number(print_mem_dump::CALLER_CONTEXT_ID, Some(turn))
        .text(print_mem_dump::ARCH, Some(std::env::consts::ARCH))
        .text(print_mem_dump::SYMBOL_NAME, Some(symbol.name))
        .text(print_mem_dump::SYMBOL_OWNER, Some(symbol.module.unwrap_or("system")))
        .finish()
}

/// `init_namespaces`: the namespaces of process 1.
pub fn init_namespaces() -> Vec<u8> {
    let fields = [
        ("cgroup", namespaces::CGROUP),
        ("ipc", namespaces::IPC),
        ("mnt", namespaces::MNT),
        ("net", namespaces::NET),
        ("pid", namespaces::PID),
        ("pid_for_children", namespaces::PID_FOR_CHILDREN),
        ("time", namespaces::TIME),
        ("time_for_children", namespaces::TIME_FOR_CHILDREN),
        ("user", namespaces::USER),
        ("uts", namespaces::UTS),
    ];
    let mut record = Building::new(namespaces::EVENT_ID);
    for (name, field) in fields {
        if let Some(number) = namespace(name) {
            record = record.with(|r| r.put_u32(index(field), number));
        }
    }
    record.finish()
}

/// The number in a link like `net:[4026531840]`.
fn namespace(name: &str) -> Option<u32> {
    let link = fs::read_link(Path::new("/proc/1/ns").join(name)).ok()?;
    link.to_str()?.split_once('[')?.1.trim_end_matches(']').parse().ok()
}

/// `tarsius_info`.
pub fn info(version: &str) -> Vec<u8> {
    let boot = now(ClockId::Boottime);
    Building::new(tarsius_info::EVENT_ID)
        .number(tarsius_info::BOOT_TIME, Some(now(ClockId::Realtime).saturating_sub(boot)))
        .number(tarsius_info::START_TIME, Some(boot))
        .text(tarsius_info::VERSION, Some(version))
        .finish()
}
