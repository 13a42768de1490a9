//! Outcomes as the JSON rows that `apply_outcomes.sql` reads.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    diff_status::PullRequestState,
    sync::outcome::{Found, FoundPullRequest, Outcome},
};

/// One of them.
#[derive(Serialize)]
struct OutcomeRow<'a> {
    id: Uuid,
    report_seq: i64,
    kind: &'static str,
    next_seconds: Option<f64>,
    next_lane: i16,
    upstream_repository: Option<&'a str>,
    #[serde(flatten)]
    found: Option<FoundRow<'a>>,
    problem_class: Option<&'static str>,
    retry_seconds: Option<f64>,
    base_seconds: Option<f64>,
    fingerprint: Option<&'a str>,
    validator: Option<&'a str>,
    canonical_repository: Option<&'a str>,
}

#[derive(Serialize)]
struct FoundRow<'a> {
    repository: &'a str,
    number: i32,
    url: &'a str,
    state: Option<&'static str>,
    draft: bool,
    title: &'a str,
    changes_requested: bool,
    approved: bool,
    reviewer_count: i32,
    additions: i32,
    deletions: i32,
    changed_files: i32,
    commits: i32,
    head_branch: &'a str,
    base_branch: &'a str,
    head_sha: &'a str,
    author_login: Option<&'a str>,
    author_avatar_url: Option<&'a str>,
    node_id: Option<&'a str>,
    updated_at: Option<String>,
}

/// The row of an outcome.
pub(super) fn row(outcome: &Outcome) -> Value {
    let Outcome {
        git_ref,
        report_seq,
        result,
        next_refresh_in,
        next_lane,
        upstream_repository,
        base_interval,
        fingerprint,
        validator,
        canonical_repository,
    } = outcome;
    let (kind, found, problem_class, retry_after) = match result {
        Found::PullRequest(found) => ("found", Some(found_row(found)), None, None),
        Found::NoPullRequest => ("no_pull_request", None, None, None),
        Found::Gone => ("gone", None, None, None),
        Found::Unchanged => ("unchanged", None, None, None),
        Found::Failed {
            class,
            retry_after,
            of_repository: _,
        } => ("failed", None, Some(class.name()), *retry_after),
    };
    json!(OutcomeRow {
        id: git_ref.0,
        report_seq: *report_seq,
        kind,
        next_seconds: next_refresh_in.map(|next| next.as_secs_f64()),
        next_lane: next_lane.number(),
        upstream_repository: upstream_repository.as_deref(),
        found,
        problem_class,
        retry_seconds: retry_after.map(|retry| retry.as_secs_f64()),
        base_seconds: base_interval.map(|base| base.as_secs_f64()),
        fingerprint: fingerprint.as_deref(),
        validator: validator.as_deref(),
        canonical_repository: canonical_repository.as_deref(),
    })
}

fn found_row(found: &FoundPullRequest) -> FoundRow<'_> {
    let FoundPullRequest {
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
    } = found;
    FoundRow {
        repository,
        number: *number,
        url,
        state: state.map(PullRequestState::name),
        draft: *draft,
        title,
        changes_requested: *changes_requested,
        approved: *approved,
        reviewer_count: *reviewer_count,
        additions: *additions,
        deletions: *deletions,
        changed_files: *changed_files,
        commits: *commits,
        head_branch,
        base_branch,
        head_sha,
        author_login: author_login.as_deref(),
        author_avatar_url: author_avatar_url.as_deref(),
        node_id: node_id.as_deref(),
        updated_at: updated_at.map(|at| at.to_string()),
    }
}
