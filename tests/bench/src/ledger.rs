//! `bench ledger`: whether every acknowledged report is looked up, while workers die.
//!
//! Reports come at a steady rate over chats with several branches, each acknowledged one is written
//! down, and the worker is killed again and again. At the end a worker may finish; then the
//! database is compared with what was written down.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use clap::Args;
use e2e::stack::{HOST, REPOSITORY, Stack};
use proto::chat::v1::{ReportGitRefRequest, report_git_ref_request::Target};
use serde_json::json;
use testkit::clients::Caller;
use tokio::{sync::Mutex, task::JoinSet};
use uuid::Uuid;

const LOOKED_UP: &str = include_str!("sql/list_looked_up.sql");

/// Users, chats of each, and branches of each chat: below the twenty that a chat keeps.
const USERS: usize = 40;
const CHATS: usize = 5;
const BRANCHES: usize = 5;
/// How long a worker lives.
const WORKER_LIFE: Duration = Duration::from_secs(5);
/// So long the last worker may take to look up what is left.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(500);

/// Settings of `bench ledger`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Reports in all.
    #[arg(long, default_value_t = 10_000)]
    reports: usize,
    /// Reports a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
}

/// A branch of a chat.
type Branch = (Uuid, String);
/// When the last acknowledged report of each branch was sent.
type Ledger = Arc<Mutex<BTreeMap<Branch, SystemTime>>>;

/// Measures and prints.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(status) = super::in_release()? {
        anyhow::ensure!(status.success(), "the run failed");
        return Ok(());
    }
    let variables = [
        ("CHAT_LOG", "error,chat_service::server=info"),
        // A killed worker's budgets wait for as long as its leases last.
        ("CHAT_LEASE_DURATION", "10s"),
    ];
    let stack = Stack::start_with(&variables).await;
    stack.github.set_rate_limits(false);
    let mut chats = Vec::new();
    for user in 0..USERS {
        let owner = stack.linked_user(&format!("user{user}")).await;
        for _ in 0..CHATS {
            let chat = stack.chat(&owner).await;
            chats.push((owner.clone(), Uuid::parse_str(&chat.id)?));
        }
    }
    let ledger = Ledger::default();
    let mut refused = 0;
    let mut killed = 0;
    {
        let reporting = report_all(&stack, &chats, &options, &ledger);
        tokio::pin!(reporting);
        loop {
            let worker = stack
                .worker_with(&[("GITSYNC_LOG", "error,gitsync_service::server=info")])
                .await;
            tokio::select! {
                done = &mut reporting => {
                    refused += done?;
                    worker.process.kill();
                    break;
                }
                () = tokio::time::sleep(WORKER_LIFE) => {
                    worker.process.kill();
                    killed += 1;
                }
            }
        }
    }
    let worker = stack
        .worker_with(&[("GITSYNC_LOG", "error,gitsync_service::server=info")])
        .await;
    let missing = wait_until_looked_up(&stack, &ledger).await?;
    drop(worker);
    let line = json!({
        "bench": "ledger",
        "reports": options.reports,
        "refused": refused,
        "branches": ledger.lock().await.len(),
        "workers_killed": killed,
        "not_looked_up": missing,
    });
    writeln!(std::io::stdout(), "{line}")?;
    anyhow::ensure!(
        missing == 0,
        "{missing} acknowledged reports were not looked up"
    );
    Ok(())
}

/// Sends the reports at their rate; returns how many were not acknowledged.
async fn report_all(
    stack: &Stack,
    chats: &[(Caller, Uuid)],
    options: &Options,
    ledger: &Ledger,
) -> anyhow::Result<usize> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / options.rate);
    let mut calls = JoinSet::new();
    for number in 0..options.reports {
        ticks.tick().await;
        let (owner, chat) = chats.get(number % chats.len()).context("there are chats")?;
        let branch = format!("b{}", (number / chats.len()) % BRANCHES);
        let mut client = stack.chats(owner);
        let (chat, ledger) = (*chat, Arc::clone(ledger));
        calls.spawn(async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "the database runs on this machine, by the same clock"
            )]
            let sent = SystemTime::now();
            let request = ReportGitRefRequest {
                target: Some(Target::ChatId(chat.to_string())),
                git_remote_origin: format!("https://{HOST}/{REPOSITORY}.git"),
                git_branch: branch.clone(),
                commit: None,
            };
            if client.report_git_ref(request).await.is_err() {
                return 1;
            }
            let mut ledger = ledger.lock().await;
            let last = ledger.entry((chat, branch)).or_insert(sent);
            *last = (*last).max(sent);
            0
        });
    }
    Ok(calls.join_all().await.into_iter().sum())
}

/// Waits until each branch was looked up after its last acknowledged report; returns how many were
/// not.
async fn wait_until_looked_up(stack: &Stack, ledger: &Ledger) -> anyhow::Result<usize> {
    let client = stack.database.client().await;
    let ledger = ledger.lock().await;
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        let rows = client.query(LOOKED_UP, &[]).await?;
        let mut looked_up: BTreeMap<Branch, SystemTime> = BTreeMap::new();
        for row in rows {
            let branch = (row.try_get("chat_id")?, row.try_get("git_branch")?);
            if let Some(at) = row.try_get::<_, Option<SystemTime>>("refreshed_at")? {
                looked_up.insert(branch, at);
            }
        }
        let missing = ledger
            .iter()
            .filter(|(branch, sent)| looked_up.get(*branch).is_none_or(|at| at < *sent))
            .count();
        if missing == 0 || tokio::time::Instant::now() >= give_up {
            return Ok(missing);
        }
        tokio::time::sleep(LOOK).await;
    }
}
