//! Acts that are done through rings of io_uring, by a thread that is not the process's first.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};

use crate::acts::{Act, c, check};

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[
    ("ring_files", ring_files),
    ("ring_sockets", ring_sockets),
    ("ring_full", ring_full),
    ("ring_many", ring_many),
];

/// Name of the thread that submits, and the file where its id is left.
pub const SUBMITTER: &str = "submitter";

/// How requests are submitted: `plain`; `async`, by the kernel's workers; `polled`, by the kernel's thread; `silent`, without a completion where all
/// goes well; `alike`, all with one mark.
struct Ring {
    ring: IoUring,
    mode: String,
    marks: u64,
}

impl Ring {
    fn new(mode: &str) -> Ring {
        let mut builder = IoUring::builder();
        if mode == "polled" {
            builder.setup_sqpoll(1000);
        }
        Ring { ring: builder.build(8).unwrap(), mode: mode.into(), marks: 0 }
    }

    fn push(&mut self, entry: Entry) {
        self.marks += 1;
        let mark = if self.mode == "alike" { 7 } else { self.marks };
        let flags = match self.mode.as_str() {
            "async" => Flags::ASYNC,
            // The next waits for it, however it ends.
            "silent" => Flags::SKIP_SUCCESS | Flags::IO_HARDLINK,
            _ => Flags::empty(),
        };
        // SAFETY: what the request points to lives until its completion was seen.
        unsafe { self.ring.submission().push(&entry.user_data(mark).flags(flags)).unwrap() };
    }

    /// Submits a request, and waits for its result.
    fn run(&mut self, entry: Entry) -> i32 {
        self.push(entry);
        if self.mode == "silent" {
            // Its end is seen by that of another, which waits for it.
            let after = opcode::Nop::new().build().user_data(u64::MAX);
            // SAFETY: points to nothing.
            unsafe { self.ring.submission().push(&after).unwrap() };
        }
        let (mut result, mut over) = (0, false);
        while !over {
            self.ring.submit_and_wait(1).unwrap();
            for completion in self.ring.completion() {
                over |= self.mode != "silent" || completion.user_data() == u64::MAX;
                if completion.user_data() != u64::MAX {
                    result = completion.result();
                }
            }
        }
        result
    }
}

fn as_submitter(dir: &Path, act: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let body = || {
            // SAFETY: plain system call.
            let tid = unsafe { libc::syscall(libc::SYS_gettid) };
            fs::write(dir.join(SUBMITTER), tid.to_string()).unwrap();
            act();
        };
        std::thread::Builder::new().name(SUBMITTER.into()).spawn_scoped(scope, body).unwrap();
    });
}

/// Argument: how.
fn ring_files(dir: &Path, args: &[String]) {
    as_submitter(dir, || {
        let mut ring = Ring::new(&args[0]);
        let folder = fs::File::open(dir).unwrap();
        let at = types::Fd(folder.as_raw_fd());
        let done = |result: i32| assert!(result >= 0, "{}", std::io::Error::from_raw_os_error(-result));
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK;
        let open = opcode::OpenAt::new(at, c"made".as_ptr()).flags(flags).mode(0o640).build();
        let fd = ring.run(open);
        done(fd);
        done(ring.run(opcode::MkDirAt::new(at, c"folder".as_ptr()).mode(0o750).build()));
        done(ring.run(opcode::LinkAt::new(at, c"made".as_ptr(), at, c"hard".as_ptr()).build()));
        done(ring.run(opcode::SymlinkAt::new(at, c"made".as_ptr(), c"soft".as_ptr()).build()));
        done(ring.run(opcode::RenameAt::new(at, c"hard".as_ptr(), at, c"folder/moved".as_ptr()).build()));
        let missing = ring.run(opcode::UnlinkAt::new(at, c"missing".as_ptr()).build());
        // Silent only where all goes well; but a failure may be told after the next request's end.
        assert!(missing == -libc::ENOENT || args[0] == "silent", "{missing}");
        done(ring.run(opcode::UnlinkAt::new(at, c"soft".as_ptr()).build()));
        let moved = c(&dir.join("folder/moved"));
        done(ring.run(opcode::UnlinkAt::new(types::Fd(libc::AT_FDCWD), moved.as_ptr()).build()));
        done(ring.run(opcode::UnlinkAt::new(at, c"folder".as_ptr()).flags(libc::AT_REMOVEDIR).build()));
        if args[0] != "silent" {
            done(ring.run(opcode::Close::new(types::Fd(fd)).build()));
        }
    });
}

/// Arguments: how, and a port.
fn ring_sockets(dir: &Path, args: &[String]) {
    let port: u16 = args[1].parse().unwrap();
    as_submitter(dir, || {
        let mut ring = Ring::new(&args[0]);
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        // SAFETY: plain system call; an address of zeroes is one.
        let (socket, mut address) = unsafe {
            (libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0), std::mem::zeroed::<libc::sockaddr_in>())
        };
        check(socket.into());
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        address.sin_port = port.to_be();
        let connect = opcode::Connect::new(types::Fd(socket), (&raw const address).cast(), 16).build();
        assert_eq!(ring.run(connect), 0);
        let null = std::ptr::null_mut();
        let accept = opcode::Accept::new(types::Fd(listener.as_raw_fd()), null, null.cast()).build();
        check(ring.run(accept).into());

        let local = UnixListener::bind(dir.join("socket")).unwrap();
        // SAFETY: plain system call; an address of zeroes is one.
        let (socket, mut address) = unsafe {
            (libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0), std::mem::zeroed::<libc::sockaddr_un>())
        };
        check(socket.into());
        address.sun_family = libc::AF_UNIX as u16;
        for (to, from) in address.sun_path.iter_mut().zip(c(&dir.join("socket")).as_bytes_with_nul()) {
            *to = from.cast_signed();
        }
        let length = size_of::<libc::sockaddr_un>() as u32;
        let connect = opcode::Connect::new(types::Fd(socket), (&raw const address).cast(), length).build();
        assert_eq!(ring.run(connect), 0);
        drop(local);
    });
}

/// How many files `ring_full` removes: more than its ring has room for completions.
pub const REMOVED: usize = 12;

/// Removes files, and never looks at the completions: the ring runs over.
fn ring_full(dir: &Path, _: &[String]) {
    as_submitter(dir, || {
        let mut ring = IoUring::new(2).unwrap();
        let names: Vec<_> = (0..REMOVED).map(|n| c(&dir.join(format!("file{n}")))).collect();
        for (n, name) in names.iter().enumerate() {
            fs::write(dir.join(format!("file{n}")), b"x").unwrap();
            let unlink = opcode::UnlinkAt::new(types::Fd(libc::AT_FDCWD), name.as_ptr()).build();
            // SAFETY: the name lives until the end of the act.
            unsafe { ring.submission().push(&unlink.user_data(n as u64)).unwrap() };
            ring.submit().unwrap();
            while dir.join(format!("file{n}")).exists() {
                std::thread::yield_now();
            }
        }
        // The completions that ran over come when there is room.
        let mut seen = 0;
        while seen < REMOVED {
            ring.submit_and_wait(1).unwrap();
            seen += ring.completion().count();
        }
    });
}

/// Argument: a port. Accepts three connections by one request; opens a file into the ring's own table.
fn ring_many(dir: &Path, args: &[String]) {
    let port: u16 = args[0].parse().unwrap();
    as_submitter(dir, || {
        let mut ring = IoUring::new(8).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build().user_data(1);
        // SAFETY: points to nothing.
        unsafe { ring.submission().push(&accept).unwrap() };
        ring.submit().unwrap();
        for _ in 0..3 {
            let _client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            ring.submit_and_wait(1).unwrap();
            check(ring.completion().next().unwrap().result().into());
        }
        ring.submitter().register_files(&[-1]).unwrap();
        let path = c(&dir.join("own-table"));
        let slot = types::DestinationSlot::try_from_slot_target(0).unwrap();
        let open = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
            .flags(libc::O_CREAT | libc::O_RDWR)
            .mode(0o600)
            .file_index(Some(slot));
        // SAFETY: the path lives until the end of the act.
        unsafe { ring.submission().push(&open.build().user_data(2)).unwrap() };
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.completion().next().unwrap().result(), 0);
    });
}
