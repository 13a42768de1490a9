//! Everything twice, under load, while a fault happens.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use testkit::{postgres::Database, proxy::Proxy};
use tokio_postgres::NoTls;

use super::{Load, Recovery};
use crate::{
    stack::{Replica, Stack, Worker},
    warnings,
};

/// What may happen, and within what time all is well again.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Calls may fail after all attempts, while the fault lasts.
    pub failures: bool,
    /// Watchers may also get events for problems of the git host.
    pub problems: bool,
    /// How often a watcher may have to list again.
    pub resyncs: usize,
    /// From the end of the fault on.
    pub within: Duration,
}

impl Judged {
    /// No call fails, no watcher lists again.
    pub const UNNOTICED: Self = Self {
        failures: false,
        problems: false,
        resyncs: 0,
        within: Duration::from_secs(30),
    };
    /// Calls fail while the fault lasts.
    pub const OUTAGE: Self = Self {
        failures: true,
        ..Self::UNNOTICED
    };
}

/// Further variables of processes.
pub type Variables<'a> = &'a [(&'a str, &'a str)];

/// Variables of the processes of a scene.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting<'a> {
    /// Both replicas.
    pub chat_service: Variables<'a>,
    /// The second one, in place of those of both.
    pub replica: Variables<'a>,
    /// The worker of each replica.
    pub workers: [Variables<'a>; 2],
}

/// Two replicas of chat-service, two workers, PostgreSQL and the git host.
pub struct Scene<'a> {
    /// The first replica, and what all share.
    pub stack: &'a mut Stack,
    /// The second replica.
    pub replica: Replica,
    /// One of each replica.
    pub workers: Vec<Worker>,
    /// Between callers and each replica.
    pub fronts: [Proxy; 2],
    /// The load, for a fault that lasts until something is seen.
    pub load: Load,
    /// Where the database is looked into afterwards.
    pub database_url: String,
}

/// Starts everything on `database` and a steady load, has `fault` happen, and judges what came of
/// it. What it took is printed under `name`.
///
/// # Panics
///
/// When anything is lost or doubled, or not well again in time.
pub async fn under_load(
    name: &str,
    database: Database,
    setting: Setting<'_>,
    judged: Judged,
    fault: impl AsyncFnOnce(&mut Scene<'_>),
) {
    Box::pin(Stack::run_on(
        database,
        setting.chat_service,
        async |stack| {
            stack.expect_warnings(warnings::ANY);
            let address = stack.database.address();
            let replica = stack.replica_of(address, setting.replica).await;
            let [one, other] = setting.workers;
            let workers = vec![
                stack.worker_with(one).await,
                stack.worker_at(replica.sync_url(), other).await,
            ];
            let authority = |url: &str| url.trim_start_matches("http://").to_owned();
            let fronts = [
                Proxy::start(authority(stack.grpc_url())).await,
                Proxy::start(authority(replica.grpc_url())).await,
            ];
            let urls = [0, 1].map(|front: usize| format!("http://{}", fronts[front].address()));
            let load = Load::start(stack, &urls).await;
            load.steady().await;
            let database_url = stack.database.url().to_owned();
            let mut scene = Scene {
                stack,
                replica,
                workers,
                fronts,
                load,
                database_url,
            };
            fault(&mut scene).await;
            let mended = Instant::now();
            let (workers, recovery) = settle(scene, mended, judged).await;
            tell(name, &recovery);
            workers
        },
    ))
    .await;
}

async fn settle(scene: Scene<'_>, mended: Instant, judged: Judged) -> (Vec<Worker>, Recovery) {
    let Scene {
        stack,
        replica,
        workers,
        fronts,
        load,
        database_url,
    } = scene;
    load.steady().await;
    let (client, connection) = tokio_postgres::connect(&database_url, NoTls)
        .await
        .expect("look into the database");
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(async move {
        // A broken connection shows in the next query.
        let _ = connection.await;
    });
    let url = stack.grpc_url().to_owned();
    let recovery = load.judge(stack, &client, &url, mended, judged).await;
    drop(fronts);
    replica.process.stop().await;
    (workers, recovery)
}

/// Not by `print!`, of which the test runner shows nothing when a test passes.
fn tell(name: &str, recovery: &Recovery) {
    let line = format!("fault {name}: {recovery}\n");
    // A closed output is no reason to fail.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
