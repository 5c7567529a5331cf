//! The table: an event as a line of columns, for people.

mod clock;
mod cut;
mod style;
mod text;
mod value;

use std::io::Write;

use event::json::Who;
use event::{Event, Finding, Origin, Output, names};

use clock::Clock;
use style::Style;

/// The columns: what stands above them, and how wide they are. The last one takes what is left.
const COLUMNS: [(&str, usize); 8] =
    [("TIME", 16), ("UID", 6), ("COMM", 16), ("PID", 7), ("TID", 7), ("RET", 16), ("EVENT", 25), ("ARGS", 0)];

/// How many digits of a container's id are shown.
const CONTAINER_DIGITS: usize = 12;

/// Writes lines of the table.
#[derive(Debug)]
pub struct Table {
    colour: bool,
    wide: bool,
    columns: Option<u16>,
    clock: Clock,
}

/// A field is left out: it says what another says for people, or is of use to a program only.
pub fn is_detail(event: &catalogue::Event, field: &catalogue::Field) -> bool {
    match (event.name, field.name) {
        ("security_inode_mknod", "dev") => false,
        (_, "dev" | "inode" | "ctime" | "inode_mode" | "interp" | "stdin_type" | "syscall_pathname") => true,
        (_, "duration" | "parent_start_time") => true,
        ("sched_process_exec", "new_cred" | "old_cred") => true,
        ("sched_process_fork", "start_time" | "child_cgroup" | "child_pid_ns") => true,
        ("sched_process_fork", name) => {
            name.starts_with("parent_") || name.contains("_ns_") || name.ends_with("_start_time")
        }
        _ => false,
    }
}

impl Table {
    /// A table with colour or without; a `wide` one is not cut at the terminal's width.
    pub fn new(colour: bool, wide: bool) -> Table {
        Table { colour, wide, columns: None, clock: Clock::local() }
    }

    /// Sets the width of the terminal; `None`: there is none, and lines are as long as they are.
    pub fn set_columns(&mut self, columns: Option<u16>) {
        self.columns = columns.filter(|_| !self.wide);
    }

    /// Appends the line above the columns.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        for (name, width) in COLUMNS {
            column(out, width, |out| out.extend_from_slice(name.as_bytes()));
        }
        self.end(out, begin);
    }

    /// Appends the line of an event.
    pub fn write_event(&mut self, out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
        let begin = out.len();
        let style = Style::of_family(event.definition.family);
        self.begin(out, event, who, (event.definition.name, style));
        for (field, value) in event.fields() {
            if value::is_shown(event.definition, field, &value) {
                self.key(out, field.name);
                value::write(out, event.format(field), &value, who, &mut self.clock);
                out.push(b' ');
            }
        }
        self.container(out, event, who);
        self.end(out, begin);
    }

    /// Appends the line of what a detector has found.
    pub fn write_finding(&mut self, out: &mut Vec<u8>, finding: &Finding<'_>, who: &dyn Who) {
        let begin = out.len();
        self.begin(out, finding.event, who, (finding.name, Style::Loss));
        if let Some(threat) = finding.threat {
            Style::Error
                .paint(out, self.colour, |out| out.extend_from_slice(threat.severity.name().as_bytes()));
            out.push(b' ');
            if let Some((id, _)) = &threat.technique {
                self.key(out, "technique");
                text::string(out, id.as_bytes());
                out.push(b' ');
            }
        }
        if let (true, Some(name)) = (finding.fields.is_empty(), finding.threat.and_then(|t| t.name.as_ref()))
        {
            self.key(out, "what");
            text::string(out, name.as_bytes());
            out.push(b' ');
        }
        for (name, value) in finding.fields.iter().filter(|(_, value)| *value != Output::Unknown) {
            self.key(out, name);
            match value {
                Output::Text { bytes, .. } => text::string(out, bytes),
                other => text::string(out, other.to_string().as_bytes()),
            }
            out.push(b' ');
        }
        if let Some(correlated) = finding.before {
            self.key(out, "count");
            text::number(out, correlated.count);
            out.push(b' ');
        }
        self.key(out, "from");
        out.extend_from_slice(finding.event.definition.name.as_bytes());
        out.push(b' ');
        self.container(out, finding.event, who);
        self.end(out, begin);
    }

    /// The columns: when, who, what.
    fn begin(&mut self, out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who, named: (&str, Style)) {
        let (header, colour) = (&event.header, self.colour);
        let known = header.origin != Origin::Unknown;
        let [time, uid, comm, pid, tid, ret, name, _] = COLUMNS.map(|(_, width)| width);

        Style::Time.column(out, colour, time, |out| self.clock.time(out, who.wall_time(header.time)));
        let id = |out: &mut Vec<u8>, width, id| match known {
            true => column(out, width, |out| text::number(out, id)),
            false => column(out, width, |out| out.push(b'?')),
        };
        id(out, uid, header.uid);
        column(out, comm, |out| if known { text::string(out, header.comm()) } else { out.push(b'?') });
        id(out, pid, header.pid);
        id(out, tid, header.tid);
        match header.ret {
            None => column(out, ret, |out| out.push(b'-')),
            Some(code) => match names::errno(code) {
                Some(error) => Style::Error.column(out, colour, ret, |out| {
                    out.push(b'-');
                    out.extend_from_slice(error.as_bytes());
                }),
                None => column(out, ret, |out| text::number(out, code)),
            },
        }
        named.1.column(out, colour, name, |out| text::string(out, named.0.as_bytes()));
    }

    fn container(&self, out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
        let (header, colour) = (&event.header, self.colour);
        if header.cgroup != 0
            && let Some(container) = who.container(header.cgroup)
        {
            self.key(out, "container");
            let id = container.id.as_bytes();
            Style::Container.paint(out, colour, |out| {
                text::string(out, id.get(..CONTAINER_DIGITS).unwrap_or(id));
                if let Some(name) = container.name {
                    out.push(b'/');
                    text::string(out, name.as_bytes());
                }
            });
        }
    }

    fn key(&self, out: &mut Vec<u8>, name: &str) {
        Style::Key.paint(out, self.colour, |out| {
            // Writing to a vector can not fail.
            let _ = write!(out, "{name}=");
        });
    }

    /// Ends the line that begins at `begin`.
    fn end(&self, out: &mut Vec<u8>, begin: usize) {
        let blanks = out.get(begin..).unwrap_or_default().iter().rev().take_while(|&&b| b == b' ').count();
        out.truncate(out.len() - blanks);
        if let Some(columns) = self.columns {
            cut::cut(out, begin, columns.into());
        }
        out.push(b'\n');
    }
}

/// A column of at least this width, and a space.
fn column(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    write(out);
    pad(out, begin, width);
}

fn pad(out: &mut Vec<u8>, begin: usize, width: usize) {
    let used = cut::width(out.get(begin..).unwrap_or_default());
    out.resize(out.len() + width.saturating_sub(used) + 1, b' ');
}

#[cfg(test)]
mod tests;
