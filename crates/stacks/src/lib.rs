//! What the functions are called by which an event was caused.
//!
//! A record that has a user stack tells of each address which file was mapped there, by device, inode and change time, and which place
//! in it: the kernel looked that up at the time of the event. So what is left to do here can not blame an address on another file: the
//! very file is found, copied, and its symbols and debug information asked.
//!
//! That takes time, so a thread does it, from a bounded queue; each place in a file is asked for once, whichever process it was that came
//! by. A record whose names are not there yet waits for them, and those behind it with it, so that the order stays; but not for longer
//! than a moment ([`WAIT`]) and not with more than so many bytes: then it is told with the names that there are, which is counted.

mod elf;
mod find;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalogue::Quality;
use catalogue::fields::{sched_process_exec, shared_object_loaded};
use context::{Symbols, Unresolved};
use event::{Event, Place};
use hashes::FileId;
use rustc_hash::FxHashMap;

use worker::{Asked, Question, Worker};

/// How long a record waits for its names.
pub const WAIT: Duration = Duration::from_millis(500);
/// Bytes of records that wait.
const HELD: usize = 8 << 20;
/// Files whose paths are known from their execution or loading.
const PATHS: usize = 4096;

/// A record that waits, for itself or for those before it.
#[derive(Debug)]
struct Held {
    record: Vec<u8>,
    waits: Vec<Asked>,
    until: Instant,
}

/// Records on their way, and the symbols for which they wait.
#[derive(Debug)]
pub struct Stacks {
    worker: Worker,
    held: VecDeque<Held>,
    bytes: usize,
    /// For when the process is gone before it was looked at.
    paths: FxHashMap<FileId, Arc<[u8]>>,
    late: u64,
    unresolved: BTreeMap<Unresolved, u64>,
}

/// The file that a place is in.
fn file_of(place: &Place) -> FileId {
    FileId { dev: place.dev, inode: place.inode, ctime: place.ctime }
}

impl Stacks {
    /// Starts the thread that reads files.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread.
    pub fn start() -> std::io::Result<Stacks> {
        Ok(Stacks {
            worker: Worker::start()?,
            held: VecDeque::new(),
            bytes: 0,
            paths: FxHashMap::default(),
            late: 0,
            unresolved: BTreeMap::new(),
        })
    }

    /// Whether a record may go on at once. If not, it is kept, and [`Stacks::next`] gives it back in its turn. Names are asked for only of
    /// events that are `shown`.
    pub fn pass(&mut self, record: &[u8], shown: impl Fn(u16) -> bool, symbols: &mut Symbols) -> bool {
        let mut waits = vec![];
        if let Ok(event) = Event::decode(record) {
            self.note_path(&event);
            if shown(event.definition.id) {
                waits = self.ask(&event, symbols);
            }
        }
        if self.held.is_empty() && waits.is_empty() {
            return true;
        }
        self.bytes += record.len();
        self.held.push_back(Held { record: record.to_vec(), waits, until: Instant::now() + WAIT });
        false
    }

    /// Has the names found that are not known; gives the places for which the event waits.
    fn ask(&mut self, event: &Event<'_>, symbols: &mut Symbols) -> Vec<Asked> {
        let Some(stack) = event.user_stack() else { return vec![] };
        let mut waits = vec![];
        let mut questions: Vec<Question> = vec![];
        for frame in stack.frames() {
            let Some(place) = frame.place() else { continue };
            // Another process may lead to a file that was not found before.
            match symbols.touch(&place).map(|s| &s.function) {
                None | Some(Err(Unresolved::Gone)) => {}
                Some(_) => continue,
            }
            let asked = (place, event.header.pid);
            if waits.contains(&asked) {
                continue;
            }
            waits.push(asked);
            if self.worker.is_asked(&asked) {
                continue;
            }
            let file = file_of(&place);
            match questions.iter_mut().find(|q| q.file == file) {
                Some(question) => question.places.push(place),
                None => questions.push(Question {
                    file,
                    places: vec![place],
                    address: frame.address,
                    pid: event.header.pid,
                    parent: event.header.ppid,
                    path: self.paths.get(&file).map(Arc::clone),
                }),
            }
        }
        // That too many are asked for at once is no reason to wait as well.
        if questions.into_iter().all(|question| self.worker.ask(question)) {
            return waits;
        }
        self.late += 1;
        vec![]
    }

    /// Remembers where a file is that is executed or loaded.
    fn note_path(&mut self, event: &Event<'_>) {
        if ![sched_process_exec::EVENT_ID, shared_object_loaded::EVENT_ID].contains(&event.definition.id) {
            return;
        }
        let number = |name| event.field_by_name(name)?.value?.as_u64();
        let path = event.field_by_name("pathname").filter(|p| p.quality == Quality::Ok);
        if let Some(path) = path.and_then(|p| p.value?.as_bytes())
            && let (Some(dev), Some(inode), Some(ctime)) = (number("dev"), number("inode"), number("ctime"))
            && let Ok(dev) = u32::try_from(dev)
        {
            if self.paths.len() >= PATHS {
                self.paths.clear();
            }
            self.paths.entry(FileId { dev, inode, ctime }).or_insert_with(|| path.into());
        }
    }

    /// Takes in what was found since the last time.
    pub fn learn(&mut self, symbols: &mut Symbols) {
        for ((place, _), symbol) in self.worker.answers() {
            if let Err(reason) = symbol.function {
                *self.unresolved.entry(reason).or_default() += 1;
                // Another process led to it meanwhile.
                if reason == Unresolved::Gone && symbols.get(&place).is_some() {
                    continue;
                }
            }
            symbols.put(place, symbol);
        }
    }

    /// The next record that waits for nothing any more.
    pub fn next(&mut self, symbols: &Symbols) -> Option<Vec<u8>> {
        let first = self.held.front_mut()?;
        first.waits.retain(|asked| self.worker.is_asked(asked));
        if !first.waits.is_empty() && self.bytes <= HELD && Instant::now() < first.until {
            return None;
        }
        let first = self.held.pop_front()?;
        self.bytes -= first.record.len();
        if first.waits.iter().any(|(place, _)| symbols.get(place).is_none()) {
            self.late += 1;
        }
        Some(first.record)
    }

    /// Whether records wait.
    pub fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    /// Events that were told without names which came too late, or that were too many to ask for.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// For how many places in files there was no name, and why.
    pub fn unresolved(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.unresolved.iter().map(|(reason, count)| (reason.name(), *count))
    }
}
