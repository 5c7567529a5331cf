//! The side that answers: threads for the socket, and questions for the watch.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::connect::connect;
use crate::{Error, LONGEST, Reply, Request, Row};

/// Clients at a time; others are told that there are too many.
const CLIENTS: usize = 8;
/// A client that does not ask, or does not take its answer, for so long is left.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions answered between two rounds of the watch.
const AT_ONCE: usize = 2;

/// An answer under construction: lines.
#[derive(Debug, Default)]
pub struct Answer {
    lines: Vec<u8>,
    rows: u64,
    notes: Vec<String>,
}

impl Answer {
    /// One thing more.
    pub fn row(&mut self, row: Row) {
        self.rows += 1;
        self.line(&Reply::Row(row));
    }

    /// What is to be known about the rows.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn line(&mut self, reply: &Reply) {
        // Writing to memory does not fail, and a map of strings and values has a form.
        if serde_json::to_writer(&mut self.lines, reply).is_ok() {
            self.lines.push(b'\n');
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let (rows, notes) = (self.rows, std::mem::take(&mut self.notes));
        self.line(&Reply::Done { rows, notes });
        self.lines
    }
}

fn refusal(why: &str) -> Vec<u8> {
    let mut answer = Answer::default();
    answer.line(&Reply::Error(why.into()));
    answer.lines
}

struct Question {
    request: Request,
    answer: SyncSender<Vec<u8>>,
}

/// A control socket; gone with this.
#[derive(Debug)]
pub struct Server {
    questions: Receiver<Question>,
    path: PathBuf,
    /// Device and inode number: another's in its place is not removed.
    made: Option<(u64, u64)>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.request.fmt(f)
    }
}

impl Server {
    /// Makes the socket, for this user and root only. One that a watch has left behind is replaced.
    ///
    /// # Errors
    ///
    /// Another watch has it, something else is there, or it can not be made.
    pub fn bind(path: &Path) -> Result<Server, Error> {
        let failed = |why: std::io::Error| Error::Bind { path: path.to_path_buf(), why };
        let listener = match listen(path) {
            Err(Errno::ADDRINUSE) => {
                clear(path)?;
                listen(path)
            }
            other => other,
        };
        let listener = UnixListener::from(listener.map_err(|e| failed(e.into()))?);
        let (ask, questions) = sync_channel(CLIENTS);
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || serve(&listener, &ask))
            .map_err(failed)?;
        Ok(Server { questions, path: path.to_path_buf(), made: identity(path) })
    }

    /// Answers what was asked since the last time, but not everything at once. Does not wait.
    pub fn serve(&self, mut answer: impl FnMut(Request, &mut Answer) -> Result<(), String>) {
        for question in self.questions.try_iter().take(AT_ONCE) {
            let mut lines = Answer::default();
            let lines = match answer(question.request, &mut lines) {
                Ok(()) => lines.finish(),
                Err(why) => refusal(&why),
            };
            // The client's thread waits for it, or has given up.
            let _ = question.answer.try_send(lines);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.made.is_some() && identity(&self.path) == self.made {
            // Nothing can be done about what is not removed: the next watch will.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

fn listen(path: &Path) -> Result<std::os::fd::OwnedFd, Errno> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The file gets the socket's own mode, so that there is no moment in which others may connect.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, CLIENTS as i32)?;
    Ok(socket)
}

/// Removes a socket at which nobody listens any more.
fn clear(path: &Path) -> Result<(), Error> {
    let failed = |why: std::io::Error| Error::Bind { path: path.to_path_buf(), why };
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    if !found.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_path_buf()));
    }
    match connect(path).map_err(|e| (e.kind(), e)) {
        Err((ErrorKind::ConnectionRefused, _)) => std::fs::remove_file(path).map_err(failed),
        Ok(_) | Err((ErrorKind::WouldBlock, _)) => Err(Error::Live(path.to_path_buf())),
        Err((_, e)) => Err(failed(e)),
    }
}

fn serve(listener: &UnixListener, ask: &SyncSender<Question>) {
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors: others will close theirs.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let place = Place::take(&clients);
        let ask = ask.clone();
        let talk = move || {
            // A client that breaks off has its reasons.
            let _ = talk(stream, place.is_some(), &ask);
        };
        // Without a thread the connection closes.
        let _ = std::thread::Builder::new().name("control".into()).spawn(talk);
    }
}

/// A client's place among all.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Place> {
        let place = Place(Arc::clone(clients));
        (clients.fetch_add(1, Ordering::Relaxed) < CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn talk(mut stream: UnixStream, place: bool, ask: &SyncSender<Question>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // The file's mode keeps others off; a descriptor may have been handed on, or the mode changed.
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.uid;
    if !peer.is_root() && peer != rustix::process::geteuid() {
        return stream.write_all(&refusal("not for this user"));
    }
    if !place {
        return stream.write_all(&refusal("too many clients at once"));
    }
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = vec![];
        (&mut lines).take(LONGEST).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return stream.write_all(&refusal("a question is a line, and no longer than 64 KiB"));
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => {
                let (answer, answered) = sync_channel(1);
                if ask.try_send(Question { request, answer }).is_err() {
                    return stream.write_all(&refusal("the watch has ended, or is asked too much"));
                }
                match answered.recv_timeout(PATIENCE) {
                    Ok(lines) => lines,
                    Err(_) => return stream.write_all(&refusal("the watch does not answer")),
                }
            }
            Err(error) => refusal(&format!("the question is not understood: {error}")),
        };
        stream.write_all(&answer)?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{Client, What};

    /// Asks while the server serves.
    fn ask(server: &Server, path: &Path, request: &Request) -> Result<(Vec<Row>, Vec<String>), Error> {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut rows = vec![];
                let notes = Client::connect(path)?.ask(request, |row| rows.push(row))?;
                Ok((rows, notes))
            });
            while !asking.is_finished() {
                server.serve(|request, answer| match request {
                    Request::Query { what: What::User, filters } => {
                        for filter in filters {
                            answer.row(Row::from_iter([("filter".to_string(), filter.into())]));
                        }
                        answer.note("noted".into());
                        Ok(())
                    }
                    other => Err(format!("no {other:?}")),
                });
                std::thread::yield_now();
            }
            asking.join().unwrap()
        })
    }

    #[test]
    fn a_question_and_its_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let server = Server::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let filters = vec!["uid=0".to_string(), "name=ro*".to_string()];
        let (rows, notes) =
            ask(&server, &path, &Request::Query { what: What::User, filters: filters.clone() }).unwrap();
        let told: Vec<_> = rows.iter().map(|r| r["filter"].as_str().unwrap().to_string()).collect();
        assert_eq!((told, notes), (filters, vec!["noted".to_string()]));
        let refused = ask(&server, &path, &Request::Tree { at: 5 });
        assert!(matches!(refused, Err(Error::Refused(why)) if why == "no Tree { at: 5 }"));
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn stale_sockets_are_replaced_and_live_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let server = Server::bind(&path).unwrap();
        assert!(matches!(Server::bind(&path), Err(Error::Live(p)) if p == path));
        // Still the first one's.
        assert!(ask(&server, &path, &Request::Query { what: What::User, filters: vec![] }).is_ok());
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(Server::bind(&file), Err(Error::NotASocket(_))));
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
        // Another's in its place is not removed.
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        std::fs::write(&path, "x").unwrap();
        drop(server);
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let _server = Server::bind(&path).unwrap();
        let say = |bytes: &[u8]| {
            let mut stream = UnixStream::connect(&path).unwrap();
            // It may have hung up before it has read all.
            let _ = stream.write_all(bytes);
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            line
        };
        for wrong in
            [&b"\n"[..], b"{}\n", b"{\"reboot\":{}}\n", b"\xff\xfe\n", b"{\"query\":{\"what\":\"moon\"}}\n"]
        {
            assert!(say(wrong).starts_with("{\"error\":\"the question is not understood"), "{wrong:?}");
        }
        assert!(say(&vec![b' '; LONGEST as usize]).contains("no longer than"));
    }

    /// A watch that was stopped accepts nobody, and has its socket all the same.
    #[test]
    fn one_that_does_not_accept_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let _stopped = listen(&path).unwrap();
        let mut waiting = vec![];
        while let Ok(stream) = connect(&path) {
            waiting.push(stream);
        }
        assert!(waiting.len() > CLIENTS);
        assert!(matches!(Server::bind(&path), Err(Error::Live(_))));
        let asked = crate::client::connect_within(&path, Duration::from_millis(100));
        assert!(matches!(asked, Err(Error::Hangs(_))));
    }

    #[test]
    fn clients_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let server = Server::bind(&path).unwrap();
        let held: Vec<UnixStream> = (0..CLIENTS).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let request = Request::Query { what: What::User, filters: vec![] };
        assert!(
            matches!(ask(&server, &path, &request), Err(Error::Refused(why)) if why.contains("too many"))
        );
        drop(held);
        while ask(&server, &path, &request).is_err() {}
    }
}
