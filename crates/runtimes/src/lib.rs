//! What container runtimes call their containers: asked of Docker and podman by HTTP, of containerd and CRI-O by gRPC, over their
//! sockets.
//!
//! A runtime may be down, hang, or answer anything. So they are asked by a thread of their own, that takes questions from a bounded
//! queue: [`Runtimes::ask`] never waits, and answers come by [`Runtimes::replies`] when they come. Each attempt has a deadline, each
//! answer a limit, and what is not told in time stays unknown.
//!
//! A container's cgroup is made before its runtime can tell of it, so a runtime that does not know it yet is asked again.

mod containerd;
mod cri;
mod docker;
mod error;
mod kubernetes;
mod transport;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use context::{Names, Runtime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout};

pub use error::Error;

/// Questions that wait for their turn; those beyond are refused.
const QUEUE: usize = 4096;
/// Questions that are being asked, most of them waiting for their next attempt.
const UNDER_WAY: usize = 1024;
/// Connections to one runtime at a time.
const CONNECTIONS: usize = 8;
/// Time for one attempt at one runtime, from connecting on.
const DEADLINE: Duration = Duration::from_secs(2);
/// A runtime that let a deadline pass is left alone for that long.
const REST: Duration = Duration::from_secs(10);
/// Pauses before the attempts.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
];

/// Where the runtimes are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// Docker.
    pub docker: PathBuf,
    /// containerd.
    pub containerd: PathBuf,
    /// CRI-O.
    pub crio: PathBuf,
    /// podman.
    pub podman: PathBuf,
}

impl Default for Sockets {
    /// Where each has it unless told otherwise.
    fn default() -> Sockets {
        Sockets {
            docker: "/run/docker.sock".into(),
            containerd: "/run/containerd/containerd.sock".into(),
            crio: "/run/crio/crio.sock".into(),
            podman: "/run/podman/podman.sock".into(),
        }
    }
}

/// What comes of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What a container is called.
    Named {
        /// The container's id.
        id: Box<str>,
        /// Its names.
        names: Names,
    },
    /// Why a runtime could not be asked: said once of each.
    Complaint(String),
}

/// The thread that asks. It ends when this is dropped.
#[derive(Debug)]
pub struct Runtimes {
    questions: Sender<Question>,
    replies: std::sync::mpsc::Receiver<Reply>,
    refused: u64,
}

#[derive(Debug)]
struct Question {
    id: Box<str>,
    runtime: Runtime,
}

impl Runtimes {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread or an epoll instance.
    pub fn start(sockets: &Sockets) -> std::io::Result<Runtimes> {
        let (questions, asked) = channel(QUEUE);
        let (reply, replies) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asker = Arc::new(Asker {
            docker: Endpoint::new("docker", &sockets.docker),
            containerd: Endpoint::new("containerd", &sockets.containerd),
            crio: Endpoint::new("crio", &sockets.crio),
            podman: Endpoint::new("podman", &sockets.podman),
            reply,
        });
        std::thread::Builder::new()
            .name("runtimes".into())
            .spawn(move || runtime.block_on(serve(asker, asked)))?;
        Ok(Runtimes { questions, replies, refused: 0 })
    }

    /// Asks what a container is called, if its runtime is one that can be asked. Does not wait.
    pub fn ask(&mut self, id: &str, runtime: Runtime) {
        if is_askable(id) && self.questions.try_send(Question { id: id.into(), runtime }).is_err() {
            self.refused += 1;
        }
    }

    /// What was answered since this was last called. Does not wait.
    pub fn replies(&self) -> impl Iterator<Item = Reply> {
        self.replies.try_iter()
    }

    /// How many questions found no place in the queue.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// An id that can stand in a URL; those of runtimes that are asked all can.
fn is_askable(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

async fn serve(asker: Arc<Asker>, mut asked: Receiver<Question>) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    while let Ok(place) = Arc::clone(&under_way).acquire_owned().await
        && let Some(question) = asked.recv().await
    {
        let asker = Arc::clone(&asker);
        tokio::spawn(async move {
            asker.pursue(&question).await;
            drop(place);
        });
    }
}

struct Asker {
    docker: Endpoint,
    containerd: Endpoint,
    crio: Endpoint,
    podman: Endpoint,
    reply: std::sync::mpsc::Sender<Reply>,
}

impl Asker {
    /// Those that may know a container of that runtime.
    fn endpoints(&self, runtime: Runtime) -> Vec<&Endpoint> {
        match runtime {
            Runtime::Docker => vec![&self.docker],
            Runtime::Containerd => vec![&self.containerd],
            Runtime::Crio => vec![&self.crio],
            Runtime::Podman => vec![&self.podman],
            Runtime::Unknown => vec![&self.containerd, &self.crio, &self.docker, &self.podman],
            Runtime::Lxc | Runtime::Nspawn | Runtime::Garden => vec![],
        }
    }

    /// Asks until one knows, or the attempts are used up.
    async fn pursue(&self, question: &Question) {
        let endpoints = self.endpoints(question.runtime);
        for pause in PAUSES {
            sleep(pause).await;
            for endpoint in &endpoints {
                match endpoint.ask(&question.id).await {
                    Ok(Some(names)) => {
                        // The receiver is gone only when nobody wants to know any more.
                        let _ = self.reply.send(Reply::Named { id: question.id.clone(), names });
                        return;
                    }
                    Ok(None) => {}
                    // That one of those that may have it is not there is no news.
                    Err(error) if error.is_absence() && endpoints.len() > 1 => {}
                    Err(error) => {
                        if let Some(complaint) = endpoint.complaint(&error) {
                            let _ = self.reply.send(Reply::Complaint(complaint));
                        }
                    }
                }
            }
        }
    }
}

/// A runtime.
struct Endpoint {
    name: &'static str,
    socket: PathBuf,
    connections: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It let a deadline pass: not to be asked until then.
    rests: Option<Instant>,
    complained: bool,
}

impl Endpoint {
    fn new(name: &'static str, socket: &std::path::Path) -> Endpoint {
        Endpoint {
            name,
            socket: socket.to_path_buf(),
            connections: Semaphore::new(CONNECTIONS),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, id: &str) -> Result<Option<Names>, Error> {
        let Ok(_connection) = self.connections.acquire().await else { return Ok(None) };
        if self.state().rests.is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        let names = async {
            match self.name {
                "containerd" => containerd::names(&self.socket, id).await,
                "crio" => cri::names(&self.socket, id).await,
                _ => docker::names(&self.socket, id).await,
            }
        };
        let names = timeout(DEADLINE, names).await.unwrap_or_else(|_| {
            self.state().rests = Some(Instant::now() + REST);
            Err(Error::Slow)
        })?;
        // Containers that another runtime has made through this one have no name here.
        Ok(names.filter(|n| *n != Names::default()))
    }

    /// What is to be said, the first time.
    fn complaint(&self, error: &Error) -> Option<String> {
        if std::mem::replace(&mut self.state().complained, true) {
            return None;
        }
        let (name, socket) = (self.name, self.socket.display());
        Some(format!(
            "{name} does not tell names of containers: {socket}: {error}; --enrichment container.{name}.socket=PATH names another socket"
        ))
    }
}

/// A string that can be a name: a runtime may answer anything.
fn name(text: impl AsRef<str>) -> Option<Box<str>> {
    let text = text.as_ref();
    (!text.is_empty() && text.len() <= context::NAME_BYTES && !text.contains('\0')).then(|| text.into())
}

#[cfg(test)]
mod tests;
