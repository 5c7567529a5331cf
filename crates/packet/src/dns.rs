//! Which bytes are a DNS message.

use catalogue::Quality;
use event::{DnsMessage, DnsPart};

use crate::streams::{Guess, Step};

/// The port of name servers.
pub(crate) const PORT: u16 = 53;
/// That of multicast DNS (RFC 6762).
const MDNS_PORT: u16 = 5353;
/// That of link-local multicast name resolution (RFC 4795).
const LLMNR_PORT: u16 = 5355;
/// Bytes of a message's header: nothing shorter is one.
const HEAD: usize = 12;
/// Bytes of the length before a message over TCP.
const PREFIX: usize = 2;

/// The service, by the ports of a datagram, and whether what it carries is a message. `whole` says that nothing of it is missing.
pub(crate) fn service([src, dst]: [u16; 2], message: &[u8], whole: bool) -> Option<&'static str> {
    let has = |port| src == port || dst == port;
    if message.len() < HEAD {
        return None;
    }
    if has(PORT) {
        return Some("dns");
    }
    for (port, service) in [(MDNS_PORT, "mdns"), (LLMNR_PORT, "llmnr")] {
        if has(port) {
            return (parsed(message) != Quality::Faulted).then_some(service);
        }
    }
    (whole && may_be(message) && parsed(message) == Quality::Ok).then_some("dns")
}

fn parsed(message: &[u8]) -> Quality {
    DnsMessage::new(message, DnsPart::Whole, Quality::Ok).parse().quality
}

/// What may be a message on any port: as the kernel's programs look for it.
fn may_be(message: &[u8]) -> bool {
    let Some(head) = message.first_chunk::<HEAD>() else { return false };
    if head[2] & 0x58 != 0 || head[3] & 0x40 != 0 || [head[4], head[5]] != [0, 1] {
        return false;
    }
    if head[2] & 0x80 == 0 {
        return head[3] & 0xf == 0 && head[6..11].iter().all(|&b| b == 0);
    }
    head[6] == 0 && head[8] == 0 && head[10] == 0
}

/// What the bytes of a connection to a name server begin: a message behind its length.
pub(crate) fn guess(bytes: &[u8]) -> Guess {
    let Some((length, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return if bytes.is_empty() { Guess::No } else { Guess::May };
    };
    if usize::from(u16::from_be_bytes(*length)) < HEAD {
        return Guess::No;
    }
    match rest.get(2..4) {
        // Operations up to that of RFC 8490, and no bit that must be zero.
        Some(flags) if flags[0] >> 3 & 15 > 6 || flags[1] & 0x40 != 0 => Guess::No,
        Some(_) => Guess::Is,
        None => Guess::May,
    }
}

/// The message with which these bytes begin.
pub(crate) fn step(bytes: &[u8]) -> Step {
    let Some((length, rest)) = bytes.split_first_chunk::<PREFIX>() else { return Step::More };
    let length = usize::from(u16::from_be_bytes(*length));
    match rest.get(..length) {
        Some(message) => Step::Message { message: message.to_vec(), length: PREFIX + length },
        None => Step::More,
    }
}

/// As much of a message as there is, if it has a header.
pub(crate) fn beginning(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes.get(PREFIX..).filter(|m| m.len() >= HEAD).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";

    #[test]
    fn a_message_is_known_on_any_port() {
        assert_eq!(service([4000, 4001], QUESTION, true), Some("dns"));
        assert_eq!(service([5353, 5353], QUESTION, true), Some("mdns"));
        assert_eq!(service([4000, 5355], QUESTION, true), Some("llmnr"));
        // Of what is cut, only the port tells.
        assert_eq!(service([4000, 4001], QUESTION, false), None);
        assert_eq!(service([4000, 53], QUESTION, false), Some("dns"));
    }

    #[test]
    fn what_is_no_message_is_none() {
        // A question more than there is, an answer in a question, another operation.
        for (at, byte) in [(5, 2), (7, 1), (2, 0x28), (3, 0x40), (12, 0x90)] {
            let mut message = QUESTION.to_vec();
            message[at] = byte;
            assert_eq!(service([4000, 4001], &message, true), None, "{at}");
        }
        assert_eq!(service([5353, 5353], &[0xff; 40], true), None);
    }
}
