//! The time zone of this machine.

/// The number of seconds by which local time is ahead of UTC at the moment `secs`, in seconds since 1970. The time zone
/// is that of `localtime_r`: the zone in `TZ`, else the system's zone. 0 if the moment has no local time.
#[allow(clippy::useless_conversion)] // `time_t` and `c_long` have 32 bits on some systems.
pub fn offset_from_utc(secs: i64) -> i64 {
    let time = libc::time_t::try_from(secs).unwrap_or_default();
    // SAFETY: an all-zero `tm` is numbers and a null pointer.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, which fills `local`.
    let filled = unsafe { libc::localtime_r(&time, &mut local) };
    if filled.is_null() { 0 } else { i64::from(local.tm_gmtoff) }
}
