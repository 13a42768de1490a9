//! Runners that start at once.

use migrations::{CURRENT, Migration, apply, apply_list};
use tokio::task::JoinSet;

#[tokio::test]
async fn of_runners_at_once_one_applies_and_the_others_find_nothing_to_do() {
    let db = testkit::postgres::empty_database().await;
    let mut runners = JoinSet::new();
    for _ in 0..6 {
        let mut client = db.client().await;
        runners.spawn(async move { apply(&mut client).await.map(|applied| applied.names.len()) });
    }
    let mut applied: Vec<usize> = runners
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 0, 0, 0, migrations::ALL.len()]);
    let client = db.client().await;
    assert_eq!(migrations::version(&client).await.unwrap(), CURRENT);
}

/// A session that waits in `pg_advisory_lock` holds a snapshot, which `CONCURRENTLY` waits for: with
/// a waiting lock these two deadlock.
#[tokio::test]
async fn a_waiting_runner_does_not_block_an_index_that_is_built_concurrently() {
    const LIST: &[Migration] = &[
        Migration {
            version: 1,
            name: "0001_table",
            sql: "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000); SELECT pg_sleep(0.3)",
        },
        Migration {
            version: 2,
            name: "0002_index",
            sql: "-- no-transaction\nCREATE INDEX CONCURRENTLY t_a_idx ON t (a)",
        },
    ];
    let db = testkit::postgres::empty_database().await;
    let mut runners = JoinSet::new();
    for _ in 0..4 {
        let mut client = db.client().await;
        runners.spawn(async move {
            apply_list(&mut client, LIST)
                .await
                .map(|applied| applied.to)
        });
    }
    for result in runners.join_all().await {
        assert_eq!(result.unwrap(), 2);
    }
}
