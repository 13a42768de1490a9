//! One connection to the database: statements are prepared once, timed, and their failures
//! classified.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{MaybeDone, maybe_done},
};
use service_runtime::trace::Span;
use tokio::runtime::Handle;
use tokio_postgres::{Error as PgError, Row, Statement as Prepared, error::SqlState};

use super::{
    Sql, StoreError,
    error::is_of_the_session,
    metrics::Timeouts,
    pool::{Pool, PooledSession, SILENCE, Slot},
    session::Session,
    sql::{Bound, Statement, Values, bind},
};

/// The protocol counts parameters in 16 bits.
pub(super) const MAX_PARAMETERS: usize = 65_535;

/// A statement within a limit waits for a lock for all of it but this part. With all of it, nothing
/// would say that it waited; with much less, it would not outlast a migration, which queues for a
/// lock for a second.
const LOCK_GRACE: u32 = 8;

/// Begins a transaction.
pub(super) const BEGIN: Sql = Sql {
    name: "begin",
    text: "BEGIN",
    composed: false,
};
/// Ends a transaction.
pub(super) const COMMIT: Sql = Sql {
    name: "commit",
    text: "COMMIT",
    composed: false,
};

/// How the failure of a statement is classified: [`StoreError::from_read`] if it changed nothing or
/// will be rolled back, [`StoreError::from_write`] if it may have happened.
pub(super) type Classify = fn(PgError) -> StoreError;

/// A connection from the pool, for statements that follow one another.
///
/// It goes back to the pool when it is dropped, but only at rest: a statement that is still under
/// way, since its caller went away or stopped waiting, is cancelled first, and a transaction is
/// rolled back.
pub(crate) struct Connection {
    session: Arc<Session>,
    /// There until it is dropped.
    slot: Option<Slot>,
    pool: Pool,
    /// Round trips without an answer.
    under_way: AtomicUsize,
    /// `BEGIN` was sent, and no end.
    open: AtomicBool,
    /// The session must not be used again.
    failed: AtomicBool,
}

impl Connection {
    pub(super) fn new(lent: PooledSession) -> Self {
        let PooledSession {
            session,
            slot,
            pool,
        } = lent;
        Self {
            session,
            slot: Some(slot),
            pool,
            under_way: AtomicUsize::new(0),
            open: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
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

    /// Runs a statement that changes nothing and may take `limit` at most, or the pool's timeout if
    /// that is shorter. One that takes longer is [`StoreError::Timeout`], and one that waits for a
    /// lock meanwhile [`StoreError::Locked`].
    ///
    /// Both limits are the server's: what it does not answer was lost on the way, and says nothing
    /// of the statement. They are of a transaction, since a pooler lends its sessions for no
    /// longer, and are sent with the statement, so that they cost no round trip.
    pub(crate) async fn read_within(
        &self,
        limit: Duration,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let limit = limit.min(self.pool.statement_timeout());
        let lock = limit - limit / LOCK_GRACE;
        self.open.store(true, Ordering::Relaxed);
        self.send_and_forget(&format!(
            "BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}",
            limit.as_millis(),
            lock.as_millis()
        ));
        let statements = [bind(statement, values), bind(COMMIT, &[])];
        let answer = self.answer(&statements, StoreError::from_read, limit + SILENCE);
        let [rows, _] = rows_of_each(answer.await?)?;
        Ok(rows)
    }

    /// Runs statements that change nothing, in one round trip, in order.
    pub(crate) async fn read_all<const N: usize>(
        &self,
        statements: [Bound<'_>; N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        rows_of_each(self.run(&statements, StoreError::from_read).await?)
    }

    /// Runs a statement that changes something, in a transaction of its own.
    pub(crate) async fn write(
        &self,
        statement: Statement<'_>,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let statements = [bind(statement, values)];
        let run = self.run(&statements, StoreError::from_write);
        let [rows] = rows_of_each(run.await?)?;
        Ok(rows)
    }

    /// Runs a statement once: it is not kept prepared.
    pub(super) async fn read_once(
        &self,
        text: &str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let rows = self.session.client.query(text, values).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        rows.map_err(StoreError::from_read)
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// As PostgreSQL's own client.
    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.session.client
    }

    /// Prepares statements, once per connection, and sends them together: the server runs them in
    /// their order. Returns the rows of each.
    pub(super) async fn run(
        &self,
        statements: &[Bound<'_>],
        classify: Classify,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        self.answer(statements, classify, self.pool.silence()).await
    }

    /// The same, where the server has ended each statement long before `silence` is over.
    async fn answer(
        &self,
        statements: &[Bound<'_>],
        classify: Classify,
        silence: Duration,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let exchange = self.exchange(statements, classify);
        let answer = tokio::time::timeout(silence, exchange).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        answer.unwrap_or_else(|elapsed| {
            self.failed.store(true, Ordering::Relaxed);
            self.pool.metrics().timed_out(Timeouts::Silence);
            Err(StoreError::Uncertain {
                source: Box::new(elapsed),
            })
        })
    }

    /// Ends when all that was sent is answered.
    async fn exchange(
        &self,
        statements: &[Bound<'_>],
        classify: Classify,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut prepared = Vec::with_capacity(statements.len());
        for bound in statements {
            prepared.push(self.prepare(bound).await?);
        }
        let mut sent = Vec::with_capacity(statements.len());
        let mut unsent = None;
        for (bound, prepared) in statements.iter().zip(&prepared) {
            let mut query = Box::pin(maybe_done(async move {
                match prepared {
                    Some(prepared) => {
                        let query = self.session.client.query(prepared, bound.values);
                        let name = bound.statement.name;
                        let metrics = self.pool.metrics();
                        metrics.time(name, traced(name, query)).await
                    }
                    None => Ok(Vec::new()),
                }
            }));
            // A call is sent when it is first polled.
            query.as_mut().now_or_never();
            // A failure before any answer means that its values cannot be encoded, or that the
            // connection is closed. The statements after it, like COMMIT, must not be sent.
            if matches!(&*query, MaybeDone::Done(Err(_))) {
                let error = query.as_mut().take_output().and_then(Result::err);
                unsent = error.map(|error| (bound.statement, error));
                break;
            }
            if bound.statement.name == BEGIN.name && !bound.skipped {
                self.open.store(true, Ordering::Relaxed);
            } else if bound.statement.name == COMMIT.name {
                self.open.store(false, Ordering::Relaxed);
            }
            sent.push(query);
        }
        let mut rows = Vec::with_capacity(sent.len());
        let mut failed = None;
        for (bound, mut query) in statements.iter().zip(sent) {
            query.as_mut().await;
            match query.as_mut().take_output() {
                Some(Err(error)) if failed.is_none() => {
                    let refused = bound.statement.name == BEGIN.name && error.code().is_some();
                    // Without BEGIN, each of the other statements committed by itself.
                    let classify = if refused {
                        StoreError::uncertain
                    } else {
                        classify
                    };
                    failed = Some(self.failure(bound.statement, error, classify));
                }
                Some(Ok(answer)) => rows.push(answer),
                Some(Err(_)) | None => {}
            }
        }
        match (failed, unsent) {
            (Some(failed), _) => Err(failed),
            (None, Some((statement, error))) if error.is_closed() => {
                Err(self.failure(statement, error, classify))
            }
            (None, Some((_, error))) => Err(StoreError::bug("send a statement", error)),
            (None, None) => Ok(rows),
        }
    }

    /// `None` for a skipped statement. A statement whose preparation fails was not run.
    async fn prepare(&self, bound: &Bound<'_>) -> Result<Option<Prepared>, StoreError> {
        if bound.skipped {
            return Ok(None);
        }
        if bound.values.len() > MAX_PARAMETERS {
            let count = format!(
                "{} has {} parameters",
                bound.statement.name,
                bound.values.len()
            );
            return Err(StoreError::bug("prepare a statement", count));
        }
        if let Some(prepared) = self.session.prepared(bound.statement) {
            return Ok(Some(prepared));
        }
        self.pool.metrics().prepared.inc();
        match self.session.prepare(bound.statement).await {
            Ok(prepared) => Ok(Some(prepared)),
            Err(error) => Err(self.failure(bound.statement, error, StoreError::from_read)),
        }
    }

    /// Classifies the failure of `statement`, and retires the connections that it shows to be of no
    /// use.
    fn failure(&self, statement: Statement<'_>, error: PgError, classify: Classify) -> StoreError {
        let state = error.code();
        if state == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            // The server was demoted, and the other connections lead to it, too.
            self.pool.renew();
        }
        if state.is_none_or(is_of_the_session) {
            self.failed.store(true, Ordering::Relaxed);
        }
        let error = classify(error).of(statement.name);
        if let StoreError::Timeout { .. } = &error {
            self.pool.metrics().timed_out(Timeouts::Statement);
        } else if let StoreError::Locked { .. } = &error {
            self.pool.metrics().timed_out(Timeouts::Lock);
        }
        error
    }

    /// Sends `text` without waiting for the answer.
    pub(super) fn send_and_forget(&self, text: &str) {
        // Polled once, it is sent.
        let _ = self.session.client.batch_execute(text).now_or_never();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (busy, open) = (*self.under_way.get_mut() > 0, *self.open.get_mut());
        let (Some(slot), false) = (self.slot.take(), *self.failed.get_mut()) else {
            return;
        };
        let (session, pool) = (self.session.clone(), self.pool.clone());
        if !busy && !open {
            pool.put(session, slot);
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if session.settle(busy, open).await {
                    pool.put(session, slot);
                }
            });
        }
    }
}

/// Answers a statement within a span of its own.
async fn traced<T>(
    name: &'static str,
    query: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    let span = Span::statement(name);
    let answer = query.await;
    if let Err(error) = &answer {
        span.fail(error.code().map_or("_OTHER", SqlState::code).to_owned());
    }
    answer
}

/// The rows of each statement as an array, since the number of statements is known.
pub(super) fn rows_of_each<const N: usize>(
    rows: Vec<Vec<Row>>,
) -> Result<[Vec<Row>; N], StoreError> {
    rows.try_into()
        .map_err(|_| StoreError::bug("run statements", "one has no answer"))
}
