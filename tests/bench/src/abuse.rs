//! `bench abuse`: the effect of a tenant who does not behave on a neighbour who does, and on the
//! processes.
//!
//! chat-service is the real binary and PostgreSQL a process; the tenants are in this one.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Args;
use e2e::{
    abuse::{Abuse, Abuser, Amount, Connections, Met, Neighbour},
    stack::Stack,
};
use serde_json::json;
use testkit::process::status_kib;
use tokio::task::JoinSet;

/// Between two samples of memory and readiness.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// After each kind, so that the next one does not meet what it left behind.
const REST: Duration = Duration::from_secs(2);
/// KiB of a MiB.
const MIB: u64 = 1024;

/// Settings of `bench abuse`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds of each kind of abuse.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Runs, each with processes of its own; what is printed of the neighbour is the median.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// A tenth of the calls and connections, to see that it runs; there is no JSON line then.
    #[arg(long)]
    quick: bool,
}

/// What one run found.
struct Run {
    worst_p99: Duration,
    failures: usize,
    peak_rss_mib: u64,
    peak_database_mib: u64,
    readyz_failures: usize,
    connections: Connections,
}

/// Measures and prints.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(status) = super::in_release()? {
        anyhow::ensure!(status.success(), "the run failed");
        return Ok(());
    }
    let mut runs = Vec::new();
    for _ in 0..options.runs {
        runs.push(once(&options).await?);
    }
    if options.quick {
        return Ok(());
    }
    let mut p99: Vec<_> = runs.iter().map(|run| run.worst_p99).collect();
    p99.sort_unstable();
    let most = |of: fn(&Run) -> u64| runs.iter().map(of).max().unwrap_or_default();
    let sum = |of: fn(&Run) -> usize| runs.iter().map(of).sum::<usize>();
    let connections = runs.last().map(|run| run.connections).unwrap_or_default();
    let line = json!({
        "bench": "abuse",
        "runs": runs.len(),
        "worst_neighbour_p99_ms": p99.get(p99.len() / 2).map(milliseconds),
        "worst_run_neighbour_p99_ms": p99.last().map(milliseconds),
        "neighbour_failures": sum(|run| run.failures),
        "peak_rss_mib": most(|run| run.peak_rss_mib),
        "peak_database_mib": most(|run| run.peak_database_mib),
        "readyz_failures": sum(|run| run.readyz_failures),
        "connections_held": connections.held,
        "connections_refused": connections.refused,
    });
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

async fn once(options: &Options) -> anyhow::Result<Run> {
    let variables = [
        // The default, in place of the high rate of other tests.
        ("CHAT_USER_CALLS_PER_SECOND", "100"),
        ("CHAT_LOG", "error,chat_service::server=info"),
    ];
    let stack = Stack::start_with(&variables).await;
    let part = if options.quick { 10 } else { 1 };
    let amount = Amount {
        calls: 2000 / part,
        unread: 600 / part,
        connections: 10_000 / part,
    };
    let mut neighbour = Neighbour::new(&stack).await;
    let abuser = Abuser::new(&stack, &neighbour, amount).await;
    let time = Duration::from_secs(options.seconds);
    let memory = Arc::new(AtomicUsize::new(0));
    let unready = Arc::new(AtomicUsize::new(0));
    let mut samplers = JoinSet::new();
    samplers.spawn(watch_database(&stack, memory.clone()).await?);
    samplers.spawn(watch_readiness(stack.ops_url().to_owned(), unready.clone()));

    let (_, alone) = neighbour.behave_during(tokio::time::sleep(time)).await;
    tell("no other load", &alone, &stack)?;
    let mut worst = Duration::ZERO;
    let mut failures = alone.failures.len();
    let mut connections = Connections::default();
    for abuse in Abuse::ALL {
        let (counted, met) = abuser.abuse_beside(abuse, time, &mut neighbour);
        tell(&format!("{abuse:?}"), &met, &stack)?;
        worst = worst.max(met.percentile(99));
        failures += met.failures.len();
        if abuse == Abuse::IdleConnections {
            connections = counted;
        }
        tokio::time::sleep(REST).await;
    }
    Ok(Run {
        worst_p99: worst,
        failures,
        peak_rss_mib: status_mib(stack.chat_service.id(), "VmHWM:").unwrap_or_default(),
        peak_database_mib: u64::try_from(memory.load(Ordering::Relaxed))? / MIB,
        readyz_failures: unready.load(Ordering::Relaxed),
        connections,
    })
}

fn tell(what: &str, met: &Met, stack: &Stack) -> anyhow::Result<()> {
    let rss = status_mib(stack.chat_service.id(), "VmRSS:").unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "{what:17} | {:6} calls, {:4} failed | median {:8.1} ms, 99 of 100 {:8.1} ms, most {:8.1} ms | {rss:4} MiB",
        met.times.len(),
        met.failures.len(),
        milliseconds(&met.percentile(50)),
        milliseconds(&met.percentile(99)),
        milliseconds(&met.percentile(100)),
    )?;
    if let Some(failure) = met.failures.first() {
        writeln!(std::io::stdout(), "    the first failure: {failure}")?;
    }
    Ok(())
}

/// Samples the private memory of the database's backends, in KiB above the start, and keeps the
/// most.
async fn watch_database(
    stack: &Stack,
    most: Arc<AtomicUsize>,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let client = stack.database.client().await;
    let first = backends(&client).await?;
    Ok(async move {
        loop {
            if let Ok(now) = backends(&client).await {
                // A backend that was there counts above its start, a new one whole.
                let above = now.iter().map(|(pid, kib)| {
                    let before = first.get(pid).copied().unwrap_or_default();
                    kib.saturating_sub(before)
                });
                let sum = usize::try_from(above.sum::<u64>()).unwrap_or(usize::MAX);
                most.fetch_max(sum, Ordering::Relaxed);
            }
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    })
}

/// `RssAnon` of the backends of this database in KiB, by process id.
async fn backends(client: &tokio_postgres::Client) -> anyhow::Result<BTreeMap<u32, u64>> {
    const BACKENDS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()";
    let mut backends = BTreeMap::new();
    for row in client.query(BACKENDS, &[]).await? {
        let pid = u32::try_from(row.try_get::<_, i32>("pid")?)?;
        // One that ended meanwhile has none.
        if let Some(kib) = status_kib(pid, "RssAnon:") {
            backends.insert(pid, kib);
        }
    }
    anyhow::ensure!(!backends.is_empty(), "PostgreSQL runs elsewhere");
    Ok(backends)
}

async fn watch_readiness(url: String, failures: Arc<AtomicUsize>) {
    loop {
        let answer = testkit::http::get(&url, "/readyz").await;
        if !answer.starts_with("HTTP/1.1 200") {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
}

fn status_mib(pid: u32, line: &str) -> Option<u64> {
    Some(status_kib(pid, line)? / MIB)
}

fn milliseconds(duration: &Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
