//! Durations as people write them.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Parses a whole number and a unit: `250ms`, `10s`, `2m`, `24h`.
///
/// # Errors
///
/// What a duration looks like, when this is none.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const SHAPE: &str = "must be a whole number with a unit (ms, s, m, h), as in 10s";
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(SHAPE)?;
    let number: u64 = number.parse().map_err(|_| SHAPE)?;
    let milliseconds = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, scale)| number.checked_mul(*scale))
        .ok_or(SHAPE)?;
    Ok(Duration::from_millis(milliseconds))
}

/// Writes a duration so that [`parse_duration`] reads it, in the largest unit without a rest.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, scale) = UNITS
        .iter()
        .rev()
        .find(|(_, scale)| milliseconds >= *scale && milliseconds.is_multiple_of(*scale))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", milliseconds / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, milliseconds) in [
            ("0ms", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(format_duration(duration), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 s",
            "10d",
            "99999999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
