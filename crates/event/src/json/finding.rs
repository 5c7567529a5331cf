//! A finding, as an event.

use super::text::{self, keyed_bytes, name, put, string};
use super::{Who, data, policies, source, workload};
use crate::{Event, Finding, Output, Threat};

/// What a finding's line has of an event: each part as it stands in the event's own line, with the comma before it.
pub trait Parts {
    /// The event's name.
    fn name(&self) -> &str;
    /// When: the value alone.
    fn timestamp(&self, out: &mut Vec<u8>);
    /// Policies that it matched, if any.
    fn policies(&self, out: &mut Vec<u8>);
    /// Who did it.
    fn workload(&self, out: &mut Vec<u8>);
    /// Its fields.
    fn data(&self, out: &mut Vec<u8>);
    /// Where it comes from.
    fn source(&self, out: &mut Vec<u8>);
}

/// An event of the stream.
struct Live<'a> {
    event: &'a Event<'a>,
    who: &'a dyn Who,
}

impl Parts for Live<'_> {
    fn name(&self) -> &str {
        self.event.definition.name
    }

    fn timestamp(&self, out: &mut Vec<u8>) {
        text::time(out, self.who.wall_time(self.event.header.time));
    }

    fn policies(&self, out: &mut Vec<u8>) {
        policies(out, self.event, self.who);
    }

    fn workload(&self, out: &mut Vec<u8>) {
        workload(out, self.event, self.who);
    }

    fn data(&self, out: &mut Vec<u8>) {
        data::write(out, self.event, self.who);
    }

    fn source(&self, out: &mut Vec<u8>) {
        source(out, self.event, self.who);
    }
}

/// Appends the finding's line, with its newline: that of the event that led to it, with the finding's name and fields, what it means
/// (`threat`), and what it was found in (`detected_from`), as Tracee's detectors have them; of several events that is the last, and those before
/// it are in `correlated`.
pub fn write_finding(out: &mut Vec<u8>, finding: &Finding<'_>, who: &dyn Who) {
    write_finding_of(out, finding, |event| Live { event, who });
}

/// As [`write_finding`], of events that are not decoded; `parts` gives those of one.
pub fn write_finding_of<'a, E, P: Parts>(
    out: &mut Vec<u8>,
    finding: &Finding<'a, E>,
    parts: impl Fn(&'a E) -> P,
) {
    let event = parts(finding.event);
    out.extend_from_slice(b"{\"timestamp\":");
    event.timestamp(out);
    out.extend_from_slice(b",\"id\":");
    string(out, finding.name);
    out.extend_from_slice(b",\"name\":");
    string(out, finding.name);
    event.policies(out);
    event.workload(out);
    out.extend_from_slice(b",\"data\":[");
    for (n, (field, value)) in finding.fields.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",{\"name\":" } else { b"{\"name\":" });
        string(out, field);
        out.push(b',');
        output(out, value);
        out.push(b'}');
    }
    out.push(b']');
    if let Some(of) = finding.threat {
        threat(out, of);
    }
    out.extend_from_slice(b",\"detector\":");
    string(out, finding.detector);
    out.extend_from_slice(b",\"detected_from\":");
    for between in finding.through {
        out.extend_from_slice(b"{\"name\":");
        string(out, between);
        out.extend_from_slice(b",\"parent\":");
    }
    out.extend_from_slice(b"{\"name\":");
    string(out, event.name());
    event.data(out);
    out.extend(std::iter::repeat_n(b'}', finding.through.len() + 1));
    if let Some(correlated) = finding.before {
        put(out, ",\"correlated\":{\"count\":", correlated.count);
        out.extend_from_slice(b",\"before\":[");
        for (n, before) in correlated.events.iter().map(parts).enumerate() {
            out.extend_from_slice(if n > 0 { b",{\"timestamp\":" } else { b"{\"timestamp\":" });
            before.timestamp(out);
            out.extend_from_slice(b",\"name\":");
            string(out, before.name());
            before.workload(out);
            before.data(out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    if finding.degraded {
        out.extend_from_slice(b",\"confidence\":\"degraded\"");
    }
    event.source(out);
    out.extend_from_slice(b"}\n");
}

fn threat(out: &mut Vec<u8>, threat: &Threat) {
    out.extend_from_slice(b",\"threat\":{");
    if let Some(of) = &threat.name {
        name(out, "name");
        string(out, of);
        out.push(b',');
    }
    name(out, "description");
    string(out, &threat.description);
    if threat.tactic.is_some() || threat.technique.is_some() {
        out.extend_from_slice(b",\"mitre\":{");
        if let Some(tactic) = &threat.tactic {
            out.extend_from_slice(b"\"tactic\":{\"name\":");
            string(out, tactic);
            out.push(b'}');
        }
        if let Some((id, of)) = &threat.technique {
            out.extend_from_slice(if threat.tactic.is_some() {
                b",\"technique\":{\"id\":"
            } else {
                b"\"technique\":{\"id\":"
            });
            string(out, id);
            if let Some(of) = of {
                out.extend_from_slice(b",\"name\":");
                string(out, of);
            }
            out.push(b'}');
            for (n, id) in threat.other_techniques.iter().enumerate() {
                out.extend_from_slice(if n == 0 { b",\"other_techniques\":[" } else { b"," });
                string(out, id);
            }
            if !threat.other_techniques.is_empty() {
                out.push(b']');
            }
        }
        out.push(b'}');
    }
    out.extend_from_slice(b",\"severity\":\"");
    out.extend_from_slice(threat.severity.name().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// The key of its type, and the value.
fn output(out: &mut Vec<u8>, value: &Output) {
    match value {
        Output::Unknown => out.extend_from_slice(b"\"quality\":\"unavailable\""),
        Output::Bool(true) => out.extend_from_slice(b"\"bool\":true"),
        Output::Bool(false) => out.extend_from_slice(b"\"bool\":false"),
        Output::Int(n) => match (i64::try_from(*n), u64::try_from(*n)) {
            (Ok(n), _) => put(out, "\"int64\":", n),
            (_, Ok(n)) => put(out, "\"u_int64\":", n),
            _ => keyed_bytes(out, "str", n.to_string().as_bytes()),
        },
        Output::Double(n) => {
            name(out, "double");
            // JSON has no other.
            let n = if n.is_finite() { *n } else { 0.0 };
            out.extend_from_slice(format!("{n:?}").as_bytes());
        }
        Output::Text { bytes, cut } => {
            keyed_bytes(out, "str", bytes);
            if *cut {
                out.extend_from_slice(b",\"quality\":\"truncated\"");
            }
        }
        Output::List(values) => {
            out.extend_from_slice(b"\"str_array\":{\"value\":[");
            for (n, value) in values.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                string(out, &value.to_string());
            }
            out.extend_from_slice(b"]}");
        }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Output::Unknown => f.write_str("?"),
            Output::Bool(b) => b.fmt(f),
            Output::Int(n) => n.fmt(f),
            Output::Double(n) => n.fmt(f),
            Output::Text { bytes, .. } => f.write_str(&String::from_utf8_lossy(bytes)),
            Output::List(values) => {
                for (n, value) in values.iter().enumerate() {
                    if n > 0 {
                        f.write_str(",")?;
                    }
                    value.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}
