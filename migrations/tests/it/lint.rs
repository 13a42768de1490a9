//! What a file may not do to a table that older migrations made and that is in use. What PostgreSQL
//! itself refuses on tables with rows is in `data.rs`.

use std::collections::BTreeSet;

use migrations::{ALL, Migration};

/// The indexes of a file that block the writes of a table which it did not make.
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
            | ["CREATE", "TABLE", table, ..] => {
                made.insert(*table);
            }
            ["CREATE", "UNIQUE", "INDEX", next, ..] | ["CREATE", "INDEX", next, ..] => {
                let table = after("ON").filter(|table| !made.contains(table));
                found.extend(table.filter(|_| *next != "CONCURRENTLY").map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn an_index_on_a_table_in_use_is_built_concurrently() {
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
