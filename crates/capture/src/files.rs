//! The files: which packet goes to which, when one is put aside for a new one, and what happens when one can not be written.
//!
//! A file that is there already is gone on with by a new section, so that few need to be open at once, and none is overwritten. What is
//! written are whole blocks: where writing fails, the file is cut back to the last whole one.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::interfaces::Names;
use crate::options::{Rotation, Split};
use crate::pcapng::{self, Way};
use crate::twins::{LOOPBACK, Twins};
use crate::{Packet, Tally};

/// A buffer that has more is written.
const BUFFER: usize = 64 * 1024;
/// Files that are open at once.
const OPEN: usize = 128;
/// Interfaces in a section, after which a new one begins.
const INTERFACES: usize = 4096;
/// Number of the protocol over IP.
const TCP: u8 = 6;
/// How long nothing is tried after a file could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// Writing goes on again where nothing has failed for so long.
const CALM: Duration = Duration::from_secs(10);

/// The files of a capture.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    splits: Vec<Split>,
    rotation: Rotation,
    open: HashMap<String, Stream>,
    names: Names,
    twins: Twins,
    /// When writing failed last, while it does.
    failed: Option<Instant>,
    dropped_since: u64,
}

/// An open file.
#[derive(Debug)]
struct Stream {
    path: PathBuf,
    file: File,
    /// Bytes of the file that are whole blocks.
    whole: u64,
    began: Instant,
    /// When its first packet passed: nanoseconds since 1970.
    first: u64,
    /// Still to be written, and the packets in it.
    buffer: Vec<u8>,
    packets: u64,
    /// Of the section, by network namespace and number.
    interfaces: BTreeMap<(u32, u32), u32>,
    used: Instant,
}

impl Files {
    pub(crate) fn new(folder: PathBuf, splits: Vec<Split>, rotation: Rotation) -> Files {
        Files {
            folder,
            splits,
            rotation,
            open: HashMap::new(),
            names: Names::new(),
            twins: Twins::default(),
            failed: None,
            dropped_since: 0,
        }
    }

    /// Puts a packet into each of its files.
    pub(crate) fn put(&mut self, packet: &Packet, tally: &mut Tally) {
        for split in self.splits.clone() {
            let name = name_of(split, packet);
            let second = packet.interface == LOOPBACK
                && self.twins.is_second(
                    packet.way == Way::Out,
                    packet.boot_time,
                    &name,
                    packet.net_ns,
                    packet.length,
                    &packet.data,
                );
            if second || (split == Split::Single && is_cut_later(packet)) {
                tally.seconds += 1;
            } else if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
                self.dropped_since += 1;
                tally.dropped += 1;
            } else if let Err((path, error)) = self.write(&name, packet, tally) {
                self.dropped_since += 1;
                tally.dropped += 1;
                self.fail(&path, &error, tally);
            }
        }
    }

    /// Writes what waits, and puts aside what is too old.
    pub(crate) fn flush(&mut self, tally: &mut Tally) {
        for name in self.open.keys().cloned().collect::<Vec<_>>() {
            let Some(stream) = self.open.get_mut(&name) else { continue };
            if let Err(error) = stream.flush(tally) {
                let path = stream.path.clone();
                self.dropped_since += self.lost(&name, tally);
                self.fail(&path, &error, tally);
                continue;
            }
            if self.rotation.age.is_some_and(|age| stream.began.elapsed() >= age) {
                self.put_aside(&name, tally);
            }
        }
        // A small packet may find room on a full disk: that alone is not the end of it.
        if self.failed.is_some_and(|at| at.elapsed() >= CALM) && tally.wrote {
            let dropped = std::mem::take(&mut self.dropped_since);
            self.failed = None;
            tally
                .messages
                .push(format!("capture: packets are written again; {dropped} were dropped meanwhile"));
        }
        tally.wrote = false;
    }

    /// Says so where writing has begun to fail: once, until it goes on again.
    fn fail(&mut self, path: &Path, error: &io::Error, tally: &mut Tally) {
        if self.failed.is_none() {
            tally.messages.push(format!(
                "capture: writing {}: {error}; captured packets are dropped until it can be written",
                path.display()
            ));
        }
        self.failed = Some(Instant::now());
    }

    /// Closes a file that failed; gives the packets that were to be written to it.
    fn lost(&mut self, name: &str, tally: &mut Tally) -> u64 {
        let Some(stream) = self.open.remove(name) else { return 0 };
        tally.dropped += stream.packets;
        stream.packets
    }

    fn write(&mut self, name: &str, packet: &Packet, tally: &mut Tally) -> Result<(), (PathBuf, io::Error)> {
        if !self.open.contains_key(name) {
            self.close_oldest(tally);
            let path = self.folder.join(name);
            let stream = Stream::open(path.clone(), packet.time).map_err(|e| (path, e))?;
            self.open.insert(name.into(), stream);
        }
        let Some(stream) = self.open.get_mut(name) else { return Ok(()) };
        let interface = self.names.name(packet.net_ns, packet.interface, packet.pid);
        stream.put(packet, interface);
        let size = stream.whole + stream.buffer.len() as u64;
        let full = self.rotation.size.is_some_and(|most| size >= most);
        if (full || stream.buffer.len() > BUFFER)
            && let Err(error) = stream.flush(tally)
        {
            let path = stream.path.clone();
            // This packet is among them, and counted by the caller.
            let lost = self.lost(name, tally);
            tally.dropped -= 1;
            self.dropped_since += lost - 1;
            return Err((path, error));
        }
        if full {
            self.put_aside(name, tally);
        }
        Ok(())
    }

    /// Makes room for one more open file.
    fn close_oldest(&mut self, tally: &mut Tally) {
        if self.open.len() < OPEN {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, s)| s.used).map(|(name, _)| name.clone());
        let Some((name, mut stream)) = oldest.and_then(|name| self.open.remove_entry(&name)) else { return };
        if let Err(error) = stream.flush(tally) {
            let path = stream.path.clone();
            self.open.insert(name.clone(), stream);
            self.dropped_since += self.lost(&name, tally);
            self.fail(&path, &error, tally);
        }
    }

    /// Gives a file that was written another name, by the time of its first packet; the next packet begins a new one.
    fn put_aside(&mut self, name: &str, tally: &mut Tally) {
        let Some(stream) = self.open.remove(name) else { return };
        let mut first = stream.first;
        let aside = loop {
            let aside = aside(&stream.path, first);
            if !aside.exists() {
                break aside;
            }
            first += 1;
        };
        let done = fs::rename(&stream.path, &aside)
            .and_then(|()| self.rotation.keep.map_or(Ok(()), |keep| remove_oldest(&stream.path, keep)));
        if let Err(error) = done {
            tally.messages.push(format!("capture: putting {} aside: {error}", stream.path.display()));
        }
    }
}

impl Stream {
    fn open(path: PathBuf, first: u64) -> io::Result<Stream> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Never through a link that somebody else has put there.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(&path)?;
        let whole = file.metadata()?.len();
        let now = Instant::now();
        let mut stream = Stream {
            path,
            file,
            whole,
            began: now,
            first,
            buffer: Vec::with_capacity(BUFFER),
            packets: 0,
            interfaces: BTreeMap::new(),
            used: now,
        };
        stream.begin_section();
        Ok(stream)
    }

    fn begin_section(&mut self) {
        self.interfaces.clear();
        pcapng::section(&mut self.buffer, concat!("Tarsius ", env!("CARGO_PKG_VERSION")));
    }

    fn put(&mut self, packet: &Packet, interface: &str) {
        if self.interfaces.len() >= INTERFACES {
            self.begin_section();
        }
        let next = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        let place = *self.interfaces.entry((packet.net_ns, packet.interface)).or_insert(next);
        if place == next {
            let description = match packet.net_ns {
                0 => "network namespace unknown".into(),
                known => format!("network namespace {known}"),
            };
            pcapng::interface(&mut self.buffer, interface, &description);
        }
        pcapng::packet(
            &mut self.buffer,
            &pcapng::Packet {
                interface: place,
                time: packet.time,
                data: &packet.data,
                length: packet.length,
                way: packet.way,
                comment: &packet.comment,
            },
        );
        self.packets += 1;
        self.used = Instant::now();
    }

    /// Writes what waits, all of it or nothing.
    fn flush(&mut self, tally: &mut Tally) -> io::Result<()> {
        if self.packets == 0 {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            // If that fails too, the file has a part of a block at its end, which readers say.
            let _ = self.file.set_len(self.whole);
            return Err(error);
        }
        self.whole += self.buffer.len() as u64;
        tally.written += self.packets;
        tally.wrote = true;
        self.packets = 0;
        self.buffer.clear();
        Ok(())
    }
}

/// The kernel cuts a TCP segment that is longer than what loopback takes at once, and does so after it has left its socket: what comes in
/// are the parts. A file of both ends has these.
fn is_cut_later(packet: &Packet) -> bool {
    const LINK_HEADER: u32 = 14;
    const TAKEN_AT_ONCE: u32 = 65536;
    packet.interface == LOOPBACK
        && packet.way == Way::Out
        && packet.protocol == TCP
        && packet.length + LINK_HEADER >= TAKEN_AT_ONCE
}

/// A file's name in the folder, as Tracee's.
fn name_of(split: Split, packet: &Packet) -> String {
    let place = match (&packet.container, packet.known) {
        (Some(id), _) => safe(id.as_bytes()),
        (None, true) => "host".into(),
        (None, false) => "unknown".into(),
    };
    match split {
        Split::Single => "single.pcap".into(),
        Split::Container => format!("containers/{place}.pcap"),
        _ if !packet.known => match split {
            Split::Process => "processes/unknown.pcap".into(),
            _ => "commands/unknown.pcap".into(),
        },
        Split::Process => {
            format!("processes/{place}/{}_{}_{}.pcap", safe(&packet.comm), packet.pid, packet.start_time)
        }
        Split::Command => format!("commands/{place}/{}.pcap", safe(&packet.comm)),
    }
}

/// A name of whatever bytes as a file's: what could mean something else is written as its number. No two become the same.
pub(crate) fn safe(name: &[u8]) -> String {
    let mut out = String::new();
    for (n, &byte) in name.iter().enumerate() {
        match byte {
            b'.' if n == 0 => out.push_str("%2E"),
            b'/' | b'%' => out.push_str(&format!("%{byte:02X}")),
            b' '..=b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `single.pcap` as `single.20261128T061200.123456789Z.pcap`.
fn aside(path: &Path, first: u64) -> PathBuf {
    let time = jiff::Timestamp::from_nanosecond(first.into()).unwrap_or_default();
    path.with_extension(format!("{}Z.pcap", time.strftime("%Y%m%dT%H%M%S.%9f")))
}

/// Removes what was put aside of a file, but for the newest.
fn remove_oldest(path: &Path, keep: usize) -> io::Result<()> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|s| s.to_str())) else {
        return Ok(());
    };
    let is_aside = |name: &str| {
        let time = name.strip_prefix(stem).and_then(|n| n.strip_prefix('.'));
        let time = time.and_then(|n| n.strip_suffix("Z.pcap")).unwrap_or_default();
        time.len() == "20261128T061200.123456789".len()
            && time.bytes().all(|b| b.is_ascii_digit() || b == b'T' || b == b'.')
    };
    let mut names = vec![];
    for entry in fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string()
            && is_aside(&name)
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    for name in names.iter().rev().skip(keep) {
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
