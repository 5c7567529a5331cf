//! An event as one line of JSON, in the shape of Tracee's `v1beta1.Event`.
//!
//! It is written straight into a byte vector, and allocates nothing else. Bytes that are not UTF-8 are written as `\xNN`;
//! in such a value every backslash of its own is doubled, and `"encoding":"escaped"` stands beside it.
//!
//! A field's quality is there where it is not `ok`. An event of unknown origin has no `process`.

mod data;
mod finding;
mod http;
mod packet;
mod schema;
mod stack;
mod text;
mod who;

pub use finding::{Parts, write_finding, write_finding_of};
pub use schema::schema;
pub use who::{Ancestor, ContainerRef, LabelsRef, PackageRef, PodRef, SymbolRef, UNRESOLVED, Who};

use crate::json::text::{keyed_bytes, put, string};
use crate::{Event, Origin, names};

/// Appends the event's line, with its newline.
pub fn write_event(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    let header = &event.header;
    out.extend_from_slice(b"{\"timestamp\":");
    text::time(out, who.wall_time(header.time));
    // Names in the catalogue need no escape.
    for key in [",\"id\":\"", "\",\"name\":\""] {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(event.definition.name.as_bytes());
    }
    out.push(b'"');
    policies(out, event, who);
    workload(out, event, who);
    data::write(out, event, who);
    source(out, event, who);
    out.extend_from_slice(b"}\n");
}

/// Where the event comes from.
fn source(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    let header = &event.header;
    put(out, ",\"seq\":", header.seq);
    out.extend_from_slice(b",\"lane\":\"");
    out.extend_from_slice(header.lane.name().as_bytes());
    put(out, "\",\"cpu\":", header.cpu);
    put(out, ",\"slot\":", header.slot);
    out.extend_from_slice(b",\"host\":");
    string(out, who.host());
    out.extend_from_slice(b",\"boot_id\":");
    string(out, who.boot_id());
    out.extend_from_slice(b",\"origin\":\"");
    out.extend_from_slice(header.origin.name().as_bytes());
    out.push(b'"');
    if header.flags.io_uring() {
        out.extend_from_slice(b",\"via\":\"io_uring\"");
    }
}

fn policies(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    let mut any = false;
    who.matched_policies(event, &mut |policy| {
        out.extend_from_slice(if any { b"," } else { b",\"policies\":{\"matched\":[" });
        any = true;
        string(out, policy);
    });
    if any {
        out.extend_from_slice(b"]}");
    }
    let mut any = false;
    who.enforcement(event, &mut |action, by| {
        out.extend_from_slice(if any { b"," } else { b",\"enforcement\":{" });
        any = true;
        string(out, action);
        out.push(b':');
        string(out, by);
    });
    if any {
        out.push(b'}');
    }
}

fn workload(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    out.extend_from_slice(b",\"workload\":{");
    let known = event.header.origin != Origin::Unknown;
    if known {
        process(out, event, who);
    }
    if event.header.cgroup != 0
        && let Some(container) = who.container(event.header.cgroup)
    {
        if known {
            out.push(b',');
        }
        write_container(out, &container);
    }
    out.push(b'}');
}

fn write_container(out: &mut Vec<u8>, container: &ContainerRef<'_>) {
    out.extend_from_slice(b"\"container\":{\"id\":");
    string(out, container.id);
    if !container.runtime.is_empty() {
        keyed(out, ",\"runtime\":", container.runtime);
    }
    if let Some(name) = container.name {
        keyed(out, ",\"name\":", name);
    }
    // A digest without a name is of no image that one could ask for.
    if let Some(image) = container.image {
        keyed(out, ",\"image\":{\"name\":", image);
        if let Some(digest) = container.image_digest {
            keyed(out, ",\"repo_digests\":[", digest);
            out.push(b']');
        }
        out.push(b'}');
    }
    labels(out, container.labels);
    out.push(b'}');
    if let Some(pod) = container.pod {
        keyed(out, ",\"k8s\":{\"pod\":{\"name\":", pod.name);
        if let Some(uid) = pod.uid {
            keyed(out, ",\"uid\":", uid);
        }
        out.extend_from_slice(if pod.sandbox { b",\"sandbox\":true" } else { b",\"sandbox\":false" });
        labels(out, pod.labels);
        out.push(b'}');
        if let Some(namespace) = pod.namespace {
            keyed(out, ",\"namespace\":{\"name\":", namespace);
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// Nothing where there are none.
fn labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    for (n, (key, value)) in labels.kept.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b"," } else { b",\"labels\":{" });
        string(out, key);
        keyed(out, ":", value);
    }
    if !labels.kept.is_empty() {
        out.push(b'}');
    }
    if labels.left_out > 0 {
        put(out, ",\"labels_left_out\":", labels.left_out);
    }
}

fn keyed(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    string(out, value);
}

fn process(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    let h = &event.header;
    out.extend_from_slice(b"\"process\":{");
    if let Some(path) = who.executable(event) {
        executable(out, path, who.sha256(event), who.package(event));
        out.push(b',');
    }
    put(out, "\"unique_id\":", who.unique_id(h.leader_start_time, h.pid));
    put(out, ",\"host_pid\":", h.pid);
    put(out, ",\"pid\":", h.ns_pid);
    for (key, uid) in [(",\"real_user\":{\"id\":", h.uid), ("},\"effective_user\":{\"id\":", h.euid)] {
        put(out, key, uid);
        if let Some(name) = who.user(uid, h.cgroup) {
            keyed(out, ",\"name\":", name);
        }
    }
    put(out, "},\"real_group\":{\"id\":", h.gid);
    put(out, "},\"effective_group\":{\"id\":", h.egid);
    out.extend_from_slice(b"},");
    thread(out, event, who);
    put(out, ",\"host_ppid\":", h.ppid);
    put(out, ",\"ppid\":", h.ns_ppid);
    put(out, ",\"namespaces\":{\"mnt\":", h.mnt_ns);
    put(out, ",\"pid\":", h.pid_ns);
    put(out, ",\"net\":", h.net_ns);
    put(out, ",\"uts\":", h.uts_ns);
    put(out, ",\"ipc\":", h.ipc_ns);
    put(out, ",\"user\":", h.user_ns);
    put(out, ",\"cgroup\":", h.cgroup_ns);
    put(out, "},\"cgroup_id\":", h.cgroup);
    out.extend_from_slice(b",\"ancestors\":[");
    let mut first = true;
    who.ancestors(event, &mut |a| {
        put(out, if first { "{\"unique_id\":" } else { ",{\"unique_id\":" }, a.unique_id);
        first = false;
        put(out, ",\"host_pid\":", a.pid);
        put(out, ",\"pid\":", a.ns_pid);
        if let Some(path) = a.executable {
            out.push(b',');
            executable(out, path, None, None);
        }
        if let Some(line) = a.command_line {
            out.extend_from_slice(b",\"command_line\":{");
            keyed_bytes(out, "value", line);
            out.push(b'}');
        }
        out.extend_from_slice(b",\"thread\":{\"start_time\":");
        text::time(out, who.wall_time(a.start_time));
        out.push(b',');
        keyed_bytes(out, "name", a.comm);
        out.extend_from_slice(b"}}");
    });
    out.extend_from_slice(b"]}");
}

fn executable(
    out: &mut Vec<u8>,
    path: &[u8],
    sha256: Option<[u8; 32]>,
    package: Option<Option<PackageRef<'_>>>,
) {
    out.extend_from_slice(b"\"executable\":{");
    keyed_bytes(out, "path", path);
    if let Some(sha256) = sha256 {
        out.extend_from_slice(b",\"sha256\":\"");
        let digit = |d: u8| b"0123456789abcdef"[usize::from(d & 15)];
        out.extend(sha256.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]));
        out.push(b'"');
    }
    match package {
        Some(Some(package)) => {
            keyed(out, ",\"package\":{\"name\":", package.name);
            keyed(out, ",\"version\":", package.version);
            out.extend_from_slice(match package.modified {
                Some(true) => b",\"modified\":true}",
                Some(false) => b",\"modified\":false}",
                None => b"}",
            });
        }
        Some(None) => out.extend_from_slice(b",\"package\":null"),
        None => {}
    }
    out.push(b'}');
}

fn thread(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    let h = &event.header;
    out.extend_from_slice(b"\"thread\":{\"start_time\":");
    text::time(out, who.wall_time(h.start_time));
    out.push(b',');
    keyed_bytes(out, "name", h.comm());
    put(out, ",\"unique_id\":", who.unique_id(h.start_time, h.tid));
    put(out, ",\"host_tid\":", h.tid);
    put(out, ",\"tid\":", h.ns_tid);
    if let Some(number) = h.syscall {
        match names::syscall(number, h.flags.compat()) {
            Some(name) => {
                out.extend_from_slice(b",\"syscall\":\"");
                out.extend_from_slice(name.as_bytes());
            }
            None => put(out, ",\"syscall\":\"", number),
        }
        out.push(b'"');
    }
    out.extend_from_slice(if h.flags.compat() { b",\"compat\":true" } else { b",\"compat\":false" });
    if h.flags.kthread() {
        out.extend_from_slice(b",\"kernel_thread\":true");
    }
    if let Some(stack) = event.user_stack() {
        stack::write(out, &stack, who);
    }
    out.push(b'}');
}
