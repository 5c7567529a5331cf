//! The parts of JSON: strings, numbers, base64.

use std::fmt;

/// What each byte is written as: 0 itself, `u` as `\u00NN`, else `\` and this.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 0x20 {
        table[n] = b'u';
        n += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    // DEL: JSON allows it, terminals obey it.
    table[0x7f] = b'u';
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Whether these bytes can be written as they are, or must be written with `\xNN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Escaped,
}

impl Encoding {
    /// The encoding that these bytes need.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Encoding {
        if std::str::from_utf8(bytes).is_ok() { Encoding::Utf8 } else { Encoding::Escaped }
    }
}

fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// The inside of a JSON string: UTF-8 with what must be escaped escaped.
#[inline]
fn inside(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| ESCAPES[usize::from(b)] != 0) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = tail.split_first() else { return };
        match ESCAPES[usize::from(byte)] {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex(byte));
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// A JSON string.
#[inline]
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    inside(out, text.as_bytes());
    out.push(b'"');
}

/// A JSON string of any bytes, in the encoding that they need.
#[inline]
pub(super) fn bytes(out: &mut Vec<u8>, raw: &[u8], encoding: Encoding) {
    out.push(b'"');
    bytes_inside(out, raw, encoding);
    out.push(b'"');
}

/// The inside of [`bytes`].
#[inline]
pub(super) fn bytes_inside(out: &mut Vec<u8>, raw: &[u8], encoding: Encoding) {
    match encoding {
        Encoding::Utf8 => inside(out, raw),
        Encoding::Escaped => escaped(out, raw),
    }
}

#[cold]
fn escaped(out: &mut Vec<u8>, raw: &[u8]) {
    for chunk in raw.utf8_chunks() {
        let mut parts = chunk.valid().as_bytes().split(|&b| b == b'\\');
        inside(out, parts.next().unwrap_or_default());
        for part in parts {
            // One backslash, doubled for this encoding, each of them again for JSON.
            out.extend_from_slice(br"\\\\");
            inside(out, part);
        }
        for &byte in chunk.invalid() {
            out.extend_from_slice(br"\\x");
            out.extend_from_slice(&hex(byte));
        }
    }
}

/// `"KEY":"..."`, and `,"encoding":"escaped"` where it needs that. `key` is written as it is.
#[inline]
pub(super) fn keyed_bytes(out: &mut Vec<u8>, key: &str, raw: &[u8]) {
    let encoding = Encoding::of(raw);
    name(out, key);
    bytes(out, raw, encoding);
    note(out, encoding);
}

/// Says that what stands before is escaped, if it is.
#[inline]
pub(super) fn note(out: &mut Vec<u8>, encoding: Encoding) {
    if encoding == Encoding::Escaped {
        out.extend_from_slice(br#","encoding":"escaped""#);
    }
}

/// `"KEY":`
#[inline]
pub(super) fn name(out: &mut Vec<u8>, key: &str) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A number.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// `PREFIX` and a number.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, prefix: &str, n: impl itoa::Integer) {
    out.extend_from_slice(prefix.as_bytes());
    number(out, n);
}

/// `{"seconds":N,"nanos":N}`
#[inline]
pub(super) fn time(out: &mut Vec<u8>, ns: u64) {
    put(out, "{\"seconds\":", ns / 1_000_000_000);
    put(out, ",\"nanos\":", ns % 1_000_000_000);
    out.push(b'}');
}

/// A string of what displays as ASCII, escaped where it must be.
pub(super) fn display(out: &mut Vec<u8>, value: impl fmt::Display) {
    struct Inside<'o>(&'o mut Vec<u8>);
    impl fmt::Write for Inside<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            inside(self.0, s.as_bytes());
            Ok(())
        }
    }
    out.push(b'"');
    // Writing to a vector cannot fail, and the values' own `Display` do not.
    let _ = fmt::Write::write_fmt(&mut Inside(out), format_args!("{value}"));
    out.push(b'"');
}

/// A string of base64 with padding (RFC 4648, section 4).
pub(super) fn base64(out: &mut Vec<u8>, raw: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| DIGITS[(bits & 63) as usize];
    out.reserve(raw.len().div_ceil(3) * 4 + 2);
    out.push(b'"');
    for chunk in raw.chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let digits = [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
        out.extend_from_slice(&digits[..chunk.len() + 1]);
        out.extend_from_slice(&b"=="[..3 - chunk.len()]);
    }
    out.push(b'"');
}
