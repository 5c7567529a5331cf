//! The rig of the end-to-end tests: runs the real `tarsius watch` beside an act, and reads what it wrote.
//!
//! An act is a function of this crate that runs in a process of its own (the test program, called again with `--act`), so that the
//! watch can be narrowed to it and its descendants. It waits for a line on its standard input before it begins.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

pub mod acts;
pub mod attack;
pub mod calls;
pub mod endure;
mod identity;
pub mod libraries;
mod lines;
mod network;
pub mod objects;
pub mod rings;
pub mod servers;
mod structures;
pub mod traffic;
pub mod trigger;
pub mod truth;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use lines::{Line, Lines};

/// The program under test: beside this one in the target folder, or `TARSIUS_BIN`.
pub fn tarsius() -> PathBuf {
    if let Some(path) = std::env::var_os("TARSIUS_BIN") {
        return path.into();
    }
    // target/debug/deps/e2e-... beside target/debug/tarsius
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("tarsius")
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> (ExitStatus, String, String) {
    let out = Command::new(tarsius()).args(args).stdin(Stdio::null()).output().unwrap();
    (
        out.status,
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}

/// An act in a process of its own, waiting for its cue.
pub struct Act {
    child: Child,
    /// What it may use; gone with it.
    pub dir: tempfile::TempDir,
}

impl Act {
    /// Starts the process of the act of that name.
    pub fn new(name: &str, args: &[String]) -> Act {
        let dir = tempfile::Builder::new().prefix("tarsius-e2e-").tempdir_in("/tmp").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg("--act")
            .arg(name)
            .arg(dir.path())
            .args(args)
            // Cargo's, which is none of what acts do: a detector looks for it.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Act { child, dir }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives the cue and waits for its end; it must succeed.
    pub fn perform(&mut self) {
        self.begin();
        self.end();
    }

    /// Gives the cue.
    pub fn begin(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Tells an act that goes on until then that it is over, and waits for its end; it must succeed.
    pub fn end(&mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the act failed: {status}");
    }
}

/// A running `tarsius watch`.
pub struct Watch {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    dir: tempfile::TempDir,
    said: String,
}

/// What a watch left behind.
pub struct Account {
    /// The events, as JSON lines.
    pub lines: Lines,
    /// The ledger, as JSON.
    pub ledger: serde_json::Value,
    /// Its standard error, summary included.
    pub said: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Watch {
    /// Starts a watch with those options, beside the ones that the rig needs, and waits until it watches.
    pub fn start(args: &[&str]) -> Watch {
        let dir = tempfile::Builder::new().prefix("tarsius-watch-").tempdir_in("/tmp").unwrap();
        let mut child = Command::new(tarsius())
            .arg("watch")
            .args(args)
            .arg("--output")
            .arg(format!("json:{}", dir.path().join("events.jsonl").display()))
            .arg("--ledger")
            .arg(dir.path().join("ledger.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("tarsius: watching") {
            if stderr.read_line(&mut said).unwrap() == 0 {
                panic!("the watch did not begin: {said}");
            }
        }
        Watch { child, stderr, dir, said }
    }

    /// Waits until it has said that on standard error.
    pub fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            assert!(
                self.stderr.read_line(&mut self.said).unwrap() > 0,
                "it never said {text}: {}",
                self.said
            );
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with the events.
    pub fn events_file(&self) -> PathBuf {
        self.dir.path().join("events.jsonl")
    }

    /// The most memory that it ever had, in MiB: its rings, mapped twice each, included.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }

    /// Ends it at once, without a chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as Ctrl-C does, and reads what it left.
    pub fn stop(mut self) -> Account {
        signal(self.child.id(), libc::SIGINT);
        self.stderr.read_to_string(&mut self.said).unwrap();
        let status = self.child.wait().unwrap();
        let lines = Lines::read(&self.events_file());
        let ledger = fs::read(self.dir.path().join("ledger.json")).unwrap();
        Account { lines, ledger: serde_json::from_slice(&ledger).unwrap(), said: self.said, status }
    }
}

impl Account {
    /// The sum of a column of the ledger, over all programs or those of an event, by whichever tier.
    pub fn sum(&self, column: &str, event: Option<&str>) -> u64 {
        let rows = self.ledger["rows"].as_array().unwrap();
        let of = |r: &serde_json::Value, event: &str| is_of(r["probe"].as_str().unwrap(), event);
        rows.iter().filter(|r| event.is_none_or(|e| of(r, e))).map(|r| r[column].as_u64().unwrap()).sum()
    }

    /// Every loss that the ledger knows, over all programs.
    pub fn lost(&self) -> u64 {
        let causes = ["ring_full", "slot_busy", "too_big", "stolen", "untracked", "skipped", "corrupt"];
        causes.iter().map(|c| self.sum(c, None)).sum()
    }

    /// What the stream says was lost of an event, for any cause.
    pub fn lost_in_stream(&self, event: &str) -> u64 {
        let lines = self.lines.of("lost_events");
        let of = lines.iter().filter(|l| is_of(l.get("probe").as_str().unwrap(), event));
        of.map(|l| l.get("count").as_u64().unwrap()).sum()
    }

    /// Asserts that the ledger's equations hold and that nothing was lost.
    pub fn assert_clean(&self) {
        self.assert_balanced();
        assert_eq!(self.lost(), 0, "{:#}", self.ledger);
        assert!(self.said.contains("nothing lost"), "{}", self.said);
    }

    /// Asserts that the ledger's equations hold.
    pub fn assert_balanced(&self) {
        for row in self.ledger["rows"].as_array().unwrap() {
            let n = |c: &str| row[c].as_u64().unwrap();
            let outcomes =
                n("filtered") + n("submitted") + n("ring_full") + n("slot_busy") + n("too_big") + n("stolen");
            assert_eq!(n("attempts"), outcomes, "{row}");
            assert_eq!(n("submitted"), n("received"), "{row}");
        }
    }
}

/// A program takes that event: it is called after it, and after its hook where there are several.
pub fn is_of(probe: &str, event: &str) -> bool {
    probe.strip_prefix(event).is_some_and(|rest| rest.is_empty() || rest.starts_with("__"))
}

/// Watches an act and its descendants.
pub fn watch_act(name: &str, args: &[String], events: &str, more: &[&str]) -> (Account, Act) {
    let mut act = Act::new(name, args);
    let tree = format!("tree={}", act.pid());
    let mut options = vec!["--events", events, "--scope", &tree];
    options.extend(more);
    let watch = Watch::start(&options);
    act.perform();
    (watch.stop(), act)
}

/// Sends a signal to a process that we started.
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: plain system call; the process is a child of ours that was not waited for yet.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// What `tarsius doctor` says of this kernel.
pub fn kernel() -> &'static serde_json::Value {
    static REPORT: OnceLock<serde_json::Value> = OnceLock::new();
    let report = REPORT.get_or_init(|| serde_json::from_str(&run(&["doctor", "--json"]).1).unwrap());
    &report["kernel"]
}

/// The kernel refuses LSM, kprobe and fentry programs on some machines: then the tests of those tiers are skipped there.
pub fn has_hook(hook: &str) -> bool {
    kernel()["hooks"][hook] == "yes"
}

/// Where cgroup v2 is mounted.
pub fn cgroup_root() -> Option<PathBuf> {
    kernel()["cgroup2"]["mount"].as_str().map(PathBuf::from)
}

/// Where container runtimes put their cgroups here: version 2 where /sys/fs/cgroup is it; else version 1's for memory, else version 2 wherever it is.
pub fn container_hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = |kind: &str, at: &str| {
        let line = mounts.lines().find(|l| l.contains(&format!(" - {kind} ")) && l.contains(at))?;
        line.split(' ').nth(4).map(PathBuf::from)
    };
    let found = mount("cgroup2", " /sys/fs/cgroup ").or_else(|| mount("cgroup", "/memory "));
    found.or_else(|| mount("cgroup2", " ")).unwrap()
}

/// Guests are many times slower.
pub fn scaled(count: usize) -> usize {
    if std::env::var_os("TARSIUS_VM").is_some() { count / 10 } else { count }
}

/// Waits for what must come in the end, however slow the machine: five minutes.
pub fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(300);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within five minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The number of a file's inode and its device as `stat` has it.
pub fn inode_of(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let m = fs::metadata(path).unwrap();
    (m.ino(), m.dev())
}

/// Waits for the cue of an act.
pub fn cue() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    assert_eq!(line, "go\n");
}

/// Whether that file can be opened for reading.
pub fn readable(path: &Path) -> bool {
    File::open(path).is_ok()
}
