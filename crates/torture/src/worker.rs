//! A worker: a process with one thread that plays its part until it is told to stop.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Error;
use crate::journal::{ACTS, Journal, Order};
use crate::script::{self, End, Kind, Part, Which};

/// A question that did not arrive by then was dropped on its way. Nothing is decided by it but whether its arrival must be seen.
const ARRIVAL: Duration = Duration::from_millis(500);

/// Outcome of an act of [`Kind::Dns`]: the question arrived.
pub(crate) const ARRIVED: u64 = 1;

/// Plays the part that the text says. The process is the worker's own.
///
/// # Errors
///
/// An act failed that can not fail: the text says which.
pub fn play(part: &str) -> Result<(), Error> {
    let part: Part = serde_json::from_str(part)?;
    let journal = Journal::inherited(part.journal).map_err(Error::system("mapping the journal"))?;
    prepare(&part)?;
    wait_for_cue()?;
    // Only now: what a socket's owner is, is learned when it is made.
    let mut actor = Actor::new(&part)?;
    if part.timer {
        interrupt_by_timer()?;
    }
    let mut act = 0;
    while act < ACTS && !journal.is_told(Order::Stop) {
        if journal.is_told(Order::Wait) {
            // Long enough to leave the CPU to whom it is waited for.
            nap(5_000);
            continue;
        }
        if part.cpus.len() > 1 && act % 64 == 0 {
            pin(part.cpus[(act / 64) as usize % part.cpus.len()])?;
        }
        let began = Instant::now();
        act += actor.perform(&journal, act)?;
        journal.set_done(act);
        rest(&part, act, began.elapsed());
    }
    Ok(())
}

fn check(result: i32, what: &str) -> Result<i32, Error> {
    if result < 0 { Err(Error::last(what)) } else { Ok(result) }
}

/// What the part says of the process itself.
fn prepare(part: &Part) -> Result<(), Error> {
    let name = CString::new(part.comm()).map_err(|e| Error::system("naming the worker")(e.into()))?;
    // SAFETY: plain system calls; the name lives through its call. If the torture dies, so does the worker.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), "binding the worker to its parent")?;
        check(libc::prctl(libc::PR_SET_NAME, name.as_ptr()), "naming the worker")?;
        // Ctrl-C is for the torture, which then tells the workers.
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::umask(0);
    }
    pin(part.cpus.first().copied().unwrap_or(0))?;
    if part.realtime {
        // Where it is refused, the report says so: see `stage`.
        set_realtime(Some(WORKER));
    }
    Ok(())
}

/// The priority of a worker in the real-time class.
const WORKER: i32 = 10;
/// And that of the reader: the load is to disturb the kernel side, not to keep the reader from reading.
pub(crate) const READER: i32 = 20;

/// Enters the real-time class with that priority, or leaves it; false if that is refused.
pub(crate) fn set_realtime(priority: Option<i32>) -> bool {
    let policy = if priority.is_some() { libc::SCHED_FIFO } else { libc::SCHED_OTHER };
    let parameters = libc::sched_param { sched_priority: priority.unwrap_or(0) };
    // SAFETY: plain system call on a structure that lives through it.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

fn pin(cpu: u32) -> Result<(), Error> {
    // SAFETY: all zeros are an empty set; CPU_SET checks its bounds; the call reads the set only.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    check(result, &format!("staying on CPU {cpu}")).map(drop)
}

/// Says that it is ready and waits for the others.
fn wait_for_cue() -> Result<(), Error> {
    let wrong = || Error::system("waiting for the cue");
    io::stdout().write_all(b"ready\n").and_then(|()| io::stdout().flush()).map_err(wrong())?;
    let mut cue = [0; 1];
    io::stdin().read_exact(&mut cue).map_err(wrong())
}

/// A signal every four milliseconds, whose handler does nothing.
fn interrupt_by_timer() -> Result<(), Error> {
    extern "C" fn nothing(_: i32) {}
    let every = libc::timeval { tv_sec: 0, tv_usec: 4000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the handler is safe in any context; the structures live through the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_RESTART;
        check(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()), "handling the timer")?;
        check(
            libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()),
            "setting the timer",
        )?;
    }
    Ok(())
}

/// Rests: one that preempts others after each act, so that it wakes at a random moment of theirs; the rest now and then, so that all get
/// on. On a slow machine, longer than the act took: it would keep the CPU otherwise.
fn rest(part: &Part, act: u32, took: Duration) {
    let random = script::mix(part.worker, act);
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(100_000);
    let micros = match part.kind {
        _ if part.realtime => (50 + random % 450).max(took * (2 + random % 4)),
        Kind::Flood if act.is_multiple_of(script::BURST) => {
            (1000 + random % 2000).max(took * u64::from(script::BURST))
        }
        Kind::Cgroups => (2000 + random % 2000).max(took * 4),
        Kind::Flood => 0,
        _ if random.is_multiple_of(16) => 100 + random % 900,
        _ => 0,
    };
    if micros > 0 {
        nap(micros.min(999_999));
    }
}

/// Sleeps for so many microseconds, below a million. A timer's signal may end it early: all the better.
fn nap(micros: u64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: (micros * 1000).cast_signed() };
    // SAFETY: plain system call on a structure that lives through it.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// What the acts of each kind need from one to the next.
enum Actor {
    Files { worker: u8, dir: String },
    Memory { worker: u8 },
    Creds { worker: u8 },
    Exec { worker: u8, program: CString },
    Forks { worker: u8 },
    Connect { worker: u8, listener: Option<TcpListener> },
    Dns { worker: u8, from: UdpSocket, to: UdpSocket },
    Flood { worker: u8, from: UdpSocket, _to: UdpSocket },
    Cgroups { worker: u8, dir: String },
}

impl Actor {
    fn new(part: &Part) -> Result<Self, Error> {
        let worker = part.worker;
        let socket = |address: SocketAddrV4| {
            UdpSocket::bind(address).map_err(Error::system(format!("binding to {address}")))
        };
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        Ok(match part.kind {
            Kind::Files => Actor::Files { worker, dir: part.dir.clone() },
            Kind::Memory => Actor::Memory { worker },
            Kind::Creds => Actor::Creds { worker },
            Kind::Exec => Actor::Exec { worker, program: c_string(&program(&part.dir).to_string_lossy())? },
            Kind::Forks => Actor::Forks { worker },
            Kind::Connect => Actor::Connect { worker, listener: None },
            Kind::Dns => {
                let to = socket(script::dns_address(worker))?;
                to.set_read_timeout(Some(ARRIVAL)).map_err(Error::system("setting a timeout"))?;
                Actor::Dns { worker, from: socket(any)?, to }
            }
            Kind::Flood => {
                Actor::Flood { worker, from: socket(any)?, _to: socket(script::dns_address(worker))? }
            }
            Kind::Cgroups => Actor::Cgroups { worker, dir: part.cgroup.clone() },
        })
    }

    /// Performs the act of that number; returns how many acts that was.
    fn perform(&mut self, journal: &Journal, act: u32) -> Result<u32, Error> {
        if let Actor::Forks { worker } = *self {
            return brood(journal, worker, act);
        }
        journal.begin(act);
        let outcome = match self {
            Actor::Files { worker, dir } => file(*worker, act, dir)?,
            Actor::Memory { worker } => memory(*worker, act)?,
            Actor::Creds { worker } => change_group(*worker, act)?,
            Actor::Exec { worker, program } => execute(*worker, act, program)?,
            Actor::Forks { .. } => 0,
            Actor::Connect { worker, listener } => connect(*worker, act, listener)?,
            Actor::Dns { worker, from, to } => {
                let question = script::question(*worker, act);
                from.send_to(&question, script::dns_address(*worker)).map_err(Error::system("asking"))?;
                arrival(to, &question)?
            }
            Actor::Flood { worker, from, .. } => {
                let question = script::question(*worker, act);
                from.send_to(&question, script::dns_address(*worker)).map_err(Error::system("flooding"))?;
                0
            }
            Actor::Cgroups { worker, dir } => cgroup(*worker, act, dir)?,
        };
        journal.set_outcome(act, outcome);
        Ok(1)
    }
}

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|e| Error::system(format!("a string with a NUL: {text:?}"))(e.into()))
}

/// The paths of an act of [`Kind::Files`].
pub(crate) fn paths(dir: &str, worker: u8, act: u32) -> [String; 2] {
    [Which::First, Which::Second].map(|w| format!("{dir}/{}", script::marker(w, worker, act, script::NAME)))
}

fn file(worker: u8, act: u32, dir: &str) -> Result<u64, Error> {
    let [first, second] = paths(dir, worker, act);
    let flags = script::open_flags(worker, act);
    OpenOptions::new()
        .write(true)
        .read(flags & libc::O_RDWR != 0)
        .create_new(true)
        .mode(script::permissions(worker, act))
        .custom_flags(flags & !libc::O_ACCMODE)
        .open(&first)
        .map_err(Error::system(format!("making {first}")))?;
    std::fs::rename(&first, &second).map_err(Error::system(format!("renaming {first}")))?;
    std::fs::remove_file(&second).map_err(Error::system(format!("removing {second}")))?;
    Ok(0)
}

fn memory(worker: u8, act: u32) -> Result<u64, Error> {
    let name = c_string(&script::marker(Which::First, worker, act, script::NAME))?;
    // SAFETY: a NUL-terminated name; the descriptor is new and closed here.
    unsafe {
        let fd = check(libc::memfd_create(name.as_ptr(), script::memfd_flags(worker, act)), "memfd_create")?;
        libc::close(fd);
    }
    Ok(0)
}

fn change_group(worker: u8, act: u32) -> Result<u64, Error> {
    // SAFETY: plain system call.
    check(unsafe { libc::setresgid(u32::MAX, u32::MAX, script::group(worker, act)) }, "setresgid")?;
    Ok(0)
}

/// A child that does one thing and ends; `body` must not allocate, nor return.
fn fork(body: impl FnOnce()) -> Result<i32, Error> {
    loop {
        // SAFETY: the process has one thread, so the child may do what it could.
        match unsafe { libc::fork() } {
            0 => {
                body();
                // SAFETY: ends the child without running what is the parent's to run at its end.
                unsafe { libc::_exit(127) };
            }
            // The machine is full of processes: again.
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN) => {}
            pid => return check(pid, "fork"),
        }
    }
}

fn reap(pid: i32) -> Result<i32, Error> {
    let mut status = 0;
    loop {
        // SAFETY: plain system call on a word that lives through it.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(Error::system("waiting for a child")(error));
        }
    }
}

fn execute(worker: u8, act: u32, program: &CString) -> Result<u64, Error> {
    let arguments =
        script::arguments(worker, act).iter().map(|a| c_string(a)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = arguments.iter().map(|a| a.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: strings and array end with NULs and live through the call, which returns only if it fails.
    let pid = fork(|| unsafe {
        libc::execve(program.as_ptr(), pointers.as_ptr(), [std::ptr::null()].as_ptr());
    })?;
    let status = reap(pid)?;
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) as usize != arguments.len() {
        let text = format!("executing {}: it ended with status {status:#x}", program.to_string_lossy());
        return Err(Error::system(text)(io::Error::other("the program did not run as it should")));
    }
    Ok(pid as u64)
}

fn brood(journal: &Journal, worker: u8, act: u32) -> Result<u32, Error> {
    let size = script::BROOD.min(ACTS - act);
    let mut children = [0; script::BROOD as usize];
    for (n, child) in (act..act + size).zip(&mut children) {
        journal.begin(n);
        // SAFETY: both end the child and touch nothing else.
        *child = fork(|| unsafe {
            match script::end(worker, n) {
                End::Code(code) => libc::_exit(code.into()),
                End::Signal(signal) => {
                    libc::kill(libc::getpid(), signal);
                }
            }
        })?;
        journal.set_outcome(n, *child as u64);
    }
    for child in children.into_iter().take(size as usize) {
        reap(child)?;
    }
    Ok(size)
}

fn connect(worker: u8, act: u32, listener: &mut Option<TcpListener>) -> Result<u64, Error> {
    let address = script::address(worker, act);
    if act.is_multiple_of(1 << 16) {
        let all = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port());
        *listener = Some(TcpListener::bind(all).map_err(Error::system(format!("listening on {all}")))?);
    }
    let Some(listener) = listener else { return Ok(0) };
    let client = TcpStream::connect(address).map_err(Error::system(format!("connecting to {address}")))?;
    let server = listener.accept().map_err(Error::system("accepting"))?;
    // A reset leaves nothing behind, so that ports do not run out.
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: plain system call on a structure that lives through it.
    let result = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as u32,
        )
    };
    check(result, "setting SO_LINGER")?;
    drop(client);
    drop(server);
    Ok(0)
}

/// Waits for the question; those that came too late for their own wait are passed over.
fn arrival(to: &UdpSocket, question: &[u8]) -> Result<u64, Error> {
    let mut got = [0; 512];
    loop {
        match to.recv(&mut got) {
            Ok(n) if got[..n] == *question => return Ok(ARRIVED),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(e) => return Err(Error::system("receiving")(e)),
        }
    }
}

fn cgroup(worker: u8, act: u32, dir: &str) -> Result<u64, Error> {
    let path = Path::new(dir).join(script::marker(Which::First, worker, act, script::NAME));
    std::fs::create_dir(&path).map_err(Error::system(format!("making {}", path.display())))?;
    std::fs::remove_dir(&path).map_err(Error::system(format!("removing {}", path.display())))?;
    Ok(0)
}

/// The program of [`Kind::Exec`].
pub(crate) fn program(dir: &str) -> PathBuf {
    Path::new(dir).join(script::PROGRAM)
}

/// Writes it: an ELF file of one page that exits with the number of its arguments. It needs no libraries, so that an execution is little
/// more than what the kernel does, and opens no file but itself.
pub(crate) fn write_program(dir: &str) -> Result<(), Error> {
    #[cfg(target_arch = "x86_64")]
    // mov edi, [rsp]; mov eax, 60; syscall
    const CODE: &[u8] = &[0x8b, 0x3c, 0x24, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    #[cfg(target_arch = "aarch64")]
    // ldr w0, [sp]; mov x8, #93; svc #0
    const CODE: &[u8] = &[0xe0, 0x03, 0x40, 0xb9, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
    const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    const HEADERS: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    let length = HEADERS + CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2, MACHINE] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    // Entry, program headers, section headers.
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // One segment: the whole file, to be read and executed.
    for word in [1u32, 5] {
        elf.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, length, length, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(CODE);
    let path = program(dir);
    let write = || -> io::Result<()> {
        let mut file = File::create(&path)?;
        file.write_all(&elf)?;
        file.set_permissions(PermissionsExt::from_mode(0o755))
    };
    write().map_err(Error::system(format!("writing {}", path.display())))
}
