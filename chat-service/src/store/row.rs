//! Rows of chats, refs and shares as domain types, by column name.

use jiff::Timestamp;
use policy::{Level, Subject};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    StoreError,
    column::{Column, Columns as _, first},
    page::Matches,
};
use crate::{
    chat::Chat,
    diff_status::{DiffStatus, Problem, ProblemClass, PullRequest, PullRequestState},
    id::{ChatId, GroupId, UserId},
};

/// How often a search matches, from the plan that PostgreSQL would make.
pub(crate) fn matches(rows: &[Row]) -> Result<Matches, StoreError> {
    let plan: Value =
        first(rows, "QUERY PLAN")?.ok_or_else(|| StoreError::bug("explain a search", "no plan"))?;
    Ok(Matches::from_plan(&plan))
}

/// A chat without its refs and shares.
pub(crate) fn chat(row: &Row) -> Result<Chat, StoreError> {
    Ok(Chat {
        id: row.get_as("id")?,
        owner: row.get_as("owner_id")?,
        organization: row.get_as("organization_id")?,
        workspace: row.get_as("workspace_id")?,
        title: row.get_as("title")?,
        status: row.get_as("status")?,
        labels: row.get_as("labels")?,
        archived: row.get_as("archived")?,
        created_at: row.get_as("created_at")?,
        updated_at: row.get_as("updated_at")?,
        diff_statuses: Vec::new(),
        shares: Vec::new(),
    })
}

/// A git ref with its pull request.
pub(crate) fn diff_status(row: &Row) -> Result<DiffStatus, StoreError> {
    let pull_request = pull_request(row)?;
    let primary: bool = row.get_as("is_primary")?;
    let class: Option<ProblemClass> = row.get_as("problem_class")?;
    let since: Option<Timestamp> = row.get_as("problem_since")?;
    let until: Option<Timestamp> = row.get_as("problem_until")?;
    let open = pull_request
        .as_ref()
        .is_some_and(|pr| pr.state == PullRequestState::Open);
    Ok(DiffStatus {
        id: row.get_as("id")?,
        chat: row.get_as("chat_id")?,
        git_remote_origin: row.get_as("git_remote_origin")?,
        git_branch: row.get_as("git_branch")?,
        provider_id: row.get_as("provider_id")?,
        repository: row.get_as("repository")?,
        primary,
        reported_at: row.get_as("reported_at")?,
        pull_request,
        refreshed_at: row.get_as("refreshed_at")?,
        freshness: row.get_as("freshness")?,
        next_refresh_at: row.get_as("next_refresh_at")?,
        problem: class.zip(since).map(|(class, since)| Problem {
            class,
            since,
            until,
        }),
        outcome_seq: row.get_as("outcome_seq")?,
        polled: primary || open,
    })
}

fn pull_request(row: &Row) -> Result<Option<PullRequest>, StoreError> {
    let (Some(url), Some(state), Some(number)) = (
        row.get_as("url")?,
        row.get_as("pull_request_state")?,
        row.get_as("pr_number")?,
    ) else {
        // A CHECK keeps the three together.
        return Ok(None);
    };
    Ok(Some(PullRequest {
        url,
        state,
        number,
        draft: row.get_as("pull_request_draft")?,
        title: row.get_as("pull_request_title")?,
        changes_requested: row.get_as("changes_requested")?,
        additions: row.get_as("additions")?,
        deletions: row.get_as("deletions")?,
        changed_files: row.get_as("changed_files")?,
        head_branch: row.get_as("head_branch")?,
        base_branch: row.get_as("base_branch")?,
        head_sha: row.get_as("head_sha")?,
        author_login: row.get_as("author_login")?,
        author_avatar_url: row.get_as("author_avatar_url")?,
        commits: row.get_as("commits")?,
        approved: row.get_as("approved")?,
        reviewer_count: row.get_as("reviewer_count")?,
    }))
}

/// A subject, from its kind and id.
pub(crate) fn subject(row: &Row) -> Result<Subject, StoreError> {
    let id = row.get_as("subject_id")?;
    let kind: String = row.get_as("subject_kind")?;
    subject_of(&kind, id)
        .ok_or_else(|| StoreError::bug("read a row", format!("subject_kind: {kind:?}")))
}

/// A subject as the database spells it.
pub(crate) fn subject_of(kind: &str, id: Uuid) -> Option<Subject> {
    match kind {
        "user" => Some(Subject::User(UserId(id))),
        "group" => Some(Subject::Group(GroupId(id))),
        _ => None,
    }
}

impl Column for Level {
    type Wire = String;

    fn from_wire(wire: String) -> Result<Self, String> {
        match wire.as_str() {
            "reader" => Ok(Self::Reader),
            "writer" => Ok(Self::Writer),
            _ => Err(format!("unknown name {wire:?}")),
        }
    }
}

/// A share: of which chat, to whom, at what level.
pub(crate) fn share(row: &Row) -> Result<(ChatId, Subject, Level), StoreError> {
    Ok((row.get_as("chat_id")?, subject(row)?, row.get_as("level")?))
}
