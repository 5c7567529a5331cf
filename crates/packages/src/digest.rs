//! Digests of files, as packages have them, and whether the file that ran has the one that it should have.
//!
//! The file is the one that ran, not one that has its name by now: see [`hashes::digest`]. Reading takes time, so a few threads do it beside
//! the stream, from a bounded queue, once for each file for as long as it stays what it was.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use context::FileOwner;
use hashes::FileId;
use rustc_hash::FxHashMap;

use crate::Execution;

/// Threads that read files.
const WORKERS: usize = 2;
/// Files that wait for their turn.
const QUEUE: usize = 1024;
/// Files whose digests are kept.
const KEPT: usize = 4096;

/// How a digest was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    Md5,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// Hexadecimal digits of a digest.
    fn digits(self) -> usize {
        match self {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 => 64,
            Algorithm::Sha384 => 96,
            Algorithm::Sha512 => 128,
        }
    }

    /// The digest of the file of an execution, in hexadecimal; `None` if it is not found, or not the same any more.
    fn of(self, file: &FileId, execution: &Execution) -> Option<String> {
        fn digest<D: hashes::Digest>(file: &FileId, execution: &Execution) -> Option<String> {
            let ([pid, parent], path) = (execution.pids, Path::new(OsStr::from_bytes(&execution.path)));
            let digest = hashes::digest::<D>(file, pid, parent, path)?;
            Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        match self {
            Algorithm::Md5 => digest::<md5::Md5>(file, execution),
            Algorithm::Sha256 => digest::<sha2::Sha256>(file, execution),
            Algorithm::Sha384 => digest::<sha2::Sha384>(file, execution),
            Algorithm::Sha512 => digest::<sha2::Sha512>(file, execution),
        }
    }
}

/// What is kept of a digest: a sum of 64 bits, by a key that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum(NonZeroU64);

/// The digest that a package says that a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) algorithm: Algorithm,
    pub(crate) sum: Sum,
}

/// The key of all sums. Clones give the same sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key(pub(crate) RandomState);

impl Key {
    /// The sum of a digest in hexadecimal; `None` if it is not one of that algorithm.
    pub(crate) fn sum(&self, algorithm: Algorithm, digest: &[u8]) -> Option<Sum> {
        let is_one = digest.len() == algorithm.digits() && digest.iter().all(u8::is_ascii_hexdigit);
        let sum = || self.0.hash_one(digest.to_ascii_lowercase());
        is_one.then(|| Sum(NonZeroU64::new(sum()).unwrap_or(NonZeroU64::MIN)))
    }
}

/// A question: whether the file of an execution is what its package brought.
type Question = (FileId, Execution, Expected, Arc<FileOwner>);

/// Compares files with what their packages say of them.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    ask: SyncSender<Question>,
    known: Arc<Mutex<Known>>,
    refused: Arc<AtomicU64>,
}

/// Digests of files that were read; the oldest go first.
#[derive(Debug, Default)]
struct Known {
    sums: FxHashMap<(FileId, Algorithm), Sum>,
    order: VecDeque<(FileId, Algorithm)>,
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Digests {
    /// Starts the threads, which end with the last clone.
    pub(crate) fn start(key: &Key) -> std::io::Result<Digests> {
        let (ask, asked) = sync_channel(QUEUE);
        let (asked, known) = (Arc::new(Mutex::new(asked)), Arc::<Mutex<Known>>::default());
        for _ in 0..WORKERS {
            let (key, asked, known) = (key.clone(), Arc::clone(&asked), Arc::clone(&known));
            std::thread::Builder::new().name("digests".into()).spawn(move || work(&key, &asked, &known))?;
        }
        Ok(Digests { ask, known, refused: Arc::default() })
    }

    /// Says whether the file is what it should be: at once, if it was read before. Does not wait.
    pub(crate) fn compare(&self, execution: &Execution, expected: Expected, owner: &Arc<FileOwner>) {
        let Some(file) = execution.file else { return };
        if let Some(&sum) = lock(&self.known).sums.get(&(file, expected.algorithm)) {
            return owner.set_modified(sum != expected.sum);
        }
        if self.ask.try_send((file, execution.clone(), expected, Arc::clone(owner))).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many files were not compared, as too many came at once.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

fn work(key: &Key, asked: &Mutex<Receiver<Question>>, known: &Mutex<Known>) {
    let next = || asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok((file, execution, expected, owner)) = next() {
        let (algorithm, which) = (expected.algorithm, (file, expected.algorithm));
        // Another may have asked for it meanwhile.
        let there = lock(known).sums.get(&which).copied();
        let read = || {
            let sum = key.sum(algorithm, algorithm.of(&file, &execution)?.as_bytes())?;
            let mut known = lock(known);
            if known.sums.insert(which, sum).is_none() {
                known.order.push_back(which);
                if known.order.len() > KEPT
                    && let Some(oldest) = known.order.pop_front()
                {
                    known.sums.remove(&oldest);
                }
            }
            Some(sum)
        };
        if let Some(sum) = there.or_else(read) {
            owner.set_modified(sum != expected.sum);
        }
    }
}
