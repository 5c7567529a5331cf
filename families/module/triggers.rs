//! Modules loaded, and what they make the kernel make known. No act needs a module of our own, but the kernel's must be there.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::trigger::{Told, Trigger};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger { event: "module_load", act: load, check: loaded, needs: modules, ..Trigger::NONE },
    Trigger {
        event: "module_free",
        act: load,
        check: |told| _ = told.one("name", "dummy"),
        needs: modules,
        ..Trigger::NONE
    },
    Trigger {
        event: "do_init_module",
        act: load,
        check: |told| _ = told.one("name", "dummy").assert(&[("returnValue", json!(0))]),
        needs: modules,
        ..Trigger::NONE
    },
    Trigger { event: "call_usermodehelper", act: unknown_family, check: helper, needs: modules, ..Trigger::NONE },
    Trigger {
        event: "proc_create",
        act: |_| add("pktgen"),
        check: |told| assert!(told.one("name", "pgctrl").get("proc_ops_addr").is_u64()),
        needs: modules,
        ..Trigger::NONE
    },
    Trigger {
        event: "debugfs_create_file",
        act: |_| add("null_blk"),
        check: |told| {
            let states: Vec<_> = told.lines.0.iter().filter(|l| l.get("file_name") == "state").collect();
            assert!(states.iter().any(|l| l.get("path") == "/block/nullb0"), "{:?}", told.lines);
        },
        needs: modules,
        ..Trigger::NONE
    },
    Trigger {
        event: "debugfs_create_dir",
        act: |_| add("null_blk"),
        check: |told| _ = told.one("name", "nullb0").assert(&[("path", json!("/block"))]),
        needs: modules,
        ..Trigger::NONE
    },
    Trigger {
        event: "device_add",
        act: |_| add("ppp_generic"),
        check: |told| _ = told.one("name", "ppp").assert(&[("parent_name", json!(null))]),
        needs: modules,
        ..Trigger::NONE
    },
    Trigger {
        event: "register_chrdev",
        act: |_| add("ppp_generic"),
        check: |told| {
            let both = [("requested_major_number", json!(108)), ("granted_major_number", json!(108))];
            told.one("char_device_name", "ppp").assert(&both);
        },
        needs: modules,
        ..Trigger::NONE
    },
    Trigger {
        event: "kallsyms_lookup_name",
        act: |_| lookup(),
        check: |told| _ = told.any(),
        needs: kprobe_events,
        ..Trigger::NONE
    },
];

/// In guests only: another's modules are not taken out of a machine that is in use.
fn modules() -> Result<(), String> {
    if std::env::var_os("TARSIUS_VM").is_none() {
        return Err("modules are loaded and taken out in guests only".into());
    }
    if Path::new("/proc/modules").exists() { Ok(()) } else { Err("this kernel has no modules".into()) }
}

fn kprobe_events() -> Result<(), String> {
    modules()?;
    let file = "/sys/kernel/tracing/kprobe_events";
    if Path::new(file).exists() { Ok(()) } else { Err(format!("there is no {file}")) }
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success());
}

/// Loads a module anew.
fn add(name: &str) {
    let _ = Command::new("modprobe").args(["-r", name]).status();
    run("modprobe", &[name]);
}

fn load(_: &Path) {
    add("dummy");
    run("rmmod", &["dummy"]);
}

fn loaded(told: &Told<'_>) {
    let line = told.one("name", "dummy");
    // modprobe hands a compressed module over as bytes of its own, not as a file.
    assert!(["ok", "unavailable"].contains(&line.quality("pathname").as_str()), "{line:?}");
}

/// A socket of a family that no kernel has, and for which it asks modprobe.
fn unknown_family(_: &Path) {
    // SAFETY: a plain system call, which fails.
    unsafe { libc::socket(28, libc::SOCK_STREAM, 0) };
}

fn helper(told: &Told<'_>) {
    if told.tier == "kprobe" {
        told.any().assert(&[("pathname", json!("/sbin/modprobe"))]);
    }
    // At the other tiers it is told of the task that the kernel made for it, which is none of the act's.
}

fn lookup() {
    use std::io::Write as _;
    let events = |text: &[u8]| {
        let file = "/sys/kernel/tracing/kprobe_events";
        std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(text).unwrap();
    };
    events(b"p:e2e_lookup do_exit\n");
    events(b"-:e2e_lookup\n");
}
