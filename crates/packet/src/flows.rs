//! What UDP sockets exchange with addresses, from the first datagram until nothing is exchanged any more.
//!
//! The kernel knows no connections of UDP, so they are found here, in the headers of datagrams: a record for each is the price.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use event::{Direction, Header, Origin, Packet};

/// Most flows at a time.
const FLOWS: usize = 16_384;
/// As many make room at once where there is none.
const GIVE_WAY: usize = FLOWS / 16;
/// A flow in which nothing was exchanged for so long has ended, in nanoseconds.
const IDLE: u64 = 30_000_000_000;

/// By the socket, its own address, and the other.
type Key = (u64, SocketAddr, SocketAddr);

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Idle,
    Evicted,
}

impl End {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            End::Idle => "idle",
            End::Evicted => "evicted",
        }
    }
}

/// A flow.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// Of its first datagram; the identity of the first whose owner was known.
    pub(crate) header: Header,
    /// The first datagram's.
    pub(crate) packet: Packet,
    pub(crate) last: u64,
    /// Out of the socket, and into it.
    pub(crate) bytes: [u64; 2],
    pub(crate) packets: [u64; 2],
}

impl Flow {
    /// The first datagram left the socket.
    pub(crate) fn outgoing(&self) -> bool {
        self.packet.direction == Direction::Egress
    }
}

/// All flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: HashMap<Key, Flow, rustc_hash::FxBuildHasher>,
    /// Those that gave way to others.
    pub(crate) evicted: u64,
}

impl Flows {
    /// Takes a datagram, of which so many bytes are payload; gives the flow that it begins, and those that end for it.
    pub(crate) fn datagram(
        &mut self,
        socket: u64,
        header: &Header,
        packet: &Packet,
        length: u64,
        give: &mut dyn FnMut(&Flow, Option<End>),
    ) {
        let egress = packet.direction == Direction::Egress;
        let at = |address: IpAddr, port| SocketAddr::new(address, port);
        let (src, dst) = (at(packet.src, packet.src_port), at(packet.dst, packet.dst_port));
        let key = if egress { (socket, src, dst) } else { (socket, dst, src) };
        // One that was idle for too long has ended, though nobody looked.
        if self.flows.get(&key).is_some_and(|f| f.last.saturating_add(IDLE) <= header.time)
            && let Some(flow) = self.flows.remove(&key)
        {
            give(&flow, Some(End::Idle));
        }
        if !self.flows.contains_key(&key) {
            self.make_room(give);
            let flow =
                Flow { header: *header, packet: *packet, last: header.time, bytes: [0; 2], packets: [0; 2] };
            give(&flow, None);
            self.flows.insert(key, flow);
        }
        if let Some(flow) = self.flows.get_mut(&key) {
            let way = usize::from(!egress);
            flow.bytes[way] += length;
            flow.packets[way] += 1;
            flow.last = flow.last.max(header.time);
            if flow.header.origin != Origin::Owner && header.origin == Origin::Owner {
                flow.header = Header { time: flow.header.time, ..*header };
            }
        }
    }

    /// Ends the flows that have been idle for too long.
    pub(crate) fn expire(&mut self, now: u64, give: &mut dyn FnMut(&Flow, Option<End>)) {
        self.flows.retain(|_, flow| {
            let lives = flow.last.saturating_add(IDLE) > now;
            if !lives {
                give(flow, Some(End::Idle));
            }
            lives
        });
    }

    /// Many at once: to find the one that was idle longest takes a look at all.
    fn make_room(&mut self, give: &mut dyn FnMut(&Flow, Option<End>)) {
        if self.flows.len() < FLOWS {
            return;
        }
        let mut times: Vec<(u64, Key)> = self.flows.iter().map(|(key, flow)| (flow.last, *key)).collect();
        times.select_nth_unstable(GIVE_WAY);
        for (_, key) in times.into_iter().take(GIVE_WAY) {
            if let Some(flow) = self.flows.remove(&key) {
                self.evicted += 1;
                give(&flow, Some(End::Evicted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(port: u16, direction: Direction) -> Packet {
        let address = IpAddr::from([127, 0, 0, 1]);
        let (src_port, dst_port) = if direction == Direction::Egress { (1, port) } else { (port, 1) };
        Packet {
            src: address,
            dst: address,
            src_port,
            dst_port,
            protocol: 17,
            direction,
            length: 30,
            ifindex: 1,
            encapsulation: None,
        }
    }

    #[test]
    fn from_the_first_datagram_until_nothing_comes() {
        let (mut flows, mut told) = (Flows::default(), vec![]);
        let owned = Header { origin: Origin::Owner, pid: 7, ..Header::unknown(2) };
        let mut give = |flow: &Flow, end: Option<End>| {
            told.push((end, flow.outgoing(), flow.header.pid, flow.bytes, flow.packets, flow.last));
        };
        flows.datagram(5, &Header::unknown(1), &packet(9, Direction::Egress), 10, &mut give);
        flows.datagram(5, &owned, &packet(9, Direction::Ingress), 4, &mut give);
        // Another socket's.
        flows.datagram(6, &owned, &packet(9, Direction::Ingress), 4, &mut give);
        flows.expire(IDLE, &mut give);
        // The other ends, too.
        flows.datagram(5, &Header::unknown(2 + IDLE), &packet(9, Direction::Ingress), 1, &mut give);
        flows.expire(2 + IDLE, &mut give);
        let pid = Header::unknown(0).pid;
        assert_eq!(
            told,
            [
                (None, true, pid, [0, 0], [0, 0], 1),
                (None, false, 7, [0, 0], [0, 0], 2),
                (Some(End::Idle), true, 7, [10, 4], [1, 1], 2),
                (None, false, pid, [0, 0], [0, 0], 2 + IDLE),
                (Some(End::Idle), false, 7, [0, 4], [0, 1], 2),
            ]
        );
    }

    #[test]
    fn what_gives_way_was_idle_longest_and_is_counted() {
        let (mut flows, mut evicted) = (Flows::default(), vec![]);
        for n in 0..FLOWS as u64 + 1 {
            flows.datagram(n, &Header::unknown(n), &packet(9, Direction::Egress), 1, &mut |flow, end| {
                evicted.extend(end.map(|_| flow.last));
            });
        }
        evicted.sort_unstable();
        assert_eq!(evicted, (0..GIVE_WAY as u64).collect::<Vec<_>>());
        assert_eq!(flows.evicted, GIVE_WAY as u64);
    }
}
