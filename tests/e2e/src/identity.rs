//! Acts by programs of whose files and owners something is told.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::acts::{Act, c, check};
use crate::truth::mount_overlay;

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[
    ("origins", origins),
    ("foreign_root", foreign_root),
    ("sleeper", sleeper),
    ("executions", executions),
    ("wrap_around", wrap_around),
];

/// Nobody's user id.
const NOBODY: u32 = 65534;

/// Runs a program under a name, as that user.
fn run(program: impl AsRef<Path>, name: &str, uid: u32) {
    let mut command = Command::new(program.as_ref());
    assert!(command.arg0(name).uid(uid).gid(uid).status().unwrap().success(), "{name}");
}

/// Executes files of all kinds of origin, each by the name of its kind.
fn origins(dir: &Path, _: &[String]) {
    let copy = |to: &Path, mode: u32| {
        fs::copy("/bin/true", to).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    mount_overlay(dir, |lower| {
        for name in ["low", "changed"] {
            copy(&lower.join(name), 0o755);
        }
    });
    let merged = dir.join("merged");
    run(merged.join("low"), "lower", 0);
    fs::set_permissions(merged.join("changed"), fs::Permissions::from_mode(0o700)).unwrap();
    run(merged.join("changed"), "copied-up", 0);
    copy(&merged.join("new"), 0o755);
    run(merged.join("new"), "dropped", 0);
    // Not in the overlay, but on the tmpfs beside its layers.
    let plain: PathBuf = dir.join("layers/plain");
    copy(&plain, 0o755);
    run(&plain, "plain", 0);
    run(&plain, "plain-nobody", NOBODY);
    let set_id = dir.join("layers/set-id");
    copy(&set_id, 0o6755);
    run(&set_id, "set-id-nobody", NOBODY);
    run(&set_id, "set-id-root", 0);
    let capable = dir.join("layers/capable");
    copy(&capable, 0o755);
    // Version 2, effective; permitted is CAP_NET_RAW.
    let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    let value: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    // SAFETY: valid strings and a buffer of that length.
    check(unsafe {
        let (path, name) = (c(&capable), c"security.capability");
        libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0).into()
    });
    run(&capable, "capable-nobody", NOBODY);
    let gone = dir.join("layers/gone");
    copy(&gone, 0o755);
    // SAFETY: a valid string.
    let fd = check(unsafe { libc::open(c(&gone).as_ptr(), libc::O_PATH) }.into()) as i32;
    fs::remove_file(&gone).unwrap();
    run(format!("/proc/self/fd/{fd}"), "deleted", 0);
    // SAFETY: a valid string; the descriptor is ours.
    let memory = unsafe {
        let fd = check(libc::memfd_create(c"x".as_ptr(), 0).into()) as i32;
        fs::File::from_raw_fd(fd)
    };
    std::io::Write::write_all(&mut &memory, &fs::read("/bin/true").unwrap()).unwrap();
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    run(path, "memfd", 0);
    // A file of such a name is no memfd.
    let named = dir.join("layers/memfd:x");
    copy(&named, 0o755);
    run(named, "named-memfd", 0);
}

/// Each in a mount namespace of its own, whose root is the folder given, runs those of its programs, which sleep, until told to end.
fn foreign_root(dir: &Path, args: &[String]) {
    let (root, programs) = args.split_first().unwrap();
    let run = |program: &String| {
        let script = format!(
            "mount --make-rprivate / && mount --bind {root} {root} && cd {root} && mkdir -p old && pivot_root . old && exec {program} 60"
        );
        Command::new("unshare").args(["-m", "sh", "-c", &script]).spawn().unwrap()
    };
    let mut children: Vec<_> = programs.iter().map(run).collect();
    wait_for_end(dir);
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Runs a program that sleeps until told to end.
fn sleeper(dir: &Path, _: &[String]) {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(dir.join("pid"), child.id().to_string()).unwrap();
    wait_for_end(dir);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(dir.join("over"), "").unwrap();
    fs::remove_file(dir.join("end")).unwrap();
    wait_for_end(dir);
}

/// The test makes the file `end` when it has seen enough.
fn wait_for_end(dir: &Path) {
    crate::wait_until("the end", || dir.join("end").exists());
}

/// Runs these programs, one after another.
fn executions(_: &Path, args: &[String]) {
    for program in args {
        assert!(Command::new(program).status().unwrap().success());
    }
}

/// Makes so many processes, one after another, each with a name of its own; notes of each its number, its pid, and when it started as procfs
/// says, in ticks of the clock.
fn wrap_around(dir: &Path, args: &[String]) {
    let count: u32 = args[0].parse().unwrap();
    let mut notes = String::new();
    for n in 0..count {
        let name = std::ffi::CString::new(format!("w{n}")).unwrap();
        // SAFETY: plain system calls with valid pointers; the child takes a name and ends.
        unsafe {
            let child = check(libc::fork().into()) as i32;
            if child == 0 {
                libc::prctl(libc::PR_SET_NAME, name.as_ptr());
                libc::_exit(0);
            }
            // It keeps its number, and its place in procfs, until it is waited for without WNOWAIT.
            let mut info = std::mem::zeroed();
            let ended = libc::WEXITED | libc::WNOWAIT;
            check(libc::waitid(libc::P_PID, child as u32, &raw mut info, ended).into());
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
            let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
            notes += &format!("{n} {child} {start}\n");
            check(libc::waitpid(child, std::ptr::null_mut(), 0).into());
        }
    }
    fs::write(dir.join("notes"), notes).unwrap();
}
