//! Captured packets in pcapng files, with whose they are: `tarsius watch --artifacts network`; and [copies](Copies) of files.
//!
//! The packets come as records of `net_packet_capture`, by a lane of their own. They are written by a thread of its own, from a queue that is
//! bounded in bytes: a disk that is slow or full costs packets, counted, but no event waits for it.
//!
//! A file holds each packet once: of a packet over loopback, which leaves one socket of this machine and reaches another, as it left, if that
//! was seen. Files of processes that talk to one another have it each. Segments of TCP that are longer than what loopback takes at once are cut
//! between the sockets: `single.pcap` has the parts, the file of the sender the whole; a file of a container or command that has both ends has
//! both.

mod copies;
mod error;
mod files;
mod interfaces;
mod options;
mod pcapng;
mod twins;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catalogue::fields::net_packet_capture;
use event::json::Who;
use event::{Direction, Event, Origin, Value};

pub use copies::{Copied, Copies, Limits, Outcome};
pub use error::Error;
pub use options::{Options, Rotation, Split};

use files::Files;
use pcapng::Way;

/// Bytes of packets that wait to be written; what comes then is dropped.
const QUEUE: usize = 64 << 20;
/// How often what waits in buffers is written.
const FLUSH: Duration = Duration::from_secs(1);
/// Bytes in the queue that a packet takes beside its own.
const OVERHEAD: usize = 256;

/// A packet on its way to files.
#[derive(Debug, Clone)]
struct Packet {
    /// Nanoseconds since 1970.
    time: u64,
    /// Nanoseconds of the boot clock.
    boot_time: u64,
    way: Way,
    interface: u32,
    net_ns: u32,
    /// Number of the protocol over IP.
    protocol: u8,
    /// Bytes that it had.
    length: u32,
    data: Vec<u8>,
    comment: String,
    /// It is known whose it is: what follows.
    known: bool,
    comm: Vec<u8>,
    pid: u32,
    start_time: u64,
    container: Option<String>,
}

/// What became of packets: of each once for each file that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Written.
    pub written: u64,
    /// Not written, because it could not be, or because too many waited.
    pub dropped: u64,
    /// Left out of a file that has it already, as it left or in parts as it came in.
    pub seconds: u64,
}

/// The same as it grows, and what is to be said.
#[derive(Debug, Default)]
struct Tally {
    written: u64,
    dropped: u64,
    seconds: u64,
    /// Something was written since it was set to false.
    wrote: bool,
    messages: Vec<String>,
}

/// What both sides see.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes in the queue.
    queued: AtomicUsize,
    tally: Mutex<Tally>,
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    folder: PathBuf,
    /// Files that a packet goes to.
    files: u64,
    batch: Vec<Packet>,
    queue: Option<Sender<Vec<Packet>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Dropped before it came to the queue.
    dropped: u64,
    said_full: bool,
}

impl Capture {
    /// Makes the folder, and begins.
    ///
    /// # Errors
    ///
    /// The folder can not be made, the thread not started.
    pub fn start(options: &Options) -> Result<Capture, Error> {
        let folder = options.folder.join("out").join("pcap");
        let failed = |source| Error::Folder { what: "making", path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut files = Files::new(folder.clone(), options.splits.clone(), options.rotation);
        let shared = Arc::new(Shared::default());
        let (queue, packets) = channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || write(&packets, &mut files, &theirs))
            .map_err(Error::Thread)?;
        Ok(Capture {
            folder,
            files: options.splits.len() as u64,
            batch: vec![],
            queue: Some(queue),
            thread: Some(thread),
            shared,
            dropped: 0,
            said_full: false,
        })
    }

    /// Takes the packet of a record, if it is one.
    pub fn take(&mut self, event: &Event<'_>, who: &dyn Who) {
        let Some(packet) = packet(event, who) else { return };
        let size = packet.data.len() + OVERHEAD;
        if self.shared.queued.fetch_add(size, Ordering::Relaxed) + size > QUEUE {
            self.shared.queued.fetch_sub(size, Ordering::Relaxed);
            self.dropped += self.files;
            return;
        }
        self.batch.push(packet);
    }

    /// Gives what was taken to the thread that writes.
    pub fn flush(&mut self) {
        if let Some(queue) = &self.queue
            && !self.batch.is_empty()
            && let Err(unsent) = queue.send(std::mem::take(&mut self.batch))
        {
            // The thread is gone.
            self.dropped += unsent.0.len() as u64 * self.files;
        }
    }

    /// What is to be said, once.
    pub fn messages(&mut self) -> Vec<String> {
        let mut messages =
            self.shared.tally.lock().map(|mut t| std::mem::take(&mut t.messages)).unwrap_or_default();
        if self.dropped > 0 && !self.said_full {
            self.said_full = true;
            messages.push(format!(
                "capture: the disk of {} is too slow: packets are dropped",
                self.folder.display()
            ));
        }
        messages
    }

    /// What became of the packets so far.
    pub fn counts(&self) -> Counts {
        let tally = self.shared.tally.lock();
        let of =
            |t: &Tally| Counts { written: t.written, dropped: t.dropped + self.dropped, seconds: t.seconds };
        tally.map(|t| of(&t)).unwrap_or_default()
    }

    /// Where the files are.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Writes all that was taken, and ends the thread. The counts are final then.
    pub fn finish(&mut self) {
        self.flush();
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && let Ok(mut tally) = self.shared.tally.lock()
        {
            tally.messages.push("capture: the thread that writes has failed".into());
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The thread that writes.
fn write(packets: &Receiver<Vec<Packet>>, files: &mut Files, shared: &Shared) {
    let mut flushed = Instant::now();
    let mut tally = Tally::default();
    loop {
        let batch = packets.recv_timeout(FLUSH.saturating_sub(flushed.elapsed()));
        for packet in batch.iter().flatten() {
            files.put(packet, &mut tally);
            shared.queued.fetch_sub(packet.data.len() + OVERHEAD, Ordering::Relaxed);
        }
        let ended = matches!(batch, Err(RecvTimeoutError::Disconnected));
        if ended || flushed.elapsed() >= FLUSH {
            files.flush(&mut tally);
            flushed = Instant::now();
        }
        if let Ok(mut shown) = shared.tally.lock() {
            (shown.written, shown.dropped, shown.seconds) = (tally.written, tally.dropped, tally.seconds);
            shown.messages.append(&mut tally.messages);
        }
        if ended {
            return;
        }
    }
}

fn packet(event: &Event<'_>, who: &dyn Who) -> Option<Packet> {
    if event.definition.id != net_packet_capture::EVENT_ID {
        return None;
    }
    let Some(Value::Packet(metadata)) = event.field(net_packet_capture::METADATA).value else { return None };
    let data = match event.field(net_packet_capture::DATA).value {
        Some(Value::Bytes(bytes)) => bytes.to_vec(),
        _ => vec![],
    };
    let header = &event.header;
    let known = header.origin != Origin::Unknown;
    let container = Some(header.cgroup).filter(|&c| known && c != 0).and_then(|c| who.container(c));
    let net_ns = event.field(net_packet_capture::NET_NS).value.and_then(|v| v.as_u64());
    Some(Packet {
        time: who.wall_time(header.time),
        boot_time: header.time,
        way: if metadata.direction == Direction::Egress { Way::Out } else { Way::In },
        interface: metadata.ifindex,
        net_ns: net_ns.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        protocol: metadata.protocol,
        length: metadata.length,
        data,
        comment: if known { comment(event, container.as_ref()) } else { "process unknown".into() },
        known,
        comm: header.comm().to_vec(),
        pid: header.pid,
        start_time: header.leader_start_time,
        container: container.map(|c| c.id.into()),
    })
}

/// `process=curl pid=4242 uid=1000 container=c0ffee name=web`
fn comment(event: &Event<'_>, container: Option<&event::json::ContainerRef<'_>>) -> String {
    let header = &event.header;
    let mut comment = format!("process={} pid={} uid={}", files::safe(header.comm()), header.pid, header.uid);
    if header.origin == Origin::Listener {
        comment.push_str(" (listens; not accepted yet)");
    }
    if let Some(container) = container {
        comment.push_str(" container=");
        comment.push_str(container.id);
        if let Some(name) = container.name {
            comment.push_str(" name=");
            comment.push_str(&files::safe(name.as_bytes()));
        }
    }
    comment
}
