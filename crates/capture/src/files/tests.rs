use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn packet(n: u8) -> Packet {
    Packet {
        time: 1_700_000_000_000_000_000 + u64::from(n),
        boot_time: n.into(),
        way: Way::Out,
        interface: 2,
        net_ns: 7,
        protocol: 6,
        length: 100,
        data: vec![n; 40],
        comment: format!("comment {n}"),
        known: true,
        comm: b"curl".to_vec(),
        pid: 42,
        start_time: 5,
        container: None,
    }
}

fn read(path: &Path) -> Vec<u8> {
    pcapng::packets(&fs::read(path).unwrap()).into_iter().map(|(data, ..)| data[0]).collect()
}

fn files(folder: &Path, splits: &[Split], rotation: Rotation) -> Files {
    Files::new(folder.into(), splits.into(), rotation)
}

#[test]
fn each_packet_in_each_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let all = [Split::Single, Split::Process, Split::Container, Split::Command];
    let (mut files, mut tally) = (files(folder.path(), &all, Rotation::default()), Tally::default());
    let others = [
        packet(1),
        Packet { container: Some("c0ffee".into()), ..packet(2) },
        Packet { comm: b"../x\n".to_vec(), ..packet(3) },
        Packet { known: false, ..packet(4) },
    ];
    others.iter().for_each(|p| files.put(p, &mut tally));
    files.flush(&mut tally);
    assert_eq!((tally.written, tally.dropped, tally.seconds), (16, 0, 0));
    let path = |name: &str| read(&folder.path().join(name));
    assert_eq!(path("single.pcap"), [1, 2, 3, 4]);
    assert_eq!(path("processes/host/curl_42_5.pcap"), [1]);
    assert_eq!(path("processes/c0ffee/curl_42_5.pcap"), [2]);
    assert_eq!(path("commands/host/%2E.%2Fx%0A.pcap"), [3]);
    assert_eq!(path("containers/host.pcap"), [1, 3]);
    assert_eq!(path("containers/unknown.pcap"), [4]);
    assert_eq!(path("processes/unknown.pcap"), [4]);
}

#[test]
fn over_loopback_once() {
    let folder = tempfile::tempdir().unwrap();
    let both = [Split::Single, Split::Process];
    let (mut files, mut tally) = (files(folder.path(), &both, Rotation::default()), Tally::default());
    let sent = Packet { interface: LOOPBACK, ..packet(1) };
    let received = Packet { way: Way::In, pid: 43, ..sent.clone() };
    // Longer than what loopback takes at once: its parts come in.
    let long = Packet { length: 65600, ..sent.clone() };
    [&sent, &received, &long].into_iter().for_each(|p| files.put(p, &mut tally));
    files.flush(&mut tally);
    assert_eq!(read(&folder.path().join("single.pcap")), [1]);
    assert_eq!(read(&folder.path().join("processes/host/curl_42_5.pcap")), [1, 1]);
    assert_eq!(read(&folder.path().join("processes/host/curl_43_5.pcap")), [1]);
    assert_eq!((tally.written, tally.seconds), (4, 2));
}

#[test]
fn a_file_that_is_there_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..2 {
        let mut files = files(folder.path(), &[Split::Single], Rotation::default());
        files.put(&packet(n), &mut Tally::default());
        files.flush(&mut Tally::default());
    }
    assert_eq!(read(&folder.path().join("single.pcap")), [0, 1]);
}

#[test]
fn more_files_than_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut tally) =
        (files(folder.path(), &[Split::Process], Rotation::default()), Tally::default());
    for round in 0..2 {
        for pid in 0..2 * OPEN as u32 {
            files.put(&Packet { pid, ..packet(round) }, &mut tally);
            assert!(files.open.len() <= OPEN);
        }
    }
    files.flush(&mut tally);
    for pid in 0..2 * OPEN {
        assert_eq!(read(&folder.path().join(format!("processes/host/curl_{pid}_5.pcap"))), [0, 1]);
    }
    assert_eq!(tally.written, 4 * OPEN as u64);
}

#[test]
fn rotated_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let rotation = Rotation { size: Some(4096), keep: Some(2), ..Rotation::default() };
    let (mut files, mut tally) = (files(folder.path(), &[Split::Single], rotation), Tally::default());
    (0..210).for_each(|n| files.put(&packet(n), &mut tally));
    files.flush(&mut tally);
    let names: BTreeSet<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|n| fs::metadata(folder.path().join(n)).unwrap().len() < 4096 + 512));
    // In the order of time, without a hole, up to the last.
    let told: Vec<u8> = names.iter().flat_map(|n| read(&folder.path().join(n))).collect();
    assert_eq!(told, (210 - told.len() as u8..210).collect::<Vec<_>>());
    assert_eq!((tally.written, tally.dropped), (210, 0));
    assert!(tally.messages.is_empty(), "{:?}", tally.messages);
}

#[test]
fn what_can_not_be_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Where a folder should be made is a file.
    fs::write(folder.path().join("containers"), "").unwrap();
    let splits = [Split::Single, Split::Container];
    let (mut files, mut tally) = (files(folder.path(), &splits, Rotation::default()), Tally::default());
    (0..5).for_each(|n| files.put(&packet(n), &mut tally));
    files.flush(&mut tally);
    assert_eq!(tally.written + tally.dropped, 10);
    // The first was written; then nothing is tried for a while.
    assert_eq!((tally.written, read(&folder.path().join("single.pcap"))), (1, vec![0]));
    assert!(tally.messages[0].contains("containers"), "{:?}", tally.messages);
}

proptest! {
    #[test]
    fn names_are_safe_and_apart(a in proptest::collection::vec(any::<u8>(), 1..16), b in proptest::collection::vec(any::<u8>(), 1..16)) {
        let (one, other) = (safe(&a), safe(&b));
        prop_assert!(!one.contains('/') && !one.starts_with('.'));
        prop_assert_eq!(one == other, a == b);
    }
}
