//! What conditions can ask of others than the event's own process: by a key, of what is known of all.

use std::net::IpAddr;

use context::{Context, Process};
use event::Event;
use expr::{Field, List, Text, Type, Value};

use crate::Slot;
use crate::fields::{called, line};

macro_rules! stores {
    ($($(#[doc = $doc:literal])+ $name:ident: $key:ident => $ty:ident = $path:literal;)+) => {
        /// What a store can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Store { $($(#[doc = $doc])+ $name,)+ }

        /// Each: by which name, the type of its keys, of what it gives, and what that is.
        pub const STORES: &[(Store, &str, Type, Type, &str)] =
            &[$((Store::$name, $path, Type::$key, Type::$ty, concat!($($doc,)+)),)+];
    };
}

stores! {
    /// Command name of the process that has this process id in the host's pid namespace, or else of the one that had it last.
    ProcessComm: Int => Text = "process.comm";
    /// Path of the program that it runs.
    ProcessExecutable: Int => Text = "process.executable";
    /// Path by which that was called; not known of a program that ran before the watch began.
    ProcessCalled: Int => Text = "process.called";
    /// Its arguments with a space between them; of what ran before the watch began they are not known.
    ProcessCommandLine: Int => Text = "process.command_line";
    /// Its user id.
    ProcessUid: Int => Int = "process.uid";
    /// Process id of its parent, in the host's pid namespace.
    ProcessPpid: Int => Int = "process.ppid";
    /// Id of the container that it is in; empty in none.
    ProcessContainer: Int => Text = "process.container";
    /// Command names of its ancestors, the parent first.
    ProcessAncestors: Int => Texts = "process.ancestors";
    /// Name of the container with this id.
    ContainerName: Text => Text = "container.name";
    /// Name of its image.
    ContainerImage: Text => Text = "container.image";
    /// Name of its pod; empty in none.
    ContainerPod: Text => Text = "container.pod";
    /// Namespace of its pod; empty in none.
    ContainerNamespace: Text => Text = "container.namespace";
    /// The names that this address was resolved from in the event's network namespace: by its process, or else by any.
    Dns: Ip => Texts = "dns";
    /// Name of the host's user with this id; empty if there is none.
    User: Int => Text = "user";
    /// The kernel's function or object at this address, or the one before it.
    Symbol: Int => Text = "symbol";
}

/// The store that a name says.
pub(crate) fn find(path: &str) -> Option<expr::Stored<Slot>> {
    let (store, _, key, ty, _) = STORES.iter().find(|(_, name, ..)| *name == path)?;
    Some(expr::Stored { field: Field { slot: Slot::Store(*store), ty: *ty, names: None }, key: *key })
}

/// The type of what is asked for as `process(42).comm`, or `user(0)`.
pub(crate) fn type_of(asked: &str) -> Option<Type> {
    let (name, rest) = asked.split_once('(')?;
    let (_, member) = rest.rsplit_once(')')?;
    let (.., ty, _) = STORES.iter().find(|(_, path, ..)| path.strip_prefix(name) == Some(member))?;
    Some(*ty)
}

/// What asks a store for a key, as [`type_of`] has it.
pub(crate) fn asked(store: Store, key: &Value<'_>) -> Option<String> {
    let (_, path, ..) = STORES.iter().find(|(of, ..)| *of == store)?;
    let (name, member) = path.split_at(path.find('.').unwrap_or(path.len()));
    match key {
        Value::Int(number) => Some(format!("{name}({number}){member}")),
        Value::Text(Text { bytes, cut: false }) => {
            Some(format!("{name}({}){member}", String::from_utf8_lossy(bytes)))
        }
        Value::Ip(address) => Some(format!("{name}({address}){member}")),
        _ => None,
    }
}

fn text(text: Option<&[u8]>) -> Value<'_> {
    text.map_or(Value::Unknown, Value::text)
}

fn texts<'a>(all: impl Iterator<Item = Option<&'a [u8]>>) -> Value<'a> {
    Value::List(List::Values(all.map(text).collect()))
}

/// What a store has under a key, as far as the event and what came before it tell.
pub(crate) fn look_up<'a>(ctx: &'a Context, event: &Event<'_>, store: Store, key: &Value<'_>) -> Value<'a> {
    match key {
        Value::Int(number) => by_number(ctx, store, *number),
        Value::Text(Text { bytes, cut: false }) => container(ctx, store, bytes),
        Value::Ip(address) => names(ctx, event, *address),
        _ => Value::Unknown,
    }
}

fn by_number(ctx: &Context, store: Store, number: i128) -> Value<'_> {
    match store {
        Store::User => {
            let user = u32::try_from(number).ok().and_then(|uid| ctx.users.name(uid));
            Value::text(user.unwrap_or_default().as_bytes())
        }
        Store::Symbol => {
            let symbols = u64::try_from(number).ok().zip(ctx.kernel_symbols.as_ref());
            text(symbols.and_then(|(address, all)| all.nearest(address)).map(|s| s.name.as_bytes()))
        }
        _ => {
            let found = u32::try_from(number).ok().and_then(|pid| ctx.processes.by_pid(pid));
            found.map_or(Value::Unknown, |found| process(ctx, store, found))
        }
    }
}

fn process<'a>(ctx: &'a Context, store: Store, process: &'a Process) -> Value<'a> {
    match store {
        Store::ProcessComm => Value::text(process.comm()),
        Store::ProcessExecutable => text(process.executable()),
        Store::ProcessCalled => called(Some(process)),
        Store::ProcessCommandLine => line(Some(process)),
        Store::ProcessUid => Value::Int(process.uid().into()),
        Store::ProcessPpid => process.parent().map_or(Value::Unknown, |parent| Value::Int(parent.pid.into())),
        Store::ProcessContainer => {
            let container = ctx.containers.container(process.cgroup());
            Value::text(container.map_or("", |c| c.id()).as_bytes())
        }
        Store::ProcessAncestors => {
            let ancestors = ctx.processes.ancestors(process.key(), crate::fields::LINEAGE + 1).enumerate();
            // One that is too far away may be the one that is asked for.
            texts(ancestors.map(|(n, a)| a.process.filter(|_| n < crate::fields::LINEAGE).map(Process::comm)))
        }
        _ => Value::Unknown,
    }
}

fn container<'a>(ctx: &'a Context, store: Store, id: &[u8]) -> Value<'a> {
    let found = std::str::from_utf8(id).ok().and_then(|id| ctx.containers.by_id(id));
    let Some(names) = found.and_then(|container| container.names()) else { return Value::Unknown };
    let pod = names.pod.as_ref();
    let known = match store {
        Store::ContainerName => names.name.as_deref(),
        Store::ContainerImage => names.image.as_deref(),
        Store::ContainerPod => Some(pod.map_or("", |p| &*p.name)),
        Store::ContainerNamespace => pod.map_or(Some(""), |p| p.namespace.as_deref()),
        _ => None,
    };
    text(known.map(str::as_bytes))
}

/// None where none is known: the address may have been given, or have been resolved before the watch began.
fn names<'a>(ctx: &'a Context, event: &Event<'_>, address: IpAddr) -> Value<'a> {
    match ctx.dns.names(event, address) {
        names if names.is_empty() => Value::Unknown,
        names => texts(names.into_iter().map(|name| Some(name.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use context::{BootId, Clock, Containers, Hierarchy, Names, Pod, Processes};
    use event::build::RecordBuilder;
    use event::{Header, Origin};
    use expr::{Condition, Truth};

    use super::*;
    use crate::{Facts, Fields};

    const FIELDS: Fields = Fields { event: &catalogue::EVENTS[0] };

    fn header(pid: u32, ppid: u32, comm: &str) -> Header {
        let mut h = Header::unknown(5000);
        h.origin = Origin::Current;
        (h.pid, h.tid, h.ppid, h.uid) = (pid, pid, ppid, pid + 1);
        (h.start_time, h.leader_start_time, h.parent_start_time) = (pid.into(), pid.into(), ppid.into());
        h.comm[..comm.len()].copy_from_slice(comm.as_bytes());
        h
    }

    fn compiled(text: &str) -> Result<Condition<Slot>, expr::Error> {
        expr::compile(&expr::parse(text)?, &FIELDS)
    }

    #[test]
    fn of_others_than_the_actor() {
        let id = "ab".repeat(32);
        let mut containers = Containers::with(Hierarchy::V2 { root: "/none".into() }, 100);
        containers.made(0, 5, &format!("/docker/{id}"));
        let pod =
            Pod { name: "p".into(), namespace: None, uid: None, sandbox: false, labels: Default::default() };
        let names = Names { name: Some("web".into()), pod: Some(pod), ..Names::default() };
        containers.named(&id, names).unwrap();
        let mut ctx =
            Context::with(Processes::new(100), containers, Clock::fixed(BootId([1; 16]), "host", 1000, 0));
        let mut records = vec![];
        for mut h in [header(2, 1, "parent"), header(3, 2, "child"), header(9, 1, "actor")] {
            h.cgroup = if h.pid == 3 { 5 } else { 1 };
            let record = RecordBuilder::new(FIELDS.event, h).finish();
            ctx.observe(&Event::decode(&record).unwrap());
            records.push(record);
        }
        let event = Event::decode(&records[2]).unwrap();
        let facts = Facts { event: &event, ctx: &ctx };
        for (text, truth) in [
            ("process(3).comm == 'child'", Truth::True),
            ("process(1 + 2).comm == 'parent'", Truth::False),
            ("process(process(3).ppid).comm == 'parent'", Truth::True),
            ("process(3).uid == 4 && uid == 10", Truth::True),
            ("process(host_pid).comm == comm", Truth::True),
            // The last of them is not known.
            ("process(3).ancestors.exists(c, c == 'parent')", Truth::True),
            ("process(3).ancestors.exists(c, c == 'other')", Truth::Unknown),
            ("container(process(3).container).name == 'web'", Truth::True),
            ("container(process(3).container).pod == 'p'", Truth::True),
            ("container(process(3).container).image == 'nginx'", Truth::Unknown),
            ("container('none').name == 'web'", Truth::Unknown),
            ("process(2).container == ''", Truth::True),
            ("process(3).executable == '/bin/sh'", Truth::Unknown),
            ("process(77).comm == 'child'", Truth::Unknown),
            ("has(process(77).comm)", Truth::False),
            ("process(-1).comm == ''", Truth::Unknown),
            ("user(4294967294) == ''", Truth::True),
            ("symbol(4096) == '_text'", Truth::Unknown),
        ] {
            assert_eq!(compiled(text).unwrap().of(&facts), truth, "{text}");
        }
    }

    #[test]
    fn what_is_wrong() {
        for (text, message) in [
            ("process('a').comm == ''", "this is a text, a number is wanted"),
            ("process(1).com == ''", "'process(...)' has no member 'com'; did you mean 'comm'?"),
            ("process(1, 2).comm == ''", "'process' takes one argument, not 2"),
            ("user() == ''", "'user' takes one argument, not 0"),
            ("user(1).name == ''", "'user(...)' has no member 'name'"),
            ("proces(1) == ''", "unknown function 'proces'; did you mean 'process'?"),
            (
                "container('x') == ''",
                "'container(...)' stands before one of: .name, .image, .pod, .namespace",
            ),
            ("size('x').comm == ''", "only fields have members: this is a value"),
        ] {
            assert_eq!(compiled(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn what_is_asked() {
        let asks = |text: &str| {
            let mut asked = vec![];
            compiled(text).unwrap().asks(&mut |slot| asked.push(*slot));
            asked.into_iter().filter(|slot| matches!(slot, Slot::Store(_))).collect::<Vec<_>>()
        };
        let condition =
            "uid == 0 || !(process(1).ancestors.all(c, c != user(uid)) ? process(2).uid in [1] : false)";
        let stores = [Store::ProcessAncestors, Store::User, Store::ProcessUid].map(Slot::Store);
        assert_eq!(asks(condition), stores);
    }
}
