//! Between the contract's messages and our words.

use std::time::Duration;

use proto::chat::v1 as pb;
use secrecy::SecretString;

use crate::{
    lease::{
        BudgetKey, KnownPullRequest, Lane, Lease, LeaseGroup, LeaseToken, LeasedRef,
        ProviderConfig, ProviderKind, Repository,
    },
    outcome::{BudgetObservation, Found, Outcome, Problem, PullRequest, PullRequestState},
};

pub(super) fn lease(message: pb::Lease) -> Lease {
    let pb::Lease {
        lease_token,
        budget_key,
        expires_in,
        groups,
        budget: _,
    } = message;
    Lease {
        token: LeaseToken::new(lease_token),
        budget_key: BudgetKey(budget_key),
        expires_in: duration(expires_in),
        groups: groups.into_iter().map(lease_group).collect(),
    }
}

fn lease_group(message: pb::LeaseGroup) -> LeaseGroup {
    let pb::LeaseGroup {
        provider,
        access_token,
        refs,
        credential_id: _,
        credential_suspect: _,
    } = message;
    LeaseGroup {
        provider: provider_config(provider.unwrap_or_default()),
        // An empty token is none: sent, it would ask the host as nobody.
        access_token: access_token
            .filter(|token| !token.trim().is_empty())
            .map(SecretString::from),
        refs: refs.into_iter().map(leased_ref).collect(),
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
        commit: _,
        lane: _,
        since_reported,
        failures: _,
        misses,
        settled_count,
        upstream_repository,
        known,
        since_changed: _,
        since_active: _,
        viewed: _,
        unchanged_count: _,
        since_found: _,
        fingerprint: _,
        validator: _,
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
        misses: u32::try_from(misses).unwrap_or(0),
        settled_count: u32::try_from(settled_count).unwrap_or(0),
        upstream_repository,
        known: known.map(|known| KnownPullRequest {
            repository: known.repository,
            number: known.number,
        }),
    }
}

pub(super) fn outcome(outcome: &Outcome) -> pb::Outcome {
    let Outcome {
        git_ref_id,
        report_seq,
        result,
        next,
        upstream_repository,
    } = outcome;
    let result = match result {
        Ok(Found::PullRequest(found)) => pb::outcome::Result::Found(pull_request(found)),
        Ok(Found::NoPullRequest) => pb::outcome::Result::NoPullRequest(pb::NoPullRequest {}),
        Ok(Found::Gone) => pb::outcome::Result::Gone(pb::Gone {}),
        Err(problem) => pb::outcome::Result::Failed(failed(problem)),
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
        base_interval: None,
        fingerprint: None,
        validator: None,
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
        updated_at: None,
    }
}

fn failed(problem: &Problem) -> pb::Failed {
    let (class, retry_after) = match problem {
        Problem::NoAccount => (pb::ProblemClass::NoAccount, None),
        Problem::RateLimited { retry_after } => (pb::ProblemClass::RateLimited, Some(*retry_after)),
        Problem::CredentialRejected => (pb::ProblemClass::CredentialRejected, None),
        Problem::AccessDenied => (pb::ProblemClass::AccessDenied, None),
        Problem::RepositoryNotFound => (pb::ProblemClass::RepositoryNotFound, None),
        Problem::HostUnavailable(_) => (pb::ProblemClass::HostUnavailable, None),
        Problem::HostAnswerInvalid(_) => (pb::ProblemClass::HostAnswerInvalid, None),
        Problem::ProviderUnsupported => (pb::ProblemClass::ProviderUnsupported, None),
        Problem::Internal(_) => (pb::ProblemClass::Internal, None),
    };
    pb::Failed {
        class: class.into(),
        retry_after: retry_after.map(proto_duration),
        scope: pb::ProblemScope::Unspecified.into(),
    }
}

pub(super) fn budget(seen: BudgetObservation) -> pb::BudgetObservation {
    let BudgetObservation {
        limit,
        remaining,
        reset_in,
        pause_for,
    } = seen;
    pb::BudgetObservation {
        // GitHub's REST answers do not say whose token it was.
        account_id: None,
        rest: Some(pb::BudgetWindow {
            limit,
            remaining,
            reset_in: reset_in.map(proto_duration),
            pause_for: None,
        }),
        graphql: None,
        pause_for: pause_for.map(proto_duration),
        secondary_refusals: 0,
        graphql_requests: 0,
        batches: None,
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
