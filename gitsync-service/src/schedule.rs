//! When a ref is looked up again: a *duration* for each outcome.
//!
//! Nothing here knows what time it is. chat-service adds the duration to the database's clock, so
//! a worker whose clock is wrong plans nothing wrong.

use std::time::Duration;

use crate::{
    lease::{BudgetKey, KnownPullRequest, Lane, LeasedRef},
    outcome::{Found, Next, Problem, PullRequest, PullRequestState},
};

/// How long the status of an open pull request counts as fresh.
pub const DIFF_STATUS_TTL: Duration = Duration::from_secs(120);
/// When to try again after an ordinary failure.
pub const FAILURE_BACKOFF: Duration = Duration::from_secs(120);
/// When to try again for an owner without an account; linking one makes the ref due at once.
pub const NO_TOKEN_BACKOFF: Duration = Duration::from_secs(10 * 60);
/// How often to look for a pull request right after a push, when one is likely to be opened.
pub const NO_PULL_REQUEST_INTERVAL: Duration = Duration::from_secs(15);
/// How long after the report the interval stays that short.
pub const NO_PULL_REQUEST_WINDOW: Duration = Duration::from_secs(2 * 60);
/// How far the interval stretches for a branch that has no pull request for long.
pub const NO_PULL_REQUEST_CAP: Duration = Duration::from_secs(30 * 60);
/// When a pull request that was just found merged is confirmed for the first time.
pub const MERGED_FIRST_CONFIRMATION: Duration = Duration::from_secs(60);
/// When it is confirmed for the second and last time.
pub const MERGED_SECOND_CONFIRMATION: Duration = Duration::from_secs(10 * 60);
/// When a closed pull request is looked at again, since it can be reopened; doubles each time.
pub const CLOSED_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How far the interval of a closed pull request stretches.
pub const CLOSED_CAP: Duration = Duration::from_secs(24 * 60 * 60);
/// When to look again for a pull request that the host says is gone.
pub const GONE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Added to the host's own word, since its limiter and its clock need not agree to the second
/// (others who poll GitHub add 7 to 10 s).
pub const RATE_LIMIT_PADDING: Duration = Duration::from_secs(10);
/// How much of an interval a budget key's jitter may add, in percent.
pub const JITTER_PERCENT: u32 = 5;

/// After the push window, a branch is looked up again when a quarter of its age has passed: 30 s
/// at two minutes, and at the cap after two hours. By age rather than by misses, so that refreshes
/// on demand do not slow the ref down.
const AGE_DIVISOR: u32 = 4;
/// After this many answers in a row that a pull request is gone, it is believed.
const GONE_CHECKS: u32 = 3;
/// 2^16 times any interval is beyond every cap.
const MAX_DOUBLINGS: u32 = 16;

/// The intervals. Each is a setting of the same name.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// See [`DIFF_STATUS_TTL`].
    pub diff_status_ttl: Duration,
    /// See [`FAILURE_BACKOFF`].
    pub failure_backoff: Duration,
    /// See [`NO_TOKEN_BACKOFF`].
    pub no_token_backoff: Duration,
    /// See [`NO_PULL_REQUEST_INTERVAL`].
    pub no_pull_request_interval: Duration,
    /// See [`NO_PULL_REQUEST_WINDOW`].
    pub no_pull_request_window: Duration,
    /// See [`NO_PULL_REQUEST_CAP`].
    pub no_pull_request_cap: Duration,
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
    /// See [`RATE_LIMIT_PADDING`].
    pub rate_limit_padding: Duration,
    /// See [`JITTER_PERCENT`].
    pub jitter_percent: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            diff_status_ttl: DIFF_STATUS_TTL,
            failure_backoff: FAILURE_BACKOFF,
            no_token_backoff: NO_TOKEN_BACKOFF,
            no_pull_request_interval: NO_PULL_REQUEST_INTERVAL,
            no_pull_request_window: NO_PULL_REQUEST_WINDOW,
            no_pull_request_cap: NO_PULL_REQUEST_CAP,
            merged_first_confirmation: MERGED_FIRST_CONFIRMATION,
            merged_second_confirmation: MERGED_SECOND_CONFIRMATION,
            closed_interval: CLOSED_INTERVAL,
            closed_cap: CLOSED_CAP,
            gone_interval: GONE_INTERVAL,
            rate_limit_padding: RATE_LIMIT_PADDING,
            jitter_percent: JITTER_PERCENT,
        }
    }
}

impl Schedule {
    /// Decides when `git_ref` is looked up again after `result`.
    #[must_use]
    pub fn next(
        &self,
        key: &BudgetKey,
        git_ref: &LeasedRef,
        result: &Result<Found, Problem>,
    ) -> Next {
        let (refresh_in, lane) = match result {
            Ok(Found::PullRequest(found)) => self.after_found(git_ref, found),
            Ok(Found::Unchanged) => (Some(self.diff_status_ttl), Lane::Active),
            Ok(Found::NoPullRequest) => self.after_none(git_ref),
            Ok(Found::Gone) => (
                (git_ref.misses + 1 < GONE_CHECKS).then_some(self.gone_interval),
                Lane::Idle,
            ),
            Err(problem) => (Some(self.after_problem(problem)), calmed(git_ref.lane)),
        };
        Next {
            refresh_in: refresh_in.map(|interval| self.jittered(key, interval)),
            lane,
            base: None,
        }
    }

    /// How long nothing may be sent for a budget key after the host said to wait `retry_after`.
    #[must_use]
    pub fn pause(&self, retry_after: Duration) -> Duration {
        retry_after.saturating_add(self.rate_limit_padding)
    }

    fn after_found(&self, git_ref: &LeasedRef, found: &PullRequest) -> (Option<Duration>, Lane) {
        let settled = if is_same(git_ref.known.as_ref(), found) {
            git_ref.settled_count
        } else {
            0
        };
        match found.state {
            PullRequestState::Open => (Some(self.diff_status_ttl), Lane::Active),
            PullRequestState::Merged => {
                let confirmation = match settled {
                    0 => Some(self.merged_first_confirmation),
                    1 => Some(self.merged_second_confirmation),
                    _ => None,
                };
                (confirmation, Lane::Idle)
            }
            PullRequestState::Closed => {
                let doubled = self
                    .closed_interval
                    .saturating_mul(1 << settled.min(MAX_DOUBLINGS));
                (Some(doubled.min(self.closed_cap)), Lane::Idle)
            }
        }
    }

    fn after_none(&self, git_ref: &LeasedRef) -> (Option<Duration>, Lane) {
        let age = git_ref.since_reported;
        if age < self.no_pull_request_window {
            return (Some(self.no_pull_request_interval), Lane::Active);
        }
        let stretched = (age / AGE_DIVISOR)
            .max(self.no_pull_request_interval)
            .min(self.no_pull_request_cap);
        (Some(stretched), Lane::Idle)
    }

    fn after_problem(&self, problem: &Problem) -> Duration {
        match problem {
            Problem::NoAccount => self.no_token_backoff,
            Problem::RateLimited { retry_after, .. }
            | Problem::SecondaryLimited { retry_after } => self.pause(*retry_after),
            Problem::CredentialSuspect
            | Problem::CredentialRejected
            | Problem::AccountLocked
            | Problem::SsoRequired
            | Problem::AddressNotAllowed
            | Problem::RepositoryBlocked
            | Problem::NotReady
            | Problem::QueryTooHeavy
            | Problem::HostIncompatible(_)
            | Problem::AccessDenied
            | Problem::RepositoryNotFound
            | Problem::HostUnavailable(_)
            | Problem::HostAnswerInvalid(_)
            | Problem::ProviderUnsupported
            | Problem::Internal(_) => self.failure_backoff,
        }
    }

    /// Adds the key's own share of an interval. It depends on the key alone, so that all refs of a
    /// key stay in step and are leased together, while keys that failed together (the host was
    /// down) come back apart.
    fn jittered(&self, key: &BudgetKey, interval: Duration) -> Duration {
        let permille = u32::try_from(fnv1a(key.0.as_bytes()) % 1000).unwrap_or(0);
        let most = interval.saturating_mul(self.jitter_percent) / 100;
        interval.saturating_add(most.saturating_mul(permille) / 1000)
    }
}

/// Whoever waited or looked has had an answer; what remains is that the ref is in use.
fn calmed(lane: Lane) -> Lane {
    match lane {
        Lane::Interactive | Lane::Viewed | Lane::Active => Lane::Active,
        Lane::Idle => Lane::Idle,
    }
}

fn is_same(known: Option<&KnownPullRequest>, found: &PullRequest) -> bool {
    known.is_some_and(|known| {
        known.number == found.number && known.repository.eq_ignore_ascii_case(&found.repository)
    })
}

/// FNV-1a, 64 bits: the same in every process and version, unlike the standard library's hashers.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
