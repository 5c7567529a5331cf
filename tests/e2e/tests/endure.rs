//! What Tarsius must endure beyond being preempted: a reader that is stopped, storms, CPUs that go, a second Tarsius, a sudden end, an
//! attack. Time decides nothing here: loads go on until they are told that it is over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::endure::{container_id, stay_on, this_cpu};
use e2e::objects::Object;
use e2e::{Account, Act, Line, Watch, container_hierarchy, scaled, wait_until};
use serde_json::json;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("a_stopped_reader", stopped_reader),
    ("a_storm_of_processes_and_cgroups", storm),
    ("whose_birth_was_lost_is_not_lost", birth_lost),
    ("a_container_whose_making_was_lost_is_known_later", making_lost),
    ("cpus_go_and_come_back", cpus_go),
    ("two_watches_side_by_side", side_by_side),
    ("killed_and_started_again", killed),
    ("self_preemption_hides_nothing", self_preemption),
];

const OPEN: &str = "security_file_open";

/// MiB that the user side may have beside its rings, which are mapped twice each: however much happens.
const MEMORY: u64 = 256;

/// What was lost of an event: at least, and at most. The kernel skips runs of the dispatchers without saying for which call.
fn lost(account: &Account, event: &str) -> (u64, u64) {
    let causes = ["ring_full", "slot_busy", "too_big", "stolen", "corrupt"];
    let known = causes.iter().map(|c| account.sum(c, Some(event))).sum();
    let skipped = [event, "dispatch_enter", "dispatch_exit"].map(|e| account.sum("skipped", Some(e)));
    (known, known + skipped.iter().sum::<u64>())
}

fn assert_memory(watch: &Watch, buffers: u64) {
    let peak = watch.peak_memory();
    println!("memory: {peak} MiB at most");
    assert!(peak > 0 && peak <= MEMORY + 2 * buffers);
}

fn name() -> String {
    format!("comm={}", e2e::endure::NAME)
}

/// A load of opens that goes on until it is over, and how a watch is narrowed to it.
struct Load {
    act: Act,
    scope: String,
}

impl Load {
    /// `pause`: microseconds between two opens.
    fn new(pause: u32) -> Load {
        let act = Act::new("open_until_over", &["2".into(), pause.to_string()]);
        Load { scope: format!("tree={}", act.pid()), act }
    }

    fn watch(&self, more: &[&str]) -> Watch {
        Watch::start(&[&["--events", OPEN, "--scope", &self.scope, "--scope", &name()], more].concat())
    }

    /// Ends it; gives how many files each of its processes opened.
    fn end(&mut self) -> BTreeMap<u32, usize> {
        self.act.end();
        let made = |entry: fs::DirEntry| {
            let pid = entry.file_name().to_str()?.strip_prefix('w')?.parse().ok()?;
            let opened = fs::read_link(entry.path().join("opened")).unwrap();
            Some((pid, opened.to_str()?.parse().ok()?))
        };
        let made: BTreeMap<u32, usize> =
            fs::read_dir(self.act.dir.path()).unwrap().flatten().filter_map(made).collect();
        assert!(made.len() == 2 && made.values().sum::<usize>() > 0, "{made:?}");
        made
    }

    /// The opens that a watch told of, by process: each once, by the process that its path names, and nothing else.
    fn told(&self, account: &Account) -> BTreeMap<u32, BTreeSet<usize>> {
        let mut told: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for line in account.lines.of(OPEN) {
            let path = line.get("pathname");
            let (pid, number) = self.parts(path.as_str().unwrap()).unwrap_or_else(|| panic!("{line:?}"));
            assert_eq!(*line.process("/host_pid"), pid, "{line:?}");
            assert!(told.entry(pid).or_default().insert(number), "told twice: {line:?}");
        }
        told
    }

    fn parts(&self, path: &str) -> Option<(u32, usize)> {
        let own = path.strip_prefix(self.act.dir.path().to_str()?)?.strip_prefix("/w")?;
        let (pid, number) = own.split_once("/f")?;
        Some((pid.parse().ok()?, number.parse().ok()?))
    }

    /// Ends the load and the watch: every open was told once, or the ledger has exactly the difference. Gives how many it has.
    fn assert_account(&mut self, watch: Watch) -> u64 {
        let made = self.end();
        self.account_for(&made, &watch.stop())
    }

    fn account_for(&self, made: &BTreeMap<u32, usize>, account: &Account) -> u64 {
        account.assert_balanced();
        assert_eq!(account.ledger["disorder"], 0);
        let told = self.told(account);
        assert!(told.iter().all(|(pid, told)| told.iter().all(|n| n < &made[pid])), "told but not made");
        let made: usize = made.values().sum();
        let told: usize = told.values().map(BTreeSet::len).sum();
        let missing = (made - told) as u64;
        let (least, most) = lost(account, OPEN);
        println!("{made} opens, {told} told, {missing} missing, {least} to {most} reported lost");
        assert!((least..=most).contains(&missing), "{:#}", account.ledger);
        assert!(account.lost_in_stream(OPEN) >= least, "{:#}", account.ledger);
        missing
    }
}

/// The reader stands still for five seconds of the load's time.
fn stopped_reader(_: &str) {
    let stopped = |buffers: &[&str], mebibytes: u64| {
        let mut load = Load::new(250);
        let watch = load.watch(buffers);
        load.act.begin();
        std::thread::sleep(Duration::from_secs(1));
        e2e::signal(watch.pid(), libc::SIGSTOP);
        std::thread::sleep(Duration::from_secs(5));
        e2e::signal(watch.pid(), libc::SIGCONT);
        std::thread::sleep(Duration::from_secs(2));
        assert_memory(&watch, mebibytes);
        load.assert_account(watch)
    };
    stopped(&[], 64);
    // The control: here something must be missing.
    assert!(stopped(&["--buffers", "64K"], 0) > 0, "rings of a few KiB held everything");
}

/// A cgroup of our own, in the hierarchy in which container runtimes put theirs here; gone with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Cgroup {
        let root = container_hierarchy().join(format!("tarsius-e2e-{}", std::process::id()));
        fs::create_dir_all(root.join("docker")).unwrap();
        Cgroup(root)
    }

    fn docker(&self) -> PathBuf {
        self.0.join("docker")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let left = fs::read_dir(self.docker()).into_iter().flatten().flatten().map(|e| e.path());
        for cgroup in left.chain([self.docker(), self.0.clone()]) {
            // Its files are no obstacle, and there is nothing to do about what is.
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// What a storm did: processes by number, and the processes in containers by the container's number.
struct Storm {
    processes: HashMap<usize, u32>,
    containers: HashMap<usize, u32>,
    makers: [u32; 2],
    files: String,
}

/// Who was which, as an act left it behind.
fn pids(dir: &Path) -> HashMap<usize, u32> {
    let text = fs::read_to_string(dir.join("pids")).unwrap();
    let parse = |line: &str| {
        let (number, pid) = line.split_once(' ').unwrap();
        (number.parse().unwrap(), pid.parse().unwrap())
    };
    text.lines().map(parse).collect()
}

/// So many processes are born, execute a program and die, beside so many containers; with `deaf` the reader is stopped meanwhile.
fn make_storm(processes: usize, containers: usize, options: &[&str], deaf: bool) -> (Account, Storm) {
    let cgroup = Cgroup::new();
    let mut plain = Act::new("processes", &[processes.to_string()]);
    let in_cgroups = [cgroup.docker().to_str().unwrap().to_string(), containers.to_string()];
    let mut contained = Act::new("containers", &in_cgroups);
    let makers = [plain.pid(), contained.pid()];
    let scope = format!("tree={},{}", makers[0], makers[1]);
    let events = format!("sched_process_fork,sched_process_exec,sched_process_exit,{OPEN},cgroup_*");
    let watch = Watch::start(&[&["--events", &events, "--scope", &scope], options].concat());
    if deaf {
        e2e::signal(watch.pid(), libc::SIGSTOP);
    }
    plain.begin();
    contained.begin();
    plain.end();
    contained.end();
    e2e::signal(watch.pid(), libc::SIGCONT);
    // The same bound whatever the size of the storm.
    assert_memory(&watch, 64);
    let storm = Storm {
        processes: pids(plain.dir.path()),
        containers: pids(contained.dir.path()),
        makers,
        files: format!("{}/c", contained.dir.path().display()),
    };
    assert_eq!((storm.processes.len(), storm.containers.len()), (processes, containers));
    (watch.stop(), storm)
}

impl Storm {
    /// Each process's lines of an event, by its pid: one at most. `pid` finds it in a line; lines of others are passed over.
    fn lines_of<'a>(
        &self,
        account: &'a Account,
        event: &str,
        pid: impl Fn(&Line) -> Option<u64>,
    ) -> HashMap<u32, &'a Line> {
        let mine: BTreeSet<u32> = self.processes.values().chain(self.containers.values()).copied().collect();
        let mut lines = HashMap::new();
        for line in account.lines.of(event) {
            let Some(pid) = pid(line).map(|p| p as u32).filter(|p| mine.contains(p)) else { continue };
            assert!(lines.insert(pid, line).is_none(), "told twice: {line:?}");
        }
        lines
    }

    /// Everything was told, and of the right one; or the ledger has the difference. Gives how much is missing.
    fn assert_account(&self, account: &Account) -> u64 {
        account.assert_balanced();
        assert_eq!(
            (&account.ledger["holes"], &account.ledger["disorder"]),
            (&account.sum("ring_full", None).into(), &0.into())
        );
        let own = |l: &Line| l.process("/host_pid").as_u64();
        let forks = self.lines_of(account, "sched_process_fork", |l| l.get("child_pid").as_u64());
        let execs = self.lines_of(account, "sched_process_exec", own);
        let exits = self.lines_of(account, "sched_process_exit", own);
        let opens = self.lines_of(account, OPEN, |l| {
            own(l).filter(|_| l.get("pathname").as_str().is_some_and(|p| p.starts_with(&self.files)))
        });
        for (numbers, maker) in [(&self.processes, self.makers[0]), (&self.containers, self.makers[1])] {
            for (number, pid) in numbers {
                let (fork, exec, exit) = (forks.get(pid), execs.get(pid), exits.get(pid));
                if let Some(fork) = fork {
                    assert_eq!(*fork.process("/host_pid"), maker, "{fork:?}");
                    assert_eq!(fork.get("up_pid"), maker, "{fork:?}");
                }
                if let Some(exec) = exec {
                    assert_eq!(exec.get("argv"), json!(["/bin/true", number.to_string()]));
                    assert_eq!(*exec.process("/ancestors/0/host_pid"), maker, "{exec:?}");
                }
                if let Some(exit) = exit {
                    assert_eq!((exit.get("exit_code"), exit.get("signal_code")), (0.into(), 0.into()));
                    assert_eq!(*exit.process("/thread/name"), "true", "{exit:?}");
                    // Where its execution was lost, its program is not known: it is not its maker's.
                    let program = exit.process("/executable/path").as_str();
                    let known = exec.is_some() || program.is_some();
                    assert!(!known || program.is_some_and(|p| p.ends_with("true")), "{exit:?}");
                }
                let ids: BTreeSet<String> =
                    exec.iter().chain(exit.iter()).map(|l| l.process("/unique_id").to_string()).collect();
                assert!(ids.len() <= 1, "{exec:?} {exit:?}");
            }
        }
        for (number, pid) in &self.containers {
            if let Some(open) = opens.get(pid) {
                assert_eq!(open.get("pathname"), format!("{}{number}", self.files), "{open:?}");
            }
        }
        let (all, inside) = (self.processes.len() + self.containers.len(), self.containers.len());
        let missing = [
            ("sched_process_fork", forks.len(), all),
            ("sched_process_exec", execs.len(), all),
            ("sched_process_exit", exits.len(), all),
            (OPEN, opens.len(), inside),
            ("cgroup_mkdir", self.cgroups(account, "cgroup_mkdir"), inside),
            ("cgroup_rmdir", self.cgroups(account, "cgroup_rmdir"), inside),
        ]
        .map(|(event, told, made)| {
            let missing = (made - told) as u64;
            let (_, most) = lost(account, event);
            println!("{event}: {told} of {made} told, {most} reported lost");
            assert!(missing <= most, "{event}: {:#}", account.ledger);
            missing
        });
        self.assert_containers(account);
        missing.iter().sum()
    }

    /// How many of the containers' cgroups an event told of.
    fn cgroups(&self, account: &Account, event: &str) -> usize {
        let mut told = BTreeSet::new();
        for line in account.lines.of(event) {
            let path = line.get("cgroup_path");
            let id = path.as_str().unwrap().rsplit('/').next().unwrap();
            assert!(told.insert(id.to_string()), "told twice: {line:?}");
        }
        self.containers.keys().filter(|&&n| told.contains(&container_id(n))).count()
    }

    /// From the first thing that a process does in its container on, all that it does carries that container's id; and nothing that
    /// anybody else does. What is not known, because the cgroup's making was lost, is not there: never another id.
    fn assert_containers(&self, account: &Account) {
        let id_of: HashMap<u32, String> =
            self.containers.iter().map(|(&n, &pid)| (pid, container_id(n))).collect();
        let ids: BTreeSet<&str> = id_of.values().map(String::as_str).collect();
        let whole = lost(account, "cgroup_mkdir").1 == 0;
        let mut told = 0;
        for line in &account.lines.0 {
            let container = &line.0["workload"]["container"];
            // These tests may themselves run in a container.
            let id = container["id"].as_str().filter(|id| ids.contains(id));
            let pid = line.process("/host_pid").as_u64().unwrap_or(0) as u32;
            let enters = line.get("pathname").as_str().is_some_and(|p| p.ends_with("/cgroup.procs"));
            let expected = id_of.get(&pid).filter(|_| !enters).map(String::as_str);
            assert!(id == expected || (id.is_none() && !whole), "{expected:?}: {line:?}");
            assert!(id.is_none() || container["runtime"] == "docker", "{line:?}");
            told += usize::from(id.is_some());
        }
        println!("{told} lines from within containers");
    }
}

fn storm(_: &str) {
    let (account, storm) = make_storm(scaled(10_000), scaled(2_000), &[], false);
    storm.assert_account(&account);
    // The control: a deaf reader with tiny rings. Much is missing, and all of it reported; what is told is as true as ever.
    let (account, storm) = make_storm(scaled(1_000), scaled(200), &["--buffers", "256K"], true);
    assert!(storm.assert_account(&account) > 0, "rings of a few KiB held everything");
}

/// Orphans of whose birth and whose parent nothing came: the life lane's rings are full. That they are of the watched tree is known to the
/// kernel alone; what they do is told all the same, or reported lost.
fn birth_lost(_: &str) {
    let count = 100;
    let mut act = Act::new("orphans", &[count.to_string()]);
    let (events, tree) = (format!("{OPEN},sched_process_fork"), format!("tree={}", act.pid()));
    let scope = ["--scope", &tree, "--scope", &name()];
    let watch = Watch::start(&[&["--events", &events, "--buffers", "64K"], &scope[..]].concat());
    e2e::signal(watch.pid(), libc::SIGSTOP);
    act.perform();
    e2e::signal(watch.pid(), libc::SIGCONT);
    let account = watch.stop();
    account.assert_balanced();
    let path = |n: usize| format!("{}/o{n}", act.dir.path().display());
    // Once by the one that made it, once by the orphan.
    let told = |n: usize| account.lines.with(OPEN, "pathname", path(n)).len() as u64;
    let told: u64 = (0..count).map(told).sum();
    let (least, most) = lost(&account, OPEN);
    println!("{told} of {} opens told, {least} to {most} reported lost", 2 * count);
    assert!((told + least..=told + most).contains(&(2 * count as u64)), "{:#}", account.ledger);
    let births = account.lines.of("sched_process_fork");
    let born: BTreeSet<u64> = births.iter().filter_map(|l| l.get("child_pid").as_u64()).collect();
    let pids = account.lines.of(OPEN).into_iter().map(|l| l.process("/host_pid").as_u64().unwrap());
    let unborn = pids.filter(|&p| p != u64::from(act.pid()) && !born.contains(&p)).count();
    println!("{unborn} of them by orphans whose birth was lost");
    assert!(unborn > 0, "the control: every birth was told");
}

/// The making of a container's cgroup was lost. From when that is reported on, what happens in it is told with its id.
fn making_lost(_: &str) {
    let cgroup = Cgroup::new();
    let mut act = Act::new("late_container", &[cgroup.docker().to_str().unwrap().to_string()]);
    let tree = format!("tree={}", act.pid());
    let watch = Watch::start(&["--events", OPEN, "--scope", &tree, "--buffers", "64K"]);
    e2e::signal(watch.pid(), libc::SIGSTOP);
    act.begin();
    wait_until("the container", || act.dir.path().join("ready").exists());
    e2e::signal(watch.pid(), libc::SIGCONT);
    wait_until("the report", || fs::read_to_string(watch.events_file()).unwrap().contains("cgroup_mkdir__"));
    act.end();
    let account = watch.stop();
    assert!(account.sum("ring_full", Some("cgroup_mkdir")) > 0, "the control: it was not lost");
    let late = act.dir.path().join("late");
    let opens = account.lines.with(OPEN, "pathname", late.to_str().unwrap());
    assert_eq!(opens.last().unwrap().0["workload"]["container"]["id"], container_id(0), "{opens:?}");
}

/// A CPU that is there again in the end.
struct Cpu(&'static str);

impl Cpu {
    fn set(&self, online: bool) -> std::io::Result<()> {
        fs::write(self.0, if online { b"1" } else { b"0" })
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        let _ = self.set(true);
    }
}

fn cpus_go(test: &str) {
    let cpu = Cpu("/sys/devices/system/cpu/cpu1/online");
    if let Err(error) = cpu.set(false) {
        println!("SKIP {test}: {}: {error}", cpu.0);
        return;
    }
    let mut load = Load::new(100);
    // It is away when the watch begins.
    let watch = load.watch(&[]);
    load.act.begin();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(300));
        cpu.set(true).unwrap();
        let there = || {
            stay_on(1);
            fs::File::open("/dev/null").unwrap();
        };
        std::thread::spawn(there).join().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        cpu.set(false).unwrap();
    }
    cpu.set(true).unwrap();
    let made = load.end();
    let account = watch.stop();
    load.account_for(&made, &account);
    // The control: each time that it was there, the programs ran on it, though only for the test itself for sure.
    let rows = account.ledger["rows"].as_array().unwrap();
    let on_it = rows.iter().filter(|r| r["cpu"] == 1 && e2e::is_of(r["probe"].as_str().unwrap(), OPEN));
    let runs: u64 = on_it.map(|r| r["attempts"].as_u64().unwrap()).sum();
    println!("{runs} runs on the CPU that went");
    assert!(runs >= 5, "{:#}", account.ledger);
}

fn side_by_side(_: &str) {
    let mut load = Load::new(200);
    let (first, second) = (load.watch(&[]), load.watch(&[]));
    load.act.begin();
    wait_until("the first opens, told by both", || {
        [&first, &second].iter().all(|w| fs::metadata(w.events_file()).unwrap().len() > 100_000)
    });
    let left = first.stop();
    let events = || fs::metadata(second.events_file()).unwrap().len();
    let before = events();
    wait_until("what the second tells after the first has left", || events() > before + 100_000);
    let made = load.end();
    let account = second.stop();
    load.account_for(&made, &account);
    // The one that left has told of everything up to some open of each process, and of nothing behind it.
    left.assert_balanced();
    let told = load.told(&left);
    let holes: usize = told.values().map(|t| t.last().unwrap() + 1 - t.len()).sum();
    let behind: usize = told.iter().map(|(pid, t)| made[pid] - (t.last().unwrap() + 1)).sum();
    println!("the first left {behind} opens before the end; {holes} of its own are missing");
    assert!(holes as u64 <= lost(&left, OPEN).1, "{:#}", left.ledger);
    assert!(behind > 0, "the control: there was nothing behind it");
}

fn killed(_: &str) {
    let mut load = Load::new(100);
    let watch = load.watch(&[]);
    load.act.begin();
    wait_until("the first opens", || fs::metadata(watch.events_file()).unwrap().len() > 100_000);
    let ours = Object::ALL.map(|object| (object, object.ids_of(watch.pid())));
    for (object, ids) in &ours {
        println!("{object:?}: {}", ids.len());
        assert!(!ids.is_empty(), "the control: a running watch has some");
        assert!(ids.is_subset(&object.ids()));
    }
    watch.kill();
    // The kernel lets go of them after a grace period.
    for (object, ids) in &ours {
        wait_until("the end of what was loaded", || object.ids().is_disjoint(ids));
    }
    load.end();
    let mut load = Load::new(100);
    let watch = load.watch(&[]);
    load.act.begin();
    wait_until("the first opens", || fs::metadata(watch.events_file()).unwrap().len() > 100_000);
    load.assert_account(watch);
}

/// An unprivileged program reads a secret while another preempts itself inside the sensor's programs all the time, on the same CPU.
/// Gives the account, how often it was read, and how often that was told.
fn attacked(waker: &str, options: &[&str]) -> (Account, u64, u64) {
    let (cpu, count) = (this_cpu().to_string(), scaled(20_000) as u64);
    let mut attack = Act::new("preempt_until_over", &[cpu.clone(), waker.into()]);
    let mut reader = Act::new("read_secret", &[cpu, count.to_string()]);
    let scope = format!("tree={}", reader.pid());
    let watch = Watch::start(&[&["--events", OPEN, "--scope", &scope], options].concat());
    attack.begin();
    wait_until("the attack", || {
        let files = fs::read_dir(attack.dir.path()).unwrap().flatten();
        files.filter(|f| f.file_name().to_str().unwrap().starts_with("ready")).count() == 5
    });
    reader.perform();
    attack.end();
    let account = watch.stop();
    account.assert_balanced();
    let secret = reader.dir.path().join("secret");
    let told = account.lines.with(OPEN, "pathname", secret.to_str().unwrap());
    assert!(told.iter().all(|l| *l.process("/host_pid") == reader.pid()));
    let told = told.len() as u64;
    let (least, most) = lost(&account, OPEN);
    let skipped = account.sum("skipped", None);
    println!(
        "{waker} {options:?}: {told} of {count} told, {least} to {most} reported lost, {skipped} runs skipped"
    );
    assert!(told <= count && told + most >= count, "{:#}", account.ledger);
    (account, count, told)
}

fn self_preemption(test: &str) {
    // By the best tier of this kernel, and by system calls.
    let calls = ["--avoid", "lsm,kprobe"];
    for (waker, options) in [("other", &[][..]), ("other", &calls), ("fifo", &calls)] {
        let (account, count, told) = attacked(waker, options);
        let (least, most) = lost(&account, OPEN);
        assert_eq!((told + least, most - least), (count, 0), "{:#}", account.ledger);
    }
    let preemptible = &e2e::kernel()["preemption"]["tracepoint_programs_preemptible"];
    if *preemptible != true {
        println!("SKIP {test}, control: tracepoint programs can not be preempted here");
        return;
    }
    let (account, ..) = attacked("other", &[&calls[..], &["--naive-attachment"]].concat());
    assert!(account.sum("skipped", None) > 0, "{:#}", account.ledger);
}
