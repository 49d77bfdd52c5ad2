//! Moments as decimal numbers, in the archives and the states of the ancestor.

use crate::stamp::Time;

/// The moment `text` seconds after 1970, for example `-1.25`. Digits after the ninth decimal place are dropped. `None`
/// if the text is no such number, or has an exponent.
pub fn decimal_time(text: &str) -> Option<Time> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos = whole.parse::<i128>().ok()? * 1_000_000_000 + digits.parse::<i128>().ok()?;
    Some(Time::from_nanos(if is_negative { -nanos } else { nanos }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimal_numbers() {
        let time = |text: &str| decimal_time(text).map(|time| time.to_string());
        assert_eq!(time("12.5").as_deref(), Some("12.500000000"));
        assert_eq!(time("-1.25").as_deref(), Some("-2.750000000"));
        assert_eq!(time("7").as_deref(), Some("7.000000000"));
        for wrong in ["", ".", "1e5", "+1", "1.x", "--1", "9999999999999999999"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
