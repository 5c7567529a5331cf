//! `./x bench`: what Tarsius costs.
//!
//! Every figure is a ratio to empty programs on the same hooks, measured in the same run, in turns, so that a noisy machine disturbs all
//! alike. Nanoseconds are the load's own CPU time. `./x bench packets`, and `policies`, `stacks`, `enrichment`, `identity` and `replay`, measure
//! these alone.

mod empty;
mod enrichment;
mod identity;
mod packets;
mod policies;
mod replay;
mod stacks;
mod watch;

use std::ffi::CStr;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use catalogue::{Quality, fields::security_file_open};
use comfy_table::{Table, presets};
use event::build::RecordBuilder;
use event::json::{Who, write_event};
use event::{Event, Header};
use rustix::time::{ClockId, clock_gettime};

use empty::Empty;
use watch::{Report, Watch};

/// Opens in one turn, and turns.
const OPENS: u64 = 100_000;
const TURNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let alone = std::env::args().nth(1);
    // That one needs no root.
    if alone.as_deref() == Some("identity") {
        return identity::report();
    }
    pin()?;
    if alone.as_deref() == Some("packets") {
        return packets::packets();
    }
    if alone.as_deref() == Some("policies") {
        return policies::report();
    }
    if alone.as_deref() == Some("replay") {
        return replay::report();
    }
    if alone.as_deref() == Some("stacks") {
        return stacks::report();
    }
    if alone.as_deref() == Some("enrichment") {
        return enrichment::report();
    }
    println!("{} turns of {OPENS} openat+close of /dev/null on CPU 0; median of the turns\n", TURNS);
    opens()?;
    policies::report()?;
    packets::packets()?;
    stacks::report()?;
    enrichment::report()?;
    user_side()?;
    identity::report()?;
    replay::report()
}

/// The load stays on one CPU; the watch starts wherever it likes.
fn pin() -> anyhow::Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    rustix::thread::sched_setaffinity(None, &cpus).context("binding the load to CPU 0")
}

fn unpinned(options: &[&str]) -> anyhow::Result<Watch> {
    let mut all = rustix::thread::CpuSet::new();
    kernel::online_cpus()?.into_iter().for_each(|c| all.set(c as usize));
    rustix::thread::sched_setaffinity(None, &all)?;
    let watch = Watch::start(options)?;
    pin()?;
    Ok(watch)
}

/// The ways to run the load.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Nothing attached.
    Bare,
    /// Empty programs on these hooks.
    Empty(&'static [&'static CStr]),
    /// A watch of this event, which the load does not cause.
    Off(&'static str),
    /// A watch of what the load does, of another user.
    Filtered(&'static str),
    /// A watch of what the load does.
    Delivered(&'static str),
}

/// What is compared with the empty programs on the same hooks.
const WAYS: [(Way, &str); 8] = [
    (Way::Bare, "nothing attached"),
    (Way::Empty(&[c"sys_exit"]), "empty program on sys_exit"),
    (Way::Empty(&[c"sys_enter", c"sys_exit"]), "empty programs on sys_enter and sys_exit"),
    (Way::Off("security_task_prctl"), "off: an event by the exit of another call"),
    (Way::Off("ptrace"), "off: another call, its entry and its exit"),
    (Way::Filtered("security_file_open"), "security_file_open of another uid"),
    (Way::Delivered("security_file_open"), "security_file_open delivered"),
    (Way::Delivered("openat"), "openat, the call, delivered"),
];
/// The empty programs that stand on the hooks of each way.
const BESIDE: [usize; WAYS.len()] = [1, 1, 2, 1, 2, 2, 2, 2];

fn opens() -> anyhow::Result<()> {
    let own = format!("pid={}", std::process::id());
    let mut times = vec![vec![]; WAYS.len()];
    let mut reports: Vec<(Report, u64, f64)> = vec![];
    turn();
    for _ in 0..TURNS {
        for (n, (way, _)) in WAYS.iter().enumerate() {
            let out = ["--output", "json:/dev/null"];
            let time = match way {
                Way::Bare => turn(),
                Way::Empty(hooks) => {
                    let _attached =
                        hooks.iter().map(|h| Empty::attach(h)).collect::<anyhow::Result<Vec<_>>>()?;
                    turn()
                }
                Way::Off(event) => beside(&[&["--events", event], &out[..]].concat(), turn)?.0,
                Way::Filtered(event) => {
                    beside(&[&["--events", event, "--scope", "uid=4294967290"], &out[..]].concat(), turn)?.0
                }
                Way::Delivered(event) => {
                    let (time, report, maps, wall) =
                        beside(&[&["--events", event, "--scope", &own], &out[..]].concat(), turn)?;
                    ensure!(
                        report.received + report.lost >= OPENS,
                        "{event}: {} of {OPENS} came",
                        report.received
                    );
                    if *event == "security_file_open" {
                        reports.push((report, maps, wall));
                    }
                    time
                }
            };
            times[n].push(time);
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|t| median(t)).collect();
    let bare = medians[0];
    let mut table = table(&["WAY", "ns per open+close", "added", "ratio to empty on its hooks"]);
    for (((_, name), time), beside) in WAYS.iter().zip(&medians).zip(BESIDE) {
        let (added, empty) = (time - bare, medians[beside] - bare);
        table.add_row([
            name.to_string(),
            format!("{time:.0}"),
            format!("{added:.0}"),
            format!("{:.2}", added / empty),
        ]);
    }
    println!("{table}\n\n(open+close are two system calls: an empty program runs twice)\n");
    let all = |f: &dyn Fn(&(Report, u64, f64)) -> f64| median(&mut reports.iter().map(f).collect::<Vec<_>>());
    let mut table = self::table(&["WHILE DELIVERING security_file_open", ""]);
    table.add_row(["events per second", &format!("{:.0}", all(&|r| r.0.received as f64 / r.2))]);
    table.add_row(["lost", &format!("{}", reports.iter().map(|r| r.0.lost).sum::<u64>())]);
    table.add_row([
        "Tarsius' own CPU per event, ns",
        &format!("{:.0}", all(&|r| r.0.cpu as f64 / r.0.received as f64)),
    ]);
    table.add_row(["Tarsius' memory at most, MiB", &format!("{:.1}", all(&|r| r.0.memory as f64 / 1024.0))]);
    table.add_row([
        "BPF maps, MiB (64 MiB of rings asked for)",
        &format!("{:.1}", all(&|r| r.1 as f64 / 1024.0)),
    ]);
    println!("{table}\n");
    Ok(())
}

/// A turn beside a watch: time of an open, what the watch did, KiB of its maps, seconds.
fn beside(options: &[&str], turn: impl FnOnce() -> f64) -> anyhow::Result<(f64, Report, u64, f64)> {
    let watch = unpinned(options)?;
    let (cpu, start) = (watch.cpu()?, Instant::now());
    let time = turn();
    // What is in the rings is still to be read.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let wall = start.elapsed().as_secs_f64() - 0.1;
    let maps = watch.maps()?;
    Ok((time, watch.stop(cpu)?, maps, wall))
}

/// CPU nanoseconds of one open and close.
fn turn() -> f64 {
    let start = cpu_time();
    for _ in 0..OPENS {
        // SAFETY: a C string, and a descriptor that is ours.
        unsafe { libc::close(libc::openat(libc::AT_FDCWD, c"/dev/null".as_ptr(), libc::O_RDONLY)) };
    }
    (cpu_time() - start) as f64 / OPENS as f64
}

fn cpu_time() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header.to_vec());
    table
}

struct Nobody;

impl Who for Nobody {
    fn host(&self) -> &str {
        "bench"
    }
    fn boot_id(&self) -> &str {
        "00000000-0000-0000-0000-000000000000"
    }
    fn wall_time(&self, boot_ns: u64) -> u64 {
        boot_ns
    }
    fn unique_id(&self, start_time: u64, tid: u32) -> u64 {
        start_time ^ u64::from(tid)
    }
}

/// Decoding and writing alone, on one CPU.
fn user_side() -> anyhow::Result<()> {
    let definition = catalogue::event_by_id(security_file_open::EVENT_ID).context("no such event")?;
    let header = Header { pid: 4242, tid: 4242, ppid: 1, ..Header::unknown(1) };
    let record = RecordBuilder::new(definition, Header { origin: event::Origin::Current, ..header })
        .put_str(
            security_file_open::PATHNAME as u8,
            b"/var/lib/tarsius/some/file/of/ordinary/length",
            Quality::Ok,
        )
        .put_i32(security_file_open::FLAGS as u8, 0o100_101)
        .put_u64(security_file_open::INODE as u8, 123_456)
        .finish();
    const TIMES: u64 = 1_000_000;
    let mut line = Vec::with_capacity(4096);
    let start = cpu_time();
    let mut sum = 0u64;
    for _ in 0..TIMES {
        let event = Event::decode(std::hint::black_box(&record))?;
        sum = sum.wrapping_add(event.header.seq);
    }
    let decode = (cpu_time() - start) as f64 / TIMES as f64;
    std::hint::black_box(sum);
    let start = cpu_time();
    for _ in 0..TIMES {
        line.clear();
        write_event(&mut line, &Event::decode(std::hint::black_box(&record))?, &Nobody);
    }
    let json = (cpu_time() - start) as f64 / TIMES as f64;
    let mut table = table(&["USER SIDE, one CPU", "ns per event", "events per second"]);
    table.add_row(["decode", &format!("{decode:.0}"), &format!("{:.0}", 1e9 / decode)]);
    table.add_row([
        &format!("decode and JSON ({} bytes)", line.len()),
        &format!("{json:.0}"),
        &format!("{:.0}", 1e9 / json),
    ]);
    println!("{table}");
    Ok(())
}
