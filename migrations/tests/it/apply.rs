//! From empty to head, alone and at once.

use migrations::{ALL, AppliedMigrations, Migration, apply, apply_list, require_current};
use testkit::wait;
use tokio::task::JoinSet;

const TABLE: Migration = Migration {
    name: "0001_table",
    sql: "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)",
};
const INDEX: Migration = Migration {
    name: "0002_index",
    sql: "-- no-transaction\nCREATE INDEX CONCURRENTLY t_a_idx ON t (a)",
};

#[tokio::test]
async fn an_empty_database_is_brought_to_the_current_version_once() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let names: Vec<_> = ALL.iter().map(|migration| migration.name).collect();
    for (from, names) in [(0, names), (ALL.len(), Vec::new())] {
        let applied = apply(&mut client).await.unwrap();
        assert_eq!(applied, AppliedMigrations { from, names });
        require_current(&client).await.unwrap();
    }
}

/// A session that waits in `pg_advisory_lock` holds a snapshot, which `CONCURRENTLY` waits for:
/// with a waiting lock these two deadlock.
#[tokio::test]
async fn of_runners_at_once_one_applies_and_the_others_find_nothing_to_do() {
    const CONCURRENTLY: &[Migration] = &[
        Migration {
            name: "0001_table",
            sql: "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000); SELECT pg_sleep(0.3)",
        },
        INDEX,
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

/// A statement that waits for a lock makes every later reader wait behind it.
#[tokio::test]
async fn a_file_that_waits_for_a_long_read_lets_others_read_and_is_applied_after_it() {
    let db = testkit::postgres::empty_database().await;
    let (mut client, mut reader, other) = (db.client().await, db.client().await, db.client().await);
    apply_list(&mut client, &[TABLE]).await.unwrap();
    let column = Migration {
        name: "0002_column",
        sql: "ALTER TABLE t ADD COLUMN b int",
    };
    let long = reader.transaction().await.unwrap();
    long.batch_execute("SELECT FROM t").await.unwrap();
    let mut applying = JoinSet::new();
    applying.spawn(async move { apply_list(&mut client, &[TABLE, column]).await.unwrap() });
    wait::until("the file waits behind the long read", || async {
        let waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        let waits = other.query(waits, &[]).await.unwrap();
        if waits.is_empty() { Err(()) } else { Ok(()) }
    })
    .await;
    // So does every later reader, for a second at most: less than a call's timeout.
    other
        .batch_execute("SET statement_timeout = '5s'; SELECT FROM t")
        .await
        .unwrap();
    assert!(applying.try_join_next().is_none());
    long.commit().await.unwrap();
    let applied = applying.join_all().await;
    assert_eq!(applied[0].names, ["0002_column"]);
}

#[tokio::test]
async fn an_index_that_a_killed_run_built_or_left_invalid_is_recognised() {
    for left in [
        "",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_a_idx'::regclass",
    ] {
        let db = testkit::postgres::empty_database().await;
        let mut client = db.client().await;
        apply_list(&mut client, &[TABLE]).await.unwrap();
        // As a run leaves it that was killed before it recorded the file.
        client.batch_execute(INDEX.sql).await.unwrap();
        client.batch_execute(left).await.unwrap();
        let applied = apply_list(&mut client, &[TABLE, INDEX]).await.unwrap();
        assert_eq!(applied.names, ["0002_index"]);
        let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a_idx'::regclass";
        let row = client.query_one(valid, &[]).await.unwrap();
        assert!(row.try_get::<_, bool>(0).unwrap(), "{left}");
    }
}

#[tokio::test]
async fn an_index_of_that_name_on_another_table_is_not_taken_for_the_files_own() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    apply_list(&mut client, &[TABLE]).await.unwrap();
    let other = "CREATE TABLE u (a int); CREATE INDEX t_a_idx ON u (a)";
    client.batch_execute(other).await.unwrap();
    let error = apply_list(&mut client, &[TABLE, INDEX]).await.unwrap_err();
    assert!(
        error.to_string().contains("already exists (42P07)"),
        "{error}"
    );
}
