//! The account: every event exactly once, or the difference in the ledger.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::{Account, Act, Watch, scaled};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("every_open_once_under_a_flood", every_open_once),
    ("tiny_rings_lose_and_say_so", tiny_rings),
    ("too_big_is_counted", too_big),
    ("loss_ends_with_code_3", loss_ends_with_code_3),
];

/// Sends packets over loopback until told to stop: each is two runs of the programs of the net lane, in the middle of whatever runs.
struct Flood(Arc<AtomicBool>, Vec<std::thread::JoinHandle<u64>>);

impl Flood {
    fn start() -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = sink.local_addr().unwrap();
        let threads = (0..2)
            .map(|_| {
                let (stop, sink) = (Arc::clone(&stop), sink.try_clone().unwrap());
                std::thread::spawn(move || {
                    let (socket, mut sent) = (UdpSocket::bind("127.0.0.1:0").unwrap(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        // A full receive buffer drops packets; they were sent all the same.
                        sent += u64::from(socket.send_to(&[0; 64], to).is_ok());
                    }
                    drop(sink);
                    sent
                })
            })
            .collect();
        Flood(stop, threads)
    }

    fn stop(self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.into_iter().map(|t| t.join().unwrap()).sum()
    }
}

/// Two threads open `count` paths each while packets flood; with `deaf` the reader is stopped meanwhile. Returns how often each of their
/// paths was told.
pub(crate) fn opens(count: usize, options: &[&str], deaf: bool) -> (Account, HashMap<String, usize>) {
    let mut act = Act::new("opens", &[count.to_string()]);
    let tree = format!("tree={}", act.pid());
    let mut all = vec!["--events", "security_file_open,net_packet_dns_request", "--scope", &tree];
    all.extend(options);
    let watch = Watch::start(&all);
    let flood = Flood::start();
    if deaf {
        e2e::signal(watch.pid(), libc::SIGSTOP);
    }
    act.perform();
    e2e::signal(watch.pid(), libc::SIGCONT);
    let packets = flood.stop();
    let account = watch.stop();
    println!("{} opens beside {packets} packets", 2 * count);
    assert!(packets > 0);
    let dir = act.dir.path().to_str().unwrap().to_string();
    let mut seen = HashMap::new();
    for line in account.lines.of("security_file_open") {
        let path = line.get("pathname");
        let path = path.as_str().unwrap();
        if path.starts_with(&dir) && path.contains("/f") {
            *seen.entry(path.to_string()).or_insert(0) += 1;
            assert_eq!(line.process("/host_pid"), act.pid());
        }
    }
    // Every path is one that was opened: nothing torn.
    for thread in 0..2 {
        let told = (0..count).filter(|n| seen.contains_key(&format!("{dir}/t{thread}/f{n}"))).count();
        println!("thread {thread}: {told} of {count} told");
    }
    let known = |p: &str| {
        (0..2).any(|t| {
            p.strip_prefix(&format!("{dir}/t{t}/f"))
                .is_some_and(|n| n.parse().is_ok_and(|n: usize| n < count))
        })
    };
    assert!(seen.keys().all(|p| known(p)));
    (account, seen)
}

fn every_open_once(_: &str) {
    let count = scaled(50_000);
    let (account, seen) = opens(count, &[], false);
    account.assert_balanced();
    assert!(seen.values().all(|&n| n == 1), "told twice");
    let lost = account.sum("ring_full", Some("security_file_open"))
        + account.sum("slot_busy", Some("security_file_open"))
        + account.sum("skipped", Some("dispatch_exit"));
    assert_eq!(2 * count as u64, seen.len() as u64 + lost, "{:#}", account.ledger);
}

fn tiny_rings(_: &str) {
    let count = scaled(20_000);
    // The act opens a few more files than the ones it counts.
    let (account, seen) = opens(count, &["--buffers", "64K"], true);
    account.assert_balanced();
    assert!(seen.values().all(|&n| n == 1), "told twice");
    let lost = account.sum("ring_full", Some("security_file_open"));
    assert!(lost > 0, "rings of a few KiB held everything");
    let told = account.lines.of("security_file_open").len() as u64;
    assert_eq!(account.sum("submitted", Some("security_file_open")), told);
    assert!(seen.len() as u64 + lost >= 2 * count as u64, "{} + {lost}", seen.len());
    // In the stream: the same number, by cause, and no other.
    for line in account.lines.of("lost_events") {
        let ours = e2e::is_of(line.get("probe").as_str().unwrap(), "security_file_open");
        assert!(!ours || line.get("cause") == "ring_full", "{line:?}");
    }
    assert_eq!(account.lost_in_stream("security_file_open"), lost);
    assert!(account.said.contains("ring_full"), "{}", account.said);
    // The holes in the numbers of the records are the records that the rings refused, and no others.
    assert_eq!(account.ledger["holes"], account.sum("ring_full", None));
    assert_eq!(account.ledger["disorder"], 0);
}

fn too_big(_: &str) {
    let (account, _act) =
        e2e::watch_act("argv", &["3000".into()], "sched_process_exec", &["--limit", "2000"]);
    account.assert_balanced();
    // One of ours; executions are taken of everyone, so another program's may be among them.
    let lost = account.sum("too_big", Some("sched_process_exec"));
    assert!(lost >= 1, "{:#}", account.ledger);
    assert!(account.lines.with("sched_process_exec", "cmdpath", "/bin/true").is_empty());
    let told = account.lines.of("lost_events");
    assert!(told.iter().all(|l| l.get("cause") == "too_big"), "{told:?}");
    assert_eq!(told.iter().map(|l| l.get("count").as_u64().unwrap()).sum::<u64>(), lost);
}

fn loss_ends_with_code_3(_: &str) {
    let (account, _act) = e2e::watch_act(
        "argv",
        &["3000".into()],
        "sched_process_exec",
        &["--limit", "2000", "--fail-on-loss"],
    );
    assert_eq!(account.status.code(), Some(3));
    // The control: the same without a loss.
    let (account, _act) = e2e::watch_act("argv", &["3000".into()], "sched_process_exec", &["--fail-on-loss"]);
    assert_eq!(account.status.code(), Some(0));
}
