//! From events to what the tables learn.

use catalogue::{Lane, Quality};
use event::{Event, Header, Origin, Value};

use crate::containers::{Change, Containers};
use crate::process::{Birth, Called, ProcessKey, Sighting};
use crate::processes::Processes;

/// The process whose identity a header carries; `None` where it is nobody's.
pub fn process_of(header: &Header) -> Option<ProcessKey> {
    match header.origin {
        Origin::Current | Origin::Owner | Origin::Listener => {
            ProcessKey::new(header.pid, header.leader_start_time)
        }
        Origin::Unknown => None,
    }
}

/// The process that an event made: of `sched_process_fork`, unless what it made is a thread.
pub fn born(event: &Event<'_>) -> Option<ProcessKey> {
    if event.definition.name != "sched_process_fork" {
        return None;
    }
    let (pid, tid) = (number(event, "child_pid")?, number(event, "child_tid")?);
    if pid != tid {
        return None;
    }
    ProcessKey::new(u32::try_from(pid).ok()?, number(event, "start_time")?)
}

pub(crate) fn observe(
    processes: &mut Processes,
    containers: &mut Containers,
    event: &Event<'_>,
) -> Option<Change> {
    let who = sighting(&event.header);
    let life = event.definition.lane == Lane::Life;
    if life && lifetime(processes, event, who.as_ref()) {
        return None;
    }
    match (who, event.header.origin) {
        (Some(s), Origin::Current) => processes.seen(&s),
        // Taken down when the socket was made.
        (Some(s), Origin::Owner | Origin::Listener) => processes.glimpsed(&s),
        _ => {}
    }
    if life { cgroup(containers, event) } else { None }
}

/// What the making and the removal of a cgroup tell.
fn cgroup(containers: &mut Containers, event: &Event<'_>) -> Option<Change> {
    let tell = match event.definition.name {
        "cgroup_mkdir" => Containers::made,
        "cgroup_rmdir" => Containers::removed,
        _ => return None,
    };
    let path = String::from_utf8_lossy(path(event, "cgroup_path")?);
    tell(containers, small(event, "hierarchy_id")?, number(event, "cgroup_id")?, &path)
}

/// What the events of birth, execution and end tell; false when nothing was learned of the event's own process.
fn lifetime(processes: &mut Processes, event: &Event<'_>, who: Option<&Sighting>) -> bool {
    match (event.definition.name, who) {
        ("sched_process_fork", Some(s)) => {
            let Some(key) = born(event) else { return false };
            let birth = Birth {
                key,
                parent: other(event, "up_pid", "up_start_time"),
                cgroup: number(event, "child_cgroup").unwrap_or(s.cgroup),
                pid_ns: small(event, "child_pid_ns").unwrap_or(s.pid_ns),
                ns_pid: small(event, "child_ns_pid").unwrap_or(0),
            };
            processes.fork(s, &birth);
            true
        }
        ("sched_process_exec", Some(s)) => {
            processes.exec(s, path(event, "pathname"), event.header.time);
            if let Some(called) = called(event) {
                processes.called(s, called);
            }
            true
        }
        ("sched_process_exit", Some(s)) => {
            let whole = event.field_by_name("process_group_exit").and_then(|f| f.value?.as_bool());
            if whole == Some(true) {
                processes.exit(s, event.header.time);
            }
            whole == Some(true)
        }
        ("existing_process", Some(s)) => {
            let parent =
                number(event, "parent_start_time").and_then(|t| ProcessKey::new(event.header.ppid, t));
            processes.existing(&Sighting { parent: parent.or(s.parent), ..*s }, path(event, "pathname"));
            true
        }
        _ => false,
    }
}

/// How a program was called, by the event of its execution.
fn called(event: &Event<'_>) -> Option<Called> {
    let field = event.field_by_name("argv")?;
    let Some(Value::StrArray(list)) = field.value else { return None };
    let cut = match field.quality {
        Quality::Ok => false,
        Quality::Truncated => true,
        _ => return None,
    };
    Some(Called::with(path(event, "cmdpath").unwrap_or_default(), list.raw(), cut))
}

fn sighting(h: &Header) -> Option<Sighting> {
    Some(Sighting {
        key: process_of(h)?,
        parent: ProcessKey::new(h.ppid, h.parent_start_time),
        comm: h.comm,
        leader: h.pid == h.tid,
        uid: h.uid,
        cgroup: h.cgroup,
        mnt_ns: h.mnt_ns,
        pid_ns: h.pid_ns,
        ns_pid: h.ns_pid,
        exec_id: h.exec_id,
    })
}

fn number(event: &Event<'_>, field: &str) -> Option<u64> {
    event.field_by_name(field)?.value?.as_u64()
}

fn small(event: &Event<'_>, field: &str) -> Option<u32> {
    u32::try_from(number(event, field)?).ok()
}

fn other(event: &Event<'_>, pid: &str, start_time: &str) -> Option<ProcessKey> {
    ProcessKey::new(small(event, pid)?, number(event, start_time)?)
}

/// A path or string that is whole: a part of a path is another path.
fn path<'a>(event: &Event<'a>, field: &str) -> Option<&'a [u8]> {
    let field = event.field_by_name(field)?;
    field.value.filter(|_| field.quality == Quality::Ok)?.as_bytes().filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use event::build::RecordBuilder;

    use super::*;
    use crate::{BootId, Clock, Context, Hierarchy};

    fn context() -> Context {
        Context::with(
            Processes::new(100),
            Containers::with(Hierarchy::V2 { root: "/none".into() }, 100),
            Clock::fixed(BootId([1; 16]), "host", 0, 0),
        )
    }

    fn header(pid: u32, start: u64, ppid: u32, parent_start: u64, comm: &str) -> Header {
        let mut h = Header::unknown(start + 100);
        h.origin = Origin::Current;
        (h.pid, h.tid, h.ppid) = (pid, pid, ppid);
        (h.start_time, h.leader_start_time, h.parent_start_time) = (start, start, parent_start);
        h.comm[..comm.len()].copy_from_slice(comm.as_bytes());
        h
    }

    /// Builds an event from `field=value` pairs and shows it to the context.
    fn tell(
        c: &mut Context,
        name: &str,
        h: Header,
        numbers: &[(&str, u64)],
        strings: &[(&str, &str)],
    ) -> Option<ProcessKey> {
        let definition = catalogue::event(name).unwrap();
        let place = |f: &str| definition.fields.iter().position(|x| x.name == f).unwrap();
        let mut b = RecordBuilder::new(definition, h);
        for &(field, value) in numbers {
            let at = place(field);
            b = match definition.fields[at].ty {
                catalogue::Type::U64 | catalogue::Type::Time => b.put_u64(at as u8, value),
                _ => b.put_u32(at as u8, value as u32),
            };
        }
        for &(field, value) in strings {
            b = b.put_str(place(field) as u8, value.as_bytes(), Quality::Ok);
        }
        let record = b.finish();
        let event = Event::decode(&record).unwrap();
        c.observe(&event);
        born(&event)
    }

    #[test]
    fn a_life_told_by_events() {
        let mut c = context();
        let shell = header(10, 1000, 1, 5, "sh");
        tell(&mut c, "existing_process", shell, &[("parent_start_time", 5)], &[("pathname", "/bin/sh")]);
        let fork = [
            ("child_pid", 20),
            ("child_tid", 20),
            ("start_time", 2000),
            ("clone_thread", 0),
            ("child_cgroup", 77),
            ("up_pid", 10),
            ("up_start_time", 1000),
        ];
        let child = tell(&mut c, "sched_process_fork", shell, &fork, &[]).unwrap();
        assert_eq!(c.processes.get(child).unwrap().executable(), Some(&b"/bin/sh"[..]));
        let thread = [("child_pid", 10), ("child_tid", 21), ("start_time", 2001), ("clone_thread", 1)];
        assert_eq!(tell(&mut c, "sched_process_fork", shell, &thread, &[]), None);
        assert_eq!(c.processes.len(), 2);

        let ls = Header { cgroup: 77, ..header(20, 2000, 10, 1000, "ls") };
        tell(&mut c, "sched_process_exec", ls, &[], &[("pathname", "/bin/ls")]);
        let p = c.processes.get(child).unwrap();
        assert_eq!((p.comm(), p.executable(), p.cgroup()), (&b"ls"[..], Some(&b"/bin/ls"[..]), 77));
        tell(&mut c, "sched_process_exit", ls, &[("process_group_exit", 0)], &[]);
        assert_eq!(c.processes.get(child).unwrap().exit_time(), None);
        tell(&mut c, "sched_process_exit", ls, &[("process_group_exit", 1)], &[]);
        assert_eq!(c.processes.get(child).unwrap().exit_time(), Some(2100));
        let up: Vec<u32> = c.processes.ancestors(child, 9).map(|a| a.key.pid).collect();
        assert_eq!(up, [10, 1]);
    }

    #[test]
    fn how_a_program_was_called_is_kept_and_handed_on() {
        let mut c = context();
        let exec = |c: &mut Context, h: Header, words: &[&[u8]], quality| {
            let definition = catalogue::event("sched_process_exec").unwrap();
            let place = |f: &str| definition.fields.iter().position(|x| x.name == f).unwrap() as u8;
            let record = RecordBuilder::new(definition, h)
                .put_str(place("cmdpath"), b"/bin/sh", Quality::Ok)
                .put_str_array(place("argv"), words, quality)
                .finish();
            c.observe(&Event::decode(&record).unwrap());
        };
        let called = |c: &Context, h: Header| {
            let called = c.processes.get(process_of(&h)?)?.called()?;
            Some((called.path().to_vec(), called.line().0.to_vec(), called.line().1))
        };
        let shell = header(10, 1000, 1, 5, "sh");
        exec(&mut c, shell, &[b"sh", b"-c", b"a b"], Quality::Ok);
        let line = Some((b"/bin/sh".to_vec(), b"sh -c a b".to_vec(), false));
        assert_eq!(called(&c, shell), line);
        let fork = [
            ("child_pid", 20),
            ("child_tid", 20),
            ("start_time", 2000),
            ("up_pid", 10),
            ("up_start_time", 1000),
        ];
        tell(&mut c, "sched_process_fork", shell, &fork, &[]).unwrap();
        let child = header(20, 2000, 10, 1000, "sh");
        assert_eq!(called(&c, child), line);
        // Of a long one the beginning is kept, and so it is of one that the kernel cut.
        exec(&mut c, child, &[&[b'x'; 5000]], Quality::Ok);
        assert_eq!(called(&c, child).map(|(_, line, cut)| (line.len(), cut)), Some((2048, true)));
        exec(&mut c, child, &[b"x"], Quality::Truncated);
        assert_eq!(called(&c, child).map(|(_, line, cut)| (line, cut)), Some((b"x".to_vec(), true)));
        // What it runs now was not told.
        c.processes.seen(&Sighting { exec_id: 9, ..sighting(&child).unwrap() });
        assert_eq!(called(&c, child), None);
        assert_eq!(called(&c, shell), line);
    }

    #[test]
    fn the_unknown_is_learned_from_any_header() {
        let mut c = context();
        tell(&mut c, "setns", header(30, 3000, 10, 1000, "x"), &[], &[]);
        let p = c.processes.by_pid(30).unwrap();
        assert_eq!((p.comm(), p.parent(), p.executable()), (&b"x"[..], ProcessKey::new(10, 1000), None));
        tell(
            &mut c,
            "setns",
            Header { origin: Origin::Unknown, ..header(31, 3000, 10, 1000, "x") },
            &[],
            &[],
        );
        tell(&mut c, "setns", header(0, 0, 0, 0, "swapper"), &[], &[]);
        assert_eq!(c.processes.len(), 1);
        tell(&mut c, "setns", Header { origin: Origin::Owner, ..header(30, 3000, 1, 1, "old") }, &[], &[]);
        assert_eq!(c.processes.by_pid(30).unwrap().comm(), b"x");
    }

    #[test]
    fn containers_come_and_go() {
        let mut c = context();
        let path = format!("/docker/{}", "a".repeat(64));
        let made = [("cgroup_id", 5), ("hierarchy_id", 0)];
        tell(&mut c, "cgroup_mkdir", header(1, 1, 0, 0, "dockerd"), &made, &[("cgroup_path", &path)]);
        assert!(c.containers.container(5).is_some_and(|c| c.is_new()) && c.processes.len() == 1);
        tell(&mut c, "cgroup_rmdir", header(1, 1, 0, 0, "dockerd"), &made, &[("cgroup_path", &path)]);
        assert!(c.containers.cgroup(5).is_some_and(|c| c.is_removed()));
    }
}
