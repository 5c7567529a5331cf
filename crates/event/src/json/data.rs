//! The fields of an event.

use catalogue::{Format, Member, Quality};

use super::text::{self, Encoding, base64, display, keyed_bytes, name, number, put};
use super::{Who, http, packet};
use crate::{Capabilities, Cred, Event, FieldValue, MemberValue, SockAddr, UnixName, Value, names};

/// Name of the return value among the fields, as Tracee's.
pub(super) const RETURN_VALUE: &str = "returnValue";

pub(super) fn write(out: &mut Vec<u8>, event: &Event<'_>, who: &dyn Who) {
    out.extend_from_slice(b",\"data\":[");
    let mut first = true;
    let mut begin = |out: &mut Vec<u8>, field: &str| {
        out.extend_from_slice(if first { b"{\"name\":\"" } else { b",{\"name\":\"" });
        first = false;
        out.extend_from_slice(field.as_bytes());
        out.push(b'"');
    };
    for (definition, value) in event.fields() {
        begin(out, definition.name);
        field(out, event.format(definition), &value, who);
        out.push(b'}');
    }
    if let Some(ret) = event.header.ret {
        begin(out, RETURN_VALUE);
        put(out, ",\"int64\":", ret);
        if let Some(error) = names::errno(ret) {
            out.extend_from_slice(b",\"parsed\":\"");
            out.extend_from_slice(error.as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn field(out: &mut Vec<u8>, format: Option<Format>, field: &FieldValue<'_>, who: &dyn Who) {
    let mut quality = field.quality;
    if let Some(value) = &field.value {
        out.push(b',');
        match *value {
            Value::I32(v) => put(out, "\"int32\":", v),
            Value::U32(v) => put(out, "\"u_int32\":", v),
            Value::I64(v) => put(out, "\"int64\":", v),
            Value::U64(v) | Value::Pointer(v) => put(out, "\"u_int64\":", v),
            Value::Bool(true) => out.extend_from_slice(b"\"bool\":true"),
            Value::Bool(false) => out.extend_from_slice(b"\"bool\":false"),
            Value::Time(v) => {
                name(out, "timespec");
                text::time(out, who.wall_time(v));
            }
            Value::Str(v) | Value::Path(v) => keyed_bytes(out, "str", v),
            Value::StrArray(array) => {
                let encoding = Encoding::of(array.raw());
                out.extend_from_slice(b"\"str_array\":{\"value\":[");
                for (n, item) in array.enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    text::bytes(out, item, encoding);
                }
                out.extend_from_slice(b"]}");
                text::note(out, encoding);
            }
            Value::Sockaddr(address) => sockaddr(out, &address),
            Value::Ip(address) => {
                name(out, "str");
                display(out, address);
            }
            Value::Cred(cred) => credentials(out, &cred),
            Value::Packet(packet) => packet::metadata(out, &packet),
            Value::Protocol(header) => packet::header(out, &header),
            Value::Http(head) => http::head(out, &head),
            Value::Dns(message) => quality = packet::dns(out, &message),
            Value::Bytes(v) => {
                name(out, "bytes");
                base64(out, v);
            }
            Value::Struct(v) => {
                name(out, "struct");
                structure(out, format, v.members());
            }
            Value::Structs(v) => {
                name(out, "structs");
                out.push(b'[');
                for (n, members) in v.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    structure(out, format, members);
                }
                out.push(b']');
            }
        }
        if let (Some(format), Some(n)) = (format, value.as_i64()) {
            out.extend_from_slice(b",\"parsed\":");
            display(out, names::Named(format, n));
        }
    }
    if quality != Quality::Ok {
        out.extend_from_slice(b",\"quality\":\"");
        out.extend_from_slice(quality.name().as_bytes());
        out.push(b'"');
    }
}

/// Its members; where it is a mere number, that, by its name in `of_numbers` if there is one.
fn structure<'a>(
    out: &mut Vec<u8>,
    of_numbers: Option<Format>,
    members: impl IntoIterator<Item = (&'static Member, MemberValue<'a>)>,
) {
    let mut first = true;
    let mut mere = false;
    for (member, value) in members {
        mere = member.name.is_empty();
        if !mere {
            out.extend_from_slice(if first { b"{\"" } else { b",\"" });
            out.extend_from_slice(member.name.as_bytes());
            out.extend_from_slice(b"\":");
        }
        first = false;
        match (value, member.format.or(of_numbers.filter(|_| mere)), value.as_i64()) {
            (_, Some(format), Some(n)) => display(out, names::Named(format, n)),
            (MemberValue::Signed(n), ..) => number(out, n),
            (MemberValue::Unsigned(n) | MemberValue::Pointer(n), ..) => number(out, n),
            (MemberValue::Str(text), ..) => text::bytes(out, text, Encoding::of(text)),
            (MemberValue::Bytes(v), ..) => base64(out, v),
        }
    }
    if !mere {
        out.extend_from_slice(if first { b"{}" } else { b"}" });
    }
}

fn sockaddr(out: &mut Vec<u8>, address: &SockAddr<'_>) {
    out.extend_from_slice(b"\"sockaddr\":{\"sa_family\":\"");
    match names::socket_family(address.family()) {
        Some(family) => out.extend_from_slice(family.as_bytes()),
        None => number(out, address.family()),
    }
    out.push(b'"');
    match *address {
        SockAddr::Inet { addr, port } => {
            out.extend_from_slice(b",\"sin_addr\":");
            display(out, addr);
            put(out, ",\"sin_port\":", port);
        }
        SockAddr::Inet6 { addr, port, flowinfo, scope_id } => {
            out.extend_from_slice(b",\"sin6_addr\":");
            display(out, addr);
            put(out, ",\"sin6_port\":", port);
            put(out, ",\"sin6_flowinfo\":", flowinfo);
            put(out, ",\"sin6_scopeid\":", scope_id);
        }
        SockAddr::Unix(UnixName::Unnamed) => out.extend_from_slice(b",\"sun_path\":\"\""),
        SockAddr::Unix(UnixName::Path(path)) => {
            out.push(b',');
            keyed_bytes(out, "sun_path", path);
        }
        // `@` as everyone writes it; and apart, because a file may be named so.
        SockAddr::Unix(UnixName::Abstract(id)) => {
            let encoding = Encoding::of(id);
            out.extend_from_slice(b",\"sun_path\":\"@");
            text::bytes_inside(out, id, encoding);
            out.push(b'"');
            text::note(out, encoding);
            out.extend_from_slice(b",\"abstract\":true");
        }
        SockAddr::Vsock { cid, port } => {
            put(out, ",\"svm_cid\":", cid);
            put(out, ",\"svm_port\":", port);
        }
        SockAddr::Other { bytes, .. } => {
            out.extend_from_slice(b",\"sa_data\":");
            base64(out, bytes);
        }
    }
    out.push(b'}');
}

fn credentials(out: &mut Vec<u8>, cred: &Cred) {
    put(out, "\"credentials\":{\"uid\":", cred.uid);
    put(out, ",\"gid\":", cred.gid);
    put(out, ",\"suid\":", cred.suid);
    put(out, ",\"sgid\":", cred.sgid);
    put(out, ",\"euid\":", cred.euid);
    put(out, ",\"egid\":", cred.egid);
    put(out, ",\"fsuid\":", cred.fsuid);
    put(out, ",\"fsgid\":", cred.fsgid);
    put(out, ",\"user_namespace\":", cred.user_ns);
    put(out, ",\"secure_bits\":", cred.securebits);
    capabilities(out, ",\"cap_inheritable\":[", cred.cap_inheritable);
    capabilities(out, ",\"cap_permitted\":[", cred.cap_permitted);
    capabilities(out, ",\"cap_effective\":[", cred.cap_effective);
    capabilities(out, ",\"cap_bounding\":[", cred.cap_bounding);
    capabilities(out, ",\"cap_ambient\":[", cred.cap_ambient);
    out.push(b'}');
}

fn capabilities(out: &mut Vec<u8>, prefix: &str, set: Capabilities) {
    out.extend_from_slice(prefix.as_bytes());
    for (n, capability) in set.numbers().enumerate() {
        out.extend_from_slice(if n > 0 { b",\"" } else { b"\"" });
        match names::capability(capability) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => put(out, "CAP_", capability),
        }
        out.push(b'"');
    }
    out.push(b']');
}
