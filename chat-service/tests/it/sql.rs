//! The statements of `src/store/sql`: each prepares against the schema, says its name, and is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

/// Statements with an outer join, each with the test that has it return a row without a match: that
/// its right side may be NULL stands in no catalog, so that the snapshot cannot show it.
const OUTER_JOINS: [(&str, &str); 10] = [
    (
        "apply_outcomes",
        "an_outcome_without_news_writes_the_narrow_row_alone",
    ),
    (
        "find_diff",
        "without_a_usable_credential_a_diff_is_refused_at_once_with_the_reason",
    ),
    (
        "find_spender",
        "a_tokens_budget_becomes_its_accounts_when_the_host_identifies_it",
    ),
    (
        "list_diff_statuses",
        "without_an_account_nothing_is_leased_and_the_ref_waits_for_one",
    ),
    (
        "list_due_refs",
        "a_reported_ref_is_leased_with_its_owners_credential",
    ),
    (
        "list_planned_budgets",
        "operators_see_the_windows_of_a_budget_its_pause_and_whose_it_is",
    ),
    (
        "observe_budget",
        "a_window_is_new_only_when_it_resets_later_and_else_the_least_is_left",
    ),
    (
        "raise_pauses",
        "a_budget_that_takes_over_is_paused_as_the_former_one_was",
    ),
    (
        "settle_accounts",
        "a_budget_that_is_ready_without_refs_finds_out_and_does_not_spin",
    ),
    (
        "settle_budgets",
        "a_budget_that_is_ready_without_refs_finds_out_and_does_not_spin",
    ),
];

pub(crate) fn statements() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql");
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            assert_eq!(path.extension().unwrap(), "sql", "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// One of them.
pub(crate) fn statement(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql");
    fs::read_to_string(directory.join(name).with_extension("sql")).unwrap()
}

fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[tokio::test]
async fn every_statement_prepares_against_the_schema() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let mut problems = Vec::new();
    for (name, text) in statements() {
        // Markers are predicates that are TRUE until a caller's predicate replaces them.
        if let Err(error) = client.prepare(&text).await {
            let error = error
                .as_db_error()
                .map_or_else(|| error.to_string(), ToString::to_string);
            problems.push(format!("{name}: {error}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_statement_says_its_name_and_what_it_is() {
    for (name, text) in statements() {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(format!("-- name: {name}").as_str()));
        assert!(
            lines.next().unwrap().starts_with("-- "),
            "{name} does not say what it returns"
        );
        assert!(
            !text.contains("SELECT *") && !text.contains("RETURNING *"),
            "{name}: list columns"
        );
        let has_semicolon = text
            .lines()
            .any(|line| !line.trim_start().starts_with("--") && line.contains(';'));
        assert!(!has_semicolon, "{name}: one statement, without a semicolon");
    }
}

#[test]
fn every_statement_is_used_and_every_use_has_a_statement() {
    let mut text = String::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut text,
    );
    let mut used: Vec<&str> = text
        .split("sql!(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    used.sort_unstable();
    used.dedup();
    let statements = statements();
    let written: Vec<&str> = statements.keys().map(String::as_str).collect();
    assert_eq!(used, written);
}

/// Without a table's index PostgreSQL scans the table, whatever it costs; with one it does not have
/// to.
#[tokio::test]
async fn no_statement_has_to_scan_a_table() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        .await
        .unwrap();
    let mut planned = 0;
    let mut scans = Vec::new();
    for (name, text) in statements() {
        let statement = text.lines().find(|line| !line.starts_with("--")).unwrap();
        // What has no plan: the tables of a policy check, and what shows a plan itself.
        if ["CREATE ", "TRUNCATE ", "EXPLAIN "]
            .iter()
            .any(|word| statement.starts_with(word))
        {
            continue;
        }
        client
            .batch_execute(&format!("PREPARE {name} AS {text}"))
            .await
            .unwrap();
        let parameters = client.prepare(&text).await.unwrap().params().len();
        let arguments = match parameters {
            0 => String::new(),
            // A generic plan is the same for all arguments.
            _ => format!("({})", vec!["NULL"; parameters].join(", ")),
        };
        let plan: Vec<String> = client
            .query(&format!("EXPLAIN EXECUTE {name}{arguments}"), &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get(0).unwrap())
            .collect();
        planned += 1;
        if plan.iter().any(|line| line.contains("Seq Scan")) {
            scans.push(format!("{name}:\n{}", plan.join("\n")));
        }
    }
    assert!(planned > 90, "{planned} statements");
    assert!(scans.is_empty(), "{}", scans.join("\n\n"));
}

/// Columns of tables that are NOT NULL, by table and number.
async fn not_null(client: &testkit::postgres::Client) -> BTreeSet<(u32, i16)> {
    client
        .query(
            "SELECT attrelid, attnum FROM pg_attribute WHERE attnotnull",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
        .collect()
}

#[tokio::test]
async fn every_statement_takes_and_returns_what_the_snapshot_says() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let not_null = not_null(&client).await;
    let mut described = String::new();
    for (name, text) in statements() {
        let statement = client.prepare(&text).await.unwrap();
        writeln!(described, "{name}").unwrap();
        for (index, parameter) in statement.params().iter().enumerate() {
            writeln!(described, "  ${} {parameter}", index + 1).unwrap();
        }
        for column in statement.columns() {
            let source = column.table_oid().zip(column.column_id());
            let nullable = match source {
                Some(source) if not_null.contains(&source) => "NOT NULL",
                Some(_) => "NULL",
                None => "computed",
            };
            writeln!(
                described,
                "  {} {} {nullable}",
                column.name(),
                column.type_()
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!("statements", described);
}

#[test]
fn every_outer_join_is_tested_without_a_match() {
    let mut tests = String::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"),
        &mut tests,
    );
    for (name, test) in OUTER_JOINS {
        assert!(
            tests.contains(&format!("fn {test}(")),
            "{name}: no test {test}"
        );
    }
    let named: BTreeSet<&str> = OUTER_JOINS.iter().map(|(name, _)| *name).collect();
    let statements = statements();
    let joined: BTreeSet<&str> = statements
        .iter()
        .filter(|(_, text)| {
            text.lines()
                .filter(|line| !line.trim_start().starts_with("--"))
                .any(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    words
                        .windows(2)
                        .any(|pair| matches!(pair, ["LEFT" | "RIGHT" | "FULL", "JOIN" | "OUTER"]))
                })
        })
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(joined, named);
}
