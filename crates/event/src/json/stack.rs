//! The user stack of an event's task: `user_stack_trace`, as Tracee has it, with more of each address.

use catalogue::Quality;

use super::text::{keyed_bytes, put, string};
use super::{SymbolRef, Who};
use crate::{Frame, Memory, UserStack};

/// `,"user_stack_trace":{"addresses":[...]}`
pub(super) fn write(out: &mut Vec<u8>, stack: &UserStack<'_>, who: &dyn Who) {
    out.extend_from_slice(b",\"user_stack_trace\":{\"addresses\":[");
    for (n, frame) in stack.frames().enumerate() {
        put(out, if n > 0 { ",{\"address\":" } else { "{\"address\":" }, frame.address);
        of_frame(out, &frame, who);
        out.push(b'}');
    }
    out.push(b']');
    if stack.quality != Quality::Ok {
        out.extend_from_slice(b",\"quality\":\"");
        out.extend_from_slice(stack.quality.name().as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

fn of_frame(out: &mut Vec<u8>, frame: &Frame, who: &dyn Who) {
    let symbol = match frame.memory {
        Memory::File(place) => {
            let symbol = who.symbol(frame);
            if let Some(path) = symbol.path {
                out.push(b',');
                keyed_bytes(out, "file", path);
            }
            put(out, ",\"dev\":", place.dev);
            put(out, ",\"inode\":", place.inode);
            put(out, ",\"offset\":", place.offset);
            symbol
        }
        Memory::Anonymous => SymbolRef::missing("anonymous_memory"),
        Memory::Unknown => SymbolRef::missing("mappings_busy"),
        Memory::Nothing => SymbolRef::missing("no_code"),
    };
    match symbol.name {
        Ok((name, offset)) => {
            out.extend_from_slice(b",\"symbol\":");
            // The symbol was asked for the instruction before the address.
            let offset = offset + u64::from(frame.behind);
            string(out, &format!("{name}+{offset:#x}"));
        }
        Err(reason) => {
            out.extend_from_slice(b",\"unresolved\":");
            string(out, reason);
        }
    }
    if let Some(source) = symbol.source {
        out.extend_from_slice(b",\"source\":");
        string(out, source);
    }
    for (n, inlined) in symbol.inlined.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b"," } else { b",\"inlined\":[" });
        string(out, inlined);
    }
    if !symbol.inlined.is_empty() {
        out.push(b']');
    }
}
