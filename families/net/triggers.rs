//! The acts on sockets, and what is told of each.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;

use serde_json::json;

use super::Trigger;
use crate::acts::check;

pub(super) const TRIGGERS: &[Trigger] = &[
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
            told.one("protocol", 17).assert(&[("family", json!(2)), ("type", json!(2)), ("kern", json!(0))]);
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
            told.one("optname", 6).assert(&[("level", json!(1))]);
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
