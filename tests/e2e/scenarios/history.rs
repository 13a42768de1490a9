//! Random histories against a model: several replicas, relays that change, transactions that commit
//! in another order than they began, and watchers that are cut off and resume.
//!
//! Each history has callers of all kinds. Some change chats at the same time, others watch them. At
//! its end each watcher must show what a list gives it, each message that it got must have been one
//! that it may get, and what pull requests needed attention for must have been heard of as often as
//! it was raised. Many histories run at once on one database, each as noise for the others.
//!
//! `HISTORIES` says how many, and `HISTORY_SEED` with which choices they begin; the seed of each
//! failure is in its message. Choices are repeated by a seed, and the order in which tasks run is
//! not.

mod actor;
mod attention;
mod cast;
mod disturbance;
mod journal;
mod places;
mod verdict;
mod watcher;
mod world;

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{stack::Stack, warnings};
use testkit::random::Random;
use tokio::{task::JoinSet, time::timeout};

use self::{
    cast::Cast,
    disturbance::Disturbance,
    places::Places,
    world::{Counts, World},
};

/// Without `HISTORIES`: as many as fit into twenty seconds of a debug build on two cores; more run
/// by night.
const HISTORIES: usize = 20;
/// Of those with new generations.
const HISTORIES_OF_GENERATIONS: usize = 8;
/// Histories at once.
const AT_ONCE: usize = 8;
/// No history takes longer, however often its replicas are disturbed.
const LIMIT: Duration = Duration::from_secs(120);

/// Lines of the end of a replica's log that a failure shows.
const LOG_LINES: usize = 20;

/// What happens to the replicas, over and over.
const DISTURBANCES: &[Disturbance] = &[
    Disturbance::HandOver,
    Disturbance::Cut,
    Disturbance::HandOver,
    Disturbance::Kill,
];

/// Events are recorded when a transaction is not yet over, so that later ones commit before it.
const LINGER: &str = "
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.3 THEN
        PERFORM pg_sleep(random() * 0.03);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER linger AFTER INSERT ON change_events FOR EACH ROW EXECUTE FUNCTION linger()";

/// Events that were recorded before one that has an earlier position.
const OVERTAKEN: &str = "
SELECT count(*) FROM (
    SELECT e.id, max(e.id) OVER (ORDER BY e.position) AS greatest
    FROM change_events e
    WHERE e.position IS NOT NULL
) e
WHERE e.id < e.greatest";

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{variable} is not a number")))
}

/// Runs histories while `disturbances` happen one after the other.
async fn run(histories: usize, disturbances: &'static [Disturbance]) {
    let seed = number("HISTORY_SEED").unwrap_or_else(|| {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        high ^ low
    });
    let began = Instant::now();
    Box::pin(Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        stack.expect_warnings(&["call failed: another change takes too long"]);
        let stack: &Stack = stack;
        let client = stack.database.client().await;
        client.batch_execute(LINGER).await.unwrap();
        let worker = stack.worker().await;
        let mut replicas = [stack.replica().await, stack.replica().await];
        let places = Arc::new(Places::new([
            stack.grpc_url(),
            replicas[0].grpc_url(),
            replicas[1].grpc_url(),
        ]));
        let mut counts = Counts::default();
        let mut running = JoinSet::new();
        let resyncs = disturbances.contains(&Disturbance::NewGeneration);
        let all = async {
            let mut seeds =
                (0..histories).map(|number| seed.wrapping_add(u64::try_from(number).unwrap()));
            loop {
                while running.len() < AT_ONCE
                    && let Some(seed) = seeds.next()
                {
                    let cast = Cast::new(stack).await;
                    let world = World::new(cast, places.clone(), &stack.github, seed);
                    running.spawn(history(seed, world, resyncs));
                }
                match running.join_next().await {
                    Some(counted) => counts += counted.unwrap()?,
                    None => return Ok(()),
                }
            }
        };
        let disturbed = disturbance::disturb(
            stack,
            &mut replicas,
            &places,
            disturbances,
            Random::new(seed),
        );
        let lived: Result<(), String> = tokio::select! {
            lived = all => lived,
            never = disturbed => match never {},
        };
        if let Err(problem) = lived {
            let logs = replicas
                .iter()
                .map(|replica| replica.process.tail(LOG_LINES));
            let logs: Vec<_> = logs.collect();
            panic!(
                "{problem}\nthe replicas' logs end with:\n{}",
                logs.join("\n\n")
            );
        }
        let row = client.query_one(OVERTAKEN, &[]).await.unwrap();
        let overtaken: i64 = row.try_get(0).unwrap();
        let _ = writeln!(
            std::io::stderr(),
            "{histories} histories from HISTORY_SEED={seed} in {:.0?}: {counts:?}, \
             {overtaken} events overtaken",
            began.elapsed()
        );
        // One history alone need not have everything.
        let overtaken = usize::try_from(overtaken).unwrap();
        for counted in [
            overtaken,
            counts.cuts,
            counts.lost,
            counts.deleted,
            counts.not_matching,
            counts.raised,
        ] {
            assert!(histories == 1 || counted > 0, "{counts:?}");
        }
        assert_eq!(counts.resyncs > 0, resyncs, "{counts:?}");
        for replica in replicas {
            replica.process.stop().await;
        }
        vec![worker]
    }))
    .await;
}

/// One history. `Err` says what was wrong, with its seed.
async fn history(seed: u64, world: World, resyncs: bool) -> Result<Counts, String> {
    let lived = timeout(LIMIT, world.live()).await;
    let lived = lived.unwrap_or_else(|_| Err(format!("it did not end within {LIMIT:?}")));
    let lived = lived.and_then(|counts| match counts.resyncs {
        0 => Ok(counts),
        _ if resyncs => Ok(counts),
        count => Err(format!("{count} messages RESYNC, of one generation")),
    });
    lived.map_err(|problem| format!("HISTORY_SEED={seed} HISTORIES=1: {problem}"))
}

/// Promise 12, for relays, replicas and connections that are lost, and for every kind of caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_random_histories_every_watcher_ends_with_what_it_may_read_and_hears_of_nothing_else() {
    let histories = number("HISTORIES").map_or(HISTORIES, |number| number.try_into().unwrap());
    run(histories, DISTURBANCES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_random_histories_with_new_generations_every_watcher_lists_again_and_misses_nothing() {
    run(HISTORIES_OF_GENERATIONS, &[Disturbance::NewGeneration]).await;
}
