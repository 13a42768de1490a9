//! The words of the sync contract, once for both services: what a lease hands out, what an outcome
//! says, what is known of a budget, and the conversions to and from the messages of
//! `chat.v1.SyncService`.
//!
//! Plain data: nothing here does I/O, knows a host, or reads a clock. A message from the other side
//! is read into these types completely or refused with the field's path ([`FieldError`]); a message
//! is written from them without loss.

mod budget;
mod checks;
mod diff;
mod field;
mod lease;
mod leased_ref;
mod merging;
mod outcome;
mod problem;
mod pull_request;
mod report;
mod repository;

pub use budget::{BudgetObservation, BudgetView, CredentialObservation, Pause, Window, is_host_id};
pub use checks::{CheckState, Checks, FailedCheck};
pub use diff::{Diff, DiffReport, DiffResult};
pub use field::{FieldError, message_duration};
pub use lease::{BudgetKey, Credential, Lease, LeaseGroup, LeaseRequest, Provider, ProviderKind};
pub use leased_ref::{Fence, KnownPullRequest, Lane, LeasedRef, Upstream};
pub use merging::{MergeBlocker, MergeState, Progress, ReviewDecision};
pub use outcome::{Finding, Learned, Next, Outcome, OutcomeStatus};
pub use problem::{ProblemClass, ProblemName};
pub use pull_request::{FoundPullRequest, Head, PullRequest, PullRequestState};
pub use report::{Renewal, Report, ReportAnswer};
pub use repository::RepositoryPath;

pub use crate::chat::v1::CredentialState;

use std::fmt;

use uuid::Uuid;

use self::field::Wire;

macro_rules! ids {
    ($($(#[$attr:meta])* $name:ident)*) => {$(
        $(#[$attr])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl Wire<String> for $name {
            fn read(text: String) -> Result<Self, FieldError> {
                Uuid::parse_str(&text)
                    .map(Self)
                    .map_err(|_| FieldError::new("", "is not a UUID"))
            }

            fn message(&self) -> String {
                self.0.to_string()
            }
        }
    )*};
}

ids! {
    /// A git ref of a chat.
    #[derive(Debug)]
    GitRefId
    /// A user's account at a provider.
    #[derive(Debug)]
    GitAccountId
    /// The idempotency key of a lease or report call.
    #[derive(Debug)]
    RequestId
    /// The fencing token of a lease. Prints no token: with it, outcomes could be written.
    LeaseToken
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LeaseToken([REDACTED])")
    }
}

impl fmt::Display for GitRefId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for GitAccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests;
