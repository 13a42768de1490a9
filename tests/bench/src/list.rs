//! `bench list`: fills tables, measures every caller and filter, and prints what it found.

mod cases;
mod database;
mod echo;
mod load;
mod report;
mod statement;

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;

use self::{
    cases::World,
    database::Databases,
    report::{Report, Row},
};

/// From this size of the table on, callers with very many readable chats are measured with filters.
const FILTERED_FROM: u32 = 100_000;

/// Settings of `bench list`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Sizes of the table, ascending; throughput and the OR form are measured at the last.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    chats: Vec<u32>,
    /// A server whose user may create databases; without one, a server of its own is started.
    #[arg(long)]
    database_url: Option<String>,
    /// Leaves the databases behind and uses those of an earlier run, to try a change on them.
    #[arg(long, requires = "database_url")]
    keep: bool,
    /// Seconds that each load is kept up.
    #[arg(long, default_value_t = 5)]
    load_seconds: u64,
}

/// Measures and prints.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let largest = *options.chats.last().context("no size")?;
    anyhow::ensure!(options.chats.is_sorted(), "--chats: the sizes must ascend");
    let databases = Databases::start(options.database_url.as_deref()).await?;
    let mut report = Report::default();
    for chats in &options.chats {
        say(&format!("filling {chats} chats"))?;
        let database = databases.filled(*chats, options.keep).await?;
        let world = World::of(&database).await?;
        say(&format!("measuring {chats} chats"))?;
        // A small table says nothing of what does not grow.
        let filtered = if *chats >= FILTERED_FROM {
            world.filtered_cases()
        } else {
            Vec::new()
        };
        for case in world.cases().into_iter().chain(filtered) {
            let measured = statement::measure(&database, &case).await?;
            let or_form = if *chats == largest && case.caller_only() {
                Some(statement::measure_or_form(&database, &case).await?)
            } else {
                None
            };
            report.add(Row::new(*chats, &case, measured, or_form));
        }
        if *chats == largest {
            say("measuring throughput")?;
            let (throughput, page_bytes) =
                load::measure(&database, &world, options.load_seconds).await?;
            report.throughput = throughput;
            report.page_bytes = Some(page_bytes);
        }
        if !options.keep {
            databases.drop(database).await?;
        }
    }
    databases.stop().await?;
    report.print(&mut std::io::stdout().lock())
}

/// Progress goes to standard error: standard output is the result.
fn say(what: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "bench: {what}")?)
}
