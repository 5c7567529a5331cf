//! Text that is safe on a terminal, and always on one line.

use std::io::Write;

/// A number.
pub(super) fn number(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// What displays as printable ASCII.
pub(super) fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector can not fail.
    let _ = write!(out, "{value}");
}

/// Bytes as they are where they can be nothing else than text; [`quoted`] otherwise.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let plain = |&b: &u8| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~');
    // A parenthesis at the start is ours: `(faulted)`.
    if !bytes.is_empty() && bytes.first() != Some(&b'(') && bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
    } else {
        quoted(out, bytes);
    }
}

/// Bytes in quotes, as a literal of Rust has them: with `\n`, `\u{202e}`, `\xff` for what is not printable.
pub(super) fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    inside(out, bytes);
    out.push(b'"');
}

fn inside(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(c) = rest.chars().next() {
            let ascii = c.is_ascii();
            let end = rest.find(|c: char| c.is_ascii() != ascii).unwrap_or(rest.len());
            let (run, tail) = rest.split_at(end);
            rest = tail;
            if ascii {
                self::ascii(out, run.as_bytes());
            } else {
                // Also for what turns the direction of writing, and what is seen as nothing.
                display(out, run.escape_debug());
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn ascii(out: &mut Vec<u8>, run: &[u8]) {
    for &byte in run {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

/// Bytes in hexadecimal, the first of them.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const SHOWN: usize = 32;
    for byte in bytes.iter().take(SHOWN) {
        let _ = write!(out, "{byte:02x}");
    }
    if bytes.len() > SHOWN {
        let _ = write!(out, "… ({} bytes)", bytes.len());
    }
}
