//! `--baselines`: what detectors have learnt to be usual, kept in a file from one watch to the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use context::Clock;
use detect::{Baselines, Detectors};
use serde::{Deserialize, Serialize};

/// How often it is written while watching.
const EVERY: Duration = Duration::from_secs(300);
/// Of the form below.
const VERSION: u32 = 1;
/// Bytes of a longer file are none that were written here: detectors do not remember that much.
const LONGEST: u64 = 1 << 30;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    detectors: Baselines,
}

/// The file. It is written beside the stream, by a thread.
pub(crate) struct Kept {
    path: PathBuf,
    written: Instant,
    writing: Option<JoinHandle<io::Result<()>>>,
    complained: bool,
}

impl Kept {
    /// Has detectors begin with what is there. That there is no file yet is no error.
    pub(crate) fn begin(path: &Path, detectors: &mut Detectors, clock: &Clock) -> anyhow::Result<Kept> {
        if let Some(written) = read(path).with_context(|| format!("--baselines {}", path.display()))? {
            detectors.begin(written.detectors, clock.ahead());
        }
        let kept = Kept { path: path.to_owned(), written: Instant::now(), writing: None, complained: false };
        // Better said now than in five minutes.
        kept.now(detectors, clock)().with_context(|| format!("--baselines {}", path.display()))?;
        Ok(kept)
    }

    /// Writes it if it is time to.
    pub(crate) fn keep(&mut self, detectors: &Detectors, clock: &Clock) {
        if self.written.elapsed() < EVERY
            || self.writing.as_ref().is_some_and(|writing| !writing.is_finished())
        {
            return;
        }
        self.end_writing();
        self.written = Instant::now();
        match std::thread::Builder::new().name("baselines".into()).spawn(self.now(detectors, clock)) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => self.complain(&error),
        }
    }

    /// Writes it for the last time.
    pub(crate) fn finish(mut self, detectors: &Detectors, clock: &Clock) {
        self.end_writing();
        if let Err(error) = self.now(detectors, clock)() {
            self.complained = false;
            self.complain(&error);
        }
    }

    fn end_writing(&mut self) {
        if let Some(Ok(Err(error))) = self.writing.take().map(JoinHandle::join) {
            self.complain(&error);
        }
    }

    /// Writes what is known now, in the place of what was there.
    fn now(&self, detectors: &Detectors, clock: &Clock) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let written = Written { version: VERSION, detectors: detectors.baselines(clock.ahead()) };
        let path = self.path.clone();
        move || {
            let mut unfinished = path.clone().into_os_string();
            unfinished.push(".unfinished");
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            let mut file = BufWriter::new(file);
            serde_json::to_writer(&mut file, &written)?;
            file.write_all(b"\n")?;
            file.into_inner()?.sync_all()?;
            fs::rename(&unfinished, &path)
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            eprintln!("tarsius: what is usual is not kept: --baselines {}: {error}", self.path.display());
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Option<Written>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let wrong = "these are no baselines of this version; without the file, detectors learn anew";
    anyhow::ensure!(file.metadata()?.len() <= LONGEST, wrong);
    let written: Written = serde_json::from_reader(BufReader::new(file)).context(wrong)?;
    anyhow::ensure!(written.version == VERSION, wrong);
    Ok(Some(written))
}
