//! A worker's report and its answer.

use std::time::Duration;

use super::{
    BudgetObservation, CredentialObservation, LeaseToken, Outcome, OutcomeStatus, RequestId,
    field::{FieldError, distinct, message},
};
use crate::{bounds::MAX_OUTCOMES, chat::v1};

message! {
    /// Everything that one call reports under a lease.
    #[derive(Clone, Debug)]
    Report = v1::ReportOutcomesRequest, with Report::checked {
        /// The idempotency key.
        request as request_id: RequestId,
        /// The fencing token.
        lease as lease_token: LeaseToken,
        /// At most one per ref.
        outcomes: Vec<Outcome>,
        /// The budget's observation.
        budget: Option<BudgetObservation>,
        /// The observations of credentials, at most one per account.
        credentials: Vec<CredentialObservation>,
        /// Whether to give the lease back after applying.
        release_lease: bool,
    }
}

impl Report {
    fn checked(self) -> Result<Self, FieldError> {
        let refs = self.outcomes.iter().map(|outcome| outcome.git_ref);
        distinct("outcomes", MAX_OUTCOMES, "git_ref_id", refs)?;
        let accounts = self.credentials.iter().map(|observed| observed.account);
        distinct("credentials", MAX_OUTCOMES, "credential_id", accounts)?;
        Ok(self)
    }
}

/// The response to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportAnswer {
    /// One per outcome, in its order. `None` for a status that this version does not know.
    pub statuses: Vec<Option<OutcomeStatus>>,
    /// Whether the lease's turn is to end, since a person waits for what it may not hold.
    pub awaited: bool,
}

impl ReportAnswer {
    /// Reads the message.
    #[must_use]
    pub fn read(message: &v1::ReportOutcomesResponse) -> Self {
        let results = message.results.iter();
        Self {
            statuses: results
                .map(|result| OutcomeStatus::known(result.status))
                .collect(),
            awaited: message.awaited,
        }
    }

    /// The message, for the outcomes that were reported.
    #[must_use]
    pub fn message(&self, outcomes: &[Outcome]) -> v1::ReportOutcomesResponse {
        let results = outcomes.iter().zip(&self.statuses);
        v1::ReportOutcomesResponse {
            results: results
                .map(|(outcome, status)| v1::OutcomeResult {
                    git_ref_id: outcome.git_ref.to_string(),
                    status: status.map_or(0, |status| status.message().into()),
                })
                .collect(),
            awaited: self.awaited,
        }
    }
}

message! {
    /// The response to a renewal.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Renewal = v1::RenewLeaseResponse {
        /// How long the lease lasts from now.
        expires_in: Duration,
        /// See [`ReportAnswer::awaited`].
        awaited: bool,
    }
}
