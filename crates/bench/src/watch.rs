//! The real `tarsius watch` beside the load.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

/// A running watch.
pub(crate) struct Watch {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    ledger: PathBuf,
}

/// What it did and needed.
pub(crate) struct Report {
    /// Records that came.
    pub(crate) received: u64,
    /// Events lost for any cause.
    pub(crate) lost: u64,
    /// Nanoseconds of its own CPU time while it watched.
    pub(crate) cpu: u64,
    /// Most memory that it had, in KiB.
    pub(crate) memory: u64,
}

impl Watch {
    /// Starts it with those options, and waits until it watches.
    pub(crate) fn start(options: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("tarsius");
        let ledger = std::env::temp_dir().join(format!("tarsius-bench-{}.json", std::process::id()));
        let mut child = Command::new(&program)
            .arg("watch")
            .args(options)
            .arg("--ledger")
            .arg(&ledger)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut stderr = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut said = String::new();
        while !said.contains("tarsius: watching") {
            if stderr.read_line(&mut said)? == 0 {
                bail!("the watch did not begin: {said}");
            }
        }
        Ok(Self { child, stderr, ledger })
    }

    /// Its CPU time up to now, in nanoseconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<u64> {
        cpu_of(&self.child)
    }

    /// Kibibytes of BPF maps that it holds, by the kernel's own count.
    pub(crate) fn maps(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for fd in fs::read_dir(format!("/proc/{}/fdinfo", self.child.id()))? {
            let info = fs::read_to_string(fd?.path()).unwrap_or_default();
            if info.contains("map_type:") {
                let charged = info
                    .lines()
                    .find_map(|l| l.strip_prefix("memlock:"))
                    .and_then(|n| n.trim().parse::<u64>().ok());
                bytes += charged.unwrap_or(0);
            }
        }
        Ok(bytes / 1024)
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn stop(mut self, before: u64) -> anyhow::Result<Report> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let memory =
            status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|v| v.split_whitespace().next());
        let memory = memory.and_then(|n| n.parse().ok()).unwrap_or(0);
        let cpu = self.cpu()? - before;
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::INT,
        )?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        self.child.wait()?;
        let ledger: serde_json::Value = serde_json::from_slice(&fs::read(&self.ledger)?)?;
        fs::remove_file(&self.ledger)?;
        let rows = ledger["rows"].as_array().context("the ledger has no rows")?;
        let sum = |columns: &[&str]| {
            rows.iter().flat_map(|r| columns.iter().map(|c| r[*c].as_u64().unwrap_or(0))).sum()
        };
        let causes = ["ring_full", "slot_busy", "too_big", "stolen", "untracked", "skipped", "corrupt"];
        Ok(Report { received: sum(&["received"]), lost: sum(&causes), cpu, memory })
    }
}

/// CPU time of a process up to now, in nanoseconds: of all its threads.
pub(crate) fn cpu_of(child: &Child) -> anyhow::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", child.id()))? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        let time: Option<u64> = stat.split_whitespace().next().and_then(|n| n.parse().ok());
        sum += time.context("schedstat has no number")?;
    }
    Ok(sum)
}
