//! Acts on sockets that change hands.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use crate::acts::{Act, check};

/// Every act of this file by name.
pub(crate) const ACTS: &[(&str, Act)] = &[("handed_on", handed_on)];

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
