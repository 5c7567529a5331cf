//! The acts by which processes change themselves, and what is told of each.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::ptr;

use serde_json::json;

use super::Trigger;
use crate::acts::check;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "sched_process_fork",
        act: run_true,
        check: |told| {
            let fork = told.one("parent_pid", told.pid);
            let (child, start) = (fork.get("child_pid"), fork.get("start_time"));
            fork.assert(&[
                ("clone_thread", json!(false)),
                ("parent_process_pid", json!(told.pid)),
                ("parent_process_tid", json!(told.pid)),
                ("leader_pid", child.clone()),
                ("leader_tid", child),
                ("leader_start_time", start),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "sched_process_exec",
        act: run_true,
        check: |told| {
            let exec = told.one("cmdpath", "/bin/true");
            exec.assert(&[
                ("argv", json!(["/bin/true", "two words"])),
                ("invoked_from_kernel", json!(false)),
            ]);
            // An overlay gives its files' numbers as stat has them not.
            let program = fs::metadata("/bin/true").unwrap();
            if exec.get("dev") == program.dev() {
                let ctime = program.ctime() * 1_000_000_000 + program.ctime_nsec();
                exec.assert(&[("inode", json!(program.ino())), ("ctime", json!(ctime))]);
            }
            if exec.quality("interpreter_pathname") == "ok" {
                let loader = exec.get("interpreter_pathname");
                let file = fs::metadata(loader.as_str().unwrap()).unwrap();
                assert!(loader.as_str().unwrap().contains("/ld-"), "{loader}");
                // Not in an overlay, where what is mapped is the layer's file, and stat says yet another device.
                if exec.get("dev") == program.dev() {
                    exec.assert(&[
                        ("interpreter_inode", json!(file.ino())),
                        ("interpreter_dev", json!(file.dev())),
                    ]);
                }
            } else {
                assert!(before_5_17(), "no interpreter: {exec:?}");
            }
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
            told.one("exit_code", 7)
                .assert(&[("signal_code", json!(0)), ("process_group_exit", json!(true))]);
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
            let changed = told.one("resolved_path", path);
            // Before Linux 5.17 the hooks do not tell what the call was given.
            assert!(before_5_17() || changed.quality("unresolved_path") == "ok", "{changed:?}");
            changed.assert_where_told(&[("unresolved_path", json!("link"))]);
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
    Trigger {
        event: "security_bprm_check",
        act: run_true,
        check: |told| {
            let file = fs::canonicalize("/bin/true").unwrap();
            let inode = fs::metadata(&file).unwrap().ino();
            let line = told.one("pathname", file.to_str().unwrap());
            line.assert(&[("inode", json!(inode))]);
            if told.tier.starts_with('t') || !before_5_17() {
                line.assert(&[("argv", json!(["/bin/true", "two words"]))]);
            }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "do_sigaction",
        act: |_| {
            extern "C" fn handler(_: i32) {}
            let mut action = libc::sigaction {
                sa_sigaction: handler as extern "C" fn(i32) as usize,
                // SAFETY: a set is bits.
                sa_mask: unsafe { std::mem::zeroed() },
                sa_flags: libc::SA_RESTART,
                sa_restorer: None,
            };
            // SAFETY: actions and places for them that live through the calls.
            unsafe {
                libc::sigaddset(&raw mut action.sa_mask, libc::SIGHUP);
                check(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()).into());
                action.sa_sigaction = libc::SIG_IGN;
                let mut old = action;
                check(libc::sigaction(libc::SIGUSR1, &raw const action, &raw mut old).into());
            }
        },
        check: |told| {
            let told = told.with("sig", libc::SIGUSR1);
            assert_eq!(told.len(), 2, "{told:?}");
            let handler = told[0].get("sa_handler");
            told[0].assert(&[
                ("is_sa_initialized", json!(true)),
                ("sa_mask", json!(1)),
                ("sa_handle_method", json!(2)),
                ("is_old_sa_initialized", json!(false)),
                ("old_sa_handle_method", json!(0)),
            ]);
            assert!(told[0].parsed("sa_flags").as_str().unwrap().contains("SA_RESTART"));
            told[1].assert(&[
                ("sa_handle_method", json!(1)),
                ("is_old_sa_initialized", json!(true)),
                ("old_sa_mask", json!(1)),
                ("old_sa_handle_method", json!(2)),
                ("old_sa_handler", handler),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "sched_switch",
        act: |_| {
            // SAFETY: a name that ends.
            check(unsafe { libc::prctl(libc::PR_SET_NAME, c"switcher".as_ptr()) }.into());
            std::thread::sleep(std::time::Duration::from_millis(20));
        },
        check: |told| {
            let told = told.with("prev_comm", "switcher");
            assert!(!told.is_empty());
            for line in told {
                line.assert(&[
                    ("prev_tid", line.process("/thread/host_tid").clone()),
                    ("cpu", line.0["cpu"].clone()),
                ]);
            }
        },
        ..Trigger::NONE
    },
    Trigger { event: "executable_hash", elsewhere: Some("hashes_on_request"), ..Trigger::NONE },
];

/// Linux before 5.17, where programs do not find what is mapped, nor a call's arguments from within it.
pub(super) fn before_5_17() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(5), Some(17))
}

fn run_true(_: &std::path::Path) {
    assert!(std::process::Command::new("/bin/true").arg("two words").status().unwrap().success());
}
