//! SHA-256 of executed files.
//!
//! The file that is hashed must be the one that ran, not one that has its name by now. So it is taken through the kernel's reference
//! (`/proc/PID/exe`) while the process lives, by its path otherwise, and is hashed only if its device, inode number and change time
//! are those of the execution, before and after it is read.
//!
//! Reading takes time, so a few workers do it beside the stream, from a bounded queue. A file is hashed once for as long as it stays
//! what it was, and whoever runs it shares the result: [`FileHash`].

mod file;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use context::{FileHash, Sha256};
use rustc_hash::FxHashMap;

pub use file::{Exact, FileId, digest, is_inode};
pub use sha2::Digest;

/// Threads that read files. One that a file system never answers is lost; the others go on.
const WORKERS: usize = 2;
/// Files that wait for their turn; for those beyond there is no hash.
const QUEUE: usize = 1024;
/// Files whose hashes are kept.
const KEPT: usize = 4096;

/// An execution whose file is to be hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution<T> {
    /// The file.
    pub file: FileId,
    /// Its path as the kernel tells it, for when the process is gone.
    pub path: PathBuf,
    /// The process.
    pub pid: u32,
    /// Its parent, which likely sees the same files.
    pub parent: u32,
    /// Whatever the caller wants to have back with the result.
    pub with: T,
}

/// Hashes files.
#[derive(Debug)]
pub struct Hashes<T> {
    jobs: SyncSender<(Execution<T>, Arc<FileHash>)>,
    done: Receiver<(T, Arc<FileHash>)>,
    full: Sender<(T, Arc<FileHash>)>,
    /// By file; the oldest go first.
    known: FxHashMap<FileId, Arc<FileHash>>,
    order: VecDeque<FileId>,
    keep: bool,
}

impl<T: Send + 'static> Hashes<T> {
    /// Starts the workers. With `keep`, a file that did not change is hashed once.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread.
    pub fn start(keep: bool) -> std::io::Result<Hashes<T>> {
        let (jobs, waiting) = sync_channel::<(Execution<T>, Arc<FileHash>)>(QUEUE);
        let (report, done) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WORKERS {
            let (waiting, report) = (Arc::clone(&waiting), report.clone());
            std::thread::Builder::new().name("hashes".into()).spawn(move || {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((execution, hash)) = next() {
                    let Execution { file, pid, parent, path, .. } = &execution;
                    let digest = file::digest::<sha2::Sha256>(file, *pid, *parent, path);
                    hash.set(digest.map(|d| Sha256(d.into())));
                    // Nobody wants to know any more when the receiver is gone.
                    let _ = report.send((execution.with, hash));
                }
            })?;
        }
        Ok(Hashes { jobs, done, full: report, known: FxHashMap::default(), order: VecDeque::new(), keep })
    }

    /// Where the hash of an executed file is, or will be. Does not wait.
    pub fn of(&mut self, execution: Execution<T>) -> Arc<FileHash> {
        if let Some(known) = self.known.get(&execution.file).filter(|h| self.keep && !h.failed()) {
            return Arc::clone(known);
        }
        let hash = Arc::new(FileHash::default());
        if self.known.insert(execution.file, Arc::clone(&hash)).is_none() {
            self.order.push_back(execution.file);
            if self.order.len() > KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        if let Err(refused) = self.jobs.try_send((execution, Arc::clone(&hash))) {
            let (execution, _) = match refused {
                std::sync::mpsc::TrySendError::Full(job)
                | std::sync::mpsc::TrySendError::Disconnected(job) => job,
            };
            hash.set(None);
            // Our own receiver is there.
            let _ = self.full.send((execution.with, Arc::clone(&hash)));
        }
        hash
    }

    /// What was hashed, or could not be, since this was last called. Does not wait.
    pub fn done(&self) -> impl Iterator<Item = (T, Arc<FileHash>)> {
        self.done.try_iter()
    }
}

#[cfg(test)]
mod tests;
