//! Moments: the [`Time`] of a file, in nanoseconds, and the [`Stamp`] of a snapshot.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as file systems store it: whole seconds since 1970 (negative before 1970), plus nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A time stamp is believed when it is older than this many seconds. Some file systems store only whole seconds (FAT:
/// steps of two seconds). So a file that changes twice within this time can keep its stamp.
const SETTLED_SECS: i64 = 2;

impl Time {
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Time { secs: after.as_secs() as i64, nanos: after.subsec_nanos() },
            Err(before) => Time::from_nanos(-(before.duration().as_nanos() as i128)),
        }
    }

    pub fn from_nanos(nanos: i128) -> Self {
        let secs = nanos.div_euclid(1_000_000_000).clamp(i64::MIN as i128, i64::MAX as i128);
        Time { secs: secs as i64, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
    }

    pub fn to_nanos(self) -> i128 {
        i128::from(self.secs) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// Nanoseconds since 1970, saturating at the limits of 64 bits (years 1677 and 2262).
    pub fn to_nanos_i64(self) -> i64 {
        self.to_nanos().clamp(i64::MIN as i128, i64::MAX as i128) as i64
    }

    /// This moment plus `secs` seconds, saturating.
    pub fn plus_secs(self, secs: i64) -> Self {
        Time { secs: self.secs.saturating_add(secs), ..self }
    }

    /// True if no change after the moment `reached` can get this stamp. `reached` is a moment of the clock that makes
    /// the stamps.
    pub fn is_settled_by(self, reached: Time) -> bool {
        self.plus_secs(SETTLED_SECS) < reached
    }

    /// Reads `SECONDS.NNNNNNNNN` as [`Display`](fmt::Display) writes it; any other spelling is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (secs, nanos) = text.split_once('.')?;
        let time = Time { secs: secs.parse().ok()?, nanos: nanos.parse().ok()? };
        (time.nanos < 1_000_000_000 && time.to_string() == text).then_some(time)
    }
}

/// `SECONDS.NNNNNNNNN`: seconds rounded down (may be negative), then the nanoseconds to add, as nine digits. For
/// example half a second before 1970 is `-1.500000000`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.secs, self.nanos)
    }
}

/// The name of a snapshot: a UTC moment in microseconds since 1970, written `20261122T220530.123456Z`. Names
/// sort as their snapshots do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

/// The last microsecond of the year 9999: the text form has four digits for the year.
const STAMP_MAX: i64 = 253_402_300_799_999_999;
const DAY: i64 = 86_400_000_000;
const TEXT_LEN: usize = "20261122T220530.123456Z".len();

impl Stamp {
    /// The stamp of a moment, clamped to the years 1970 to 9999.
    pub fn from_time(time: Time) -> Self {
        let micros = time.to_nanos().div_euclid(1000);
        Stamp(micros.clamp(0, STAMP_MAX as i128) as i64)
    }

    pub fn to_time(self) -> Time {
        Time::from_nanos(i128::from(self.0) * 1000)
    }

    /// The UTC day of this stamp, counted from 1970-01-01.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// The stamp of a snapshot made at `time`, rounded down to an even number of microseconds. Odd stamps are
    /// those of [`Stamp::moved_behind`].
    pub fn of_clock(time: Time) -> Self {
        Stamp(Self::from_time(time).0 & !1)
    }

    /// The next odd stamp after this one. A new snapshot gets it if the stamp of the clock would not be later
    /// than this stamp. `None` at the end of the year 9999.
    pub fn moved_behind(self) -> Option<Self> {
        let next = (self.0 + 1) | 1;
        (next <= STAMP_MAX).then_some(Stamp(next))
    }

    /// True for a stamp made by [`Stamp::moved_behind`]: such a stamp does not say when its snapshot was made.
    pub fn is_moved(self) -> bool {
        self.0 & 1 == 1
    }

    /// Microseconds between two stamps, in either order.
    pub fn distance(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// Reads the form that [`Display`](fmt::Display) writes; any other spelling is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != TEXT_LEN || bytes[8] != b'T' || bytes[15] != b'.' || bytes[22] != b'Z' {
            return None;
        }
        let digits = |from: usize, to: usize| -> Option<i64> {
            bytes[from..to]
                .iter()
                .try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
        };
        let days = days_from_civil(digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
        let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
        let stamp =
            Stamp(((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + digits(16, 22)?);
        (stamp.0 >= 0 && stamp.0 <= STAMP_MAX && stamp.to_string() == text).then_some(stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.day(), self.0.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        let (second, micros) = (in_day / 1_000_000, in_day % 1_000_000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{micros:06}Z")
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of the date `days` days after 1970-01-01: the inverse of [`days_from_civil`], from the
/// same source.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let doe = days.rem_euclid(146_097);
    let year_of_era = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let day_of_year = doe - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        let time = Time { secs: 1_795_385_130, nanos: 123_456_789 };
        assert_eq!(Stamp::from_time(time).to_string(), "20261122T220530.123456Z");
        assert_eq!(Stamp::from_time(Time::default()).to_string(), "19700101T000000.000000Z");
        assert_eq!(Stamp(951_782_400_000_000).to_string(), "20000229T000000.000000Z");
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "20261122T220530.12345Z",
            "20261322T220530.123456Z",
            "20260230T000000.000000Z",
            "20261122T246000.000000Z",
            "2026112 T220530.123456Z",
            "",
        ] {
            assert_eq!(Stamp::parse(text), None, "{text:?}");
        }
        for text in [
            "1",
            "1.0",
            "1.0000000000",
            "0.1000000000",
            "+1.000000000",
            "-0.000000000",
            "1.00000000a",
            "01.000000000",
        ] {
            assert_eq!(Time::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn stamps_survive_their_text(micros in 0..=STAMP_MAX, other in 0..=STAMP_MAX) {
            let text = Stamp(micros).to_string();
            prop_assert_eq!(Stamp::parse(&text), Some(Stamp(micros)));
            prop_assert_eq!(text.cmp(&Stamp(other).to_string()), micros.cmp(&other));
        }

        #[test]
        fn times_survive_their_text(secs in any::<i64>(), nanos in 0..1_000_000_000u32) {
            let time = Time { secs, nanos };
            prop_assert_eq!(Time::parse(&time.to_string()), Some(time));
            prop_assert_eq!(Time::from_nanos(time.to_nanos()), time);
        }
    }
}
