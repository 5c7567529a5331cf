//! The acts on sockets, and what is told of each.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{Told, Trigger};
use crate::acts::{self, check};
use crate::Line;

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
            let kinds: Vec<Value> = told.with("remote_addr", four(told)).iter().map(|l| l.parsed("type")).collect();
            assert_eq!(kinds, ["SOCK_STREAM", "SOCK_DGRAM"], "{:?}", told.lines);
            told.one("remote_addr", unix(told));
            assert!(told.lines.0.iter().any(|l| is_six(told, l, "remote_addr")));
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
            let states: Vec<Value> = told.with("remote_addr", four(told)).iter().map(|l| l.parsed("new_state")).collect();
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
            }
        },
        check: |told| {
            told.one("newfd", 78);
            told.one("newfd", 79).assert(&[("oldfd", json!(78))]);
        },
        ..Trigger::NONE
    },
];

/// Of an act, and known to its check: from the process that acts.
fn port(pid: u32) -> u16 {
    20000 + (pid % 20000) as u16
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
