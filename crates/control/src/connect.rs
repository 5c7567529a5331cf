//! Connecting without waiting for who does not accept.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connects.
///
/// # Errors
///
/// [`io::ErrorKind::ConnectionRefused`] if nobody listens there. [`io::ErrorKind::WouldBlock`] if somebody does who has not accepted the
/// connections before this one, and perhaps never will: one that was stopped. An ordinary connect would wait for it, without an end.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}
