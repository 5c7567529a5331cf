//! The action `capture` of policies: a copy is kept of the file that an event is about.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use capture::{Copied, Copies, Limits};
use catalogue::fields::{file_captured, sched_process_exec};
use catalogue::{Lane, Quality};
use context::Context;
use event::build::RecordBuilder;
use event::{Event, Header, Origin};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use sensor::{Cause, Loss};

use crate::enforce;
use crate::helpers::Helper;

/// The fields that have the file of an event: the first that it has.
const PATHS: [&str; 6] = ["pathname", "new_path", "file_path", "path", "linkpath", "old_path"];
/// How long the end waits for a file system that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The folder of what is in no container.
const HOST: &str = "host";

/// For whose sake a file is copied.
#[derive(Debug)]
struct Sake {
    policy: Arc<str>,
    event: &'static str,
    header: Header,
    pathname: Vec<u8>,
}

/// Keeps copies.
pub(crate) struct Keeper {
    folder: PathBuf,
    /// Since the first that was wanted.
    copies: Option<Copies<Sake>>,
    /// What could not be.
    failed: Vec<Vec<u8>>,
    given_up: u64,
}

impl Keeper {
    pub(crate) fn new(folder: PathBuf) -> Keeper {
        Keeper { folder, copies: None, failed: vec![], given_up: 0 }
    }

    /// Has the file of an event copied, for a policy.
    pub(crate) fn keep(&mut self, event: &Event<'_>, policy: &Arc<str>, context: &Context) {
        if let Err(reason) = self.try_keep(event, policy, context) {
            self.failed.push(enforce::failure(
                &event.header,
                event.definition.name,
                policy,
                "capture",
                &reason,
            ));
        }
    }

    fn try_keep(&mut self, event: &Event<'_>, policy: &Arc<str>, context: &Context) -> Result<(), String> {
        let file = Target::of(event)?;
        let copies = match &mut self.copies {
            Some(copies) => copies,
            none => {
                let started = Copies::start(self.folder.clone(), Limits::default());
                none.insert(started.map_err(|e| e.to_string())?)
            }
        };
        let folder = context.container(event).map_or(HOST, |c| c.id());
        let (policy, pathname) = (Arc::clone(policy), file.path.clone());
        let sake = Sake { policy, event: event.definition.name, header: event.header, pathname };
        copies.take(move || file.open(), folder, sake)
    }
}

impl Helper for Keeper {
    fn records(&mut self, _: &mut Context) -> Vec<Vec<u8>> {
        let mut records = std::mem::take(&mut self.failed);
        for (sake, outcome) in self.copies.iter_mut().flat_map(Copies::outcomes) {
            records.push(match outcome {
                Ok(copied) => captured(&sake, &copied),
                Err(why) => enforce::failure(&sake.header, sake.event, &sake.policy, "capture", &why),
            });
        }
        records
    }

    fn finish(&mut self, context: &mut Context) -> Vec<Vec<u8>> {
        if let Some(copies) = &mut self.copies {
            self.given_up = copies.finish(PATIENCE) as u64;
        }
        self.records(context)
    }

    fn lost(&self) -> Option<Loss> {
        (self.given_up > 0).then_some(Loss {
            lane: Lane::Bulk,
            probe: "copies",
            cpu: None,
            cause: Cause::Unwritten,
            count: self.given_up,
        })
    }
}

/// `file_captured`.
fn captured(sake: &Sake, copied: &Copied) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(file_captured::EVENT_ID) else { return vec![] };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    RecordBuilder::new(definition, Header { probe: event::NO_PROBE, ret: None, ..sake.header })
        .put_str(index(file_captured::POLICY), sake.policy.as_bytes(), Quality::Ok)
        .put_str(index(file_captured::EVENT), sake.event.as_bytes(), Quality::Ok)
        .put_u64(index(file_captured::EVENT_TIME), sake.header.time)
        .put_str(index(file_captured::PATHNAME), &sake.pathname, Quality::Ok)
        .put_str(index(file_captured::COPY), copied.path.as_os_str().as_encoded_bytes(), Quality::Ok)
        .put_str(index(file_captured::SHA256), copied.sha256.as_bytes(), Quality::Ok)
        .put_u64(index(file_captured::SIZE), copied.size)
        .finish()
}

/// Whether an event is about a file, which can be captured.
pub(crate) fn is_about_file(event: &catalogue::Event) -> bool {
    path_of(event).is_some()
}

/// Which field has the path of the file that an event is about.
fn path_of(event: &catalogue::Event) -> Option<usize> {
    PATHS.iter().find_map(|name| event.fields.iter().position(|f| f.name == *name))
}

/// A file that is to be copied.
struct Target {
    who: Header,
    path: Vec<u8>,
    /// Its device and inode number, if the event tells them.
    inode: Option<(u32, u64)>,
    /// It is what the process runs.
    runs: bool,
}

impl Target {
    /// The file that an event is about.
    fn of(event: &Event<'_>) -> Result<Target, String> {
        if event.header.origin == Origin::Unknown {
            return Err("it is not known who acted, so not where its files are".into());
        }
        let field = path_of(event.definition).ok_or("the event is about no file")?;
        let value = event.field(field);
        let path = value.value.as_ref().and_then(|v| v.as_bytes()).filter(|p| p.starts_with(b"/"));
        let path = path.filter(|_| value.quality == Quality::Ok).ok_or("its path is not known")?;
        let number = |name: &str| {
            let field = event.definition.fields.iter().position(|f| f.name == name)?;
            event.field(field).value?.as_u64()
        };
        Ok(Target {
            who: event.header,
            path: path.to_vec(),
            inode: number("dev").and_then(|dev| u32::try_from(dev).ok()).zip(number("inode")),
            runs: event.definition.id == sched_process_exec::EVENT_ID,
        })
    }

    fn open(self) -> Result<File, String> {
        // First without opening it: what is no file may do something when it is opened, or wait for somebody.
        let found = self.find()?;
        let stat = fstat(&found).map_err(|e| format!("asking which file it is: {e}"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("it is no regular file".into());
        }
        let own = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        open(own, flags, Mode::empty()).map(File::from).map_err(|e| format!("opening it: {e}"))
    }

    /// What the process runs, or what is at the path, seen from its root. Once it is gone, its parent or this program likely see the same.
    fn find(&self) -> Result<OwnedFd, String> {
        const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
        let (pid, parent) = (self.who.pid, self.who.ppid);
        let at = |place: String| open(place, FLAGS, Mode::empty()).ok();
        // Asked once it is open: then it is the process's, and not that of a later one.
        let of_process =
            |name: &str| at(format!("/proc/{pid}/{name}")).filter(|_| enforce::is_running(&self.who));
        if self.runs
            && let Some(file) = of_process("exe").filter(|file| self.is_it(file))
        {
            return Ok(file);
        }
        let known = self.inode.is_some();
        let is_own = own_mount_namespace() == Some(u64::from(self.who.mnt_ns));
        let roots = [
            of_process("root"),
            at(format!("/proc/{parent}/root")).filter(|_| known),
            at("/".into()).filter(|_| known || is_own),
        ];
        let mut why = "the process is gone, and nothing tells which file it was".into();
        for root in roots.into_iter().flatten() {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(root, OsStr::from_bytes(&self.path), FLAGS, Mode::empty(), resolve) {
                Ok(found) if self.is_it(&found) => return Ok(found),
                Ok(_) => why = "its path is another file's by now".into(),
                Err(error) => why = format!("opening it: {error}"),
            }
        }
        Err(why)
    }

    fn is_it(&self, found: &OwnedFd) -> bool {
        self.inode.is_none_or(|(dev, inode)| hashes::is_inode(dev, inode, self.who.pid, found))
    }
}

fn own_mount_namespace() -> Option<u64> {
    std::fs::metadata("/proc/self/ns/mnt").ok().map(|namespace| namespace.ino())
}
