//! A worker's report, from the contract's message to outcomes. What is malformed is an error with the
//! field's path; what the host said and does not fit is sorted out per row, later.

mod observation;

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;
use proto::chat::v1;

use super::{convert, duration, lease_token};
use crate::{
    diff_status::{ProblemClass, PullRequestState},
    error::Error,
    id::{GitRefId, RequestId},
    sync::{
        Lane,
        outcome::{
            Found, FoundPullRequest, MAX_NEXT_REFRESH, MAX_OUTCOMES, MAX_PAUSE, Outcome, Report,
        },
    },
};

/// Understands a report.
pub(super) fn report(request: v1::ReportOutcomesRequest) -> Result<Report, Error> {
    let v1::ReportOutcomesRequest {
        request_id,
        lease_token: token,
        outcomes,
        budget,
        release_lease,
        credentials,
    } = request;
    if outcomes.len() > MAX_OUTCOMES {
        return Err(Error::invalid(
            "outcomes",
            format!("has more than {MAX_OUTCOMES} entries"),
        ));
    }
    let mut refs = HashSet::with_capacity(outcomes.len());
    let outcomes = outcomes
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            let path = format!("outcomes[{index}]");
            let outcome = outcome(&path, message)?;
            if !refs.insert(outcome.git_ref) {
                return Err(Error::invalid(
                    format!("{path}.git_ref_id"),
                    "has an outcome already",
                ));
            }
            Ok(outcome)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Report {
        request: RequestId(convert::uuid("request_id", &request_id)?),
        lease: lease_token(&token)?,
        outcomes,
        budget: budget.map(observation::budget).transpose()?,
        credentials: observation::credentials(credentials)?,
        release_lease,
    })
}

fn outcome(path: &str, message: v1::Outcome) -> Result<Outcome, Error> {
    let v1::Outcome {
        git_ref_id,
        report_seq,
        result,
        next_refresh_in,
        next_lane,
        upstream_repository,
        base_interval,
        fingerprint,
        validator,
        canonical_repository,
    } = message;
    let at = |field: &str| format!("{path}.{field}");
    if report_seq < 1 {
        return Err(Error::invalid(
            at("report_seq"),
            "must be that of the lease",
        ));
    }
    let result = match result {
        Some(v1::outcome::Result::Found(message)) => {
            Found::PullRequest(Box::new(found(&at("found"), message)?))
        }
        Some(v1::outcome::Result::NoPullRequest(v1::NoPullRequest {})) => Found::NoPullRequest,
        Some(v1::outcome::Result::Gone(v1::Gone {})) => Found::Gone,
        Some(v1::outcome::Result::Failed(v1::Failed {
            class,
            retry_after,
            scope,
        })) => Found::Failed {
            class: problem_class(&at("failed.class"), class)?,
            retry_after: maybe_duration(&at("failed.retry_after"), retry_after, MAX_PAUSE)?,
            of_repository: of_repository(&at("failed.scope"), scope)?,
        },
        Some(v1::outcome::Result::Unchanged(v1::Unchanged {})) => Found::Unchanged,
        None => {
            return Err(Error::invalid(at("result"), "must say what was found"));
        }
    };
    Ok(Outcome {
        git_ref: GitRefId(convert::uuid(&at("git_ref_id"), &git_ref_id)?),
        report_seq,
        result,
        next_refresh_in: maybe_duration(&at("next_refresh_in"), next_refresh_in, MAX_NEXT_REFRESH)?,
        next_lane: lane(&at("next_lane"), next_lane)?,
        upstream_repository,
        base_interval: maybe_duration(&at("base_interval"), base_interval, MAX_NEXT_REFRESH)?,
        fingerprint,
        validator,
        canonical_repository,
    })
}

/// Whether the whole repository meets the problem. The wider scopes have a budget's or a credential's
/// observation in the same report, or are the worker's own concern.
fn of_repository(field: &str, scope: i32) -> Result<bool, Error> {
    match v1::ProblemScope::try_from(scope) {
        Ok(v1::ProblemScope::Repository) => Ok(true),
        Ok(
            v1::ProblemScope::Unspecified
            | v1::ProblemScope::Ref
            | v1::ProblemScope::Credential
            | v1::ProblemScope::Budget
            | v1::ProblemScope::Host,
        ) => Ok(false),
        Err(_) => Err(Error::invalid(field, format!("{scope} is not a scope"))),
    }
}

fn found(path: &str, message: v1::PullRequest) -> Result<FoundPullRequest, Error> {
    let v1::PullRequest {
        repository,
        number,
        url,
        state,
        draft,
        title,
        changes_requested,
        approved,
        reviewer_count,
        additions,
        deletions,
        changed_files,
        commits,
        head_branch,
        base_branch,
        head_sha,
        author_login,
        author_avatar_url,
        node_id,
        updated_at,
    } = message;
    let state = match v1::PullRequestState::try_from(state) {
        Ok(v1::PullRequestState::Open) => PullRequestState::Open,
        Ok(v1::PullRequestState::Merged) => PullRequestState::Merged,
        Ok(v1::PullRequestState::Closed) => PullRequestState::Closed,
        Ok(v1::PullRequestState::Draft | v1::PullRequestState::Unspecified) | Err(_) => {
            return Err(Error::invalid(
                format!("{path}.state"),
                "must be open, merged or closed",
            ));
        }
    };
    Ok(FoundPullRequest {
        repository,
        number,
        url,
        state: Some(state),
        draft,
        title,
        changes_requested,
        approved,
        reviewer_count,
        additions,
        deletions,
        changed_files,
        commits,
        head_branch,
        base_branch,
        head_sha,
        author_login,
        author_avatar_url,
        node_id,
        // One that is none tells nothing, and costs no status.
        updated_at: updated_at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok()),
    })
}

/// A duration, cut to `most`: what a host says must not plan a ref or a pause beyond reason.
fn maybe_duration(
    field: &str,
    message: Option<prost_types::Duration>,
    most: Duration,
) -> Result<Option<Duration>, Error> {
    message
        .map(|message| Ok(duration(field, message)?.min(most)))
        .transpose()
}

fn lane(field: &str, value: i32) -> Result<Lane, Error> {
    match v1::Lane::try_from(value) {
        Ok(v1::Lane::Interactive) => Ok(Lane::Interactive),
        Ok(v1::Lane::Viewed) => Ok(Lane::Viewed),
        Ok(v1::Lane::Active) => Ok(Lane::Active),
        Ok(v1::Lane::Unspecified | v1::Lane::Idle) => Ok(Lane::Idle),
        Err(_) => Err(Error::invalid(field, format!("{value} is not a lane"))),
    }
}

fn problem_class(field: &str, value: i32) -> Result<ProblemClass, Error> {
    match v1::ProblemClass::try_from(value) {
        Ok(v1::ProblemClass::NoAccount) => Ok(ProblemClass::NoAccount),
        Ok(v1::ProblemClass::RateLimited) => Ok(ProblemClass::RateLimited),
        Ok(v1::ProblemClass::CredentialRejected) => Ok(ProblemClass::CredentialRejected),
        Ok(v1::ProblemClass::AccessDenied) => Ok(ProblemClass::AccessDenied),
        Ok(v1::ProblemClass::RepositoryNotFound) => Ok(ProblemClass::RepositoryNotFound),
        Ok(v1::ProblemClass::PullRequestGone) => Ok(ProblemClass::PullRequestGone),
        Ok(v1::ProblemClass::HostUnavailable) => Ok(ProblemClass::HostUnavailable),
        Ok(v1::ProblemClass::HostAnswerInvalid) => Ok(ProblemClass::HostAnswerInvalid),
        Ok(v1::ProblemClass::ProviderUnsupported) => Ok(ProblemClass::ProviderUnsupported),
        Ok(v1::ProblemClass::Internal) => Ok(ProblemClass::Internal),
        Ok(v1::ProblemClass::SecondaryLimited) => Ok(ProblemClass::SecondaryLimited),
        Ok(v1::ProblemClass::CredentialSuspect) => Ok(ProblemClass::CredentialSuspect),
        Ok(v1::ProblemClass::AccountLocked) => Ok(ProblemClass::AccountLocked),
        Ok(v1::ProblemClass::SsoRequired) => Ok(ProblemClass::SsoRequired),
        Ok(v1::ProblemClass::AddressNotAllowed) => Ok(ProblemClass::AddressNotAllowed),
        Ok(v1::ProblemClass::NotReady) => Ok(ProblemClass::NotReady),
        Ok(v1::ProblemClass::QueryTooHeavy) => Ok(ProblemClass::QueryTooHeavy),
        Ok(v1::ProblemClass::HostIncompatible) => Ok(ProblemClass::HostIncompatible),
        Ok(v1::ProblemClass::RepositoryBlocked) => Ok(ProblemClass::RepositoryBlocked),
        Ok(v1::ProblemClass::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            format!("{value} is not a class of failure"),
        )),
    }
}
