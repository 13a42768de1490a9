//! How far apart GraphQL requests of one budget key are.

use std::time::{Duration, Instant};

use super::{BURST_REFILL, Settings};

/// The burst of a budget key while it is leased: some requests go at once, those after it keep a distance.
#[derive(Clone, Debug)]
pub struct Burst {
    most: f64,
    gap: Duration,
    jitter_percent: u32,
    spent: f64,
    /// Since when `spent` is as it is, and when the last request was sent.
    last: Option<Instant>,
    sent: u32,
}

impl Burst {
    /// Nothing was sent yet. After a secondary limit, there is no burst.
    #[must_use]
    pub fn new(settings: &Settings, cautious: bool) -> Self {
        Self {
            most: if cautious {
                0.0
            } else {
                f64::from(settings.burst)
            },
            gap: if cautious {
                settings.cautious_gap.max(settings.burst_gap)
            } else {
                settings.burst_gap
            },
            jitter_percent: settings.gap_jitter_percent.min(100),
            spent: 0.0,
            last: None,
            sent: 0,
        }
    }

    /// How long the next request has to wait.
    #[must_use]
    pub fn delay(&self, now: Instant) -> Duration {
        if self.level(now) + 1.0 <= self.most {
            return Duration::ZERO;
        }
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        self.varied_gap()
            .saturating_sub(now.saturating_duration_since(last))
    }

    /// Counts a request.
    pub fn sent(&mut self, now: Instant) {
        self.spent = self.level(now) + 1.0;
        self.last = Some(now);
        self.sent = self.sent.wrapping_add(1);
    }

    fn level(&self, now: Instant) -> f64 {
        let passed = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        (self.spent - passed.as_secs_f64() / BURST_REFILL.as_secs_f64()).max(0.0)
    }

    /// The gap and its jitter more or less: a fixed step through the range, which is as good as a
    /// random one to keep keys apart that began together with different numbers of requests.
    fn varied_gap(&self) -> Duration {
        const STEPS: u32 = 8;
        // 5 and 8 have no common divisor: eight requests use all steps.
        let step = (self.sent * 5) % STEPS;
        let least = self.gap * (100 - self.jitter_percent) / 100;
        let range = self.gap * (2 * self.jitter_percent) / 100;
        least + range * step / (STEPS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(burst: &mut Burst, requests: usize) -> Vec<Duration> {
        let mut now = Instant::now();
        (0..requests)
            .map(|_| {
                let delay = burst.delay(now);
                now += delay;
                burst.sent(now);
                delay
            })
            .collect()
    }

    #[test]
    fn five_requests_go_at_once_and_those_after_them_keep_a_distance() {
        let settings = Settings::default();
        let waits = waits(&mut Burst::new(&settings, false), 20);
        assert!(waits[..5].iter().all(Duration::is_zero), "{waits:?}");
        let (least, most) = (settings.burst_gap * 4 / 5, settings.burst_gap * 6 / 5);
        // One that is forgiven while the others wait goes at once again.
        let apart = waits[5..].iter().filter(|wait| **wait >= least).count();
        assert!(apart >= 11, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= most), "{waits:?}");
    }

    #[test]
    fn a_request_is_forgiven_every_three_seconds() {
        let mut burst = Burst::new(&Settings::default(), false);
        let now = Instant::now();
        (0..5).for_each(|_| burst.sent(now));
        assert!(!burst.delay(now).is_zero());
        assert!(burst.delay(now + BURST_REFILL).is_zero());
    }

    #[test]
    fn after_a_secondary_limit_there_is_no_burst() {
        let waits = waits(&mut Burst::new(&Settings::default(), true), 4);
        assert!(waits[0].is_zero());
        assert!(
            waits[1..]
                .iter()
                .all(|wait| *wait >= Duration::from_millis(1600)),
            "{waits:?}"
        );
    }
}
