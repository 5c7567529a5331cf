//! Every system call made once, by its number in a table, with arguments that it refuses: what is told of it must be what was passed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use catalogue::{Argument, CALLS, Call, EVENTS, Field, Lane};
use serde_json::json;

use crate::{Line, Lines, watch_act};

/// An address that no program has memory at.
const NOWHERE: u32 = 16;
/// `enum argument_kind` of syscall.bpf.c.
const BITS_32: u8 = 1;
const STRING: u8 = 5;

/// The calls of a table, with their numbers there.
fn table(compat: bool) -> Vec<(&'static Call, &'static str, u32)> {
    let mut all = vec![];
    for call in CALLS {
        for name in call.names {
            let numbers = catalogue::syscall(name).unwrap();
            all.extend((if compat { numbers.compat } else { numbers.native }).map(|n| (call, *name, n)));
        }
    }
    all
}

/// What is passed as that argument: no descriptor, no address, a process that there is not, a number that is refused.
fn passed(field: &Field, argument: &Argument, n: usize) -> u32 {
    match argument.kind {
        _ if field.name.contains("fd") => u32::MAX,
        kind if kind >= STRING => NOWHERE,
        _ if field.ty == catalogue::Type::Pointer => NOWHERE,
        _ => 0x7fff_fff0 + n as u32,
    }
}

/// The registers. A 64-bit number takes two of a 32-bit call.
fn arguments(call: &Call, compat: bool) -> [u32; 6] {
    let mut all = [0; 6];
    let mut at = 0;
    for (n, (argument, field)) in call.arguments.iter().zip(EVENTS[call.event].fields).enumerate() {
        all[at] = passed(field, argument, n);
        at += if argument.pair && compat { 2 } else { 1 };
    }
    all
}

#[cfg(target_arch = "x86_64")]
fn call_32(number: u32, a: [u32; 6]) -> i64 {
    let ret: i32;
    // SAFETY: the 32-bit gate; none of the arguments is an address of memory that there is. rbx and rbp are put back.
    unsafe {
        std::arch::asm!(
            "push rbx", "push rbp", "mov ebx, r12d", "mov ebp, r13d", "int 0x80", "pop rbp", "pop rbx",
            inlateout("eax") number => ret, in("r12d") a[0], in("ecx") a[1], in("edx") a[2],
            in("esi") a[3], in("edi") a[4], in("r13d") a[5],
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    ret.into()
}

#[cfg(not(target_arch = "x86_64"))]
fn call_32(_: u32, _: [u32; 6]) -> i64 {
    unreachable!("only x86-64 has the 32-bit gate")
}

/// A child that shares its maker's stack may not use it: it ends at once.
#[cfg(target_arch = "x86_64")]
fn vfork() -> i64 {
    let ret: i64;
    // SAFETY: the child touches no memory.
    unsafe {
        std::arch::asm!(
            "syscall", "test rax, rax", "jnz 2f", "mov eax, 60", "xor edi, edi", "syscall", "2:",
            inlateout("rax") libc::SYS_vfork => ret, out("rcx") _, out("r11") _, out("rdi") _,
        );
    }
    ret
}

fn call_64(name: &str, number: u32, a: [u32; 6]) -> i64 {
    #[cfg(target_arch = "x86_64")]
    if name == "vfork" {
        return vfork();
    }
    let a = a.map(|n| if n == u32::MAX { -1 } else { i64::from(n) });
    // SAFETY: none of the arguments is an address of memory that there is.
    let ret = unsafe { libc::syscall(number.into(), a[0], a[1], a[2], a[3], a[4], a[5]) };
    if ret == -1 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap()) } else { ret }
}

/// The act: each call of a table in a child of its own, alone in its namespaces. `results` says which process made which, and what it got.
pub(crate) fn perform(dir: &Path, args: &[String]) {
    let compat = args[0] == "compat";
    let mut results = String::new();
    for (call, name, number) in table(compat) {
        let got = dir.join("got");
        let _ = fs::remove_file(&got);
        // SAFETY: plain system calls; the child makes its call, writes what it got, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe {
                libc::setsid();
                libc::unshare(libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS);
                // Also if the call takes this process's rights.
                let fd = libc::open(crate::acts::c(&got).as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o600);
                let ret = if compat {
                    call_32(number, arguments(call, true))
                } else {
                    call_64(name, number, arguments(call, false))
                };
                if !(call.makes_child && ret == 0) {
                    let ret = ret.to_string();
                    libc::write(fd, ret.as_ptr().cast(), ret.len());
                }
                libc::_exit(0);
            }
        }
        end(child);
        let ret = fs::read_to_string(&got).unwrap_or_default();
        let _ = writeln!(results, "{name} {child} {}", if ret.is_empty() { "-" } else { &ret });
    }
    fs::write(dir.join("results"), results).unwrap();
}

/// Waits for a child; one that sleeps in its call, or is stopped, for two seconds on end waits for a signal, and gets one. A slow machine
/// does not make it sleep.
fn end(child: i32) {
    let mut asleep: Option<Instant> = None;
    // SAFETY: a child of ours.
    unsafe {
        while libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG) == 0 {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let sleeps = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['S', 'T', 't']));
            asleep = sleeps.then(|| asleep.unwrap_or_else(Instant::now));
            if asleep.is_some_and(|since| since.elapsed() > Duration::from_secs(2)) {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, std::ptr::null_mut(), 0);
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Watches the act, and gives what is wrong, a line for each call.
pub fn conform(compat: bool) -> Vec<String> {
    let table_name = if compat { "compat" } else { "native" };
    let (account, act) = watch_act("calls", &[table_name.into()], "tag=syscalls", &["--buffers", "64MiB"]);
    account.assert_clean();
    let results = fs::read_to_string(act.dir.path().join("results")).unwrap();
    let mut wrong = vec![];
    for ((call, name, _), result) in table(compat).into_iter().zip(results.lines()) {
        let [made, pid, ret] = result.split(' ').collect::<Vec<_>>()[..] else { panic!("{result}") };
        assert_eq!(made, name);
        if let Err(what) = judge(&account.lines, call, compat, pid.parse().unwrap(), ret) {
            wrong.push(format!("{name}: {what}"));
        }
    }
    wrong
}

fn judge(lines: &Lines, call: &Call, compat: bool, pid: u64, ret: &str) -> Result<(), String> {
    let event = &EVENTS[call.event];
    assert_eq!(event.lane, Lane::Task);
    let of = |l: &&&Line| *l.process("/host_pid") == pid && l.process("/thread/compat") == compat;
    let told = lines.of(event.name);
    let told: Vec<&&Line> = told.iter().filter(of).collect();
    // Some calls are made by the child for other ends too: the one in question has the arguments.
    let as_passed = |line: &&&&Line| {
        call.arguments.iter().zip(event.fields).enumerate().all(|(n, (argument, field))| {
            let expected = passed(field, argument, n);
            match argument.kind {
                BITS_32 if field.ty == catalogue::Type::I32 => {
                    line.get(field.name) == json!(expected.cast_signed())
                }
                BITS_32 => line.get(field.name) == json!(expected),
                kind if kind >= STRING && !argument.written => {
                    ["faulted", "unavailable", "ok"].contains(&line.quality(field.name).as_str())
                }
                _ => true,
            }
        })
    };
    let found: Vec<&&&Line> = told.iter().filter(as_passed).collect();
    let Some(line) = found.last() else {
        return Err(format!("not told as passed; told of it: {told:?}"));
    };
    // The caller of a 32-bit call sees no more of an address than that.
    let seen = |n: i64| if compat { i64::from(n as i32) } else { n };
    let returned = line.get("returnValue").as_i64().map(seen);
    if !call.never_returns && ret != "-" && returned != ret.parse().ok() {
        return Err(format!("returned {ret}, told: {line:?}"));
    }
    Ok(())
}
