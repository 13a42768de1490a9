//! When a failed lookup is tried again, by the class of the failure and how often it came in a row.

use std::time::Duration;

use crate::{
    lease::{BudgetKey, Lane, LeasedRef},
    outcome::{Next, Problem},
    pace::share,
};

use super::{Schedule, doubled};

/// A repository that is not there may have been created, or the token given access to it, a moment ago.
/// After that it is asked for like what the token has no right to.
const REPOSITORY_CHECKS: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_secs(2 * 60),
];
/// GitHub shows a new pull request in one place sooner than in another. As Atlantis asks again.
const NEW_CHECKS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(15),
];
/// When a host that does not understand us is asked again: another version of either may run by then.
const INCOMPATIBLE_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// The first of a key's shares that say when it tries again, one for each failure in a row.
const ATTEMPTS: u64 = 16;

impl Schedule {
    pub(super) fn after_problem(
        &self,
        key: &BudgetKey,
        git_ref: &LeasedRef,
        problem: &Problem,
    ) -> Next {
        let failures = git_ref.failures;
        let backoff = |failures| doubled(self.failure_backoff, failures, self.failure_cap);
        let refused = |failures| doubled(self.access_backoff, failures, self.access_cap);
        let interval = match problem {
            // Costs no request, and linking one does not wait for it.
            Problem::NoAccount => return calmed(git_ref, Some(self.no_token_backoff)),
            Problem::SsoRequired | Problem::AddressNotAllowed => self.policy_backoff,
            Problem::AccessDenied => refused(failures),
            Problem::RepositoryNotFound => {
                step(&REPOSITORY_CHECKS, failures).unwrap_or_else(refused)
            }
            Problem::RepositoryBlocked => self.access_cap,
            Problem::NotReady => step(&NEW_CHECKS, failures).unwrap_or_else(backoff),
            Problem::QueryTooHeavy
            | Problem::HostUnavailable(_)
            | Problem::HostAnswerInvalid(_)
            | Problem::Internal(_)
            // Of these no ref has an outcome: the budget or the credential waits.
            | Problem::RateLimited { .. }
            | Problem::Reserved { .. }
            | Problem::SecondaryLimited { .. }
            | Problem::CredentialSuspect
            | Problem::CredentialRejected
            | Problem::AccountLocked
            | Problem::HostSpared { .. }
            | Problem::TurnOver => {
                let sooner = f64::from(self.failure_jitter_percent.min(100)) / 100.0;
                let turn = ATTEMPTS + u64::from(failures);
                let interval = backoff(failures).mul_f64(1.0 - sooner * share(key, turn));
                return calmed(git_ref, Some(interval));
            }
            Problem::HostIncompatible(_) | Problem::ProviderUnsupported => INCOMPATIBLE_BACKOFF,
        };
        calmed(git_ref, Some(self.jittered(key, interval)))
    }
}

/// The wait after so many failures, or how many are beyond the last.
fn step(steps: &[Duration], failures: u32) -> Result<Duration, u32> {
    let beyond = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    usize::try_from(failures)
        .ok()
        .and_then(|failures| steps.get(failures).copied())
        .ok_or(failures.saturating_sub(beyond))
}

/// Whoever waited or looked has had an answer; what remains is that the ref is in use.
fn calmed(git_ref: &LeasedRef, refresh_in: Option<Duration>) -> Next {
    let lane = match git_ref.lane {
        Lane::Interactive | Lane::Viewed | Lane::Active => Lane::Active,
        Lane::Idle => Lane::Idle,
    };
    Next {
        refresh_in,
        lane,
        base: None,
    }
}
