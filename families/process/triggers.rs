//! The acts by which processes change themselves, and what is told of each.

use std::ffi::CString;
use std::fs;
use std::ptr;

use serde_json::json;

use super::Trigger;
use crate::acts::check;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "sched_process_fork",
        act: run_true,
        check: |told| { told.one("parent_pid", told.pid).assert(&[("clone_thread", json!(false))]); },
        ..Trigger::NONE
    },
    Trigger {
        event: "sched_process_exec",
        act: run_true,
        check: |told| {
            let exec = told.one("cmdpath", "/bin/true");
            exec.assert(&[("argv", json!(["/bin/true", "two words"])), ("invoked_from_kernel", json!(false))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "sched_process_exit",
        act: |_| {
            // SAFETY: ends this process.
            unsafe { libc::_exit(7) }
        },
        check: |told| {
            told.one("exit_code", 7).assert(&[("signal_code", json!(0)), ("process_group_exit", json!(true))]);
        },
        ..Trigger::NONE
    },
    Trigger { event: "existing_process", elsewhere: Some("existing_processes"), ..Trigger::NONE },

    Trigger {
        event: "task_rename",
        act: |_| {
            // SAFETY: a name that ends.
            unsafe {
                check(libc::prctl(libc::PR_SET_NAME, c"before".as_ptr()).into());
                check(libc::prctl(libc::PR_SET_NAME, c"after".as_ptr()).into());
            }
        },
        check: |told| {
            told.one("new_name", "after").assert(&[("old_name", json!("before"))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "set_fs_pwd",
        act: |_| {
            fs::create_dir("folder").unwrap();
            std::os::unix::fs::symlink("folder", "link").unwrap();
            std::env::set_current_dir("link").unwrap();
        },
        check: |told| {
            let path = told.path("folder");
            told.one("resolved_path", path).assert(&[("unresolved_path", json!("link"))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_task_setrlimit",
        act: |_| {
            let limit = libc::rlimit { rlim_cur: 11, rlim_max: 12 };
            // SAFETY: the limit lives through the call.
            check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }.into());
        },
        check: |told| {
            let line = told.one("new_rlim_cur", 11);
            line.assert(&[("new_rlim_max", json!(12)), ("target_host_pid", json!(told.pid))]);
            assert_eq!(line.parsed("resource"), "RLIMIT_CORE");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "process_execute_failed",
        act: |_| {
            let name = CString::new("missing").unwrap();
            // Not a constant, whose page nobody has touched yet: the program can not fault it in.
            let second = CString::new("second").unwrap();
            let argv = [name.as_ptr(), second.as_ptr(), ptr::null()];
            // SAFETY: strings and an array that end.
            assert_eq!(unsafe { libc::execv(name.as_ptr(), argv.as_ptr()) }, -1);
        },
        check: |told| {
            told.one("pathname", told.path("missing"))
                .assert(&[("argv", json!(["missing", "second"])), ("dirfd", json!(-100))]);
        },
        ..Trigger::NONE
    },
];

fn run_true(_: &std::path::Path) {
    assert!(std::process::Command::new("/bin/true").arg("two words").status().unwrap().success());
}
