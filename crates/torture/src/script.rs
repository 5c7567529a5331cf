//! The script: what each worker does, act by act.
//!
//! Everything that an act leaves in an event follows from the worker's number and the act's: worker and checker work it out each for
//! itself, and a byte that came from another act is seen.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// What a worker does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Makes a file, renames it, removes it.
    Files,
    /// Makes a file in memory.
    Memory,
    /// Changes its saved group.
    Creds,
    /// Has a child execute a program, which exits with the number of its arguments.
    Exec,
    /// Has several children at once, which exit or end themselves by a signal: exit storms.
    Forks,
    /// Connects over TCP, accepts, resets.
    Connect,
    /// Asks over DNS, and waits for the question to arrive.
    Dns,
    /// Asks over DNS in bursts, and waits for nothing: packets for the busy CPU.
    Flood,
    /// Makes and removes a cgroup.
    Cgroups,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Files => "files",
            Kind::Memory => "memory",
            Kind::Creds => "creds",
            Kind::Exec => "exec",
            Kind::Forks => "forks",
            Kind::Connect => "connect",
            Kind::Dns => "dns",
            Kind::Flood => "flood",
            Kind::Cgroups => "cgroups",
        }
    }
}

/// The part of one worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its number: 1 to 250, as it stands in an IPv4 address.
    pub(crate) worker: u8,
    pub(crate) kind: Kind,
    /// It stays on the first, or moves from one to the next if there are several.
    pub(crate) cpus: Vec<u32>,
    /// It wakes at random, and preempts whatever runs.
    pub(crate) realtime: bool,
    /// A timer interrupts it.
    pub(crate) timer: bool,
    /// Where it may make files.
    pub(crate) dir: String,
    /// Where it may make cgroups.
    pub(crate) cgroup: String,
    /// Its journal.
    pub(crate) journal: i32,
}

impl Part {
    /// The name that it gives itself.
    pub(crate) fn comm(&self) -> String {
        format!("torture-w{:03}", self.worker)
    }
}

/// The name that the kernel gives the program that [`Kind::Exec`] executes: its file's.
pub(crate) const PROGRAM: &str = "torture-program";
/// The last label of the names that are asked for: one that exists nowhere (RFC 6761).
pub(crate) const DOMAIN: &str = "invalid";
/// Where packets of a flood and questions go.
pub(crate) const DNS_PORT: u16 = 53;
/// Children that [`Kind::Forks`] has at once.
pub(crate) const BROOD: u32 = 8;
/// Packets of a burst.
pub(crate) const BURST: u32 = 16;
/// Ports for one worker that connects: each serves 65,536 acts.
const PORTS: u16 = 16;
const FIRST_PORT: u16 = 10_000;

/// Numbers that look random and are the same on both sides (splitmix64).
pub(crate) fn mix(worker: u8, act: u32) -> u64 {
    let mut z = (u64::from(worker) << 32 | u64::from(act)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Which of an act's strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    First = b'w' as isize,
    Second = b'v' as isize,
}

const HEAD: usize = "w001-00000001-".len();

/// A string that can be of one act only: who and which, then a tail of its own length and letters, up to `longest` in all.
pub(crate) fn marker(which: Which, worker: u8, act: u32, longest: usize) -> String {
    let mixed = mix(worker, act) ^ which as u64;
    let mut text = format!("{}{worker:03}-{act:08}-", which as u8 as char);
    let tail = mixed as usize % (longest - HEAD + 1);
    let letter = |n: usize| (b'a' + ((mixed >> 8) as usize + n * 7) as u8 % 26) as char;
    text.extend((0..tail).map(letter));
    text
}

/// The longest marker in a path or an argument.
pub(crate) const NAME: usize = 200;
/// The longest in a DNS name: a label (RFC 1035).
pub(crate) const LABEL: usize = 63;

/// Worker and act of a marker; the rest is not looked at.
pub(crate) fn parse(which: Which, text: &[u8]) -> Option<(u8, u32)> {
    let digits = |bytes: &[u8]| -> Option<u32> {
        bytes.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    let head = text.get(..HEAD)?;
    let sound = head[0] == which as u8 && head[4] == b'-' && head[13] == b'-';
    sound.then_some(())?;
    Some((u8::try_from(digits(&head[1..4])?).ok()?, digits(&head[5..13])?))
}

/// Permissions of the file that an act makes.
pub(crate) fn permissions(worker: u8, act: u32) -> u32 {
    0o600 | (mix(worker, act) >> 20) as u32 & 0o077
}

/// What an act opens with beside O_CREAT, O_EXCL and O_CLOEXEC.
pub(crate) fn open_flags(worker: u8, act: u32) -> i32 {
    let mixed = mix(worker, act) >> 30;
    let access = [libc::O_WRONLY, libc::O_RDWR][mixed as usize & 1];
    access
        | if mixed & 2 != 0 { libc::O_APPEND } else { 0 }
        | if mixed & 4 != 0 { libc::O_NONBLOCK } else { 0 }
}

/// What is compared of the flags of an open.
pub(crate) const OPEN_FLAGS: i32 = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK;

/// Flags of a file in memory.
pub(crate) fn memfd_flags(worker: u8, act: u32) -> u32 {
    libc::MFD_CLOEXEC | if mix(worker, act) >> 40 & 1 != 0 { libc::MFD_ALLOW_SEALING } else { 0 }
}

/// The saved group that an act gets. Acts are numbered up to 2^20.
pub(crate) fn group(worker: u8, act: u32) -> u32 {
    u32::from(worker) << 24 | act
}

/// Arguments of the program that an act executes; it exits with their number.
pub(crate) fn arguments(worker: u8, act: u32) -> Vec<String> {
    let more = mix(worker, act) >> 50 & 7;
    let mut all = vec![marker(Which::First, worker, act, NAME)];
    all.extend((0..more).map(|_| marker(Which::Second, worker, act, NAME)));
    all
}

/// How a child of [`Kind::Forks`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(u8),
    Signal(i32),
}

pub(crate) fn end(worker: u8, act: u32) -> End {
    const SIGNALS: [i32; 6] =
        [libc::SIGKILL, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP, libc::SIGALRM];
    let mixed = mix(worker, act) >> 16;
    if mixed & 1 == 0 {
        End::Code((mixed >> 8) as u8)
    } else {
        End::Signal(SIGNALS[(mixed >> 8) as usize % 6])
    }
}

/// Where an act connects to: 127.worker.hi.lo, and one more port for every 65,536 acts.
pub(crate) fn address(worker: u8, act: u32) -> SocketAddrV4 {
    let [_, _, high, low] = act.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, worker, high, low), port(worker, act))
}

/// The port alone.
pub(crate) fn port(worker: u8, act: u32) -> u16 {
    FIRST_PORT + u16::from(worker) * PORTS + (act >> 16) as u16
}

/// Whose address that is.
pub(crate) fn act_of_address(address: Ipv4Addr, port: u16) -> Option<(u8, u32)> {
    let [net, worker, high, low] = address.octets();
    let nth = port.checked_sub(FIRST_PORT + u16::from(worker) * PORTS).filter(|&n| n < PORTS)?;
    (net == 127 && worker != 0)
        .then(|| (worker, u32::from(nth) << 16 | u32::from(high) << 8 | u32::from(low)))
}

/// Where a worker's questions go.
pub(crate) fn dns_address(worker: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(127, worker, 255, 53), DNS_PORT)
}

/// The question of an act, as it stands in the packet (RFC 1035).
pub(crate) fn question(worker: u8, act: u32) -> Vec<u8> {
    let mut q = vec![(act >> 8) as u8, act as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [marker(Which::First, worker, act, LABEL).as_str(), DOMAIN] {
        q.push(label.len() as u8);
        q.extend(label.bytes());
    }
    q.extend([0, 0, 1, 0, 1]);
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn markers_tell_their_act(worker in 1u8..=250, act in 0u32..1 << 20) {
            for which in [Which::First, Which::Second] {
                let text = marker(which, worker, act, LABEL);
                prop_assert!(text.len() <= LABEL);
                prop_assert_eq!(parse(which, text.as_bytes()), Some((worker, act)));
            }
            prop_assert_eq!(parse(Which::Second, marker(Which::First, worker, act, NAME).as_bytes()), None);
        }

        #[test]
        fn addresses_tell_their_act(worker in 1u8..=250, act in 0u32..1 << 20) {
            let address = address(worker, act);
            prop_assert_eq!(act_of_address(*address.ip(), address.port()), Some((worker, act)));
        }

        #[test]
        fn parsing_is_total(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(Which::First, &text);
        }
    }

    #[test]
    fn acts_differ() {
        assert_ne!(marker(Which::First, 1, 2, NAME), marker(Which::First, 1, 3, NAME));
        let ends: Vec<End> = (0..100).map(|n| end(1, n)).collect();
        assert!(ends.iter().any(|e| matches!(e, End::Code(_))) && ends.contains(&End::Signal(libc::SIGKILL)));
    }
}
