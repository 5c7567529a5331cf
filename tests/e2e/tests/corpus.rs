//! Each policy file of the corpus, as it is: an act that it asks for is told by it, and one that it does not ask for is not.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Line, Watch, container_hierarchy, wait_until};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("policies_of_the_corpus_act", act)];

/// Who acted.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Who {
    Pid(u32),
    Comm(&'static str),
}

impl Who {
    pub(crate) fn is_of(&self, line: &Line) -> bool {
        match self {
            Who::Pid(pid) => *line.process("/host_pid") == *pid,
            Who::Comm(comm) => *line.process("/thread/name") == *comm,
        }
    }
}

/// A cgroup whose name has a container's id.
pub(crate) struct Container(PathBuf);

impl Container {
    pub(crate) fn new(id: &str) -> Container {
        let path = container_hierarchy().join(format!("docker-{}.scope", id.repeat(64)));
        fs::create_dir(&path).unwrap();
        Container(path)
    }

    pub(crate) fn sh(&self, script: &str) -> Who {
        sh(&format!("echo $$ > {}/cgroup.procs; {script}", self.0.display()))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        wait_until("the removal of a cgroup", || fs::remove_dir(&self.0).is_ok());
    }
}

/// Runs a script whose last command takes its process.
pub(crate) fn sh(script: &str) -> Who {
    let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
    let pid = child.id();
    // Some of what is run has nothing to do but to fail.
    child.wait().unwrap();
    Who::Pid(pid)
}

const DIG: &str = "exec /usr/bin/dig +tries=1 +time=1 @127.0.0.1 corpus.test >/dev/null";

/// A question of DNS, asked by this process.
fn ask() -> Who {
    let question = b"\x01\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06corpus\x04test\x00\x00\x01\x00\x01";
    // Nobody listens: that may be said at once.
    let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(question, "127.0.0.1:53");
    Who::Pid(std::process::id())
}

/// An event, and who caused it.
type Acted = (&'static str, Who);

/// What is done while a file's policy watches: what it asks for, then what it does not.
type Acts<'a> = (&'static str, Box<dyn Fn() -> (Acted, Acted) + 'a>);

fn act(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/tracee-policies");
    if !corpus.is_dir() || !Path::new("/usr/bin/dig").exists() {
        println!("SKIP {name}: no corpus beside this checkout, or no dig");
        return;
    }
    let dir = tempfile::Builder::new().prefix("tarsius-corpus-").tempdir_in("/tmp").unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("file"), "x").unwrap();
    for (program, copy) in
        [("/bin/true", "strace"), ("/bin/true", "other"), ("/bin/cat", "meets"), ("/bin/cat", "differs")]
    {
        fs::copy(program, at(copy)).unwrap();
    }
    let (file, strace, other) = (at("file"), at("strace"), at("other"));
    let cat = |path: &str| sh(&format!("exec cat {path} >/dev/null"));
    let trace_me = format!("exec perl -e 'syscall({}, 0, 0, 0, 0)'", libc::SYS_ptrace);
    let container = Container::new("a");
    let dns = "net_packet_dns_request";
    let dig = || ((dns, sh(DIG)), (dns, ask()));
    let strace_runs = || {
        (
            ("sched_process_exec", sh(&format!("exec {strace}"))),
            ("sched_process_exec", sh(&format!("exec {other}"))),
        )
    };
    let new_container = || {
        let made = Container::new("b");
        let script = format!("exec cat {file} >/dev/null");
        (("security_file_open", made.sh(&script)), ("security_file_open", container.sh(&script)))
    };
    // Of a pid namespace of its own, whose next process has that number.
    let numbered = |last: u32, program: &'static str| {
        let inner =
            format!("echo {last} > /proc/sys/kernel/ns_last_pid; {} {file} >/dev/null; :", at(program));
        sh(&format!("exec unshare --fork --pid --mount-proc sh -c '{inner}'"));
        Who::Comm(program)
    };
    let cases: [Acts<'_>; 15] = [
        ("k8s/container_dns_events.yaml", Box::new(|| ((dns, container.sh(DIG)), (dns, sh(DIG))))),
        (
            "k8s/context_comm.yaml",
            Box::new(|| (("openat", sh("exec ls / >/dev/null")), ("openat", cat(&file)))),
        ),
        ("k8s/dig.yaml", Box::new(dig)),
        (
            "k8s/extend-default-policy.yaml",
            Box::new(|| {
                (("fchmodat", sh(&format!("exec chmod 600 {file}"))), ("security_file_open", cat(&file)))
            }),
        ),
        ("k8s/new_containers.yaml", Box::new(new_container)),
        (
            "k8s/new_pids.yaml",
            Box::new(|| {
                drop(fs::File::open(&file).unwrap());
                (("openat", cat(&file)), ("openat", Who::Pid(std::process::id())))
            }),
        ),
        (
            "k8s/not_containers.yaml",
            Box::new(|| (("anti_debugging", sh(&trace_me)), ("anti_debugging", container.sh(&trace_me)))),
        ),
        (
            "k8s/openat_data_pahtname.yaml",
            Box::new(|| (("openat", cat(&file)), ("openat", sh("cd /proc; exec ls self >/dev/null")))),
        ),
        (
            "k8s/pid_equal.yaml",
            Box::new(|| (("read", numbered(999, "meets")), ("read", numbered(1500, "differs")))),
        ),
        ("k8s/scope_comm.yaml", Box::new(strace_runs)),
        (
            "k8s/signature_events.yaml",
            Box::new(|| {
                let inspects = cat("/proc/sys/kernel/randomize_va_space");
                (("aslr_inspection", inspects), ("aslr_inspection", cat("/proc/sys/kernel/pid_max")))
            }),
        ),
        (
            "k8s/uid_higher_than_or_equal_to_zero.yaml",
            Box::new(|| (("read", cat(&file)), ("openat", cat(&file)))),
        ),
        ("plain/dig.yaml", Box::new(dig)),
        ("plain/new_containers.yaml", Box::new(new_container)),
        ("plain/scope_comm.yaml", Box::new(strace_runs)),
    ];
    let files = ["k8s", "plain"].iter().flat_map(|d| fs::read_dir(corpus.join(d)).unwrap()).count();
    assert_eq!(files, cases.len(), "each file has its acts");
    for (policy, acts) in &cases {
        let watch = Watch::start(&["--policy", corpus.join(policy).to_str().unwrap()]);
        let ((event, meets), (other_event, differs)) = acts();
        let account = watch.stop();
        account.assert_clean();
        let told = account.lines.of(event);
        let ours = told.iter().find(|line| meets.is_of(line));
        let ours =
            ours.unwrap_or_else(|| panic!("{policy}: {event} of {meets:?} is not among {} told", told.len()));
        assert!(
            ours.0["policies"]["matched"].as_array().is_some_and(|names| names.len() == 1),
            "{policy}: {ours:?}"
        );
        let wrong = account.lines.of(other_event).into_iter().find(|line| differs.is_of(line));
        assert!(wrong.is_none(), "{policy}: {wrong:?} is told");
    }
}
