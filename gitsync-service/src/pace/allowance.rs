//! Whether a budget has room for a request, and the account's owner keeps their part.

use crate::{
    lease::{BudgetView, Lane, Window},
    outcome::Interface,
};

use super::Settings;

/// What may be spent of a budget key while it is leased.
#[derive(Clone, Debug)]
pub struct Allowance {
    settings: Settings,
    rest: Window,
    graphql: Window,
}

impl Allowance {
    /// Begins with what all workers together know. What was left of a window is known until it ends: of
    /// one that is over, or whose end nobody told, a first request finds out.
    #[must_use]
    pub fn of(settings: &Settings, budget: &BudgetView) -> Self {
        let known = |window: Window| Window {
            remaining: window
                .remaining
                .filter(|_| window.reset_in.is_some_and(|reset_in| !reset_in.is_zero())),
            ..window
        };
        let window = |interface: Interface| known(budget.window(interface.window()));
        Self {
            settings: settings.clone(),
            rest: window(Interface::Rest),
            graphql: window(Interface::Graphql),
        }
    }

    /// Whether refs of `lane` may spend so many requests or points.
    ///
    /// What runs in the background leaves the reserve alone; where somebody is looking or waiting, it
    /// may be used down to a floor. What is not known, or not limited, may be spent; an interface that
    /// is paused may not.
    #[must_use]
    pub fn may_spend(&self, interface: Interface, lane: Lane, points: i64) -> bool {
        if self.is_paused(interface) {
            return false;
        }
        let window = self.window(interface);
        let (Some(limit), Some(remaining)) = (window.limit, window.remaining) else {
            return true;
        };
        // An Enterprise host whose limits are off says so.
        if limit <= 0 {
            return true;
        }
        let kept = match lane {
            Lane::Interactive | Lane::Viewed => floor(&self.settings, limit),
            Lane::Active | Lane::Idle => reserve(&self.settings, limit),
        };
        remaining.saturating_sub(points) >= kept
    }

    /// Whether an interface is paused, whatever is left of its limit.
    #[must_use]
    pub fn is_paused(&self, interface: Interface) -> bool {
        let pause = self.window(interface).pause_for;
        pause.is_some_and(|pause| !pause.is_zero())
    }

    /// Takes in what an answer said. Within a window the least that is left counts: answers overtake one
    /// another.
    pub fn observe(&mut self, interface: Interface, new: Window) {
        let seen = match interface {
            Interface::Rest => &mut self.rest,
            Interface::Graphql => &mut self.graphql,
        };
        *seen = Window {
            pause_for: new.pause_for.or(seen.pause_for),
            ..new
        };
    }

    fn window(&self, interface: Interface) -> &Window {
        match interface {
            Interface::Rest => &self.rest,
            Interface::Graphql => &self.graphql,
        }
    }
}

/// What the account's owner keeps of a limit. Never all of it, however small it is.
pub(super) fn reserve(settings: &Settings, limit: i64) -> i64 {
    let share = percent(limit, settings.reserve_percent);
    share
        .max(i64::from(settings.reserve_least))
        .min(limit.saturating_sub((limit / 10).max(1)))
}

/// What they keep even from what somebody looks at: nothing that the background may spend.
fn floor(settings: &Settings, limit: i64) -> i64 {
    percent(limit, settings.interactive_floor_percent).min(reserve(settings, limit))
}

fn percent(limit: i64, percent: u32) -> i64 {
    limit.saturating_mul(i64::from(percent)) / 100
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn left(remaining: i64) -> Allowance {
        let budget = BudgetView {
            windows: vec![Window {
                name: "graphql".to_owned(),
                limit: Some(5000),
                remaining: Some(remaining),
                reset_in: Some(Duration::from_secs(1800)),
                ..Window::default()
            }],
            ..BudgetView::default()
        };
        Allowance::of(&Settings::default(), &budget)
    }

    #[test]
    fn the_background_leaves_forty_percent_to_the_user() {
        for lane in [Lane::Active, Lane::Idle] {
            assert!(left(2001).may_spend(Interface::Graphql, lane, 1));
            assert!(!left(2000).may_spend(Interface::Graphql, lane, 1));
        }
    }

    #[test]
    fn what_somebody_looks_at_may_use_the_reserve_down_to_a_tenth() {
        for lane in [Lane::Interactive, Lane::Viewed] {
            assert!(left(501).may_spend(Interface::Graphql, lane, 1));
            assert!(!left(500).may_spend(Interface::Graphql, lane, 1));
        }
    }

    #[test]
    fn the_interfaces_have_budgets_of_their_own() {
        assert!(left(0).may_spend(Interface::Rest, Lane::Idle, 1));
        assert!(!left(0).may_spend(Interface::Graphql, Lane::Interactive, 1));
    }

    #[test]
    fn a_paused_interface_is_left_alone_whatever_it_has() {
        let mut allowance = left(5000);
        allowance.observe(
            Interface::Graphql,
            Window {
                limit: Some(5000),
                remaining: Some(5000),
                pause_for: Some(Duration::from_secs(1)),
                ..Window::default()
            },
        );
        assert!(!allowance.may_spend(Interface::Graphql, Lane::Interactive, 1));
        // A good answer ends no pause.
        allowance.observe(
            Interface::Graphql,
            Window {
                limit: Some(5000),
                remaining: Some(4999),
                ..Window::default()
            },
        );
        assert!(!allowance.may_spend(Interface::Graphql, Lane::Interactive, 1));
    }

    #[test]
    fn what_was_left_of_a_window_without_an_end_ahead_is_not_known() {
        for reset_in in [None, Some(Duration::ZERO)] {
            let window = |interface: Interface| Window {
                name: interface.window().to_owned(),
                limit: Some(60),
                remaining: Some(0),
                reset_in,
                ..Window::default()
            };
            let both = [Interface::Rest, Interface::Graphql];
            let budget = BudgetView {
                windows: both.map(window).into(),
                ..BudgetView::default()
            };
            for interface in both {
                let mut allowance = Allowance::of(&Settings::default(), &budget);
                assert!(allowance.may_spend(interface, Lane::Idle, 1));
                allowance.observe(interface, window(interface));
                assert!(!allowance.may_spend(interface, Lane::Idle, 1));
            }
        }
    }

    #[test]
    fn a_host_without_limits_has_none() {
        let unlimited = Allowance::of(&Settings::default(), &BudgetView::default());
        assert!(unlimited.may_spend(Interface::Rest, Lane::Idle, 100));
        let off = BudgetView {
            windows: vec![Window {
                name: "core".to_owned(),
                limit: Some(0),
                remaining: Some(0),
                ..Window::default()
            }],
            ..BudgetView::default()
        };
        assert!(Allowance::of(&Settings::default(), &off).may_spend(
            Interface::Rest,
            Lane::Idle,
            1
        ));
    }

    #[test]
    fn of_a_small_limit_a_tenth_may_be_spent() {
        assert_eq!(reserve(&Settings::default(), 60), 54);
        assert_eq!(reserve(&Settings::default(), 5000), 2000);
        assert_eq!(reserve(&Settings::default(), 400), 200);
    }

    #[test]
    fn of_the_smallest_limits_one_may_be_spent_and_nothing_in_the_background_only() {
        let settings = [0, 10, 40, 100].map(|interactive_floor_percent| Settings {
            interactive_floor_percent,
            ..Settings::default()
        });
        for (settings, limit) in settings
            .iter()
            .flat_map(|settings| [1, 5, 9, 10, 19, 60].map(|limit| (settings, limit)))
        {
            for remaining in 0..=limit {
                let budget = BudgetView {
                    windows: vec![Window {
                        name: "core".to_owned(),
                        limit: Some(limit),
                        remaining: Some(remaining),
                        reset_in: Some(Duration::from_secs(1800)),
                        ..Window::default()
                    }],
                    ..BudgetView::default()
                };
                let allowance = Allowance::of(settings, &budget);
                let [idle, viewed] = [Lane::Idle, Lane::Viewed]
                    .map(|lane| allowance.may_spend(Interface::Rest, lane, 1));
                assert!(viewed || !idle, "{remaining} of {limit}");
                assert!(idle || remaining < limit, "{remaining} of {limit}");
            }
        }
    }
}
