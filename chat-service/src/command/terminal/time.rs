//! Durations and times in a few words.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration in its largest unit, rounded: `40 s`, `5 min`, `3 h`, `2 d`.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = (duration + Duration::from_millis(500)).as_secs();
    let in_units = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_570 => format!("{} min", in_units(MINUTE)),
        3_570..84_600 => format!("{} h", in_units(HOUR)),
        _ => format!("{} d", in_units(DAY)),
    }
}

/// How long ago `at` was. The clocks of servers may be ahead of this one.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let passed = now.duration_since(at);
    let passed = Duration::try_from(passed).unwrap_or(Duration::ZERO);
    format!("{} ago", rough(passed))
}

/// The time of the day in `zone`, with the day unless that is today.
pub(super) fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    if at.date() == now.date() {
        at.strftime("%H:%M").to_string()
    } else {
        at.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// A time of the contract.
pub(super) fn timestamp(at: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok()
}

/// A duration of the contract; zero where it is below that.
pub(super) fn duration(duration: &prost_types::Duration) -> Duration {
    Duration::try_from(*duration).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_rounded_to_its_largest_unit() {
        for (milliseconds, text) in [
            (0, "0 s"),
            (1_500, "2 s"),
            (59_400, "59 s"),
            (59_600, "1 min"),
            (3_569_000, "59 min"),
            (3_571_000, "1 h"),
            (84_000_000, "23 h"),
            (86_000_000, "1 d"),
            (3 * 86_400_000, "3 d"),
        ] {
            assert_eq!(rough(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn a_time_has_its_day_unless_that_is_today_and_none_lies_ahead() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let clock = |text| clock(at(text), now, &TimeZone::UTC);
        assert_eq!(clock("2026-11-30T12:04:30Z"), "12:04");
        assert_eq!(clock("2026-12-01T08:00:00Z"), "2026-12-01 08:00");
        assert_eq!(ago(at("2026-11-30T11:59:20Z"), now), "40 s ago");
        assert_eq!(ago(at("2026-11-30T12:00:09Z"), now), "0 s ago");
    }
}
