//! What packets cost: our programs beside empty ones on the same hooks, and beside tcpdump on the same traffic.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::UdpSocket;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::empty::EmptyPackets;
use crate::watch::{Report, cpu_of};
use crate::{TURNS, cpu_time, median, table, unpinned};

/// Datagrams in one turn: each leaves a socket and reaches another, so that each program runs once for it.
const PACKETS: u64 = 50_000;
const PORT: u16 = 23301;
/// Bytes that each carries.
const PAYLOAD: usize = 512;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Bare,
    Empty,
    /// A watch with those options.
    Watch(&'static [&'static str]),
    Tcpdump,
}

const CAPTURE: [&str; 4] = ["--artifacts", "network.pcap.snaplen=max", "--artifacts", "dir.clear"];

const WAYS: [(Way, &str); 8] = [
    (Way::Bare, "nothing attached"),
    (Way::Empty, "empty programs on cgroup_skb, both ways"),
    (Way::Watch(&["--events", "net_packet_icmp"]), "nothing of it wanted (net_packet_icmp)"),
    (Way::Watch(&["--events", "net_packet_http"]), "net_packet_http wanted, which it is not"),
    (Way::Watch(&["--events", "net_packet_udp"]), "net_packet_udp delivered"),
    (Way::Watch(&["--events", "net_packet_raw"]), "net_packet_raw delivered"),
    (Way::Watch(&CAPTURE), "captured whole (--artifacts network)"),
    (Way::Tcpdump, "tcpdump -w"),
];
/// The empty programs' place.
const EMPTY: usize = 1;

/// What became of a turn.
#[derive(Default)]
struct Turn {
    /// CPU nanoseconds of the load for one packet.
    cpu: f64,
    /// Packets a second.
    rate: f64,
    missed: u64,
    /// CPU nanoseconds of the watcher for one packet.
    watcher: f64,
}

pub(crate) fn packets() -> anyhow::Result<()> {
    println!(
        "{TURNS} turns of {PACKETS} datagrams of {PAYLOAD} bytes over loopback on CPU 0; median of the turns\n"
    );
    let folder = std::env::temp_dir().join(format!("tarsius-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut turns: Vec<Vec<Turn>> = WAYS.iter().map(|_| vec![]).collect();
    load()?;
    for _ in 0..TURNS {
        for ((way, _), turns) in WAYS.iter().zip(&mut turns) {
            turns.push(match way {
                Way::Bare => load()?,
                Way::Empty => {
                    let _attached = EmptyPackets::attach()?;
                    load()?
                }
                Way::Watch(options) => watched(options, &folder)?,
                Way::Tcpdump => dumped(&folder)?,
            });
        }
    }
    std::fs::remove_dir_all(&folder)?;
    let of = |n: usize, f: &dyn Fn(&Turn) -> f64| median(&mut turns[n].iter().map(f).collect::<Vec<_>>());
    let (bare, empty) = (of(0, &|t| t.cpu), of(EMPTY, &|t| t.cpu));
    let mut table =
        table(&["WAY", "ns per packet", "added", "ratio to empty", "packets/s", "missed", "watcher's ns"]);
    for (n, (_, name)) in WAYS.iter().enumerate() {
        let added = of(n, &|t| t.cpu) - bare;
        table.add_row([
            name.to_string(),
            format!("{:.0}", of(n, &|t| t.cpu)),
            format!("{added:.0}"),
            format!("{:.2}", added / (empty - bare)),
            format!("{:.0}", of(n, &|t| t.rate)),
            turns[n].iter().map(|t| t.missed).sum::<u64>().to_string(),
            format!("{:.0}", of(n, &|t| t.watcher)),
        ]);
    }
    println!(
        "{table}\n\n(a packet is told twice by a watch, as it leaves and as it arrives; tcpdump tells it once)\n"
    );
    Ok(())
}

/// Sends each datagram and receives it.
fn load() -> anyhow::Result<Turn> {
    let server = UdpSocket::bind(("127.0.0.1", PORT)).context("binding")?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(("127.0.0.1", PORT))?;
    let mut buffer = [7; PAYLOAD];
    let (cpu, wall) = (cpu_time(), Instant::now());
    for _ in 0..PACKETS {
        client.send(&buffer)?;
        server.recv(&mut buffer)?;
    }
    let cpu = (cpu_time() - cpu) as f64 / PACKETS as f64;
    Ok(Turn { cpu, rate: PACKETS as f64 / wall.elapsed().as_secs_f64(), ..Turn::default() })
}

fn watched(options: &[&str], folder: &std::path::Path) -> anyhow::Result<Turn> {
    let own = format!("pid={}", std::process::id());
    let place = format!("dir.path={}", folder.display());
    let mut all = vec!["--scope", &own, "--output", "json:/dev/null"];
    all.extend(options);
    if options.contains(&"--artifacts") {
        all.extend(["--artifacts", &place, "--events", "sched_process_exit"]);
    }
    let watch = unpinned(&all)?;
    let before = watch.cpu()?;
    let turn = load()?;
    // What is in the rings is still to be read.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let Report { lost, cpu, .. } = watch.stop(before)?;
    Ok(Turn { missed: lost, watcher: cpu as f64 / PACKETS as f64, ..turn })
}

/// A tcpdump that writes the traffic to a file.
fn dumped(folder: &std::path::Path) -> anyhow::Result<Turn> {
    let mut child = Command::new("tcpdump")
        .args(["-i", "lo", "-s", "0", "-Z", "root", "-w"])
        .arg(folder.join("tcpdump.pcap"))
        .args(["udp", "port", &PORT.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .context("starting tcpdump")?;
    let mut stderr = BufReader::new(child.stderr.take().context("no standard error")?);
    let mut said = String::new();
    while !said.contains("listening on") {
        ensure!(stderr.read_line(&mut said)? > 0, "tcpdump did not begin: {said}");
    }
    let before = cpu_of(&child)?;
    let turn = load()?;
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let watcher = (cpu_of(&child)? - before) as f64 / PACKETS as f64;
    let captured = stop(child, stderr)?;
    Ok(Turn { missed: PACKETS.saturating_sub(captured), watcher, ..turn })
}

/// Ends it; gives how many packets it captured.
fn stop(mut child: Child, mut stderr: BufReader<ChildStderr>) -> anyhow::Result<u64> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let mut said = String::new();
    stderr.read_to_string(&mut said)?;
    child.wait()?;
    let captured = said.lines().find_map(|l| l.strip_suffix(" packets captured"));
    match captured.and_then(|n| n.trim().parse().ok()) {
        Some(captured) => Ok(captured),
        None => bail!("tcpdump did not say how many packets it captured: {said}"),
    }
}
