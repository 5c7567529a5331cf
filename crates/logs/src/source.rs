//! One log: a file that grows and is rotated, or a pipe.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{Error, LINE_BYTES};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Bytes of one log that are read in one look: the others have their turn, too.
const LOOK: usize = 16 << 20;

/// A log that is read.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    /// Device and inode, of a file; a pipe stays what it is.
    place: Option<(u64, u64)>,
    /// So far it was read.
    position: u64,
    line: Line,
    /// It could not be read when it was last tried.
    failing: bool,
    complaint: Option<String>,
}

/// A line, as far as it is there.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    cut: bool,
}

/// What a line is given to: the log, the line without its end, and whether it was cut.
pub(crate) type Give<'a> = dyn FnMut(&Path, &[u8], bool) + 'a;

impl Source {
    /// Opens it; of a file, what is there already is not read.
    pub(crate) fn open(path: &Path) -> Result<Source, Error> {
        let wrong = |source| Error::File { path: path.to_path_buf(), source };
        // A pipe that nobody writes to yet would not be opened otherwise.
        let open = || {
            OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)
        };
        let mut file = open().map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        if metadata.is_dir() {
            return Err(Error::Folder(path.to_path_buf()));
        }
        let piped = metadata.file_type().is_fifo() || metadata.file_type().is_char_device();
        let position = if piped { 0 } else { file.seek(SeekFrom::End(0)).map_err(wrong)? };
        let place = (!piped).then(|| place(&metadata));
        Ok(Source {
            path: path.to_path_buf(),
            file,
            place,
            position,
            line: Line::default(),
            failing: false,
            complaint: None,
        })
    }

    /// What is to be said of it since the last time.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    /// Said once, until it can be read again.
    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            self.complaint = Some(format!("{} can not be read: {error}", self.path.display()));
        }
    }

    /// Gives each line that was added; whether that was all.
    pub(crate) fn read(&mut self, give: &mut Give<'_>) -> bool {
        if self.place.is_some() && self.file.metadata().is_ok_and(|m| m.len() < self.position) {
            // It was cut; what stands there now is new.
            self.line.end(&self.path, give);
            self.position = 0;
            if let Err(error) = self.file.rewind() {
                self.fail(&error);
                return false;
            }
        }
        let all = self.read_file(give);
        // A new file at its path: only once all of the old one was read.
        if let Some(old) = self.place
            && all
            && let Ok(metadata) = std::fs::metadata(&self.path)
            && metadata.is_file()
            && place(&metadata) != old
        {
            match File::open(&self.path).and_then(|file| Ok((place(&file.metadata()?), file))) {
                Ok((place, file)) => {
                    self.line.end(&self.path, give);
                    (self.file, self.place, self.position) = (file, Some(place), 0);
                    return self.read_file(give);
                }
                // It is being made anew once more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.fail(&error);
                    return false;
                }
            }
        }
        all
    }

    /// Gives the last line, which may have no end; whether there is nothing more.
    pub(crate) fn finish(&mut self, give: &mut Give<'_>) -> bool {
        let all = self.read(give);
        self.line.end(&self.path, give);
        all
    }

    /// Gives the lines up to the file's end; whether it got there.
    fn read_file(&mut self, give: &mut Give<'_>) -> bool {
        let mut piece = vec![0; PIECE];
        let mut seen = 0;
        while seen < LOOK {
            let read = match self.file.read(&mut piece) {
                Ok(0) => return true,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // Of a pipe, nothing is there for now.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                // What can not be read now may be readable later.
                Err(e) => {
                    self.fail(&e);
                    return false;
                }
            };
            self.failing = false;
            seen += read;
            self.position += read as u64;
            self.line.add(piece.get(..read).unwrap_or_default(), &self.path, give);
        }
        false
    }
}

impl Line {
    fn add(&mut self, mut bytes: &[u8], path: &Path, give: &mut Give<'_>) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.keep(line);
            self.end(path, give);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// It is as long as it will be. There is no event of an empty line.
    fn end(&mut self, path: &Path, give: &mut Give<'_>) {
        let line = self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes);
        if !line.is_empty() {
            give(path, line, self.cut);
        }
        self.bytes.clear();
        self.cut = false;
    }
}

fn place(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// What a source gives now.
    fn lines(source: &mut Source) -> Vec<(String, bool)> {
        let mut lines = vec![];
        source.read(&mut |_, line, cut| lines.push((String::from_utf8_lossy(line).into_owned(), cut)));
        lines
    }

    fn whole(lines: &[&str]) -> Vec<(String, bool)> {
        lines.iter().map(|line| ((*line).to_owned(), false)).collect()
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_log_is_rotated_and_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        append(&path, "before\n");
        let mut source = Source::open(&path).unwrap();
        append(&path, "one\n");
        assert_eq!(lines(&mut source), whole(&["one"]));
        // Renamed, written on for a while, and made anew.
        fs::rename(&path, &old).unwrap();
        append(&old, "two\n");
        assert_eq!(lines(&mut source), whole(&["two"]));
        append(&old, "three\nleft off");
        append(&path, "four\n");
        assert_eq!(lines(&mut source), whole(&["three", "left off", "four"]));
        append(&old, "nobody reads this\n");
        append(&path, "five\n");
        assert_eq!(lines(&mut source), whole(&["five"]));
        // Cut, as copytruncate of logrotate does.
        fs::File::create(&path).unwrap();
        assert_eq!(lines(&mut source), whole(&[]));
        append(&path, "six\n");
        assert_eq!(lines(&mut source), whole(&["six"]));
    }

    #[test]
    fn what_can_not_be_read_is_said_once_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        append(&path, "");
        let mut source = Source::open(&path).unwrap();
        // Reading a folder fails.
        source.file = File::open(folder.path()).unwrap();
        let said = format!("{} can not be read: Is a directory (os error 21)", path.display());
        assert!(!source.read_file(&mut |_, _, _| {}));
        assert_eq!(source.complaint(), Some(said));
        assert!(!source.finish(&mut |_, _, _| {}), "what is not read is counted");
        assert_eq!(source.complaint(), None);
        source.file = File::open(&path).unwrap();
        append(&path, "one\n");
        assert_eq!(lines(&mut source), whole(&["one"]));
        assert!(!source.failing);
    }

    #[test]
    fn a_pipe_is_read_as_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let mut source = Source::open(&path).unwrap();
        assert_eq!(lines(&mut source), whole(&[]));
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(lines(&mut source), whole(&["one"]));
        drop(writer);
        append(&path, "o\r\n");
        assert_eq!(lines(&mut source), whole(&["two"]));
    }

    #[test]
    fn a_long_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        append(&path, "");
        let mut source = Source::open(&path).unwrap();
        let long = "x".repeat(3 * PIECE);
        append(&path, &format!("{long}\n{}\nshort\n", &long[..LINE_BYTES]));
        let expected = [(long[..LINE_BYTES].to_owned(), true), (long[..LINE_BYTES].to_owned(), false)];
        assert_eq!(lines(&mut source), [&expected[..], &whole(&["short"])].concat());
    }

    proptest! {
        /// In whatever pieces a text is written, its lines are the same.
        #[test]
        fn pieces_do_not_matter(text in "[a\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let given = |pieces: &[&[u8]]| {
                let (mut line, mut all) = (Line::default(), vec![]);
                let mut give = |_: &Path, line: &[u8], cut: bool| all.push((line.to_vec(), cut));
                pieces.iter().for_each(|piece| line.add(piece, Path::new(""), &mut give));
                line.end(Path::new(""), &mut give);
                all
            };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = vec![];
            let mut from = 0;
            for at in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text.as_bytes()[from..at]);
                from = at;
            }
            prop_assert_eq!(given(&pieces), given(&[text.as_bytes()]));
        }
    }
}
