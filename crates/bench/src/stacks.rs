//! What user stacks cost: in the kernel, for the task; in Tarsius, for each event.

use std::arch::asm;

use anyhow::ensure;

use crate::{OPENS, TURNS, beside, cpu_time, median, table};

/// Frames of the stacks that are measured.
const DEPTHS: [usize; 3] = [2, 8, 32];

/// Measures and prints.
pub(crate) fn report() -> anyhow::Result<()> {
    println!(
        "{TURNS} turns of {OPENS} openat+close with a chain of frame pointers made for it; median of the turns\n"
    );
    let own = format!("pid={}", std::process::id());
    let plain = ["--events", "security_file_open", "--scope", &own, "--output", "json:/dev/null"];
    let stacks = [&plain[..], &["--enrichment", "user-stack"]].concat();
    let ways: Vec<(&[&str], usize)> =
        std::iter::once((&plain[..], 8)).chain(DEPTHS.map(|depth| (&stacks[..], depth))).collect();
    let mut measured = vec![(vec![], vec![], 0u64); ways.len()];
    for _ in 0..TURNS {
        for ((options, depth), (times, own, lost)) in ways.iter().zip(&mut measured) {
            let chain = Chain::new(*depth);
            let (time, report, ..) = beside(options, || turn(&chain))?;
            ensure!(report.received + report.lost >= OPENS, "{} of {OPENS} came", report.received);
            times.push(time);
            own.push(report.cpu as f64 / report.received as f64);
            *lost += report.lost;
        }
    }
    let mut table = table(&[
        "security_file_open DELIVERED",
        "ns per open+close",
        "added",
        "Tarsius' CPU per event, ns",
        "lost",
    ]);
    let mut before = f64::NAN;
    for (n, ((_, depth), (times, own, lost))) in ways.iter().zip(&mut measured).enumerate() {
        let time = median(times);
        let name = if n == 0 {
            before = time;
            "without stacks".to_string()
        } else {
            format!("with stacks of {depth} frames in two files")
        };
        table.add_row([
            name,
            format!("{time:.0}"),
            format!("{:.0}", time - before),
            format!("{:.0}", median(own)),
            lost.to_string(),
        ]);
    }
    println!("{table}\n");
    Ok(())
}

/// Frame pointers and return addresses, as callers leave them on the stack: by turns in this program and in the C library.
struct Chain(Vec<[usize; 2]>);

impl Chain {
    /// So that there are as many frames, with the one that makes the system call.
    fn new(depth: usize) -> Chain {
        let code =
            [report as fn() -> anyhow::Result<()> as usize + 1, libc::getpid as *const () as usize + 1];
        let mut frames: Vec<[usize; 2]> = (1..depth).map(|n| [0, code[n % 2]]).collect();
        frames.push([0, 0]);
        let start = frames.as_ptr() as usize;
        for (n, frame) in (1..).zip(&mut frames) {
            frame[0] = if n < depth { start + n * size_of::<[usize; 2]>() } else { 0 };
        }
        Chain(frames)
    }
}

/// CPU nanoseconds of one open and close.
fn turn(chain: &Chain) -> f64 {
    let start = cpu_time();
    for _ in 0..OPENS {
        let fd = open(chain);
        // SAFETY: a descriptor that is ours.
        unsafe { libc::close(fd) };
    }
    (cpu_time() - start) as f64 / OPENS as f64
}

/// Opens /dev/null with the chain for its stack.
fn open(chain: &Chain) -> i32 {
    let path = c"/dev/null".as_ptr();
    let got: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the system call reads a C string; the frame pointer is what it was when the block ends.
    unsafe {
        asm!(
            "xchg rbp, {chain}",
            "syscall",
            "xchg rbp, {chain}",
            chain = inout(reg) chain.0.as_ptr() => _,
            inlateout("rax") libc::SYS_openat as isize => got,
            in("rdi") libc::AT_FDCWD as isize,
            in("rsi") path,
            in("rdx") libc::O_RDONLY as isize,
            in("r10") 0usize,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!(
            "mov {kept}, x29",
            "mov x29, {chain}",
            "svc #0",
            "mov x29, {kept}",
            kept = out(reg) _,
            chain = in(reg) chain.0.as_ptr(),
            in("x8") libc::SYS_openat as isize,
            inlateout("x0") libc::AT_FDCWD as isize => got,
            in("x1") path,
            in("x2") libc::O_RDONLY as isize,
            in("x3") 0usize,
            options(nostack),
        );
    }
    i32::try_from(got).unwrap_or(-1)
}
