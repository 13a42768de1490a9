//! What the runner refuses, and what it says.

use migrations::{ALL, CURRENT, Migration, MigrationError, apply, apply_list, require_current};

fn edited(index: usize, sql: &'static str) -> Vec<Migration> {
    let mut list = ALL.to_vec();
    list[index].sql = sql;
    list
}

#[tokio::test]
async fn an_edited_file_is_refused_and_nothing_is_applied() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    apply_list(&mut client, &ALL[..1]).await.unwrap();
    let error = apply_list(&mut client, &edited(0, "SELECT 1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, MigrationError::Edited { name: "0001_chats" }),
        "{error}"
    );
    assert_eq!(migrations::version(&client).await.unwrap(), 1);

    // The lock is free again: the unedited list goes through, on the same connection.
    apply(&mut client).await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_history_is_refused_with_a_sentence() {
    let db = testkit::postgres::database().await;
    let mut client = db.client().await;
    client
        .execute(
            "UPDATE schema_migrations SET name = '0003_chat_diff_statuses' WHERE version = 3",
            &[],
        )
        .await
        .unwrap();
    for error in [
        apply(&mut client).await.unwrap_err(),
        require_current(&client).await.unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "this database was made by a version from before the first release (its migration \
             0003_chat_diff_statuses is 0003_git_refs here), whose data cannot be taken over: use \
             an empty database"
        );
    }
}

#[tokio::test]
async fn a_file_that_comes_before_an_applied_one_is_refused() {
    let db = testkit::postgres::database().await;
    let mut client = db.client().await;
    client
        .execute("DELETE FROM schema_migrations WHERE version = 1", &[])
        .await
        .unwrap();
    let error = apply(&mut client).await.unwrap_err();
    assert!(
        matches!(
            error,
            MigrationError::OutOfOrder {
                name: "0001_chats",
                applied: CURRENT
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_older_schema_is_refused_with_both_versions() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let error = require_current(&client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the schema is at version 0, this build needs version {CURRENT}: \
             run `chat-service migrate`"
        )
    );

    apply_list(&mut client, &ALL[..ALL.len() - 1])
        .await
        .unwrap();
    let error = require_current(&client).await.unwrap_err();
    assert!(
        matches!(
            error,
            MigrationError::TooOld {
                found,
                needed: CURRENT
            } if found == ALL[ALL.len() - 2].version
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_newer_schema_is_fine() {
    let db = testkit::postgres::database().await;
    let mut client = db.client().await;
    client
        .execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'later', '')",
            &[],
        )
        .await
        .unwrap();
    require_current(&client).await.unwrap();
    assert!(apply(&mut client).await.unwrap().names.is_empty());
}

#[tokio::test]
async fn a_failing_statement_names_file_and_line_and_undoes_its_file_only() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let list = [
        Migration {
            version: 1,
            name: "0001_good",
            sql: "CREATE TABLE good (a int)",
        },
        Migration {
            version: 2,
            name: "0002_bad",
            sql: "-- Ünïcödé.\nCREATE TABLE bad (a int);\nALTER TABLE missing ADD b int;\n",
        },
    ];
    let error = apply_list(&mut client, &list).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("0002_bad"), "{text}");
    assert!(
        text.contains("\"missing\" does not exist (42P01)"),
        "{text}"
    );

    let list_with_typo = [
        list[0],
        Migration {
            sql: "-- Ünïcödé.\nCREATE TABLE bad (a int);\nSELEC 1;\n",
            ..list[1]
        },
    ];
    let error = apply_list(&mut client, &list_with_typo).await.unwrap_err();
    assert!(error.to_string().contains("0002_bad, line 3,"), "{error}");

    assert_eq!(migrations::version(&client).await.unwrap(), 1);
    let bad: Option<String> = client
        .query_one("SELECT to_regclass('bad')::text", &[])
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    assert_eq!(bad, None);
}

#[tokio::test]
async fn a_file_that_says_so_runs_outside_a_transaction() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let list = [
        Migration {
            version: 1,
            name: "0001_table",
            sql: "CREATE TABLE t (a int)",
        },
        Migration {
            version: 2,
            name: "0002_index",
            sql: "-- no-transaction\nCREATE INDEX CONCURRENTLY t_a_idx ON t (a)",
        },
    ];
    let applied = apply_list(&mut client, &list).await.unwrap();
    assert_eq!(applied.names, ["0001_table", "0002_index"]);
}
