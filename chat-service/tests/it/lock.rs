//! Locks that a test holds, so that calls meet where it wants them to.

use testkit::postgres::Client;

use crate::stack::Stack;

/// A transaction of the test, which holds what it locked.
pub(crate) struct Holder(Client);

impl Holder {
    /// Begins a transaction that runs `sql`.
    pub(crate) async fn of(stack: &Stack, sql: &str) -> Self {
        Self::begin(stack.database.client().await, sql).await
    }

    /// The same on a connection of the test.
    pub(crate) async fn begin(client: Client, sql: &str) -> Self {
        client
            .batch_execute(&format!("BEGIN; {sql}"))
            .await
            .unwrap();
        Self(client)
    }

    /// Runs `sql` in the same transaction.
    pub(crate) async fn run(&self, sql: &str) {
        self.0.batch_execute(sql).await.unwrap();
    }

    /// Ends the transaction.
    pub(crate) async fn let_go(self) {
        self.run("COMMIT").await;
    }
}

/// The number of statements that wait for locks in the database of `client`.
pub(crate) async fn blocked(client: &Client) -> i64 {
    let row = client
        .query_one(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
            &[],
        )
        .await
        .unwrap();
    row.try_get(0).unwrap()
}

/// Waits until that many statements of the service wait for locks.
pub(crate) async fn until_blocked(stack: &Stack, count: i64) {
    until_blocked_in(&stack.database.client().await, count).await;
}

/// The same in the database of `client`.
pub(crate) async fn until_blocked_in(client: &Client, count: i64) {
    testkit::wait::until("calls wait for locks", || async {
        let blocked = blocked(client).await;
        if blocked >= count {
            Ok(())
        } else {
            Err(blocked)
        }
    })
    .await;
}
