//! When a ref is looked up again: a duration and a lane, decided from what was found.
//!
//! A viewed ref is looked up often, an active one less often, and one that has been quiet for long
//! rarely: by a tenth of its age, so that a status is never much older than that. An interval is
//! scaled when the budget does not bear all of them ([`DemandFactor`]), and shifted by the budget's
//! own jitter, which all refs of the budget share: refs that are due together stay together and
//! travel in one request.
//!
//! A failure is tried again at the pace of its class. None of this is a time: the database's clock
//! makes one of it.

mod failure;

use std::time::Duration;

use proto::{
    bounds::VIEWED_INTERVAL,
    sync::{
        BudgetKey, CheckState, Finding, FoundPullRequest, Lane, LeasedRef, MergeState, Next,
        PullRequestState,
    },
};

use crate::budget::{DemandFactor, share};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When to try again for an owner without an account; linking one makes the ref due at once.
pub const NO_TOKEN_BACKOFF: Duration = Duration::from_secs(10 * 60);

/// An open pull request is looked up again after a tenth of its age.
const OPEN_AGE_DIVISOR: u32 = 10;
/// After how long without activity in the chat its open pull request is quiet.
const QUIET_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many times more rarely drafts are looked up.
const DRAFT_FACTOR: u32 = 2;
/// How long after a report a pull request is likely to be opened.
const NO_PULL_REQUEST_WINDOW: Duration = HOUR;
/// Later a branch without one is looked up again after a fifth of its age.
const NO_PULL_REQUEST_AGE_DIVISOR: u32 = 5;
/// How far that stretches.
const NO_PULL_REQUEST_OLD_CAP: Duration = Duration::from_secs(12 * 60 * 60);
/// After how long a branch without a pull request, or with a closed one, is looked up no more until
/// something happens in its chat.
const ABANDONED_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// When a pull request that was just found merged is confirmed, and confirmed for the last time.
const MERGED_CHECKS: [Duration; 2] = [MINUTE, Duration::from_secs(10 * 60)];
/// How far the interval of a closed pull request stretches.
const CLOSED_CAP: Duration = DAY;
/// How often to look for the mergeability of a pull request that the host is still computing: after
/// 5, 10 and 15 s, by how long it has been computing. Other clients poll alike.
const MERGEABLE_CHECKS: [(Duration, Duration); 3] = [
    (Duration::ZERO, Duration::from_secs(5)),
    (Duration::from_secs(10), Duration::from_secs(10)),
    (Duration::from_secs(25), Duration::from_secs(15)),
];
/// A host that has not worked it out by then does so when something else changes.
pub(crate) const MERGEABLE_WITHIN: Duration = Duration::from_secs(60);
/// How long unfinished checks keep a pull request active: GitHub ends a job after six hours.
const CHECKS_WITHIN: Duration = Duration::from_secs(6 * 60 * 60);
/// The waits before a pull request that the host reports as gone is believed to be gone.
const GONE_CHECKS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    DAY,
    DAY,
    DAY,
];
/// 2^20 times any interval is beyond every cap.
const MAX_DOUBLINGS: u32 = 20;

/// The intervals that an operator can judge: settings of the same name.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How long an open pull request's status is fresh while its chat is active, and the least
    /// otherwise.
    pub diff_status_ttl: Duration,
    /// How long a chat in which something happened is active.
    pub active_window: Duration,
    /// How far the interval of an open pull request stretches with its age.
    pub open_cap: Duration,
    /// How far the interval of a quiet one stretches. It begins where the others end.
    pub quiet_cap: Duration,
    /// When to look for a pull request right after a push, when one is likely to be opened;
    /// doubles.
    pub no_pull_request_interval: Duration,
    /// How far that stretches; the least interval once it is not likely any more.
    pub no_pull_request_cap: Duration,
    /// When a closed pull request is looked at again, since it can be reopened; doubles each time.
    pub closed_interval: Duration,
    /// When to try again after an ordinary failure; doubles each time.
    pub failure_backoff: Duration,
    /// How far that stretches.
    pub failure_cap: Duration,
    /// See [`NO_TOKEN_BACKOFF`].
    pub no_token_backoff: Duration,
    /// When to ask again for what the token has no right to; doubles each time.
    pub access_backoff: Duration,
    /// How far that stretches.
    pub access_cap: Duration,
    /// By how much the shortest and the longest interval of all budgets' jitter differ, in percent.
    pub jitter_percent: u32,
    /// How much sooner than that an attempt after an ordinary failure may come, in percent: budgets
    /// that failed together, since their host did, come back apart, and in another order each time.
    pub failure_jitter_percent: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An interval before it is scaled and moved, if there is one, and the lane that it is due in.
struct Plan(Lane, Option<Duration>);

/// The facts that decide when an open pull request is looked up again.
#[derive(Clone, Copy, Debug)]
struct OpenPullRequest {
    draft: bool,
    /// Checks of its head have not ended.
    checks_pending: bool,
}

/// Not again until something happens.
const NEVER: Plan = Plan(Lane::Idle, None);

impl Schedule {
    /// Without settings.
    pub const DEFAULT: Self = Self {
        diff_status_ttl: Duration::from_secs(30),
        active_window: Duration::from_secs(10 * 60),
        open_cap: Duration::from_secs(30 * 60),
        quiet_cap: Duration::from_secs(6 * 60 * 60),
        no_pull_request_interval: Duration::from_secs(10),
        no_pull_request_cap: Duration::from_secs(10 * 60),
        closed_interval: Duration::from_secs(10 * 60),
        failure_backoff: Duration::from_secs(5),
        failure_cap: Duration::from_secs(15 * 60),
        no_token_backoff: NO_TOKEN_BACKOFF,
        access_backoff: HOUR,
        access_cap: DAY,
        jitter_percent: 30,
        failure_jitter_percent: 50,
    };

    /// Decides when `git_ref` is looked up again after `finding`.
    #[must_use]
    pub fn next(
        &self,
        key: &BudgetKey,
        git_ref: &LeasedRef,
        finding: &Finding,
        demand: DemandFactor,
    ) -> Next {
        let Plan(lane, base) = match finding {
            Finding::PullRequest(found) => self.after_found(git_ref, found),
            Finding::Unchanged => self.after_unchanged(git_ref),
            Finding::NoPullRequest => self.after_none(git_ref),
            Finding::Gone => return self.after_gone(key, git_ref),
            Finding::Failed { class, .. } => return self.after_failure(key, git_ref, *class),
        };
        Next {
            refresh_in: base.map(|base| self.jittered(key, demand.scale(lane, base))),
            lane,
            base,
        }
    }

    fn after_found(&self, git_ref: &LeasedRef, found: &FoundPullRequest) -> Plan {
        let is_same = git_ref.known.as_ref().is_some_and(|known| {
            known.number == found.shown.number
                && known.repository.eq_ignore_ascii_case(&found.repository)
        });
        let settled = if is_same { git_ref.settled_count } else { 0 };
        let head = &found.shown.head;
        let open = OpenPullRequest {
            draft: found.shown.draft,
            checks_pending: head
                .checks
                .as_ref()
                .is_some_and(|checks| checks.state == CheckState::Pending),
        };
        let Plan(lane, interval) = self.of_pull_request(git_ref, found.shown.state, open, settled);
        if found.shown.state != PullRequestState::Open
            || head.merge_state != Some(MergeState::Unknown)
        {
            return Plan(lane, interval);
        }
        // It has been at work since the pull request was seen to change, or since now.
        let known = git_ref.known.as_ref().filter(|_| is_same);
        let since = match known {
            Some(known) if known.merge_unknown => git_ref.since_changed,
            Some(_) | None => Duration::ZERO,
        };
        match MERGEABLE_CHECKS.iter().find(|(until, _)| since <= *until) {
            Some((_, again)) => Plan(
                lane.min(Lane::Active),
                Some(interval.map_or(*again, |interval| interval.min(*again))),
            ),
            None => Plan(lane, interval),
        }
    }

    fn after_unchanged(&self, git_ref: &LeasedRef) -> Plan {
        match &git_ref.known {
            Some(known) => {
                let open = OpenPullRequest {
                    draft: known.draft,
                    checks_pending: known.checks_pending,
                };
                self.of_pull_request(git_ref, known.state, open, git_ref.settled_count)
            }
            // Nothing is unchanged that was not known.
            None => self.after_none(git_ref),
        }
    }

    fn of_pull_request(
        &self,
        git_ref: &LeasedRef,
        state: PullRequestState,
        open: OpenPullRequest,
        settled: u32,
    ) -> Plan {
        match state {
            PullRequestState::Open => self.of_open(git_ref, open),
            PullRequestState::Merged => Plan(Lane::Idle, step(&MERGED_CHECKS, settled).ok()),
            PullRequestState::Closed if is_abandoned(git_ref) => NEVER,
            PullRequestState::Closed => {
                let interval = doubled(self.closed_interval, settled, CLOSED_CAP);
                Plan(Lane::Idle, Some(interval))
            }
        }
    }

    fn of_open(&self, git_ref: &LeasedRef, open: OpenPullRequest) -> Plan {
        if git_ref.viewed {
            return Plan(
                Lane::Viewed,
                Some(VIEWED_INTERVAL.min(self.diff_status_ttl)),
            );
        }
        let awaits_checks = open.checks_pending && git_ref.since_changed < CHECKS_WITHIN;
        if git_ref.since_active < self.active_window || awaits_checks {
            return Plan(Lane::Active, Some(self.diff_status_ttl));
        }
        let by_age = git_ref.since_changed / OPEN_AGE_DIVISOR;
        let (least, most) = if git_ref.since_active >= QUIET_AFTER {
            (self.open_cap, self.quiet_cap)
        } else {
            (self.diff_status_ttl, self.open_cap)
        };
        let interval = by_age.max(least).min(most.max(least));
        let rarer = if open.draft { DRAFT_FACTOR } else { 1 };
        Plan(Lane::Idle, Some(interval.saturating_mul(rarer)))
    }

    /// By misses while a pull request is likely to come, by age when it is not.
    fn after_none(&self, git_ref: &LeasedRef) -> Plan {
        let age = git_ref.since_reported;
        if age < NO_PULL_REQUEST_WINDOW {
            let first = self.no_pull_request_interval;
            let interval = doubled(first, git_ref.misses, self.no_pull_request_cap);
            return Plan(Lane::Active, Some(interval));
        }
        if is_abandoned(git_ref) {
            return NEVER;
        }
        let interval = (age / NO_PULL_REQUEST_AGE_DIVISOR)
            .max(self.no_pull_request_cap)
            .min(NO_PULL_REQUEST_OLD_CAP.max(self.no_pull_request_cap));
        Plan(Lane::Idle, Some(interval))
    }

    fn after_gone(&self, key: &BudgetKey, git_ref: &LeasedRef) -> Next {
        let interval = step(&GONE_CHECKS, git_ref.misses).ok();
        Next {
            refresh_in: interval.map(|interval| self.jittered(key, interval)),
            lane: Lane::Idle,
            base: None,
        }
    }

    /// Moves an interval by the budget's own share of the jitter.
    fn jittered(&self, key: &BudgetKey, interval: Duration) -> Duration {
        let width = f64::from(self.jitter_percent) / 100.0;
        interval.mul_f64(1.0 - width / 2.0 + width * share(key, 0))
    }
}

fn is_abandoned(git_ref: &LeasedRef) -> bool {
    let since = git_ref.since_active.min(git_ref.since_changed);
    since.min(git_ref.since_reported) >= ABANDONED_AFTER
}

/// The wait after `many` consecutive events, or how many of them exceed the last step.
fn step(steps: &[Duration], many: u32) -> Result<Duration, u32> {
    let beyond = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    usize::try_from(many)
        .ok()
        .and_then(|many| steps.get(many).copied())
        .ok_or(many.saturating_sub(beyond))
}

/// `interval` doubled `times` times, up to `most`.
fn doubled(interval: Duration, times: u32, most: Duration) -> Duration {
    interval
        .saturating_mul(1 << times.min(MAX_DOUBLINGS))
        .min(most.max(interval))
}

#[cfg(test)]
mod tests;
