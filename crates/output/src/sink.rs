//! A sink: a buffer of whole lines, and the place that they are written to.

use std::io;

use event::json::{Who, write_event, write_finding};
use event::{Event, Finding};

use crate::number::Grouped;
use crate::table::Table;
use crate::writer::Writer;

/// A buffer that has more is flushed.
const BUFFER: usize = 64 * 1024;

/// What became of the events that a sink was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkCounts {
    /// The sink, as `FORMAT:PATH`.
    pub name: String,
    /// Given to the sink. Those that are neither written nor dropped are still in its buffer; after
    /// [`Outputs::finish`](crate::Outputs::finish) there are none.
    pub delivered: u64,
    /// Wholly written.
    pub written: u64,
    /// Not written, because writing failed.
    pub dropped: u64,
}

/// How a sink does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// What was written last went well.
    Well,
    /// What was written last failed, with this error. Every flush tries again.
    Failing(String),
    /// Nobody reads it any more.
    Closed,
}

/// What a line tells.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'a> {
    Event(&'a Event<'a>),
    Finding(&'a Finding<'a>),
}

/// How a sink writes an event.
#[derive(Debug)]
pub(crate) enum Formatter {
    Json,
    Table(Box<Table>),
}

/// A sink.
pub(crate) struct Sink {
    pub(crate) counts: SinkCounts,
    pub(crate) state: State,
    formatter: Formatter,
    writer: Box<dyn Writer>,
    /// Its end means the end of the program: nobody would come back to read it.
    ends: bool,
    buffer: Vec<u8>,
    /// Bytes at the buffer's start that are no event: the table's header.
    header: usize,
    /// Bytes at the buffer's start that end a line of which the beginning is already written.
    rest: usize,
    /// Dropped since the state is [`State::Failing`].
    dropped_since: u64,
}

impl Sink {
    pub(crate) fn new(name: String, formatter: Formatter, writer: Box<dyn Writer>, ends: bool) -> Sink {
        let mut sink = Sink {
            counts: SinkCounts { name, ..SinkCounts::default() },
            state: State::Well,
            formatter,
            writer,
            ends,
            buffer: Vec::with_capacity(2 * BUFFER),
            header: 0,
            rest: 0,
            dropped_since: 0,
        };
        if let Formatter::Table(table) = &mut sink.formatter {
            table.set_columns(sink.writer.columns());
            table.write_header(&mut sink.buffer);
            sink.header = sink.buffer.len();
        }
        sink
    }

    pub(crate) fn write(&mut self, told: Told<'_>, who: &dyn Who, messages: &mut Vec<String>) {
        self.counts.delivered += 1;
        if self.state == State::Closed {
            self.counts.dropped += 1;
            return;
        }
        let out = &mut self.buffer;
        match (&mut self.formatter, told) {
            (Formatter::Json, Told::Event(event)) => write_event(out, event, who),
            (Formatter::Json, Told::Finding(finding)) => write_finding(out, finding, who),
            (Formatter::Table(table), Told::Event(event)) => table.write_event(out, event, who),
            (Formatter::Table(table), Told::Finding(finding)) => table.write_finding(out, finding, who),
        }
        if self.buffer.len() > BUFFER {
            self.flush(messages);
        }
    }

    pub(crate) fn flush(&mut self, messages: &mut Vec<String>) {
        if self.buffer.is_empty() || self.state == State::Closed {
            return;
        }
        let (n, error) = self.write_buffer();
        let events = self.events_in(self.buffer.len());
        match error {
            None => {
                self.counts.written += events;
                self.buffer.clear();
                (self.header, self.rest) = (0, 0);
                self.well(messages);
            }
            Some(error) => {
                let dropped_before = self.counts.dropped;
                let kept = self.keep(n);
                let written = self.events_in(n);
                self.counts.written += written;
                self.counts.dropped += events - written - kept.events;
                self.dropped_since += self.counts.dropped - dropped_before;
                self.buffer.truncate(kept.end);
                self.buffer.drain(..kept.start);
                (self.header, self.rest) = (kept.header, kept.rest);
                self.fails(&error, messages);
            }
        }
        if let Formatter::Table(table) = &mut self.formatter {
            table.set_columns(self.writer.columns());
        }
    }

    /// Flushes, and gives up what could not be written: after that every event is either written or dropped.
    pub(crate) fn finish(&mut self, messages: &mut Vec<String>) {
        self.flush(messages);
        self.give_up();
    }

    fn give_up(&mut self) {
        self.counts.dropped += self.events_in(self.buffer.len());
        self.buffer.clear();
        (self.header, self.rest) = (0, 0);
    }

    /// Writes the buffer as far as that goes.
    fn write_buffer(&mut self) -> (usize, Option<io::Error>) {
        let mut n = 0;
        while let Some(rest) = self.buffer.get(n..).filter(|rest| !rest.is_empty()) {
            match self.writer.write(rest) {
                Ok(0) => return (n, Some(io::ErrorKind::WriteZero.into())),
                Ok(more) => n += more,
                Err(error) => return (n, Some(error)),
            }
        }
        (n, None)
    }

    /// Events of which the line ends in the first `n` bytes of the buffer.
    fn events_in(&self, n: usize) -> u64 {
        let events = self.buffer.get(self.header..n).unwrap_or_default();
        memchr::memchr_iter(b'\n', events).count() as u64
    }

    /// What stays in the buffer after only its first `n` bytes could be written: a line that is begun and can not be
    /// taken back, so that it must be ended before anything else; and a header that is still to come.
    fn keep(&mut self, n: usize) -> Kept {
        let done = self.buffer.get(..n).unwrap_or_default();
        let whole = memchr::memrchr(b'\n', done).map_or(0, |at| at + 1);
        let begun = if n < self.rest { self.rest > 0 } else { n > whole && !self.writer.cut(n - whole) };
        let in_header = whole < self.header;
        if begun {
            let end =
                memchr::memchr(b'\n', self.buffer.get(n..).unwrap_or_default()).map_or(n, |at| n + at + 1);
            let header = if in_header { end - n } else { 0 };
            return Kept { start: n, end, header, rest: end - n, events: u64::from(!in_header) };
        }
        let header = if in_header { self.header } else { 0 };
        Kept { start: 0, end: header, header, rest: 0, events: 0 }
    }

    fn well(&mut self, messages: &mut Vec<String>) {
        if self.state != State::Well {
            self.state = State::Well;
            messages.push(format!(
                "output {}: can be written again; dropped until then: {}",
                self.counts.name,
                Grouped(self.dropped_since)
            ));
            self.dropped_since = 0;
        }
    }

    fn fails(&mut self, error: &io::Error, messages: &mut Vec<String>) {
        if self.ends && error.kind() == io::ErrorKind::BrokenPipe {
            self.state = State::Closed;
            self.give_up();
            return;
        }
        let text = error.to_string();
        if !matches!(&self.state, State::Failing(before) if *before == text) {
            messages.push(format!(
                "output {}: {text}; events are dropped until it can be written again",
                self.counts.name
            ));
            self.state = State::Failing(text);
        }
    }
}

/// See [`Sink::keep`].
struct Kept {
    start: usize,
    end: usize,
    header: usize,
    rest: usize,
    events: u64,
}

#[cfg(test)]
mod tests;
