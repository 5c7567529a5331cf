use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::testing::{Host, header, index, record};
use crate::writer::Descriptor;
use crate::{Options, Outputs, Spec};

/// A disk with so much space.
#[derive(Debug, Default)]
struct Disk {
    content: Vec<u8>,
    space: usize,
    /// Most bytes in one call.
    most: usize,
    can_cut: bool,
}

struct OnDisk(Arc<Mutex<Disk>>);

impl Writer for OnDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let n = bytes.len().min(disk.most).min(disk.space);
        if n == 0 {
            return Err(Errno::NOSPC.into());
        }
        disk.space -= n;
        disk.content.extend(&bytes[..n]);
        Ok(n)
    }

    fn cut(&mut self, torn: usize) -> bool {
        let mut disk = self.0.lock().unwrap();
        if disk.can_cut {
            let whole = disk.content.len() - torn;
            disk.content.truncate(whole);
            disk.space += torn;
        }
        disk.can_cut
    }
}

fn formatter(format: bool) -> Formatter {
    if format { Formatter::Json } else { Formatter::Table(Box::new(Table::new(false, false))) }
}

fn write(sink: &mut Sink, n: usize, messages: &mut Vec<String>) {
    let path = format!("/file-{n}-{}", "x".repeat(n * 7 % 50));
    let at = index("security_file_open", "pathname");
    let record = record("security_file_open", header(b"cat"));
    let record = record.put_str(at, path.as_bytes(), catalogue::Quality::Ok).finish();
    sink.write(Told::Event(&Event::decode(&record).unwrap()), &Host, messages);
}

/// What all these events give where nothing fails.
fn lines(json: bool, events: usize) -> Vec<String> {
    let disk = Disk { space: usize::MAX, most: usize::MAX, ..Disk::default() };
    let disk = Arc::new(Mutex::new(disk));
    let mut sink = Sink::new("disk".into(), formatter(json), Box::new(OnDisk(disk.clone())), false);
    for n in 0..events {
        write(&mut sink, n, &mut Vec::new());
    }
    sink.finish(&mut Vec::new());
    let disk = disk.lock().unwrap();
    String::from_utf8_lossy(&disk.content).lines().map(String::from).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Flush,
    Space(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20usize).prop_map(Step::Write),
        4 => Just(Step::Flush),
        3 => (0..3000usize).prop_map(Step::Space),
    ]
}

proptest! {
    #[test]
    fn never_a_torn_line_and_every_event_accounted_for(
        json: bool, can_cut: bool, most in 1..5000usize, steps in prop::collection::vec(step(), 1..40),
    ) {
        let events = steps.iter().map(|s| if let Step::Write(n) = s { *n } else { 0 }).sum();
        let all = lines(json, events);
        let disk = Arc::new(Mutex::new(Disk { most, can_cut, ..Disk::default() }));
        let mut sink = Sink::new("disk".into(), formatter(json), Box::new(OnDisk(disk.clone())), false);
        let (mut next, mut messages) = (0, Vec::new());
        let check = |sink: &mut Sink, at_end: bool| {
            let disk = disk.lock().unwrap();
            let content = std::str::from_utf8(&disk.content).unwrap();
            let torn = !content.is_empty() && !content.ends_with('\n');
            prop_assert!(!torn || (!can_cut && !at_end), "{content}");
            // The lines are some of all, in their order; the last one may be on its way.
            let mut rest = all.iter();
            let mut lines: Vec<_> = content.lines().collect();
            let last = if torn { lines.pop() } else { None };
            for line in &lines {
                prop_assert!(rest.any(|whole| whole == line), "{line}");
            }
            if let Some(last) = last {
                prop_assert!(rest.any(|whole| whole.starts_with(last)), "{last}");
            }
            let header = usize::from(!json && !lines.is_empty());
            prop_assert_eq!(sink.counts.written as usize, lines.len() - header);
            if header > 0 {
                prop_assert_eq!(lines[0], &all[0]);
            }
            let open = sink.counts.delivered - sink.counts.written - sink.counts.dropped;
            prop_assert_eq!(open, sink.events_in(sink.buffer.len()));
            Ok(())
        };
        for step in steps {
            match step {
                Step::Write(n) => for _ in 0..n {
                    write(&mut sink, next, &mut messages);
                    next += 1;
                },
                Step::Flush => {
                    sink.flush(&mut messages);
                    prop_assert!(sink.events_in(sink.buffer.len()) <= 1);
                    check(&mut sink, false)?;
                }
                Step::Space(space) => disk.lock().unwrap().space = space,
            }
        }
        disk.lock().unwrap().space = usize::MAX;
        sink.finish(&mut messages);
        check(&mut sink, true)?;
        prop_assert_eq!(sink.counts.delivered as usize, next);
        prop_assert_eq!(sink.counts.delivered, sink.counts.written + sink.counts.dropped);
        // A message for each change, so they alternate.
        for (n, message) in messages.iter().enumerate() {
            prop_assert_eq!(message.contains("can be written again; "), n % 2 == 1, "{:?}", messages);
        }
    }
}

#[test]
fn a_full_device() {
    let mut outputs = Outputs::open(&[Spec::parse("json:/dev/full").unwrap()], Options::default()).unwrap();
    let record = record("setuid", header(b"su")).put_u32(0, 0).finish();
    let event = Event::decode(&record).unwrap();
    for _ in 0..3 {
        outputs.write(&event, &Host);
        outputs.flush();
    }
    let messages: Vec<_> = outputs.messages().collect();
    insta::assert_debug_snapshot!(messages, @r#"
    [
        "output json:/dev/full: No space left on device (os error 28); events are dropped until it can be written again",
    ]
    "#);
    assert_eq!(outputs.messages().next(), None);
    assert!(!outputs.closed());
    assert!(outputs.states().all(|(_, state)| matches!(state, State::Failing(_))));
    let counts = outputs.counts();
    assert_eq!((counts[0].delivered, counts[0].written, counts[0].dropped), (3, 0, 3));
}

#[test]
fn it_says_when_it_goes_on() {
    let disk = Arc::new(Mutex::new(Disk { most: 100, can_cut: true, ..Disk::default() }));
    let mut sink = Sink::new("json:/x".into(), Formatter::Json, Box::new(OnDisk(disk.clone())), false);
    let mut messages = Vec::new();
    for n in 0..1234 {
        write(&mut sink, n, &mut messages);
    }
    sink.flush(&mut messages);
    disk.lock().unwrap().space = usize::MAX;
    write(&mut sink, 0, &mut messages);
    sink.finish(&mut messages);
    insta::assert_debug_snapshot!(messages, @r#"
    [
        "output json:/x: No space left on device (os error 28); events are dropped until it can be written again",
        "output json:/x: can be written again; dropped until then: 1,234",
    ]
    "#);
    assert_eq!((sink.counts.written, sink.counts.dropped), (1, 1234));
}

#[test]
fn a_closed_pipe_ends_the_program() {
    let (mut reader, writer) = io::pipe().unwrap();
    let descriptor = Descriptor::new(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
    let sink = Sink::new("json:stdout".into(), Formatter::Json, Box::new(descriptor), true);
    let mut outputs = Outputs::of(vec![sink]);
    let record = record("setuid", header(b"su")).put_u32(0, 0).finish();
    let event = Event::decode(&record).unwrap();
    outputs.write(&event, &Host);
    outputs.flush();
    assert!(!outputs.closed());
    let mut first = [0; 1];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"{");
    drop(reader);
    for _ in 0..3 {
        outputs.write(&event, &Host);
        outputs.flush();
        assert!(outputs.closed());
    }
    outputs.finish();
    assert_eq!(outputs.messages().next(), None);
    let counts = &outputs.counts()[0];
    assert_eq!((counts.delivered, counts.written, counts.dropped), (4, 1, 3));
}

#[test]
fn a_file_is_cut_back_unless_another_has_written_behind() {
    let mut file = tempfile::tempfile().unwrap();
    let mut descriptor = Descriptor::new(file.try_clone().unwrap()).unwrap();
    assert_eq!(descriptor.write(b"whole\ntorn").unwrap(), 10);
    assert!(descriptor.cut(4));
    descriptor.write(b"next\nto").unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"another's").unwrap();
    file.seek(SeekFrom::Start(13)).unwrap();
    assert!(!descriptor.cut(2));
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "whole\nnext\ntoanother's");
}

#[test]
fn a_pipe_that_would_block_is_waited_for() {
    let (mut reader, writer) = io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    let descriptor = Descriptor::new(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
    let mut sink = Sink::new("json:stdout".into(), Formatter::Json, Box::new(descriptor), true);
    let thread = std::thread::spawn(move || {
        for n in 0..2000 {
            write(&mut sink, n, &mut Vec::new());
        }
        sink.finish(&mut Vec::new());
        sink.counts.clone()
    });
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let counts = thread.join().unwrap();
    assert_eq!((counts.written, counts.dropped), (2000, 0));
    assert_eq!(text.lines().count(), 2000);
}
