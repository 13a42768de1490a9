//! Each migration is applied on the data of its predecessors.

use std::collections::BTreeMap;

use migrations::{ALL, apply_list};

/// The rows to insert once that migration is applied; none where it makes no table and no column.
fn rows_of(name: &str) -> String {
    let path = format!("{}/tests/data/{name}.sql", env!("CARGO_MANIFEST_DIR"));
    match std::fs::read_to_string(&path) {
        Ok(rows) => rows,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{path}: {error}"),
    }
}

async fn counts(client: &tokio_postgres::Client) -> BTreeMap<String, i64> {
    let tables = client
        .query(
            "SELECT tablename::text FROM pg_tables \
             WHERE schemaname = 'public' AND tablename <> 'schema_migrations'",
            &[],
        )
        .await
        .expect("list tables");
    let mut counts = BTreeMap::new();
    for table in tables {
        let table: String = table.try_get(0).expect("a name");
        let row = client
            .query_one(&format!("SELECT count(*) FROM {table}"), &[])
            .await
            .expect("count rows");
        counts.insert(table, row.try_get(0).expect("a number"));
    }
    counts
}

#[tokio::test]
async fn each_migration_keeps_the_data_of_its_predecessors() {
    let db = testkit::postgres::empty_database().await;
    let mut client = db.client().await;
    for end in 1..=ALL.len() {
        let before = counts(&client).await;
        let applied = apply_list(&mut client, &ALL[..end]).await.unwrap();
        assert_eq!(applied.names, [ALL[end - 1].name]);
        let mut after = counts(&client).await;
        after.retain(|table, _| before.contains_key(table));
        assert_eq!(after, before, "after {}", ALL[end - 1].name);

        client
            .batch_execute(&rows_of(ALL[end - 1].name))
            .await
            .unwrap();
    }
    for (table, count) in counts(&client).await {
        assert!(count > 0, "{table} has no rows in tests/data");
    }
}
