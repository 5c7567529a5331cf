//! Where a sink's bytes go, one system call at a time.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, poll};

/// A place for bytes.
pub(crate) trait Writer: Send {
    /// Writes some of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes back the last `torn` bytes. `false`: that can not be done here.
    fn cut(&mut self, torn: usize) -> bool;

    /// Columns, if this is a terminal.
    fn columns(&self) -> Option<u16> {
        None
    }
}

/// A file, pipe, terminal: whatever has a descriptor.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: File,
    /// Device and inode of a regular file.
    regular: Option<(u64, u64)>,
}

impl Descriptor {
    pub(crate) fn new(file: File) -> io::Result<Descriptor> {
        let metadata = file.metadata()?;
        let regular = metadata.is_file().then(|| (metadata.dev(), metadata.ino()));
        Ok(Descriptor { file, regular })
    }

    /// A second descriptor of a stream, so that dropping this one leaves the stream open.
    pub(crate) fn of_stream(stream: BorrowedFd<'_>) -> io::Result<Descriptor> {
        Descriptor::new(File::from(stream.try_clone_to_owned()?))
    }

    /// What tells one regular file from another.
    pub(crate) const fn regular(&self) -> Option<(u64, u64)> {
        self.regular
    }

    /// Empties a regular file.
    pub(crate) fn empty(&mut self) -> io::Result<()> {
        if self.regular.is_some() { self.file.set_len(0) } else { Ok(()) }
    }

    pub(crate) const fn file(&self) -> &File {
        &self.file
    }
}

impl Writer for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Whoever shares the terminal or pipe may have set it non-blocking: then wait, as if it were not.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.file.as_fd(), PollFlags::OUT)], None)?;
                }
                done => return done,
            }
        }
    }

    fn cut(&mut self, torn: usize) -> bool {
        let cut = || -> io::Result<bool> {
            let mut file = &self.file;
            let end = file.stream_position()?;
            // Unless another has written behind: standard output may be shared.
            if self.regular.is_none() || file.metadata()?.len() != end {
                return Ok(false);
            }
            let Some(whole) = end.checked_sub(torn as u64) else { return Ok(false) };
            file.set_len(whole)?;
            file.seek(SeekFrom::Start(whole))?;
            Ok(true)
        };
        cut().unwrap_or(false)
    }

    fn columns(&self) -> Option<u16> {
        rustix::termios::tcgetwinsize(&self.file).ok().map(|size| size.ws_col).filter(|&columns| columns > 0)
    }
}
