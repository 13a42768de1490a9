//! From empty to head, alone and at once.

use migrations::{ALL, Applied, Migration, apply, apply_list, require_current};
use tokio::task::JoinSet;

#[tokio::test]
async fn an_empty_database_is_brought_to_the_current_version_once() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let names: Vec<_> = ALL.iter().map(|migration| migration.name).collect();
    for (from, names) in [(0, names), (ALL.len(), Vec::new())] {
        let applied = apply(&mut client).await.unwrap();
        assert_eq!(applied, Applied { from, names });
        require_current(&client).await.unwrap();
    }
}

/// A session that waits in `pg_advisory_lock` holds a snapshot, which `CONCURRENTLY` waits for: with
/// a waiting lock these two deadlock.
#[tokio::test]
async fn of_runners_at_once_one_applies_and_the_others_find_nothing_to_do() {
    const CONCURRENTLY: &[Migration] = &[
        Migration {
            name: "0001_table",
            sql: "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000); SELECT pg_sleep(0.3)",
        },
        Migration {
            name: "0002_index",
            sql: "-- no-transaction\nCREATE INDEX CONCURRENTLY t_a_idx ON t (a)",
        },
    ];
    for list in [ALL, CONCURRENTLY] {
        let db = testkit::postgres::empty_database().await;
        let mut runners = JoinSet::new();
        for _ in 0..6 {
            let mut client = db.client().await;
            runners.spawn(async move { apply_list(&mut client, list).await.unwrap().names.len() });
        }
        let mut applied = runners.join_all().await;
        applied.sort_unstable();
        assert_eq!(applied, [0, 0, 0, 0, 0, list.len()]);
    }
}
