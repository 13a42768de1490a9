//! `bench accounts`: what a budget with very many accounts or refs costs.
//!
//! The benchmark is the worker: it leases and reports over gRPC, and no host is asked. The
//! database's share is what chat-service says in its metrics.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use e2e::stack::{HOST, PROVIDER, Stack};
use proto::{
    chat::v1::{
        LeaseDiffStatusesRequest, LinkGitAccountRequest, ReportGitRefRequest,
        report_git_ref_request::Target,
    },
    sync::{BudgetObservation, Finding, Lane, Learned, Lease, Next, Outcome, Report, RequestId},
};
use serde_json::json;
use testkit::{clients::Caller, proxy::Mode};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::figures::{count, milliseconds, rounded};

const FILL: &str = include_str!("sql/fill_account_refs.sql");
const MAKE_DUE: &str = include_str!("sql/make_accounts_due.sql");

/// Refs of each of the two shapes.
const REFS: usize = 10_000;
/// Refs of the account that is linked.
const MANY_REFS: usize = 100_000;
/// How often it is linked again.
const LINKS: usize = 9;
/// Callers of `ReportGitRef` at once, and for how long.
const REPORTERS: usize = 32;
const REPORTING: Duration = Duration::from_secs(10);
/// How far the database is away from chat-service then, there and back.
const DISTANCE: Duration = Duration::from_millis(1);

/// Settings of `bench accounts`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Accounts on one budget.
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
}

/// Measures and prints.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(status) = super::in_release()? {
        anyhow::ensure!(status.success(), "the run failed");
        return Ok(());
    }
    let one = cost_per_ref(1, REFS).await?;
    let many = cost_per_ref(options.accounts, REFS / options.accounts.max(1)).await?;
    let link = link().await?;
    let reports = reports(options.accounts).await?;
    let line = json!({
        "bench": "accounts",
        "one_account_us_per_ref": rounded(one * 1e6),
        "many_accounts_us_per_ref": rounded(many * 1e6),
        "cost_ratio": rounded(many / one),
        "link_ms": milliseconds(link),
        "reports_per_second": rounded(reports.per_second),
        "report_p99_ms": milliseconds(reports.p99),
        "lease_wait_max_ms": milliseconds(reports.longest_wait),
    });
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// chat-service with `accounts` users who all linked one token: one budget.
async fn shared_budget(accounts: usize) -> anyhow::Result<(Stack, Vec<Caller>)> {
    let stack = Stack::start_with(&[("CHAT_LOG", "warn,chat_service::server=info")]).await;
    let token = stack.github.user("shared").token();
    let users: Vec<Caller> = (0..accounts).map(|_| Caller::user()).collect();
    for batch in users.chunks(50) {
        let mut links = JoinSet::new();
        for user in batch {
            let mut client = stack.accounts(user);
            let request = link_request(&token);
            links.spawn(async move { client.link_git_account(request).await.map(drop) });
        }
        for linked in links.join_all().await {
            linked?;
        }
    }
    Ok((stack, users))
}

fn link_request(token: &str) -> LinkGitAccountRequest {
    LinkGitAccountRequest {
        provider_id: PROVIDER.to_owned(),
        access_token: token.to_owned(),
        ..LinkGitAccountRequest::default()
    }
}

async fn fill(stack: &Stack, users: &[Caller], refs: usize) -> anyhow::Result<()> {
    let client = stack.database.client().await;
    let ids = users
        .iter()
        .map(|user| Ok(Uuid::parse_str(&user.id())?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    client.execute(FILL, &[&ids, &i32::try_from(refs)?]).await?;
    client
        .batch_execute("VACUUM (ANALYZE) chats, git_refs, git_ref_polls, git_budgets, git_accounts")
        .await?;
    client.execute(MAKE_DUE, &[]).await?;
    Ok(())
}

/// Seconds in statements for each ref that is leased and reported as unchanged.
async fn cost_per_ref(accounts: usize, refs: usize) -> anyhow::Result<f64> {
    let (stack, users) = shared_budget(accounts).await?;
    fill(&stack, &users, refs).await?;
    // Statements are prepared once a connection, which is no cost of a ref.
    let mut left = accounts * refs;
    left -= turn(&stack, Duration::ZERO).await?.unwrap_or(0);
    let before = statement_seconds(&stack).await?;
    let measured = left;
    while left > 0 {
        let Some(done) = turn(&stack, Duration::from_secs(2)).await? else {
            anyhow::bail!("{left} refs were not handed out");
        };
        left -= done.min(left);
    }
    let spent = statement_seconds(&stack).await? - before;
    Ok(spent / count(measured))
}

/// Leases once, and reports all of it as unchanged; the number of refs, none where nothing was due.
async fn turn(stack: &Stack, wait: Duration) -> anyhow::Result<Option<usize>> {
    let mut sync = stack.sync(&Caller::gitsync());
    let request = LeaseDiffStatusesRequest {
        request_id: Uuid::now_v7().to_string(),
        worker_id: "bench".to_owned(),
        max_refs: 100,
        wait: Some(proto::sync::message_duration(wait)),
    };
    let leases = sync.lease_diff_statuses(request).await?.into_inner().leases;
    if leases.is_empty() {
        return Ok(None);
    }
    let mut refs = 0;
    for lease in leases {
        let lease = Lease::read(lease)?;
        refs += lease.ref_count();
        let outcomes = lease.groups.iter().flat_map(|group| &group.refs);
        let report = Report {
            request: RequestId(Uuid::now_v7()),
            lease: lease.token,
            outcomes: outcomes
                .map(|git_ref| Outcome {
                    git_ref: git_ref.id,
                    fence: git_ref.fence,
                    finding: if git_ref.known.is_some() {
                        Finding::Unchanged
                    } else {
                        Finding::NoPullRequest
                    },
                    next: Next {
                        refresh_in: Some(Duration::from_secs(3600)),
                        lane: Lane::Idle,
                        base: None,
                    },
                    learned: Learned::default(),
                })
                .collect(),
            budget: Some(BudgetObservation::default()),
            credentials: Vec::new(),
            release_lease: true,
        };
        sync.report_outcomes(report.message()).await?;
    }
    Ok(Some(refs))
}

/// What chat-service says that its statements took so far.
async fn statement_seconds(stack: &Stack) -> anyhow::Result<f64> {
    let metrics = testkit::http::get(stack.ops_url(), "/metrics").await;
    let seconds = metrics
        .lines()
        .filter(|line| line.starts_with("db_client_operation_duration_seconds_sum"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum::<f64>();
    anyhow::ensure!(seconds > 0.0, "there is no time in statements");
    Ok(seconds)
}

/// How long linking an account with very many refs takes: the median.
async fn link() -> anyhow::Result<Duration> {
    let (stack, users) = shared_budget(1).await?;
    fill(&stack, &users, MANY_REFS).await?;
    let user = users.first().context("a user")?;
    let mut took = Vec::new();
    for number in 0..LINKS {
        let token = stack.github.user(&format!("again{number}")).token();
        let begun = Instant::now();
        stack
            .accounts(user)
            .link_git_account(link_request(&token))
            .await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took.get(LINKS / 2).copied().context("a link")
}

/// What reporters on one budget meet while a worker reports.
struct Reports {
    per_second: f64,
    p99: Duration,
    /// How long a lease call waited for the budget at most.
    longest_wait: Duration,
}

async fn reports(accounts: usize) -> anyhow::Result<Reports> {
    let (stack, users) = shared_budget(accounts).await?;
    fill(&stack, &users, 1).await?;
    let client = stack.database.client().await;
    let rows = client
        .query("SELECT owner_id, id FROM chats ORDER BY id", &[])
        .await?;
    let chats = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<anyhow::Result<Vec<(Uuid, Uuid)>>>()?;
    let chats = Arc::new(chats);
    let next = Arc::new(AtomicUsize::new(0));
    stack.database_proxy.set(Mode::Delay(DISTANCE / 2));
    let until = Instant::now() + REPORTING;
    let mut reporters = JoinSet::new();
    for _ in 0..REPORTERS {
        let mut reporter = stack.chats(&Caller::internal());
        let (chats, next) = (Arc::clone(&chats), Arc::clone(&next));
        reporters.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let (_, chat) = chats.get(number % chats.len()).context("there are chats")?;
                let request = ReportGitRefRequest {
                    target: Some(Target::ChatId(chat.to_string())),
                    git_remote_origin: format!("https://{HOST}/acme/web.git"),
                    // A new branch each time round, so that none coalesces.
                    git_branch: format!("r{}", number / chats.len()),
                    commit: None,
                };
                let begun = Instant::now();
                reporter.report_git_ref(request).await?;
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut longest_wait = Duration::ZERO;
    while Instant::now() < until {
        let begun = Instant::now();
        if turn(&stack, Duration::from_secs(5)).await?.is_none() {
            anyhow::bail!("the budget was not handed out within 5 s");
        }
        longest_wait = longest_wait.max(begun.elapsed());
    }
    let mut took = Vec::new();
    for reporter in reporters.join_all().await {
        took.extend(reporter?);
    }
    took.sort_unstable();
    Ok(Reports {
        per_second: count(took.len()) / REPORTING.as_secs_f64(),
        p99: took
            .get(took.len() * 99 / 100)
            .copied()
            .context("no report")?,
        longest_wait,
    })
}
