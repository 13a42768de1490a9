//! A worker's report and its answer.

use std::{collections::HashSet, time::Duration};

use super::{
    BudgetObservation, CredentialObservation, LeaseToken, Outcome, OutcomeStatus, RequestId,
    field::{FieldError, at, elapsed, message_duration, uuid},
};
use crate::{bounds::MAX_OUTCOMES, chat::v1};

/// Everything that one call reports under a lease.
#[derive(Clone, Debug)]
pub struct Report {
    /// The idempotency key.
    pub request: RequestId,
    /// The fencing token.
    pub lease: LeaseToken,
    /// At most one per ref.
    pub outcomes: Vec<Outcome>,
    /// What the host's answers said about the budget.
    pub budget: Option<BudgetObservation>,
    /// What they said about credentials, at most one per account.
    pub credentials: Vec<CredentialObservation>,
    /// Whether to give the lease back after applying.
    pub release_lease: bool,
}

impl Report {
    /// Reads the message.
    ///
    /// # Errors
    ///
    /// A field that cannot be read, with its path.
    pub fn read(message: v1::ReportOutcomesRequest) -> Result<Self, FieldError> {
        let v1::ReportOutcomesRequest {
            request_id,
            lease_token,
            outcomes,
            budget,
            release_lease,
            credentials,
        } = message;
        if outcomes.len() > MAX_OUTCOMES {
            return Err(FieldError::new(
                "outcomes",
                format!("has more than {MAX_OUTCOMES} entries"),
            ));
        }
        let mut refs = HashSet::with_capacity(outcomes.len());
        let outcomes = outcomes
            .into_iter()
            .enumerate()
            .map(|(index, outcome)| {
                let path = format!("outcomes[{index}]");
                let outcome = Outcome::read(&path, outcome)?;
                if !refs.insert(outcome.git_ref) {
                    return Err(FieldError::new(
                        at(&path, "git_ref_id"),
                        "has an outcome already",
                    ));
                }
                Ok(outcome)
            })
            .collect::<Result<_, _>>()?;
        let mut accounts = HashSet::with_capacity(credentials.len());
        let credentials = credentials
            .into_iter()
            .enumerate()
            .map(|(index, credential)| {
                let path = format!("credentials[{index}]");
                let credential = CredentialObservation::read(&path, &credential)?;
                if !accounts.insert(credential.account) {
                    return Err(FieldError::new(
                        at(&path, "credential_id"),
                        "has an observation already",
                    ));
                }
                Ok(credential)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            request: RequestId(uuid("", "request_id", &request_id)?),
            lease: LeaseToken(uuid("", "lease_token", &lease_token)?),
            outcomes,
            budget: budget
                .map(|budget| BudgetObservation::read("budget", budget))
                .transpose()?,
            credentials,
            release_lease,
        })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> v1::ReportOutcomesRequest {
        v1::ReportOutcomesRequest {
            request_id: self.request.0.to_string(),
            lease_token: self.lease.0.to_string(),
            outcomes: self.outcomes.iter().map(Outcome::message).collect(),
            budget: self.budget.as_ref().map(BudgetObservation::message),
            release_lease: self.release_lease,
            credentials: self
                .credentials
                .iter()
                .map(CredentialObservation::message)
                .collect(),
        }
    }
}

/// What became of a report.
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
                .map(|result| OutcomeStatus::read(result.status()))
                .collect(),
            awaited: message.awaited,
        }
    }

    /// The message, for the outcomes that were reported.
    #[must_use]
    pub fn message(&self, outcomes: &[Outcome]) -> v1::ReportOutcomesResponse {
        let unknown = v1::OutcomeResultStatus::Unspecified;
        let results = outcomes.iter().zip(&self.statuses);
        v1::ReportOutcomesResponse {
            results: results
                .map(|(outcome, status)| v1::OutcomeResult {
                    git_ref_id: outcome.git_ref.to_string(),
                    status: status.map_or(unknown, OutcomeStatus::message).into(),
                })
                .collect(),
            awaited: self.awaited,
        }
    }
}

/// What a renewal answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// How long the lease lasts from now.
    pub expires_in: Duration,
    /// See [`ReportAnswer::awaited`].
    pub awaited: bool,
}

impl Renewal {
    /// Reads the message.
    #[must_use]
    pub fn read(message: v1::RenewLeaseResponse) -> Self {
        Self {
            expires_in: elapsed(message.expires_in),
            awaited: message.awaited,
        }
    }

    /// The message.
    #[must_use]
    pub fn message(self) -> v1::RenewLeaseResponse {
        v1::RenewLeaseResponse {
            expires_in: Some(message_duration(self.expires_in)),
            awaited: self.awaited,
        }
    }
}
