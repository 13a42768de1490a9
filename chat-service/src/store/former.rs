//! A chat as it was before a change, as far as policy reads it: an event keeps it for those who
//! could read the chat then.

use std::collections::BTreeMap;

use policy::{ChatFacts, Level, Subject};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, StoreError,
    column::{Column as _, first},
    row::subject_of,
    sql::sql,
};
use crate::id::{OrganizationId, UserId, WorkspaceId};

/// Reads what an event keeps of a chat.
pub(super) const FORMER_CHAT: Sql = sql!("former_chat");

/// The policy facts of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormerChat {
    pub(crate) owner: UserId,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) workspace: Option<WorkspaceId>,
    title: String,
    status: String,
    labels: BTreeMap<String, String>,
    archived: bool,
    shares: Vec<(Subject, Level)>,
}

/// As `former_chat.sql` writes it.
#[derive(Deserialize)]
struct FormerRow {
    owner_id: Uuid,
    organization_id: Option<Uuid>,
    workspace_id: Option<Uuid>,
    title: String,
    status: String,
    labels: BTreeMap<String, String>,
    archived: bool,
    shares: Vec<StoredShare>,
}

#[derive(Deserialize)]
struct StoredShare {
    kind: String,
    id: Uuid,
    level: String,
}

/// The result of [`FORMER_CHAT`] for a locked chat, as an event stores it.
pub(super) fn facts(rows: &[Row]) -> Result<Value, StoreError> {
    let facts = first(rows, "facts")?;
    facts.ok_or_else(|| StoreError::bug("read a former chat", "a locked chat has no row"))
}

impl FormerChat {
    /// From `change_events.former`.
    pub(crate) fn read(value: Value) -> Result<Self, StoreError> {
        let stored: FormerRow = serde_json::from_value(value)
            .map_err(|error| StoreError::bug("read a former chat", error))?;
        let share = |share: StoredShare| {
            let subject = subject_of("former", &share.kind, share.id)?;
            Some((subject, Level::from_wire(share.level, "former")))
        };
        Ok(Self {
            owner: UserId(stored.owner_id),
            organization: stored.organization_id.map(OrganizationId),
            workspace: stored.workspace_id.map(WorkspaceId),
            title: stored.title,
            status: stored.status,
            labels: stored.labels,
            archived: stored.archived,
            // A kind of subject that only a later release knows grants nothing here.
            shares: stored.shares.into_iter().filter_map(share).collect(),
        })
    }

    /// The facts that policy can ask about it.
    pub(crate) fn facts(&self) -> ChatFacts<'_> {
        ChatFacts {
            owner: self.owner,
            organization: self.organization,
            workspace: self.workspace,
            title: &self.title,
            status: &self.status,
            labels: &self.labels,
            archived: self.archived,
            shares: &self.shares,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Its subject could read the chat by these rows, and is notified of the deletion.
    #[test]
    fn a_share_of_a_level_of_a_later_release_is_a_readers() {
        let id = Uuid::now_v7();
        let value = json!({
            "owner_id": Uuid::now_v7(), "organization_id": null, "workspace_id": null,
            "title": "a", "status": "waiting", "labels": {}, "archived": false,
            "shares": [
                { "kind": "user", "id": id, "level": "commenter" },
                { "kind": "robot", "id": id, "level": "reader" },
            ],
        });
        let former = FormerChat::read(value).unwrap();
        let reader = (Subject::User(UserId(id)), Level::Reader);
        assert_eq!(former.facts().shares, [reader]);
    }
}
