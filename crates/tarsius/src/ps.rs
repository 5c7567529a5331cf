//! `tarsius ps`: the processes that there are, by the kernel's own list of its tasks.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::ExitCode;

use context::{Context, Process, ProcessKey};
use event::Event;
use event::json::Who as _;
use jiff::{Timestamp, tz::TimeZone};
use kernel::Features;
use sensor::Sensor;

use crate::cli::Ps;
use crate::events::{print, table};
use crate::query;

/// How many digits of a container's id are shown, as container runtimes do.
pub(crate) const CONTAINER_DIGITS: usize = 12;

/// Reads the tasks once, and lists the processes.
pub(crate) fn run(options: &Ps) -> anyhow::Result<ExitCode> {
    if let Some(at) = options.at {
        return query::tree(&options.control, at, options.tree);
    }
    let features = Features::probe();
    let mut context = Context::new()?;
    let sensor_options = sensor::Options {
        subsys: sensor::subsys_of(context.containers.hierarchy().controller())?,
        include_self: true,
        ..sensor::Options::default()
    };
    let wanted = |e: &catalogue::Event| e.id == catalogue::fields::existing_process::EVENT_ID;
    let mut sensor = Sensor::start(&features, &sensor_options, wanted)?;
    sensor.existing(|record| {
        if let Ok(event) = Event::decode(record) {
            context.observe(&event);
        }
    })?;
    let all: Vec<&Process> = context.processes.iter().collect();
    let rows = if options.tree { tree(&context, &all) } else { list(&all) };
    show(&context, &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// By pid, none deeper than another.
fn list<'a>(all: &[&'a Process]) -> Vec<(usize, &'a Process)> {
    let mut all = all.to_vec();
    all.sort_by_key(|p| p.key().pid);
    all.into_iter().map(|p| (0, p)).collect()
}

/// Each followed by what it made, in the order of their starts; with how many ancestors it has in the list.
///
/// One whose maker is not among them stands below its maker's maker, or whoever of its ancestors is.
pub(crate) fn tree<'a>(context: &Context, all: &[&'a Process]) -> Vec<(usize, &'a Process)> {
    let listed: HashSet<ProcessKey> = all.iter().map(|p| p.key()).collect();
    let mut children: HashMap<Option<ProcessKey>, Vec<&'a Process>> = HashMap::new();
    for process in all {
        let mut ancestors = context.processes.ancestors(process.key(), all.len() + 1).map(|a| a.key);
        let parent = ancestors.find(|key| listed.contains(key));
        children.entry(parent).or_default().push(process);
    }
    // The last first: they are taken from the end.
    for made in children.values_mut() {
        made.sort_by_key(|p| std::cmp::Reverse((p.key().start_time, p.key().pid)));
    }
    let (mut rows, mut seen) = (vec![], HashSet::new());
    let mut open: Vec<(usize, &'a Process)> =
        children.remove(&None).unwrap_or_default().into_iter().map(|p| (0, p)).collect();
    while let Some((depth, process)) = open.pop() {
        seen.insert(process.key());
        rows.push((depth, process));
        let made = children.remove(&Some(process.key())).unwrap_or_default();
        open.extend(made.into_iter().map(|p| (depth + 1, p)));
    }
    // The list is not read in one instant: whoever is not to be reached from a first process is there all the same.
    rows.extend(list(all).into_iter().filter(|(_, p)| !seen.contains(&p.key())));
    rows
}

fn show(context: &Context, rows: &[(usize, &Process)]) -> anyhow::Result<()> {
    let mut processes = table(&["PID", "PPID", "USER", "STARTED", "CONTAINER", "NAME", "EXECUTABLE"]);
    for (depth, process) in rows {
        let container = context.containers.container(process.cgroup()).map_or("-", |c| c.id());
        processes.add_row([
            process.key().pid.to_string(),
            process.parent().map_or("0".into(), |p| p.pid.to_string()),
            context
                .user(process.uid(), process.cgroup())
                .map_or_else(|| process.uid().to_string(), |name| printable(name.as_bytes())),
            time(context.clock.wall(process.key().start_time)),
            container.get(..CONTAINER_DIGITS).unwrap_or(container).to_string(),
            format!("{}{}", "  ".repeat(*depth), printable(process.comm())),
            process.executable().map_or("-".into(), printable),
        ]);
    }
    let mut out = anstream::stdout().lock();
    print(&mut out, &processes)?;
    writeln!(out, "\n{} processes.", rows.len())?;
    Ok(())
}

pub(crate) fn time(wall: u64) -> String {
    let time = Timestamp::from_nanosecond(wall.into()).unwrap_or_default();
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Names are of whoever runs the process: nothing in them may reach the terminal's own language.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use context::{BootId, Clock, Containers, Hierarchy, Processes, Sighting};

    #[test]
    fn a_tree_has_everybody_once_and_children_below_their_parents() {
        let mut processes = Processes::new(100);
        // pid, start, parent; the last two name each other, as no kernel does.
        let all = [
            (1, 1, None),
            (9, 30, Some((1, 1))),
            (5, 20, Some((1, 1))),
            (7, 40, Some((5, 20))),
            (3, 50, Some((8, 2))),
        ];
        let torn = [(20, 60, Some((21, 61))), (21, 61, Some((20, 60)))];
        for (pid, start, parent) in all.into_iter().chain(torn) {
            processes.seen(&Sighting {
                key: ProcessKey { pid, start_time: start },
                parent: parent.map(|(pid, start_time)| ProcessKey { pid, start_time }),
                comm: *b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                leader: true,
                uid: 0,
                cgroup: 0,
                mnt_ns: 0,
                pid_ns: 0,
                ns_pid: pid,
                exec_id: 0,
            });
        }
        let containers = Containers::with(Hierarchy::V2 { root: "/none".into() }, 1);
        let context = Context::with(processes, containers, Clock::fixed(BootId([0; 16]), "h", 0, 0));
        let all: Vec<&Process> = context.processes.iter().collect();
        let rows: Vec<(usize, u32)> =
            tree(&context, &all).iter().map(|(depth, p)| (*depth, p.key().pid)).collect();
        assert_eq!(rows, [(0, 1), (1, 5), (2, 7), (1, 9), (0, 3), (0, 20), (0, 21)]);
        assert_eq!(list(&all).len(), rows.len());
    }

    #[test]
    fn names_can_not_speak_to_the_terminal() {
        assert_eq!(printable(b"a\x1b[31m\nb\xff"), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
    }
}
