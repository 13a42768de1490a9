//! Rows of chats, refs and shares as domain types, by column name.

use policy::{Level, Subject};
use proto::sync::ProblemClass;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{
    StoreError,
    column::{Column, Columns as _},
};
use crate::{
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

/// A git ref with its pull request.
pub(crate) fn diff_status(row: &Row) -> Result<DiffStatus, StoreError> {
    let class: Option<ProblemClass> = row.get_as("problem_class")?;
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
        pull_request: row.get_as("pull_request")?,
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

/// A kind, an id and a level.
type WireShare = (String, Uuid, String);

/// Whom the chat is shared with, and at what level.
fn shares(row: &Row) -> Result<Vec<(Subject, Level)>, StoreError> {
    let shares: Option<Json<Vec<WireShare>>> = row.try_get("shares").map_err(StoreError::row)?;
    let Some(Json(shares)) = shares else {
        return Ok(Vec::new());
    };
    shares
        .into_iter()
        .map(|(kind, id, level)| {
            let subject = subject_of(&kind, id);
            let level = Level::from_wire(level);
            match (subject, level) {
                (Some(subject), Ok(level)) => Ok((subject, level)),
                (None, _) => Err(format!("subject_kind: {kind:?}")),
                (Some(_), Err(problem)) => Err(format!("level: {problem}")),
            }
        })
        .collect::<Result<_, _>>()
        .map_err(|problem| StoreError::bug("read a row", problem))
}
