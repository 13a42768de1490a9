//! What a file may not do to a table that older migrations made and that is in use: the rules of the
//! README, on the text of the files.

use std::collections::BTreeSet;

use migrations::{ALL, Migration};

/// The statements of a file, upper case, without comments, in single spaces. What is quoted between
/// dollars (the body of a function or of DO) is part of its statement.
fn statements(sql: &str) -> Vec<String> {
    let bare: Vec<&str> = sql
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let mut parts = vec![String::new()];
    for (index, text) in bare.join("\n").split("$$").enumerate() {
        // Outside and inside take turns.
        let pieces = if index % 2 == 0 {
            text.split(';').collect()
        } else {
            vec![text]
        };
        for (index, piece) in pieces.into_iter().enumerate() {
            match parts.last_mut() {
                Some(last) if index == 0 => last.push_str(piece),
                Some(_) | None => parts.push(piece.to_owned()),
            }
        }
    }
    parts
        .iter()
        .map(|statement| {
            statement
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .to_uppercase()
        })
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// The word after the first of `markers` that occurs, without its bracket.
fn word_after<'a>(statement: &'a str, markers: &[&str]) -> Option<&'a str> {
    let rest = markers
        .iter()
        .find_map(|marker| Some(statement.split_once(marker)?.1))?;
    rest.trim_start_matches("IF NOT EXISTS ")
        .trim_start_matches("IF EXISTS ")
        .trim_start_matches("ONLY ")
        .split([' ', '('])
        .next()
}

/// One line for each thing that a list of migrations may not do.
fn violations(list: &[Migration]) -> Vec<String> {
    let mut found = Vec::new();
    let mut older: BTreeSet<String> = BTreeSet::new();
    for migration in list {
        let mut made = BTreeSet::new();
        let statements = statements(migration.sql);
        let transactional = migration.sql.lines().next() != Some("-- no-transaction");
        if !transactional && statements.len() != 1 {
            found.push(format!(
                "{}: no-transaction with other than one statement",
                migration.name
            ));
        }
        for statement in &statements {
            if statement.starts_with("CREATE TABLE ") {
                made.extend(word_after(statement, &["CREATE TABLE "]).map(str::to_owned));
                continue;
            }
            let concurrently = statement.contains(" CONCURRENTLY ");
            if concurrently && transactional {
                found.push(format!("{}: CONCURRENTLY in a transaction", migration.name));
            }
            let index = statement.starts_with("CREATE INDEX ")
                || statement.starts_with("CREATE UNIQUE INDEX ");
            let table = if index {
                word_after(statement, &[" ON "])
            } else {
                word_after(statement, &["ALTER TABLE "])
            };
            let Some(table) = table.filter(|table| older.contains(*table)) else {
                continue;
            };
            if index && !concurrently {
                found.push(format!(
                    "{}: CREATE INDEX without CONCURRENTLY on {table}, which is in use",
                    migration.name
                ));
            }
            for clause in statement.split(',') {
                let added = clause.contains(" ADD ") && !clause.contains(" ADD CONSTRAINT ");
                if added && clause.contains(" NOT NULL") && !clause.contains(" DEFAULT ") {
                    found.push(format!(
                        "{}: a NOT NULL column without default on {table}, which has rows",
                        migration.name
                    ));
                }
            }
        }
        older.extend(made);
    }
    found
}

fn after_chats(sql: &'static str) -> Vec<String> {
    violations(&[
        Migration {
            version: 1,
            name: "0001_chats",
            sql: "CREATE TABLE chats (id int); CREATE INDEX chats_id_idx ON chats (id);",
        },
        Migration {
            version: 2,
            name: "0002_next",
            sql,
        },
    ])
}

#[test]
fn the_files_keep_the_rules() {
    assert_eq!(violations(ALL), Vec::<String>::new());
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
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    let list: Vec<(String, String)> = ALL
        .iter()
        .map(|migration| (migration.name.to_owned(), migration.sql.to_owned()))
        .collect();
    assert_eq!(list, files);
    for (migration, number) in ALL.iter().zip(1..) {
        assert_eq!(migration.version, number, "{}", migration.name);
        assert!(
            migration.name.starts_with(&format!("{number:04}_")),
            "{} is version {number}",
            migration.name
        );
    }
}

#[test]
fn an_index_on_a_table_in_use_must_be_built_concurrently() {
    for sql in [
        "CREATE INDEX a_idx ON chats (title);",
        "create unique index if not exists a_idx\n  on chats(title);",
    ] {
        let found = after_chats(sql);
        assert!(
            found[0].contains("without CONCURRENTLY on CHATS"),
            "{found:?}"
        );
    }
    assert!(
        after_chats("-- no-transaction\nCREATE INDEX CONCURRENTLY a ON chats (title)").is_empty()
    );
    assert!(after_chats("CREATE TABLE other (a int); CREATE INDEX b ON other (a);").is_empty());
    assert!(!after_chats("CREATE INDEX CONCURRENTLY a ON chats (title)").is_empty());
    assert!(
        !after_chats("-- no-transaction\nCREATE INDEX CONCURRENTLY a ON chats (b); SELECT 1")
            .is_empty()
    );
}

#[test]
fn the_body_of_a_block_is_part_of_its_statement() {
    let one = "-- no-transaction\nDO $$ BEGIN UPDATE chats SET a = 1; COMMIT; END $$;";
    assert_eq!(after_chats(one), Vec::<String>::new());
    let two = after_chats("-- no-transaction\nDO $$ BEGIN COMMIT; END $$; SELECT 1; SELECT 2");
    assert!(two[0].contains("other than one statement"), "{two:?}");
}

#[test]
fn a_new_column_of_a_table_in_use_is_nullable_or_has_a_default() {
    let found = after_chats("ALTER TABLE chats ADD COLUMN a int, ADD b text NOT NULL;");
    assert!(
        found[0].contains("NOT NULL column without default on CHATS"),
        "{found:?}"
    );
    assert!(after_chats("ALTER TABLE chats ADD COLUMN a int NOT NULL DEFAULT 0;").is_empty());
    assert!(after_chats("ALTER TABLE chats ADD COLUMN a int; -- NOT NULL later").is_empty());
}
