//! One connection to the database: statements are prepared once, timed, and their failures classified.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use deadpool_postgres::{Client, ClientWrapper};
use futures_util::{
    FutureExt as _,
    future::{MaybeDone, maybe_done},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio_postgres::{Error as PgError, Row};

use super::{
    Sql, StoreError,
    sql::{Bound, Statement, Values, bind},
};

/// Upper bounds in seconds, as OpenTelemetry's semantic conventions advise for this metric.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// How long statements take, by name. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Durations(Family<Operation, Histogram>);

impl Durations {
    pub(super) fn new() -> Self {
        Self(Family::new_with_constructor(
            (|| Histogram::new(BUCKETS)) as fn() -> Histogram,
        ))
    }

    /// OpenTelemetry's `db.client.operation.duration`.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "db_client_operation_duration",
            "Time from sending a statement to its answer, by statement; of several that are sent \
             together, each includes those before it",
            Unit::Seconds,
            self.0.clone(),
        );
    }

    /// Runs `call`, and notes how long that took.
    pub(super) async fn time<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> T {
        let since = Instant::now();
        let result = call.await;
        self.0
            .get_or_create(&Operation { operation })
            .observe(since.elapsed().as_secs_f64());
        result
    }
}

/// Begins a transaction.
pub(super) const BEGIN: Sql = Sql {
    name: "begin",
    text: "BEGIN",
};
/// Ends a transaction.
pub(super) const COMMIT: Sql = Sql {
    name: "commit",
    text: "COMMIT",
};

/// How the failure of a statement is classified: [`StoreError::from_read`] if it changed nothing or
/// will be rolled back, [`StoreError::from_write`] if it may have happened.
pub(super) type Classify = fn(PgError) -> StoreError;

/// A connection from the pool, for statements that follow one another outside a transaction.
pub(crate) struct Connection {
    client: Client,
    durations: Durations,
}

impl Connection {
    pub(super) fn new(client: Client, durations: Durations) -> Self {
        Self { client, durations }
    }

    /// Runs a statement that changes nothing.
    pub(crate) async fn read(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.read_all([bind(statement, values)]).await?;
        Ok(rows)
    }

    /// Runs statements that change nothing, in one round trip, in order.
    pub(crate) async fn read_all<const N: usize>(
        &self,
        statements: [Bound<'_>; N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        rows_of_each(self.run(&statements, None, StoreError::from_read).await?)
    }

    /// Runs a statement that changes something, in a transaction of its own.
    pub(crate) async fn write(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let statements = [bind(statement, values)];
        let run = self.run(&statements, None, StoreError::from_write);
        let [rows] = rows_of_each(run.await?)?;
        Ok(rows)
    }

    /// Takes the connection out of its pool for good.
    pub(super) fn detach(self) -> (ClientWrapper, Durations) {
        (Client::take(self.client), self.durations)
    }

    pub(super) async fn run(
        &self,
        statements: &[Bound<'_>],
        open: Option<&AtomicBool>,
        classify: Classify,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        run(&self.client, &self.durations, statements, open, classify).await
    }

    /// Sends `text`, of which nothing is expected, without waiting for the answer.
    pub(super) fn send_and_forget(&self, text: &str) {
        // Polled once, it is sent.
        let _ = self.client.batch_execute(text).now_or_never();
    }
}

/// Prepares statements, once per connection, and sends them together: the server runs them in their
/// order. `open`: whether a transaction is open on the connection, kept up to date.
pub(super) async fn run(
    client: &ClientWrapper,
    durations: &Durations,
    statements: &[Bound<'_>],
    open: Option<&AtomicBool>,
    classify: Classify,
) -> Result<Vec<Vec<Row>>, StoreError> {
    let mut prepared = Vec::with_capacity(statements.len());
    for bound in statements {
        if bound.skipped {
            prepared.push(None);
        } else {
            // Whatever fails here was not run.
            let statement = client.prepare_cached(bound.statement.text).await;
            prepared.push(Some(statement.map_err(StoreError::from_read)?));
        }
    }
    let mut sent = Vec::with_capacity(statements.len());
    for (bound, prepared) in statements.iter().zip(&prepared) {
        if let Some(flag) = open {
            flag.store(bound.statement.name != COMMIT.name, Ordering::Relaxed);
        }
        let mut query = Box::pin(maybe_done(async move {
            match prepared {
                Some(prepared) => {
                    let query = client.query(prepared, bound.values);
                    durations.time(bound.statement.name, query).await
                }
                None => Ok(Vec::new()),
            }
        }));
        // A call is sent when it is first polled.
        query.as_mut().now_or_never();
        // Without an answer yet, its values cannot be encoded. What follows, like COMMIT, must not be sent.
        if matches!(&*query, MaybeDone::Done(Err(_)))
            && let Some(Err(error)) = query.as_mut().take_output()
        {
            return Err(StoreError::bug("send a statement", error));
        }
        sent.push(query);
    }
    let mut rows = Vec::with_capacity(sent.len());
    for (bound, mut query) in statements.iter().zip(sent) {
        query.as_mut().await;
        let answer = query
            .as_mut()
            .take_output()
            .unwrap_or_else(|| Ok(Vec::new()));
        rows.push(answer.map_err(|error| {
            if bound.statement.name == BEGIN.name && error.code().is_some() {
                // The server refused to begin, so that the rest ran by itself.
                return StoreError::Uncertain { source: error };
            }
            classify(error)
        })?);
    }
    Ok(rows)
}

/// As an array, since their number is known.
pub(super) fn rows_of_each<const N: usize>(
    rows: Vec<Vec<Row>>,
) -> Result<[Vec<Row>; N], StoreError> {
    rows.try_into()
        .map_err(|_| StoreError::bug("run statements", "one has no answer"))
}

#[cfg(test)]
mod tests {
    use crate::{
        authz::{Action, Authorizer, Principal},
        chat_filter::ChatFilter,
        store::{PoolOptions, Sql, Store, sql},
    };

    const LAST_POSITION: Sql = sql!("last_position");

    #[tokio::test]
    async fn each_statement_is_timed_under_its_name_composed_ones_too() {
        let database = testkit::postgres::database().await;
        let store = Store::new(database.url(), &PoolOptions::default()).unwrap();
        let mut registry = prometheus_client::registry::Registry::default();
        store.register_metrics(&mut registry);
        for _ in 0..2 {
            store.read(LAST_POSITION, &[]).await.unwrap();
        }
        let caller = Principal::Service("internal".to_owned());
        let readable = Authorizer::new().chats(&caller, Action::ReadChat);
        let filter = ChatFilter::default();
        store.list_chats(readable, &filter, None, 50).await.unwrap();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "db_client_operation_duration_seconds_count{operation=\"last_position\"} 2",
            "db_client_operation_duration_seconds_count{operation=\"list_chats\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
