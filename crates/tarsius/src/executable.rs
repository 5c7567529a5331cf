//! Hashes of files that run: asked for at an execution, or when one is loaded, and told when they have been computed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use catalogue::Quality;
use catalogue::fields::{
    executable_hash, loaded_file_hash, module_load, sched_process_exec as exec, shared_object_loaded,
};
use context::{Clock, Context, FileHash};
use event::build::RecordBuilder;
use event::{Event, Header, NO_PROBE};
use hashes::{Execution, FileId, Hashes};

/// The events by which files are loaded.
pub(crate) const LOADS: [u16; 2] = [shared_object_loaded::EVENT_ID, module_load::EVENT_ID];

/// What is told of a file when its hash is known: the execution or load that asked first.
#[derive(Debug)]
pub(crate) struct Executed {
    /// The event that tells it.
    told_by: u16,
    header: Header,
    file: FileId,
    path: Box<[u8]>,
}

/// Which file was executed or loaded, in which state.
pub(crate) fn file(event: &Event<'_>) -> Option<FileId> {
    let number = |field: &str| event.field_by_name(field)?.value?.as_u64();
    let dev = u32::try_from(number("dev")?).ok()?;
    Some(FileId { dev, inode: number("inode")?, ctime: number("ctime")? })
}

/// Has the file of an execution or a load hashed; so that events of a process have the hash of what it executed once it is known.
pub(crate) fn hash(hashes: &mut Hashes<Executed>, context: &Context, event: &Event<'_>) {
    let executed = event.definition.id == exec::EVENT_ID;
    let told_by = if executed { executable_hash::EVENT_ID } else { loaded_file_hash::EVENT_ID };
    let Some(file) = file(event) else { return };
    // A part of a path is another path; without one, only the process has the file.
    let path = event.field_by_name("pathname").filter(|p| p.quality == Quality::Ok);
    let path = path.and_then(|p| p.value?.as_bytes()).unwrap_or_default();
    let hash = hashes.of(Execution {
        file,
        path: OsStr::from_bytes(path).into(),
        pid: event.header.pid,
        parent: event.header.ppid,
        with: Executed { told_by, header: event.header, file, path: path.into() },
    });
    if executed && let Some(program) = context.process(event).and_then(|p| p.program()) {
        program.hash_with(hash);
    }
}

/// The record of a hash that was computed, or is not to be had.
pub(crate) fn hashed(executed: &Executed, hash: &Arc<FileHash>) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(executed.told_by) else { return vec![] };
    // The fields of both events have the same places, as a test assures. The execution's task, but not its numbers of the slot.
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_same_fields_in_the_same_places() {
        let fields = |event: &str| {
            let event = catalogue::event(event).expect("it is in the catalogue");
            event.fields.iter().map(|f| (f.name, f.ty)).collect::<Vec<_>>()
        };
        assert_eq!(fields("loaded_file_hash"), fields("executable_hash"));
        for event in super::LOADS {
            let event = catalogue::event_by_id(event).expect("it is in the catalogue");
            for field in ["pathname", "dev", "inode", "ctime"] {
                assert!(event.fields.iter().any(|f| f.name == field), "{} of {}", field, event.name);
            }
        }
    }
}
