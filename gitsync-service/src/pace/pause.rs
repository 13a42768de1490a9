//! How long a budget key, a credential or a query is left alone.
//!
//! What is added to the host's own word depends on the key: a thousand keys whose windows end in the
//! same second come back one after the other.

use std::time::Duration;

use crate::lease::BudgetKey;

use super::share;

/// Added to a reset: the host's limiter and its clock need not agree to the second.
pub const RESET_PADDING: Duration = Duration::from_secs(7);
/// Over which keys that reset together are spread.
pub const RESET_SPREAD: Duration = Duration::from_secs(60);
/// GitHub: after a secondary limit without `retry-after`, "wait for at least one minute", and longer
/// each time that it comes again.
pub const SECONDARY: Duration = Duration::from_secs(60);
/// How far that grows.
pub const SECONDARY_CAP: Duration = Duration::from_secs(30 * 60);
/// When a token that was refused once is tried again: GitHub refuses good ones now and then.
pub const CONFIRMATION: Duration = Duration::from_secs(45);
/// Over which such confirmations are spread.
pub const CONFIRMATION_SPREAD: Duration = Duration::from_secs(30);
/// When an account that is suspended or locked is tried again.
pub const LOCKED: Duration = Duration::from_secs(60 * 60);
/// When a query that the host gave up on is asked again, in smaller parts: it may be the host that is
/// in trouble, and GitHub charges for what it gives up on.
pub const HEAVY: Duration = Duration::from_secs(1);
/// Over which such tries are spread.
pub const HEAVY_SPREAD: Duration = Duration::from_secs(2);

/// 2^20 times any pause is beyond every cap.
const MOST_STRIKES: u32 = 20;

/// The pauses. Those that an operator can judge are settings of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// See [`RESET_PADDING`].
    pub reset_padding: Duration,
    /// See [`RESET_SPREAD`].
    pub reset_spread: Duration,
    /// See [`SECONDARY`].
    pub secondary_pause: Duration,
    /// See [`SECONDARY_CAP`].
    pub secondary_cap: Duration,
    /// See [`CONFIRMATION`].
    pub confirmation: Duration,
    /// See [`CONFIRMATION_SPREAD`].
    pub confirmation_spread: Duration,
    /// See [`LOCKED`].
    pub locked_pause: Duration,
    /// See [`HEAVY`].
    pub heavy_pause: Duration,
    /// See [`HEAVY_SPREAD`].
    pub heavy_spread: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            reset_padding: RESET_PADDING,
            reset_spread: RESET_SPREAD,
            secondary_pause: SECONDARY,
            secondary_cap: SECONDARY_CAP,
            confirmation: CONFIRMATION,
            confirmation_spread: CONFIRMATION_SPREAD,
            locked_pause: LOCKED,
            heavy_pause: HEAVY,
            heavy_spread: HEAVY_SPREAD,
        }
    }
}

/// After a spent limit, when the window ends in `reset_in`.
#[must_use]
pub fn primary(pauses: &Pauses, reset_in: Duration, key: &BudgetKey) -> Duration {
    reset_in
        .saturating_add(pauses.reset_padding)
        .saturating_add(pauses.reset_spread.mul_f64(share(key, 1)))
}

/// After a secondary limit, the `strikes`-th before not counted: what the host asks for, or twice as long
/// each time.
#[must_use]
pub fn secondary(
    pauses: &Pauses,
    retry_after: Option<Duration>,
    strikes: u32,
    key: &BudgetKey,
) -> Duration {
    let least = pauses
        .secondary_pause
        .saturating_mul(1 << strikes.min(MOST_STRIKES))
        .min(pauses.secondary_cap);
    let pause = retry_after.unwrap_or_default().max(least);
    pause.saturating_add((pause / 5).mul_f64(share(key, 2)))
}

/// Until a credential that was refused once is tried once more.
#[must_use]
pub fn suspect_confirmation(pauses: &Pauses, key: &BudgetKey) -> Duration {
    pauses.confirmation + pauses.confirmation_spread.mul_f64(share(key, 3))
}

/// After the host locked the account: it rejects good tokens, too, and counts each try.
#[must_use]
pub fn locked(pauses: &Pauses, key: &BudgetKey) -> Duration {
    pauses.locked_pause + (pauses.locked_pause / 10).mul_f64(share(key, 4))
}

/// Until what the host gave up on is asked again.
#[must_use]
pub fn heavy(pauses: &Pauses, key: &BudgetKey) -> Duration {
    pauses.heavy_pause + pauses.heavy_spread.mul_f64(share(key, 6))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(number: u32) -> BudgetKey {
        BudgetKey(format!("github:{number}"))
    }

    #[test]
    fn a_thousand_keys_that_reset_in_the_same_second_do_not_stampede() {
        let reset = Duration::from_secs(1800);
        let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
        for number in 0..1000 {
            let pause = primary(&Pauses::default(), reset, &key(number));
            assert!(pause >= reset + RESET_PADDING);
            assert!(pause <= reset + RESET_PADDING + RESET_SPREAD);
            *seconds.entry(pause.as_secs()).or_default() += 1;
        }
        let most = seconds.values().max().copied().unwrap_or(0);
        assert!(most <= 40, "{most} in one second");
    }

    #[test]
    fn a_secondary_limit_lasts_longer_each_time_and_never_less_than_the_host_asks_for() {
        let pause = |asked: Option<u64>, strikes| {
            let asked = asked.map(Duration::from_secs);
            secondary(&Pauses::default(), asked, strikes, &key(1))
        };
        assert!(pause(None, 0) >= SECONDARY);
        assert!(pause(Some(5), 0) >= SECONDARY);
        assert!(pause(None, 2) >= SECONDARY * 4);
        assert!(pause(None, 99) >= SECONDARY_CAP && pause(None, 99) <= SECONDARY_CAP * 6 / 5);
        assert!(pause(Some(7200), 0) >= Duration::from_secs(7200));
    }

    #[test]
    fn a_suspect_token_is_confirmed_after_a_minute_or_so() {
        let confirmation = suspect_confirmation(&Pauses::default(), &key(7));
        assert!(confirmation >= CONFIRMATION && confirmation <= CONFIRMATION + CONFIRMATION_SPREAD);
    }

    #[test]
    fn a_query_that_was_given_up_on_waits_one_to_three_seconds_by_its_key() {
        let waits = [1, 2, 3].map(|number| heavy(&Pauses::default(), &key(number)));
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(3));
        assert!(waits.iter().all(|wait| (least..=most).contains(wait)));
        assert!(waits[0] != waits[1] && waits[1] != waits[2], "{waits:?}");
    }
}
