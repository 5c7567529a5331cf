//! One condition of a scope, and what it is asked of.

use context::{Container, Context, Mark, Process, comm_bytes};
use event::{Event, Origin};
use sieve::{Column, Head, Kind, Values};

use crate::pattern::Pattern;

/// A number that a scope can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Uid,
    Pid,
    Tid,
    MntNs,
    PidNs,
}

impl Number {
    const fn column(self) -> Column {
        Column::Head(match self {
            Number::Uid => Head::Uid,
            Number::Pid => Head::Pid,
            Number::Tid => Head::Tid,
            Number::MntNs => Head::MntNs,
            Number::PidNs => Head::PidNs,
        })
    }
}

/// A text that a scope can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Comm,
    Executable,
}

impl Text {
    /// Its columns, from its beginning and from its end, and whether the kernel always knows it.
    const fn columns(self) -> (Column, Column, bool) {
        match self {
            Text::Comm => (Column::Head(Head::Comm), Column::Head(Head::CommEnd), true),
            // It is told some time after the execution.
            Text::Executable => (Column::Executable(Kind::Start), Column::Executable(Kind::End), false),
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Numbers {
        of: Number,
        list: Vec<u32>,
        negate: bool,
    },
    /// From `low` to `high`, both included; nothing, if low is above high.
    Range {
        of: Number,
        low: u64,
        high: u64,
    },
    Texts {
        of: Text,
        list: Vec<Pattern>,
        negate: bool,
    },
    NewProcess {
        negate: bool,
    },
    InContainer {
        negate: bool,
    },
    NewContainer {
        negate: bool,
    },
    ContainerIds {
        list: Vec<String>,
        negate: bool,
    },
    Tree {
        roots: Vec<u32>,
        mark: Option<Mark>,
        negate: bool,
    },
}

/// Who is asked about: the task of an event, or a process of the table.
pub(super) struct Subject<'a> {
    /// `None` if it is not known who it is.
    identity: Option<Identity<'a>>,
    pub(super) process: Option<&'a Process>,
    container: Option<&'a Container>,
    /// The kernel found it in every tree that it must be in.
    in_tree: bool,
    started: u64,
}

struct Identity<'a> {
    uid: u32,
    pid: u32,
    tid: u32,
    mnt_ns: u32,
    pid_ns: u32,
    start_time: u64,
    comm: &'a [u8],
}

impl<'a> Subject<'a> {
    pub(super) fn of_event(event: &'a Event<'_>, ctx: &'a Context) -> Subject<'a> {
        let h = &event.header;
        let identity = (h.origin != Origin::Unknown).then(|| Identity {
            uid: h.uid,
            pid: h.pid,
            tid: h.tid,
            mnt_ns: h.mnt_ns,
            pid_ns: h.pid_ns,
            start_time: h.leader_start_time,
            comm: comm_bytes(&h.comm),
        });
        let container = identity.as_ref().and_then(|_| ctx.container(event));
        let (process, started) = (ctx.process(event), ctx.clock.started());
        Subject { identity, process, container, in_tree: h.flags.in_tree(), started }
    }

    pub(super) fn of_process(process: &'a Process, ctx: &'a Context) -> Subject<'a> {
        let identity = Some(Identity {
            uid: process.uid(),
            pid: process.key().pid,
            tid: process.key().pid,
            mnt_ns: process.mnt_ns(),
            pid_ns: process.pid_ns(),
            start_time: process.key().start_time,
            comm: process.comm(),
        });
        let container = ctx.containers.container(process.cgroup());
        Subject { identity, process: Some(process), container, in_tree: false, started: ctx.clock.started() }
    }

    fn number(&self, of: Number) -> Option<u32> {
        let who = self.identity.as_ref()?;
        Some(match of {
            Number::Uid => who.uid,
            Number::Pid => who.pid,
            Number::Tid => who.tid,
            Number::MntNs => who.mnt_ns,
            Number::PidNs => who.pid_ns,
        })
    }

    fn text(&self, of: Text) -> Option<&[u8]> {
        match of {
            Text::Comm => self.identity.as_ref().map(|who| who.comm),
            Text::Executable => self.process?.executable(),
        }
    }
}

impl Condition {
    /// What must be so of a column for it to hold, where there is one for it, and whether that is all.
    ///
    /// Of containers it is known by `ctx` which cgroups are theirs; of a cgroup that is made later nothing is, so that it may be any.
    pub(super) fn column(&self, ctx: Option<&Context>) -> Option<(Column, Values, bool)> {
        let signed = |values: Values, negate: &bool| if *negate { values.not() } else { values };
        match self {
            Condition::Numbers { of, list, negate } => {
                let column = of.column();
                let list: Vec<i128> = list.iter().map(|n| (*n).into()).collect();
                Some((column, signed(column.numbers(&list), negate), true))
            }
            Condition::Range { of, low, high } => {
                let column = of.column();
                Some((column, column.range((*low).into(), (*high).into()), true))
            }
            Condition::Texts { of, list, negate } if list.iter().all(|p| p.end().is_some()) => {
                let (_, column, exact) = of.columns();
                let ends: Option<Vec<Values>> =
                    list.iter().filter_map(Pattern::end).map(|end| column.part(end)).collect();
                let any = ends?.iter().fold(Values::all(false), |any, end| any.or(end));
                Some((column, signed(any, negate), exact))
            }
            Condition::Texts { of, list, negate } => {
                let (column, _, mut exact) = of.columns();
                let mut any = Values::all(false);
                for pattern in list {
                    exact &= pattern.exact().is_some() || pattern.start().is_some();
                    any = any.or(&match (pattern.exact(), pattern.start()) {
                        (Some(text), _) => column.whole(text)?,
                        (None, Some(start)) => column.part(start)?,
                        // Of the rest the kernel looks at the beginning, which says less.
                        (None, None) if *negate => continue,
                        (None, None) => column.part(pattern.literal())?,
                    });
                }
                Some((column, signed(any, negate), exact))
            }
            Condition::InContainer { .. }
            | Condition::NewContainer { .. }
            | Condition::ContainerIds { .. } => {
                let column = Column::Head(Head::Cgroup);
                let others = ctx?
                    .containers
                    .cgroups()
                    .filter(|(_, c)| self.of_container(c.container()) == Some(false));
                let others: Vec<i128> = others.map(|(id, _)| id.into()).collect();
                Some((column, column.numbers(&others).not(), false))
            }
            Condition::Tree { mark: Some(mark), negate, .. } => {
                let (column, within) = Column::in_tree(mark.word());
                Some((column, signed(within, negate), true))
            }
            _ => None,
        }
    }

    /// Whether it holds for what is in that container, or in none, if that is what it asks.
    fn of_container(&self, container: Option<&Container>) -> Option<bool> {
        match self {
            Condition::InContainer { negate } => Some(container.is_some() != *negate),
            Condition::NewContainer { negate } => Some(container.is_some_and(Container::is_new) != *negate),
            Condition::ContainerIds { list, negate } => {
                let id = container.map(Container::id);
                Some(
                    id.is_some_and(|id| list.iter().any(|prefix| id.starts_with(prefix.as_str()))) != *negate,
                )
            }
            _ => None,
        }
    }

    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Condition::Numbers { of, list, negate } => {
                subject.number(*of).is_some_and(|n| list.contains(&n)) != *negate
            }
            Condition::Range { of, low, high } => {
                subject.number(*of).is_some_and(|n| (*low..=*high).contains(&u64::from(n)))
            }
            Condition::Texts { of, list, negate } => {
                subject.text(*of).is_some_and(|t| list.iter().any(|p| p.matches(t))) != *negate
            }
            Condition::NewProcess { negate } => {
                subject.identity.as_ref().is_some_and(|who| who.start_time > subject.started) != *negate
            }
            Condition::InContainer { .. }
            | Condition::NewContainer { .. }
            | Condition::ContainerIds { .. } => self.of_container(subject.container) == Some(true),
            // The kernel's word counts: of a process whose birth was lost, or whose parent's, nothing is known here.
            Condition::Tree { negate: false, .. } if subject.in_tree => true,
            Condition::Tree { mark, negate, .. } => {
                let marked = |p: &Process| mark.is_some_and(|mark| p.is_marked(mark));
                subject.process.is_some_and(marked) != *negate
            }
        }
    }
}
