//! Rows of chats, refs and shares as domain types, by column name.

use policy::{Level, Subject};
use proto::sync::{ProblemClass, PullRequest};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{
    StoreError,
    column::{Column as _, Columns as _, Document},
    unknown::count_unknown,
};
use crate::{
    attention::{Attention, RaisedRow},
    chat::Chat,
    diff_status::{DiffStatus, Problem},
    id::{GroupId, UserId},
};

/// A chat without its refs; without its shares, too, if the statement was not asked for them.
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
        shares: shares(row)?,
    })
}

/// A git ref with its pull request. One that a later release wrote in a way that this one cannot
/// read is not shown, which is a problem of ours.
pub(crate) fn diff_status(row: &Row) -> Result<DiffStatus, StoreError> {
    let shown: Option<Document<_>> = row.get_as("pull_request")?;
    let shown = shown.map(|Document(read)| read).transpose();
    let mut class: Option<ProblemClass> = row.get_as("problem_class")?;
    if let Err(error) = &shown {
        count_unknown("pull_request", &error.to_string());
        class = class.or(Some(ProblemClass::Internal));
    }
    let pull_request: Option<PullRequest> = shown.unwrap_or_default();
    let head_sha = pull_request.as_ref().map(|shown| &*shown.head.sha);
    let raised: Option<Json<Vec<RaisedRow>>> = row.try_get("raised").map_err(StoreError::row)?;
    let raised = raised.map(|Json(raised)| raised).unwrap_or_default();
    let sum = row.get_as("attention")?;
    let attention = head_sha.map(|head_sha| Attention::of_sum(sum, &raised, head_sha));
    let since = row.get_as("problem_since")?;
    let until = row.get_as("problem_until")?;
    Ok(DiffStatus {
        id: row.get_as("id")?,
        chat: row.get_as("chat_id")?,
        git_remote_origin: row.get_as("git_remote_origin")?,
        git_branch: row.get_as("git_branch")?,
        provider_id: row.get_as("provider_id")?,
        repository: row.get_as("repository")?,
        primary: row.get_as("is_primary")?,
        reported_at: row.get_as("reported_at")?,
        attention: attention.unwrap_or_default(),
        pull_request,
        refreshed_at: row.get_as("refreshed_at")?,
        freshness: row.get_as("freshness")?,
        next_refresh_at: row.get_as("next_refresh_at")?,
        problem: class.map(|class| Problem {
            class,
            since,
            until,
        }),
    })
}

/// A subject as the database spells it in `column`; `None` for a kind of a later release: no
/// predicate of this one asks for it.
pub(crate) fn subject_of(column: &str, kind: &str, id: Uuid) -> Option<Subject> {
    match kind {
        "user" => Some(Subject::User(UserId(id))),
        "group" => Some(Subject::Group(GroupId(id))),
        _ => {
            count_unknown(column, kind);
            None
        }
    }
}

/// A kind, an id and a level.
type WireShare = (String, Uuid, String);

/// The chat's shares and their levels, without subjects of a kind that this release does not know.
fn shares(row: &Row) -> Result<Vec<(Subject, Level)>, StoreError> {
    let shares: Option<Json<Vec<WireShare>>> = row.try_get("shares").map_err(StoreError::row)?;
    let shares = shares.map(|Json(shares)| shares).unwrap_or_default();
    Ok(shares
        .into_iter()
        .filter_map(|(kind, id, level)| {
            let subject = subject_of("subject_kind", &kind, id)?;
            Some((subject, Level::from_wire(level, "level")))
        })
        .collect())
}
