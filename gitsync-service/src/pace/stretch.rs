//! How far apart refreshes are when a budget is too small for all of them.

use std::time::Duration;

use crate::{
    lease::{BudgetView, Window},
    outcome::Interface,
};

use super::{Settings, allowance::reserve};

/// No interval is stretched by more.
const MOST: f64 = 16.0;
/// What is left of a window of which nothing is told: as long as GitHub's lasts.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// The supply is planned to last a little beyond the reset, so that keys do not all start anew at once.
const MARGIN: Duration = Duration::from_secs(15);

/// Who pulls on a budget, and so how much of a shortage they bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Somebody is looking.
    Viewed,
    /// Something moves.
    Active,
    /// Nothing does.
    Idle,
}

/// By how much intervals of one budget key are stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch(f64);

impl Stretch {
    /// Nothing is stretched.
    #[must_use]
    pub fn none() -> Self {
        Self(1.0)
    }

    /// Need over supply, from 1 to 16. The need is what all refs of the key ask for at their base
    /// intervals, at a request for each batch; the supply is what may be spent until the window ends. A
    /// closed form: nothing is tried and corrected, so nothing swings.
    #[must_use]
    pub fn of(settings: &Settings, budget: &BudgetView) -> Self {
        // Of the cheaper interface, unless there is none.
        let graphql = budget.window(Interface::Graphql.window());
        let (window, refs_per_request) = if graphql.limit.is_some_and(|limit| limit > 0) {
            (graphql, f64::from(settings.detail_batch.max(1)))
        } else {
            (budget.window(Interface::Rest.window()), 1.0)
        };
        let Some(supply) = supply(settings, &window) else {
            return Self::none();
        };
        let need = budget.demand / refs_per_request;
        if need <= 0.0 {
            return Self::none();
        }
        // Without any supply the quotient is infinite, and bounded.
        Self((need / supply).clamp(1.0, MOST))
    }

    /// The interval of a ref, stretched. Idle refs bear the most and what is looked at the least.
    #[must_use]
    pub fn apply(self, pull: Pull, interval: Duration) -> Duration {
        let factor = match pull {
            Pull::Viewed => self.0.sqrt(),
            Pull::Active => self.0,
            Pull::Idle => self.0.powf(1.5),
        };
        interval.mul_f64(factor)
    }

    /// The factor itself, for metrics.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0
    }
}

/// Requests or points a second that may be spent until the window ends; `None` when there is no limit.
fn supply(settings: &Settings, window: &Window) -> Option<f64> {
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
    // A limit does not go beyond what f64 counts exactly by far.
    let spendable = f64::from(u32::try_from(spendable).unwrap_or(u32::MAX));
    Some(spendable / horizon.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(remaining: i64, demand: f64) -> BudgetView {
        BudgetView {
            windows: vec![Window {
                name: "graphql".to_owned(),
                limit: Some(5000),
                remaining: Some(remaining),
                reset_in: Some(WINDOW),
                ..Window::default()
            }],
            demand,
            ..BudgetView::default()
        }
    }

    fn factor(remaining: i64, demand: f64) -> f64 {
        Stretch::of(&Settings::default(), &budget(remaining, demand)).factor()
    }

    #[test]
    fn two_hundred_pull_requests_every_two_minutes_need_no_stretching() {
        assert!((factor(5000, 200.0 / 120.0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn intervals_stretch_by_need_over_supply_and_no_more_than_sixteen_times() {
        // 3,000 points an hour for 25 refs each are 20.8 refs a second.
        let twice = factor(5000, 41.8);
        assert!((twice - 2.0).abs() < 0.02, "{twice}");
        assert!((factor(2000, 1.0) - MOST).abs() < f64::EPSILON);
        assert!((factor(0, 1.0) - MOST).abs() < f64::EPSILON);
    }

    #[test]
    fn idle_refs_bear_a_shortage_first() {
        let stretch = Stretch(4.0);
        let minute = Duration::from_secs(60);
        assert_eq!(stretch.apply(Pull::Viewed, minute), minute * 2);
        assert_eq!(stretch.apply(Pull::Active, minute), minute * 4);
        assert_eq!(stretch.apply(Pull::Idle, minute), minute * 8);
    }

    #[test]
    fn without_a_limit_or_a_need_nothing_is_stretched() {
        let unlimited = BudgetView {
            demand: 100.0,
            ..BudgetView::default()
        };
        assert_eq!(
            Stretch::of(&Settings::default(), &unlimited),
            Stretch::none()
        );
        assert!((factor(0, 0.0) - 1.0).abs() < f64::EPSILON);
    }
}
