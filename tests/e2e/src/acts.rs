//! The acts. Each does one thing for real, in a folder of its own.

use std::ffi::CString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use crate::{
    attack, calls, endure, identity, libraries, network, rings, structures, traffic, trigger, truth,
};

/// An act: what it may write to, and its arguments.
pub type Act = fn(&Path, &[String]);

/// Every act by name.
pub const ACTS: &[(&str, Act)] = &[
    ("session", session),
    ("deep", deep),
    ("opens", opens),
    ("nothing", |_, _| {}),
    ("session_shell", |_, _| run("/bin/true", &[])),
    ("argv", argv),
    ("descriptors", descriptors),
    ("open_until_over", endure::open_until_over),
    ("processes", endure::processes),
    ("containers", endure::containers),
    ("orphans", endure::orphans),
    ("late_container", endure::late_container),
    ("docker_container", endure::docker_container),
    ("commands", endure::commands),
    ("preempt_until_over", endure::preempt_until_over),
    ("read_secret", endure::read_secret),
    ("triggers", trigger::perform),
    ("calls", calls::perform),
    ("structures", structures::perform),
    ("libraries", libraries::perform),
];

/// Runs the act of that name, after its cue.
pub fn perform(name: &str, dir: &Path, args: &[String]) {
    let act = ACTS
        .iter()
        .chain(truth::ACTS)
        .chain(attack::ACTS)
        .chain(rings::ACTS)
        .chain(network::ACTS)
        .chain(identity::ACTS)
        .chain(traffic::ACTS)
        .find(|(n, _)| *n == name)
        .unwrap()
        .1;
    super::cue();
    act(dir, args);
}

pub(crate) fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

pub(crate) fn check(result: i64) -> i64 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success());
}

/// A DNS question for the IPv4 address of a name.
pub fn dns_question(id: u16, name: &str) -> Vec<u8> {
    let mut q = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        q.push(label.len() as u8);
        q.extend(label.as_bytes());
    }
    q.extend([0, 0, 1, 0, 1]);
    q
}

/// The answer to such a question: one address.
pub fn dns_answer(question: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut a = question.to_vec();
    a[2] = 0x81;
    a[3] = 0x80;
    a[7] = 1;
    a.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    a.extend(address);
    a
}

/// Uses descriptors of all kinds, and writes into `names` what procfs calls each: of a file, a pipe's two ends, a socket, an epoll
/// instance, a memory file, a directory. Then asks for one that there is not, opens by the current directory, and, beside another thread,
/// seeks.
fn descriptors(dir: &Path, _: &[String]) {
    fs::write(dir.join("opened"), "text").unwrap();
    std::env::set_current_dir(dir).unwrap();
    // SAFETY: plain system calls with valid pointers and descriptors of our own.
    unsafe {
        let directory = check(libc::open(c".".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY).into()) as i32;
        let mut byte = [0u8; 1];
        let mut ends = [0; 2];
        check(libc::pipe(ends.as_mut_ptr()).into());
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into()) as i32;
        let memory = check(libc::memfd_create(c"noted".as_ptr(), 0).into()) as i32;
        let instance = check(libc::epoll_create1(0).into()) as i32;
        let name_of = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().display().to_string();
        let names = [ends[0], ends[1], socket, memory, instance].map(name_of);
        fs::write("names", names.join("\n")).unwrap();

        let file = check(libc::openat(directory, c"opened".as_ptr(), libc::O_RDONLY).into()) as i32;
        check(libc::openat(libc::AT_FDCWD, c"opened".as_ptr(), libc::O_RDONLY).into());
        check(libc::lseek(file, 1, libc::SEEK_SET));
        check(libc::write(ends[1], [7u8].as_ptr().cast(), 1) as i64);
        check(libc::read(ends[0], byte.as_mut_ptr().cast(), 1) as i64);
        check(libc::listen(socket, 1).into());
        check(libc::ftruncate(memory, 3).into());
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        check(libc::epoll_ctl(instance, libc::EPOLL_CTL_ADD, ends[0], &raw mut event).into());
        assert_eq!(libc::fsync(999), -1);
        let other = std::thread::spawn(std::thread::park);
        check(libc::lseek(file, 2, libc::SEEK_SET));
        other.thread().unpark();
        other.join().unwrap();
    }
}

/// Arguments: address of a DNS server, address of a TCP server. The session of the issue.
fn session(dir: &Path, args: &[String]) {
    run("/bin/sh", &["-c", &format!("echo hello > {}/a", dir.display())]);
    fs::rename(dir.join("a"), dir.join("b")).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&dns_question(7, "tarsius.example"), &args[0]).unwrap();
    let mut answer = [0; 512];
    socket.recv_from(&mut answer).unwrap();
    let mut stream = TcpStream::connect(&args[1]).unwrap();
    stream.write_all(b"x").unwrap();
    drop(stream);
    memfd_exec();
    traced();
}

fn memfd_exec() {
    let program = fs::read("/bin/true").unwrap();
    // SAFETY: plain system calls with valid pointers; the child only executes or ends.
    unsafe {
        let fd = check(libc::memfd_create(c"payload".as_ptr(), libc::MFD_CLOEXEC).into()) as i32;
        let mut file = <fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd);
        file.write_all(&program).unwrap();
        let child = libc::fork();
        if child == 0 {
            let argv = [c"memory-only".as_ptr(), std::ptr::null()];
            libc::fexecve(fd, argv.as_ptr(), [std::ptr::null()].as_ptr());
            libc::_exit(1);
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        assert_eq!(status, 0);
    }
}

fn traced() {
    // SAFETY: plain system calls; the child only asks to be traced and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::_exit(0);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

pub(crate) fn files(dir: &Path, _: &[String]) {
    std::env::set_current_dir(dir).unwrap();
    fs::write("new", b"x").unwrap();
    fs::hard_link("new", "hard").unwrap();
    symlink("new", "soft").unwrap();
    fs::create_dir("folder").unwrap();
    fs::rename("hard", "folder/moved").unwrap();
    let folder = fs::File::open("folder").unwrap();
    // SAFETY: plain system calls with valid pointers.
    unsafe {
        check(libc::mknodat(libc::AT_FDCWD, c"pipe".as_ptr(), libc::S_IFIFO | 0o640, 0).into());
        // By a descriptor of a folder.
        check(libc::unlinkat(folder.as_raw_fd(), c"moved".as_ptr(), 0).into());
    }
    fs::remove_file("soft").unwrap();
    fs::remove_dir("folder").unwrap();
    let _ = fs::File::open("new").unwrap();
    let _ = fs::File::open("missing");
}

pub(crate) fn attributes(dir: &Path, _: &[String]) {
    let file = dir.join("file");
    fs::write(&file, b"0123456789").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
    let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
    // SAFETY: plain system calls with valid pointers.
    unsafe {
        check(libc::fchmod(open.as_raw_fd(), 0o600).into());
        check(libc::chown(c(&file).as_ptr(), 1, 2).into());
        check(libc::fchown(open.as_raw_fd(), 3, u32::MAX).into());
        check(libc::truncate(c(&file).as_ptr(), 5).into());
        check(libc::ftruncate(open.as_raw_fd(), 3).into());
    }
    fs::OpenOptions::new().write(true).truncate(true).open(&file).unwrap();
}

pub(crate) fn mounts(dir: &Path, _: &[String]) {
    let point = dir.join("mnt");
    fs::create_dir(&point).unwrap();
    // SAFETY: plain system calls with valid pointers; the mount is in a namespace of our own.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS).into());
        check(
            libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            )
            .into(),
        );
        check(
            libc::mount(
                c"scratch".as_ptr(),
                c(&point).as_ptr(),
                c"tmpfs".as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV,
                std::ptr::null(),
            )
            .into(),
        );
        fs::write(point.join("inside"), b"x").unwrap();
        check(libc::umount2(c(&point).as_ptr(), libc::MNT_DETACH).into());
    }
}

/// Argument: a UNIX socket's path is made in `dir`; prints nothing. All on loopback.
pub(crate) fn sockets(dir: &Path, args: &[String]) {
    let port: u16 = args[0].parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    drop(client);
    let mut rest = vec![];
    server.read_to_end(&mut rest).unwrap();
    let six = TcpListener::bind(("::1", port)).unwrap();
    let client = TcpStream::connect(("::1", port)).unwrap();
    let accepted = six.accept().unwrap();
    drop((client, accepted));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(("127.0.0.1", port)).unwrap();
    let path = dir.join("socket");
    let local = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let accepted = local.accept().unwrap();
    drop((client, accepted));
}

pub(crate) fn credentials(_: &Path, _: &[String]) {
    // SAFETY: plain system calls in a child that ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_CAPBSET_DROP, 21, 0, 0, 0);
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::syscall(libc::SYS_setfsgid, 45);
            libc::syscall(libc::SYS_setfsuid, 44);
            libc::syscall(libc::SYS_setregid, -1, 43);
            libc::syscall(libc::SYS_setresgid, 42, 42, 42);
            libc::syscall(libc::SYS_setgid, 42);
            libc::syscall(libc::SYS_setreuid, -1, 0);
            libc::syscall(libc::SYS_setresuid, 41, 41, 41);
            libc::syscall(libc::SYS_setuid, 0);
            libc::_exit(0);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// A path of 60 names, and one of more than 4,096 bytes, reached step by step.
fn deep(dir: &Path, args: &[String]) {
    let (names, each): (usize, usize) = (args[0].parse().unwrap(), args[1].parse().unwrap());
    std::env::set_current_dir(dir).unwrap();
    for n in 0..names {
        let name = format!("{n:0each$}");
        fs::create_dir(&name).unwrap();
        std::env::set_current_dir(&name).unwrap();
    }
    fs::write("leaf", b"x").unwrap();
    // So that the folder can be removed: rm copes with paths of any length.
    std::env::set_current_dir(dir).unwrap();
    run("/bin/rm", &["-rf", &"0".repeat(each)]);
}

/// Arguments: opens for each of two threads. Each opens paths of its own that do not exist before.
fn opens(dir: &Path, args: &[String]) {
    let count: usize = args[0].parse().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let base = dir.join(format!("t{thread}"));
                fs::create_dir(&base).unwrap();
                let folder = fs::File::open(&base).unwrap();
                for n in 0..count {
                    let name = CString::new(format!("f{n}")).unwrap();
                    // SAFETY: plain system calls with a valid pointer.
                    unsafe {
                        let flags = libc::O_CREAT | libc::O_RDWR;
                        let fd = check(libc::openat(folder.as_raw_fd(), name.as_ptr(), flags, 0o600).into())
                            as i32;
                        libc::close(fd);
                        libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), 0);
                    }
                }
            });
        }
    });
}

/// Arguments: how many bytes of arguments to give to `true`.
fn argv(_: &Path, args: &[String]) {
    let bytes: usize = args[0].parse().unwrap();
    let words: Vec<String> = (0..bytes / 100).map(|n| format!("{n:099}")).collect();
    assert!(Command::new("/bin/true").args(words).env("TARSIUS_MARK", "seen").status().unwrap().success());
}
