//! The children of workers: which of them an event is about is known once the worker has written it down.

use std::collections::HashMap;

use event::Event;

use super::{Place, Trace, Worker, Wrong, torn};
use crate::script::{self, End, Kind};

/// A child's birth, execution or death, to be compared once the worker has written down which child it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) trace: Trace,
    pub(super) time: u64,
    pub(super) pid: u32,
    pub(super) start_time: u64,
    pub(super) code: u32,
    pub(super) signal: u32,
    /// The act, where the event itself says it.
    pub(super) act: Option<u32>,
    pub(super) program: Place,
}

impl Child {
    /// The child whose event it is.
    pub(super) fn of(event: &Event<'_>, trace: Trace, act: Option<u32>) -> Self {
        let header = &event.header;
        Child {
            trace,
            time: header.time,
            pid: header.pid,
            start_time: header.start_time,
            code: 0,
            signal: 0,
            act,
            program: (header.lane, header.probe),
        }
    }
}

/// Finds for each event of a child the act that made it, and compares them. A number may have been given to several children, one after
/// the other: then the one that was born last before the event.
pub(super) fn compare(worker: &mut Worker, told: &mut HashMap<(Trace, Place), u64>) -> Vec<(Child, Wrong)> {
    let journal = &worker.journal;
    let done = journal.done();
    let mut by_pid: HashMap<u32, Vec<(u64, u32)>> = HashMap::new();
    for act in 0..done {
        by_pid.entry(journal.outcome(act) as u32).or_default().push((journal.began(act).unwrap_or(0), act));
    }
    let mut births: HashMap<u32, u64> = HashMap::new();
    let mut wrong = vec![];
    worker.children.sort_by_key(|c| c.time);
    for child in std::mem::take(&mut worker.children) {
        let act = by_pid
            .get(&child.pid)
            .and_then(|acts| acts[..acts.partition_point(|a| a.0 <= child.time)].last())
            .map(|a| a.1);
        let Some(act) = act else {
            wrong.push((
                child,
                Wrong::Misattributed(format!("worker {} had no such child then", worker.part.worker)),
            ));
            continue;
        };
        let fault = if child.act.is_some_and(|a| a != act) {
            Some(Wrong::Misattributed(format!("it was act {:?}, but that child's is {act}", child.act)))
        } else if *births.entry(act).or_insert(child.start_time) != child.start_time {
            Some(Wrong::Misattributed(format!("born at {}, not {:?}", child.start_time, births.get(&act))))
        } else if child.trace == Trace::Exit && !ended_so(worker, act, &child) {
            Some(torn(format!("code {} signal {} for act {act}", child.code, child.signal)))
        } else if !worker.seen.entry(child.trace).or_default().insert(act) {
            Some(Wrong::Duplicated)
        } else {
            None
        };
        match fault {
            Some(fault) => wrong.push((child, fault)),
            None => *told.entry((child.trace, child.program)).or_default() += 1,
        }
    }
    wrong
}

fn ended_so(worker: &Worker, act: u32, child: &Child) -> bool {
    let number = worker.part.worker;
    let expected = match worker.part.kind {
        Kind::Exec => End::Code(script::arguments(number, act).len() as u8),
        _ => script::end(number, act),
    };
    match expected {
        End::Code(code) => (child.code, child.signal) == (code.into(), 0),
        End::Signal(signal) => (child.code, child.signal) == (0, signal as u32),
    }
}
