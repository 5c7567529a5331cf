//! Namespaces and cgroups changed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::acts::check;
use crate::trigger::{Told, Trigger};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger { event: "switch_task_ns", act: leave_and_return, check: switched, ..Trigger::NONE },
    Trigger { event: "cgroup_mkdir", act: cgroup, check: cgroup_told, needs: hierarchy, ..Trigger::NONE },
    Trigger { event: "cgroup_rmdir", act: cgroup, check: cgroup_told, needs: hierarchy, ..Trigger::NONE },
    Trigger {
        event: "cgroup_attach_task",
        act: |dir| {
            let made = cgroup_of(dir);
            fs::create_dir(&made).unwrap();
            let child = std::process::Command::new("/bin/sleep").arg("60").spawn();
            let mut child = child.unwrap();
            fs::write(made.join("cgroup.procs"), child.id().to_string()).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            crate::wait_until("the removal of a cgroup", || fs::remove_dir(&made).is_ok());
        },
        check: |told| {
            let name = format!("/{}", cgroup_of(told.dir).file_name().unwrap().to_str().unwrap());
            let moved = told.one("cgroup_path", name);
            // The act's child; whether it executes its program by then is a race.
            assert!(moved.get("pid").as_u64().unwrap() > told.pid.into(), "{moved:?}");
        },
        needs: hierarchy,
        ..Trigger::NONE
    },
];

fn leave_and_return(_: &Path) {
    // SAFETY: plain system calls with a valid pointer.
    unsafe {
        let own = libc::open(c"/proc/self/ns/uts".as_ptr(), libc::O_RDONLY);
        check(libc::unshare(libc::CLONE_NEWUTS | libc::CLONE_NEWIPC).into());
        check(libc::setns(own, libc::CLONE_NEWUTS).into());
    }
}

fn switched(told: &Told<'_>) {
    let [left, back] = &told.lines.0[..] else { panic!("two switches expected: {:?}", told.lines) };
    assert!(left.get("new_uts").is_u64() && left.get("new_ipc").is_u64());
    assert_eq!(left.get("new_mnt"), Value::Null);
    let own = fs::read_link("/proc/self/ns/uts").unwrap();
    let own: u64 = own.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    assert_eq!((back.get("new_uts"), back.get("new_ipc")), (json!(own), Value::Null));
}

fn hierarchy() -> Result<(), String> {
    crate::cgroup_root().map(drop).ok_or_else(|| "cgroup v2 is not mounted".to_string())
}

fn cgroup_of(dir: &Path) -> std::path::PathBuf {
    crate::cgroup_root().unwrap().join(dir.parent().unwrap().file_name().unwrap())
}

fn cgroup(dir: &Path) {
    let made = cgroup_of(dir);
    fs::create_dir(&made).unwrap();
    fs::remove_dir(&made).unwrap();
}

fn cgroup_told(told: &Told<'_>) {
    let name = told.dir.parent().unwrap().file_name().unwrap().to_str().unwrap();
    told.one("cgroup_path", format!("/{name}"));
}
