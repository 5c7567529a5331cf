//! Acts that make traffic of all kinds, in network namespaces of their own, with sockets that change hands.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::acts::{Act, c, check};
use crate::endure::{in_child, wait_for};
use crate::servers::{dnsmasq, nginx, output_of, sshd};

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[
    ("beside_tcpdump", beside_tcpdump),
    ("mixed", mixed),
    ("talk", talk),
    ("flood_tcp", flood_tcp),
    ("bridge", bridge),
    ("passed", passed),
    ("forked", forked),
    ("steered", steered),
    ("speak", speak),
];

/// The port of every server here: each has a network namespace of its own, or the act's argument says another.
pub const PORT: u16 = 23201;

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split(' ')).status().unwrap();
    assert!(done.success(), "ip {args}");
}

/// This process in a network namespace of its own, with loopback.
fn own_network() {
    // SAFETY: a plain system call.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into());
    ip("link set lo up");
}

/// Number of the network namespace of this process.
fn net_ns() -> String {
    let link = fs::read_link("/proc/self/ns/net").unwrap();
    link.to_str().unwrap().trim_start_matches("net:[").trim_end_matches(']').into()
}

/// A tcpdump that listens on loopback.
struct Tcpdump(Child, BufReader<std::process::ChildStderr>, PathBuf);

impl Tcpdump {
    fn start(file: &Path) -> Tcpdump {
        let mut child = Command::new("tcpdump")
            .args(["-i", "lo", "-s", "0", "-B", "65536", "--immediate-mode", "-U", "-Z", "root", "-w"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "tcpdump did not begin");
        }
        Tcpdump(child, stderr, file.to_owned())
    }

    /// Ends it once it has written all: what it has not when it is told to end, it never does.
    fn stop(mut self) {
        const LAST: &[u8] = b"after this datagram there is nothing";
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(LAST, socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 64]).unwrap();
        crate::wait_until("tcpdump has written the last datagram", || {
            fs::read(&self.2).unwrap().windows(LAST.len()).any(|part| part == LAST)
        });
        crate::signal(self.0.id(), libc::SIGINT);
        let mut said = String::new();
        self.1.read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success() && said.contains("\n0 packets dropped by kernel"), "{said}");
    }
}

/// A connection over which each end sends so many bytes, and that both close.
fn exchange(host: &str, bytes: usize) {
    let listener = TcpListener::bind((host, PORT)).unwrap();
    let mut client = TcpStream::connect((host, PORT)).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let there = std::thread::spawn(move || {
        let mut buffer = vec![0; bytes];
        accepted.read_exact(&mut buffer).unwrap();
        accepted.write_all(&buffer).unwrap();
        assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    });
    client.write_all(&vec![7; bytes]).unwrap();
    client.read_exact(&mut vec![0; bytes]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    there.join().unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

/// Datagrams of many sizes, some of them alike, from a socket to another of this process.
fn datagrams(host: &str, count: usize) {
    let server = UdpSocket::bind((host, PORT)).unwrap();
    let client = UdpSocket::bind((host, 0)).unwrap();
    let mut buffer = vec![0; 65536];
    for n in 0..count {
        let size = [0, 1, 1, 512, 512, 1400, 9000, 60_000][n % 8];
        client.send_to(&buffer[..size], (host, PORT)).unwrap();
        server.recv(&mut buffer).unwrap();
        buffer.fill(0);
    }
}

/// Traffic over loopback of a namespace of its own, which a tcpdump writes to `tcpdump.pcap`. The namespace is left in `net_ns`.
fn beside_tcpdump(dir: &Path, _: &[String]) {
    own_network();
    // No packet is longer than what is captured of one.
    ip("link set lo mtu 65500");
    fs::write(dir.join("net_ns"), net_ns()).unwrap();
    let tcpdump = Tcpdump::start(&dir.join("tcpdump.pcap"));
    for host in ["127.0.0.1", "::1"] {
        exchange(host, 300_000);
        datagrams(host, 64);
    }
    // A port that nobody listens at: answered by the kernel.
    assert!(TcpStream::connect(("127.0.0.1", PORT + 1)).is_err());
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"x", ("127.0.0.1", PORT + 1)).unwrap();
    let ping = Command::new("busybox").args(["ping", "-c", "2", "127.0.0.1"]).stdout(Stdio::null()).status();
    assert!(ping.unwrap().success());
    tcpdump.stop();
}

/// What real programs say to each other, which a tcpdump writes to `tcpdump.pcap`.
fn mixed(dir: &Path, _: &[String]) {
    own_network();
    let servers = [nginx(dir, [80, 443]), dnsmasq("127.0.0.1", 53), sshd(dir, 22)];
    let tcpdump = Tcpdump::start(&dir.join("tcpdump.pcap"));
    let expect = |what: &str, program: &str, args: &str| {
        let (_, text) = output_of(Command::new(program).args(args.split(' ')));
        assert!(text.contains(what), "{program} {args}: {text}");
    };
    expect("what the page says", "curl", "-s http://127.0.0.1/page");
    expect("404 Not Found", "curl", "-s --user-agent other http://127.0.0.1/none");
    expect("what the page says", "curl", "-sk https://127.0.0.1/page");
    expect("192.0.2.7", "dig", "+short +tries=1 @127.0.0.1 dns.tarsius A");
    expect("192.0.2.7", "dig", "+short +tries=1 +tcp @127.0.0.1 dns.tarsius A");
    expect("REFUSED", "dig", "+tries=1 @127.0.0.1 other.tarsius AAAA");
    expect("ssh-ed25519", "ssh-keyscan", "-t ed25519 127.0.0.1");
    datagrams("::1", 8);
    expect("2 packets received", "busybox", "ping -c 2 127.0.0.1");
    tcpdump.stop();
    drop(servers);
}

/// A child sends to its parent and back, and the parent to itself. The child's id is left in `child`.
fn talk(dir: &Path, _: &[String]) {
    own_network();
    let server = UdpSocket::bind(("127.0.0.1", PORT)).unwrap();
    let child = in_child(|| {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"question", ("127.0.0.1", PORT)).unwrap();
        client.recv(&mut [0; 16]).unwrap();
    });
    fs::write(dir.join("child"), child.to_string()).unwrap();
    let mut buffer = [0; 16];
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"answer", from).unwrap();
    wait_for(child);
    server.send_to(b"myself", ("127.0.0.1", PORT)).unwrap();
    server.recv(&mut buffer).unwrap();
}

/// Argument: MiB that go over a connection.
fn flood_tcp(_: &Path, args: &[String]) {
    own_network();
    for _ in 0..args[0].parse().unwrap() {
        exchange("127.0.0.1", 1 << 20);
    }
}

/// Goes into a network namespace that has a name.
fn enter(name: &str) {
    let file = fs::File::open(format!("/run/netns/{name}")).unwrap();
    // SAFETY: a descriptor that is open.
    check(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) }.into());
}

/// Arguments: names of two network namespaces, which are joined to a bridge. A server in the first is asked from the second, and
/// answers. Who they are, and where, is left in `server` and `client`.
fn bridge(dir: &Path, args: &[String]) {
    own_network();
    ip("link add br0 type bridge");
    ip("link set br0 up");
    for (n, name) in args.iter().enumerate() {
        ip(&format!("link add b{n} type veth peer name in{n} netns {name}"));
        ip(&format!("link set b{n} master br0 up"));
        ip(&format!("-n {name} addr add 10.83.0.{}/24 dev in{n}", n + 1));
        ip(&format!("-n {name} link set in{n} up"));
    }
    let (mut ready, theirs) = UnixStream::pair().unwrap();
    let server = in_child(|| {
        enter(&args[0]);
        let listener = TcpListener::bind(("10.83.0.1", PORT)).unwrap();
        fs::write(dir.join("server"), format!("{} {}", std::process::id(), net_ns())).unwrap();
        (&theirs).write_all(b"x").unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.read_exact(&mut [0; 8]).unwrap();
        accepted.write_all(b"answer").unwrap();
        assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    });
    ready.read_exact(&mut [0]).unwrap();
    let client = in_child(|| {
        enter(&args[1]);
        fs::write(dir.join("client"), format!("{} {}", std::process::id(), net_ns())).unwrap();
        let mut client = TcpStream::connect(("10.83.0.1", PORT)).unwrap();
        client.write_all(b"question").unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
    });
    wait_for(client);
    wait_for(server);
}

/// Sends a descriptor over a socket.
fn send_descriptor(over: &UnixStream, descriptor: i32) {
    let mut byte = *b"x";
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    // SAFETY: all zeros is a message of nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: plain arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
    // SAFETY: the control part is large enough for one descriptor and aligned.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(head).cast::<i32>().write_unaligned(descriptor);
        check(libc::sendmsg(over.as_raw_fd(), &raw const message, 0) as i64);
    }
}

fn receive_descriptor(over: &UnixStream) -> i32 {
    let mut byte = [0u8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    // SAFETY: as above; the kernel writes no more than there is room for.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        check(libc::recvmsg(over.as_raw_fd(), &raw mut message, 0) as i64);
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        assert!(!head.is_null());
        libc::CMSG_DATA(head).cast::<i32>().read_unaligned()
    }
}

/// Argument: a port. A child, which has no socket of its maker's, is given one over a UNIX socket, and sends by it to the port.
/// The child's id is left in `child`.
fn passed(dir: &Path, args: &[String]) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = in_child(|| {
        // SAFETY: a descriptor that nobody else has.
        let socket = unsafe { UdpSocket::from_raw_fd(receive_descriptor(&theirs)) };
        socket.send_to(b"passed", ("127.0.0.1", args[0].parse().unwrap())).unwrap();
    });
    fs::write(dir.join("child"), child.to_string()).unwrap();
    let _receiver = UdpSocket::bind(("127.0.0.1", args[0].parse().unwrap())).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    send_descriptor(&ours, socket.as_raw_fd());
    drop(socket);
    wait_for(child);
}

/// Argument: a port. A request has come before a child accepts its connection; the child answers, and another child of it, too.
/// The first child's id is left in `child`.
fn forked(dir: &Path, args: &[String]) {
    let port = args[0].parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"request").unwrap();
    let child = in_child(|| {
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.read_exact(&mut [0; 7]).unwrap();
        accepted.write_all(b"first").unwrap();
        wait_for(in_child(|| accepted.write_all(b"second").unwrap()));
    });
    fs::write(dir.join("child"), child.to_string()).unwrap();
    client.read_exact(&mut [0; 11]).unwrap();
    wait_for(child);
}

fn bind_to_cpu(cpu: usize) {
    // SAFETY: a set of this frame, of the size that is said.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of_val(&set), &raw const set).into());
    }
}

/// Argument: how many datagrams. They are sent on CPU 0 and received on CPU 1, where another process is busy all the while.
fn steered(_: &Path, args: &[String]) {
    // SAFETY: plain system calls; the mount is this process's alone.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) }.into());
    ip("link set lo up");
    let (none, sys, kind) = (c(Path::new("none")), c(Path::new("/sys")), c(Path::new("sysfs")));
    let root = c(Path::new("/"));
    // SAFETY: strings that live through the calls.
    unsafe {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        check(libc::mount(none.as_ptr(), root.as_ptr(), std::ptr::null(), private, std::ptr::null()).into());
        check(libc::mount(none.as_ptr(), sys.as_ptr(), kind.as_ptr(), 0, std::ptr::null()).into());
    }
    fs::write("/sys/class/net/lo/queues/rx-0/rps_cpus", "2").unwrap();
    let (mut ready, theirs) = UnixStream::pair().unwrap();
    let busy = in_child(|| {
        bind_to_cpu(1);
        (&theirs).write_all(b"x").unwrap();
        loop {
            std::hint::spin_loop();
        }
    });
    ready.read_exact(&mut [0]).unwrap();
    bind_to_cpu(0);
    let server = UdpSocket::bind(("127.0.0.1", PORT)).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..args[0].parse().unwrap() {
        client.send_to(b"steered", ("127.0.0.1", PORT)).unwrap();
        server.recv(&mut [0; 16]).unwrap();
    }
    // SAFETY: a child of ours that was not waited for.
    unsafe {
        libc::kill(busy, libc::SIGKILL);
        libc::waitpid(busy, std::ptr::null_mut(), 0);
    }
}

/// Arguments: a port, then a program and its arguments, which sends there. What comes is received until it is done.
fn speak(_: &Path, args: &[String]) {
    let listener = TcpListener::bind(("127.0.0.1", args[0].parse().unwrap())).unwrap();
    let program = Command::new("sh").arg("-c").arg(&args[1]).spawn().unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let mut said = String::new();
    accepted.read_to_string(&mut said).unwrap();
    drop(accepted);
    assert!(program.wait_with_output().unwrap().status.success());
}
