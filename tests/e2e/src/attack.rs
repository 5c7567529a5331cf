//! Acts during which another thread rewrites what the kernel was given: names, and an address. What the kernel did is found out by its effect,
//! and written down, a line for each round.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use crate::acts::{Act, c, check};

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[
    ("attack_open", attack_open),
    ("attack_unlink", attack_unlink),
    ("attack_rename", attack_rename),
    ("attack_connect", attack_connect),
    ("attack_exec", attack_exec),
    ("fault_open", |dir, args| fault(dir, args, open)),
    ("fault_unlink", |dir, args| fault(dir, args, unlink)),
    ("fault_rename", |dir, args| fault(dir, args, rename)),
];

fn open(path: *const libc::c_char) -> i32 {
    // SAFETY: a string, that of `fault`.
    unsafe { libc::open(path, libc::O_RDWR | libc::O_NONBLOCK) }
}

fn unlink(path: *const libc::c_char) -> i32 {
    // SAFETY: a string, that of `fault` or of `which_goes`.
    unsafe { libc::unlink(path) }
}

fn rename(path: *const libc::c_char) -> i32 {
    // SAFETY: a string, that of `fault`; and another.
    unsafe { libc::rename(path, c"new".as_ptr()) }
}

/// The two names between which memory changes: written with one store each, so that the kernel copies one or the other.
pub const NAMES: [&str; 2] = ["aaaa", "bbbb"];

/// Where the rounds' outcomes stand, beside what the act works on.
pub const LOG: &str = "outcomes";

fn word(name: &str) -> u32 {
    u32::from_ne_bytes(name.as_bytes().try_into().unwrap())
}

/// Shared with children; holds a string of which a word changes.
struct Name {
    memory: *mut u8,
    word: &'static AtomicU32,
}

/// Memory with the path of the first name in that folder, its last four bytes on a word's bound.
fn name_in(dir: &Path) -> Name {
    let path = c(&dir.join(NAMES[0]));
    let bytes = path.as_bytes_with_nul();
    let before = bytes.len() - 5;
    // SAFETY: a new mapping; the path is shorter than it, and the word lies in it, on its bound.
    unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let memory = libc::mmap(null_mut(), 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        let start = memory.cast::<u8>().add(before.next_multiple_of(4) - before);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        Name { memory: start, word: AtomicU32::from_ptr(start.add(before).cast()) }
    }
}

/// Keeps the thread on a processor of its own, where there is one: two on the same would take turns between calls, not in them.
fn pin(cpu: usize) {
    // SAFETY: a set of zeroes is an empty one; where it can not be had, the rounds are as good as may be.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Runs the rounds while another thread rewrites, and writes down what each came to.
fn race(dir: &Path, rounds: usize, flip: impl Fn(usize) + Sync, mut round: impl FnMut(usize) -> usize) {
    pin(0);
    let (over, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut log = String::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                flip(n % 2);
                n += 1;
                begun.store(n > 1, Ordering::Relaxed);
                // Not always at one pace: the moments in a call are hit by turns.
                for _ in 0..n % 97 {
                    std::hint::spin_loop();
                }
            }
        });
        for n in 0..rounds {
            // The other thread has its turn where both are on one processor.
            while !begun.swap(false, Ordering::Relaxed) {
                std::thread::yield_now();
            }
            log.push_str(NAMES[round(n)]);
            log.push('\n');
        }
        over.store(true, Ordering::Relaxed);
    });
    File::create(dir.join(LOG)).unwrap().write_all(log.as_bytes()).unwrap();
}

fn rounds(args: &[String]) -> usize {
    args[0].parse().unwrap()
}

fn attack_open(dir: &Path, args: &[String]) {
    let inodes = NAMES.map(|n| File::create(dir.join(n)).unwrap().metadata().unwrap().ino());
    let name = name_in(dir);
    race(
        dir,
        rounds(args),
        |n| name.word.store(word(NAMES[n]), Ordering::Relaxed),
        |_| {
            // SAFETY: a string at any moment.
            let fd = check(unsafe { libc::open(name.memory.cast(), libc::O_RDWR | libc::O_NONBLOCK) }.into())
                as i32;
            // SAFETY: just opened.
            let file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
            let inode = file.metadata().unwrap().ino();
            inodes.iter().position(|i| *i == inode).unwrap()
        },
    );
}

/// Both files there, one call, and which is gone.
fn which_goes(dir: &Path, args: &[String], act: impl Fn(*const libc::c_char) -> i32) {
    let name = name_in(dir);
    race(
        dir,
        rounds(args),
        |n| name.word.store(word(NAMES[n]), Ordering::Relaxed),
        |_| {
            for name in NAMES {
                drop(File::create(dir.join(name)).unwrap());
            }
            check(act(name.memory.cast()).into());
            NAMES.iter().position(|n| !dir.join(n).exists()).unwrap()
        },
    );
}

fn attack_unlink(dir: &Path, args: &[String]) {
    which_goes(dir, args, unlink);
}

fn attack_rename(dir: &Path, args: &[String]) {
    let new = c(&dir.join("new"));
    // SAFETY: strings at any moment.
    which_goes(dir, args, |name| unsafe { libc::rename(name, new.as_ptr()) });
}

/// Arguments: rounds, and two ports.
fn attack_connect(dir: &Path, args: &[String]) {
    let ports: Vec<u16> = args[1..3].iter().map(|p| p.parse().unwrap()).collect();
    let listeners: Vec<_> = ports.iter().map(|p| TcpListener::bind(("127.0.0.1", *p)).unwrap()).collect();
    // SAFETY: an address of zeroes is one.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    address.sin_port = ports[0].to_be();
    // SAFETY: lives to the end of this act; every access to the port is by this, or the kernel's.
    let port = unsafe { AtomicU16::from_ptr(&raw mut address.sin_port) };
    let at = (&raw mut address) as usize;
    race(
        dir,
        rounds(args),
        |n| port.store(ports[n].to_be(), Ordering::Relaxed),
        |_| {
            // SAFETY: plain system calls with live memory.
            unsafe {
                let fd = check(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into()) as i32;
                let socket = <std::net::TcpStream as std::os::fd::FromRawFd>::from_raw_fd(fd);
                check(libc::connect(fd, at as *const libc::sockaddr, 16).into());
                let peer = socket.peer_addr().unwrap().port();
                let which = ports.iter().position(|p| *p == peer).unwrap();
                listeners[which].accept().unwrap();
                which
            }
        },
    );
}

/// Executes one of two programs: true is the first, false the second.
fn attack_exec(dir: &Path, args: &[String]) {
    for (name, program) in NAMES.iter().zip(["/bin/true", "/bin/false"]) {
        fs::copy(program, dir.join(name)).unwrap();
    }
    let name = name_in(dir);
    let argv = [c"attacked".as_ptr(), null()];
    race(
        dir,
        rounds(args),
        |n| name.word.store(word(NAMES[n]), Ordering::Relaxed),
        |_| {
            // SAFETY: the memory is shared with the child, which only executes or ends.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    // Or the page is not the child's yet, and what it says at the entry can not be read.
                    name.word.load(Ordering::Relaxed);
                    libc::execve(name.memory.cast(), argv.as_ptr(), [null()].as_ptr());
                    libc::_exit(9);
                }
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0);
                let code = libc::WEXITSTATUS(status);
                assert!(code < 2, "{code}");
                code as usize
            }
        },
    );
}

/// userfaultfd(2), as far as it is used.
mod uffd {
    pub(super) const API: libc::Ioctl = 0xc018_aa3f;
    pub(super) const REGISTER: libc::Ioctl = 0xc020_aa00;
    pub(super) const COPY: libc::Ioctl = 0xc028_aa03;
    pub(super) const MISSING: u64 = 1;
}

/// The bytes of a name before the bound of a page, and behind it.
const BEFORE: usize = 16;
const BEHIND: &str = "zzzz";

/// The names by which `fault` works: the one that the kernel copies, and the one that memory says afterwards.
pub fn fault_names() -> [String; 2] {
    ["a", "b"].map(|c| c.repeat(BEFORE) + BEHIND)
}

/// Names that lie across two pages, the second of them missing: the kernel has copied what is on the first when it waits for the second. While
/// it waits, the first is rewritten. Without a race, so every round comes out alike.
fn fault(dir: &Path, args: &[String], act: fn(*const libc::c_char) -> i32) {
    std::env::set_current_dir(dir).unwrap();
    let page = 4096;
    for _ in 0..rounds(args) {
        for name in fault_names() {
            drop(File::create(name).unwrap());
        }
        let name = CString::new(fault_names()[0].clone()).unwrap();
        // SAFETY: two pages of our own, of which the second is filled in by the other thread, before the call that waits for it returns.
        unsafe {
            let fd = check(libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC)) as i32;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(null_mut(), 2 * page, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            let memory = memory.cast::<u8>();
            let start = memory.add(page - BEFORE);
            std::ptr::copy_nonoverlapping(name.as_ptr().cast(), start, BEFORE);
            let mut api = [0xaau64, 0, 0];
            check(libc::ioctl(fd, uffd::API, api.as_mut_ptr()).into());
            let second = memory as u64 + page as u64;
            let mut range = [second, page as u64, uffd::MISSING, 0];
            check(libc::ioctl(fd, uffd::REGISTER, range.as_mut_ptr()).into());
            let at = start as usize;
            let other = std::thread::spawn(move || {
                let mut message = [0u8; 32];
                assert_eq!(libc::read(fd, message.as_mut_ptr().cast(), 32), 32);
                std::ptr::write_bytes(at as *mut u8, b'b', BEFORE);
                let mut content = vec![0u8; page];
                content[..BEHIND.len()].copy_from_slice(BEHIND.as_bytes());
                let mut copy = [second, content.as_ptr() as u64, page as u64, 0, 0];
                check(libc::ioctl(fd, uffd::COPY, copy.as_mut_ptr()).into());
            });
            check(act(start.cast()).into());
            other.join().unwrap();
            libc::close(fd);
            libc::munmap(memory.cast(), 2 * page);
        }
    }
}
