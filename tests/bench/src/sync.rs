//! `bench sync`: how many requests, and how long, from due to written.
//!
//! Both services are the real binaries, built for release, as processes; PostgreSQL is one too. The
//! GitHub stand-in runs in this process. Everything shares the cores of one machine.

mod visible;
mod world;

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use self::{
    visible::{Visible, visible},
    world::{Cycle, World},
};
use crate::figures::{milliseconds, rounded};

/// How far the host is away.
const LATENCY: Duration = Duration::from_millis(100);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Users of the largest run, and of the one with small tenants.
const MANY_USERS: usize = 1_000;
/// Refs of each small tenant.
const SMALL: usize = 5;
/// Users with one ref each, in the run that measures what a lease of one writes.
const SINGLE_USERS: usize = 20_000;

/// Settings of `bench sync`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Refs of the largest run, over a thousand users; and of the one large tenant.
    #[arg(long, default_value_t = 100_000)]
    refs: usize,
    /// Measure only how long small tenants wait, to look at that; there is no JSON line then.
    #[arg(long)]
    only_fairness: bool,
    /// Measure only how long it takes from a report until it is seen; there is no JSON line then.
    #[arg(long, conflicts_with = "only_fairness")]
    only_visible: bool,
    /// Measure only what is written for refs of which nothing changed; there is no JSON line then.
    #[arg(long, conflicts_with_all = ["only_fairness", "only_visible"])]
    only_wal: bool,
}

/// Measures and prints.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(status) = super::in_release()? {
        anyhow::ensure!(status.success(), "the run failed");
        return Ok(());
    }
    if options.only_visible {
        reports().await?;
        return Ok(());
    }
    let mut table = Table::default();
    if options.only_fairness {
        let waited = fairness(&mut table, options.refs).await?;
        table.print()?;
        return Ok(writeln!(
            std::io::stdout(),
            "95 of 100 of theirs within {waited:.2} s"
        )?);
    }
    if options.only_wal {
        rate(&mut table, options.refs).await?;
        single(&mut table).await?;
        return table.print();
    }
    let fifty = fifty(&mut table).await?;
    twenty_users(&mut table).await?;
    let speedup = speedup(&mut table).await?;
    let rate = rate(&mut table, options.refs).await?;
    let single = single(&mut table).await?;
    let fair = fairness(&mut table, options.refs).await?;
    let (near, far) = reports().await?;
    table.print()?;
    let line = json!({
        "bench": "sync",
        "requests_per_50": fifty.changed.requests,
        "points_per_50": fifty.changed.points,
        "seconds_per_50": rounded(fifty.changed.seconds),
        "rest_requests_per_50": fifty.rest.requests,
        "rest_points_per_50": fifty.rest.points,
        "rest_seconds_per_50": rounded(fifty.rest.seconds),
        "steady_requests_per_ref": rounded(per_ref(fifty.steady, fifty.steady.requests)),
        "refs_per_second": rounded(rate.refs_per_second),
        "wal_bytes_per_unchanged_ref": rounded(rate.wal_bytes_per_ref),
        "wal_bytes_per_single_ref": rounded(single),
        "two_worker_speedup": rounded(speedup),
        "small_tenant_p95_s": rounded(fair),
        "visible_ms": milliseconds(near.median),
        "far_visible_ms": milliseconds(far.median),
        "far_visible_p95_ms": milliseconds(far.p95),
    });
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Fifty refs of one user, far away.
struct Fifty {
    changed: Cycle,
    steady: Cycle,
    rest: Cycle,
}

async fn fifty(table: &mut Table) -> anyhow::Result<Fifty> {
    let world = World::new([50]).await?;
    let mut measured = Vec::new();
    for latency in [Duration::ZERO, LATENCY] {
        world.latency(latency);
        world.graphql(true);
        let worker = world.worker().await;
        let what = |what: &str| format!("50 of one user, {} ms: {what}", latency.as_millis());
        table.add(&what("first seen"), world.cycle(PATIENCE, false).await?);
        world.change_all();
        let changed = table.add(&what("all changed"), world.cycle(PATIENCE, false).await?);
        let steady = table.add(
            &what("nothing changed"),
            world.cycle(PATIENCE, false).await?,
        );
        drop(worker);
        world.graphql(false);
        let worker = world.worker().await;
        // Its first request finds out that there is no GraphQL.
        world.cycle(PATIENCE, false).await?;
        let rest = table.add(&what("REST"), world.cycle(PATIENCE, false).await?);
        drop(worker);
        measured.push(Fifty {
            changed,
            steady,
            rest,
        });
    }
    measured.pop().context("no latency")
}

async fn twenty_users(table: &mut Table) -> anyhow::Result<()> {
    let world = World::new([50; 20]).await?;
    for latency in [Duration::ZERO, LATENCY] {
        world.latency(latency);
        let worker = world.worker().await;
        let what = |what: &str| format!("1,000 of 20 users, {} ms: {what}", latency.as_millis());
        world.change_all();
        table.add(&what("all changed"), world.cycle(PATIENCE, false).await?);
        table.add(
            &what("nothing changed"),
            world.cycle(PATIENCE, false).await?,
        );
        drop(worker);
    }
    Ok(())
}

/// How much more two workers do than one, far away.
async fn speedup(table: &mut Table) -> anyhow::Result<f64> {
    let world = World::new(vec![SMALL; MANY_USERS]).await?;
    world.latency(LATENCY);
    let one = world.worker().await;
    world.cycle(PATIENCE, false).await?;
    let what = "5,000 of 1,000 users, 100 ms: ";
    let alone = table.add(
        &format!("{what}one worker"),
        world.cycle(PATIENCE, false).await?,
    );
    let two = world.worker().await;
    let both = table.add(
        &format!("{what}two workers"),
        world.cycle(PATIENCE, false).await?,
    );
    drop((one, two));
    Ok(alone.seconds / both.seconds)
}

/// What one worker does, with the host beside it.
struct Rate {
    /// First seen.
    refs_per_second: f64,
    /// Nothing changed.
    wal_bytes_per_ref: f64,
}

async fn rate(table: &mut Table, refs: usize) -> anyhow::Result<Rate> {
    let world = World::new(vec![refs / MANY_USERS; MANY_USERS]).await?;
    let worker = world.worker().await;
    let what = |what: &str| format!("{} of 1,000 users, 0 ms: {what}", world.refs());
    let first = table.add(&what("first seen"), world.cycle(PATIENCE, false).await?);
    let unchanged = table.add(
        &what("nothing changed"),
        world.cycle(PATIENCE, false).await?,
    );
    drop(worker);
    Ok(Rate {
        refs_per_second: seen(first) / first.seconds,
        wal_bytes_per_ref: wal_per_look(unchanged),
    })
}

/// What a budget with a single ref writes when nothing changed: the lease, the report and the ref.
async fn single(table: &mut Table) -> anyhow::Result<f64> {
    let world = World::new(vec![1; SINGLE_USERS]).await?;
    let worker = world.worker().await;
    let what = |what: &str| format!("{SINGLE_USERS} users with 1, 0 ms: {what}");
    table.add(&what("first seen"), world.cycle(PATIENCE, false).await?);
    let unchanged = table.add(
        &what("nothing changed"),
        world.cycle(PATIENCE, false).await?,
    );
    drop(worker);
    Ok(wal_per_look(unchanged))
}

/// How long small tenants wait beside a large one, with the host beside the worker.
async fn fairness(table: &mut Table, refs: usize) -> anyhow::Result<f64> {
    let world = World::new(std::iter::once(refs).chain(vec![SMALL; MANY_USERS])).await?;
    let worker = world.worker().await;
    let name = format!("1,000 users with 5 beside one with {refs}, 0 ms: until theirs are written");
    let cycle = table.add(&name, world.cycle(PATIENCE, true).await?);
    drop(worker);
    Ok(cycle.small_p95_seconds)
}

/// How long it takes from a report until it is seen, with the host beside the worker and far away.
async fn reports() -> anyhow::Result<(Visible, Visible)> {
    let measured = (visible(Duration::ZERO).await?, visible(LATENCY).await?);
    let _ = writeln!(
        std::io::stderr(),
        "bench: from a report until it is seen: {measured:?}"
    );
    Ok(measured)
}

#[derive(Default)]
struct Table(Vec<(String, Cycle)>);

impl Table {
    fn add(&mut self, name: &str, cycle: Cycle) -> Cycle {
        // Progress; the table is the result.
        let _ = writeln!(std::io::stderr(), "bench: {name}: {:.2} s", cycle.seconds);
        self.0.push((name.to_owned(), cycle));
        cycle
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{:73} | {:>7} {:>8} {:>8} {:>7} {:>8} {:>7} {:>7} {:>8}",
            "from due to written",
            "refs",
            "requests",
            "per ref",
            "points",
            "per ref",
            "seconds",
            "refs/s",
            "WAL/ref"
        )?;
        for (name, cycle) in &self.0 {
            writeln!(
                out,
                "{name:73} | {:>7} {:>8} {:>8.3} {:>7} {:>8.3} {:>7.2} {:>7.0} {:>8.0}",
                cycle.refs,
                cycle.requests,
                per_ref(*cycle, cycle.requests),
                cycle.points,
                per_ref(*cycle, usize::try_from(cycle.points)?),
                cycle.seconds,
                seen(*cycle) / cycle.seconds,
                wal_per_look(*cycle)
            )?;
        }
        Ok(writeln!(out)?)
    }
}

fn seen(cycle: Cycle) -> f64 {
    f64::from(u32::try_from(cycle.refs).unwrap_or(u32::MAX))
}

fn per_ref(cycle: Cycle, spent: usize) -> f64 {
    f64::from(u32::try_from(spent).unwrap_or(u32::MAX)) / seen(cycle).max(1.0)
}

fn wal_per_look(cycle: Cycle) -> f64 {
    // Floats are exact for 9 million gigabytes.
    #[expect(clippy::cast_precision_loss, reason = "a benchmark's figures")]
    let (bytes, looks) = (cycle.wal_bytes as f64, cycle.looks as f64);
    bytes / looks.max(1.0)
}
