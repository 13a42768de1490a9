//! Predicates on made-up chats, by PostgreSQL: in a statement that shadows the real tables, so that
//! the printed text runs as it is and touches nothing.

use std::collections::HashMap;

use policy::Pred;
use serde_json::{Value, json};

use super::{
    Sql, Store, StoreError,
    column::Columns as _,
    predicate::{print, subject_columns},
    sql::{Params, sql},
};
use crate::{chat::Chat, id::ChatId};

const SHADOW_DECIDE: Sql = sql!("shadow_decide");

/// Predicates that one statement answers. PostgreSQL plans each of them.
const BATCH: usize = 50;

/// A predicate, and what happens to its printed SQL: with that, tests see a fault of the printer
/// found.
pub type Printable<'a> = (&'a Pred, fn(String) -> String);

impl Store {
    /// The decision of each predicate about each of `chats`, none of which has to exist; `None` for
    /// NULL.
    ///
    /// # Errors
    ///
    /// When a predicate's text does not run, or the database is away.
    pub async fn decide(
        &self,
        chats: &[&Chat],
        preds: &[Printable<'_>],
    ) -> Result<HashMap<ChatId, Vec<Option<bool>>>, StoreError> {
        let connection = self.connection().await?;
        let (rows, shares) = (rows(chats), shares(chats));
        let mut decided: HashMap<ChatId, Vec<Option<bool>>> = HashMap::new();
        for preds in preds.chunks(BATCH) {
            let mut params = Params::default();
            params.push(rows.clone());
            params.push(shares.clone());
            let mut texts = Vec::with_capacity(preds.len());
            for (pred, edit) in preds {
                let mut text = String::new();
                print(pred, &mut params, &mut text);
                texts.push(edit(text));
            }
            let text = SHADOW_DECIDE
                .text
                .replace("/* predicates */ TRUE", &texts.join(",\n"));
            // It runs once, so that it is not kept prepared.
            for row in connection.read_once(&text, &params.as_refs()).await? {
                let held: Vec<Option<bool>> = row.get_as("held")?;
                decided.entry(row.get_as("id")?).or_default().extend(held);
            }
        }
        Ok(decided)
    }
}

fn rows(chats: &[&Chat]) -> Value {
    let row = |chat: &&Chat| {
        json!({
            "id": chat.id.0,
            "owner_id": chat.owner.0,
            "organization_id": chat.organization.map(|id| id.0),
            "workspace_id": chat.workspace.map(|id| id.0),
            "title": chat.title,
            "status": chat.status.name(),
            "labels": chat.labels,
            "archived": chat.archived,
        })
    };
    chats.iter().map(row).collect()
}

fn shares(chats: &[&Chat]) -> Value {
    let shares = chats.iter().flat_map(|chat| {
        chat.shares.iter().map(|(subject, level)| {
            let (kind, subject) = subject_columns(*subject);
            json!({
                "chat_id": chat.id.0,
                "subject_kind": kind,
                "subject_id": subject,
                "level": level.name(),
            })
        })
    });
    shares.collect()
}
