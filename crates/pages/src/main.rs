//! Writes the documentation of the events: `pages DOCS [LOG...]`.
//!
//! The logs are what the conformance test printed, here and in guests, with `TARSIUS_CONFORMED` set (`./x pages`). What it saw is
//! kept in `DOCS/events/seen.jsonl`, so that a run on one kernel renews that kernel's part only.

mod event;
mod parity;
mod seen;
mod syscalls;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use catalogue::EVENTS;

use crate::seen::Seen;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let Some(docs) = args.next() else { bail!("usage: pages DOCS [LOG...]") };
    let folder = Path::new(&docs).join("events");
    fs::create_dir_all(&folder)?;
    let record = folder.join("seen.jsonl");
    let mut seen = Seen::default();
    if record.exists() {
        seen.read(&fs::read_to_string(&record)?).with_context(|| record.display().to_string())?;
    }
    for log in args {
        seen.read_log(&fs::read_to_string(&log)?).with_context(|| log.display().to_string())?;
    }
    fs::write(&record, seen.write()?)?;

    for old in fs::read_dir(&folder)? {
        let old = old?.path();
        if old.extension().is_some_and(|e| e == "md") {
            fs::remove_file(old)?;
        }
    }
    let wrong = |wrong: Vec<_>| anyhow!("{} of the detectors' files are wrong", wrong.len());
    let detectors = detect::shipped().map_err(wrong)?.detectors;
    for event in EVENTS.iter().filter(|e| e.family != "syscall") {
        fs::write(folder.join(format!("{}.md", event.name)), event::page(event, &seen, &detectors))?;
    }
    fs::write(folder.join("syscalls.md"), syscalls::page(&seen))?;
    fs::write(folder.join("README.md"), event::index())?;
    fs::write(Path::new(&docs).join("parity.md"), parity::page(&seen)?)?;
    Ok(())
}
