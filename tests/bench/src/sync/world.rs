//! The services, and users with pull requests that are known.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use e2e::stack::{Stack, Worker};
use testkit::{clients::Caller, github::RecordedRequest, postgres::Client};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

const FILL: &str = include_str!("../sql/fill_synced_refs.sql");
const HOLD_BUDGETS: &str = include_str!("../sql/hold_budgets.sql");
const MAKE_REFS_DUE: &str = include_str!("../sql/make_refs_due.sql");
const MAKE_BUDGETS_DUE: &str = include_str!("../sql/make_budgets_due.sql");
const COUNT_LEASES: &str = include_str!("../sql/count_leases.sql");
const COUNT: &str = include_str!("../sql/count_written.sql");

/// How far ahead it is written that budgets are due: workers are waiting by then.
const AHEAD: f64 = 1.5;
/// The least pause between two looks at the table.
const LOOK: Duration = Duration::from_millis(100);
/// The pause in durations of a look, so that looks cost next to nothing beside the work. The times
/// that are measured are the database's.
const LOOK_SHARE: u32 = 20;
/// Refs of a user who counts as small.
const SMALL: i64 = 10;

/// Lease calls return soon, since what SQL makes due is not notified. The host states no limit, and
/// a worker is not to make one up.
const VARIABLES: [(&str, &str); 3] = [
    ("GITSYNC_INTERVAL", "200ms"),
    ("GITSYNC_LOCAL_CEILING", "0"),
    ("GITSYNC_LOG", "warn,gitsync_service::server=info"),
];

/// Everything that runs in production, and what was put into it.
pub(super) struct World {
    stack: Stack,
    /// `owner/web` and the number of each pull request.
    pull_requests: Vec<(String, u64)>,
}

/// What became of refs that were due together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cycle {
    pub(super) refs: usize,
    /// Requests to the host, over GraphQL and REST.
    pub(super) requests: usize,
    /// What those cost of the limits: points of GraphQL by the host's formula, and one for each
    /// REST request.
    pub(super) points: u64,
    /// From when they were due until the last was written.
    pub(super) seconds: f64,
    /// The same for 95 of a hundred refs of those who have few.
    pub(super) small_p95_seconds: f64,
    /// Outcomes that were applied meanwhile: a ref may come round again before the last was
    /// written.
    pub(super) looks: u64,
    /// Write-ahead log of everything that was done meanwhile, without full pages.
    pub(super) wal_bytes: u64,
}

impl World {
    /// One user for each of `users`, with that number of pull requests, none of them due.
    pub(super) async fn new(users: impl IntoIterator<Item = usize>) -> anyhow::Result<Self> {
        let stack = Stack::start_with(&[("CHAT_LOG", "warn,chat_service::server=info")]).await;
        // A host's limits would be met by design, and are not what is measured.
        stack.github.set_rate_limits(false);
        let mut pull_requests = Vec::new();
        let client = stack.database.client().await;
        // Full pages after a checkpoint depend on when it was, and not on what is written.
        for statement in [
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
        ] {
            client.execute(statement, &[]).await?;
        }
        for (index, count) in users.into_iter().enumerate() {
            let login = format!("user{index}");
            let repository = format!("{login}/web");
            stack.github.user(&login);
            stack.github.repository(&repository).public();
            let (mut chats, mut numbers, mut node_ids) = (Vec::new(), Vec::new(), Vec::new());
            for branch in 0..count {
                let head = format!("b{}", branch + 1);
                let number = stack.github.pull_request(&repository).head(&head).open();
                let found = stack.github.find_pull_request(&repository, number);
                node_ids.push(
                    found
                        .context("a pull request that was just opened")?
                        .node_id(),
                );
                numbers.push(i32::try_from(number)?);
                chats.push(Uuid::now_v7());
                pull_requests.push((repository.clone(), number));
            }
            let owner = stack.linked_user(&login).await;
            let owner = owner_id(&owner)?;
            let params: [&(dyn ToSql + Sync); 5] = [&owner, &login, &chats, &numbers, &node_ids];
            client.execute(FILL, &params).await?;
        }
        client
            .batch_execute(
                "VACUUM (ANALYZE) chats, git_refs, git_ref_polls, git_budgets, git_accounts",
            )
            .await?;
        // Budgets learn of their refs when the first is due.
        client
            .execute(
                "UPDATE git_budgets SET queue_at = now() + interval '1 day'",
                &[],
            )
            .await?;
        Ok(Self {
            stack,
            pull_requests,
        })
    }

    pub(super) fn refs(&self) -> usize {
        self.pull_requests.len()
    }

    pub(super) fn latency(&self, latency: Duration) {
        self.stack.github.latency(latency);
    }

    /// Whether the host has GraphQL. A worker notices when it starts.
    pub(super) fn graphql(&self, enabled: bool) {
        self.stack.github.set_graphql(enabled);
    }

    pub(super) async fn worker(&self) -> Worker {
        self.stack.worker_with(&VARIABLES).await
    }

    /// Something happens to every pull request.
    pub(super) fn change_all(&self) {
        for (repository, number) in &self.pull_requests {
            self.stack
                .github
                .edit_pull_request(repository, *number, |pull_request| {
                    pull_request.title.push('!');
                });
        }
    }

    /// Makes everything due at once and waits until it is written, or until `enough` says so.
    pub(super) async fn cycle(
        &self,
        patience: Duration,
        only_small: bool,
    ) -> anyhow::Result<Cycle> {
        let client = self.stack.database.client().await;
        self.stack.github.clear_requests();
        let due = self.make_due(&client).await?;
        let count = client.query_one(COUNT, &[&due, &SMALL]).await?;
        let before: i64 = count.try_get("looks")?;
        let wal = wal_position(&client).await?;
        let give_up = tokio::time::Instant::now() + patience;
        let mut pause = LOOK;
        loop {
            tokio::time::sleep(pause).await;
            let looked = tokio::time::Instant::now();
            let row = client.query_one(COUNT, &[&due, &SMALL]).await?;
            pause = LOOK.max(looked.elapsed() * LOOK_SHARE);
            let missing: i64 = row.try_get(if only_small {
                "small_missing"
            } else {
                "missing"
            })?;
            if missing == 0 {
                let failed: i64 = row.try_get("failed")?;
                anyhow::ensure!(failed == 0, "{failed} refs could not be looked up");
                let requests = self.stack.github.requests();
                return Ok(Cycle {
                    refs: usize::try_from(row.try_get::<_, i64>("written")?)?,
                    requests: requests.len(),
                    points: requests.iter().map(points).sum(),
                    seconds: row.try_get("last_seconds")?,
                    small_p95_seconds: row.try_get("small_p95_seconds")?,
                    looks: u64::try_from(row.try_get::<_, i64>("looks")? - before)?,
                    wal_bytes: u64::try_from(wal_position(&client).await? - wal)?,
                });
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < give_up,
                "{missing} refs were not written within {} s",
                patience.as_secs()
            );
        }
    }

    /// Makes everything due once no budget is leased any more; returns when it is due.
    async fn make_due(&self, client: &Client) -> anyhow::Result<SystemTime> {
        // Reports lock refs in another order: the two would deadlock.
        loop {
            client.execute(HOLD_BUDGETS, &[]).await?;
            let leases: i64 = client.query_one(COUNT_LEASES, &[]).await?.try_get(0)?;
            if leases == 0 {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        client.execute(MAKE_REFS_DUE, &[]).await?;
        Ok(client
            .query_one(MAKE_BUDGETS_DUE, &[&AHEAD])
            .await?
            .try_get(0)?)
    }
}

/// Bytes of write-ahead log so far.
async fn wal_position(client: &Client) -> anyhow::Result<i64> {
    let row = client
        .query_one(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint",
            &[],
        )
        .await?;
    Ok(row.try_get(0)?)
}

fn points(request: &RecordedRequest) -> u64 {
    request.graphql.as_ref().map_or(1, |query| query.cost)
}

fn owner_id(owner: &Caller) -> anyhow::Result<Uuid> {
    owner.id().parse().context("a user's id")
}
