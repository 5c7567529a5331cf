//! Lines that programs write to logs.
//!
//! A thread of its own looks at each log ten times a second and makes an event of each line that was added. A file is read from where it
//! ended when the watch began; one that was renamed and made anew (rotated) is read to its end before the new one, and one that was cut is
//! read from its beginning. A pipe is read as it comes.
//!
//! Nothing here grows without bound: a longer line is cut, and lines for which there is no room are counted.

mod source;
mod syslog;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use catalogue::Quality;
use catalogue::fields::log_line;
use event::Header;
use event::build::RecordBuilder;
use rustix::time::{ClockId, clock_gettime};

use source::Source;

/// Lines that may wait to be told.
const WAITING: usize = 16_384;
/// How often logs are looked at.
const OFTEN: Duration = Duration::from_millis(100);
/// Bytes of the longest line that is told whole.
const LINE_BYTES: usize = 8192;

/// What can be wrong with a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It can not be read.
    #[error("{path} can not be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder is no log.
    #[error("{0} is a folder: a log is a file or a pipe")]
    Folder(PathBuf),
    /// There can be no thread.
    #[error("starting the thread that reads logs: {0}")]
    Thread(std::io::Error),
}

/// The thread that reads logs.
#[derive(Debug)]
pub struct Logs {
    lines: Receiver<Vec<u8>>,
    lost: Arc<AtomicU64>,
    complaints: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Logs {
    /// Begins to read them, from their ends.
    ///
    /// # Errors
    ///
    /// One of them is none, or can not be read.
    pub fn start(paths: &[PathBuf]) -> Result<Logs, Error> {
        let mut sources = paths.iter().map(|path| Source::open(path)).collect::<Result<Vec<_>, _>>()?;
        let (tell, lines) = sync_channel(WAITING);
        let (lost, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (missed, ended) = (Arc::clone(&lost), Arc::clone(&stop));
        let complaints = Arc::new(Mutex::new(vec![]));
        let complain = Arc::clone(&complaints);
        let thread = std::thread::Builder::new()
            .name("logs".into())
            .spawn(move || {
                loop {
                    // What was written before the end was asked for is told.
                    let last = ended.load(Ordering::Acquire);
                    let mut give = |path: &Path, line: &[u8], cut| give(&tell, &missed, path, line, cut);
                    let mut unread = 0;
                    for source in &mut sources {
                        if last {
                            unread += u64::from(!source.finish(&mut give));
                        } else {
                            source.read(&mut give);
                        }
                        if let Some(complaint) = source.complaint() {
                            complain.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
                        }
                    }
                    if last {
                        missed.fetch_add(unread, Ordering::Relaxed);
                        return;
                    }
                    std::thread::park_timeout(OFTEN);
                }
            })
            .map_err(Error::Thread)?;
        Ok(Logs { lines, lost, complaints, stop, thread: Some(thread) })
    }

    /// The records of the lines since the last time.
    pub fn records(&self) -> Vec<Vec<u8>> {
        self.lines.try_iter().collect()
    }

    /// Looks once more, and ends; the records of the last lines.
    pub fn finish(&mut self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does not panic; and if it did, there would be nothing to be done here.
            let _ = thread.join();
        }
        self.records()
    }

    /// What could not be read since the last time, and why.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.complaints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lines for which there was no room; and one for each log of which there was more than could be read at the end.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.finish();
    }
}

fn give(tell: &SyncSender<Vec<u8>>, lost: &AtomicU64, path: &Path, line: &[u8], cut: bool) {
    if let Some(record) = record(path, line, cut)
        && let Err(TrySendError::Full(_)) = tell.try_send(record)
    {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// The record of a line.
fn record(path: &Path, line: &[u8], cut: bool) -> Option<Vec<u8>> {
    let definition = catalogue::event_by_id(log_line::EVENT_ID)?;
    let now = clock_gettime(ClockId::Boottime);
    let time = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    let quality = if cut { Quality::Truncated } else { Quality::Ok };
    let record = RecordBuilder::new(definition, Header::unknown(time))
        .put_str(log_line::PATH as u8, path.as_os_str().as_encoded_bytes(), Quality::Ok)
        .put_str(log_line::LINE as u8, line, quality);
    let record = match syslog::program(line) {
        Some(program) => record.put_str(log_line::PROGRAM as u8, program, Quality::Ok),
        None => record,
    };
    Some(record.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use event::{Event, Value};

    use super::*;

    fn told(records: &[Vec<u8>]) -> Vec<(String, bool)> {
        let text = |record: &Vec<u8>| {
            let event = Event::decode(record).unwrap();
            let field = event.field(log_line::LINE);
            let Some(Value::Str(line)) = field.value else { panic!() };
            (String::from_utf8_lossy(line).into_owned(), field.quality == Quality::Truncated)
        };
        records.iter().map(text).collect()
    }

    #[test]
    fn lines_that_are_added_are_told_and_what_was_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "before\nand so ").unwrap();
        let mut logs = Logs::start(std::slice::from_ref(&path)).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        write!(file, "on\nfirst\nsec").unwrap();
        write!(file, "ond\nunfinished").unwrap();
        let records = logs.finish();
        // Of the line that was begun before, what came after.
        let expected = ["on", "first", "second", "unfinished"];
        assert_eq!(told(&records), expected.map(|line| (line.to_owned(), false)));
        assert_eq!(logs.lost(), 0);
    }

    #[test]
    fn what_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let is = |path: &Path| Logs::start(&[path.to_path_buf()]).unwrap_err().to_string();
        assert!(is(folder.path()).ends_with("is a folder: a log is a file or a pipe"));
        assert!(is(&folder.path().join("none")).ends_with("none can not be read"));
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "").unwrap();
        let mut logs = Logs::start(std::slice::from_ref(&path)).unwrap();
        let many = WAITING + 100;
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all("line\n".repeat(many).as_bytes()).unwrap();
        let told = logs.finish().len();
        assert_eq!(told + logs.lost() as usize, many);
        assert!(told >= WAITING);
    }
}
