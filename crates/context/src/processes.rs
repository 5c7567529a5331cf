//! The table of processes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustc_hash::FxHashMap;

use crate::executable::Executable;
use crate::process::{Birth, Called, Mark, Process, ProcessKey, Sighting};

/// How many processes the table holds unless told otherwise: the kernel's default limit of pids.
pub const DEFAULT_PROCESSES: usize = 32_768;

/// How many processes left the table to make room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Of those that had exited.
    pub exited: u64,
    /// Of those that, as far as is known, live: the table is too small for this host, or exits were lost.
    pub living: u64,
}

/// Processes, the living and the recently dead, with their parents.
///
/// It holds a fixed number. A process that has exited stays, so that its children's chains are whole, until its place is
/// needed: the one that exited first goes first. When nothing has exited, one goes of which nothing was heard for long
/// (second chance: a hand passes over the table and takes the first that was not seen since it last passed).
#[derive(Debug)]
pub struct Processes {
    entries: Vec<Process>,
    index: FxHashMap<ProcessKey, usize>,
    /// Of each pid, the process that started last.
    by_pid: FxHashMap<u32, ProcessKey>,
    /// Places of exited processes, oldest exit first: each of them once.
    exited: VecDeque<usize>,
    capacity: usize,
    hand: usize,
    evictions: Evictions,
    marks_claimed: u64,
    /// When the last of those ended that are forgotten.
    forgotten: u64,
}

impl Default for Processes {
    fn default() -> Processes {
        Processes::new(DEFAULT_PROCESSES)
    }
}

impl Processes {
    /// An empty table for so many processes (at least one).
    pub fn new(capacity: usize) -> Processes {
        Processes {
            entries: Vec::new(),
            index: FxHashMap::default(),
            by_pid: FxHashMap::default(),
            exited: VecDeque::new(),
            capacity: capacity.max(1),
            hand: 0,
            evictions: Evictions::default(),
            marks_claimed: 0,
            forgotten: 0,
        }
    }

    /// The process of that key.
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.index.get(&key).and_then(|&at| self.entries.get(at))
    }

    /// The process that has that pid now, or else the one that had it last.
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.get(*self.by_pid.get(&pid)?)
    }

    /// All processes, in no order.
    pub fn iter(&self) -> std::slice::Iter<'_, Process> {
        self.entries.iter()
    }

    /// How many processes are in the table.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many processes left the table to make room.
    pub fn evictions(&self) -> Evictions {
        self.evictions
    }

    /// Whoever lived at that moment of the boot clock or later is in the table, unless its birth was lost, or it was counted as
    /// forgotten while it lived.
    pub fn whole_since(&self) -> u64 {
        self.forgotten
    }

    /// A process was seen. An unknown one is entered, with its parent as the kernel names it now; of a known one, what
    /// may change is refreshed, and its parent stays. Allocates nothing for a known process.
    pub fn seen(&mut self, s: &Sighting) {
        match self.get_mut(s.key) {
            Some(p) => {
                if s.exec_id > p.exec_id {
                    // It executes another program: which, is told next, or was lost.
                    p.replaced(s.exec_id);
                }
                p.uid = s.uid;
                p.cgroup = s.cgroup;
                p.mnt_ns = s.mnt_ns;
                p.pid_ns = s.pid_ns;
                if s.leader {
                    p.comm = s.comm;
                }
                p.recent = true;
            }
            None => {
                let marks = s.parent.and_then(|k| self.get(k)).map_or(0, Process::marks);
                self.insert(Process {
                    key: s.key,
                    parent: s.parent,
                    comm: s.comm,
                    executable: None,
                    called: None,
                    uid: s.uid,
                    cgroup: s.cgroup,
                    mnt_ns: s.mnt_ns,
                    pid_ns: s.pid_ns,
                    ns_pid: s.ns_pid,
                    exec_id: s.exec_id,
                    exit_time: None,
                    since: 0,
                    past: None,
                    marks: AtomicU64::new(marks),
                    recent: true,
                });
            }
        }
    }

    /// A known process was seen through a header that may be older than what is known: only that it is in use is noted;
    /// an unknown one is entered.
    pub fn glimpsed(&mut self, s: &Sighting) {
        match self.get_mut(s.key) {
            Some(p) => p.recent = true,
            None => self.seen(s),
        }
    }

    /// A process that was there before: its parent's key and its executable are read from the kernel's own structures.
    pub fn existing(&mut self, s: &Sighting, executable: Option<&[u8]>) {
        self.seen(s);
        if let Some(p) = self.get_mut(s.key) {
            // A fork or exec may have come before: what it told is at least as new.
            p.parent = p.parent.or(s.parent);
            if p.exec_id == s.exec_id {
                p.executable = p.executable.take().or_else(|| executable.map(Executable::at));
            }
        }
    }

    /// `creator` made a process. The child takes over what a fork copies: command name, program, user, marks.
    ///
    /// Marks go from the *creator*, not from the parent, so that `CLONE_PARENT` is no way out of a watched tree.
    pub fn fork(&mut self, creator: &Sighting, birth: &Birth) {
        self.seen(creator);
        let (executable, called, marks) = self
            .get(creator.key)
            .map_or((None, None, 0), |p| (p.executable.clone(), p.called.clone(), p.marks()));
        match self.get_mut(birth.key) {
            // Its own first event came before its creator's.
            Some(p) => {
                p.parent = birth.parent;
                p.marks.fetch_or(marks, std::sync::atomic::Ordering::Relaxed);
                if p.exec_id == creator.exec_id {
                    p.executable = p.executable.take().or(executable);
                    p.called = p.called.take().or(called);
                }
            }
            None => self.insert(Process {
                key: birth.key,
                parent: birth.parent,
                comm: creator.comm,
                executable,
                called,
                uid: creator.uid,
                cgroup: birth.cgroup,
                mnt_ns: creator.mnt_ns,
                pid_ns: birth.pid_ns,
                ns_pid: birth.ns_pid,
                exec_id: creator.exec_id,
                exit_time: None,
                since: birth.key.start_time,
                past: None,
                marks: AtomicU64::new(marks),
                recent: true,
            }),
        }
    }

    /// A process runs another program since that time, of that path if it is known.
    pub fn exec(&mut self, s: &Sighting, executable: Option<&[u8]>, time: u64) {
        self.seen(s);
        if let Some(p) = self.get_mut(s.key).filter(|p| p.exec_id == s.exec_id) {
            p.since = time;
            p.comm = s.comm;
            p.executable = executable.map(Executable::at);
        }
    }

    /// How the program was called that [`Processes::exec`] was told of.
    pub fn called(&mut self, s: &Sighting, called: Called) {
        if let Some(p) = self.get_mut(s.key).filter(|p| p.exec_id == s.exec_id) {
            p.called = Some(Arc::new(called));
        }
    }

    /// A process ended.
    pub fn exit(&mut self, s: &Sighting, time: u64) {
        self.seen(s);
        let Some(&at) = self.index.get(&s.key) else { return };
        let Some(p) = self.entries.get_mut(at) else { return };
        if p.exit_time.is_none() {
            p.exit_time = Some(time);
            self.exited.push_back(at);
        }
    }

    /// The ancestors of a process, the parent first, at most `max`. The last may be a process that the table does not
    /// hold: its key is known, no more. Reuse of a pid can not mislead it, for it goes by start times too.
    pub fn ancestors(&self, key: ProcessKey, max: usize) -> Ancestors<'_> {
        self.ancestors_of(Some(key), max)
    }

    /// [`Processes::ancestors`], none of nobody.
    pub fn ancestors_of(&self, key: Option<ProcessKey>, max: usize) -> Ancestors<'_> {
        let next = key.and_then(|k| self.get(k)).and_then(|p| p.parent);
        Ancestors { table: self, next, left: max }
    }

    /// A mark that nobody else uses; `None` when all 64 are taken.
    pub fn claim_mark(&mut self) -> Option<Mark> {
        let bit = self.marks_claimed.trailing_ones();
        let mark = 1u64.checked_shl(bit)?;
        self.marks_claimed |= mark;
        Some(Mark(mark))
    }

    /// Gives a mark back: no process carries it then, and it can be claimed again.
    pub fn release_mark(&mut self, mark: Mark) {
        self.marks_claimed &= !mark.0;
        self.entries.iter().for_each(|p| p.unmark(mark));
    }

    /// Puts a mark on every process that descends from one that carries it.
    pub fn spread(&self, mark: Mark) {
        for p in &self.entries {
            let marked = |a: Ancestor<'_>| a.process.is_some_and(|a| a.is_marked(mark));
            if !p.is_marked(mark) && self.ancestors(p.key, self.capacity).any(marked) {
                p.mark(mark);
            }
        }
    }

    fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        self.index.get(&key).and_then(|&at| self.entries.get_mut(at))
    }

    fn insert(&mut self, process: Process) {
        if self.entries.len() < self.capacity {
            self.index.insert(process.key, self.entries.len());
            self.has_pid(process.key);
            self.entries.push(process);
            return;
        }
        let at = self.victim();
        if let Some(place) = self.entries.get_mut(at) {
            self.index.remove(&place.key);
            if self.by_pid.get(&place.key.pid) == Some(&place.key) {
                self.by_pid.remove(&place.key.pid);
            }
            self.index.insert(process.key, at);
            let key = process.key;
            *place = process;
            self.has_pid(key);
        }
    }

    fn has_pid(&mut self, key: ProcessKey) {
        let newest = self.by_pid.entry(key.pid).or_insert(key);
        newest.start_time = newest.start_time.max(key.start_time);
    }

    fn victim(&mut self) -> usize {
        if let Some(at) = self.exited.pop_front() {
            self.evictions.exited += 1;
            let ended = self.entries.get(at).and_then(|p| p.exit_time);
            self.forgotten = self.forgotten.max(ended.unwrap_or_default());
            return at;
        }
        self.evictions.living += 1;
        loop {
            let at = self.hand;
            self.hand = (at + 1) % self.capacity;
            match self.entries.get_mut(at) {
                Some(p) if p.recent => p.recent = false,
                _ => return at,
            }
        }
    }
}

/// One step up from a process.
#[derive(Debug, Clone, Copy)]
pub struct Ancestor<'a> {
    /// Which process it is.
    pub key: ProcessKey,
    /// What is known of it, unless it was never seen or has left the table.
    pub process: Option<&'a Process>,
}

/// The ancestors of a process: see [`Processes::ancestors`].
#[derive(Debug, Clone)]
pub struct Ancestors<'a> {
    table: &'a Processes,
    next: Option<ProcessKey>,
    left: usize,
}

impl<'a> Iterator for Ancestors<'a> {
    type Item = Ancestor<'a>;

    fn next(&mut self) -> Option<Ancestor<'a>> {
        self.left = self.left.checked_sub(1)?;
        let key = self.next.take()?;
        let process = self.table.get(key);
        self.next = process.and_then(|p| p.parent);
        Some(Ancestor { key, process })
    }
}

#[cfg(test)]
mod tests;
