//! Policies: of both dialects, what they match and what not, changed while watching, holding back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::{Account, Line, Watch, run, scaled, signal, wait_until};
use serde_json::json;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("policies_match_what_they_say", match_what_they_say),
    ("policies_ask_stores", ask_stores),
    ("policies_are_changed_while_watching", changed_while_watching),
    ("policies_are_read_again_on_request", read_again),
    ("policies_leave_out_whose_they_are_not", leave_out),
    ("policies_follow_descendants", follow),
    ("policies_ask_calls_for_their_numbers", arguments),
    ("policies_hold_back", hold_back),
    ("policy_errors_name_the_place", errors_name_the_place),
    ("policy_test_judges_recorded_events", test_judges),
    ("policies_of_the_corpus_load", corpus),
];

fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tarsius-policy-").tempdir_in("/tmp").unwrap()
}

/// The policies that a line says it matched.
fn matched(line: &Line) -> BTreeSet<String> {
    let names = line.0["policies"]["matched"].as_array().cloned().unwrap_or_default();
    names.into_iter().map(|n| n.as_str().unwrap().to_owned()).collect()
}

fn open(path: &Path) {
    drop(File::open(path).unwrap());
}

/// Each policy with an act that it matches and one that differs in what it asks.
fn match_what_they_say(_: &str) {
    let dir = temporary();
    let (files, policies) = (dir.path().join("f"), dir.path().join("p"));
    fs::create_dir(&files).unwrap();
    fs::create_dir(&policies).unwrap();
    let root = files.to_str().unwrap();
    let us = std::process::id();
    let ours = fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
    let write = |name: &str, text: &str| {
        let text = text.replace("ROOT", root).replace("PID", &us.to_string()).replace("OURS", &ours);
        fs::write(policies.join(format!("{name}.yaml")), text).unwrap();
    };
    write(
        "k8s",
        "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata:\n  name: prefix\n  annotations: {description: opens below a folder}\n\
         spec:\n  scope: [global]\n  defaultActions: [log]\n  rules:\n    - event: security_file_open\n      filters: [data.pathname=ROOT/a*]\n\
         ---\napiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata: {name: of-cat}\nspec:\n  scope: [comm=cat]\n  rules:\n    \
         - event: security_file_open\n      filters: [data.pathname=*/f/*]\n",
    );
    let plain = |name: &str, scope: &str, rules: &str| {
        write(name, &format!("type: policy\nname: {name}\nscope: [{scope}]\nrules:\n{rules}"));
    };
    plain(
        "suffix",
        "global",
        "  - event: security_file_open\n    filters: ['data.pathname=*.conf']\n    condition: data.pathname.startsWith('ROOT/')\n",
    );
    // One of several filters of a field is enough.
    plain(
        "either",
        "global",
        "  - event: security_file_open\n    filters: ['data.pathname=ROOT/c.bin', 'data.pathname=ROOT/b.*', 'comm!=cat']\n",
    );
    plain(
        "exact",
        "global",
        "  - event: security_file_open\n    filters: ['data.pathname=ROOT/a.txt,ROOT/b.conf']\n",
    );
    plain(
        "pid",
        "global",
        "  - event: security_file_open\n    filters: ['hostPid=PID', 'data.pathname=ROOT/*']\n",
    );
    plain("new", "pid=new", "  - event: security_file_open\n    filters: ['data.pathname=ROOT/*']\n");
    plain(
        "program",
        "executable=/usr/bin/cat",
        "  - event: security_file_open\n    filters: ['data.pathname=ROOT/*']\n",
    );
    plain("host", "not-container", "  - event: security_file_open\n    filters: ['data.pathname=ROOT/*']\n");
    plain("contained", "container", "  - event: security_file_open\n    filters: ['data.pathname=ROOT/*']\n");
    plain("root-only", "uid>=1", "  - event: security_file_open\n    filters: ['data.pathname=ROOT/*']\n");
    plain(
        "cel",
        "global",
        "  - event: security_file_open\n    condition: >-\n      data.pathname.startsWith(\"ROOT/\") &&\n      (data.pathname.glob(\"/**/*.conf\") || comm == \"cat\")\n    \
         exceptions:\n      - data.pathname.basename() == \"b.conf\" && comm != \"cat\"\n",
    );
    // Who made it, whatever is written of that with the event.
    plain(
        "made-here",
        "global",
        "  - event: security_file_open\n    condition: data.pathname.startsWith('ROOT/') && ancestors.comm.exists(c, c == 'OURS') && parent.executable != ''\n",
    );
    plain("call", "global", "  - event: openat\n    filters: ['data.pathname=ROOT/missing', 'retval=-2']\n");
    plain(
        "call-flags",
        "global",
        "  - event: openat\n    filters: ['data.pathname=ROOT/*', 'data.flags=*O_CREAT*']\n",
    );
    plain(
        "others",
        "global",
        "  - event: security_*\n    filters: ['hostPid=PID']\n    condition: has(comm) && name == \"security_inode_unlink\"\n  - event: -security_file_open\n",
    );
    for name in ["a.txt", "b.conf", "c.bin"] {
        fs::write(files.join(name), b"x").unwrap();
    }
    let watch = Watch::start(&["--policy", policies.to_str().unwrap(), "--enrichment", "ancestry=0"]);
    for name in ["a.txt", "b.conf", "c.bin"] {
        open(&files.join(name));
    }
    assert!(File::open(files.join("missing")).is_err());
    File::create(files.join("made")).unwrap();
    fs::remove_file(files.join("made")).unwrap();
    for name in ["a.txt", "b.conf"] {
        assert!(Command::new("/usr/bin/cat").arg(files.join(name)).output().unwrap().status.success());
    }
    let account = watch.stop();
    account.assert_clean();
    let of = |name: &str, by: &str| -> BTreeSet<String> {
        let path = files.join(name);
        let lines = account.lines.with("security_file_open", "pathname", path.to_str().unwrap());
        let ours = lines.into_iter().filter(|l| (l.process("/thread/name") == "cat") == (by == "cat"));
        let found: Vec<&Line> = ours.collect();
        assert_eq!(found.len(), 1, "{name} by {by}: {found:?}");
        matched(found[0])
    };
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(of("a.txt", "us"), set(&["exact", "host", "pid", "prefix"]));
    assert_eq!(of("b.conf", "us"), set(&["either", "exact", "host", "pid", "suffix"]));
    assert_eq!(of("c.bin", "us"), set(&["either", "host", "pid"]));
    assert_eq!(
        of("a.txt", "cat"),
        set(&["cel", "exact", "host", "made-here", "new", "of-cat", "prefix", "program"])
    );
    assert_eq!(
        of("b.conf", "cat"),
        set(&["cel", "exact", "host", "made-here", "new", "of-cat", "program", "suffix"])
    );
    let call =
        |name: &str| matched(account.lines.one("openat", "pathname", files.join(name).to_str().unwrap()));
    assert_eq!(call("missing"), set(&["call"]));
    assert_eq!(call("made"), set(&["call-flags"]));
    let unlinked =
        account.lines.one("security_inode_unlink", "pathname", files.join("made").to_str().unwrap());
    assert_eq!(matched(unlinked), set(&["others"]));
    // Nothing else: what no policy wants is not there.
    assert!(account.lines.of("security_inode_rename").is_empty());
}

/// What conditions ask of others than who acts.
fn ask_stores(_: &str) {
    let dir = temporary();
    let us = std::process::id();
    let policy = |name: &str, event: &str, condition: &str| {
        let condition = condition.replace("PID", &us.to_string());
        let text = format!(
            "type: policy\nname: {name}\nscope: [global]\nrules:\n  - event: {event}\n    condition: hostPid == {us} && {condition}\n"
        );
        fs::write(dir.path().join(format!("{name}.yaml")), text).unwrap();
    };
    policy("kills-sleep", "kill", "process(data.pid).comm == 'sleep' && process(data.pid).ppid == PID");
    policy("kills-program", "kill", "process(data.pid).executable.endsWith('/sleep')");
    policy("kills-arguments", "kill", "process(data.pid).command_line.endsWith('sleep 3456')");
    policy("kills-cat", "kill", "process(data.pid).comm == 'cat'");
    policy("to-nobody", "chown_common", "user(data.uid) == 'nobody'");
    policy("to-root", "chown_common", "user(data.uid) == 'root'");
    let watch = Watch::start(&["--policy", dir.path().to_str().unwrap()]);
    let mut child = Command::new("/usr/bin/sleep").arg("3456").spawn().unwrap();
    // The kernel lets go of us before the program runs.
    let status = format!("/proc/{}/status", child.id());
    wait_until("sleep to sleep", || {
        let status = fs::read_to_string(&status).unwrap();
        status.contains("Name:\tsleep\n") && status.contains("State:\tS")
    });
    signal(child.id(), libc::SIGTERM);
    child.wait().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let account = watch.stop();
    account.assert_clean();
    let kill = account.lines.one("kill", "pid", child.id());
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(matched(kill), set(&["kills-arguments", "kills-program", "kills-sleep"]));
    let chown = account.lines.one("chown_common", "pathname", file.to_str().unwrap());
    assert_eq!(matched(chown), set(&["to-nobody"]));
}

/// Asked over the control socket: what is in force once the answer has come.
fn read_again(_: &str) {
    let dir = temporary();
    let (policy, socket) = (dir.path().join("policy.yaml"), dir.path().join("control"));
    let (policy, socket) = (policy.to_str().unwrap(), socket.to_str().unwrap());
    let file = dir.path().join("a");
    fs::write(&file, b"x").unwrap();
    let write = |name: &str, rule: &str| {
        fs::write(policy, format!("type: policy\nname: {name}\nrules:\n  - event: {rule}\n")).unwrap();
    };
    let rule = format!("security_file_open\n    filters: ['data.pathname={}']", file.display());
    write("first", &rule);
    let watch = Watch::start(&["--policy", policy, "--control", socket]);
    let reload = || run(&["policy", "reload", "--control", socket]);
    let (status, out, _) = reload();
    assert!(status.success() && out.starts_with("the policies are as they were: first (hash "), "{out}");
    open(&file);
    write("second", &rule);
    let (status, out, _) = reload();
    assert!(status.success() && out.contains(": second (hash "), "{out}");
    open(&file);
    write("third", "no_such_event");
    let (status, _, err) = reload();
    assert!(!status.success() && err.contains("policy.yaml:4:12: unknown event 'no_such_event'"), "{err}");
    open(&file);
    let account = watch.stop();
    account.assert_clean();
    let told = account.lines.with("security_file_open", "pathname", file.to_str().unwrap());
    let told: Vec<_> = told.into_iter().map(|l| matched(l).into_iter().next().unwrap()).collect();
    assert_eq!(told, ["first", "second", "second"]);
    // A watch without policies has none to read.
    let watch = Watch::start(&["--events", "security_file_open", "--control", socket]);
    let (status, _, err) = reload();
    assert!(!status.success() && err.contains("without --policy"), "{err}");
    drop(watch.stop());
}

/// Files are opened all the while; each is told by the policy that was in force.
fn changed_while_watching(_: &str) {
    let dir = temporary();
    let policy = dir.path().join("policy.yaml");
    let text = |name: &str, file: &str, scope: &str| {
        format!(
            "type: policy\nname: {name}\nscope: [{scope}]\nrules:\n  - event: security_file_open\n    filters: ['data.pathname={}']\n",
            dir.path().join(file).display()
        )
    };
    for name in ["a", "b", "gone"] {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    let gone = dir.path().join("gone");
    // The old one asks for nobody of ours: what the kernel leaves out for it must not be missing of the new one.
    fs::write(&policy, text("first", "a", "global")).unwrap();
    let mut watch = Watch::start(&["--policy", policy.to_str().unwrap()]);
    let (events, pid) = (watch.events_file(), watch.pid());
    let told = |name: &str| {
        fs::read_to_string(&events).unwrap().matches(&format!("\"matched\":[\"{name}\"]")).count()
    };
    let reloads = || fs::read_to_string(&events).unwrap().matches("\"name\":\"policy_reloaded\"").count();
    let load = scaled(100_000);
    let mut opened = 0;
    let mut both = || {
        open(&dir.path().join("a"));
        open(&dir.path().join("b"));
        opened += 1;
    };
    for n in 0..load {
        both();
        if n == load / 4 {
            // Swapped whole, as editors and ConfigMaps do; found without a signal.
            // It wants more than the old one: programs are added to those that run, which lose nothing by it.
            let more = format!(
                "  - event: security_inode_unlink\n    filters: ['data.pathname={0}']\n  - event: unlink\n    filters: ['data.pathname={0}']\n",
                gone.display()
            );
            fs::write(dir.path().join("next"), text("second", "b", "uid=0") + &more).unwrap();
            fs::rename(dir.path().join("next"), &policy).unwrap();
        }
    }
    while reloads() < 1 {
        both();
    }
    for _ in 0..1000 {
        both();
    }
    fs::remove_file(&gone).unwrap();
    // A bad one leaves the old in force.
    fs::write(&policy, "type: policy\nname: third\nrules:\n  - event: no_such_event\n").unwrap();
    signal(pid, libc::SIGHUP);
    watch.wait_for("policy.yaml:4:12: unknown event 'no_such_event'");
    let before = told("second");
    for _ in 0..1000 {
        both();
    }
    wait_until("the old policy tells what comes after a bad one", || told("second") >= before + 1000);
    // One that wants what user space makes of packets, which nobody has wanted before.
    let fourth = "type: policy\nname: fourth\nrules:\n  - event: net_packet_http_request\n    condition: data.http_request.uri == '/reloaded'\n";
    fs::write(&policy, fourth).unwrap();
    signal(pid, libc::SIGHUP);
    wait_until("packets are taken, too", || reloads() == 2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"GET /reloaded HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    listener.accept().unwrap().0.read_exact(&mut [0; 16]).unwrap();
    wait_until("the packet is told", || told("fourth") > 0);
    let account = watch.stop();
    account.assert_clean();
    account.lines.one("security_inode_unlink", "pathname", gone.to_str().unwrap());
    account.lines.one("unlink", "pathname", gone.to_str().unwrap());
    let lines = &account.lines.0;
    let at = lines.iter().position(|l| l.0["name"] == "policy_reloaded").unwrap();
    assert_eq!(account.lines.of("policy_reloaded").len(), 2);
    assert!(!account.lines.of("net_packet_http_request").is_empty());
    lines[at].assert(&[("policies", json!(["second"]))]);
    assert_ne!(lines[at].get("old_hash"), lines[at].get("new_hash"));
    let opens = |lines: &[Line]| -> Vec<(String, String)> {
        let opens = lines.iter().filter(|l| l.0["name"] == "security_file_open");
        opens
            .map(|l| {
                (
                    matched(l).into_iter().next().unwrap(),
                    l.get("pathname").as_str().unwrap().rsplit('/').next().unwrap().to_owned(),
                )
            })
            .collect()
    };
    let (old, new) = (opens(&lines[..at]), opens(&lines[at..]));
    assert!(old.iter().all(|(policy, file)| policy == "first" && file == "a"));
    assert!(new.iter().all(|(policy, file)| policy == "second" && file == "b"));
    // Each round opens both: of each exactly one was told, but for the round in which the change fell.
    let sum = old.len() + new.len();
    assert!(sum.abs_diff(opened) <= 1, "{} and {} of {opened}", old.len(), new.len());
    assert!(!old.is_empty() && !new.is_empty());
}

/// What is not told is counted, by cause.
fn hold_back(_: &str) {
    let dir = temporary();
    for name in ["limited", "alike-1", "alike-2"] {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    let root = dir.path().to_str().unwrap();
    let policies = format!(
        "type: policy\nname: limited\nrules:\n  - event: security_file_open\n    filters: ['data.pathname={root}/limited']\n    rateLimit: 3/d\n\
         ---\ntype: policy\nname: alike\nrules:\n  - event: security_file_open\n    filters: ['data.pathname={root}/alike-*']\n    dedupe: {{by: [data.pathname], window: 1h}}\n"
    );
    let file = dir.path().join("p.yaml");
    fs::write(&file, policies).unwrap();
    let watch = Watch::start(&["--policy", file.to_str().unwrap()]);
    for _ in 0..20 {
        for name in ["limited", "alike-1", "alike-2"] {
            open(&dir.path().join(name));
        }
    }
    let account = watch.stop();
    let told = |policy: &str| {
        account.lines.of("security_file_open").iter().filter(|l| matched(l).contains(policy)).count() as u64
    };
    let held = |policy: &str, cause: &str| -> u64 {
        let lines = account.lines.with("policy_suppressed", "policy", policy);
        let of = lines.iter().filter(|l| l.get("cause") == cause);
        of.map(|l| l.get("count").as_u64().unwrap()).sum()
    };
    assert_eq!((told("limited"), held("limited", "rate_limit")), (3, 17));
    assert_eq!((told("alike"), held("alike", "dedupe")), (2, 38));
}

/// A shell under a name of its own that opens a file so many times on each cue.
struct Opener(Child);

impl Opener {
    const OPENS: u64 = 500;

    fn new(dir: &Path, name: &str) -> Opener {
        // A copy: what is executed by a link has the path of what the link leads to.
        let shell = dir.join(name);
        fs::copy("/bin/sh", &shell).unwrap();
        let script = format!(
            "while read cue; do i=0; while [ $i -lt {} ]; do : < {}; i=$((i+1)); done; echo done; done",
            Opener::OPENS,
            dir.join(format!("of-{name}")).display()
        );
        fs::write(dir.join(format!("of-{name}")), b"x").unwrap();
        let mut command = Command::new(&shell);
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Opener(command.spawn().unwrap())
    }

    fn open(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut answer = [0; 5];
        self.0.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"done\n");
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What the kernel can know of who acts, several policies have it decide: events of others do not leave it. What it can not know, it lets pass.
fn leave_out(_: &str) {
    let dir = temporary();
    let mut openers = ["first-one", "second-two", "third-one"].map(|name| Opener::new(dir.path(), name));
    let [first, second, third] = [0, 1, 2].map(|n: usize| openers[n].0.id());
    let below = |name: &str| dir.path().join(name).display().to_string();
    let file = dir.path().join("p.yaml");
    let mut watch = |scopes: &[&str]| {
        let policies = scopes.iter().enumerate().map(|(n, scope)| {
            format!(
                "type: policy\nname: p{n}\nscope: [{scope}]\nrules:\n  - event: security_file_open\n---\n"
            )
        });
        fs::write(&file, policies.collect::<String>()).unwrap();
        let watch = Watch::start(&["--policy", file.to_str().unwrap()]);
        openers.iter_mut().for_each(Opener::open);
        let account = watch.stop();
        account.assert_clean();
        let of = |name: &str| {
            let lines = account.lines.of("security_file_open");
            let of = lines.iter().filter(|l| l.get("pathname") == below(name).as_str());
            of.map(|l| matched(l)).collect::<Vec<_>>()
        };
        let names = ["of-first-one", "of-second-two", "of-third-one"];
        // Those that left the kernel: the machine does other things, too.
        let submitted = account.sum("submitted", Some("security_file_open"));
        (names.map(of), submitted)
    };
    let by = |policies: &[&str], count: u64| {
        let policies: BTreeSet<String> = policies.iter().map(|p| (*p).to_owned()).collect();
        vec![policies; usize::try_from(count).unwrap()]
    };
    let all = Opener::OPENS;
    // Those of so many openers, and not of one more. What the machine does beside passes until the sieves are in force.
    let left = |openers: u64, submitted: u64| (openers * all..(openers + 1) * all).contains(&submitted);
    // Two trees of two policies.
    let (told, submitted) = watch(&[&format!("tree={first}"), &format!("tree={second}")]);
    assert_eq!(told, [by(&["p0"], all), by(&["p1"], all), vec![]]);
    assert!(left(2, submitted), "{submitted}");
    // Out of a tree, and in another: everybody but those two.
    let (told, _) = watch(&[&format!("tree!={first}"), &format!("tree={third}")]);
    assert_eq!(told, [vec![], by(&["p0"], all), by(&["p0", "p1"], all)]);
    let (told, submitted) = watch(&["comm=*-one", &format!("pid={second}")]);
    assert_eq!(told, [by(&["p0"], all), by(&["p1"], all), by(&["p0"], all)]);
    assert!(left(3, submitted), "{submitted}");
    let (told, submitted) = watch(&[&format!("exec={}", below("first-one")), "exec=*/second-two"]);
    assert_eq!(told, [by(&["p0"], all), by(&["p1"], all), vec![]]);
    // Of a process that was made a moment ago it is not known.
    assert!(left(2, submitted), "{submitted}");
    // And what the kernel does not decide: then it lets pass.
    let (told, submitted) = watch(&["comm=f*-one", "comm=s*-two"]);
    assert_eq!(told, [by(&["p0"], all), by(&["p1"], all), vec![]]);
    assert!(submitted >= 2 * all, "{submitted}");
    let (told, submitted) = watch(&["pid=new", &format!("pid={second}")]);
    assert_eq!(told, [vec![], by(&["p1"], all), vec![]]);
    assert!(submitted >= 3 * all, "{submitted}");
}

/// Who met a scope that follows as it executed something or made a process, and what descends from it, has its events told, whatever it is by
/// then; those of others do not leave the kernel.
fn follow(_: &str) {
    const CALLS: usize = 200;
    let dir = temporary();
    let below = |name: &str| dir.path().join(name).display().to_string();
    for name in ["leader", "former", "member"] {
        fs::copy("/bin/sh", dir.path().join(name)).unwrap();
    }
    let script = |name: &str, text: String| {
        fs::write(dir.path().join(name), text).unwrap();
        below(name)
    };
    // To a process that is not there, and by nobody else.
    let calls = |whom: u64| {
        format!("exec 2>/dev/null; i=0; while [ $i -lt {CALLS} ]; do kill -0 {whom}; i=$((i+1)); done")
    };
    let [own, childs, becomes, olds, strangers] = [4_190_001, 4_190_002, 4_190_003, 4_190_004, 4_190_005];
    // A child under another name, and its own.
    let child = script("child", format!("{}; /bin/sh -c '{}'; :", calls(childs), calls(childs)));
    let lead = script("lead", format!("{}; {} {child}; :", calls(own), below("member")));
    // It becomes another program.
    let became = script("became", calls(becomes));
    let changes = script("changes", format!("exec {} {became}", below("member")));
    let stranger = script("stranger", calls(strangers));
    // Alive at the start.
    let waits = format!("read go; /bin/sh -c '{}'; :", calls(olds));
    let run = |scopes: &[&str]| {
        let policies = scopes.iter().enumerate().map(|(n, scope)| {
            format!("type: policy\nname: p{n}\nscope: [{scope}, follow]\nrules:\n  - event: kill\n    condition: data.pid > 4190000\n---\n")
        });
        let file = script("p.yaml", policies.collect::<String>());
        let mut old = Command::new(below("leader"));
        let mut old = old.args(["-c", &waits]).stdin(Stdio::piped()).spawn().unwrap();
        let watch = Watch::start(&["--policy", &file]);
        drop(old.stdin.take());
        assert!(old.wait().unwrap().success());
        for (shell, script) in
            [("leader", &lead), ("leader", &changes), ("former", &changes), ("member", &stranger)]
        {
            let status = Command::new(below(shell)).arg(script).status().unwrap();
            assert!(status.success(), "{shell} {script}");
        }
        let account = watch.stop();
        account.assert_clean();
        let mut told: BTreeMap<(u64, BTreeSet<String>), usize> = BTreeMap::new();
        for line in account.lines.of("kill") {
            *told.entry((line.get("pid").as_u64().unwrap(), matched(line))).or_default() += 1;
        }
        (told, account.sum("submitted", Some("syscall")))
    };
    let by =
        |mask: u64, policy: &str, times: usize| ((mask, BTreeSet::from([policy.to_owned()])), times * CALLS);
    let led = [by(own, "p0", 1), by(childs, "p0", 2), by(becomes, "p0", 1), by(olds, "p0", 1)];
    let (told, submitted) = run(&["comm=leader"]);
    assert_eq!(told, BTreeMap::from(led.clone()));
    // What `former` became, and the stranger, call did not leave the kernel.
    assert_eq!(submitted, 5 * CALLS as u64);
    // By what they execute, each of two follows its own.
    let (told, submitted) =
        run(&[&format!("exec={}", below("leader")), &format!("exec={}", below("former"))]);
    assert_eq!(told, led.into_iter().chain([by(becomes, "p1", 1)]).collect());
    assert!((6 * CALLS as u64..=7 * CALLS as u64).contains(&submitted), "{submitted}");
}

/// System calls by their arguments that are numbers: of calls with others nothing leaves the kernel.
fn arguments(_: &str) {
    let dir = temporary();
    let file = dir.path().join("p.yaml");
    let rule = |event: &str, condition: &str| format!("  - event: {event}\n    condition: {condition}\n");
    let rules = [
        rule("lseek", "data.offset == -7 && hostPid == PID"),
        rule("openat", "data.flags.has('O_DIRECTORY') && hostPid == PID"),
        rule("prctl", "data.option in [15, 16] && hostPid == PID"),
        rule("fchown", "data.owner > 70000 && hostPid == PID && retval < 0"),
    ];
    let pid = std::process::id();
    let text =
        format!("type: policy\nname: numbers\nrules:\n{}", rules.concat()).replace("PID", &pid.to_string());
    fs::write(&file, text).unwrap();
    let watch = Watch::start(&["--policy", file.to_str().unwrap()]);
    let path = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
    let mut name = [0u8; 16];
    for n in 0..300_i64 {
        // SAFETY: plain system calls; the name has room for 16 bytes, and the path ends with a NUL.
        unsafe {
            libc::lseek(-1, if n % 3 == 0 { -7 } else { n }, libc::SEEK_SET);
            let flags = if n % 3 == 1 { libc::O_DIRECTORY } else { 0 };
            libc::close(libc::openat(libc::AT_FDCWD, path.as_ptr(), flags | libc::O_CLOEXEC));
            libc::prctl(
                if n % 3 == 2 { libc::PR_GET_NAME } else { libc::PR_GET_DUMPABLE },
                name.as_mut_ptr(),
            );
            libc::fchown(-1, 69_901 + n as u32, 0);
        }
    }
    let account = watch.stop();
    account.assert_clean();
    let of = |event: &str| account.lines.of(event).len();
    assert_eq!([of("lseek"), of("openat"), of("prctl"), of("fchown")], [100, 100, 100, 200]);
    assert!(account.lines.of("lseek").iter().all(|l| l.get("offset") == -7));
    assert!(account.lines.of("fchown").iter().all(|l| l.get("owner").as_u64().unwrap() > 70_000));
    let submitted = account.sum("submitted", Some("syscall"));
    // Of 1,200; beside them what others did before the sieves were in force.
    assert!((500..1000).contains(&submitted), "{submitted}");
}

fn errors_name_the_place(_: &str) {
    let dir = temporary();
    let file = dir.path().join("bad.yaml");
    let name = file.to_str().unwrap();
    fs::write(
        &file,
        "type: policy\nname: Bad\nscope: [global, uid=x]\nrules:\n  - event: sched_proces_exec\n  - event: openat\n    filters: ['data.pathnme=/x']\n    \
         condition: |\n      uid == 0 &&\n      data.flags == \"O_RDNLY\"\n    rateLimit: many\n    actions: [alrt]\n",
    )
    .unwrap();
    for command in [&["policy", "check", name][..], &["watch", "--policy", name]] {
        let (status, out, err) = run(command);
        assert!(!status.success(), "{out}");
        for expected in [
            ":2:7: 'Bad' is no name of a policy",
            ":3:9: 'global' is everything",
            ":3:17: scope 'uid=x': 'x' is no such number",
            ":5:12: unknown event 'sched_proces_exec'; did you mean 'sched_process_exec'?",
            ":7:16: openat has no field 'pathnme'; did you mean 'data.pathname'?",
            ":10:21: no number is called 'O_RDNLY' here; did you mean 'O_RDONLY'?",
            ":11:16: 'many' is no rate",
            ":12:15: unknown action 'alrt'",
        ] {
            assert!(err.contains(&format!("{name}{expected}")), "{expected} in {err}");
        }
    }
    // What is no policy at all.
    for (text, expected) in [
        ("rules: [", ":1:"),
        ("- a\n", ":1:1: "),
        ("", ": no policy"),
        ("type: policy\nname: x\nrulez: []\n", ":3:1: unknown field `rulez`"),
        ("type: detector\nname: x\nrules: [{event: openat}]\n", ":1:7: type 'detector' is not 'policy'"),
        ("kind: Policy\n", ": apiVersion is missing"),
    ] {
        fs::write(&file, text).unwrap();
        let (status, _, err) = run(&["policy", "check", name]);
        assert!(!status.success() && err.contains(name) && err.contains(expected), "{text}: {err}");
    }
    let (status, _, err) = run(&["policy", "check", "/nonexistent/policies"]);
    assert!(!status.success() && err.contains("/nonexistent/policies: No such file"), "{err}");
}

fn test_judges(_: &str) {
    let dir = temporary();
    fs::write(dir.path().join("x.conf"), b"x").unwrap();
    let policy = format!(
        "type: policy\nname: conf\nscope: [uid=0, not-container]\nrules:\n  - event: security_file_open\n    filters: ['data.pathname={}/*.conf']\n    condition: >-\n      comm != '' && executable.startsWith('/') && data.flags.contains('O_RDONLY')\n---\n\
         type: policy\nname: nobody\nscope: [uid=12345]\nrules:\n  - event: security_file_open\n",
        dir.path().display()
    );
    fs::write(dir.path().join("p.yaml"), policy).unwrap();
    let watch = Watch::start(&["--events", "security_file_open"]);
    open(&dir.path().join("x.conf"));
    let account: Account = watch.stop();
    // What the running watch would match, the recorded line does.
    let wanted = dir.path().join("x.conf");
    let is_it =
        |l: &&Line| l.0["name"] == "security_file_open" && l.get("pathname") == wanted.to_str().unwrap();
    let at = account.lines.0.iter().position(|l| is_it(&l)).unwrap() + 1;
    let text: String = account.lines.0.iter().map(|l| format!("{}\n", l.0)).collect();
    fs::write(dir.path().join("events.jsonl"), text).unwrap();
    let expect = dir.path().join("expect.yaml");
    let judge = |expected: &str| {
        fs::write(&expect, format!("policies: [p.yaml]\nevents: events.jsonl\nexpect:\n{expected}")).unwrap();
        run(&["policy", "test", expect.to_str().unwrap()])
    };
    let (status, out, err) = judge(&format!("  conf: [{at}]\n  nobody: 0\n"));
    assert!(status.success() && out.contains("ok   conf: 1 lines"), "{out}{err}");
    assert!(judge("  conf: 1\n").0.success());
    // The control: a wrong expectation fails, one of nobody's policy too.
    let (status, out, _) = judge("  conf: 2\n");
    assert!(!status.success() && out.contains("FAIL conf: wanted 2 lines, matched"), "{out}");
    assert!(!judge("  conf: 1\n  other: 0\n").0.success());
    // And what is wrong with the file is said with its place.
    let (status, _, err) = judge("  conf: many\n");
    assert!(!status.success() && err.contains("expect.yaml:"), "{err}");
}

/// Tracee's own examples, where they are at hand.
fn corpus(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/tracee-policies");
    if !corpus.is_dir() {
        println!("SKIP {name}: no corpus beside this checkout");
        return;
    }
    let mut files: Vec<PathBuf> = vec![];
    for dialect in ["k8s", "plain"] {
        files.extend(fs::read_dir(corpus.join(dialect)).unwrap().map(|e| e.unwrap().path()));
    }
    assert!(files.len() > 10);
    for file in files {
        let (status, out, err) = run(&["policy", "check", file.to_str().unwrap()]);
        assert!(status.success() && out.contains("all well"), "{}: {out}{err}", file.display());
        let (status, out, err) = run(&["policy", "explain", file.to_str().unwrap()]);
        assert!(status.success() && out.contains("policy "), "{}: {out}{err}", file.display());
    }
}
