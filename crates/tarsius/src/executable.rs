//! Hashes of executed files: asked for at an execution, told when they have been computed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use catalogue::Quality;
use catalogue::fields::{executable_hash, sched_process_exec as exec};
use context::{Clock, Context, FileHash};
use event::build::RecordBuilder;
use event::{Event, Header, NO_PROBE};
use hashes::{Execution, FileId, Hashes};

/// What is told of a file when its hash is known: the execution that asked first.
#[derive(Debug)]
pub(crate) struct Executed {
    header: Header,
    file: FileId,
    path: Box<[u8]>,
}

/// Has the file of an execution hashed, so that events of the process have its hash once it is known.
pub(crate) fn hash(hashes: &mut Hashes<Executed>, context: &Context, event: &Event<'_>) {
    let number = |field: usize| event.field(field).value.and_then(|v| v.as_u64());
    let (Some(dev), Some(inode), Some(ctime)) = (number(exec::DEV), number(exec::INODE), number(exec::CTIME))
    else {
        return;
    };
    let Ok(dev) = u32::try_from(dev) else { return };
    let file = FileId { dev, inode, ctime };
    // A part of a path is another path; without one, only the process has the file.
    let path = event.field(exec::PATHNAME);
    let path =
        path.value.filter(|_| path.quality == Quality::Ok).and_then(|p| p.as_bytes()).unwrap_or_default();
    let hash = hashes.of(Execution {
        file,
        path: OsStr::from_bytes(path).into(),
        pid: event.header.pid,
        parent: event.header.ppid,
        with: Executed { header: event.header, file, path: path.into() },
    });
    if let Some(program) = context.process(event).and_then(|p| p.program()) {
        program.hash_with(hash);
    }
}

/// The record of a hash that was computed, or is not to be had.
pub(crate) fn hashed(executed: &Executed, hash: &Arc<FileHash>) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(executable_hash::EVENT_ID) else { return vec![] };
    // The execution's task, but not its numbers of the slot.
    let header = Header {
        time: Clock::now(),
        probe: NO_PROBE,
        seq: 0,
        slot: 0,
        syscall: None,
        ret: None,
        ..executed.header
    };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    let mut record = RecordBuilder::new(definition, header)
        .put_u32(index(executable_hash::DEV), executed.file.dev)
        .put_u64(index(executable_hash::INODE), executed.file.inode)
        .put_u64(index(executable_hash::CTIME), executed.file.ctime);
    if !executed.path.is_empty() {
        record = record.put_str(index(executable_hash::PATHNAME), &executed.path, Quality::Ok);
    }
    if let Some(sha256) = hash.get() {
        let text = sha256.to_string();
        record = record.put_str(index(executable_hash::SHA256), text.as_bytes(), Quality::Ok);
    }
    record.finish()
}
