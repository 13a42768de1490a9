//! What the runner refuses, and what it says.

use migrations::{ALL, Migration, apply, apply_list, require_current};

#[tokio::test]
async fn an_edited_file_is_refused_and_nothing_is_applied() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    apply_list(&mut client, &ALL[..1]).await.unwrap();
    let mut edited = ALL.to_vec();
    edited[0].sql = "SELECT 1";
    let error = apply_list(&mut client, &edited).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("migration 0001_chats differs"),
        "{error}"
    );

    // The lock is free again: the unedited list goes through, on the same connection.
    let applied = apply(&mut client).await.unwrap();
    assert_eq!(applied.names.len(), ALL.len() - 1);
}

#[tokio::test]
async fn a_database_of_another_history_is_refused_with_a_sentence() {
    for (change, sentence) in [
        (
            "UPDATE schema_migrations SET name = '0003_chat_diff_statuses' WHERE version = 3",
            "0003_chat_diff_statuses is 0003_git_refs here",
        ),
        (
            "DELETE FROM schema_migrations WHERE version = 1",
            "0002_git_accounts is 0001_chats here",
        ),
    ] {
        let db = testkit::postgres::database().await;
        let mut client = db.client().await;
        client.execute(change, &[]).await.unwrap();
        for error in [
            apply(&mut client).await.unwrap_err(),
            require_current(&client).await.unwrap_err(),
        ] {
            assert_eq!(
                error.to_string(),
                format!(
                    "this database was made by a version from before the first release (its \
                     migration {sentence}), whose data cannot be taken over: use an empty database"
                )
            );
        }
    }
}

#[tokio::test]
async fn an_older_schema_is_refused_with_both_versions() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    for found in [0, ALL.len() - 1] {
        apply_list(&mut client, &ALL[..found]).await.unwrap();
        assert_eq!(
            require_current(&client).await.unwrap_err().to_string(),
            format!(
                "the schema is at version {found}, this build needs version {}: \
                 run `chat-service migrate`",
                ALL.len()
            )
        );
    }
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
async fn a_failing_statement_is_named_with_its_file_and_undoes_its_file_only() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    let mut list = [
        Migration {
            name: "0001_good",
            sql: "CREATE TABLE good (a int)",
        },
        Migration {
            name: "0002_bad",
            sql: "CREATE TABLE bad (a int);\nALTER TABLE missing ADD b int;\n",
        },
    ];
    assert_eq!(
        apply_list(&mut client, &list)
            .await
            .unwrap_err()
            .to_string(),
        "migrations could not apply 0002_bad: relation \"missing\" does not exist (42P01)"
    );
    // What came before is kept, and nothing of the file that failed: its table is not there yet.
    list[1].sql = "CREATE TABLE bad (a int)";
    let applied = apply_list(&mut client, &list).await.unwrap();
    assert_eq!((applied.from, applied.names), (1, vec!["0002_bad"]));
}
