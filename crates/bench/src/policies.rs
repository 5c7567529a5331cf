//! What policies cost: a flood of which they want one in a thousand, by how many there are; reading them; asking a condition.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use catalogue::{Quality, fields::security_file_open};
use context::{Clock, Containers, Context, Hierarchy, Processes};
use event::build::RecordBuilder;
use event::{Event, Header, Origin};
use policy::{Facts, Fields, Policies, Wanted, Whose};
use sieve::Sieve;

use crate::empty::Empty;
use crate::{TURNS, beside, cpu_time, median, table};

/// Opens in one turn; one in a thousand is wanted.
const OPENS: u64 = 100_000;
const EACH: u64 = 1000;
/// Policies at once.
const COUNTS: [usize; 3] = [1, 64, 1000];

/// A policy of ten conditions, which wants what is opened below a folder of its own.
fn policy(n: usize, folder: &str) -> String {
    format!(
        "type: policy\nname: bench-{n}\nrules:\n  - event: security_file_open\n    filters:\n\
         {0}data.pathname={folder}/{n}/*\n{0}data.flags!={n}\n{0}data.mode>0\n{0}data.inode!={n}\n{0}comm!=other-{n}\n\
         {0}uid>=0\n{0}euid<4294967295\n{0}retval>=0\n{0}hostPid>0\n{0}mntns!={n}\n",
        "      - "
    )
}

/// Measures and prints.
pub(crate) fn report() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let wanted = dir.path().join("0");
    std::fs::create_dir(&wanted)?;
    let wanted = wanted.join("wanted");
    std::fs::write(&wanted, "")?;
    let folder = dir.path().to_str().context("the temporary folder has a name that is not UTF-8")?;
    let files: Vec<String> =
        COUNTS.iter().map(|&count| write(count, folder)).collect::<anyhow::Result<_>>()?;
    flood(&wanted, &files)?;
    reading(&files)?;
    asking(folder)
}

/// So many policies in one file; gives its name.
fn write(count: usize, folder: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    for n in 0..count {
        writeln!(text, "{}---", policy(n, folder))?;
    }
    let path = format!("{folder}/{count}.yaml");
    std::fs::write(&path, text.trim_end_matches("---\n"))?;
    Ok(path)
}

fn flood(wanted: &std::path::Path, files: &[String]) -> anyhow::Result<()> {
    println!(
        "{TURNS} turns of {OPENS} openat+close on CPU 0, of which policies want one in {EACH}; median of the turns\n"
    );
    let wanted = std::ffi::CString::new(wanted.to_str().context("not UTF-8")?)?;
    let turn = || {
        let start = cpu_time();
        for n in 0..OPENS {
            let path = if n % EACH == 0 { wanted.as_c_str() } else { c"/dev/null" };
            // SAFETY: a C string, and a descriptor that is ours.
            unsafe { libc::close(libc::openat(libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY)) };
        }
        (cpu_time() - start) as f64 / OPENS as f64
    };
    let mut times = vec![vec![]; 2 + files.len()];
    turn();
    for _ in 0..TURNS {
        times[0].push(turn());
        {
            let _attached = [Empty::attach(c"sys_enter")?, Empty::attach(c"sys_exit")?];
            times[1].push(turn());
        }
        for (file, times) in files.iter().zip(&mut times[2..]) {
            let (time, report, ..) = beside(&["--policy", file, "--output", "json:/dev/null"], turn)?;
            ensure!(report.received >= OPENS / EACH, "{} came", report.received);
            // Births, executions and deaths of the machine are among them.
            ensure!(report.received < OPENS / 10, "{} came, as if nothing was left out", report.received);
            times.push(time);
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|t| median(t)).collect();
    let (bare, empty) = (medians[0], medians[1]);
    let mut table = table(&["WAY", "ns per open+close", "ratio to empty", "added", "ratio of what is added"]);
    let names = ["nothing attached".to_owned(), "empty programs on sys_enter and sys_exit".to_owned()];
    let names = names.into_iter().chain(COUNTS.iter().map(|n| format!("{n} policies of 10 conditions")));
    for (name, time) in names.zip(&medians) {
        table.add_row([
            name,
            format!("{time:.0}"),
            format!("{:.2}", time / empty),
            format!("{:.0}", time - bare),
            format!("{:.2}", (time - bare) / (empty - bare)),
        ]);
    }
    println!("{table}\n");
    Ok(())
}

/// Tables in which nobody is.
fn nobody() -> Context {
    Context::with(
        Processes::new(10),
        Containers::with(Hierarchy::V2 { root: "/none".into() }, 10),
        Clock::fixed(context::BootId([1; 16]), "bench", 0, 0),
    )
}

fn reading(files: &[String]) -> anyhow::Result<()> {
    let context = nobody();
    let mut table = table(&["READING POLICIES", "from files, ms", "sieves made, ms", "classes"]);
    for (count, file) in COUNTS.iter().zip(files) {
        let start = Instant::now();
        let policies = policy::load(&[file], &|_| false).map_err(|e| anyhow::anyhow!("{e:?}"))?;
        let policies = Policies::new(policies);
        let read = start.elapsed();
        let start = Instant::now();
        let event = catalogue::event_by_id(security_file_open::EVENT_ID).context("no such event")?;
        let sieve = Sieve::new(policies.alternatives(event, &context)).context("no sieve")?;
        let made = start.elapsed();
        table.add_row([
            format!("{count} policies of 10 conditions"),
            format!("{:.1}", read.as_secs_f64() * 1e3),
            format!("{:.1}", made.as_secs_f64() * 1e3),
            sieve.classes().count_ones().to_string(),
        ]);
    }
    println!("{table}\n");
    Ok(())
}

fn asking(folder: &str) -> anyhow::Result<()> {
    const TIMES: u64 = 1_000_000;
    let definition = catalogue::event_by_id(security_file_open::EVENT_ID).context("no such event")?;
    let header = Header {
        pid: 4242,
        tid: 4242,
        ppid: 1,
        mnt_ns: 7,
        origin: Origin::Current,
        ret: Some(3),
        ..Header::unknown(1)
    };
    let record = RecordBuilder::new(definition, header)
        .put_str(security_file_open::PATHNAME as u8, format!("{folder}/0/some/file").as_bytes(), Quality::Ok)
        .put_i32(security_file_open::FLAGS as u8, 0o100_101)
        .put_u32(security_file_open::MODE as u8, 0o100_644)
        .put_u64(security_file_open::INODE as u8, 123_456)
        .finish();
    let context = nobody();
    let event = Event::decode(&record)?;
    let facts = Facts { event: &event, ctx: &context };
    let mut table = table(&["USER SIDE, one CPU", "ns"]);
    let mut time = |name: &str, one: &mut dyn FnMut()| {
        let start = cpu_time();
        (0..TIMES).for_each(|_| one());
        table.add_row([name, &format!("{:.1}", (cpu_time() - start) as f64 / TIMES as f64)]);
    };
    for text in [
        r#"data.pathname.startsWith("/etc/")"#,
        r#"data.pathname.startsWith("/etc/") && uid == 0 && comm != "tar""#,
        r#"data.pathname.glob("/home/*/.ssh/**") || data.pathname.endsWith(".pem")"#,
        "data.flags in [1, 2, 32833] && data.mode > 0",
    ] {
        let parsed = expr::parse(text).map_err(|e| anyhow::anyhow!("{e}"))?;
        let condition =
            expr::compile(&parsed, &Fields { event: definition }).map_err(|e| anyhow::anyhow!("{e}"))?;
        time(text, &mut || {
            std::hint::black_box(condition.of(std::hint::black_box(&facts)));
        });
    }
    for count in COUNTS {
        let policies = policy::load(&[format!("{folder}/{count}.yaml")], &|_| false);
        let mut policies = Policies::new(policies.map_err(|e| anyhow::anyhow!("{e:?}"))?);
        let (mut matched, mut wanted) = (vec![], Wanted::default());
        time(&format!("an event judged by {count} policies, one of which wants it"), &mut || {
            policies.judge(std::hint::black_box(&event), Whose::Actors, &context, &mut matched, &mut wanted);
        });
        ensure!(matched.len() == 1, "{matched:?} match");
    }
    println!("{table}");
    Ok(())
}
