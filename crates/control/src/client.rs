//! The side that asks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::{Error, Reply, Request, Row};

/// A watch answers between two rounds; one that does not within that time hangs.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// There is no watch, or it is not for this user.
    pub fn connect(path: &Path) -> Result<Client, Error> {
        let stream =
            UnixStream::connect(path).map_err(|why| Error::Connect { path: path.to_path_buf(), why })?;
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
