//! What is known of objects and processes, and the events that come of an object more.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io::Read as _;
use std::rc::Rc;

use catalogue::Quality;
use catalogue::fields::{symbols_collision, symbols_loaded};
use event::build::RecordBuilder;
use event::{Event, Flags, Header, Value};
use sha2::{Digest as _, Sha256};

use crate::find::{self, Identity};
use crate::{Exports, Options, Process};

/// Bytes of names kept, of all objects together.
const NAMES: usize = 64 << 20;
/// Processes kept, and objects of one.
const PROCESSES: usize = 4096;
const OBJECTS: usize = 512;
/// Bytes of names in one event; what is more is cut, and marked so.
const TOLD: usize = 32 << 10;

/// A shared object.
struct Object {
    path: Box<[u8]>,
    exports: Exports,
}

/// Values by key, of which those go that were not used for longest.
struct Recent<K, V> {
    values: HashMap<K, (u64, V)>,
    clock: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn new() -> Self {
        Self { values: HashMap::new(), clock: 0 }
    }

    fn get(&mut self, key: K) -> Option<&mut V> {
        self.clock += 1;
        let (used, value) = self.values.get_mut(&key)?;
        *used = self.clock;
        Some(value)
    }

    fn put(&mut self, key: K, value: V) {
        self.clock += 1;
        self.values.insert(key, (self.clock, value));
    }

    /// Takes away the one that was not used for longest.
    fn forget(&mut self) -> Option<V> {
        let key = *self.values.iter().min_by_key(|(_, (used, _))| *used)?.0;
        self.values.remove(&key).map(|(_, value)| value)
    }
}

pub(crate) struct Worker {
    options: Options,
    objects: Recent<Identity, Rc<Object>>,
    names: usize,
    processes: Recent<Process, Vec<Identity>>,
    unread: u64,
}

impl Worker {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, objects: Recent::new(), names: 0, processes: Recent::new(), unread: 0 }
    }

    /// Objects that could not be looked into since the last time.
    pub(crate) fn take_unread(&mut self) -> u64 {
        std::mem::take(&mut self.unread)
    }

    /// A process executes a program.
    pub(crate) fn began(&mut self, process: Process) {
        if self.wants(symbols_collision::EVENT_ID) {
            self.put_process(process, vec![]);
        }
    }

    fn wants(&self, event: u16) -> bool {
        self.options.events.contains(&event)
    }

    fn put_process(&mut self, process: Process, objects: Vec<Identity>) {
        while self.processes.values.len() >= PROCESSES && self.processes.forget().is_some() {}
        self.processes.put(process, objects);
    }

    /// The events that come of a record of `shared_object_loaded`.
    pub(crate) fn loaded(&mut self, record: &[u8]) -> Vec<Vec<u8>> {
        let Ok(event) = Event::decode(record) else { return vec![] };
        let field = |name| event.field_by_name(name).and_then(|f| f.value);
        let number = |name| field(name).as_ref().and_then(Value::as_u64);
        let (Some(Value::Path(path)), Some(dev), Some(inode), Some(ctime)) =
            (field("pathname"), number("dev"), number("inode"), number("ctime"))
        else {
            self.unread += 1;
            return vec![];
        };
        let identity = Identity { dev: dev as u32, inode, ctime };
        let Some(object) = self.object(identity, path, || find::find(event.header.pid, path, identity))
        else {
            return vec![];
        };
        let mut records = vec![];
        if self.wants(symbols_loaded::EVENT_ID) {
            records.extend(self.watched(&event, path, &object, identity));
        }
        if self.wants(symbols_collision::EVENT_ID) {
            records.extend(self.collisions(&event, path, &object, identity));
        }
        records
    }

    /// What is known of an object; if nothing, the file is read.
    fn object(
        &mut self,
        identity: Identity,
        path: &[u8],
        file: impl FnOnce() -> Option<File>,
    ) -> Option<Rc<Object>> {
        if let Some(object) = self.objects.get(identity) {
            return Some(Rc::clone(object));
        }
        let read = || {
            let file = file()?;
            let exports = Exports::of(file.try_clone().ok()?).ok()?;
            // It may have been written to meanwhile.
            (Identity::of(&file).ok()? == identity).then_some(exports)
        };
        let Some(exports) = read() else {
            self.unread += 1;
            return None;
        };
        self.names += exports.bytes();
        while self.names > NAMES
            && let Some(old) = self.objects.forget()
        {
            self.names -= old.exports.bytes();
        }
        let object = Rc::new(Object { path: path.into(), exports });
        self.objects.put(identity, Rc::clone(&object));
        Some(object)
    }

    fn watched(
        &self,
        event: &Event<'_>,
        path: &[u8],
        object: &Object,
        identity: Identity,
    ) -> Option<Vec<u8>> {
        let names = self.options.symbols.iter().map(String::as_bytes);
        let found: Vec<&[u8]> = names.filter(|n| object.exports.contains(n)).collect();
        if found.is_empty() {
            return None;
        }
        let record = begin(event, symbols_loaded::EVENT_ID)?.put_str(
            index(symbols_loaded::LIBRARY_PATH),
            path,
            Quality::Ok,
        );
        let record = put_names(record, symbols_loaded::SYMBOLS, found);
        let hash = find::find(event.header.pid, path, identity).and_then(|file| {
            let hash = sha256(&file).ok()?;
            // It may have been written to meanwhile.
            (Identity::of(&file).ok()? == identity).then_some(hash)
        });
        let at = index(symbols_loaded::SHA256);
        Some(
            match hash {
                Some(hash) => record.put_str(at, hash.as_bytes(), Quality::Ok),
                None => record.put(at, Quality::Unavailable, &[]),
            }
            .finish(),
        )
    }

    /// With each object that the process has loaded before.
    fn collisions(
        &mut self,
        event: &Event<'_>,
        path: &[u8],
        object: &Object,
        identity: Identity,
    ) -> Vec<Vec<u8>> {
        let process = Process::of(event);
        let before = match self.processes.get(process) {
            Some(before) => before.clone(),
            None => {
                let before = self.mapped(process.pid, identity);
                self.put_process(process, before.clone());
                before
            }
        };
        if before.contains(&identity) {
            return vec![];
        }
        if before.len() < OBJECTS {
            self.processes.get(process).into_iter().for_each(|objects| objects.push(identity));
        } else {
            self.unread += 1;
        }
        let mut records = vec![];
        for other in before {
            let Some(other) = self.objects.get(other).map(|o| Rc::clone(o)) else {
                // It was forgotten, for others that were used since.
                self.unread += 1;
                continue;
            };
            let matters = |name: &&[u8]| {
                let watched = &self.options.symbols;
                watched.is_empty() || std::str::from_utf8(name).is_ok_and(|name| watched.contains(name))
            };
            let common: Vec<&[u8]> = object.exports.common(&other.exports).filter(matters).collect();
            let begun = begin(event, symbols_collision::EVENT_ID).filter(|_| !common.is_empty());
            records.extend(begun.map(|record| {
                let record = record
                    .put_str(index(symbols_collision::LOADED_PATH), path, Quality::Ok)
                    .put_str(index(symbols_collision::COLLISION_PATH), &other.path, Quality::Ok);
                put_names(record, symbols_collision::SYMBOLS, common).finish()
            }));
        }
        records
    }

    /// What a process has mapped that began before the watch, or as a copy of another.
    fn mapped(&mut self, pid: u32, but: Identity) -> Vec<Identity> {
        let mut found = vec![];
        for (identity, path, file) in find::loaded(pid) {
            if identity != but
                && found.len() < OBJECTS
                && !found.contains(&identity)
                && self.object(identity, &path, || Some(file)).is_some()
            {
                found.push(identity);
            }
        }
        found
    }
}

fn index(field: usize) -> u8 {
    u8::try_from(field).unwrap_or(u8::MAX)
}

/// A record of the task that loaded the object, at the time when it did. It is made here: it has no number among a program's.
fn begin(event: &Event<'_>, id: u16) -> Option<RecordBuilder> {
    let header = Header {
        seq: 0,
        slot: 0,
        probe: event::NO_PROBE,
        flags: Flags(event.header.flags.0 & !Flags::RETURN),
        ret: None,
        ..event.header
    };
    Some(RecordBuilder::new(catalogue::event_by_id(id)?, header))
}

fn put_names(record: RecordBuilder, field: usize, mut names: Vec<&[u8]>) -> RecordBuilder {
    let mut room = TOLD;
    let fit = names.iter().take_while(|n| {
        let fits = n.len() < room;
        room = room.saturating_sub(n.len() + 1);
        fits
    });
    let fit = fit.count();
    let quality = if fit < names.len() { Quality::Truncated } else { Quality::Ok };
    names.truncate(fit);
    record.put_str_array(index(field), &names, quality)
}

/// In hexadecimal.
fn sha256(mut file: &File) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect()),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}
