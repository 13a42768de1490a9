//! The demand factor: a budget that is too small for all refreshes sheds load by scaling their
//! intervals.

use std::time::Duration;

use proto::sync::{BudgetView, Lane, Window};

use super::{Settings, window::reserve};

/// No interval is scaled by more.
const MOST: f64 = 16.0;
/// The length of a window that the host does not state: GitHub's is an hour.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// The supply is planned to last a little beyond the reset, so that budgets do not all resume at
/// once.
const MARGIN: Duration = Duration::from_secs(15);

/// The window that the refs of a budget mostly spend, by its host.
#[derive(Clone, Debug, PartialEq)]
pub struct Supply {
    /// The window.
    pub window: Window,
    /// Requests or points of it that a ref takes.
    pub requests_per_ref: f64,
}

/// The factor by which intervals of one budget are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemandFactor(f64);

impl DemandFactor {
    /// Intervals are as they are.
    pub const ONE: Self = Self(1.0);

    /// Need over supply, from 1 to 16. The need is what all refs of the budget ask for at their
    /// base intervals; the supply is what may be spent until the window ends, or where the host
    /// states no limit the worker's own `ceiling`, in requests a second. A closed form: nothing is
    /// tried and corrected, so nothing swings.
    #[must_use]
    pub fn of(
        settings: &Settings,
        budget: &BudgetView,
        supply: &Supply,
        ceiling: Option<f64>,
    ) -> Self {
        let Some(per_second) = per_second(settings, &supply.window).or(ceiling) else {
            return Self::ONE;
        };
        let need = budget.demand * supply.requests_per_ref;
        if need <= 0.0 {
            return Self::ONE;
        }
        // Without any supply the quotient is infinite, and bounded.
        Self((need / per_second).clamp(1.0, MOST))
    }

    /// The interval of a ref, scaled. Idle refs bear the most and what is looked at the least.
    #[must_use]
    pub fn scale(self, lane: Lane, interval: Duration) -> Duration {
        let factor = match lane {
            Lane::Interactive | Lane::Viewed => self.0.sqrt(),
            Lane::Active => self.0,
            Lane::Idle => self.0.powf(1.5),
        };
        interval.mul_f64(factor)
    }

    /// The factor itself, for metrics.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

/// Requests or points a second that may be spent until the window ends; `None` when there is no
/// limit.
fn per_second(settings: &Settings, window: &Window) -> Option<f64> {
    let limit = window.limit.filter(|limit| *limit > 0)?;
    let spendable = window
        .remaining?
        .saturating_sub(reserve(settings, limit))
        .max(0);
    let horizon = window
        .reset_in
        .or(window.length)
        .unwrap_or(WINDOW)
        .saturating_add(MARGIN);
    // No limit is beyond what f64 counts exactly.
    let spendable = f64::from(u32::try_from(spendable).unwrap_or(u32::MAX));
    Some(spendable / horizon.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(limit: Option<i64>, remaining: i64, demand: f64) -> f64 {
        let budget = BudgetView {
            demand,
            ..BudgetView::default()
        };
        let supply = Supply {
            window: Window {
                limit,
                remaining: Some(remaining),
                reset_in: Some(WINDOW),
                ..Window::default()
            },
            requests_per_ref: 1.0 / 25.0,
        };
        DemandFactor::of(&Settings::default(), &budget, &supply, None).value()
    }

    #[test]
    fn intervals_grow_by_need_over_supply_and_no_more_than_sixteen_times() {
        for (limit, remaining, demand, expected) in [
            // Two hundred pull requests every two minutes.
            (Some(5000), 5000, 200.0 / 120.0, 1.0),
            // 3,000 points an hour for 25 refs each are 20.8 refs a second.
            (Some(5000), 5000, 41.8, 2.0),
            (Some(5000), 2000, 1.0, MOST),
            (Some(5000), 0, 1.0, MOST),
            (Some(5000), 0, 0.0, 1.0),
            (None, 0, 100.0, 1.0),
        ] {
            let factor = factor(limit, remaining, demand);
            assert!((factor - expected).abs() < 0.02, "{demand}: {factor}");
        }
    }

    #[test]
    fn idle_refs_bear_a_shortage_first() {
        let (factor, minute) = (DemandFactor(4.0), Duration::from_secs(60));
        assert_eq!(factor.scale(Lane::Viewed, minute), minute * 2);
        assert_eq!(factor.scale(Lane::Active, minute), minute * 4);
        assert_eq!(factor.scale(Lane::Idle, minute), minute * 8);
    }
}
