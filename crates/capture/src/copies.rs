//! Copies of files, as policies want them kept: each once, by its hash, for as long as it stays what it was.
//!
//! A thread opens and copies them, from a queue that is bounded, as are the bytes of a file and of all: a file system that never answers
//! keeps it, and nobody else.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::Error;

/// Files that wait for their turn.
const QUEUE: usize = 256;
/// Files that are known to have been copied.
const KNOWN: usize = 4096;
const CHUNK: usize = 64 << 10;

/// How much is copied at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file: one that has more is not copied.
    pub file: u64,
    /// Bytes of all copies that are made.
    pub all: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { file: 256 << 20, all: 4 << 30 }
    }
}

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
}

/// What became of a file, for the sake of what.
pub type Outcome<T> = (T, Result<Copied, String>);

/// Opens the file that is to be copied, or says why it can not. It may wait for a file system.
type Opener = Box<dyn FnOnce() -> Result<File, String> + Send>;

/// Copies files. `T` is what the caller wants to have back with the outcome.
#[derive(Debug)]
pub struct Copies<T> {
    jobs: Option<SyncSender<Job<T>>>,
    done: Receiver<Option<Outcome<T>>>,
    /// Files that were given to the thread and did not come back.
    waiting: usize,
    /// What came while the end was waited for.
    late: Vec<Outcome<T>>,
}

struct Job<T> {
    open: Opener,
    folder: String,
    with: T,
}

impl<T: Send + 'static> Copies<T> {
    /// Starts the thread. Copies come below `folder`, which is made for the first of them.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread.
    pub fn start(folder: PathBuf, limits: Limits) -> Result<Copies<T>, Error> {
        let (jobs, waiting) = sync_channel::<Job<T>>(QUEUE);
        let (report, done) = channel();
        let mut kept = Kept {
            out: folder.join("out"),
            limits,
            bytes: 0,
            buffer: vec![0; CHUNK],
            known: HashSet::new(),
            order: VecDeque::new(),
        };
        let thread = std::thread::Builder::new().name("copies".into()).spawn(move || {
            while let Ok(job) = waiting.recv() {
                let outcome = kept.copy(job.open, &job.folder);
                // Nobody wants to know any more when the receiver is gone.
                let _ = report.send(outcome.map(|outcome| (job.with, outcome)));
            }
        });
        thread.map_err(Error::Thread)?;
        Ok(Copies { jobs: Some(jobs), done, waiting: 0, late: vec![] })
    }

    /// Has a file copied into a folder of that name, if it was not, as it is. Does not wait; there is an outcome if there is a copy, or can
    /// be none.
    ///
    /// # Errors
    ///
    /// Why it is not even tried.
    pub fn take(
        &mut self,
        open: impl FnOnce() -> Result<File, String> + Send + 'static,
        folder: &str,
        with: T,
    ) -> Result<(), String> {
        let jobs = self.jobs.as_ref().ok_or("copying has ended")?;
        let job = Job { open: Box::new(open), folder: folder.into(), with };
        jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => format!("{QUEUE} files wait to be copied already"),
            TrySendError::Disconnected(_) => "the thread that copies has failed".into(),
        })?;
        self.waiting += 1;
        Ok(())
    }

    /// What became of files since this was last called. Does not wait.
    pub fn outcomes(&mut self) -> Vec<Outcome<T>> {
        let mut outcomes = std::mem::take(&mut self.late);
        for outcome in self.done.try_iter() {
            self.waiting = self.waiting.saturating_sub(1);
            outcomes.extend(outcome);
        }
        outcomes
    }

    /// Copies what waits, and ends; gives the number of files that were given up, as nothing happened for so long.
    pub fn finish(&mut self, patience: Duration) -> usize {
        drop(self.jobs.take());
        while self.waiting > 0
            && let Ok(outcome) = self.done.recv_timeout(patience)
        {
            self.waiting -= 1;
            self.late.extend(outcome);
        }
        self.waiting
    }
}

/// Which file, and as of which change: device, inode number, change time, size.
type Identity = (u64, u64, i64, i64, u64);

/// What the thread works with.
struct Kept {
    out: PathBuf,
    limits: Limits,
    bytes: u64,
    buffer: Vec<u8>,
    /// What was copied; the oldest are forgotten first.
    known: HashSet<Identity>,
    order: VecDeque<Identity>,
}

impl Kept {
    /// `None` if it is known already.
    fn copy(&mut self, open: Opener, folder: &str) -> Option<Result<Copied, String>> {
        let opened = open().and_then(|file| {
            let meta = file.metadata().map_err(|e| format!("asking which file it is: {e}"))?;
            Ok((file, (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.size())))
        });
        let (file, identity) = match opened {
            Ok((_, identity)) if self.known.contains(&identity) => return None,
            Ok(opened) => opened,
            Err(why) => return Some(Err(why)),
        };
        let folder = self.out.join(folder);
        let unfinished = folder.join(".unfinished");
        let copied = self.copy_to(&file, &folder, &unfinished);
        if copied.is_err() {
            // It may not even have been made.
            let _ = fs::remove_file(&unfinished);
        } else if self.known.insert(identity) {
            self.order.push_back(identity);
            if self.order.len() > KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        Some(copied)
    }

    fn copy_to(&mut self, mut file: &File, folder: &Path, unfinished: &Path) -> Result<Copied, String> {
        let failed = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
        let writing = |e: io::Error| format!("writing to {}: {e}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(writing)?;
        let mut to = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(unfinished)
            .map_err(writing)?;
        let (mut sum, mut size) = (Sha256::new(), 0_u64);
        loop {
            let read = match file.read(&mut self.buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(failed("reading it"))?,
            };
            let chunk = self.buffer.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            size += read as u64;
            if size > self.limits.file {
                return Err(format!("it is longer than {} bytes", self.limits.file));
            }
            if self.bytes + size > self.limits.all {
                return Err(format!("{} bytes are the limit of all copies", self.limits.all));
            }
            sum.update(chunk);
            to.write_all(chunk).map_err(writing)?;
        }
        let sha256: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("file.{sha256}"));
        // The same contents under another name are there once.
        if path.exists() {
            fs::remove_file(unfinished).map_err(writing)?;
        } else {
            fs::rename(unfinished, &path).map_err(writing)?;
            self.bytes += size;
        }
        Ok(Copied { path, sha256, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(600);

    fn outcomes(mut copies: Copies<&'static str>) -> Vec<Outcome<&'static str>> {
        assert_eq!(copies.finish(PATIENCE), 0);
        copies.outcomes()
    }

    fn opening(path: PathBuf) -> impl FnOnce() -> Result<File, String> + Send + 'static {
        move || File::open(path).map_err(|e| e.to_string())
    }

    #[test]
    fn each_file_once_while_it_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut copies = Copies::start(at("kept"), Limits::default()).unwrap();
        fs::write(at("one"), "abc").unwrap();
        fs::write(at("two"), "abc").unwrap();
        for (name, with) in [("one", "first"), ("one", "again"), ("two", "alike"), ("none", "missing")] {
            copies.take(opening(at(name)), "host", with).unwrap();
        }
        // Once all of these are done.
        let (path, before) = (at("one"), at("one"));
        let change = move || fs::write(before, "other").map_err(|e| e.to_string());
        copies.take(move || change().and_then(|()| opening(path)()), "host", "changed").unwrap();
        let told = outcomes(copies);
        let names: Vec<_> = told.iter().map(|(with, _)| *with).collect();
        assert_eq!(names, ["first", "alike", "missing", "changed"]);
        let first = told[0].1.as_ref().unwrap();
        // Of RFC 6234's "abc".
        assert_eq!(first.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((&first.path, first.size), (&at(&format!("kept/out/host/file.{}", first.sha256)), 3));
        assert_eq!(fs::read(&first.path).unwrap(), b"abc");
        assert_eq!(fs::metadata(&first.path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(told[1].1.as_ref().unwrap().path, first.path);
        assert!(told[2].1.as_ref().unwrap_err().contains("No such file"));
        assert_eq!(fs::read(&told[3].1.as_ref().unwrap().path).unwrap(), b"other");
        assert_eq!(fs::read_dir(at("kept/out/host")).unwrap().count(), 2);
    }

    #[test]
    fn no_more_than_the_limits() {
        let dir = tempfile::tempdir().unwrap();
        let mut copies = Copies::start(dir.path().join("kept"), Limits { file: 4, all: 6 }).unwrap();
        for (name, text) in [("fits", "abcd"), ("long", "abcde"), ("short", "ab"), ("more", "c")] {
            fs::write(dir.path().join(name), text).unwrap();
            copies.take(opening(dir.path().join(name)), "host", name).unwrap();
        }
        let told: Vec<_> =
            outcomes(copies).into_iter().map(|(name, outcome)| (name, outcome.map(|c| c.size))).collect();
        let long = Err("it is longer than 4 bytes".to_owned());
        let more = Err("6 bytes are the limit of all copies".to_owned());
        assert_eq!(told, [("fits", Ok(4)), ("long", long), ("short", Ok(2)), ("more", more)]);
        assert_eq!(fs::read_dir(dir.path().join("kept/out/host")).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::write(&kept, "a file").unwrap();
        let mut copies = Copies::start(kept.clone(), Limits::default()).unwrap();
        copies.take(opening(kept), "host", "").unwrap();
        let told = outcomes(copies);
        assert!(told[0].1.as_ref().unwrap_err().starts_with("writing to "), "{told:?}");
    }

    /// What never comes is given up, and what cannot wait any more is refused.
    #[test]
    fn a_file_system_that_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let mut copies = Copies::start(dir.path().join("kept"), Limits::default()).unwrap();
        let (answer, never) = channel::<()>();
        let hang = move || never.recv().map_err(|e| e.to_string()).and(Err("it answered".into()));
        copies.take(hang, "host", "hangs").unwrap();
        let refused = (0..=QUEUE + 1).find_map(|_| copies.take(|| Err("late".into()), "host", "").err());
        assert_eq!(refused, Some(format!("{QUEUE} files wait to be copied already")));
        assert!(copies.finish(Duration::from_millis(1)) >= QUEUE);
        drop(answer);
    }
}
