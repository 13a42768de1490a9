//! When a ref is looked up again: a duration and a lane, decided from what was found.
//!
//! What a person looks at is looked up often, what moves less often, and what has been quiet for
//! long rarely: by a tenth of its age, so that a status is never much older than that. An interval
//! is scaled when the budget does not bear all of them ([`DemandFactor`]), and moved by the
//! budget's own jitter, which all refs of the budget share: what is due together stays together and
//! travels in one request.
//!
//! A failure is tried again at the pace of its class. None of this is a time: the database's clock
//! makes one of it.

mod failure;

use std::time::Duration;

use proto::{
    bounds::VIEWED_INTERVAL,
    sync::{
        BudgetKey, Finding, FoundPullRequest, KnownPullRequest, Lane, LeasedRef, Next,
        PullRequestState,
    },
};

use crate::budget::{DemandFactor, Pull, share};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an open pull request's status is fresh while its chat is active, and the least
/// otherwise.
pub const DIFF_STATUS_TTL: Duration = Duration::from_secs(30);
/// How long a chat in which something happened is active.
pub const ACTIVE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// How far the interval of an open pull request stretches with its age.
pub const OPEN_CAP: Duration = Duration::from_secs(30 * 60);
/// After how long without activity in the chat its open pull request is quiet.
pub const QUIET_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far the interval of a quiet one stretches. It begins where the others end.
pub const QUIET_CAP: Duration = Duration::from_secs(6 * 60 * 60);
/// How many times more rarely drafts are looked up.
pub const DRAFT_FACTOR: u32 = 2;
/// When to look for a pull request right after a push, when one is likely to be opened; doubles.
pub const NO_PULL_REQUEST_INTERVAL: Duration = Duration::from_secs(10);
/// How long after the report that goes on.
pub const NO_PULL_REQUEST_WINDOW: Duration = HOUR;
/// How far the interval stretches in that time. Later it is a fifth of the branch's age, and no
/// less.
pub const NO_PULL_REQUEST_CAP: Duration = Duration::from_secs(10 * 60);
/// How far it stretches then.
pub const NO_PULL_REQUEST_OLD_CAP: Duration = Duration::from_secs(12 * 60 * 60);
/// After how long a branch without a pull request, or with a closed one, is looked up no more until
/// something happens in its chat.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// When a pull request that was just found merged is confirmed for the first time.
pub const MERGED_FIRST_CONFIRMATION: Duration = MINUTE;
/// When it is confirmed for the second and last time.
pub const MERGED_SECOND_CONFIRMATION: Duration = Duration::from_secs(10 * 60);
/// When a closed pull request is looked at again, since it can be reopened; doubles each time.
pub const CLOSED_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How far the interval of a closed pull request stretches.
pub const CLOSED_CAP: Duration = DAY;
/// When to look again for a pull request of which the host said three times that it is gone.
pub const GONE_INTERVAL: Duration = DAY;
/// When to try again after an ordinary failure; doubles each time.
pub const FAILURE_BACKOFF: Duration = Duration::from_secs(5);
/// How far that stretches.
pub const FAILURE_CAP: Duration = Duration::from_secs(15 * 60);
/// When to try again for an owner without an account; linking one makes the ref due at once.
pub const NO_TOKEN_BACKOFF: Duration = Duration::from_secs(10 * 60);
/// When to ask again for what the token has no right to; doubles each time.
pub const ACCESS_BACKOFF: Duration = HOUR;
/// How far that stretches.
pub const ACCESS_CAP: Duration = DAY;
/// When to ask again for what an organization's rules forbid: single sign-on, addresses.
pub const POLICY_BACKOFF: Duration = Duration::from_secs(6 * 60 * 60);
/// By how much the shortest and the longest interval of all budgets' jitter differ, in percent.
pub const JITTER_PERCENT: u32 = 30;
/// How much sooner than that an attempt after an ordinary failure may come, in percent: budgets
/// that failed together, since their host did, come back apart, and in another order each time.
pub const FAILURE_JITTER_PERCENT: u32 = 50;

/// An open pull request is looked up again after a tenth of its age.
const OPEN_AGE_DIVISOR: u32 = 10;
/// A branch without one, after a fifth.
const NO_PULL_REQUEST_AGE_DIVISOR: u32 = 5;
/// 2^20 times any interval is beyond every cap.
const MAX_DOUBLINGS: u32 = 20;
/// What a pull request is asked for that the host says is gone, before that is believed.
const GONE_CHECKS: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
];
/// After this many answers it is never asked for again.
const GONE_BELIEVED: u32 = 6;

/// The intervals. Those that an operator can judge are settings of the same name.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// See [`DIFF_STATUS_TTL`].
    pub diff_status_ttl: Duration,
    /// See [`ACTIVE_WINDOW`].
    pub active_window: Duration,
    /// See [`OPEN_CAP`].
    pub open_cap: Duration,
    /// See [`QUIET_AFTER`].
    pub quiet_after: Duration,
    /// See [`QUIET_CAP`].
    pub quiet_cap: Duration,
    /// See [`DRAFT_FACTOR`].
    pub draft_factor: u32,
    /// See [`NO_PULL_REQUEST_INTERVAL`].
    pub no_pull_request_interval: Duration,
    /// See [`NO_PULL_REQUEST_WINDOW`].
    pub no_pull_request_window: Duration,
    /// See [`NO_PULL_REQUEST_CAP`].
    pub no_pull_request_cap: Duration,
    /// See [`NO_PULL_REQUEST_OLD_CAP`].
    pub no_pull_request_old_cap: Duration,
    /// See [`ABANDONED_AFTER`].
    pub abandoned_after: Duration,
    /// See [`MERGED_FIRST_CONFIRMATION`].
    pub merged_first_confirmation: Duration,
    /// See [`MERGED_SECOND_CONFIRMATION`].
    pub merged_second_confirmation: Duration,
    /// See [`CLOSED_INTERVAL`].
    pub closed_interval: Duration,
    /// See [`CLOSED_CAP`].
    pub closed_cap: Duration,
    /// See [`GONE_INTERVAL`].
    pub gone_interval: Duration,
    /// See [`FAILURE_BACKOFF`].
    pub failure_backoff: Duration,
    /// See [`FAILURE_CAP`].
    pub failure_cap: Duration,
    /// See [`NO_TOKEN_BACKOFF`].
    pub no_token_backoff: Duration,
    /// See [`ACCESS_BACKOFF`].
    pub access_backoff: Duration,
    /// See [`ACCESS_CAP`].
    pub access_cap: Duration,
    /// See [`POLICY_BACKOFF`].
    pub policy_backoff: Duration,
    /// See [`JITTER_PERCENT`].
    pub jitter_percent: u32,
    /// See [`FAILURE_JITTER_PERCENT`].
    pub failure_jitter_percent: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            diff_status_ttl: DIFF_STATUS_TTL,
            active_window: ACTIVE_WINDOW,
            open_cap: OPEN_CAP,
            quiet_after: QUIET_AFTER,
            quiet_cap: QUIET_CAP,
            draft_factor: DRAFT_FACTOR,
            no_pull_request_interval: NO_PULL_REQUEST_INTERVAL,
            no_pull_request_window: NO_PULL_REQUEST_WINDOW,
            no_pull_request_cap: NO_PULL_REQUEST_CAP,
            no_pull_request_old_cap: NO_PULL_REQUEST_OLD_CAP,
            abandoned_after: ABANDONED_AFTER,
            merged_first_confirmation: MERGED_FIRST_CONFIRMATION,
            merged_second_confirmation: MERGED_SECOND_CONFIRMATION,
            closed_interval: CLOSED_INTERVAL,
            closed_cap: CLOSED_CAP,
            gone_interval: GONE_INTERVAL,
            failure_backoff: FAILURE_BACKOFF,
            failure_cap: FAILURE_CAP,
            no_token_backoff: NO_TOKEN_BACKOFF,
            access_backoff: ACCESS_BACKOFF,
            access_cap: ACCESS_CAP,
            policy_backoff: POLICY_BACKOFF,
            jitter_percent: JITTER_PERCENT,
            failure_jitter_percent: FAILURE_JITTER_PERCENT,
        }
    }
}

/// An interval before it is scaled and moved, and how it bears a shortage.
#[derive(Clone, Copy, Debug)]
struct Planned {
    interval: Option<Duration>,
    pull: Pull,
}

impl Planned {
    fn new(pull: Pull, interval: Duration) -> Self {
        Self {
            interval: Some(interval),
            pull,
        }
    }

    /// Not again until something happens.
    const NEVER: Self = Self {
        interval: None,
        pull: Pull::Idle,
    };
}

impl Schedule {
    /// Decides when `git_ref` is looked up again after `finding`.
    #[must_use]
    pub fn next(
        &self,
        key: &BudgetKey,
        git_ref: &LeasedRef,
        finding: &Finding,
        demand: DemandFactor,
    ) -> Next {
        let planned = match finding {
            Finding::PullRequest(found) => self.after_found(git_ref, found),
            Finding::Unchanged => self.after_unchanged(git_ref),
            Finding::NoPullRequest => self.after_none(git_ref),
            Finding::Gone => return self.after_gone(key, git_ref),
            Finding::Failed { class, .. } => return self.after_failure(key, git_ref, *class),
        };
        let scaled = planned
            .interval
            .map(|interval| self.jittered(key, demand.scale(planned.pull, interval)));
        Next {
            refresh_in: scaled,
            lane: match planned.pull {
                Pull::Viewed => Lane::Viewed,
                Pull::Active => Lane::Active,
                Pull::Idle => Lane::Idle,
            },
            base: planned.interval,
        }
    }

    fn after_found(&self, git_ref: &LeasedRef, found: &FoundPullRequest) -> Planned {
        let settled = if is_same(git_ref.known.as_ref(), found) {
            git_ref.settled_count
        } else {
            0
        };
        self.of_pull_request(git_ref, found.shown.state, found.shown.draft, settled)
    }

    fn after_unchanged(&self, git_ref: &LeasedRef) -> Planned {
        match &git_ref.known {
            Some(known) => {
                self.of_pull_request(git_ref, known.state, known.draft, git_ref.settled_count)
            }
            // Nothing is unchanged that was not known.
            None => self.after_none(git_ref),
        }
    }

    fn of_pull_request(
        &self,
        git_ref: &LeasedRef,
        state: PullRequestState,
        draft: bool,
        settled: u32,
    ) -> Planned {
        match state {
            PullRequestState::Open => self.of_open(git_ref, draft),
            PullRequestState::Merged => match settled {
                0 => Planned::new(Pull::Idle, self.merged_first_confirmation),
                1 => Planned::new(Pull::Idle, self.merged_second_confirmation),
                _ => Planned::NEVER,
            },
            PullRequestState::Closed if self.is_abandoned(git_ref) => Planned::NEVER,
            PullRequestState::Closed => Planned::new(
                Pull::Idle,
                doubled(self.closed_interval, settled, self.closed_cap),
            ),
        }
    }

    fn of_open(&self, git_ref: &LeasedRef, draft: bool) -> Planned {
        if git_ref.viewed {
            return Planned::new(Pull::Viewed, VIEWED_INTERVAL.min(self.diff_status_ttl));
        }
        if git_ref.since_active < self.active_window {
            return Planned::new(Pull::Active, self.diff_status_ttl);
        }
        let by_age = git_ref.since_changed / OPEN_AGE_DIVISOR;
        let quiet = git_ref.since_active >= self.quiet_after;
        let (least, most) = if quiet {
            (self.open_cap, self.quiet_cap)
        } else {
            (self.diff_status_ttl, self.open_cap)
        };
        let interval = by_age.max(least).min(most.max(least));
        let interval = if draft {
            interval.saturating_mul(self.draft_factor)
        } else {
            interval
        };
        Planned::new(Pull::Idle, interval)
    }

    /// By misses while a pull request is likely to come, by age when it is not.
    fn after_none(&self, git_ref: &LeasedRef) -> Planned {
        let age = git_ref.since_reported;
        if age < self.no_pull_request_window {
            let interval = doubled(
                self.no_pull_request_interval,
                git_ref.misses,
                self.no_pull_request_cap,
            );
            return Planned::new(Pull::Active, interval);
        }
        if self.is_abandoned(git_ref) {
            return Planned::NEVER;
        }
        let interval = (age / NO_PULL_REQUEST_AGE_DIVISOR)
            .max(self.no_pull_request_cap)
            .min(self.no_pull_request_old_cap.max(self.no_pull_request_cap));
        Planned::new(Pull::Idle, interval)
    }

    fn after_gone(&self, key: &BudgetKey, git_ref: &LeasedRef) -> Next {
        let check = usize::try_from(git_ref.misses)
            .ok()
            .and_then(|misses| GONE_CHECKS.get(misses).copied());
        let interval = match check {
            Some(soon) => Some(soon),
            None => (git_ref.misses < GONE_BELIEVED).then_some(self.gone_interval),
        };
        Next {
            refresh_in: interval.map(|interval| self.jittered(key, interval)),
            lane: Lane::Idle,
            base: None,
        }
    }

    fn is_abandoned(&self, git_ref: &LeasedRef) -> bool {
        git_ref
            .since_active
            .min(git_ref.since_changed)
            .min(git_ref.since_reported)
            >= self.abandoned_after
    }

    /// Moves an interval by the budget's own share of the jitter.
    fn jittered(&self, key: &BudgetKey, interval: Duration) -> Duration {
        let width = f64::from(self.jitter_percent) / 100.0;
        interval.mul_f64(1.0 - width / 2.0 + width * share(key, 0))
    }
}

/// `interval` doubled `times` times, up to `most`.
fn doubled(interval: Duration, times: u32, most: Duration) -> Duration {
    interval
        .saturating_mul(1 << times.min(MAX_DOUBLINGS))
        .min(most.max(interval))
}

fn is_same(known: Option<&KnownPullRequest>, found: &FoundPullRequest) -> bool {
    known.is_some_and(|known| {
        known.number == found.shown.number
            && known.repository.eq_ignore_ascii_case(&found.repository)
    })
}

#[cfg(test)]
mod tests;
