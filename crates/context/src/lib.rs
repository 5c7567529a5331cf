//! Who did it: the process with its ancestors, the container, the host.
//!
//! [`Context::observe`] is fed every event, in the order of their times and before anything is asked about it. It learns
//! processes from their births, executions and ends, and what it missed from the header that every event has; cgroups
//! and so containers from a walk at start and from their making and removal. Time here is the events' boot clock.
//!
//! Processes go by [`ProcessKey`]: pid and start time. So the reuse of a pid can not blame an event on another process.

mod clock;
mod container_path;
mod containers;
mod dns;
mod error;
mod executable;
mod hierarchy;
mod kernel_symbols;
mod names;
mod observe;
mod process;
mod processes;
mod symbols;
mod users;
mod who;

pub use clock::{BootId, Clock, unique_id};
pub use container_path::{Runtime, container_of};
pub use containers::{Cgroup, Change, Container, Containers, DEFAULT_CGROUPS};
pub use dns::Dns;
pub use error::Error;
pub use executable::{Executable, FileHash, FileOwner, Owner, Package, Sha256};
pub use hierarchy::{Hierarchy, choose_hierarchy};
pub use kernel_symbols::{KernelSymbol, KernelSymbols};
pub use names::{LABEL_BYTES, LABELS, Labels, NAME_BYTES, Names, Pod};
pub use observe::{born, process_of};
pub use process::{Birth, COMM_BYTES, Called, Mark, Process, ProcessKey, Program, Sighting, comm_bytes};
pub use processes::{Ancestor, Ancestors, DEFAULT_PROCESSES, Evictions, Processes};
pub use symbols::{Function, Symbol, Symbols, Unresolved};
pub use users::Users;

use std::sync::{Arc, LazyLock};

use catalogue::fields::{do_init_module, module_free, module_load, net_packet_dns_response};
use event::Event;

/// How many ancestors an event is written with unless told otherwise.
pub const DEFAULT_ANCESTORS: usize = 16;

fn unread() -> LazyLock<Option<KernelSymbols>> {
    LazyLock::new(|| KernelSymbols::read().ok())
}

/// Processes, containers and host, joined.
#[derive(Debug)]
pub struct Context {
    /// The processes.
    pub processes: Processes,
    /// The cgroups and their containers.
    pub containers: Containers,
    /// The host and its clocks.
    pub clock: Clock,
    /// The host's users.
    pub users: Users,
    /// What addresses were called when they were resolved.
    pub dns: Dns,
    /// What the functions of user stacks are called.
    pub symbols: Symbols,
    /// The kernel's symbols, read when they are first asked for; none where the kernel does not show them.
    pub kernel_symbols: LazyLock<Option<KernelSymbols>>,
    /// How many ancestors an event is written with.
    pub max_ancestors: usize,
    /// Names of the policies that the event at hand has matched: they stand in its line, beside who did it.
    pub matched: Vec<Arc<str>>,
    /// What these did beside telling it.
    pub done: Vec<Done>,
}

/// What policies did, or would have done, beside telling an event: an action, and who has done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// `alert`, `kill`, `deny`.
    pub action: &'static str,
    /// `kernel`: before who acted could go on; `user_space`: afterwards; `monitor`: nobody, as the policy only monitors; `failed`: nobody, see
    /// `enforcement_failed`.
    pub by: &'static str,
}

impl Context {
    /// This host's, with tables of the default sizes.
    ///
    /// # Errors
    ///
    /// The boot id or the cgroup hierarchy can not be read.
    pub fn new() -> Result<Context, Error> {
        let context = Context::with(Processes::default(), Containers::new()?, Clock::new()?);
        Ok(Context { users: Users::new(), ..context })
    }

    /// Of these parts, and with no users.
    pub fn with(processes: Processes, containers: Containers, clock: Clock) -> Context {
        Context {
            processes,
            containers,
            clock,
            users: Users::default(),
            dns: Dns::default(),
            symbols: Symbols::default(),
            kernel_symbols: unread(),
            max_ancestors: DEFAULT_ANCESTORS,
            matched: vec![],
            done: vec![],
        }
    }

    /// Learns what an event tells; gives the container that came or went with it. Allocates nothing but for new processes,
    /// cgroups, programs executed, and names resolved.
    pub fn observe(&mut self, event: &Event<'_>) -> Option<Change> {
        match event.definition.id {
            net_packet_dns_response::EVENT_ID => self.dns.learn(event),
            do_init_module::EVENT_ID | module_load::EVENT_ID | module_free::EVENT_ID => {
                self.kernel_symbols = unread();
            }
            _ => {}
        }
        observe::observe(&mut self.processes, &mut self.containers, event)
    }

    /// The process of an event.
    pub fn process(&self, event: &Event<'_>) -> Option<&Process> {
        self.processes.get(process_of(&event.header)?)
    }

    /// Path of the program that the event's process runs, after the event.
    pub fn executable(&self, event: &Event<'_>) -> Option<&[u8]> {
        self.process(event)?.executable()
    }

    /// The container that the event's task was in.
    pub fn container(&self, event: &Event<'_>) -> Option<&Container> {
        self.containers.container(event.header.cgroup)
    }

    /// The ancestors of the event's process, the parent first, at most `max`.
    pub fn ancestors(&self, event: &Event<'_>, max: usize) -> Ancestors<'_> {
        self.processes.ancestors_of(process_of(&event.header), max)
    }
}
