//! Times of the wall clock, here.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECOND: u64 = 1_000_000_000;
/// A zone's offset changes only on the quarter of an hour.
const QUARTER: u64 = 15 * 60;
const DAY: u64 = 24 * 60 * 60;

/// Shows times in a zone.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    /// The quarter of an hour, by number, in which the zone was looked up last, and its offset in seconds then.
    last: Option<(u64, i64)>,
}

impl Clock {
    /// In the zone of this host.
    pub(super) fn local() -> Clock {
        Clock { zone: TimeZone::system(), last: None }
    }

    #[cfg(test)]
    pub(super) const fn fixed(zone: TimeZone) -> Clock {
        Clock { zone, last: None }
    }

    /// Seconds since the epoch, by a clock on the wall that knows no zones.
    fn local_seconds(&mut self, ns: u64) -> u64 {
        let seconds = ns / SECOND;
        let quarter = seconds / QUARTER;
        let offset = match self.last {
            Some((same, offset)) if same == quarter => offset,
            _ => {
                let time = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
                let offset = time.map_or(0, |time| i64::from(self.zone.to_offset(time).seconds()));
                self.last = Some((quarter, offset));
                offset
            }
        };
        seconds.saturating_add_signed(offset)
    }

    /// `HH:MM:SS.uuuuuu` for nanoseconds since the epoch.
    pub(super) fn time(&mut self, out: &mut Vec<u8>, ns: u64) {
        let day = self.local_seconds(ns) % DAY;
        let (hours, minutes, seconds) = (day / 3600, day / 60 % 60, day % 60);
        // Writing to a vector can not fail.
        let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}.{:06}", ns % SECOND / 1000);
    }

    /// `YYYY-MM-DDTHH:MM:SS.uuuuuu`.
    pub(super) fn date_and_time(&mut self, out: &mut Vec<u8>, ns: u64) {
        let local = i64::try_from(self.local_seconds(ns)).ok().and_then(|s| Timestamp::from_second(s).ok());
        if let Some(local) = local {
            let _ = write!(out, "{}T", jiff::tz::Offset::UTC.to_datetime(local).date());
        }
        self.time(out, ns);
    }
}
