//! Fragments of IP packets, put together again.
//!
//! The kernel tells packets whole. What is told in fragments was cut by who sent it: through a raw socket, or within a tunnel.

use std::cell::RefCell;

use etherparse::defrag::IpDefragPool;
use etherparse::{IpNumber, SlicedPacket};
use event::{Header, Origin};

/// Most packets that are under way, each of at most 65535 bytes.
const PACKETS: usize = 64;
/// How long a fragment waits for the others, in nanoseconds (RFC 8200, section 4.5: 60 seconds).
const WAIT: u64 = 60_000_000_000;

/// Where fragments of a packet are seen: whose they are, and whether they left. A process may send them through several sockets; those of two
/// processes are never one packet, of which nobody could say whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    whose: Whose,
    net_ns: u32,
    egress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    /// A process, by its number and start.
    Process(u32, u64),
    /// A socket of which no owner is known.
    Socket(u64),
}

impl Place {
    /// That of a record with that header, about that socket.
    pub(crate) fn new(header: &Header, socket: u64, egress: bool) -> Place {
        let whose = match header.origin {
            Origin::Unknown => Whose::Socket(socket),
            _ => Whose::Process(header.pid, header.leader_start_time),
        };
        Place { whose, net_ns: header.net_ns, egress }
    }
}

/// Packets of which fragments are there.
pub(crate) struct Fragments {
    /// Each with the time of its last fragment.
    pool: IpDefragPool<u64, Place>,
    /// Packets that were given up: something did not come, or what came does not fit.
    pub(crate) given_up: u64,
}

impl std::fmt::Debug for Fragments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fragments").field("given_up", &self.given_up).finish_non_exhaustive()
    }
}

impl Fragments {
    pub(crate) fn new() -> Fragments {
        Fragments { pool: IpDefragPool::new(), given_up: 0 }
    }

    fn make_room(&mut self, time: u64) {
        // The pool tells no times but so; it may ask twice where something goes.
        let times = RefCell::new(vec![]);
        self.pool.retain(|&last| {
            times.borrow_mut().push(last);
            true
        });
        let mut times = times.into_inner();
        times.sort_unstable();
        let waits = |last: u64| last.saturating_add(WAIT) > time;
        let waiting = times.iter().filter(|&&last| waits(last)).count();
        let oldest = times.iter().copied().find(|&last| waits(last)).filter(|_| waiting >= PACKETS);
        let stays = |last: u64| waits(last) && Some(last) != oldest;
        self.given_up += times.iter().filter(|&&last| !stays(last)).count() as u64;
        self.pool.retain(|&last| stays(last));
    }

    /// Takes a fragment; gives what the packet carries if it is whole with it.
    pub(crate) fn fragment(&mut self, place: Place, time: u64, packet: &[u8]) -> Option<(IpNumber, Vec<u8>)> {
        self.make_room(time);
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        match self.pool.process_sliced_packet(&sliced, time, place) {
            Ok(whole) => {
                let whole = whole?;
                let (protocol, payload) = (whole.ip_number, whole.payload.clone());
                self.pool.return_buf(whole);
                Some((protocol, payload))
            }
            Err(_) => {
                self.given_up += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::ip_number;

    use super::*;

    /// Eight bytes and more of a datagram's fragment.
    fn fragment(id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 20 + payload.len() as u8];
        packet.extend(id.to_be_bytes());
        packet.extend(((u16::from(more) << 13) | (offset / 8)).to_be_bytes());
        packet.extend([64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend(payload);
        packet
    }

    fn unknown(socket: u64) -> Place {
        Place::new(&Header::unknown(1), socket, true)
    }

    #[test]
    fn those_of_two_are_not_one() {
        let (first, last) = (fragment(1, 0, true, &[1; 16]), fragment(1, 16, false, &[2; 5]));
        let of = |pid, socket| {
            Place::new(&Header { origin: Origin::Owner, pid, ..Header::unknown(1) }, socket, true)
        };
        for (one, other, together) in
            [(of(1, 7), of(1, 8), true), (of(1, 7), of(2, 7), false), (unknown(7), unknown(8), false)]
        {
            let mut fragments = Fragments::new();
            assert_eq!(fragments.fragment(one, 0, &first), None);
            assert_eq!(fragments.fragment(other, 0, &last).is_some(), together);
        }
    }

    #[test]
    fn in_any_order_and_twice() {
        let (first, last) = (fragment(1, 0, true, &[1; 16]), fragment(1, 16, false, &[2; 5]));
        for order in [[&first, &first, &last], [&last, &last, &first]] {
            let mut fragments = Fragments::new();
            let given: Vec<_> = order.iter().map(|f| fragments.fragment(unknown(1), 0, f)).collect();
            let whole = (ip_number::UDP, [&[1; 16][..], &[2; 5]].concat());
            assert_eq!(given, [None, None, Some(whole)]);
            assert_eq!(fragments.given_up, 0);
        }
    }

    #[test]
    fn what_never_comes_is_bounded_and_counted() {
        let mut fragments = Fragments::new();
        for n in 0..PACKETS as u16 + 2 {
            assert_eq!(fragments.fragment(unknown(1), n.into(), &fragment(n, 0, true, &[1; 16])), None);
        }
        assert_eq!(fragments.given_up, 2);
        fragments.fragment(unknown(1), WAIT * 2, &fragment(999, 0, true, &[1; 16]));
        assert_eq!(fragments.given_up, PACKETS as u64 + 2);
    }
}
