//! What the catalogue says about each program.

use std::fmt;

/// An isolated path from probe to reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Fork, exec, exit, credentials, namespaces, cgroups: later attribution depends on it.
    Life,
    /// Everything else in process context.
    Task,
    /// Packets and socket state, in softirq or task context.
    Net,
    /// Captured bytes.
    Bulk,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 4] = [Self::Life, Self::Task, Self::Net, Self::Bulk];

    /// The lane's name, which with an underscore is the prefix of its maps.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Task => "task",
            Self::Net => "net",
            Self::Bulk => "bulk",
        }
    }

    /// The lane that a map belongs to by its name, if any.
    #[must_use]
    pub fn of_map(name: &str) -> Option<Self> {
        let (prefix, _) = name.split_once('_')?;
        Self::ALL.into_iter().find(|lane| lane.name() == prefix)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A context in which a hook can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// On behalf of the current task.
    Task,
    /// In a softirq, on top of whichever task the CPU was running.
    Softirq,
    /// In a hardware interrupt.
    Hardirq,
    /// In a non-maskable interrupt.
    Nmi,
    /// Whatever the caller was in: nothing may be assumed.
    Any,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "task",
            Self::Softirq => "softirq",
            Self::Hardirq => "hardirq",
            Self::Nmi => "nmi",
            Self::Any => "any",
        })
    }
}

/// One program as the catalogue declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program<'a> {
    /// The name of its C function.
    pub name: &'a str,
    /// The lane whose maps it may reach.
    pub lane: Lane,
    /// Every context in which its hook can run.
    pub contexts: &'a [Context],
    /// Whether it builds a record, and so claims a slot.
    pub needs_slot: bool,
    /// Whether it keeps `scope_tree`.
    pub writes_scope: bool,
}
