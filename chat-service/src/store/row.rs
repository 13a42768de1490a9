//! Rows of chats, refs and shares as domain types, by column name.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{StoreError, page::Matches};
use crate::{
    authz::{Level, Subject},
    chat::{Chat, ChatStatus},
    diff_status::{DiffStatus, Freshness, Problem, ProblemClass, PullRequest, PullRequestState},
    id::{ChatId, GitRefId, GroupId, OrganizationId, UserId, WorkspaceId},
};

/// A text column that holds one of an enum's names.
pub(crate) fn named<T>(
    row: &Row,
    column: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).map_err(StoreError::row)?;
    parse(text).ok_or_else(|| unknown_name(column, text))
}

/// As [`named`], of a column that may be NULL.
pub(crate) fn maybe_named<T>(
    row: &Row,
    column: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column).map_err(StoreError::row)?;
    text.map(|text| parse(text).ok_or_else(|| unknown_name(column, text)))
        .transpose()
}

fn unknown_name(column: &str, text: &str) -> StoreError {
    StoreError::bug("read a row", format!("{column}: unknown name {text:?}"))
}

/// How often a search matches, from the plan that PostgreSQL would make.
pub(crate) fn matches(rows: &[Row]) -> Result<Matches, StoreError> {
    let row = rows
        .first()
        .ok_or_else(|| StoreError::bug("explain a search", "no plan"))?;
    let plan: Value = row.try_get(0).map_err(StoreError::row)?;
    Ok(Matches::from_plan(&plan))
}

/// A chat without its refs and shares.
pub(crate) fn chat(row: &Row) -> Result<Chat, StoreError> {
    let Json(labels) = row.try_get("labels").map_err(StoreError::row)?;
    let get_id = |column| {
        row.try_get::<_, Option<Uuid>>(column)
            .map_err(StoreError::row)
    };
    Ok(Chat {
        id: ChatId(row.try_get("id").map_err(StoreError::row)?),
        owner: UserId(row.try_get("owner_id").map_err(StoreError::row)?),
        organization: get_id("organization_id")?.map(OrganizationId),
        workspace: get_id("workspace_id")?.map(WorkspaceId),
        title: row.try_get("title").map_err(StoreError::row)?,
        status: named(row, "status", ChatStatus::parse)?,
        labels,
        archived: row.try_get("archived").map_err(StoreError::row)?,
        created_at: row.try_get("created_at").map_err(StoreError::row)?,
        updated_at: row.try_get("updated_at").map_err(StoreError::row)?,
        diff_statuses: Vec::new(),
        shares: Vec::new(),
    })
}

/// A git ref with its pull request.
pub(crate) fn diff_status(row: &Row) -> Result<DiffStatus, StoreError> {
    let names = Names {
        state: maybe_named(row, "pull_request_state", PullRequestState::parse)?,
        freshness: named(row, "freshness", Freshness::parse)?,
        problem: maybe_named(row, "problem_class", ProblemClass::parse)?,
    };
    diff_status_columns(row, names).map_err(StoreError::row)
}

/// The columns of a ref that are one of an enum's names.
#[derive(Clone, Copy)]
struct Names {
    state: Option<PullRequestState>,
    freshness: Freshness,
    problem: Option<ProblemClass>,
}

fn diff_status_columns(row: &Row, names: Names) -> Result<DiffStatus, tokio_postgres::Error> {
    let Names {
        state,
        freshness,
        problem,
    } = names;
    let url: Option<String> = row.try_get("url")?;
    let number: Option<i32> = row.try_get("pr_number")?;
    let pull_request = match (url, state, number) {
        (Some(url), Some(state), Some(number)) => Some(PullRequest {
            url,
            state,
            number,
            draft: row.try_get("pull_request_draft")?,
            title: row.try_get("pull_request_title")?,
            changes_requested: row.try_get("changes_requested")?,
            additions: row.try_get("additions")?,
            deletions: row.try_get("deletions")?,
            changed_files: row.try_get("changed_files")?,
            head_branch: row.try_get("head_branch")?,
            base_branch: row.try_get("base_branch")?,
            head_sha: row.try_get("head_sha")?,
            author_login: row.try_get("author_login")?,
            author_avatar_url: row.try_get("author_avatar_url")?,
            commits: row.try_get("commits")?,
            approved: row.try_get("approved")?,
            reviewer_count: row.try_get("reviewer_count")?,
        }),
        // A CHECK keeps the three together.
        _ => None,
    };
    let primary: bool = row.try_get("is_primary")?;
    let since: Option<Timestamp> = row.try_get("problem_since")?;
    let until: Option<Timestamp> = row.try_get("problem_until")?;
    let open = pull_request
        .as_ref()
        .is_some_and(|pr| pr.state == PullRequestState::Open);
    Ok(DiffStatus {
        id: GitRefId(row.try_get("id")?),
        chat: ChatId(row.try_get("chat_id")?),
        git_remote_origin: row.try_get("git_remote_origin")?,
        git_branch: row.try_get("git_branch")?,
        provider_id: row.try_get("provider_id")?,
        repository: row.try_get("repository")?,
        primary,
        reported_at: row.try_get("reported_at")?,
        pull_request,
        refreshed_at: row.try_get("refreshed_at")?,
        freshness,
        next_refresh_at: row.try_get("next_refresh_at")?,
        problem: problem.zip(since).map(|(class, since)| Problem {
            class,
            since,
            until,
        }),
        outcome_seq: row.try_get("outcome_seq")?,
        polled: primary || open,
    })
}

/// A subject, from its kind and id.
pub(crate) fn subject(row: &Row) -> Result<Subject, StoreError> {
    let id: Uuid = row.try_get("subject_id").map_err(StoreError::row)?;
    let kind: &str = row.try_get("subject_kind").map_err(StoreError::row)?;
    match kind {
        "user" => Ok(Subject::User(UserId(id))),
        "group" => Ok(Subject::Group(GroupId(id))),
        _ => Err(unknown_name("subject_kind", kind)),
    }
}

/// A share: of which chat, to whom, at what level.
pub(crate) fn share(row: &Row) -> Result<(ChatId, Subject, Level), StoreError> {
    let chat = ChatId(row.try_get("chat_id").map_err(StoreError::row)?);
    let level = named(row, "level", |level| match level {
        "reader" => Some(Level::Reader),
        "writer" => Some(Level::Writer),
        _ => None,
    })?;
    Ok((chat, subject(row)?, level))
}
