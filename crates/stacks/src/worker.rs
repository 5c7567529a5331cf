//! The thread that reads files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use context::{Symbol, Unresolved};
use event::Place;
use hashes::FileId;
use rustc_hash::FxHashSet;

use crate::elf::Elf;
use crate::find;

/// Questions that wait for their turn.
const QUEUE: usize = 1024;
/// Bytes of files that are held, copied, for what may be asked of them next.
const HELD: u64 = 64 << 20;

/// Places in one file, and where that may be found.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) file: FileId,
    pub(crate) places: Vec<Place>,
    /// An address where a process has it mapped.
    pub(crate) address: u64,
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// As it was executed or loaded by.
    pub(crate) path: Option<Arc<[u8]>>,
}

/// A place in a file, and the process by which that is to be found.
pub(crate) type Asked = (Place, u32);

type Answer = (Asked, Symbol);

/// The thread, as the others see it.
#[derive(Debug)]
pub(crate) struct Worker {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// By which processes: what one does not lead to, another may.
    asked: FxHashSet<Asked>,
}

impl Worker {
    pub(crate) fn start() -> std::io::Result<Worker> {
        let (questions, waiting) = sync_channel(QUEUE);
        let (tell, answers) = channel();
        std::thread::Builder::new().name("stacks".into()).spawn(move || work(&waiting, &tell))?;
        Ok(Worker { questions, answers, asked: FxHashSet::default() })
    }

    /// One that never answers.
    #[cfg(test)]
    pub(crate) fn stuck() -> Worker {
        let (questions, waiting) = sync_channel(QUEUE);
        let (tell, answers) = channel();
        std::mem::forget((waiting, tell));
        Worker { questions, answers, asked: FxHashSet::default() }
    }

    /// Whether there will be an answer.
    pub(crate) fn is_asked(&self, asked: &Asked) -> bool {
        self.asked.contains(asked)
    }

    /// Does not wait. Whether the question found a place in the queue.
    pub(crate) fn ask(&mut self, question: Question) -> bool {
        let asked: Vec<Asked> = question.places.iter().map(|place| (*place, question.pid)).collect();
        let sent = self.questions.try_send(question).is_ok();
        if sent {
            self.asked.extend(asked);
        }
        sent
    }

    /// The answers since the last time. Does not wait.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        let answers: Vec<_> = self.answers.try_iter().collect();
        for (asked, _) in &answers {
            self.asked.remove(asked);
        }
        answers
    }
}

fn work(questions: &Receiver<Question>, tell: &Sender<Answer>) {
    let mut files = Files::default();
    while let Ok(question) = questions.recv() {
        // What takes files apart is fed by whoever can execute one.
        let file = catch_unwind(AssertUnwindSafe(|| files.get(&question)));
        let file = file.unwrap_or(Err((Unresolved::Unreadable, None)));
        for place in question.places {
            let symbol = match &file {
                Ok(file) => {
                    let found = catch_unwind(AssertUnwindSafe(|| file.elf.function(place.offset)));
                    let function = found.unwrap_or(Err(Unresolved::Unreadable));
                    Symbol { path: Some(Arc::clone(&file.path)), function }
                }
                Err((reason, path)) => Symbol { path: path.clone(), function: Err(*reason) },
            };
            // Nobody wants to know any more when the receiver is gone.
            if tell.send(((place, question.pid), symbol)).is_err() {
                return;
            }
        }
    }
}

struct Opened {
    path: Arc<[u8]>,
    elf: Elf,
}

/// Why a file was not read, and its path, if that much is known.
type Unread = (Unresolved, Option<Arc<[u8]>>);

/// Files that were read, those first that were asked for last.
#[derive(Default)]
struct Files {
    held: Vec<(FileId, Rc<Opened>)>,
}

impl Files {
    fn get(&mut self, question: &Question) -> Result<Rc<Opened>, Unread> {
        if let Some(at) = self.held.iter().position(|(id, _)| *id == question.file) {
            self.held[..=at].rotate_right(1);
        } else {
            let (exact, path) = find::open(question).ok_or((Unresolved::Gone, None))?;
            let elf = Elf::copy(&exact).map_err(|reason| (reason, Some(Arc::clone(&path))))?;
            self.held.insert(0, (question.file, Rc::new(Opened { path, elf })));
            let mut bytes = 0;
            // The one at hand is kept in any case.
            self.held.retain(|(id, file)| {
                bytes += file.elf.bytes();
                bytes <= HELD || *id == question.file
            });
        }
        let first = self.held.first().map(|(_, file)| Rc::clone(file));
        first.ok_or((Unresolved::Gone, None))
    }
}
