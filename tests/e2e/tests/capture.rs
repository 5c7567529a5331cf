//! Captured packets: against what tcpdump writes of the same traffic, read by tshark.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Account, Act, Watch, scaled};
use serde_json::json;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("captured_as_by_tcpdump", |_| as_by_tcpdump()),
    ("captured_in_files_of_their_own", |_| in_files_of_their_own()),
    ("captured_are_selected", |_| selected()),
    ("captured_files_are_put_aside", |_| put_aside()),
    ("captured_until_the_disk_is_full", |_| until_the_disk_is_full()),
    ("captured_beside_a_flood", |_| beside_a_flood()),
];

/// A folder for files.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::Builder::new().prefix("tarsius-capture-").tempdir_in("/tmp").unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("out/pcap").join(name)
    }

    /// The options of a watch that captures into it.
    pub(crate) fn options(&self, more: &[&str]) -> Vec<String> {
        let dir = format!("dir.path={}", self.0.path().display());
        let all = ["network", &dir].into_iter().chain(more.iter().copied());
        all.flat_map(|o| ["--artifacts".to_string(), o.to_string()]).collect()
    }
}

/// Watches an act, and captures.
fn capture(act: &str, args: &[String], more: &[&str], folder: &Folder, artifacts: &[&str]) -> (Account, Act) {
    let mut act = Act::new(act, args);
    let options = folder.options(artifacts);
    let all: Vec<&str> = more.iter().copied().chain(options.iter().map(String::as_str)).collect();
    let watch = Watch::start(&all);
    act.perform();
    (watch.stop(), act)
}

/// What tshark prints of a file; it must have nothing to complain of.
pub(crate) fn tshark(file: &Path, args: &[&str]) -> String {
    let out = Command::new("tshark").arg("-r").arg(file).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let complaints: Vec<&str> = said.lines().filter(|l| !l.starts_with("Running as user")).collect();
    assert!(out.status.success() && complaints.is_empty(), "{}: {said}", file.display());
    String::from_utf8(out.stdout).unwrap()
}

/// Packets, and how often each is there.
type Packets = BTreeMap<Vec<u8>, usize>;

/// The packets of a file of libpcap's format, from their IP headers on, in their order.
pub(crate) fn in_order(file: &Path, link_header: usize) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).unwrap();
    assert_eq!(bytes[..2], [0xd4, 0xc3], "{}", file.display());
    let (mut rest, mut packets) = (&bytes[24..], vec![]);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        packets.push(rest[16 + link_header..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}

/// How often each packet is in a file.
fn packets(file: &Path, link_header: usize) -> Packets {
    let mut packets = Packets::new();
    for packet in in_order(file, link_header) {
        *packets.entry(packet).or_default() += 1;
    }
    packets
}

/// Packets that are in one more often than in the other: their lengths, beginnings, and how often.
fn difference(one: &Packets, other: &Packets) -> Vec<(usize, Vec<u8>, isize)> {
    let count = |of: &Packets, packet| of.get(packet).copied().unwrap_or(0) as isize;
    let all: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let differences = all.into_iter().map(|p| (p.clone(), count(one, p) - count(other, p)));
    differences
        .filter(|(_, n)| *n != 0)
        .map(|(p, n)| (p.len(), p.into_iter().take(64).collect(), n))
        .collect()
}

fn as_by_tcpdump() {
    let folder = Folder::new();
    let (account, act) = capture(
        "beside_tcpdump",
        &[],
        &["--buffers", "256M", "--events", "sched_process_exit"],
        &folder,
        &["network.pcap.snaplen=max"],
    );
    account.assert_clean();
    let single = folder.file("single.pcap");
    // All of the namespace, and only that, in a format that is easily read.
    let net_ns = fs::read_to_string(act.dir.path().join("net_ns")).unwrap();
    let of = format!("frame.interface_description == \"network namespace {net_ns}\"");
    let ours = act.dir.path().join("ours.pcap");
    tshark(&single, &["-Y", &of, "-F", "pcap", "-w", ours.to_str().unwrap()]);
    let ours = packets(&ours, 0);
    let theirs = packets(&act.dir.path().join("tcpdump.pcap"), 14);
    println!("{} packets by tcpdump, {} here", theirs.values().sum::<usize>(), ours.values().sum::<usize>());
    let differs = difference(&ours, &theirs);
    assert!(theirs.values().sum::<usize>() > 150 && differs.is_empty(), "{differs:02x?}");
    // The comparison sees one byte that is another, one packet that is missing, and one that is there twice.
    let first = || ours.keys().next().unwrap().clone();
    let mut wrong = ours.clone();
    let mut changed = first();
    wrong.remove(&changed);
    assert_eq!(difference(&wrong, &theirs).len(), 1);
    *changed.last_mut().unwrap() ^= 1;
    wrong.insert(changed, ours[&first()]);
    assert_eq!(difference(&wrong, &theirs).len(), 2);
    wrong.clone_from(&ours);
    *wrong.get_mut(&first()).unwrap() += 1;
    assert_eq!(difference(&wrong, &theirs).len(), 1);
    // What has a socket of the act's is the act's.
    let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment", "-Y"];
    let served = format!("{of} && (tcp.port == {0} || udp.port == {0})", e2e::traffic::PORT);
    let lines = tshark(&single, &[&fields[..], &[&served]].concat());
    let whose = format!(" pid={} uid=0", act.pid());
    assert!(lines.lines().count() > 100);
    for line in lines.lines() {
        assert!(line.starts_with("lo\tprocess=e2e-") && line.contains(&whose), "{line}");
    }
    let malformed = format!("{of} && _ws.malformed");
    assert_eq!(tshark(&single, &["-Y", &malformed]), "");
}

/// What UDP carries in a file, with the comments.
fn words(file: &Path) -> Vec<(String, String)> {
    let out = tshark(file, &["-T", "fields", "-e", "udp.payload", "-e", "frame.comment", "-Y", "udp"]);
    let text = |hex: &str| {
        let byte = |n| u8::from_str_radix(&hex[n..n + 2], 16).unwrap();
        String::from_utf8_lossy(&(0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>()).into_owned()
    };
    out.lines().map(|l| l.split_once('\t').unwrap()).map(|(a, b)| (text(a), b.to_string())).collect()
}

fn in_files_of_their_own() {
    let folder = Folder::new();
    let mut act = Act::new("talk", &[]);
    let tree = format!("tree={}", act.pid());
    let options = folder.options(&["network.pcap.split=single,process,command,container"]);
    let more = ["--buffers", "256M", "--events", "sched_process_exit", "--scope", &tree];
    let watch = Watch::start(&more.into_iter().chain(options.iter().map(String::as_str)).collect::<Vec<_>>());
    act.perform();
    let account = watch.stop();
    account.assert_clean();
    let child: u32 = fs::read_to_string(act.dir.path().join("child")).unwrap().parse().unwrap();
    let processes: Vec<_> =
        fs::read_dir(folder.file("processes/host")).unwrap().map(|e| e.unwrap().path()).collect();
    let of = |pid: u32| {
        let found = processes.iter().find(|p| p.to_str().unwrap().contains(&format!("_{pid}_"))).unwrap();
        let words = words(found);
        assert!(words.iter().all(|(_, comment)| comment.contains(&format!(" pid={pid} "))), "{words:?}");
        words.into_iter().map(|(word, _)| word).collect::<Vec<_>>()
    };
    assert_eq!(processes.len(), 2, "{processes:?}");
    // Each has both directions; what one sends to itself is there once.
    assert_eq!(of(act.pid()), ["question", "answer", "myself"]);
    assert_eq!(of(child), ["question", "answer"]);
    let commands: Vec<_> =
        fs::read_dir(folder.file("commands/host")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    // In a file of both it is as it was sent, and once.
    for file in [folder.file("single.pcap"), folder.file("containers/host.pcap"), commands[0].clone()] {
        let words = words(&file);
        let whose = |n: usize| words[n].1.split(' ').nth(1).unwrap().to_string();
        assert_eq!(words.iter().map(|w| &w.0).collect::<Vec<_>>(), ["question", "answer", "myself"]);
        let (parent, child) = (format!("pid={}", act.pid()), format!("pid={child}"));
        assert_eq!([whose(0), whose(1), whose(2)], [child, parent.clone(), parent]);
    }
}

fn selected() {
    let folder = Folder::new();
    let mut act = Act::new("triggers", &["packet".into()]);
    let tree = format!("tree={}", act.pid());
    let artifacts = ["network.pcap.options=filtered", "network.pcap.snaplen=max"];
    let options = folder.options(&artifacts);
    let more = ["--events", "dns,net_packet_icmp", "--scope", &tree];
    let watch = Watch::start(&more.into_iter().chain(options.iter().map(String::as_str)).collect::<Vec<_>>());
    act.perform();
    let account = watch.stop();
    account.assert_clean();
    let single = folder.file("single.pcap");
    let count = |filter: &str| tshark(&single, &["-Y", filter]).lines().count();
    // The triggers send TCP, UDP and ICMPv6 as well.
    assert!(count("dns") > 0 && count("icmp") > 0);
    assert_eq!(count("not dns and not icmp"), 0);
    let (_, _, said) =
        e2e::run(&["watch", "--events", "openat", "--artifacts", "network.pcap.options=filtered"]);
    assert!(said.contains("no event of packets is selected"), "{said}");
}

fn put_aside() {
    let folder = Folder::new();
    let artifacts =
        ["network.pcap.snaplen=max", "network.pcap.rotate.size=1mb", "network.pcap.rotate.files=2"];
    let mut act = Act::new("flood_tcp", &["4".into()]);
    let tree = format!("tree={}", act.pid());
    let options = folder.options(&artifacts);
    let more = ["--buffers", "256M", "--events", "sched_process_exit", "--scope", &tree];
    let watch = Watch::start(&more.into_iter().chain(options.iter().map(String::as_str)).collect::<Vec<_>>());
    act.perform();
    watch.stop().assert_clean();
    let files: Vec<_> = fs::read_dir(folder.file("")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() == 2 || files.len() == 3, "{files:?}");
    for file in files {
        assert!(fs::metadata(&file).unwrap().len() < (1 << 20) + 70_000);
        assert!(tshark(&file, &[]).lines().count() > 0);
    }
}

/// A file system of little room; gone with it.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Small {
        fs::create_dir(&at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "none"]).arg(&at).status();
        assert!(done.unwrap().success());
        Small(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn until_the_disk_is_full() {
    let place = tempfile::tempdir().unwrap();
    let small = Small::mount(place.path().join("small"));
    let mut act = Act::new("flood_tcp", &["3".into()]);
    let tree = format!("tree={}", act.pid());
    let dir = format!("dir.path={}", small.0.display());
    let watch = Watch::start(&[
        "--events",
        "net_flow_tcp_end",
        "--scope",
        &tree,
        "--fail-on-loss",
        "--artifacts",
        "network.pcap.snaplen=max",
        "--artifacts",
        &dir,
    ]);
    act.perform();
    let account = watch.stop();
    // The stream went on: both ends of three connections.
    assert_eq!(account.lines.of("net_flow_tcp_end").len(), 6);
    account.assert_balanced();
    // It is said once, and counted: in the stream, and the same in the summary.
    assert_eq!(account.said.matches("No space left on device").count(), 1, "{}", account.said);
    let told = account.lines.of("lost_events");
    let told: Vec<_> = told.iter().filter(|l| l.get("probe") == "capture").collect();
    assert!(told.iter().all(|l| l.get("cause") == "unwritten" && l.get("lane") == "bulk"), "{told:?}");
    let lost: u64 = told.iter().map(|l| l.get("count").as_u64().unwrap()).sum();
    let row = account.said.lines().find(|l| l.contains("unwritten")).unwrap();
    let summed = row.split_whitespace().last().unwrap().replace(',', "");
    assert!(lost > 0 && summed == lost.to_string(), "{lost}: {row}");
    assert_eq!(account.status.code(), Some(3));
    // What was written is whole.
    assert!(tshark(&small.0.join("out/pcap/single.pcap"), &[]).lines().count() > 0);
}

fn beside_a_flood() {
    let folder = Folder::new();
    let count = scaled(20_000);
    let options = folder.options(&["network.pcap.snaplen=max"]);
    let more: Vec<&str> = ["--buffers", "2M"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let (account, seen) = crate::loss::opens(count, &more, false);
    account.assert_balanced();
    // Whatever the capture lost, it is in the ledger, and the lanes of events are not touched by it.
    let of = |lane: &str, column: &str| -> u64 {
        let rows = account.ledger["rows"].as_array().unwrap();
        rows.iter().filter(|r| r["lane"] == lane).map(|r| r[column].as_u64().unwrap()).sum()
    };
    println!(
        "captured: {} records, {} refused by the rings",
        of("bulk", "received"),
        of("bulk", "ring_full")
    );
    assert!(of("bulk", "received") > 0);
    let lost = account.sum("ring_full", Some("security_file_open"))
        + account.sum("slot_busy", Some("security_file_open"))
        + account.sum("skipped", Some("dispatch_exit"));
    assert_eq!(2 * count as u64, seen.len() as u64 + lost, "{:#}", account.ledger);
    assert_eq!(account.ledger["disorder"], json!(0));
}
