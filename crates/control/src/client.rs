//! The side that asks.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::connect::connect;
use crate::{Error, Reply, Request, Row};

/// A watch answers between two rounds; one that does not within that time hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried again while others wait to be accepted.
const AGAIN: Duration = Duration::from_millis(20);

/// A connection to a running watch.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// There is no watch, it is not for this user, or it hangs.
    pub fn connect(path: &Path) -> Result<Client, Error> {
        let stream = connect_within(path, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Asks; gives each row as it comes, and in the end the notes.
    ///
    /// # Errors
    ///
    /// The watch refuses, or the connection breaks.
    pub fn ask(&mut self, request: &Request, mut row: impl FnMut(Row)) -> Result<Vec<String>, Error> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        match self.stream.get_mut().write_all(line.as_bytes()) {
            // It hung up before it was asked: why, it has said.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            match serde_json::from_str(&line)? {
                Reply::Row(r) => row(r),
                Reply::Done { notes, .. } => return Ok(notes),
                Reply::Error(why) => return Err(Error::Refused(why)),
            }
        }
    }
}

pub(crate) fn connect_within(path: &Path, patience: Duration) -> Result<UnixStream, Error> {
    let begun = Instant::now();
    loop {
        match connect(path) {
            Ok(stream) => return Ok(stream),
            Err(e) if e.kind() == ErrorKind::WouldBlock && begun.elapsed() < patience => {
                std::thread::sleep(AGAIN);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(Error::Hangs(path.to_path_buf())),
            Err(why) => return Err(Error::Connect { path: path.to_path_buf(), why }),
        }
    }
}
