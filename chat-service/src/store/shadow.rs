//! Predicates on made-up chats, by PostgreSQL: in tables of one session that hide the real ones, so
//! that the printed text runs as it is and touches nothing.

use std::collections::HashMap;

use policy::{ChatFacts, Pred};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use super::{
    Sql, StoreError,
    column::Columns as _,
    parse_url,
    predicate::{level_name, print, subject_columns},
    sql::{Params, Values, sql},
};

const SHADOW_CHATS: Sql = sql!("shadow_chats");
const SHADOW_CHAT_ACL: Sql = sql!("shadow_chat_acl");
const SHADOW_INSERT_CHATS: Sql = sql!("shadow_insert_chats");
const SHADOW_INSERT_SHARES: Sql = sql!("shadow_insert_shares");
const SHADOW_TRUNCATE: Sql = sql!("shadow_truncate");
const SHADOW_DECIDE: Sql = sql!("shadow_decide");

/// Predicates that one statement answers. PostgreSQL plans each of them.
const BATCH: usize = 50;

/// A session with made-up chats.
pub struct Shadow {
    client: Client,
    /// Aborted when the session ends, and its tables end with it.
    _connection: JoinSet<()>,
}

impl Shadow {
    /// Opens a session. The real tables are neither read nor written; their columns are what the
    /// session's own have.
    ///
    /// # Errors
    ///
    /// When the database is away, has not the schema, or allows no temporary tables.
    pub async fn open(database_url: &str) -> Result<Self, StoreError> {
        let mut config = parse_url(database_url)?;
        config.application_name("chat-service policy check");
        // Every statement here is long and runs once: compiling it would take longer than running it.
        config.options("-c jit=off");
        let (client, connection) = config.connect(NoTls).await.map_err(StoreError::from_read)?;
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            // Whoever waits for an answer hears of a broken connection.
            let _ = connection.await;
        });
        let shadow = Self {
            client,
            _connection: driving,
        };
        for statement in [SHADOW_CHATS, SHADOW_CHAT_ACL] {
            shadow.run(statement.text, &[]).await?;
        }
        Ok(shadow)
    }

    /// Each text runs once, so that none is kept prepared.
    async fn run(&self, text: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        self.client
            .query(text, values)
            .await
            .map_err(StoreError::from_write)
    }

    /// Replaces all chats.
    ///
    /// # Errors
    ///
    /// When a chat does not fit the columns.
    pub async fn fill<'a>(
        &self,
        chats: impl Iterator<Item = (Uuid, ChatFacts<'a>)>,
    ) -> Result<(), StoreError> {
        let (mut rows, mut shares) = (Vec::new(), Vec::new());
        for (id, facts) in chats {
            let ChatFacts {
                owner,
                organization,
                workspace,
                title,
                status,
                labels,
                archived,
                shares: shared,
            } = facts;
            rows.push(json!({
                "id": id,
                "owner_id": owner.0,
                "organization_id": organization.map(|id| id.0),
                "workspace_id": workspace.map(|id| id.0),
                "title": title,
                "status": status,
                "labels": labels,
                "archived": archived,
            }));
            shares.extend(shared.iter().map(|(subject, level)| {
                let (kind, subject) = subject_columns(*subject);
                json!({
                    "chat_id": id,
                    "subject_kind": kind,
                    "subject_id": subject,
                    "level": level_name(*level),
                    "owner_id": owner.0,
                })
            }));
        }
        self.run(SHADOW_TRUNCATE.text, &[]).await?;
        self.run(SHADOW_INSERT_CHATS.text, &[&Value::Array(rows)])
            .await?;
        self.run(SHADOW_INSERT_SHARES.text, &[&Value::Array(shares)])
            .await?;
        Ok(())
    }

    /// What each of `preds` says about each chat; `None` for NULL. `edit` may change the printed SQL: with
    /// that, tests see a fault of the printer found.
    ///
    /// # Errors
    ///
    /// When a predicate's text does not run.
    pub async fn decide(
        &self,
        preds: &[Pred],
        edit: &(dyn Fn(String) -> String + Sync),
    ) -> Result<HashMap<Uuid, Vec<Option<bool>>>, StoreError> {
        let mut decided: HashMap<Uuid, Vec<Option<bool>>> = HashMap::new();
        for preds in preds.chunks(BATCH) {
            let mut params = Params::default();
            let mut texts = Vec::with_capacity(preds.len());
            for pred in preds {
                let mut text = String::new();
                print(pred, &mut params, &mut text);
                texts.push(edit(text));
            }
            let text = SHADOW_DECIDE
                .text
                .replace("/* predicates */ TRUE", &texts.join(",\n"));
            for row in self.run(&text, &params.as_refs()).await? {
                let held: Vec<Option<bool>> = row.get_as("held")?;
                decided.entry(row.get_as("id")?).or_default().extend(held);
            }
        }
        Ok(decided)
    }
}

/// A predicate's SQL and its parameters, for people.
#[must_use]
pub fn printed(pred: &Pred) -> (String, Vec<String>) {
    let mut params = Params::default();
    let mut text = String::new();
    print(pred, &mut params, &mut text);
    let values = params
        .as_refs()
        .iter()
        .map(|value| format!("{value:?}"))
        .collect();
    (text, values)
}
