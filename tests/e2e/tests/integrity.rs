//! Whether the kernel is what it was built to be: a clean kernel is not accused, and what rootkits do is found.

use std::path::PathBuf;
use std::process::Command;

use e2e::{Account, Line, Watch, wait_until};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("told_at_start", told_at_start),
    ("memory_dump", memory_dump),
    ("clean_kernel", clean_kernel),
    ("rootkit_call", rootkit_call),
    ("rootkit_files", rootkit_files),
    ("rootkit_creds", rootkit_creds),
    ("rootkit_hides", rootkit_hides),
    ("rootkit_ftrace", rootkit_ftrace),
];

const CHECKS: [&str; 5] =
    ["hooked_syscall", "hidden_kernel_module", "hooked_seq_ops", "hooked_proc_fops", "ftrace_hook"];

fn told_at_start(_: &str) {
    let account = Watch::start(&["--events", "tarsius_info,init_namespaces"]).stop();
    let only = |event: &str| -> Line {
        let lines = account.lines.of(event);
        assert_eq!(lines.len(), 1, "{event}: {lines:?}");
        lines[0].clone()
    };
    only("tarsius_info").assert(&[("version", json!(env!("CARGO_PKG_VERSION")))]);
    let namespaces = only("init_namespaces");
    for (field, link) in [("mnt", "mnt"), ("net", "net"), ("pid_for_children", "pid_for_children")] {
        // Process 1 may be nobody's to look at, root's neither.
        let link = std::fs::read_link(format!("/proc/1/ns/{link}")).ok();
        let number =
            link.and_then(|l| l.to_str()?.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().ok());
        assert_eq!(namespaces.get(field), number.map_or(Value::Null, Value::from), "{namespaces:?}");
    }
}

fn memory_dump(test: &str) {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let stext = symbols.lines().find(|l| l.ends_with(" T _stext")).unwrap();
    let address = u64::from_str_radix(stext.split(' ').next().unwrap(), 16).unwrap();
    if address == 0 {
        println!("SKIP {test}: this kernel does not tell the addresses of its symbols");
        return;
    }
    let account = Watch::start(&["--events", "print_mem_dump", "--dump", "_stext:24"]).stop();
    let line = account.lines.one("print_mem_dump", "symbol_name", "_stext");
    let owner = ("symbol_owner", json!("system"));
    line.assert(&[
        ("address", json!(address)),
        ("length", json!(24)),
        ("caller_context_id", json!(1)),
        owner,
    ]);
    // Base64 of 24 bytes.
    assert_eq!(line.get("bytes").as_str().unwrap().len(), 32, "{line:?}");
}

fn clean_kernel(_: &str) {
    // The other events' own programs and probes are no reason to accuse, either.
    let others = ["security_file_open", "commit_creds", "module_load", "creds_overwritten"];
    let watch = Watch::start(&["--events", &[&CHECKS[..], &others].concat().join(",")]);
    // Credentials that change as they may.
    run("setpriv", &["--reuid", "1000", "--clear-groups", "--bounding-set", "-chown", "/bin/true"]);
    run("unshare", &["--user", "--map-root-user", "/bin/true"]);
    let account = watch.stop();
    assert!(!account.lines.of("commit_creds").is_empty());
    for event in CHECKS.into_iter().chain(["creds_overwritten"]) {
        assert!(account.lines.of(event).is_empty(), "{event}: {:?}", account.lines.of(event));
    }
}

/// The modules built for this guest's kernel (tests/rootkit/build); only in a guest, which is thrown away.
fn rootkit(test: &str) -> Option<PathBuf> {
    let Ok(guest) = std::env::var("TARSIUS_VM") else {
        println!("SKIP {test}: rootkits are loaded in guests only");
        return None;
    };
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = root.join(".cache/vm/rootkit").join(&guest);
    if !built.join("tarsius_rootkit.ko").exists() {
        println!("SKIP {test}: no modules for this kernel (tests/rootkit/build {guest})");
        return None;
    }
    Some(built)
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

/// Watches while a module is in the kernel, until an event tells of it.
fn watch(test: &str, module: &str, parameters: &[&str], until: &str, show: bool) -> Option<Account> {
    let file = rootkit(test)?.join(format!("{module}.ko"));
    let events = [&CHECKS[..], &["module_load", "kernel_module_hidden"]].concat().join(",");
    let watch = Watch::start(&["--events", &events]);
    let before = std::fs::read_to_string(watch.events_file()).unwrap();
    run("insmod", &[&[file.to_str().unwrap()], parameters].concat());
    assert!(!before.contains(until), "told before it was done: {before}");
    wait_until(until, || std::fs::read_to_string(watch.events_file()).unwrap().contains(until));
    if show {
        std::fs::write("/proc/tarsius_show", "x").unwrap();
    }
    run("rmmod", &[module]);
    let account = watch.stop();
    // A file that is no compressed one: its path is known, but for kernels that do not let us ask.
    let load = account.lines.one("module_load", "name", module);
    if load.quality("pathname") != "unavailable" {
        let (inode, _) = e2e::inode_of(&file);
        let path = file.canonicalize().unwrap();
        load.assert(&[("pathname", json!(path.to_str().unwrap())), ("inode", json!(inode))]);
    }
    Some(account)
}

fn rootkit_call(test: &str) {
    let Some(account) = watch(test, "tarsius_rootkit", &["call=1"], "hooked_syscall", false) else { return };
    let line = account.lines.one("hooked_syscall", "syscall", "getppid");
    line.assert(&[("function", json!("tarsius_getppid")), ("owner", json!("tarsius_rootkit"))]);
}

fn rootkit_files(test: &str) {
    let parameters = ["seq=1", "file=1"];
    let Some(account) = watch(test, "tarsius_rootkit", &parameters, "hooked_proc_fops", false) else {
        return;
    };
    let found = |event: &str, field: &str| -> Vec<String> {
        let line = account.lines.of(event)[0].clone();
        serde_json::from_value(line.get(field)).unwrap()
    };
    assert_eq!(
        found("hooked_seq_ops", "hooked_seq_ops"),
        ["/proc/self/net/tcp.show: tarsius_show_line [tarsius_rootkit]"]
    );
    assert_eq!(
        found("hooked_proc_fops", "hooked_fops_pointers"),
        ["/proc/version.proc_open: tarsius_open [tarsius_rootkit]"]
    );
}

fn rootkit_creds(test: &str) {
    let Some(built) = rootkit(test) else { return };
    let file = built.join("tarsius_rootkit.ko");
    run("insmod", &[file.to_str().unwrap(), "creds=1"]);
    let watch = Watch::start(&["--events", "creds_overwritten,credentials_overwritten"]);
    // The shell opens the file for itself, as user 1000; what it executes then has what it got. The others change theirs as they may.
    let (overwritten, control) = ("exec 2>&1; echo x >/proc/tarsius_creds; exec /bin/true", "exec /bin/true");
    for commands in [control, overwritten] {
        let mut shell = Command::new("/bin/dash");
        std::os::unix::process::CommandExt::uid(shell.args(["-c", commands]), 1000);
        assert!(shell.status().unwrap().success(), "{commands}");
    }
    let account = watch.stop();
    run("rmmod", &["tarsius_rootkit"]);
    account.assert_clean();
    let told = account.lines.of("creds_overwritten");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].get("old_cred")["uid"], 1000, "{told:?}");
    assert_eq!(told[0].get("new_cred")["uid"], 0, "{told:?}");
    assert_eq!(*told[0].process("/thread/syscall"), "execve", "{told:?}");
    assert_eq!(account.lines.of("credentials_overwritten").len(), 1, "{:?}", account.lines);
}

fn rootkit_hides(test: &str) {
    let Some(account) = watch(test, "tarsius_rootkit", &["hide=1"], "hidden_kernel_module", true) else {
        return;
    };
    let line = account.lines.one("hidden_kernel_module", "name", "tarsius_rootkit");
    assert!(line.get("address").as_str().unwrap().starts_with("0xffff"), "{line:?}");
    assert_eq!(line.quality("srcversion"), "ok", "{line:?}");
    assert_eq!(account.lines.of("kernel_module_hidden").len(), 1, "{:?}", account.lines);
}

fn rootkit_ftrace(test: &str) {
    let Some(account) = watch(test, "tarsius_ftrace", &[], "ftrace_hook", false) else { return };
    let line = account.lines.one("ftrace_hook", "symbol", "commit_creds");
    line.assert(&[("callback", json!("tarsius_callback")), ("callback_owner", json!("tarsius_ftrace"))]);
    assert_eq!(line.get("count"), 1);
}
