//! The cast: which workers there are, on which CPUs, and how they are started and ended.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Error;
use crate::journal::Journal;
use crate::script::{Kind, Part};
use crate::stage::Stage;

/// More CPUs than that are not loaded, unless they are named.
pub(crate) const CPUS: usize = 4;

/// The parts for those CPUs. The first is the busy one: packets are steered to it.
pub(crate) fn parts(cpus: &[u32], stage: &Stage) -> Vec<Part> {
    let mut parts: Vec<Part> = vec![];
    let mut add = |kind, cpus: &[u32], realtime, timer| {
        let Ok(worker) = u8::try_from(parts.len() + 1) else { return };
        parts.push(Part {
            worker,
            kind,
            cpus: cpus.to_vec(),
            realtime: realtime && stage.realtime,
            timer,
            dir: stage.path.clone(),
            cgroup: stage.cgroup.as_ref().map(|c| c.0.to_string_lossy().into_owned()).unwrap_or_default(),
            journal: -1,
        });
    };
    for (n, cpu) in cpus.iter().map(std::slice::from_ref).enumerate() {
        for kind in
            [Kind::Files, Kind::Memory, Kind::Exec, Kind::Forks, Kind::Connect, Kind::Dns, Kind::Creds]
        {
            // The timer interrupts calls that can not fail of it.
            add(kind, cpu, false, kind == Kind::Files);
        }
        // Two that preempt the others, and one another.
        add(Kind::Files, cpu, true, false);
        add(Kind::Memory, cpu, true, false);
        if n == 0 && stage.cgroup.is_some() {
            add(Kind::Cgroups, cpu, false, false);
        }
        if n > 0 || cpus.len() == 1 {
            add(Kind::Flood, cpu, false, false);
        }
    }
    if cpus.len() > 1 {
        add(Kind::Files, cpus, false, false);
        add(Kind::Creds, cpus, true, false);
    }
    parts
}

/// A worker that is ready: its part, its journal, its process.
pub(crate) type Hired = (Part, Journal, u32);

/// The workers' processes. Those that still run when this is dropped are killed.
#[derive(Debug)]
pub(crate) struct Cast {
    workers: Vec<(Part, Child, Option<ChildStdin>)>,
}

impl Cast {
    /// Starts a process for each part and waits until all are ready. `command` is what becomes a worker when the part is appended.
    pub(crate) fn start(command: &[OsString], parts: Vec<Part>) -> Result<(Self, Vec<Hired>), Error> {
        let mut cast = Cast { workers: vec![] };
        let mut journals = vec![];
        let (program, arguments) =
            command.split_first().map_or((OsString::new(), &[][..]), |(p, a)| (p.clone(), a));
        for mut part in parts {
            let journal = Journal::new().map_err(Error::system("making a journal"))?;
            part.journal = journal.fd();
            let mut child = Command::new(&program)
                .args(arguments)
                .arg(serde_json::to_string(&part)?)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .map_err(Error::system("starting a worker"))?;
            let (pid, cue) = (child.id(), child.stdin.take());
            journals.push((part.clone(), journal, pid));
            cast.workers.push((part, child, cue));
        }
        for (part, child, _) in &mut cast.workers {
            let mut line = String::new();
            let told = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
            if !matches!(told, Some(Ok(_))) || line != "ready\n" {
                return Err(ended_early(part, child));
            }
        }
        Ok((cast, journals))
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().map(|w| w.1.id())
    }

    /// They begin.
    pub(crate) fn cue(&mut self) -> Result<(), Error> {
        for (part, child, cue) in &mut self.workers {
            if cue.take().is_none_or(|mut c| c.write_all(b"!").is_err()) {
                return Err(ended_early(part, child));
            }
        }
        Ok(())
    }

    /// None has ended yet.
    pub(crate) fn all_run(&mut self) -> Result<(), Error> {
        for (part, child, _) in &mut self.workers {
            if child.try_wait().map_err(Error::system("asking for a worker's status"))?.is_some() {
                return Err(ended_early(part, child));
            }
        }
        Ok(())
    }

    /// All have ended by themselves, as they were told to.
    pub(crate) fn all_ended(&mut self) -> Result<bool, Error> {
        for (part, child, _) in &mut self.workers {
            match child.try_wait().map_err(Error::system("asking for a worker's status"))? {
                Some(status) if status.success() => {}
                Some(_) => return Err(ended_early(part, child)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What those do that have not ended: worker, kind, state, and where in the kernel.
    pub(crate) fn running(&mut self) -> String {
        let mut said = vec![];
        for (part, child, _) in &mut self.workers {
            if matches!(child.try_wait(), Ok(Some(_))) {
                continue;
            }
            let read = |name: &str| {
                std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default()
            };
            let (status, at) = (read("status"), read("wchan"));
            let state = status.lines().find_map(|l| l.strip_prefix("State:")).unwrap_or("?").trim();
            let children = read(&format!("task/{}/children", child.id()));
            said.push(format!(
                "{} ({}, {state}, at {at}, children: {children})",
                part.worker,
                part.kind.name()
            ));
        }
        said.join(", ")
    }
}

fn ended_early(part: &Part, child: &mut Child) -> Error {
    let status = child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
    Error::Worker { worker: part.worker, kind: part.kind.name(), status }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for (_, child, _) in &mut self.workers {
            // One that has ended already gives an error, which says nothing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
