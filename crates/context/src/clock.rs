//! This host and this boot: its clocks, its name, and numbers that stay unique across hosts and boots.

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use crate::{Error, ProcessKey};

/// Which boot of which machine: the kernel's random 128 bits of `/proc/sys/kernel/random/boot_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Reads a boot id as the kernel writes it: 32 hexadecimal digits with dashes.
    pub fn parse(text: &str) -> Option<BootId> {
        let digits: Vec<u8> = text.trim().bytes().filter(|&b| b != b'-').collect();
        let mut id = [0; 16];
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(BootId(id))
    }
}

impl std::fmt::Display for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A number for a task that stays the same for all its life and, but for chance, is nobody else's on any host or boot.
///
/// It is FNV-1a, 64 bits, over 28 bytes: the 16 of the boot id in the order they are written, the start time (8 bytes,
/// little-endian, nanoseconds of the boot clock), and the pid of a process or tid of a thread (4 bytes, little-endian).
/// So the leading thread of a process has its process's number. Others may store these numbers: they do not change.
pub fn unique_id(boot: BootId, start_time: u64, pid_or_tid: u32) -> u64 {
    let fold = |hash: u64, bytes: &[u8]| {
        bytes.iter().fold(hash, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let hash = fold(0xcbf2_9ce4_8422_2325, &boot.0);
    fold(fold(hash, &start_time.to_le_bytes()), &pid_or_tid.to_le_bytes())
}

/// The clocks of this boot, and the host's name.
///
/// The distance between boot clock and wall clock is measured once and kept, so that a step of the wall clock between two
/// events does not change their order or distance. [`Clock::measure_again`] follows a step when it is asked to.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
    boot_text: String,
    host: String,
    started: u64,
    wall_ahead: i64,
}

impl Clock {
    /// Reads this host's clocks, boot id and name.
    pub fn new() -> Result<Clock, Error> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
        let boot = BootId::parse(&text).ok_or_else(|| Error::malformed(path, &text))?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Clock::fixed(boot, &host, now(ClockId::Boottime), measure()))
    }

    /// A clock made up, for tests: the wall clock is ahead of the boot clock by so much.
    pub fn fixed(boot: BootId, host: &str, started: u64, wall_ahead: i64) -> Clock {
        Clock { boot, boot_text: boot.to_string(), host: host.to_string(), started, wall_ahead }
    }

    /// Which boot this is.
    pub fn boot_id(&self) -> BootId {
        self.boot
    }

    /// Which boot this is, as the kernel writes it.
    pub fn boot_text(&self) -> &str {
        &self.boot_text
    }

    /// The host's name.
    pub fn host_name(&self) -> &str {
        &self.host
    }

    /// When this clock was made, nanoseconds of the boot clock: what started later is new.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Now, nanoseconds of the boot clock.
    pub fn now() -> u64 {
        now(ClockId::Boottime)
    }

    /// By how many nanoseconds the clock of 1970 is ahead of the boot clock.
    pub const fn ahead(&self) -> i64 {
        self.wall_ahead
    }

    /// Nanoseconds since the epoch at that moment of the boot clock.
    pub fn wall(&self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add_signed(self.wall_ahead)
    }

    /// The moment of the boot clock at those nanoseconds since the epoch.
    pub fn boot(&self, wall_ns: u64) -> u64 {
        wall_ns.saturating_sub_signed(self.wall_ahead)
    }

    /// Measures the distance between the clocks again, and gives how far the wall clock has moved against the boot clock
    /// since, in nanoseconds.
    pub fn measure_again(&mut self) -> i64 {
        let before = std::mem::replace(&mut self.wall_ahead, measure());
        self.wall_ahead.wrapping_sub(before)
    }

    /// [`unique_id`] of a process of this boot.
    pub fn process_id(&self, key: ProcessKey) -> u64 {
        unique_id(self.boot, key.start_time, key.pid)
    }
}

fn now(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    let ns = i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec);
    u64::try_from(ns).unwrap_or(0)
}

/// How far the wall clock is ahead of the boot clock: of several readings, the one least disturbed between its two clocks.
fn measure() -> i64 {
    let reading = |_| {
        let (before, wall, after) = (now(ClockId::Boottime), now(ClockId::Realtime), now(ClockId::Boottime));
        let middle = before + after.saturating_sub(before) / 2;
        (after.saturating_sub(before), wall.wrapping_sub(middle).cast_signed())
    };
    (0..8).map(reading).min_by_key(|r| r.0).map_or(0, |r| r.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([0xab; 16]);

    #[test]
    fn unique_ids_are_stable() {
        let mut bytes = vec![0xab; 16];
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(unique_id(BOOT, 1, 2), reference(&bytes));
        assert_eq!(unique_id(BOOT, 1, 2), 0xff08_b376_a8b9_8ed6, "others have stored these");
        assert_ne!(unique_id(BOOT, 1, 2), unique_id(BOOT, 2, 1));
    }

    fn reference(bytes: &[u8]) -> u64 {
        let mut h: u64 = 14_695_981_039_346_656_037;
        for b in bytes {
            h ^= u64::from(*b);
            h = h.wrapping_mul(1_099_511_628_211);
        }
        h
    }

    #[test]
    fn boot_id_reads_as_it_writes() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        let id = BootId::parse(&format!("{text}\n")).unwrap();
        assert_eq!(id.to_string(), text);
        for wrong in
            ["", "01234567", "z1234567-89ab-cdef-0123-456789abcdef", "+1234567-89ab-cdef-0123-456789abcde+"]
        {
            assert_eq!(BootId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wall_time_is_about_now() {
        let mut clock = Clock::new().unwrap();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let off = u128::from(clock.wall(now(ClockId::Boottime))).abs_diff(wall.as_nanos());
        assert!(off < 1_000_000_000, "{off}");
        assert!(clock.measure_again().abs() < 1_000_000_000);
        assert_eq!(Clock::fixed(BOOT, "h", 0, -5).wall(3), 0);
    }
}
