//! Jitter of durations, so that things that begin together do not end together.

use std::time::Duration;

use uuid::Uuid;

/// `duration`, longer or shorter by up to `share` of it.
#[must_use]
pub fn jittered(duration: Duration, share: f64) -> Duration {
    let id = Uuid::new_v4();
    // The first field of a version 4 UUID is random throughout.
    let (random, ..) = id.as_fields();
    let random = f64::from(random) / f64::from(u32::MAX);
    duration.mul_f64(1.0 + share * (2.0 * random - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(1000);
        let ages: Vec<_> = (0..100).map(|_| jittered(age, 0.1)).collect();
        let span = Duration::from_secs(900)..=Duration::from_secs(1100);
        assert!(ages.iter().all(|age| span.contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age != ages[0]), "{ages:?}");
    }
}
