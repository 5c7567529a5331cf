//! What the shared objects export that processes load.
//!
//! `shared_object_loaded` says which file was mapped. A thread of its own reads that very file, off the stream, and makes two events of it:
//! a watched symbol that it exports (`symbols_loaded`), and symbols that another object of the process exports too
//! (`symbols_collision`): of two, the loader binds to the first, so that a library can put itself before another.
//!
//! Nothing here grows without bound; an object that could not be looked into is counted, as an event may be missing then.

mod exports;
mod find;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use catalogue::fields::{sched_process_exec, shared_object_loaded, symbols_collision, symbols_loaded};
use event::Event;

pub use exports::{Error, Exports};
use worker::Worker;

/// Objects that may wait to be looked into.
const WAITING: usize = 4096;
/// Events of objects that may wait to be told; the thread waits while there are more.
const FOUND: usize = 256;
/// A file system may not answer: so long is waited for the last objects at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The events that come of it.
pub const EVENTS: [u16; 2] = [symbols_loaded::EVENT_ID, symbols_collision::EVENT_ID];

/// The events that [`Reader::observe`] looks at.
pub const OBSERVED: [u16; 2] = [shared_object_loaded::EVENT_ID, sched_process_exec::EVENT_ID];

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The numbers of the events wanted; others than [`EVENTS`] do not matter.
    pub events: Vec<u16>,
    /// The symbols that matter: without any, there is no `symbols_loaded`, and all matter to `symbols_collision`.
    pub symbols: BTreeSet<String>,
}

/// A process while it runs one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    pid: u32,
    start_time: u64,
    exec_id: u64,
}

impl Process {
    fn of(event: &Event<'_>) -> Self {
        let header = &event.header;
        Self { pid: header.pid, start_time: header.leader_start_time, exec_id: header.exec_id }
    }
}

enum Message {
    /// A record of `shared_object_loaded`.
    Loaded(Vec<u8>),
    /// It executes a program, and has loaded nothing yet.
    Began(Process),
}

/// The thread that looks into shared objects.
pub struct Reader {
    ask: Option<SyncSender<Message>>,
    found: Receiver<Vec<u8>>,
    /// Objects that are not looked into yet.
    waiting: Arc<AtomicU64>,
    unread: Arc<AtomicU64>,
}

impl Reader {
    /// Begins.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel(WAITING);
        let (tell, found) = sync_channel(FOUND);
        let (waiting, unread) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (still, missed) = (Arc::clone(&waiting), Arc::clone(&unread));
        std::thread::Builder::new().name("libraries".into()).spawn(move || {
            let mut worker = Worker::new(options);
            for message in asked {
                let records = match message {
                    Message::Began(process) => {
                        worker.began(process);
                        continue;
                    }
                    Message::Loaded(record) => worker.loaded(&record),
                };
                missed.fetch_add(worker.take_unread(), Ordering::Relaxed);
                if records.into_iter().any(|r| tell.send(r).is_err()) {
                    return;
                }
                still.fetch_sub(1, Ordering::Relaxed);
            }
        })?;
        Ok(Self { ask: Some(ask), found, waiting, unread })
    }

    /// Takes what an event says of loaded objects: one of [`OBSERVED`].
    pub fn observe(&self, event: &Event<'_>) {
        let message = match event.definition.id {
            shared_object_loaded::EVENT_ID => Message::Loaded(event.record().to_vec()),
            sched_process_exec::EVENT_ID => Message::Began(Process::of(event)),
            _ => return,
        };
        let Some(ask) = &self.ask else { return };
        let object = matches!(message, Message::Loaded(_));
        if object {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = ask.try_send(message)
            && object
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.unread.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was found since the last time, as records.
    pub fn records(&self) -> Vec<Vec<u8>> {
        self.found.try_iter().collect()
    }

    /// How many objects could not be looked into so far.
    pub fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    /// Looks into what waits, and ends; gives what was found since the last time.
    pub fn finish(&mut self) -> Vec<Vec<u8>> {
        self.ask = None;
        let mut records = vec![];
        loop {
            match self.found.recv_timeout(PATIENCE) {
                Ok(record) => records.push(record),
                Err(RecvTimeoutError::Disconnected) => return records,
                Err(RecvTimeoutError::Timeout) => {
                    // The thread ends with the program.
                    self.unread.fetch_add(self.waiting.swap(0, Ordering::Relaxed), Ordering::Relaxed);
                    return records;
                }
            }
        }
    }
}
