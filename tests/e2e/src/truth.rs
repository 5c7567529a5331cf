//! Acts that go to a file, a program or a peer by a road that leads a careless observer astray.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};

use crate::acts::{Act, c, check};

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[
    ("compat", compat),
    ("memfd_empty_path", memfd_empty_path),
    ("handles", handles),
    ("folders", folders),
    ("links", links),
    ("roots", roots),
    ("mount_roads", mount_roads),
    ("overlay", overlay),
    ("deleted", deleted),
    ("names", names),
    ("cold_name", cold_name),
    ("exec_by_thread", exec_by_thread),
    ("exec_in_thread", exec_in_thread),
    ("longest", longest),
];

fn open(path: &CString, flags: i32) -> i32 {
    // SAFETY: a valid string.
    check(unsafe { libc::open(path.as_ptr(), flags, 0o600) }.into()) as i32
}

fn touch(path: &Path) -> File {
    File::create(path).unwrap()
}

/// The name of 4,095 bytes, which is as long as the kernel takes one, under a folder: folders of 100 bytes each, and a last name that
/// fills it up.
pub fn longest_path(dir: &Path) -> PathBuf {
    let mut path = dir.to_path_buf();
    while 4095 - path.as_os_str().len() > 256 {
        path.push("d".repeat(100));
    }
    let rest = 4095 - path.as_os_str().len() - 1;
    path.push("f".repeat(rest));
    path
}

/// Names that only bytes can tell.
pub const ODD_NAMES: [&[u8]; 4] =
    [b"line\nbreak", b"not\xff\xfeutf8", b"back\\slash \"quoted\"", b"\x1b[31mred"];

/// A system call by the 32-bit gate; pointers must lie below 4 GiB.
#[cfg(target_arch = "x86_64")]
fn int80(number: u32, a: u32, b: u32, c: u32) -> i32 {
    let result: u32;
    // SAFETY: rbx, which the compiler keeps for itself, is put back; the kernel may clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov ebx, {a:e}", "int 0x80", "pop rbx",
            a = in(reg) a, inout("eax") number => result, in("ecx") b, in("edx") c,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result.cast_signed()
}

/// Opens, renames and removes by 32-bit system calls.
#[cfg(target_arch = "x86_64")]
fn compat(dir: &Path, _: &[String]) {
    const OPEN: u32 = 5;
    const UNLINK: u32 = 10;
    const RENAME: u32 = 38;
    let low = |path: &Path| {
        // SAFETY: a new mapping, big enough for the string.
        unsafe {
            let memory = libc::mmap(
                null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            );
            assert_ne!(memory, libc::MAP_FAILED);
            let bytes = c(path);
            let bytes = bytes.as_bytes_with_nul();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), bytes.len());
            u32::try_from(memory as usize).unwrap()
        }
    };
    let (first, second) = (low(&dir.join("compat")), low(&dir.join("compat-renamed")));
    let fd = int80(OPEN, first, (libc::O_CREAT | libc::O_RDWR) as u32, 0o640);
    assert!(fd >= 0, "{fd}");
    assert_eq!(int80(RENAME, first, second, 0), 0);
    assert_eq!(int80(UNLINK, second, 0, 0), 0);
}

#[cfg(not(target_arch = "x86_64"))]
fn compat(_: &Path, _: &[String]) {}

/// Executes a program that is in no file system, by its descriptor and no name.
fn memfd_empty_path(_: &Path, _: &[String]) {
    let program = fs::read("/bin/true").unwrap();
    // SAFETY: plain system calls with valid pointers; the child only executes or ends.
    unsafe {
        let fd = check(libc::memfd_create(c"nameless".as_ptr(), libc::MFD_CLOEXEC).into()) as i32;
        <File as std::os::fd::FromRawFd>::from_raw_fd(libc::dup(fd)).write_all(&program).unwrap();
        let child = libc::fork();
        if child == 0 {
            let argv = [c"empty-path".as_ptr(), null()];
            libc::syscall(
                libc::SYS_execveat,
                fd,
                c"".as_ptr(),
                argv.as_ptr(),
                [null::<i8>()].as_ptr(),
                libc::AT_EMPTY_PATH,
            );
            libc::_exit(1);
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        assert_eq!(status, 0);
    }
}

/// Opens by a handle, by a descriptor taken from a process, by one that came over a socket.
fn handles(dir: &Path, _: &[String]) {
    let file = dir.join("by-handle");
    drop(touch(&file));
    // A file_handle with room for 128 bytes.
    let mut handle = [0u32; 34];
    handle[0] = 128;
    let mut mount = 0;
    // SAFETY: plain system calls with live memory.
    unsafe {
        check(libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            c(&file).as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount,
            0,
        ));
        let folder = File::open(dir).unwrap();
        check(libc::syscall(
            libc::SYS_open_by_handle_at,
            folder.as_raw_fd(),
            handle.as_ptr(),
            libc::O_RDONLY | libc::O_NONBLOCK,
        ));
        let given = touch(&dir.join("given"));
        let own = check(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0)) as i32;
        let taken = check(libc::syscall(libc::SYS_pidfd_getfd, own, given.as_raw_fd(), 0)) as i32;
        open(&CString::new(format!("/proc/self/fd/{taken}")).unwrap(), libc::O_RDONLY | libc::O_NOATIME);
    }
}

/// Relative names while folders change: the working directory by descriptor, a folder that is renamed while open.
fn folders(dir: &Path, _: &[String]) {
    for name in ["one", "two", "three"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    std::env::set_current_dir(dir.join("one")).unwrap();
    let (two, three) = (File::open(dir.join("two")).unwrap(), File::open(dir.join("three")).unwrap());
    // SAFETY: plain system calls with valid pointers.
    unsafe {
        check(libc::fchdir(two.as_raw_fd()).into());
        open(&c"relative".to_owned(), libc::O_CREAT | libc::O_RDWR);
        fs::rename(dir.join("two"), dir.join("two-moved")).unwrap();
        fs::rename(dir.join("three"), dir.join("two-moved/three-moved")).unwrap();
        check(libc::unlink(c"relative".as_ptr()).into());
        check(libc::openat(three.as_raw_fd(), c"below".as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600).into());
        check(libc::renameat(three.as_raw_fd(), c"below".as_ptr(), libc::AT_FDCWD, c"above".as_ptr()).into());
        check(libc::openat(three.as_raw_fd(), c"../above".as_ptr(), libc::O_RDONLY).into());
    }
}

/// By symbolic links in the middle and at the end of a path, and by a hard link.
fn links(dir: &Path, _: &[String]) {
    fs::create_dir(dir.join("real")).unwrap();
    drop(touch(&dir.join("real/file")));
    symlink("real", dir.join("folder-link")).unwrap();
    symlink(dir.join("folder-link/file"), dir.join("file-link")).unwrap();
    fs::hard_link(dir.join("real/file"), dir.join("hard")).unwrap();
    open(&c(&dir.join("file-link")), libc::O_RDONLY | libc::O_NONBLOCK);
    open(&c(&dir.join("hard")), libc::O_RDONLY);
    fs::remove_file(dir.join("folder-link/file")).unwrap();
}

/// From another root: paths are shown from the real one. And the other way round: out of it by /proc.
fn roots(dir: &Path, _: &[String]) {
    let jail = dir.join("jail");
    fs::create_dir(&jail).unwrap();
    drop(touch(&dir.join("outside")));
    let by_proc = format!("/proc/self/root{}/outside", dir.display());
    open(&CString::new(by_proc).unwrap(), libc::O_RDONLY | libc::O_NONBLOCK);
    // SAFETY: plain system calls in a child that ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::chroot(c(&jail).as_ptr());
            libc::chdir(c"/".as_ptr());
            libc::close(libc::open(c"/inside".as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600));
            libc::rename(c"/inside".as_ptr(), c"renamed".as_ptr());
            libc::_exit(libc::unlink(c"/renamed".as_ptr()));
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        assert_eq!(status, 0);
    }
}

pub(crate) fn own_mounts() {
    // SAFETY: plain system calls with valid pointers.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS).into());
        let private = libc::MS_REC | libc::MS_PRIVATE;
        check(libc::mount(c"none".as_ptr(), c"/".as_ptr(), null(), private, null()).into());
    }
}

/// By a folder bound elsewhere, and by one that lies under a mount of this namespace alone.
fn mount_roads(dir: &Path, _: &[String]) {
    own_mounts();
    for name in ["source", "bound", "private"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    // SAFETY: plain system calls with valid pointers, in a mount namespace of our own.
    unsafe {
        let (from, to) = (c(&dir.join("source")), c(&dir.join("bound")));
        check(libc::mount(from.as_ptr(), to.as_ptr(), null(), libc::MS_BIND, null()).into());
        let private = c(&dir.join("private"));
        check(libc::mount(c"x".as_ptr(), private.as_ptr(), c"tmpfs".as_ptr(), 0, null()).into());
    }
    drop(touch(&dir.join("bound/file")));
    fs::rename(dir.join("bound/file"), dir.join("bound/file2")).unwrap();
    fs::remove_file(dir.join("source/file2")).unwrap();
    drop(touch(&dir.join("private/file")));
    // Over a mount point there is the mounted root: the walk crosses it upwards and downwards.
    open(&c(&dir.join("private/../bound/../private/file")), libc::O_RDONLY | libc::O_NONBLOCK);
}

/// Mounts an overlay at `merged`, in a mount namespace of our own; `fill` writes into the lower layer. The layers on a tmpfs: an overlay
/// takes no overlay.
pub(crate) fn mount_overlay(dir: &Path, fill: impl Fn(&Path)) {
    own_mounts();
    let at = |name: &str| dir.join(name);
    fs::create_dir(at("layers")).unwrap();
    // SAFETY: plain system calls with valid pointers.
    unsafe {
        let layers = c(&at("layers"));
        check(libc::mount(c"x".as_ptr(), layers.as_ptr(), c"tmpfs".as_ptr(), 0, null()).into());
        for name in ["layers/lower", "layers/upper", "layers/work", "merged"] {
            fs::create_dir(at(name)).unwrap();
        }
        fill(&at("layers/lower"));
        let options =
            format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", at("layers").display());
        let (merged, options) = (c(&at("merged")), CString::new(options).unwrap());
        check(
            libc::mount(c"o".as_ptr(), merged.as_ptr(), c"overlay".as_ptr(), 0, options.as_ptr().cast())
                .into(),
        );
    }
}

/// A file of the lower layer read, then written, which copies it up; one of the upper layer; one removed.
fn overlay(dir: &Path, _: &[String]) {
    mount_overlay(dir, |lower| fs::write(lower.join("low"), b"x").unwrap());
    let at = |name: &str| dir.join(name);
    open(&c(&at("merged/low")), libc::O_RDONLY | libc::O_NONBLOCK);
    open(&c(&at("merged/low")), libc::O_RDWR);
    drop(touch(&at("merged/up")));
    fs::remove_file(at("merged/low")).unwrap();
}

/// A file that has no name any more, opened again by its descriptor.
fn deleted(dir: &Path, _: &[String]) {
    let file = touch(&dir.join("gone"));
    fs::remove_file(dir.join("gone")).unwrap();
    let again = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    open(&again, libc::O_RDONLY | libc::O_NONBLOCK);
}

/// Names with bytes that are no text.
fn names(dir: &Path, _: &[String]) {
    for name in ODD_NAMES {
        let path = dir.join(OsStr::from_bytes(name));
        let moved = dir.join(OsStr::from_bytes(&[name, b"-moved"].concat()));
        drop(touch(&path));
        fs::rename(&path, &moved).unwrap();
        fs::remove_file(&moved).unwrap();
    }
}

/// The longest path that a system call takes.
fn longest(dir: &Path, _: &[String]) {
    let path = longest_path(dir);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(touch(&path));
    fs::remove_file(&path).unwrap();
}

/// More than there are desks for on two processors.
pub const EXECUTIONS: usize = 80;

/// Executions by a thread that is not the first of its process, with more arguments than fit beside what is kept of every call.
fn exec_by_thread(dir: &Path, _: &[String]) {
    let program = std::env::current_exe().unwrap();
    for _ in 0..EXECUTIONS {
        let mut child = Command::new(&program)
            .args(["--act", "exec_in_thread"])
            .arg(dir)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert!(child.wait().unwrap().success());
    }
    let folder = dir.join("n".repeat(250));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(folder.join("m".repeat(200))).unwrap();
}

/// In a process of its own: executes from a second thread.
fn exec_in_thread(_: &Path, _: &[String]) {
    let word = CString::new("w".repeat(400)).unwrap();
    let thread = std::thread::spawn(move || {
        // On the heap: a literal's page may not have been looked at yet.
        let program = CString::new("/bin/true").unwrap();
        let argv = [program.as_ptr(), word.as_ptr(), null()];
        // SAFETY: the strings live through the call, after which this program is no more.
        unsafe { libc::execv(program.as_ptr(), argv.as_ptr()) };
    });
    thread.join().unwrap();
    panic!("not executed");
}

/// A name in a page of a file that is mapped, but that nobody has looked at.
fn cold_name(dir: &Path, _: &[String]) {
    std::env::set_current_dir(dir).unwrap();
    fs::write("names", b"cold\0").unwrap();
    let file = File::open("names").unwrap();
    // SAFETY: a mapping of the file, which lives as long as this process; the name in it ends.
    unsafe {
        let name = libc::mmap(null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0);
        assert_ne!(name, libc::MAP_FAILED);
        check(libc::mkdir(name.cast(), 0o700).into());
    }
}
