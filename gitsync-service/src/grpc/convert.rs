//! Between the contract's messages and our words.

use std::time::Duration;

use jiff::Timestamp;
use proto::chat::v1 as pb;
use secrecy::SecretString;

use crate::{
    lease::{
        BatchSizes, BudgetKey, BudgetView, KnownPullRequest, Lane, Lease, LeaseGroup, LeaseToken,
        LeasedRef, ProviderConfig, ProviderKind, Repository, Window,
    },
    outcome::{
        BudgetObservation, CredentialObservation, CredentialState, Found, Outcome, Problem,
        PullRequest, PullRequestState, Scope,
    },
};

pub(super) fn lease(message: pb::Lease) -> Lease {
    let pb::Lease {
        lease_token,
        budget_key,
        expires_in,
        groups,
        budget,
    } = message;
    Lease {
        token: LeaseToken::new(lease_token),
        budget_key: BudgetKey(budget_key),
        expires_in: duration(expires_in),
        groups: groups.into_iter().map(lease_group).collect(),
        budget: budget_view(&budget.unwrap_or_default()),
    }
}

fn lease_group(message: pb::LeaseGroup) -> LeaseGroup {
    let pb::LeaseGroup {
        provider,
        access_token,
        refs,
        credential_id,
        credential_suspect,
    } = message;
    LeaseGroup {
        provider: provider_config(provider.unwrap_or_default()),
        // An empty token is none: sent, it would ask the host as nobody.
        access_token: access_token
            .filter(|token| !token.trim().is_empty())
            .map(SecretString::from),
        refs: refs.into_iter().map(leased_ref).collect(),
        credential_id,
        credential_suspect,
    }
}

fn provider_config(message: pb::Provider) -> ProviderConfig {
    let kind = match message.r#type() {
        pb::ProviderType::Github => ProviderKind::Github,
        pb::ProviderType::Unspecified => ProviderKind::Unsupported,
    };
    ProviderConfig {
        id: message.id,
        kind,
        api_base_url: message.api_base_url,
    }
}

fn leased_ref(message: pb::LeasedRef) -> LeasedRef {
    let lane = match message.lane() {
        pb::Lane::Interactive => Lane::Interactive,
        pb::Lane::Viewed => Lane::Viewed,
        pb::Lane::Active => Lane::Active,
        pb::Lane::Idle | pb::Lane::Unspecified => Lane::Idle,
    };
    let pb::LeasedRef {
        git_ref_id,
        report_seq,
        repository_owner,
        repository_name,
        branch,
        commit,
        lane: _,
        since_reported,
        failures,
        misses,
        settled_count,
        upstream_repository,
        known,
        since_changed,
        since_active,
        viewed,
        unchanged_count,
        since_found,
        fingerprint,
        validator,
        canonical_repository,
    } = message;
    LeasedRef {
        git_ref_id,
        report_seq,
        repository: Repository {
            owner: repository_owner,
            name: repository_name,
        },
        branch,
        lane,
        since_reported: duration(since_reported),
        misses: count(misses),
        settled_count: count(settled_count),
        upstream_repository,
        known: known.map(known_pull_request),
        commit,
        since_changed: duration(since_changed),
        since_active: duration(since_active),
        viewed,
        failures: count(failures),
        unchanged_count: count(unchanged_count),
        since_found: since_found.map(|since| duration(Some(since))),
        fingerprint,
        validator,
        canonical_repository: canonical_repository.and_then(|name| Repository::parse(&name)),
    }
}

fn known_pull_request(message: pb::KnownPullRequest) -> KnownPullRequest {
    let (state, draft) = match message.state() {
        pb::PullRequestState::Merged => (PullRequestState::Merged, message.draft),
        pb::PullRequestState::Closed => (PullRequestState::Closed, message.draft),
        pb::PullRequestState::Draft => (PullRequestState::Open, true),
        pb::PullRequestState::Open | pb::PullRequestState::Unspecified => {
            (PullRequestState::Open, message.draft)
        }
    };
    KnownPullRequest {
        repository: message.repository,
        number: message.number,
        state,
        draft,
        node_id: message.node_id,
    }
}

fn budget_view(message: &pb::BudgetView) -> BudgetView {
    let pb::BudgetView {
        rest,
        graphql,
        secondary_strikes,
        cautious_for,
        demand,
        burst_spent,
        batches,
        account_known,
    } = message;
    BudgetView {
        rest: window(rest.unwrap_or_default()),
        graphql: window(graphql.unwrap_or_default()),
        secondary_strikes: count(*secondary_strikes),
        cautious_for: cautious_for.map(|left| duration(Some(left))),
        demand: demand.max(0.0),
        burst_spent: burst_spent.max(0.0),
        batches: batches.map(|sizes| BatchSizes {
            probe: count(sizes.probe),
            detail: count(sizes.detail),
            discover: count(sizes.discover),
        }),
        account_known: *account_known,
    }
}

fn window(message: pb::BudgetWindow) -> Window {
    let pb::BudgetWindow {
        limit,
        remaining,
        reset_in,
        pause_for,
    } = message;
    Window {
        limit,
        remaining,
        reset_in: reset_in.map(|left| duration(Some(left))),
        pause_for: pause_for.map(|left| duration(Some(left))),
    }
}

fn proto_window(window: Window) -> pb::BudgetWindow {
    let Window {
        limit,
        remaining,
        reset_in,
        pause_for,
    } = window;
    pb::BudgetWindow {
        limit,
        remaining,
        reset_in: reset_in.map(proto_duration),
        pause_for: pause_for.map(proto_duration),
    }
}

/// A count that is negative is none.
fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn proto_count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn outcome(outcome: &Outcome) -> pb::Outcome {
    let Outcome {
        git_ref_id,
        report_seq,
        result,
        scope,
        next,
        upstream_repository,
        fingerprint,
        validator,
        canonical_repository,
    } = outcome;
    let result = match result {
        Ok(Found::PullRequest(found)) => pb::outcome::Result::Found(pull_request(found)),
        Ok(Found::Unchanged) => pb::outcome::Result::Unchanged(pb::Unchanged {}),
        Ok(Found::NoPullRequest) => pb::outcome::Result::NoPullRequest(pb::NoPullRequest {}),
        Ok(Found::Gone) => pb::outcome::Result::Gone(pb::Gone {}),
        Err(problem) => pb::outcome::Result::Failed(failed(problem, *scope)),
    };
    let lane = match next.lane {
        Lane::Interactive => pb::Lane::Interactive,
        Lane::Viewed => pb::Lane::Viewed,
        Lane::Active => pb::Lane::Active,
        Lane::Idle => pb::Lane::Idle,
    };
    pb::Outcome {
        git_ref_id: git_ref_id.clone(),
        report_seq: *report_seq,
        result: Some(result),
        next_refresh_in: next.refresh_in.map(proto_duration),
        next_lane: lane.into(),
        upstream_repository: upstream_repository.clone(),
        base_interval: next.base.map(proto_duration),
        fingerprint: fingerprint.clone(),
        validator: validator.clone(),
        canonical_repository: canonical_repository.clone(),
    }
}

fn pull_request(found: &PullRequest) -> pb::PullRequest {
    let PullRequest {
        repository,
        number,
        url,
        state,
        draft,
        title,
        reviews,
        additions,
        deletions,
        changed_files,
        commits,
        head_branch,
        base_branch,
        head_sha,
        author,
        node_id,
        updated_at,
    } = found;
    let state = match state {
        PullRequestState::Open => pb::PullRequestState::Open,
        PullRequestState::Merged => pb::PullRequestState::Merged,
        PullRequestState::Closed => pb::PullRequestState::Closed,
    };
    pb::PullRequest {
        repository: repository.clone(),
        number: *number,
        url: url.clone(),
        state: state.into(),
        draft: *draft,
        title: title.clone(),
        changes_requested: reviews.changes_requested,
        approved: reviews.approved,
        reviewer_count: reviews.reviewer_count,
        additions: *additions,
        deletions: *deletions,
        changed_files: *changed_files,
        commits: *commits,
        head_branch: head_branch.clone(),
        base_branch: base_branch.clone(),
        head_sha: head_sha.clone(),
        author_login: author.as_ref().map(|author| author.login.clone()),
        author_avatar_url: author.as_ref().and_then(|author| author.avatar_url.clone()),
        node_id: node_id.clone(),
        updated_at: updated_at.map(proto_timestamp),
    }
}

fn failed(problem: &Problem, scope: Scope) -> pb::Failed {
    let (class, retry_after) = match problem {
        Problem::NoAccount => (pb::ProblemClass::NoAccount, None),
        Problem::RateLimited { retry_after, .. } => {
            (pb::ProblemClass::RateLimited, Some(*retry_after))
        }
        Problem::SecondaryLimited { retry_after } => {
            (pb::ProblemClass::SecondaryLimited, Some(*retry_after))
        }
        Problem::CredentialSuspect => (pb::ProblemClass::CredentialSuspect, None),
        Problem::CredentialRejected => (pb::ProblemClass::CredentialRejected, None),
        Problem::AccountLocked => (pb::ProblemClass::AccountLocked, None),
        Problem::SsoRequired => (pb::ProblemClass::SsoRequired, None),
        Problem::AddressNotAllowed => (pb::ProblemClass::AddressNotAllowed, None),
        Problem::AccessDenied => (pb::ProblemClass::AccessDenied, None),
        Problem::RepositoryNotFound => (pb::ProblemClass::RepositoryNotFound, None),
        Problem::RepositoryBlocked => (pb::ProblemClass::RepositoryBlocked, None),
        Problem::NotReady => (pb::ProblemClass::NotReady, None),
        Problem::QueryTooHeavy => (pb::ProblemClass::QueryTooHeavy, None),
        Problem::HostUnavailable(_) => (pb::ProblemClass::HostUnavailable, None),
        Problem::HostAnswerInvalid(_) => (pb::ProblemClass::HostAnswerInvalid, None),
        Problem::HostIncompatible(_) => (pb::ProblemClass::HostIncompatible, None),
        Problem::ProviderUnsupported => (pb::ProblemClass::ProviderUnsupported, None),
        Problem::Internal(_) => (pb::ProblemClass::Internal, None),
    };
    let scope = match scope {
        Scope::Ref => pb::ProblemScope::Ref,
        Scope::Repository => pb::ProblemScope::Repository,
        Scope::Credential => pb::ProblemScope::Credential,
        Scope::Budget => pb::ProblemScope::Budget,
        Scope::Host => pb::ProblemScope::Host,
    };
    pb::Failed {
        class: class.into(),
        retry_after: retry_after.map(proto_duration),
        scope: scope.into(),
    }
}

pub(super) fn budget(seen: BudgetObservation) -> pb::BudgetObservation {
    let BudgetObservation {
        account_id,
        rest,
        graphql,
        pause_for,
        secondary_refusals,
        graphql_requests,
        batches,
    } = seen;
    pb::BudgetObservation {
        account_id,
        rest: Some(proto_window(rest)),
        graphql: Some(proto_window(graphql)),
        pause_for: pause_for.map(proto_duration),
        secondary_refusals: proto_count(secondary_refusals),
        graphql_requests: proto_count(graphql_requests),
        batches: batches.map(|sizes| pb::BatchSizes {
            probe: proto_count(sizes.probe),
            detail: proto_count(sizes.detail),
            discover: proto_count(sizes.discover),
        }),
    }
}

pub(super) fn credential(seen: CredentialObservation) -> pb::CredentialObservation {
    let CredentialObservation {
        credential_id,
        state,
        confirm_in,
    } = seen;
    let state = match state {
        CredentialState::Accepted => pb::CredentialState::Accepted,
        CredentialState::Suspect => pb::CredentialState::Suspect,
        CredentialState::Rejected => pb::CredentialState::Rejected,
    };
    pb::CredentialObservation {
        credential_id,
        state: state.into(),
        confirm_in: confirm_in.map(proto_duration),
    }
}

fn proto_timestamp(timestamp: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: timestamp.as_second(),
        nanos: timestamp.subsec_nanosecond(),
    }
}

/// An absent or negative duration is none.
pub(super) fn duration(message: Option<prost_types::Duration>) -> Duration {
    message
        .and_then(|message| Duration::try_from(message).ok())
        .unwrap_or_default()
}

pub(super) fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
