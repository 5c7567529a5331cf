//! Acts on sockets: that change hands, and whose addresses have names.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use crate::acts::{Act, check, dns_answer, dns_question};

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[("handed_on", handed_on), ("resolved", resolved)];

/// Arguments: two ports. A child accepts a connection on the first from a socket that it has from its parent, and answers; then it sends to the
/// second by a socket that its parent made. The child's id is left in the file `child`.
fn handed_on(dir: &Path, args: &[String]) {
    let [tcp, udp] = [&args[0], &args[1]].map(|port| format!("127.0.0.1:{port}"));
    let listener = TcpListener::bind(&tcp).unwrap();
    let _receiver = UdpSocket::bind(&udp).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    // SAFETY: this process has one thread; the child acts and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"hello\n").unwrap();
        sender.send_to(b"x", &udp).unwrap();
        // SAFETY: ends the child without unwinding into its parent's code.
        unsafe { libc::_exit(0) };
    }
    fs::write(dir.join("child"), child.to_string()).unwrap();
    TcpStream::connect(&tcp).unwrap().read_exact(&mut [0; 6]).unwrap();
    let mut status = 0;
    // SAFETY: a child of ours, and a live place for its status.
    check(unsafe { libc::waitpid(child, &raw mut status, 0) }.into());
    assert_eq!(status, 0);
}

/// Argument: a port. Asks for `resolved.tarsius`, is told that it is 127.0.0.1, and connects there; then to 127.0.0.2, of which nobody asked.
fn resolved(_: &Path, args: &[String]) {
    let server = UdpSocket::bind("127.83.65.83:53").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&dns_question(7, "resolved.tarsius"), server.local_addr().unwrap()).unwrap();
    let mut message = [0; 512];
    let (length, from) = server.recv_from(&mut message).unwrap();
    server.send_to(&dns_answer(&message[..length], [127, 0, 0, 1]), from).unwrap();
    client.recv(&mut message).unwrap();
    let listener = TcpListener::bind(format!("0.0.0.0:{}", args[0])).unwrap();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let connection = TcpStream::connect(format!("{host}:{}", args[0])).unwrap();
        drop(listener.accept().unwrap());
        drop(connection);
    }
}
