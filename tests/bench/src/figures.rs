//! Numbers as they are printed.

use std::time::Duration;

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0)
}

/// To three digits after the point.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a benchmark's figure")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
