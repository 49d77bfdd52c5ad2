//! The time zone of this machine.

/// The number of seconds by which local time is ahead of UTC at the moment `secs`, in seconds since 1970. The time zone
/// is that of `localtime_r`: the zone in `TZ`, else the system's zone. 0 if the moment has no local time.
#[allow(clippy::useless_conversion)] // `time_t` and `c_long` have 32 bits on some systems.
pub fn offset_from_utc(secs: i64) -> i64 {
    let time = libc::time_t::try_from(secs).unwrap_or_else(|_| same_day_before_2038(secs).into());
    // SAFETY: an all-zero `tm` is numbers and a null pointer.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, which fills `local`.
    let filled = unsafe { libc::localtime_r(&time, &mut local) };
    if filled.is_null() { 0 } else { i64::from(local.tm_gmtoff) }
}

/// The seconds of 28 years, 7 of them leap years. After this time a date of the years 1901 to 2099 is the same day of
/// the week again, so clocks are set forward and back at the same moments of the year.
const CALENDAR_CYCLE: i64 = (28 * 365 + 7) * 86_400;

/// The moment of the years 2010 to 2037 that is a number of calendar cycles before or after `secs`. A `time_t` of 32
/// bits ends in January 2038; the rules of the time zone that hold until then count for later years too.
fn same_day_before_2038(secs: i64) -> i32 {
    let last = i64::from(i32::MAX);
    let before_last = last.saturating_sub(secs).rem_euclid(CALENDAR_CYCLE);
    (last - before_last) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_after_2037_has_the_same_weekday_and_season_in_an_earlier_year() {
        let noons = [
            (2_540_289_600, 1_656_676_800), // 2050-07-01, 2022-07-01
            (2_147_515_200, 1_263_902_400), // 2038-01-19 12:00, 2010-01-19 12:00
            (1_656_676_800, 1_656_676_800),
        ];
        for (later, same) in noons {
            assert_eq!(i64::from(same_day_before_2038(later)), same);
        }
        for secs in [i64::MIN, 0, i64::from(i32::MAX), i64::from(i32::MAX) + 1, 253_402_300_799, i64::MAX] {
            let same = i64::from(same_day_before_2038(secs));
            assert!((i64::from(i32::MAX) - CALENDAR_CYCLE..=i64::from(i32::MAX)).contains(&same), "{secs}");
        }
    }
}
