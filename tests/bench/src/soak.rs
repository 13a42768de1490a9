//! `bench soak`: whether memory, descriptors and tasks of both services stay as they are under a
//! steady load for a long time, and what both cost when nothing is asked of them.
//!
//! The load is of a world that does not grow: chats and branches are there at the beginning, and
//! are listed, watched, changed, reported and refreshed again and again. Clients connect anew now
//! and then, and watchers resume.

mod load;
mod sample;

use std::{io::Write as _, time::Duration};

use clap::Args;
use e2e::stack::{Stack, Worker};
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::{
    load::Load,
    sample::{Growth, Observed, Sample},
};
use crate::figures::rounded;

/// Between two samples of a run of some minutes; a short one has as many in less.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
const LEAST_SAMPLES: u32 = 30;
/// Of the load's time, what is filled or grows to its size by then is no leak: caches, pools,
/// buffers.
const WARM_UP_PERCENT: usize = 40;
/// How long the processes are watched idle: this part of the load's time, and a minute at most.
const IDLE_PART: u32 = 6;
const MOST_IDLE: Duration = Duration::from_secs(60);
/// What a start leaves to do is done.
const STARTED: Duration = Duration::from_secs(5);

/// Of one core, when idle.
const MOST_IDLE_CPU_PERCENT: f64 = 1.0;
/// A second, of both services together, when idle.
const MOST_IDLE_STATEMENTS: f64 = 5.0;

/// Settings of `bench soak`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Minutes of load.
    #[arg(long, default_value_t = 30)]
    minutes: u32,
}

/// Measures and prints; fails when something grows or costs too much.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(status) = super::in_release()? {
        anyhow::ensure!(status.success(), "the run failed");
        return Ok(());
    }
    let quiet = [
        ("CHAT_LOG", "error,chat_service::server=info"),
        // As operators have it.
        ("CHAT_USER_CALLS_PER_SECOND", "100"),
    ];
    let stack = Stack::start_with(&quiet).await;
    stack.github.set_rate_limits(false);
    let worker = stack
        .worker_with(&[("GITSYNC_LOG", "error,gitsync_service::server=info")])
        .await;
    let time = Duration::from_secs(60) * options.minutes.max(1);
    let idle = idle(&stack, &worker, (time / IDLE_PART).min(MOST_IDLE)).await?;
    let samples = under_load(&stack, &worker, time).await?;
    let grown: Vec<Growth> = Observed::ALL
        .into_iter()
        .map(|observed| Growth::of(observed, &samples))
        .collect();
    tell("            | first third |  last third | grown by | allowed")?;
    for growth in &grown {
        tell(&growth.to_string())?;
    }
    let figures: serde_json::Map<_, _> = grown
        .iter()
        .map(|growth| (growth.observed.name().to_owned(), json!(growth.after)))
        .collect();
    let line = json!({
        "bench": "soak",
        "minutes": options.minutes,
        "idle_chat_cpu_percent": idle.chat_cpu,
        "idle_gitsync_cpu_percent": idle.gitsync_cpu,
        "idle_statements_per_second": idle.statements,
        "last": figures,
    });
    tell(&line.to_string())?;
    stack.finish(vec![worker]).await;
    let leaks: Vec<_> = grown.iter().filter(|growth| growth.is_leak()).collect();
    anyhow::ensure!(leaks.is_empty(), "something grows: {leaks:?}");
    idle.judge()
}

/// What the processes cost when nothing is asked of them.
#[derive(Debug)]
struct Idle {
    /// Percent of one core.
    chat_cpu: f64,
    gitsync_cpu: f64,
    /// A second.
    statements: f64,
}

async fn idle(stack: &Stack, worker: &Worker, time: Duration) -> anyhow::Result<Idle> {
    sleep(STARTED).await;
    let (begun, before) = (Instant::now(), Sample::take(stack, worker).await?);
    sleep(time).await;
    let after = Sample::take(stack, worker).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let idle = Idle {
        chat_cpu: rounded((after.chat_cpu - before.chat_cpu) / seconds * 100.0),
        gitsync_cpu: rounded((after.gitsync_cpu - before.gitsync_cpu) / seconds * 100.0),
        statements: rounded((after.statements - before.statements) / seconds),
    };
    tell(&format!(
        "idle for {seconds:.0} s: chat-service {:.3} % of a core, gitsync-service {:.3} %, \
         {:.2} statements a second",
        idle.chat_cpu, idle.gitsync_cpu, idle.statements
    ))?;
    Ok(idle)
}

impl Idle {
    fn judge(&self) -> anyhow::Result<()> {
        let fits = self.chat_cpu < MOST_IDLE_CPU_PERCENT
            && self.gitsync_cpu < MOST_IDLE_CPU_PERCENT
            && self.statements < MOST_IDLE_STATEMENTS;
        anyhow::ensure!(fits, "too much for a service that is idle: {self:?}");
        Ok(())
    }
}

/// The samples of a load of this time, but for those of the warm-up.
async fn under_load(stack: &Stack, worker: &Worker, time: Duration) -> anyhow::Result<Vec<Sample>> {
    let interval = SAMPLE_INTERVAL.min(time / LEAST_SAMPLES);
    let load = Load::start(stack).await?;
    let end = Instant::now() + time;
    let mut samples = Vec::new();
    tell("  seconds |   calls  failed | chat MiB   fds tasks | gitsync MiB   fds tasks")?;
    while Instant::now() < end {
        sleep(interval).await;
        let sample = Sample::take(stack, worker).await?;
        let (calls, failed) = load.counts();
        let left = end.saturating_duration_since(Instant::now());
        tell(&format!(
            "{:9.0} | {calls:7} {failed:7} | {sample}",
            (time.saturating_sub(left)).as_secs_f64()
        ))?;
        samples.push(sample);
    }
    load.end().await?;
    let warm_up = samples.len() * WARM_UP_PERCENT / 100;
    Ok(samples.split_off(warm_up))
}

fn tell(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
