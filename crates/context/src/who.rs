//! What the writers of events ask.

use catalogue::fields::sched_process_exec;
use event::json::{Ancestor, ContainerRef, LabelsRef, PackageRef, PodRef, SymbolRef, Who};
use event::{Event, Frame};

use crate::{Called, Context, Labels, Owner, Unresolved, unique_id};

fn labels(labels: &Labels) -> LabelsRef<'_> {
    LabelsRef { kept: labels.kept(), left_out: labels.left_out() }
}

impl Who for Context {
    fn host(&self) -> &str {
        self.clock.host_name()
    }

    fn boot_id(&self) -> &str {
        self.clock.boot_text()
    }

    fn wall_time(&self, boot_ns: u64) -> u64 {
        self.clock.wall(boot_ns)
    }

    fn unique_id(&self, start_time: u64, tid: u32) -> u64 {
        unique_id(self.clock.boot_id(), start_time, tid)
    }

    fn executable<'s>(&'s self, event: &Event<'_>) -> Option<&'s [u8]> {
        Context::executable(self, event)
    }

    fn sha256(&self, event: &Event<'_>) -> Option<[u8; 32]> {
        Some(self.process(event)?.program()?.sha256()?.0)
    }

    fn package(&self, event: &Event<'_>) -> Option<Option<PackageRef<'_>>> {
        let program = self.process(event)?.program()?;
        match program.owner()? {
            Owner::Package(p) => {
                Some(Some(PackageRef { name: &p.name, version: &p.version, modified: program.modified() }))
            }
            Owner::Nobody => Some(None),
            Owner::Unknown => None,
        }
    }

    fn symbol<'s>(&'s self, frame: &Frame) -> SymbolRef<'s> {
        let Some(symbol) = frame.place().and_then(|place| self.symbols.get(&place)) else {
            return SymbolRef::missing(Unresolved::Late.name());
        };
        let path = symbol.path.as_deref();
        match &symbol.function {
            Ok(f) => SymbolRef {
                path,
                name: Ok((&f.name, f.offset)),
                source: f.source.as_deref(),
                inlined: &f.inlined,
            },
            Err(reason) => SymbolRef { path, ..SymbolRef::missing(reason.name()) },
        }
    }

    /// A container has users of its own, whatever their numbers are called outside.
    fn user(&self, uid: u32, cgroup: u64) -> Option<&str> {
        self.containers.container(cgroup).is_none().then(|| self.users.name(uid))?
    }

    fn container(&self, cgroup: u64) -> Option<ContainerRef<'_>> {
        let container = self.containers.container(cgroup)?;
        let names = container.names();
        Some(ContainerRef {
            id: container.id(),
            runtime: container.runtime().name(),
            name: names.and_then(|n| n.name.as_deref()),
            image: names.and_then(|n| n.image.as_deref()),
            image_digest: names.and_then(|n| n.image_digest.as_deref()),
            labels: names.map(|n| labels(&n.labels)).unwrap_or_default(),
            pod: names.and_then(|n| n.pod.as_ref()).map(|p| PodRef {
                name: &p.name,
                namespace: p.namespace.as_deref(),
                uid: p.uid.as_deref(),
                sandbox: p.sandbox,
                labels: labels(&p.labels),
            }),
        })
    }

    fn matched_policies(&self, _: &Event<'_>, f: &mut dyn FnMut(&str)) {
        self.matched.iter().for_each(|name| f(name));
    }

    fn enforcement(&self, _: &Event<'_>, f: &mut dyn FnMut(&str, &str)) {
        self.done.iter().for_each(|done| f(done.action, done.by));
    }

    /// Only those of which more than the key is known: an empty name would look like one.
    fn ancestors(&self, event: &Event<'_>, f: &mut dyn FnMut(Ancestor<'_>)) {
        // Who called a program, and how that was called itself, is asked of executions.
        let of = (event.definition.id == sched_process_exec::EVENT_ID)
            .then(|| Context::ancestors(self, event, 1).next()?.process?.called())
            .flatten();
        let mut line = of.map(Called::line).filter(|(_, cut)| !cut).map(|(line, _)| line);
        for process in Context::ancestors(self, event, self.max_ancestors).filter_map(|a| a.process) {
            f(Ancestor {
                command_line: line.take(),
                unique_id: self.clock.process_id(process.key()),
                pid: process.key().pid,
                ns_pid: process.ns_pid(),
                start_time: process.key().start_time,
                comm: process.comm(),
                executable: process.executable(),
            });
        }
    }
}
