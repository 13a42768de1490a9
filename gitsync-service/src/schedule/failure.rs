//! When a failed lookup is tried again, by the class of the failure and how often it came in a row.

use std::time::Duration;

use proto::sync::{BudgetKey, Lane, LeasedRef, Next, ProblemClass};

use crate::budget::share;

use super::{Schedule, doubled, step};

/// A repository that is not there may have been created, or the token given access to it, a moment
/// ago. After that it is asked for like what the token has no right to.
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
/// When to ask again for what an organization's rules forbid: single sign-on, addresses.
const POLICY_BACKOFF: Duration = Duration::from_secs(6 * 60 * 60);
/// When a host that does not understand us is asked again: another version of either may run by
/// then.
const INCOMPATIBLE_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// The first of a budget's shares that say when it tries again, one for each failure in a row.
const ATTEMPTS: u64 = 16;

impl Schedule {
    pub(super) fn after_failure(
        &self,
        key: &BudgetKey,
        git_ref: &LeasedRef,
        class: ProblemClass,
    ) -> Next {
        let failures = git_ref.failures;
        let backoff = |failures| doubled(self.failure_backoff, failures, self.failure_cap);
        let refused = |failures| doubled(self.access_backoff, failures, self.access_cap);
        let interval = match class {
            // Costs no request, and linking one does not wait for it.
            ProblemClass::NoAccount => return calmed(git_ref, self.no_token_backoff),
            ProblemClass::SsoRequired | ProblemClass::AddressNotAllowed => POLICY_BACKOFF,
            ProblemClass::AccessDenied => refused(failures),
            ProblemClass::RepositoryNotFound => {
                step(&REPOSITORY_CHECKS, failures).unwrap_or_else(refused)
            }
            ProblemClass::RepositoryBlocked => self.access_cap,
            ProblemClass::NotReady => step(&NEW_CHECKS, failures).unwrap_or_else(backoff),
            ProblemClass::HostIncompatible | ProblemClass::ProviderUnsupported => {
                INCOMPATIBLE_BACKOFF
            }
            ProblemClass::QueryTooHeavy
            | ProblemClass::HostUnavailable
            | ProblemClass::HostAnswerInvalid
            | ProblemClass::Internal
            // These are never a ref's own: they are observations of its budget or credential.
            | ProblemClass::RateLimited
            | ProblemClass::SecondaryLimited
            | ProblemClass::LimitReserved
            | ProblemClass::CredentialSuspect
            | ProblemClass::CredentialRejected
            | ProblemClass::AccountLocked
            | ProblemClass::PullRequestGone
            | ProblemClass::Unspecified => {
                let sooner = f64::from(self.failure_jitter_percent.min(100)) / 100.0;
                let turn = ATTEMPTS + u64::from(failures);
                let interval = backoff(failures).mul_f64(1.0 - sooner * share(key, turn));
                return calmed(git_ref, interval);
            }
        };
        calmed(git_ref, self.jittered(key, interval))
    }
}

/// A person who waited or looked was answered; what remains is that the ref is in use.
fn calmed(git_ref: &LeasedRef, refresh_in: Duration) -> Next {
    let lane = match git_ref.lane {
        Lane::Interactive | Lane::Viewed | Lane::Active => Lane::Active,
        Lane::Idle => Lane::Idle,
    };
    Next {
        refresh_in: Some(refresh_in),
        lane,
        base: None,
    }
}
