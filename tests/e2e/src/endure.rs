//! The acts of what must be endured: loads that go on until they are over, storms of processes and containers, an attack.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::acts::{c, check};

/// The command name of those who open files.
pub const NAME: &str = "tarsius-opener";

/// Who is nobody.
const NOBODY: u32 = 65534;

/// The one who gave the cue has closed the pipe it came by.
fn over() -> bool {
    let mut stdin = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid descriptor to ask about.
    unsafe { libc::poll(&raw mut stdin, 1, 0) > 0 }
}

/// Does something in a process of its own; gives its pid. Only the child's own thread goes on in it.
pub(crate) fn in_child(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: acts that call this have one thread, so the child may do what its parent may.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    check(pid.into());
    pid
}

/// The command name of this thread and of its children. A scope of it holds from the first moment of a watch on, while a tree is known
/// only when the watch runs already: so nobody else's opens can fill a small ring before that.
fn take_name() {
    let name = c(Path::new(NAME));
    // SAFETY: plain system call with a valid pointer.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }.into());
}

pub(crate) fn wait_for(child: libc::pid_t) {
    let mut status = 0;
    // SAFETY: plain system call on a child of ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "a child failed");
}

/// Arguments: how many processes, microseconds between two opens of each. Each opens files in a folder `wPID` until it is over; then
/// the link `opened` there tells how many (a file would be one more open). So nothing else is opened, and each path says by whom.
pub(crate) fn open_until_over(dir: &Path, args: &[String]) {
    let pause = Duration::from_micros(args[1].parse().unwrap());
    take_name();
    let work = || {
        let own = dir.join(format!("w{}", std::process::id()));
        fs::create_dir(&own).unwrap();
        std::env::set_current_dir(&own).unwrap();
        let mut count = 0;
        while !over() {
            let name = c(Path::new(&format!("f{count}")));
            // SAFETY: plain system calls with valid pointers.
            unsafe {
                check(libc::close(check(libc::creat(name.as_ptr(), 0o600).into()) as i32).into());
                check(libc::unlink(name.as_ptr()).into());
            }
            count += 1;
            std::thread::sleep(pause);
        }
        symlink(count.to_string(), "opened").unwrap();
    };
    let children: Vec<_> = (0..args[0].parse().unwrap()).map(|_| in_child(work)).collect();
    children.into_iter().for_each(wait_for);
}

/// Argument: how many. Each executes `true` with its number; `pids` tells afterwards who was which. Two threads make them.
pub(crate) fn processes(dir: &Path, args: &[String]) {
    let count: usize = args[0].parse().unwrap();
    let make = |first: usize| -> Vec<String> {
        let one = |n: usize| {
            // Without a locale, whose files it would open.
            let mut child = Command::new("/bin/true").arg(n.to_string()).env_clear().spawn().unwrap();
            assert!(child.wait().unwrap().success());
            format!("{n} {}", child.id())
        };
        (first..count).step_by(2).map(one).collect()
    };
    let lines = std::thread::scope(|scope| {
        let other = scope.spawn(|| make(1));
        [make(0), other.join().unwrap()].concat()
    });
    fs::write(dir.join("pids"), lines.join("\n")).unwrap();
}

/// So many births that a small ring of the life lane has no room for later ones; all on one CPU from now on, which has one ring.
fn fill_life_ring() {
    stay_on(this_cpu());
    (0..200).for_each(|_| wait_for(in_child(|| ())));
}

/// Argument: how many. Each is born to a process that dies at once, so that nobody but the one that was born tells of its descent; then
/// it opens its file `oNUMBER`, which is there already.
pub(crate) fn orphans(dir: &Path, args: &[String]) {
    take_name();
    fill_life_ring();
    for n in 0..args[0].parse().unwrap() {
        let file = dir.join(format!("o{n}"));
        fs::write(&file, b"x").unwrap();
        let (alive, orphan) = std::io::pipe().unwrap();
        wait_for(in_child(|| {
            let parent = std::process::id();
            in_child(|| {
                while std::os::unix::process::parent_id() == parent {
                    std::thread::sleep(Duration::from_micros(50));
                }
                drop(fs::File::open(&file).unwrap());
            });
        }));
        // Nobody waits for an orphan: its end of the pipe is closed when it has ended.
        drop(orphan);
        assert_eq!({ alive }.read(&mut [0; 1]).unwrap(), 0);
    }
}

/// Arguments: a cgroup, how many. As a runtime does: a cgroup named by an id of 64 digits, a process that enters it, opens its file
/// `cNUMBER` and executes `true` with its number; and the cgroup goes again. `pids` tells afterwards who was which.
pub(crate) fn containers(dir: &Path, args: &[String]) {
    let mut lines = vec![];
    for n in 0..args[1].parse().unwrap() {
        let (cgroup, file) = (Path::new(&args[0]).join(container_id(n)), dir.join(format!("c{n}")));
        fs::create_dir(&cgroup).unwrap();
        fs::write(&file, b"x").unwrap();
        let child = in_child(|| {
            fs::write(cgroup.join("cgroup.procs"), b"0").unwrap();
            drop(fs::File::open(&file).unwrap());
            let argv = [c"/bin/true".to_owned(), c(Path::new(&n.to_string()))];
            // SAFETY: NUL-terminated strings and lists that end with a null.
            unsafe {
                let argv = [argv[0].as_ptr(), argv[1].as_ptr(), std::ptr::null()];
                libc::execve(argv[0], argv.as_ptr(), [std::ptr::null()].as_ptr());
            }
            panic!("no /bin/true");
        });
        wait_for(child);
        // The kernel may take a moment to take the dead process out of its cgroup.
        crate::wait_until("the removal of a cgroup", || fs::remove_dir(&cgroup).is_ok());
        fs::remove_file(&file).unwrap();
        lines.push(format!("{n} {child}"));
    }
    fs::write(dir.join("pids"), lines.join("\n")).unwrap();
}

/// Argument: a cgroup. One container that lives until it is over, made when the rings of the life lane have no room; then its process opens
/// `late`. The file `ready` says that it is there.
pub(crate) fn late_container(dir: &Path, args: &[String]) {
    let (cgroup, late) = (Path::new(&args[0]).join(container_id(0)), dir.join("late"));
    fs::write(&late, b"x").unwrap();
    fill_life_ring();
    fs::create_dir(&cgroup).unwrap();
    wait_for(in_child(|| {
        fs::write(cgroup.join("cgroup.procs"), b"0").unwrap();
        fs::write(dir.join("ready"), b"").unwrap();
        while !over() {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(fs::File::open(&late).unwrap());
    }));
    crate::wait_until("the removal of a cgroup", || fs::remove_dir(&cgroup).is_ok());
}

/// Arguments: the hierarchy of containers, an id. A container whose process opens `before`, and when it is over `after`.
pub(crate) fn docker_container(dir: &Path, args: &[String]) {
    let cgroup = Path::new(&args[0]).join(format!("docker-{}.scope", args[1]));
    for name in ["before", "after"] {
        fs::write(dir.join(name), b"x").unwrap();
    }
    fs::create_dir(&cgroup).unwrap();
    wait_for(in_child(|| {
        fs::write(cgroup.join("cgroup.procs"), b"0").unwrap();
        drop(fs::File::open(dir.join("before")).unwrap());
        while !over() {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(fs::File::open(dir.join("after")).unwrap());
    }));
    crate::wait_until("the removal of a cgroup", || fs::remove_dir(&cgroup).is_ok());
}

/// Arguments: commands, each with its arguments after blanks. Runs four at a time; all must succeed.
pub(crate) fn commands(_: &Path, args: &[String]) {
    for some in args.chunks(4) {
        let start = |command: &String| {
            let mut words = command.split(' ');
            std::process::Command::new(words.next().unwrap()).args(words).spawn().unwrap()
        };
        let started: Vec<_> = some.iter().map(start).collect();
        for mut child in started {
            assert!(child.wait().unwrap().success());
        }
    }
}

/// The id of the container of that number.
pub fn container_id(n: usize) -> String {
    format!("{:064x}", n + 0xc0de_0000)
}

/// From now on this thread runs only on that CPU.
pub fn stay_on(cpu: usize) {
    // SAFETY: a set of CPUs as long as is said.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of_val(&set), &raw const set).into());
    }
}

/// A CPU that this thread may run on: the one on which it runs.
pub fn this_cpu() -> usize {
    // SAFETY: plain system call.
    check(unsafe { libc::sched_getcpu() }.into()) as usize
}

/// From now on without any privilege.
fn become_nobody() {
    // SAFETY: plain system calls.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()).into());
        check(libc::setresgid(NOBODY, NOBODY, NOBODY).into());
        check(libc::setresuid(NOBODY, NOBODY, NOBODY).into());
    }
}

fn be_nice(by: i32) {
    // SAFETY: plain system call. What it returns may be negative.
    unsafe { libc::nice(by) };
}

/// Arguments: a CPU, `fifo` or `other`. The attack: four processes that make cheap calls all the time, and one that wakes at short
/// intervals and so preempts them, wherever in the kernel they are. The waker needs no privilege for that, as the others are nicer;
/// with `fifo` it is a real-time process, which does need it. A file `readyPID` says that one has begun.
pub(crate) fn preempt_until_over(dir: &Path, args: &[String]) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    stay_on(args[0].parse().unwrap());
    let ready = || fs::write(dir.join(format!("ready{}", std::process::id())), b"").unwrap();
    let call = || {
        become_nobody();
        be_nice(5);
        ready();
        while !over() {
            for _ in 0..64 {
                // SAFETY: plain system calls.
                unsafe {
                    libc::syscall(libc::SYS_getppid);
                    libc::close(libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY));
                }
            }
        }
    };
    let wake = || {
        if args[1] == "fifo" {
            let priority = libc::sched_param { sched_priority: 1 };
            // SAFETY: plain system call with a valid pointer.
            check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) }.into());
        }
        become_nobody();
        // SAFETY: plain system call. Wake when asked, not up to 50 microseconds later.
        check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) }.into());
        ready();
        while !over() {
            for _ in 0..64 {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    };
    let mut children: Vec<_> = (0..4).map(|_| in_child(call)).collect();
    children.push(in_child(wake));
    children.into_iter().for_each(wait_for);
}

/// Arguments: a CPU, how often. Reads the file `secret` so often, without any privilege, on the same CPU as the attack.
pub(crate) fn read_secret(dir: &Path, args: &[String]) {
    let secret = dir.join("secret");
    // Its making is no reading.
    fs::write(dir.join("draft"), b"x").unwrap();
    fs::rename(dir.join("draft"), &secret).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
    stay_on(args[0].parse().unwrap());
    become_nobody();
    be_nice(5);
    for _ in 0..args[1].parse().unwrap() {
        assert_eq!(fs::File::open(&secret).unwrap().read(&mut [0; 1]).unwrap(), 1);
    }
}
