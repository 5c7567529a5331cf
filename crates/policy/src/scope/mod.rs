//! Whose events.

mod condition;
mod kernel;
mod parse;

#[cfg(test)]
mod tests;

use context::{Context, Mark, born};
use event::Event;
use sieve::{Alternative, Column};

use crate::Error;
use condition::{Condition, Subject};

pub use kernel::Trees;

/// Whose events are wanted: those that meet all of its conditions, and with `follow` those of their descendants.
///
/// # Trees
///
/// `tree` and `follow` go by marks. A mark is a bit of a process's word; a process that is made takes over the word of the
/// process that *makes* it, not of its parent, so that neither a parent's death nor `CLONE_PARENT` leads out of a tree.
/// [`Scope::begin`] marks the roots and all that descends from them already; `follow` marks a process that meets the conditions
/// then, or later as it executes something or makes another process, whatever becomes of it.
///
/// The kernel keeps the same words in its map `scope_tree`: by process id, written by the fork program
/// (child's = maker's), removed when the process ends, after the exit event was decided; and read from [`Scope::seeds`] at
/// the start. The two stay equal because the rule is the same and both see every fork. Between an attached fork program
/// and a written seed a child may be made that inherited nothing: so seeds are written, the rings drained, and seeds
/// written again, until a round brings none that is new. A map too full for a child is a loss that the kernel must count; a living
/// process that the table had no room for loses its marks here ([`Evictions::living`](context::Evictions::living)), but
/// for those that its parent has when it is learned again.
///
/// Whom a scope follows the kernel finds out for itself, at the same acts and before they end, as nothing that its process does afterwards may be
/// missed; but not all conditions can be known there, and of those it follows too many. Its own marks stand beside the words that were
/// written from here.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    conditions: Vec<Condition>,
    follow: Follow,
}

#[derive(Debug, Clone, Copy, Default)]
enum Follow {
    #[default]
    Off,
    /// Asked for; [`Scope::begin`] gives the mark.
    Asked,
    By(Mark),
}

impl Scope {
    /// Reads the values of `--scope`, which may be given several times; all must hold. Each is one of
    ///
    /// - `uid`, `pid`, `tid`, `mntns`, `pidns` with `=` or `!=` and numbers with commas, or with `<`, `<=`, `>`, `>=` and
    ///   one number. Pids are the host's, uids the real ones;
    /// - `pid=new`, `pid!=new`: the process started after Tarsius did;
    /// - `comm`, `exec` (or `executable`, `bin`, `binary`) with `=` or `!=` and texts with commas, in which `*` stands for
    ///   anything. The kernel cuts command names to 15 bytes, so a longer one is cut too;
    /// - `container`, `not-container`; `container=new`: made after Tarsius started; `container=` or `!=` and beginnings of
    ///   ids with commas;
    /// - `tree=` or `tree!=` and pids with commas: these processes and all that descends from them;
    /// - `follow`: also a process that met all the others at the start, or as it executed something or made a process, whatever it is since;
    ///   and what descends from it.
    ///
    /// What is not known (the identity of an event that nobody is known to have caused, a program whose path was not read)
    /// equals nothing: it meets no `=`, and every `!=`.
    ///
    /// # Errors
    ///
    /// Anything else, by flag, part and what is allowed.
    pub fn parse<S: AsRef<str>>(flags: &[S]) -> Result<Scope, Error> {
        let mut scope = Scope::default();
        for token in flags.iter().map(|f| f.as_ref().trim()) {
            match parse::condition(token)? {
                Some(condition) => scope.conditions.push(condition),
                None => scope.follow = Follow::Asked,
            }
        }
        Ok(scope)
    }

    /// Takes up the processes that run: finds the roots of trees and marks what descends from them, and what is to be
    /// followed. To be called once, when the processes alive at start are in the table; until then no process is in a tree.
    ///
    /// # Errors
    ///
    /// A root that does not run; more marks than there are.
    pub fn begin(&mut self, ctx: &mut Context) -> Result<(), Error> {
        for condition in &mut self.conditions {
            let Condition::Tree { roots, mark, .. } = condition else { continue };
            let claimed = ctx.processes.claim_mark().ok_or(Error::TooManyMarks)?;
            for &pid in roots.iter() {
                let root = ctx.processes.by_pid(pid).filter(|p| p.exit_time().is_none());
                root.ok_or(Error::NoSuchProcess { pid })?.mark(claimed);
            }
            ctx.processes.spread(claimed);
            *mark = Some(claimed);
        }
        if matches!(self.follow, Follow::Asked) {
            let mark = ctx.processes.claim_mark().ok_or(Error::TooManyMarks)?;
            for process in ctx.processes.iter().filter(|p| p.exit_time().is_none()) {
                if self.holds(&Subject::of_process(process, ctx)) {
                    process.mark(mark);
                }
            }
            ctx.processes.spread(mark);
            self.follow = Follow::By(mark);
        }
        Ok(())
    }

    /// Lets go of the processes that it has taken up: the end of [`Scope::begin`].
    pub fn end(&mut self, ctx: &mut Context) {
        for condition in &mut self.conditions {
            if let Condition::Tree { mark, .. } = condition
                && let Some(mark) = mark.take()
            {
                ctx.processes.release_mark(mark);
            }
        }
        if let Follow::By(mark) = self.follow {
            ctx.processes.release_mark(mark);
            self.follow = Follow::Asked;
        }
    }

    /// Whether the event is in scope: the whole truth. `ctx` must have observed the event.
    pub fn matches(&self, event: &Event<'_>, ctx: &Context) -> bool {
        if self.conditions.is_empty() || event.definition.always {
            return true;
        }
        let subject = Subject::of_event(event, ctx);
        let holds = self.holds(&subject);
        let Follow::By(mark) = self.follow else { return holds };
        let Some(process) = subject.process else { return holds };
        if holds && begins(event.definition.id) {
            process.mark(mark);
        }
        let followed = process.is_marked(mark);
        if followed && let Some(child) = born(event).and_then(|key| ctx.processes.get(key)) {
            // It was made before its maker was marked.
            child.mark(mark);
        }
        holds || followed
    }

    /// Whether it follows processes: then it must be asked of all events as which that may begin.
    pub fn follows(&self) -> bool {
        !matches!(self.follow, Follow::Off)
    }

    /// The trees that the kernel must look for. They are known from [`Scope::begin`] on.
    pub fn trees(&self) -> Trees {
        Trees::new(&self.conditions, self.follows())
    }

    /// What the kernel can decide of its conditions by the identity that an event carries: every event that meets them is so, but not only those.
    /// And whether only those are so. Which containers there are is known by `ctx`.
    pub fn sieve(&self, ctx: Option<&Context>) -> (Alternative, bool) {
        let mut all = (Alternative::default(), true);
        for condition in &self.conditions {
            match condition.column(ctx) {
                Some((column, values, exact)) => all = (all.0.with(column, values), all.1 && exact),
                None => all.1 = false,
            }
        }
        all
    }

    /// The events of those who are followed: with those of [`Scope::sieve`] all that are in scope. `None` without `follow`.
    pub fn followed(&self) -> Option<Alternative> {
        match self.follow {
            Follow::Off => None,
            Follow::Asked => Some(Alternative::default()),
            Follow::By(mark) => {
                let (column, values) = Column::followed(mark.word());
                Some(Alternative::default().with(column, values))
            }
        }
    }

    /// Has the kernel follow who meets the conditions, as that event happens to them. `None` if nobody is followed by it.
    pub fn following(&self, event: &catalogue::Event, ctx: &Context) -> Option<Alternative> {
        use catalogue::fields::sched_process_exec::{EVENT_ID, PATHNAME};
        let Follow::By(mark) = self.follow else { return None };
        if !begins(event.id) {
            return None;
        }
        let columns = self.conditions.iter().filter_map(|condition| condition.column(Some(ctx)));
        let way = columns.fold(Alternative::default(), |way, (column, values, _)| match column {
            // What is executed at this moment is not known as what the process runs.
            Column::Executable(kind) if event.id == EVENT_ID => {
                way.with(Column::field(u8::try_from(PATHNAME).unwrap_or(u8::MAX), kind), values)
            }
            _ => way.with(column, values),
        });
        Some(way.following(mark.word()))
    }

    /// Whether it asks in which container something is.
    pub(crate) fn asks_containers(&self) -> bool {
        self.conditions.iter().any(|c| {
            matches!(
                c,
                Condition::InContainer { .. }
                    | Condition::NewContainer { .. }
                    | Condition::ContainerIds { .. }
            )
        })
    }

    /// The words of processes that are in watched trees now, or followed, by process id: for the kernel's `scope_tree`.
    pub fn seeds(&self, ctx: &Context) -> Vec<(u32, u64)> {
        let followed = match self.follow {
            Follow::By(mark) => mark.word(),
            _ => 0,
        };
        let trees = self.conditions.iter().fold(followed, |word, c| match c {
            Condition::Tree { mark: Some(mark), .. } => word | mark.word(),
            _ => word,
        });
        let living = ctx.processes.iter().filter(|p| p.exit_time().is_none());
        living.map(|p| (p.key().pid, p.marks() & trees)).filter(|&(_, word)| word != 0).collect()
    }

    fn holds(&self, subject: &Subject<'_>) -> bool {
        self.conditions.iter().all(|c| c.holds(subject))
    }
}

/// Whether following may begin as that happens. All of these are told, whatever else is.
pub(crate) fn begins(event: u16) -> bool {
    use catalogue::fields::{sched_process_exec, sched_process_fork};
    [sched_process_exec::EVENT_ID, sched_process_fork::EVENT_ID].contains(&event)
}
