//! Whether the kernel is what it was built to be.
//!
//! Rootkits change what the kernel does: entries of its tables of system calls, operations of files, hooks by ftrace; and hide the module
//! that did. What they changed stands in the kernel's memory, which a BPF program reads on request (`memory`). The checks run in a thread of
//! their own: at start, every so often, and when told that a module came. What they find is told once, as records of the stream.
//!
//! A kernel that is rightly so must never be accused. It changes while it is looked at; so what a look finds is looked for again, with all that
//! it was judged by read anew, and told only if it is there both times.

mod calls;
mod ftrace;
mod layout;
mod memory;
mod modules;
mod proc;
mod record;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use catalogue::Event;
use catalogue::fields::{
    ftrace_hook, hidden_kernel_module, hooked_proc_fops, hooked_seq_ops, hooked_syscall, print_mem_dump,
};

use context::KernelSymbols;
use layout::Layout;
use memory::Memory;
use modules::{Owners, Tree};
pub use record::{info, init_namespaces};

/// How often is looked without a cause.
const OFTEN: Duration = Duration::from_secs(10);
/// A module has begun to load: by then it has done what it does first.
const SETTLED: Duration = Duration::from_millis(200);

/// The events that come of looking.
pub const LOOKED_FOR: [u16; 6] = [
    hooked_syscall::EVENT_ID,
    hidden_kernel_module::EVENT_ID,
    hooked_seq_ops::EVENT_ID,
    hooked_proc_fops::EVENT_ID,
    ftrace_hook::EVENT_ID,
    print_mem_dump::EVENT_ID,
];

/// A symbol whose memory is to be shown, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The symbol.
    pub symbol: String,
    /// Bytes.
    pub length: u32,
}

impl std::str::FromStr for Dump {
    type Err = String;

    /// `SYMBOL` or `SYMBOL:BYTES`; without a length 256 bytes, at most 4096.
    fn from_str(text: &str) -> Result<Self, String> {
        let (symbol, length) = match text.split_once(':') {
            Some((symbol, length)) => (symbol, length.parse().map_err(|e| format!("'{length}': {e}"))?),
            None => (text, 256),
        };
        if symbol.is_empty() || !(1..=4096).contains(&length) {
            return Err("a symbol, and a length of 1 to 4096 bytes: commit_creds:64".into());
        }
        Ok(Self { symbol: symbol.into(), length })
    }
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The numbers of the events wanted; others than [`LOOKED_FOR`] do not matter.
    pub events: Vec<u16>,
    /// Where the file system of the tracepoints is mounted.
    pub tracefs: Option<PathBuf>,
    /// KernelSymbols to show.
    pub dumps: Vec<Dump>,
}

/// Everything that the kernel is looked at with; what is not to be had says why.
struct Tools {
    options: Options,
    memory: Result<Memory, String>,
    layout: Result<Layout, String>,
}

/// What one look found.
#[derive(Default)]
struct Found {
    calls: BTreeSet<calls::HookedCall>,
    hidden: BTreeSet<record::HiddenModule>,
    seq_ops: BTreeSet<String>,
    file_ops: BTreeSet<String>,
    hooks: BTreeSet<ftrace::Hook>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.calls.is_empty()
            && self.hidden.is_empty()
            && self.seq_ops.is_empty()
            && self.file_ops.is_empty()
            && self.hooks.is_empty()
    }

    fn both(&self, other: &Self) -> Self {
        Self {
            calls: &self.calls & &other.calls,
            hidden: &self.hidden & &other.hidden,
            seq_ops: &self.seq_ops & &other.seq_ops,
            file_ops: &self.file_ops & &other.file_ops,
            hooks: &self.hooks & &other.hooks,
        }
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            calls: &self.calls - &other.calls,
            hidden: &self.hidden - &other.hidden,
            seq_ops: &self.seq_ops - &other.seq_ops,
            file_ops: &self.file_ops - &other.file_ops,
            hooks: &self.hooks - &other.hooks,
        }
    }
}

/// Which events can not be had here, and why.
type Missing = Vec<(&'static str, String)>;

impl Tools {
    fn new(options: Options) -> Self {
        let memory = Memory::new().map_err(|e| format!("reading the kernel's memory: {e}"));
        Self { options, memory, layout: Layout::new() }
    }

    fn wants(&self, event: u16) -> bool {
        self.options.events.contains(&event)
    }

    /// One look, by those symbols.
    fn look(&self, symbols: &Result<KernelSymbols, String>) -> (Found, Missing) {
        let mut found = Found::default();
        let mut missing = vec![];
        let memory = self.memory.as_ref().map_err(String::clone);
        let layout = self.layout.as_ref().map_err(String::clone);
        let symbols = symbols.as_ref().map_err(String::clone);
        let tree = layout.clone().and_then(|l| Tree::new(l, symbols.clone()?));
        let modules = memory.clone().ok().zip(tree.as_ref().ok());
        let owners = symbols.clone().and_then(|s| Owners::new(s, modules));
        let owners = owners.as_ref().map_err(String::clone);
        let mut attempt = |event: &'static str, result: Result<(), String>| {
            if let Err(why) = result {
                missing.push((event, why));
            }
        };
        if self.wants(hooked_syscall::EVENT_ID) {
            let calls = || calls::hooked(memory.clone()?, symbols.clone()?, owners.clone()?);
            attempt("hooked_syscall", calls().map(|c| found.calls.extend(c)));
        }
        if self.wants(hidden_kernel_module::EVENT_ID) {
            let hidden = modules::hidden(modules);
            found.hidden.extend(
                hidden.into_iter().map(|(name, (address, src_version))| record::HiddenModule {
                    name,
                    address,
                    src_version,
                }),
            );
        }
        if self.wants(hooked_seq_ops::EVENT_ID) || self.wants(hooked_proc_fops::EVENT_ID) {
            let hooked = || {
                proc::Proc::new(layout.clone()?)?.hooked(memory.clone()?, symbols.clone()?, owners.clone()?)
            };
            let hooked = hooked().map(|h| {
                found.seq_ops = h.seq_ops;
                found.file_ops = h.file_ops;
            });
            for (event, name) in [
                (hooked_seq_ops::EVENT_ID, "hooked_seq_ops"),
                (hooked_proc_fops::EVENT_ID, "hooked_proc_fops"),
            ] {
                if self.wants(event) {
                    attempt(name, hooked.clone());
                }
            }
        }
        if self.wants(ftrace_hook::EVENT_ID) {
            let tracefs = self.options.tracefs.as_ref().ok_or("tracefs is not mounted".to_string());
            let mut hooks = tracefs.and_then(|t| ftrace::enabled(t));
            let users = || {
                let users = ftrace::Users::new(layout.clone()?, symbols.clone()?)?;
                Ok::<_, String>(users.foreign(memory.clone()?, symbols.clone()?, owners.clone()?))
            };
            match (&mut hooks, users()) {
                // Of those that the file names too it tells more.
                (Ok(hooks), Ok(users)) => {
                    let told: Vec<String> = hooks.iter().map(|h| h.callback.clone()).collect();
                    hooks.extend(users.into_iter().filter(|u| !told.contains(&u.callback)));
                }
                (Err(_), Ok(users)) => hooks = Ok(users),
                (_, Err(_)) => {}
            }
            attempt("ftrace_hook", hooks.map(|h| found.hooks.extend(h)));
        }
        (found, missing)
    }

    /// A look whose findings were confirmed by a second one.
    fn look_twice(&self, symbols: &mut Option<Result<KernelSymbols, String>>) -> (Found, Missing) {
        let (first, missing) = self.look(symbols.get_or_insert_with(KernelSymbols::read));
        if first.is_empty() {
            return (first, missing);
        }
        let (second, missing) = self.look(symbols.insert(KernelSymbols::read()));
        (first.both(&second), missing)
    }

    fn dumps(&self, symbols: &Result<KernelSymbols, String>, time: u64) -> Result<Vec<Vec<u8>>, String> {
        let symbols = symbols.as_ref().map_err(String::clone)?;
        let memory = self.memory.as_ref().map_err(String::clone)?;
        let dump = |dump: &Dump| {
            let symbol =
                symbols.find(&dump.symbol).ok_or_else(|| format!("/proc/kallsyms has no {}", dump.symbol))?;
            let bytes = memory.bytes(symbol.address, dump.length as usize).ok();
            Ok(record::dump(&symbol, dump.length, bytes.as_deref(), time))
        };
        self.options.dumps.iter().map(dump).collect()
    }
}

#[derive(PartialEq, Eq)]
enum Message {
    /// A module has begun to load.
    Look,
    End,
}

/// The thread that looks.
pub struct Checker {
    ask: Sender<Message>,
    found: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
    missing: Missing,
}

impl Checker {
    /// Looks once, to know what can be looked for, and goes on in a thread.
    pub fn start(options: Options) -> Self {
        let (ask, asked) = channel();
        let (tell, found) = channel();
        let (first, ready) = channel();
        let body = move || run(&Tools::new(options), &asked, &tell, &first);
        let thread = std::thread::Builder::new().name("integrity".into()).spawn(body);
        let missing = match thread {
            Ok(_) => ready.recv().unwrap_or_default(),
            Err(ref e) => vec![("integrity", format!("no thread: {e}"))],
        };
        Self { ask, found, thread: thread.ok(), missing }
    }

    /// Events that can not be had here, each with why.
    pub fn missing(&self) -> &[(&'static str, String)] {
        &self.missing
    }

    /// A module has begun to load.
    pub fn module_came(&self) {
        // The thread is there until it is told to end.
        let _ = self.ask.send(Message::Look);
    }

    /// What was found since the last time, as records.
    pub fn records(&self) -> Vec<Vec<u8>> {
        self.found.try_iter().collect()
    }

    /// Looks a last time and ends; gives what was found since the last time.
    pub fn finish(&mut self) -> Vec<Vec<u8>> {
        let _ = self.ask.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.records()
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.finish();
    }
}

fn run(tools: &Tools, asked: &Receiver<Message>, tell: &Sender<Vec<u8>>, first: &Sender<Missing>) {
    let mut symbols = None;
    let mut told = Found::default();
    let (mut dumps, mut dump, mut end) = (0, true, false);
    loop {
        let (found, mut missing) = tools.look_twice(&mut symbols);
        // What is gone and comes again is told again.
        let new = found.without(&told);
        told = found;
        let mut records = record::records(&new);
        if dump && tools.wants(print_mem_dump::EVENT_ID) {
            dumps += 1;
            match tools.dumps(symbols.get_or_insert_with(KernelSymbols::read), dumps) {
                Ok(bytes) if bytes.is_empty() => {
                    missing.push(("print_mem_dump", "no --dump names a symbol".into()));
                }
                Ok(bytes) => records.extend(bytes),
                Err(why) => missing.push(("print_mem_dump", why)),
            }
        }
        if records.into_iter().any(|r| tell.send(r).is_err()) {
            return;
        }
        // Only the first answer is waited for.
        let _ = first.send(missing);
        if end {
            return;
        }
        let mut message = asked.recv_timeout(OFTEN);
        dump = matches!(message, Ok(Message::Look));
        if dump {
            std::thread::sleep(SETTLED);
        }
        while let Ok(heard) = message {
            end |= matches!(heard, Message::End);
            // There may be other symbols by now.
            symbols = None;
            // One look is for all that came.
            message = asked.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if message.is_err_and(|e| e == RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn definition(id: u16) -> Option<&'static Event> {
    catalogue::event_by_id(id)
}
