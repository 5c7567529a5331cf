//! The lines with which the ends of an SSH connection begin (RFC 4253, section 4.2).

use crate::streams::{Guess, Step};

const BEGINNING: &[u8] = b"SSH-";
/// A longer line is none, with its end.
const LINE_BYTES: usize = 255;

/// What these bytes begin.
pub(crate) fn guess(bytes: &[u8]) -> Guess {
    if bytes.starts_with(BEGINNING) {
        Guess::Is
    } else if !bytes.is_empty() && BEGINNING.starts_with(bytes) {
        Guess::May
    } else {
        Guess::No
    }
}

/// The line with which these bytes begin, without its end.
pub(crate) fn step(bytes: &[u8]) -> Step {
    let line = bytes.get(..LINE_BYTES).unwrap_or(bytes);
    match line.iter().position(|&b| b == b'\n') {
        Some(end) => {
            let message = line.get(..end).unwrap_or_default();
            let message = message.strip_suffix(b"\r").unwrap_or(message);
            match Banner::parse(message) {
                Some(_) => Step::Last { message: message.to_vec() },
                None => Step::Nothing,
            }
        }
        None if line.len() < LINE_BYTES => Step::More,
        None => Step::Nothing,
    }
}

/// What such a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Banner<'a> {
    pub(crate) protocol: &'a [u8],
    pub(crate) software: &'a [u8],
    pub(crate) comments: Option<&'a [u8]>,
}

impl<'a> Banner<'a> {
    /// The parts of a line; none if it has them not, or has what is not printable in it.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Banner<'a>> {
        let rest = line.strip_prefix(BEGINNING)?;
        if rest.iter().any(|b| !(b' '..=b'~').contains(b)) {
            return None;
        }
        let dash = rest.iter().position(|&b| b == b'-')?;
        let (protocol, rest) = (rest.get(..dash)?, rest.get(dash + 1..)?);
        let space = rest.iter().position(|&b| b == b' ');
        let software = rest.get(..space.unwrap_or(rest.len()))?;
        let comments = space.and_then(|space| rest.get(space + 1..));
        (!protocol.is_empty() && !software.is_empty()).then_some(Banner { protocol, software, comments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_banner() {
        let banner = Banner::parse(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7").unwrap();
        assert_eq!(banner.protocol, b"2.0");
        assert_eq!(banner.software, b"OpenSSH_9.2p1");
        assert_eq!(banner.comments, Some(&b"Debian-2+deb12u7"[..]));
        assert_eq!(Banner::parse(b"SSH-1.99-x").unwrap().comments, None);
        for none in [&b"SSH-"[..], b"SSH-2.0", b"SSH-2.0-", b"SSH--x", b"SSH-2.0-a\0b", b"HTTP"] {
            assert_eq!(Banner::parse(none), None);
        }
    }

    #[test]
    fn a_line_ends_or_is_none() {
        assert!(matches!(step(b"SSH-2.0-a\nrest"), Step::Last { message } if message == b"SSH-2.0-a"));
        assert!(matches!(step(b"SSH-2.0-a"), Step::More));
        assert!(matches!(step(&[b"SSH-2.0-", &[b'a'; 300][..]].concat()), Step::Nothing));
    }
}
