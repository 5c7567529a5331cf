//! How fast recorded events are looked at: `tarsius replay` on one CPU, beside a program that only parts the recording into lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::{TURNS, median, table, unpinned};

/// What shells do all day.
const WORK: &str = "i=0; while [ $i -lt 150 ]; do \
     grep -c root /etc/passwd; ls -lR /etc/apt; cat /etc/hostname /etc/passwd | sort; head -c 100 /bin/sh | od; find /etc -name '*.conf'; \
     i=$((i+1)); done";

/// Recordings, by the events in them: those that most detectors look at, and all.
const RECORDINGS: [(&str, &str); 2] = [
    ("executions, opens, changes of files, connections", "sched_process_*,security_*,net_tcp_*,socket_*"),
    ("every event and system call", "*"),
];

/// A detector of one's own.
const RULE: &str = "type: detector\nid: BENCH-1\nproduced_event: {name: bench_reads}\nrequirements:\n  events:\n    \
     - name: security_file_open\n      condition: data.pathname.startsWith(\"/etc/ssh/\") && comm != \"sshd\"\n";

/// Measures and prints.
pub(crate) fn report() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let rule = dir.path().join("rule.yaml");
    std::fs::write(&rule, RULE)?;
    let rule = rule.to_str().context("the temporary folder has a name that is not UTF-8")?;
    println!("Recordings of a shell's everyday work, replayed {TURNS} times on CPU 0; median\n");
    let mut table =
        table(&["REPLAY", "events", "bytes each", "parted only, per s", "one detector, per s", "all, per s"]);
    for (what, events) in RECORDINGS {
        let file = dir.path().join("recording.jsonl");
        let count = record(events, &file)?;
        let bytes = file.metadata()?.len();
        let mut rates = [vec![], vec![], vec![]];
        for _ in 0..TURNS {
            rates[0].push(part(&file)?);
            rates[1].push(replay(&file, &["--rules", rule])?);
            rates[2].push(replay(&file, &[])?);
        }
        let mut row = vec![what.to_string(), count.to_string(), (bytes / count).to_string()];
        row.extend(rates.iter_mut().map(|rates| format!("{:.0}", median(rates))));
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

/// So many events of the work.
fn record(events: &str, file: &Path) -> anyhow::Result<u64> {
    let output = format!("json:{}", file.display());
    let tree = format!("tree={}", std::process::id());
    let watch = unpinned(&["--events", events, "--scope", &tree, "--output", &output, "--buffers", "256M"])?;
    let cpu = watch.cpu()?;
    let work = Command::new("sh").args(["-c", WORK]).stdout(Stdio::null()).status()?;
    ensure!(work.success(), "the work failed");
    watch.stop(cpu)?;
    Ok(BufReader::new(File::open(file)?).split(b'\n').count() as u64)
}

/// Lines a second, parted and looked at for UTF-8.
fn part(file: &Path) -> anyhow::Result<f64> {
    let (mut lines, mut count) = (BufReader::with_capacity(1 << 20, File::open(file)?), 0_u64);
    let begun = Instant::now();
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        line.clear();
        count += 1;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Events a second, as it says itself.
fn replay(file: &Path, options: &[&str]) -> anyhow::Result<f64> {
    let program = std::env::current_exe()?.with_file_name("tarsius");
    let out = Command::new(&program).arg("replay").arg(file).args(options).output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "tarsius replay: {said}");
    let rate = said.split_once(" a second").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
    rate.with_context(|| format!("tarsius replay did not say how fast it was: {said}"))
}
