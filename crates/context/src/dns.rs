//! What addresses were called when a process asked for them.

use std::net::IpAddr;

use catalogue::fields::net_packet_dns_response as response;
use event::{Direction, Event, RecordData, Value};
use rustc_hash::FxHashMap;

use crate::observe::process_of;
use crate::process::ProcessKey;

/// Addresses of which names are kept, in each of two generations.
const GENERATION: usize = 16_384;
/// Names kept of an address; the oldest makes room.
const NAMES: usize = 8;
/// The port of name servers.
const SERVER: u16 = 53;
/// A name counts at least so long, in nanoseconds: an answer that may not be kept is used all the same, once.
const SHORTEST: u64 = 10_000_000_000;

/// Names by network namespace and address, from the answers that came there. When a generation is full it becomes the old one, and what was
/// old and was not asked for since is forgotten.
#[derive(Debug, Default)]
pub struct Dns {
    young: FxHashMap<Place, Vec<Resolved>>,
    old: FxHashMap<Place, Vec<Resolved>>,
    forgotten: u64,
}

/// A network namespace, and an address there.
type Place = (u32, IpAddr);

#[derive(Debug, Clone)]
struct Resolved {
    name: Box<str>,
    /// On the events' clock, by the record's own TTL.
    until: u64,
    asker: Option<ProcessKey>,
}

impl Dns {
    /// Learns the addresses in an answer that reached the socket that asked. That of an unknown socket is of no known namespace.
    pub(crate) fn learn(&mut self, event: &Event<'_>) {
        let (Some(Value::Packet(packet)), Some(Value::Dns(message))) =
            (event.field(response::METADATA).value, event.field(response::DNS_RESPONSE).value)
        else {
            return;
        };
        let asker = process_of(&event.header);
        // Nor is it from where a name server does not answer: anyone can send what looks like an answer.
        if packet.direction != Direction::Ingress || packet.src_port != SERVER || asker.is_none() {
            return;
        }
        let dns = message.parse();
        // What was asked for, not what that is another name of.
        let Some(name) = dns.questions().next().map(|q| q.name.to_string()) else { return };
        for answer in dns.answers() {
            let address = match answer.data {
                RecordData::A(a) => IpAddr::V4(a),
                RecordData::Aaaa(a) => IpAddr::V6(a),
                _ => continue,
            };
            let kept = u64::from(answer.ttl).saturating_mul(1_000_000_000).max(SHORTEST);
            let until = event.header.time.saturating_add(kept);
            let place = (event.header.net_ns, address);
            self.put(place, Resolved { name: name.as_str().into(), until, asker }, event.header.time);
        }
    }

    fn put(&mut self, place: Place, resolved: Resolved, now: u64) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&place) {
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.forgotten +=
                gone.values().filter(|names| names.iter().any(|n| n.until > now)).count() as u64;
        }
        let names = match self.old.remove(&place) {
            Some(names) => self.young.entry(place).or_insert(names),
            None => self.young.entry(place).or_default(),
        };
        names.retain(|n| n.until > now && (n.name != resolved.name || n.asker != resolved.asker));
        if names.len() >= NAMES {
            names.remove(0);
        }
        names.push(resolved);
    }

    /// The names under which that address was resolved: by the event's own process, or else by others in its network namespace.
    pub fn names(&self, event: &Event<'_>, address: IpAddr) -> Vec<&str> {
        let place = (event.header.net_ns, address);
        let known = self.young.get(&place).or_else(|| self.old.get(&place));
        let valid = || known.into_iter().flatten().filter(|n| n.until > event.header.time);
        let process = process_of(&event.header);
        let own = valid().any(|n| n.asker == process);
        let mut names: Vec<&str> = valid().filter(|n| !own || n.asker == process).map(|n| &*n.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All names that still count at a time: network namespace, address, name, until when it counts, and who asked.
    pub fn iter(&self, now: u64) -> impl Iterator<Item = (u32, IpAddr, &str, u64, Option<ProcessKey>)> {
        let all = self.young.iter().chain(&self.old);
        all.flat_map(move |(&(net_ns, address), names)| {
            let valid = names.iter().filter(move |n| n.until > now);
            valid.map(move |n| (net_ns, address, &*n.name, n.until, n.asker))
        })
    }

    /// Addresses whose names were forgotten before their time, for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use catalogue::Quality;
    use event::build::RecordBuilder;
    use event::{Header, Origin, Packet};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn header(pid: u32, net_ns: u32, time: u64) -> Header {
        Header { origin: Origin::Owner, pid, leader_start_time: 1, net_ns, time, ..Header::unknown(time) }
    }

    /// An answer for `a.example`, of that address.
    fn answer(header: Header, address: [u8; 4], ttl: u32, direction: Direction) -> Vec<u8> {
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend(b"\x01a\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01");
        message.extend(ttl.to_be_bytes());
        message.extend([0, 4]);
        message.extend(address);
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let packet = Packet {
            src: any,
            dst: any,
            src_port: 53,
            dst_port: 9,
            protocol: 17,
            length: 0,
            ifindex: 1,
            direction,
            encapsulation: None,
        };
        let definition = catalogue::event_by_id(response::EVENT_ID).unwrap();
        RecordBuilder::new(definition, header)
            .put(response::METADATA as u8, Quality::Ok, &packet.encode())
            .put(response::DNS_RESPONSE as u8, Quality::Ok, &message)
            .finish()
    }

    fn names(dns: &Dns, header: Header, address: [u8; 4]) -> Vec<String> {
        let definition = catalogue::event_by_id(catalogue::fields::net_tcp_connect::EVENT_ID).unwrap();
        let record = RecordBuilder::new(definition, header).finish();
        let event = Event::decode(&record).unwrap();
        dns.names(&event, address.into()).into_iter().map(String::from).collect()
    }

    #[test]
    fn names_count_where_and_while_they_were_resolved() {
        let mut dns = Dns::default();
        let learn = |dns: &mut Dns, record: &[u8]| dns.learn(&Event::decode(record).unwrap());
        learn(&mut dns, &answer(header(5, 1, 100), [192, 0, 2, 1], 60, Direction::Ingress));
        // What leaves a server, and what reaches nobody, is no answer to anybody here.
        learn(&mut dns, &answer(header(6, 1, 100), [192, 0, 2, 2], 60, Direction::Egress));
        learn(&mut dns, &answer(Header::unknown(100), [192, 0, 2, 2], 60, Direction::Ingress));
        assert_eq!(names(&dns, header(5, 1, 200), [192, 0, 2, 1]), ["a.example"]);
        assert_eq!(names(&dns, header(7, 1, 200), [192, 0, 2, 1]), ["a.example"]);
        assert!(names(&dns, header(5, 2, 200), [192, 0, 2, 1]).is_empty());
        assert!(names(&dns, header(5, 1, 200), [192, 0, 2, 2]).is_empty());
        assert!(names(&dns, header(5, 1, 61 * SECOND), [192, 0, 2, 1]).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut dns = Dns::default();
        for n in 0..3 * GENERATION as u32 {
            let record = answer(header(5, 1, 100), (n + 1).to_be_bytes(), 60, Direction::Ingress);
            dns.learn(&Event::decode(&record).unwrap());
        }
        assert!(dns.young.len() <= GENERATION && dns.old.len() <= GENERATION);
        assert_eq!(dns.forgotten(), GENERATION as u64);
        assert_eq!(names(&dns, header(5, 1, 200), (3 * GENERATION as u32).to_be_bytes()), ["a.example"]);
        assert!(names(&dns, header(5, 1, 200), 1u32.to_be_bytes()).is_empty());
    }
}
