//! The acts on sockets, and what is told of each.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{Told, Trigger};
use crate::Line;
use crate::acts::{self, check};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "security_socket_bind",
        act: sockets,
        check: |told| {
            told.one("local_addr", four(told));
            told.one("local_addr", unix(told));
            assert!(told.lines.0.iter().any(|l| is_six(told, l, "local_addr")));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_socket_listen",
        act: sockets,
        check: |told| {
            told.one("local_addr", four(told));
            told.one("local_addr", unix(told));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_socket_connect",
        act: sockets,
        check: |told| {
            let kinds: Vec<Value> =
                told.with("remote_addr", four(told)).iter().map(|l| l.parsed("type")).collect();
            assert_eq!(kinds, ["SOCK_STREAM", "SOCK_DGRAM"], "{:?}", told.lines);
            told.one("remote_addr", unix(told));
            assert!(told.lines.0.iter().any(|l| is_six(told, l, "remote_addr")));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_socket_sendmsg",
        act: |_| {
            let port = port(std::process::id());
            for local in ["127.0.0.1", "::1"] {
                let sender = UdpSocket::bind((local, 0)).unwrap();
                assert_eq!(sender.send_to(b"to whom", (local, port)).unwrap(), 7);
                // The address was given before.
                sender.connect((local, port)).unwrap();
                let _ = sender.send(b"again");
            }
        },
        check: |told| {
            told.one("remote_addr", four(told)).assert(&[("type", json!(2))]);
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
            assert!(told.lines.0.iter().any(|l| is_six(told, l, "remote_addr")));
            // At the cgroup tier it is not known.
            assert!(told.lines.0.iter().all(|l| matches!(l.get("size"), Value::Null) || l.get("size") == 7));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_raw_socket",
        act: |_| {
            for (family, ty, protocol) in [
                (libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_UDP),
                (libc::AF_PACKET, libc::SOCK_DGRAM, 0),
                // None.
                (libc::AF_INET, libc::SOCK_DGRAM, 0),
                (libc::AF_NETLINK, libc::SOCK_RAW, 0),
            ] {
                // SAFETY: a plain system call.
                check(unsafe { libc::socket(family, ty, protocol) }.into());
            }
        },
        check: |told| {
            let line = told.one("family", 2);
            line.assert(&[("type", json!(3)), ("protocol", json!(17))]);
            assert_eq!(told.one("family", 17).parsed("family"), "AF_PACKET");
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "socket_accept",
        act: sockets,
        check: |told| {
            told.one("local_addr", four(told));
            assert!(told.lines.0.iter().any(|l| is_six(told, l, "local_addr")));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_tcp_state",
        act: sockets,
        check: |told| {
            let states: Vec<Value> =
                told.with("remote_addr", four(told)).iter().map(|l| l.parsed("new_state")).collect();
            assert_eq!(states[..2], ["TCP_SYN_SENT", "TCP_ESTABLISHED"], "{states:?}");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_socket_create",
        act: |_| {
            // SAFETY: a plain system call.
            check(
                unsafe {
                    libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, libc::IPPROTO_UDP)
                }
                .into(),
            );
        },
        check: |told| {
            let line = told.one("protocol", 17);
            line.assert(&[("family", json!(2)), ("type", json!(2)), ("kern", json!(0))]);
            assert_eq!(line.parsed("family"), "AF_INET");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_socket_accept",
        act: |_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            // SAFETY: the descriptor is open; nothing else uses number 77.
            check(unsafe { libc::dup2(listener.as_raw_fd(), 77) }.into());
            // SAFETY: no address is asked for.
            check(unsafe { libc::accept(77, std::ptr::null_mut(), std::ptr::null_mut()) }.into());
        },
        check: |told| assert_eq!(told.with("sockfd", 77).len(), 1),
        ..Trigger::NONE
    },
    Trigger {
        event: "security_socket_setsockopt",
        act: |_| UdpSocket::bind("127.0.0.1:0").unwrap().set_broadcast(true).unwrap(),
        check: |told| {
            assert_eq!(told.one("optname", 6).parsed("level"), "SOL_SOCKET");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "socket_dup",
        act: |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect("127.0.0.1:9").unwrap();
            // SAFETY: the descriptor is open; nothing else uses these numbers.
            unsafe {
                check(libc::dup2(socket.as_raw_fd(), 78).into());
                check(libc::fcntl(78, libc::F_DUPFD, 79).into());
                let pidfd = libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0);
                if pidfd >= 0 {
                    check(libc::syscall(libc::SYS_pidfd_getfd, pidfd, 79, 0));
                }
            }
            // Older kernels do not say what a message brought: each is counted as untracked there, and the ledger is to be clean.
            if !super::process::before_5_17() {
                let (one, other) = UnixStream::pair().unwrap();
                send_descriptors(&one, &[0, socket.as_raw_fd(), socket.as_raw_fd()]);
                receive_descriptors(&other);
            }
        },
        check: |told| {
            told.one("newfd", 78);
            told.one("newfd", 79).assert(&[("oldfd", json!(78))]);
            told.one("oldfd", 79);
            if !super::process::before_5_17() {
                let sent: Vec<_> =
                    told.lines.0.iter().filter(|l| l.quality("oldfd") == "unavailable").collect();
                assert_eq!(sent.len(), 2, "{:?}", told.lines);
                let nine = json!({"sa_family": "AF_INET", "sin_addr": "127.0.0.1", "sin_port": 9});
                for line in sent {
                    line.assert(&[("remote_addr", nine.clone())]);
                }
            }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "net_tcp_connect",
        act: sockets,
        check: |told| {
            let port = port(told.pid);
            told.one("dst", "127.0.0.1").assert(&[("dst_port", json!(port))]);
            told.one("dst", "::1").assert(&[("dst_port", json!(port))]);
        },
        ..Trigger::NONE
    },
];

/// Room for control data of a few descriptors, and a message of one byte around it.
fn with_message(descriptors: usize, f: impl FnOnce(&mut libc::msghdr)) {
    let (mut byte, mut control) = ([0u8; 1], [0u64; 8]);
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zero is a message without anything; the macro only counts.
    let (mut message, room) =
        unsafe { (std::mem::zeroed::<libc::msghdr>(), libc::CMSG_SPACE(descriptors as u32 * 4)) };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = room as _;
    f(&mut message);
}

fn send_descriptors(to: &UnixStream, descriptors: &[i32]) {
    with_message(descriptors.len(), |message| {
        // SAFETY: the control data has room for the header and the descriptors.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(message);
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SCM_RIGHTS;
            (*control).cmsg_len = libc::CMSG_LEN(descriptors.len() as u32 * 4) as _;
            let data = libc::CMSG_DATA(control).cast::<i32>();
            data.copy_from_nonoverlapping(descriptors.as_ptr(), descriptors.len());
            check(libc::sendmsg(to.as_raw_fd(), message, 0) as i64);
        }
    });
}

fn receive_descriptors(from: &UnixStream) {
    with_message(3, |message| {
        // SAFETY: the message's memory lives through the call.
        check(unsafe { libc::recvmsg(from.as_raw_fd(), message, 0) } as i64);
    });
}

/// Of an act, and known to its check: from the process that acts; below those that connections take.
fn port(pid: u32) -> u16 {
    20000 + (pid % 12000) as u16
}

fn sockets(dir: &Path) {
    acts::sockets(dir, &[port(std::process::id()).to_string()]);
}

fn four(told: &Told<'_>) -> Value {
    json!({"sa_family": "AF_INET", "sin_addr": "127.0.0.1", "sin_port": port(told.pid)})
}

fn is_six(told: &Told<'_>, line: &Line, field: &str) -> bool {
    let a = line.get(field);
    a["sa_family"] == "AF_INET6" && a["sin6_addr"] == "::1" && a["sin6_port"] == port(told.pid)
}

fn unix(told: &Told<'_>) -> Value {
    json!({"sa_family": "AF_UNIX", "sun_path": told.path("socket")})
}
