//! What has to be the same: fields, times, identities.

use catalogue::Quality;
use event::{Event, Header, Origin, SockAddr, Value};

use super::{Trace, Verdict, Worker, Wrong, torn};
use crate::script;

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn bytes<'a>(event: &Event<'a>, field: usize) -> &'a [u8] {
    event.field(field).value.and_then(|v| v.as_bytes()).unwrap_or_default()
}

pub(super) fn number(event: &Event<'_>, field: usize) -> Option<u64> {
    event.field(field).value.and_then(|v| v.as_u64())
}

/// A field that says of itself that it could not be read is not a wrong one.
fn says_so(event: &Event<'_>, field: usize) -> bool {
    matches!(event.field(field).quality, Quality::Unavailable | Quality::Faulted)
}

fn name_of(event: &Event<'_>, field: usize) -> &'static str {
    event.definition.fields.get(field).map_or("?", |f| f.name)
}

pub(super) fn same_bytes(event: &Event<'_>, field: usize, expected: &[u8]) -> Verdict {
    let value = bytes(event, field);
    if value == expected || says_so(event, field) {
        return Ok(());
    }
    Err(torn(format!("{} is {:?}, not {:?}", name_of(event, field), lossy(value), lossy(expected))))
}

pub(super) fn same_number<T: PartialEq + std::fmt::Debug>(
    event: &Event<'_>,
    field: usize,
    of: impl Fn(u64) -> T,
    expected: T,
) -> Verdict {
    let value = number(event, field).map(of);
    if value.as_ref() == Some(&expected) || says_so(event, field) {
        return Ok(());
    }
    Err(torn(format!("{} is {value:?}, not {expected:?}", name_of(event, field))))
}

pub(super) fn act_of_address(event: &Event<'_>, field: usize) -> Option<(u8, u32)> {
    match event.field(field).value {
        Some(Value::Sockaddr(SockAddr::Inet { addr, port })) => script::act_of_address(addr, port),
        _ => None,
    }
}

pub(super) fn from_localhost(event: &Event<'_>, field: usize) -> Verdict {
    match event.field(field).value {
        Some(Value::Sockaddr(SockAddr::Inet { addr, port })) if addr.is_loopback() && port != 0 => Ok(()),
        other => Err(torn(format!("{} is {other:?}", name_of(event, field)))),
    }
}

/// The event was when the act was: after it began, and, but for packets that nobody waits for, before the next one began.
pub(super) fn same_time(of: &Worker, time: u64, act: u32, trace: Trace) -> Verdict {
    let began = of.journal.began(act);
    let next = act.checked_add(1).and_then(|n| of.journal.began(n)).unwrap_or(u64::MAX);
    let waits = !matches!(trace, Trace::DnsIngress | Trace::Incoming);
    if began.is_some_and(|t| t <= time) && (time <= next || !waits) {
        return Ok(());
    }
    Err(torn(format!("time {time} of act {act}, which was from {began:?} to {next}")))
}

/// Everything that the header says of the task is the worker's.
pub(super) fn same_task(of: &Worker, event: &Event<'_>, pid: u32) -> Verdict {
    let Some(reference) = &of.header else { return Ok(()) };
    let header = &event.header;
    if header.origin == Origin::Unknown {
        return Err(Wrong::Misattributed("nobody's".into()));
    }
    let own =
        |h: &Header| (h.start_time, h.leader_start_time, h.parent_start_time, h.pid, h.tid, h.ppid, h.comm);
    let ns = |h: &Header| (h.ns_pid, h.ns_tid, h.ns_ppid, h.exec_id);
    if own(header) != own(reference) || ns(header) != ns(reference) || header.pid != pid {
        let text = format!("by pid {} ({}), not {pid}", header.pid, lossy(header.comm()));
        return Err(Wrong::Misattributed(text));
    }
    same_place(of, header, reference)
}

/// The event's task is a child of that worker, of one of those names.
pub(super) fn child_of(of: &Worker, event: &Event<'_>, names: &[&str]) -> Verdict {
    let Some(reference) = &of.header else { return Ok(()) };
    let header = &event.header;
    let expected = (of.pid, reference.leader_start_time, reference.ns_pid);
    if (header.ppid, header.parent_start_time, header.ns_ppid) != expected {
        return Err(Wrong::Misattributed(format!("by a child of {}, not of {}", header.ppid, of.pid)));
    }
    // One program more than the worker's, once it has executed it.
    let executed = u64::from(header.comm() == script::PROGRAM.as_bytes());
    if header.exec_id != reference.exec_id + executed {
        let text = format!("by one that runs program {}, worker: {}", header.exec_id, reference.exec_id);
        return Err(Wrong::Misattributed(text));
    }
    // The kernel cuts names at 15 bytes.
    if header.tid != header.pid
        || !names.iter().any(|n| n.as_bytes().get(..15).unwrap_or(n.as_bytes()) == header.comm())
    {
        return Err(Wrong::Misattributed(format!("by {} (pid {})", lossy(header.comm()), header.pid)));
    }
    same_place(of, header, reference)
}

/// Users, groups, namespaces and the cgroup are the worker's, and the CPU is one that it may run on.
fn same_place(of: &Worker, header: &Header, reference: &Header) -> Verdict {
    let ids = |h: &Header| {
        [
            h.uid,
            h.gid,
            h.euid,
            h.egid,
            h.mnt_ns,
            h.pid_ns,
            h.net_ns,
            h.uts_ns,
            h.ipc_ns,
            h.user_ns,
            h.cgroup_ns,
        ]
    };
    if ids(header) != ids(reference) || header.cgroup != reference.cgroup {
        return Err(Wrong::Misattributed(format!("with ids {:?}, not {:?}", ids(header), ids(reference))));
    }
    if header.origin == Origin::Current && !of.part.cpus.contains(&header.cpu) {
        return Err(Wrong::Misattributed(format!("on CPU {}, not one of {:?}", header.cpu, of.part.cpus)));
    }
    Ok(())
}
