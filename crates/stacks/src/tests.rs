use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use catalogue::fields::security_file_open;
use context::Symbol;
use event::build::RecordBuilder;
use event::{Frame, Header, Memory, Origin, USER_STACK};
use proptest::prelude::*;

use super::*;
use crate::elf::Elf;

#[inline(never)]
fn well_known() -> u32 {
    std::hint::black_box(42)
}

fn place(path: &Path, offset: u64) -> Place {
    let m = fs::metadata(path).unwrap();
    let ctime = (m.ctime() * 1_000_000_000 + m.ctime_nsec()).cast_unsigned();
    Place { dev: m.dev() as u32, inode: m.ino(), ctime, offset }
}

/// Where this process has the code of that address from.
fn own(address: u64) -> Place {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let found = maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
        let offset = number(words.nth(1)?);
        let name = words.nth(2)?;
        (number(start)..number(end))
            .contains(&address)
            .then(|| place(Path::new(name), offset + address - number(start)))
    });
    found.unwrap()
}

fn record(pid: u32, frames: &[Frame]) -> Vec<u8> {
    let header = Header { origin: Origin::Current, pid, tid: pid, ..Header::unknown(1) };
    let frames: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    RecordBuilder::new(catalogue::event_by_id(security_file_open::EVENT_ID).unwrap(), header)
        .put(USER_STACK, Quality::Ok, &frames)
        .finish()
}

fn at(address: u64, place: Place) -> Frame {
    Frame { address, memory: Memory::File(place), behind: false }
}

/// All that waits, as it comes; the time that this took.
fn settle(stacks: &mut Stacks, symbols: &mut Symbols) -> (Vec<Vec<u8>>, Duration) {
    let (mut records, begun) = (vec![], Instant::now());
    while stacks.waits() {
        stacks.learn(symbols);
        while let Some(record) = stacks.next(symbols) {
            records.push(record);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (records, begun.elapsed())
}

#[test]
fn a_function_of_this_program_and_the_order_of_what_waits() {
    let (mut stacks, mut symbols) = (Stacks::start().unwrap(), Symbols::default());
    assert_eq!(well_known(), 42);
    let address = well_known as fn() -> u32 as usize as u64;
    let mine = own(address);
    let first = record(std::process::id(), &[at(address, mine)]);
    let second = record(std::process::id(), &[]);
    assert!(stacks.pass(&second, |_| true, &mut symbols), "it waits for nothing");
    assert!(!stacks.pass(&first, |_| true, &mut symbols));
    assert!(!stacks.pass(&second, |_| true, &mut symbols), "it waits for the first");
    // However slow this machine is.
    let (mut records, _) = settle(&mut stacks, &mut symbols);
    assert_eq!((records.remove(0), records.remove(0), records.len()), (first.clone(), second, 0));
    std::iter::from_fn(|| (symbols.get(&mine).is_none()).then(|| stacks.learn(&mut symbols)))
        .for_each(|()| std::thread::sleep(Duration::from_millis(1)));
    let symbol = symbols.get(&mine).unwrap();
    let function = symbol.function.as_ref().unwrap();
    // How much of its path is there is a matter of what was built for debuggers.
    assert!(function.name.ends_with("well_known"), "{function:?}");
    assert_eq!(function.offset, 0);
    assert!(function.source.as_ref().unwrap().contains("src/tests.rs:"), "{function:?}");
    let path = std::env::current_exe().unwrap();
    assert_eq!(symbol.path.as_deref(), Some(path.as_os_str().as_encoded_bytes()));
    // Known now, whoever asks.
    assert!(stacks.pass(&record(0, &[at(0, mine)]), |_| true, &mut symbols));
}

#[test]
fn another_file_gives_no_name() {
    let (mut stacks, mut symbols) = (Stacks::start().unwrap(), Symbols::default());
    let address = well_known as fn() -> u32 as usize as u64;
    let other = Place { ctime: 1, ..own(address) };
    assert!(!stacks.pass(&record(std::process::id(), &[at(address, other)]), |_| true, &mut symbols));
    settle(&mut stacks, &mut symbols);
    assert_eq!(symbols.get(&other), Some(&Symbol { path: None, function: Err(Unresolved::Gone) }));
    assert_eq!(stacks.unresolved().collect::<Vec<_>>(), [("file_gone", 1)]);
    assert_eq!(stacks.late(), 0);
}

#[test]
fn what_does_not_come_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    // A queue that nobody works off, as a file system that never answers would make it.
    let (mut stacks, mut symbols) = (Stacks::start().unwrap(), Symbols::default());
    stacks.worker = worker::Worker::stuck();
    let path = dir.path().join("x");
    fs::write(&path, "x").unwrap();
    assert!(!stacks.pass(&record(1, &[at(0, place(&path, 0))]), |_| true, &mut symbols));
    let (records, time) = settle(&mut stacks, &mut symbols);
    assert_eq!(records.len(), 1);
    assert!(time >= WAIT && time < 4 * WAIT, "{time:?}");
    assert_eq!(stacks.late(), 1);
    // Nor is more kept than there is room for.
    let frames: Vec<Frame> = (0..32).map(|n| at(0, place(&path, n + 2))).collect();
    let record = record(1, &frames);
    let mut kept = 0;
    while stacks.bytes <= HELD {
        assert!(!stacks.pass(&record, |_| true, &mut symbols));
        kept += 1;
    }
    assert!(kept > 100 && stacks.next(&symbols).is_some());
}

fn opened(path: &Path) -> Result<Elf, Unresolved> {
    let Place { dev, inode, ctime, .. } = place(path, 0);
    Elf::copy(&hashes::Exact::open(&FileId { dev, inode, ctime }, 0, path, false).unwrap())
}

#[test]
fn what_is_no_elf_file_is_unreadable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    for content in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0xff; 4096]] {
        fs::write(&path, content).unwrap();
        assert_eq!(opened(&path).unwrap().function(1), Err(Unresolved::Unreadable), "{content:?}");
    }
    let long = fs::File::create(&path).unwrap();
    long.set_len(elf::LONGEST + 1).unwrap();
    assert_eq!(opened(&path).err(), Some(Unresolved::TooLarge));
}

/// A small program with symbols and debug information.
static PROGRAM: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("x.c"), dir.path().join("x"));
    fs::write(&source, "static int g(int n) { return n * 3; }\nint main(int n, char **v) { return g(n); }\n")
        .unwrap();
    let status =
        std::process::Command::new("cc").args(["-g", "-O1", "-o"]).args([&program, &source]).status();
    assert!(status.unwrap().success());
    fs::read(program).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a program's file holds, there is an answer.
    #[test]
    fn damaged_files_are_answered(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64),
        head in proptest::collection::vec((0usize..4096, any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        offsets in proptest::collection::vec(0u64..0x3000, 4),
    ) {
        let mut program = PROGRAM.clone();
        for (at, byte) in damage {
            let at = at.index(program.len());
            program[at] = byte;
        }
        for (at, byte) in head {
            program[at] = byte;
        }
        if cut {
            program.truncate(end.index(program.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, program).unwrap();
        let elf = opened(&path).unwrap();
        for offset in offsets {
            // A panic is one of the answers: the thread takes it for that.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| elf.function(offset)));
        }
    }
}
