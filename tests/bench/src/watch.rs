//! `bench watch`: how long a change is on its way to those who watch, and what watching costs.
//!
//! chat-service is the real binary, PostgreSQL a process; those who change and those who watch are
//! tasks of this one. A change is a call of `UpdateChat`. All times are by this process's clock,
//! and all share the cores of one machine.

mod changes;
mod receipts;
mod resume;
mod unread;
mod world;

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use testkit::{http, process::status_kib};

use self::{receipts::Receipts, world::World};
use crate::figures::{count, milliseconds, rounded};

/// Watchers, and changes a second.
const WATCHERS: [usize; 4] = [1, 100, 1_000, 10_000];
const RATES: [u32; 3] = [1, 100, 1_000];
/// Those whose numbers are in the last line.
const NAMED_WATCHERS: usize = 1_000;
const MANY_WATCHERS: usize = 10_000;
const NAMED_RATE: u32 = 100;
/// The service has done all that it does before its memory is looked at.
const WARM_UP: Duration = Duration::from_secs(3);

/// Settings of `bench watch`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds of changes at each rate.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// A tenth of the watchers for a second, to see that it runs; there is no JSON line then.
    #[arg(long)]
    quick: bool,
    /// Measure only what tenants who leave their watches unread do to others.
    #[arg(long)]
    only_unread: bool,
    /// Measure only how long it takes until all have resumed.
    #[arg(long, conflicts_with = "only_unread")]
    only_resume: bool,
}

/// What one rate of changes took, of one number of watchers.
struct Run {
    watchers: usize,
    rate: u32,
    /// Changes a second that were reached.
    reached: f64,
    /// From the answer of `UpdateChat`, and from when it was due to be called.
    answered: Percentiles,
    called: Percentiles,
    reads_per_change: f64,
    kib_per_watcher: f64,
}

/// Times that half and 99 of a hundred took at most, in ms.
#[derive(Clone, Copy, Debug)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> anyhow::Result<Self> {
        times.sort_unstable();
        let at = |of_hundred: usize| {
            let index = (times.len() * of_hundred).div_ceil(100);
            let time = times.get(index.saturating_sub(1));
            anyhow::Ok(milliseconds(*time.context("nothing was seen")?))
        };
        Ok(Self {
            p50: at(50)?,
            p99: at(99)?,
        })
    }
}

/// Measures and prints.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(status) = super::in_release()? {
        anyhow::ensure!(status.success(), "the run failed");
        return Ok(());
    }
    let part = if options.quick { 10 } else { 1 };
    if options.only_unread {
        return tell(&format!("{:?}", unread::measure(part).await?));
    }
    if options.only_resume {
        return tell(&format!("{:?}", resume::measure(part).await?));
    }
    tell(
        "watchers |  asked reached /s | from the answer: p50     p99 ms | from the call: p50     p99 ms \
         | reads a change | KiB a watcher",
    )?;
    let time = Duration::from_secs(if options.quick { 1 } else { options.seconds });
    let mut runs = Vec::new();
    for watchers in WATCHERS {
        runs.extend(measure(watchers.div_ceil(part), time).await?);
    }
    let resumed = resume::measure(part).await?;
    tell(&format!("{resumed:?}"))?;
    let unread = unread::measure(part).await?;
    tell(&format!("{unread:?}"))?;
    if options.quick {
        return Ok(());
    }
    let at = |watchers| {
        let mut runs = runs.iter();
        let run = runs.find(|run| run.watchers == watchers && run.rate == NAMED_RATE);
        run.context("a run")
    };
    let (named, many) = (at(NAMED_WATCHERS)?, at(MANY_WATCHERS)?);
    let line = json!({
        "bench": "watch",
        "p50_ms": named.answered.p50,
        "p99_ms": named.answered.p99,
        "call_p50_ms": named.called.p50,
        "call_p99_ms": named.called.p99,
        "reads_per_change": named.reads_per_change,
        "kib_per_watcher": named.kib_per_watcher,
        "p99_10k_ms": many.answered.p99,
        "call_p99_10k_ms": many.called.p99,
        "resume_ms": milliseconds(resumed.took),
        "resume_changes": resumed.changes,
        "resyncs": resumed.resyncs,
        "stranger_event_ms": milliseconds(unread.stranger_event),
        "unread_rss_mib": unread.rss_mib,
    });
    tell(&line.to_string())
}

/// All rates with this number of watchers.
async fn measure(watchers: usize, time: Duration) -> anyhow::Result<Vec<Run>> {
    let world = World::new(watchers, &[]).await?;
    changes::make(&world, NAMED_RATE, WARM_UP).await?;
    let before = world.memory_kib()?;
    let mut receipts = Receipts::default();
    let mut tasks = world.watch(&receipts).await?;
    let mut runs = Vec::new();
    for rate in RATES {
        let reads = world.chats_read().await?;
        let made = changes::make(&world, rate, time).await?;
        receipts.wait_for(&world, &made).await?;
        if let Some(ended) = tasks.try_join_next() {
            ended??;
            anyhow::bail!("a stream ended");
        }
        let [answered, called] = receipts.times(&world, &made)?;
        let run = Run {
            watchers,
            rate,
            reached: changes::rate(&made),
            answered: Percentiles::of(answered)?,
            called: Percentiles::of(called)?,
            reads_per_change: rounded((world.chats_read().await? - reads) / count(made.len())),
            kib_per_watcher: rounded(
                count(world.memory_kib()?.saturating_sub(before)) / count(watchers),
            ),
        };
        tell(&format!(
            "{watchers:8} | {rate:6} {:10.1} | {:20.1} {:10.1} | {:18.1} {:10.1} | {:14.3} | {:13.1}",
            run.reached,
            run.answered.p50,
            run.answered.p99,
            run.called.p50,
            run.called.p99,
            run.reads_per_change,
            run.kib_per_watcher,
        ))?;
        runs.push(run);
    }
    Ok(runs)
}

impl World {
    /// Memory of chat-service now.
    fn memory_kib(&self) -> anyhow::Result<usize> {
        let kib = status_kib(self.stack.chat_service.id(), "VmRSS:");
        Ok(kib.context("chat-service is gone")?.try_into()?)
    }

    /// Chats that chat-service has read for its watchers so far, by its own count.
    async fn chats_read(&self) -> anyhow::Result<f64> {
        let read = http::metric(self.stack.ops_url(), "chat_watch_chats_read_total").await;
        read.context("no count of chats read")
    }
}

fn tell(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
