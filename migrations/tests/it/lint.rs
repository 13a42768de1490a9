//! What a file may not do to a table that older migrations made and that is in use. What PostgreSQL
//! itself refuses on tables with rows is in `data.rs`.

use std::collections::BTreeSet;

use migrations::{ALL, Migration};

/// What a file does that blocks a table which it did not make for as long as that table is large.
fn blocking(sql: &str) -> Vec<String> {
    let lines = sql.lines();
    let bare = lines.map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    let text = bare.collect::<Vec<_>>().join(" ").to_uppercase();
    let (mut made, mut found) = (BTreeSet::new(), Vec::new());
    for statement in text.split(';') {
        let words: Vec<&str> = statement
            .split([' ', '(', '\t'])
            .filter(|w| !w.is_empty())
            .collect();
        let after = |word| Some(words[words.iter().position(|other| *other == word)? + 1]);
        match words.as_slice() {
            ["CREATE", "TABLE", "IF", "NOT", "EXISTS", table, ..]
            | ["CREATE", "UNLOGGED", "TABLE", table, ..]
            | ["CREATE", "TABLE", table, ..] => {
                made.insert(*table);
            }
            ["CREATE", "UNIQUE", "INDEX", next, ..] | ["CREATE", "INDEX", next, ..] => {
                let table = after("ON").filter(|table| !made.contains(table));
                found.extend(table.filter(|_| *next != "CONCURRENTLY").map(str::to_owned));
            }
            // A stored value rewrites the table under a lock that excludes readers.
            ["ALTER", "TABLE", table, ..] if !made.contains(table) => {
                let stored = words.contains(&"STORED").then(|| (*table).to_owned());
                found.extend(stored);
            }
            // A table in use is filled in batches that commit, not in the file's transaction.
            ["UPDATE", table, ..] | ["DELETE", "FROM", table, ..] if !made.contains(table) => {
                found.push((*table).to_owned());
            }
            _ => {}
        }
    }
    // Without a transaction, the effect of a crash between two statements is unknown.
    let statements = text
        .split(';')
        .filter(|statement| !statement.trim().is_empty());
    if sql.starts_with("-- no-transaction") && !text.contains("DO $$") && statements.count() > 1 {
        found.push("several statements".to_owned());
    }
    found
}

#[test]
fn no_file_blocks_a_table_in_use_for_as_long_as_it_is_large() {
    for Migration { name, sql } in ALL {
        assert_eq!(blocking(sql), Vec::<String>::new(), "{name}");
    }
    for (sql, found) in [
        ("CREATE INDEX a_idx ON chats (title);", 1),
        (
            "create unique index if not exists a_idx\n  on chats(title);",
            1,
        ),
        (
            "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON chats (title)",
            0,
        ),
        (
            "CREATE TABLE other (a int); CREATE INDEX b ON other (a);",
            0,
        ),
        ("-- CREATE INDEX a_idx ON chats (title);", 0),
        (
            "ALTER TABLE chats ADD COLUMN n int GENERATED ALWAYS AS (length(title)) STORED;",
            1,
        ),
        ("ALTER TABLE chats ADD COLUMN n int;", 0),
        ("UPDATE chats SET title = '' WHERE archived;", 1),
        ("DELETE FROM chats WHERE archived;", 1),
        (
            "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON chats (title); SELECT 1",
            1,
        ),
        (
            "-- no-transaction\nDO $$ BEGIN UPDATE chats SET title = ''; COMMIT; END $$",
            0,
        ),
    ] {
        assert_eq!(blocking(sql).len(), found, "{sql}");
    }
}

#[test]
fn the_list_is_the_directory_in_order_and_without_gaps() {
    let mut files: Vec<(String, String)> = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        // The whole schema at a glance is no migration.
        .filter(|path| !path.ends_with("schema.sql"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    let list: Vec<(String, String)> = ALL
        .iter()
        .map(|migration| (migration.name.to_owned(), migration.sql.to_owned()))
        .collect();
    assert_eq!(list, files);
    for (migration, number) in ALL.iter().zip(1..) {
        assert!(
            migration.name.starts_with(&format!("{number:04}_")),
            "{} is version {number}",
            migration.name
        );
    }
}
