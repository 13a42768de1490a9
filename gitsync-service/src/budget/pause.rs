//! How long a budget pauses.
//!
//! The padding of the host's reset depends on the budget's key: a thousand budgets whose windows
//! end in the same second resume one after the other.

use std::time::Duration;

use proto::sync::BudgetKey;

use super::{Settings, share};

/// Added to a reset: the host's limiter and its clock need not agree to the second.
pub const RESET_PADDING: Duration = Duration::from_secs(7);
/// Duration over which budgets that reset together come back.
pub const RESET_SPREAD: Duration = Duration::from_secs(60);
/// GitHub: after a secondary limit without `retry-after`, "wait for at least one minute", and
/// longer each time that it comes again.
pub const SECONDARY: Duration = Duration::from_secs(60);
/// Longest pause after a secondary limit.
pub const SECONDARY_CAP: Duration = Duration::from_secs(30 * 60);
/// When to come back to a window whose end is not known. GitHub: "wait for at least one minute".
pub(super) const UNKNOWN_RESET: Duration = Duration::from_secs(60);
/// When an account that is suspended or locked is tried again.
const LOCKED: Duration = Duration::from_secs(60 * 60);

/// 2^20 times any pause is beyond every cap.
const MOST_STRIKES: u32 = 20;

/// After a spent limit, when the window ends in `reset_in`.
pub(super) fn primary(settings: &Settings, reset_in: Duration, key: &BudgetKey) -> Duration {
    reset_in
        .saturating_add(settings.reset_padding)
        .saturating_add(settings.reset_spread.mul_f64(share(key, 1)))
}

/// After a secondary limit with `strikes` before it: what the host asks for, or twice as long each
/// time.
pub(super) fn secondary(
    settings: &Settings,
    retry_after: Option<Duration>,
    strikes: u32,
    key: &BudgetKey,
) -> Duration {
    let least = settings
        .secondary_pause
        .saturating_mul(1 << strikes.min(MOST_STRIKES))
        .min(SECONDARY_CAP);
    let pause = retry_after.unwrap_or_default().max(least);
    pause.saturating_add((pause / 5).mul_f64(share(key, 2)))
}

/// After the host locked the account: it rejects good tokens, too, and counts each try.
pub(super) fn locked(key: &BudgetKey) -> Duration {
    LOCKED + (LOCKED / 10).mul_f64(share(key, 4))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(number: u32) -> BudgetKey {
        BudgetKey(format!("github:{number}"))
    }

    #[test]
    fn a_thousand_budgets_that_reset_in_the_same_second_do_not_stampede() {
        let reset = Duration::from_secs(1800);
        let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
        for number in 0..1000 {
            let pause = primary(&Settings::default(), reset, &key(number));
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
            secondary(&Settings::default(), asked, strikes, &key(1))
        };
        assert!(pause(None, 0) >= SECONDARY);
        assert!(pause(Some(5), 0) >= SECONDARY);
        assert!(pause(None, 2) >= SECONDARY * 4);
        assert!(pause(None, 99) >= SECONDARY_CAP && pause(None, 99) <= SECONDARY_CAP * 6 / 5);
        assert!(pause(Some(7200), 0) >= Duration::from_secs(7200));
    }
}
