//! One statement at a time: how long it takes, and how many pages of the table it touches.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chat_service::{
    chat_filter::DEFAULT_PAGE_SIZE,
    store::measure::{self, ComposedStatement, Matches, PageBounds},
};
use serde_json::Value;
use tokio_postgres::Client;

use super::{
    cases::{Case, Kind},
    database::{Database, connect},
};

/// Runs before the first that counts: PostgreSQL decides about a plan after five.
const WARM_UP: u32 = 10;
/// Runs that count, unless they take too long in all.
const RUNS: usize = 200;
/// So long they may take in all, after three.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for each of the many cases of filters.
const FILTERED_PATIENCE: Duration = Duration::from_millis(500);

/// What a case costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// The median time from sending the page's statement to having its rows.
    pub(super) milliseconds: f64,
    /// Buffers touched, as EXPLAIN counts them.
    pub(super) buffers: u64,
    /// Chats found, up to one more than a page has.
    pub(super) rows: usize,
}

/// The page's statement of a case.
pub(super) async fn measure(database: &Database, case: &Case) -> anyhow::Result<Measured> {
    let limit = i64::try_from(DEFAULT_PAGE_SIZE + 1)?;
    let readable = case.readable();
    let (readable, filter) = (readable.pred(), &case.filter);
    let patience = match case.kind {
        Kind::Plain => PATIENCE,
        Kind::Filtered | Kind::Searched | Kind::Common => FILTERED_PATIENCE,
    };
    let measured = async {
        let connection = connect(&database.url).await?;
        let client = &connection.client;
        // As the service has it.
        client
            .batch_execute(
                "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off",
            )
            .await?;
        // Some searches ask first; that is a part of what they cost.
        let (asked, matches) = match measure::explain_search(readable, filter) {
            Some(question) => {
                let prepared = client.prepare(question.text()).await?;
                let row = client.query_one(&prepared, &question.values()).await?;
                let matches = Matches::from_plan(&row.try_get(0)?);
                (time(client, &question, patience).await?.0, matches)
            }
            None => (Duration::ZERO, Matches::Often),
        };
        let bounds = PageBounds::default();
        let Some(page) = measure::plan(readable, filter, None, limit, matches, bounds) else {
            return Ok(Measured::default());
        };
        run(client, &page, asked, patience).await
    };
    measured.await.with_context(|| case.name())
}

/// The same list as one big OR.
pub(super) async fn measure_or_form(database: &Database, case: &Case) -> anyhow::Result<Measured> {
    let limit = i64::try_from(DEFAULT_PAGE_SIZE + 1)?;
    let statement = measure::one_or(case.readable().pred(), limit);
    let connection = connect(&database.url).await?;
    run(&connection.client, &statement, Duration::ZERO, PATIENCE)
        .await
        .with_context(|| format!("{} as one OR", case.name()))
}

async fn run(
    client: &Client,
    statement: &ComposedStatement,
    asked: Duration,
    patience: Duration,
) -> anyhow::Result<Measured> {
    let (median, rows) = time(client, statement, patience).await?;
    Ok(Measured {
        milliseconds: (asked + median).as_secs_f64() * 1000.0,
        buffers: buffers(client, statement).await?,
        rows,
    })
}

/// The median time of a statement, and how many rows it has.
async fn time(
    client: &Client,
    statement: &ComposedStatement,
    patience: Duration,
) -> anyhow::Result<(Duration, usize)> {
    let prepared = client.prepare(statement.text()).await?;
    let params = statement.values();
    let began = Instant::now();
    for index in 0..WARM_UP {
        client.query(&prepared, &params).await?;
        if began.elapsed() > patience && index > 1 {
            break;
        }
    }
    let mut times = Vec::with_capacity(RUNS);
    let mut rows = 0;
    let began = Instant::now();
    while times.len() < RUNS && (times.len() < 3 || began.elapsed() < patience) {
        let start = Instant::now();
        rows = client.query(&prepared, &params).await?.len();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok((median, rows))
}

async fn buffers(client: &Client, statement: &ComposedStatement) -> anyhow::Result<u64> {
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
        statement.text()
    );
    let row = client.query_one(&explain, &statement.values()).await?;
    let plan: Value = row.try_get(0)?;
    let count = |name| {
        plan.pointer(&format!("/0/Plan/{name}"))
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    Ok(count("Shared Hit Blocks") + count("Shared Read Blocks"))
}
