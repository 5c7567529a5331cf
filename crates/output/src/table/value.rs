//! Values of fields in the table.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use catalogue::{Field, Format, Member, Quality};
use event::json::Who;
use event::{
    Cred, DnsMessage, DnsPart, FieldValue, MemberValue, Packet, Question, SockAddr, UnixName, Value, names,
};

use super::clock::Clock;
use super::text::{self, display, number};

/// Whether a field is in the table at all.
pub(super) fn is_shown(event: &catalogue::Event, field: &Field, value: &FieldValue<'_>) -> bool {
    value.quality != Quality::Unavailable
        && !super::is_detail(event, field)
        && !(field.name == "invoked_from_kernel" && value.value == Some(Value::Bool(false)))
}

pub(super) fn write(
    out: &mut Vec<u8>,
    format: Option<Format>,
    value: &FieldValue<'_>,
    who: &dyn Who,
    clock: &mut Clock,
) {
    let mut quality = value.quality;
    if let Some(value) = &value.value {
        match (*value, format, value.as_i64()) {
            (_, Some(format), Some(n)) => display(out, names::Named(format, n)),
            (Value::I32(v), ..) => number(out, v),
            (Value::U32(v), ..) => number(out, v),
            (Value::I64(v), ..) => number(out, v),
            (Value::U64(v), ..) => number(out, v),
            (Value::Bool(v), ..) => display(out, v),
            (Value::Pointer(v), ..) => display(out, format_args!("{v:#x}")),
            (Value::Time(v), ..) => clock.date_and_time(out, who.wall_time(v)),
            (Value::Str(v) | Value::Path(v), ..) => text::string(out, v),
            (Value::StrArray(array), ..) => {
                out.push(b'[');
                for (n, item) in array.enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    text::quoted(out, item);
                }
                out.push(b']');
            }
            (Value::Sockaddr(address), ..) => sockaddr(out, &address),
            (Value::Ip(address), ..) => display(out, address),
            (Value::Cred(cred), ..) => credentials(out, &cred),
            (Value::Packet(packet), ..) => self::packet(out, &packet),
            (Value::Protocol(header), ..) => display(out, header),
            (Value::Http(head), ..) => display(out, head),
            (Value::Dns(message), ..) => quality = dns(out, &message),
            (Value::Bytes(v), ..) => text::hex(out, v),
            (Value::Struct(v), ..) => structure(out, format, v.members()),
            (Value::Structs(v), ..) => {
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
    }
    match quality {
        Quality::Ok | Quality::Unavailable => {}
        Quality::Truncated => out.extend_from_slice("…".as_bytes()),
        Quality::Faulted | Quality::Unresolved => {
            if value.value.is_some() {
                out.push(b' ');
            }
            display(out, format_args!("({})", quality.name()));
        }
    }
}

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
            out.push(if first { b'{' } else { b' ' });
            out.extend_from_slice(member.name.as_bytes());
            out.push(b'=');
        }
        first = false;
        match (value, member.format.or(of_numbers.filter(|_| mere)), value.as_i64()) {
            (_, Some(format), Some(n)) => display(out, names::Named(format, n)),
            (MemberValue::Signed(n), ..) => number(out, n),
            (MemberValue::Unsigned(n), ..) => number(out, n),
            (MemberValue::Pointer(n), ..) => display(out, format_args!("{n:#x}")),
            (MemberValue::Str(v), ..) => text::string(out, v),
            (MemberValue::Bytes(v), ..) => text::hex(out, v),
        }
    }
    if !mere {
        out.extend_from_slice(if first { b"{}" } else { b"}" });
    }
}

fn sockaddr(out: &mut Vec<u8>, address: &SockAddr<'_>) {
    match *address {
        SockAddr::Inet { addr, port } => display(out, SocketAddrV4::new(addr, port)),
        SockAddr::Inet6 { addr, port, scope_id, .. } => {
            display(out, SocketAddrV6::new(addr, port, 0, scope_id));
        }
        SockAddr::Unix(UnixName::Unnamed) => out.extend_from_slice(b"unix:"),
        SockAddr::Unix(UnixName::Path(path)) => {
            out.extend_from_slice(b"unix:");
            // `@` is ours: a file's name that begins so is quoted.
            if path.starts_with(b"@") { text::quoted(out, path) } else { text::string(out, path) }
        }
        SockAddr::Unix(UnixName::Abstract(id)) => {
            out.extend_from_slice(b"unix:@");
            text::string(out, id);
        }
        SockAddr::Vsock { cid, port } => display(out, format_args!("vsock:{cid}:{port}")),
        SockAddr::Other { family, bytes } => {
            match names::socket_family(family) {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None => number(out, family),
            }
            out.push(b':');
            text::hex(out, bytes);
        }
    }
}

/// The saved ids and those for files only where they differ from the effective ones.
fn credentials(out: &mut Vec<u8>, cred: &Cred) {
    let _ = write!(out, "{{uid={} euid={}", cred.uid, cred.euid);
    let more = |out: &mut Vec<u8>, name: &str, id: u32, usual: u32| {
        if id != usual {
            let _ = write!(out, " {name}={id}");
        }
    };
    more(out, "suid", cred.suid, cred.euid);
    more(out, "fsuid", cred.fsuid, cred.euid);
    let _ = write!(out, " gid={} egid={}", cred.gid, cred.egid);
    more(out, "sgid", cred.sgid, cred.egid);
    more(out, "fsgid", cred.fsgid, cred.egid);
    let _ = write!(out, " caps={}}}", cred.cap_effective.0.count_ones());
}

fn packet(out: &mut Vec<u8>, packet: &Packet) {
    let end = |addr: IpAddr, port| SocketAddr::new(addr, port);
    let (src, dst) = (end(packet.src, packet.src_port), end(packet.dst, packet.dst_port));
    display(out, format_args!("{src} -> {dst}"));
}

/// Writes the message, and tells how good what is written is.
fn dns(out: &mut Vec<u8>, message: &DnsMessage<'_>) -> Quality {
    let dns = message.parse();
    let mut first = true;
    let mut next = |out: &mut Vec<u8>| {
        if !first {
            out.extend_from_slice(b", ");
        }
        first = false;
    };
    if message.part() == DnsPart::Questions {
        for Question { name, ty, .. } in dns.questions() {
            next(out);
            dns_type(out, ty);
            display(out, format_args!(" {name}"));
        }
        return dns.quality;
    }
    for answer in dns.answers() {
        next(out);
        display(out, format_args!("{} ", answer.name));
        dns_type(out, answer.ty);
        display(out, format_args!(" {} (ttl {})", answer.data, answer.ttl));
    }
    if dns.answers().next().is_none() {
        for Question { name, ty, .. } in dns.questions() {
            next(out);
            display(out, format_args!("{name} "));
            dns_type(out, ty);
            match dns.response_code() {
                _ if dns.quality != Quality::Ok => {}
                0 => out.extend_from_slice(b" (no answer)"),
                3 => out.extend_from_slice(b" (no such name)"),
                code => display(out, format_args!(" (error {code})")),
            }
        }
    }
    dns.quality
}

/// As RFC 3597 writes a type without a name.
fn dns_type(out: &mut Vec<u8>, ty: u16) {
    match names::dns_type(ty) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => display(out, format_args!("TYPE{ty}")),
    }
}
