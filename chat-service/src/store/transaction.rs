//! Transactions: begun with their first statement, rolled back unless committed, and run again
//! after a conflict.

use std::{future::Future, time::Duration};

use tokio_postgres::Row;

use super::{
    Store, StoreError,
    connection::{BEGIN, COMMIT, Classify, Connection, rows_of_each},
    sql::{Bound, Sql, Statement, Values, bind},
};

/// How often a transaction is begun at most.
const ATTEMPTS: u32 = 3;
/// Grows with each attempt, so that two that met do not meet again.
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);
const SAVEPOINT: Sql = Sql {
    name: "savepoint",
    text: "SAVEPOINT alone",
    composed: false,
};
const RELEASE: Sql = Sql {
    name: "release_savepoint",
    text: "RELEASE SAVEPOINT alone",
    composed: false,
};

impl Store {
    /// Runs `attempt` with a transaction, and again with another one when the database rolled it
    /// back because of a conflict. What it does not commit is rolled back, also when it succeeds or
    /// is dropped.
    pub(crate) async fn transaction<T, F>(&self, attempt: impl Fn(Tx) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempts = 1;
        loop {
            let tx = Tx {
                connection: self.connection().await?,
            };
            match attempt(tx).await {
                Err(StoreError::Conflict { source }) if attempts < ATTEMPTS => {
                    tracing::debug!(error = %source, attempts, "a transaction conflicted");
                    tokio::time::sleep(CONFLICT_PAUSE * attempts).await;
                    attempts += 1;
                }
                result => return result,
            }
        }
    }
}

/// A transaction. Until it commits nothing has happened, so any earlier failure is certain not to
/// have changed anything; only the commit's may be [`StoreError::Uncertain`].
pub(crate) struct Tx {
    connection: Connection,
}

impl Tx {
    /// Runs a statement.
    pub(crate) async fn query(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.pipeline([bind(statement, values)]).await?;
        Ok(rows)
    }

    /// Runs statements in one round trip, in order.
    pub(crate) async fn pipeline<const N: usize>(
        &self,
        statements: [Bound<'_>; N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        rows_of_each(self.run(&statements, &[], StoreError::from_read).await?)
    }

    /// As [`Tx::query`], but a failure rolls back this statement alone: the transaction continues.
    pub(crate) async fn query_alone(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let statements = [bind(SAVEPOINT, &[]), bind(statement, values)];
        let result = self
            .run(&statements, &[RELEASE], StoreError::from_read)
            .await;
        if result.is_err() {
            self.connection
                .send_and_forget("ROLLBACK TO SAVEPOINT alone; RELEASE SAVEPOINT alone");
        }
        let [_, rows] = rows_of_each(result?)?;
        Ok(rows)
    }

    /// Commits.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.commit_after_all(&[]).await?;
        Ok(())
    }

    /// Runs the last statements and commits, in one round trip.
    pub(crate) async fn commit_after<const N: usize>(
        self,
        statements: [Bound<'_>; N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        rows_of_each(self.commit_after_all(&statements).await?)
    }

    /// As [`Tx::commit_after`].
    pub(super) async fn commit_after_all(
        self,
        statements: &[Bound<'_>],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        self.run(statements, &[COMMIT], StoreError::from_write)
            .await
    }

    /// Runs `statements` and then `end`, after BEGIN if that was not sent yet. Returns the rows of
    /// `statements`.
    async fn run(
        &self,
        statements: &[Bound<'_>],
        end: &[Sql],
        classify: Classify,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let begin = bind(BEGIN, &[]).only_if(!self.connection.is_open());
        let mut all = vec![begin];
        all.extend_from_slice(statements);
        all.extend(end.iter().map(|end| bind(*end, &[])));
        let mut rows = self.connection.run(&all, classify).await?;
        rows.truncate(1 + statements.len());
        rows.remove(0);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::store::{PoolOptions, sql};

    const INSERT_CHAT: Sql = sql!("insert_chat");
    const LOCK_CHAT: Sql = sql!("lock_chat");

    /// A store; with one connection, each call meets what the one before left.
    async fn store(connections: usize) -> (testkit::postgres::Database, Store) {
        let database = testkit::postgres::database().await;
        let options = PoolOptions {
            size: connections,
            ..PoolOptions::default()
        };
        let store = Store::new(database.url(), &options).unwrap();
        (database, store.reserved())
    }

    async fn insert(tx: &Tx, id: Uuid, title: &str) -> Result<Vec<Row>, StoreError> {
        let none: Option<Uuid> = None;
        let labels = json!({});
        let values: Values<'_> = &[&id, &id, &none, &none, &title, &"pending", &labels, &none];
        tx.query_alone(INSERT_CHAT, values).await
    }

    async fn exists(store: &Store, id: Uuid) -> bool {
        let rows = store.read(LOCK_CHAT, &[&id]).await.unwrap();
        !rows.is_empty()
    }

    /// Handlers need futures that may move between threads.
    fn movable<T: Send>(future: T) -> T {
        future
    }

    #[tokio::test]
    async fn what_is_not_committed_is_rolled_back() {
        let (_database, store) = store(1).await;
        let id = Uuid::now_v7();
        let title = String::from("one");
        let inserted = store.transaction(async |tx| Ok(insert(&tx, id, &title).await?.len()));
        assert_eq!(movable(inserted).await.unwrap(), 1);
        assert!(!exists(&store, id).await);
    }

    #[tokio::test]
    async fn a_statement_that_fails_alone_costs_only_itself() {
        let (_database, store) = store(1).await;
        let (good, bad) = (Uuid::now_v7(), Uuid::now_v7());
        let committed = store.transaction(async |tx| {
            let failed = insert(&tx, bad, "NUL is no text: \0").await;
            assert!(matches!(failed, Err(StoreError::Data { .. })), "{failed:?}");
            insert(&tx, good, "good").await?;
            tx.commit().await
        });
        committed.await.unwrap();
        assert!(exists(&store, good).await);
        assert!(!exists(&store, bad).await);
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_sent_commits_nothing() {
        let (_database, store) = store(1).await;
        let id = Uuid::now_v7();
        let committed = store.transaction(async |tx| {
            insert(&tx, id, "one").await?;
            tx.commit_after([bind(LOCK_CHAT, &[&"no id"])]).await
        });
        let failed = committed.await;
        assert!(matches!(failed, Err(StoreError::Bug { .. })), "{failed:?}");
        assert!(!exists(&store, id).await);
    }

    #[tokio::test]
    async fn a_statement_that_fails_before_the_commit_is_certain_not_to_have_happened() {
        let (_database, store) = store(1).await;
        let id = Uuid::now_v7();
        let none: Option<Uuid> = None;
        let labels = json!({});
        let values: Values<'_> = &[&id, &id, &none, &none, &"\0", &"pending", &labels, &none];
        let committed = store.transaction(async |tx| {
            insert(&tx, Uuid::now_v7(), "one").await?;
            tx.commit_after([bind(INSERT_CHAT, values), bind(LOCK_CHAT, &[&id])])
                .await
        });
        let failed = committed.await;
        assert!(matches!(failed, Err(StoreError::Data { .. })), "{failed:?}");
        assert!(!exists(&store, id).await);
    }

    #[tokio::test]
    async fn of_two_transactions_in_a_deadlock_one_is_run_again() {
        let (_database, store) = store(2).await;
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let inserted = store.transaction(async |tx| {
            insert(&tx, one, "one").await?;
            insert(&tx, other, "other").await?;
            tx.commit().await
        });
        inserted.await.unwrap();
        let attempts = AtomicU32::new(0);
        let both_hold_one = tokio::sync::Barrier::new(2);
        let lock = async |first: Uuid, second: Uuid| {
            let locked = store.transaction(async |tx| {
                tx.query(LOCK_CHAT, &[&first]).await?;
                if attempts.fetch_add(1, Ordering::Relaxed) < 2 {
                    both_hold_one.wait().await;
                }
                tx.query(LOCK_CHAT, &[&second]).await?;
                tx.commit().await
            });
            locked.await
        };
        let (left, right) = tokio::join!(lock(one, other), lock(other, one));
        left.unwrap();
        right.unwrap();
        // The one that is run again may lock its first chat before the other has woken up, and be
        // in a deadlock again.
        let attempts = attempts.load(Ordering::Relaxed);
        assert!(attempts >= 3, "{attempts} attempts");
    }
}
