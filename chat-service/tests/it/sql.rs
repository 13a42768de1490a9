//! The statements of `src/store/sql`: each prepares against the schema, says its name, and is used.

use std::{collections::BTreeMap, fs, path::Path};

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
        // Markers are predicates that are TRUE until somebody's predicate stands there.
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

#[tokio::test]
async fn what_is_asked_all_the_time_scans_no_table() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        .await
        .unwrap();
    for (name, arguments) in [
        (
            "claim_budgets",
            "gen_random_uuid(), 'worker', 50, 60, 100, 20",
        ),
        (
            "hold_credential_refs",
            "gen_random_uuid(), gen_random_uuid(), 500",
        ),
        ("put_off_refs", "gen_random_uuid(), '{}', 500"),
        ("list_hinted_refs", "'{}', 200, 1000"),
        ("hint_refs", "'{}', '{}'"),
        ("lock_budgets_by_id", "'{}'"),
        ("list_pending_merges", "gen_random_uuid(), 10"),
        ("adopt_account_key", "gen_random_uuid(), 'key'"),
        ("judge_merge", "gen_random_uuid(), gen_random_uuid(), 1"),
        ("move_budget_refs", "gen_random_uuid(), gen_random_uuid()"),
        ("lock_viewed_budgets", "'{}', 15"),
        ("view_refs", "'{}', '{}', 15, 120"),
        (
            "list_watched_chats",
            "gen_random_uuid(), '{}', gen_random_uuid(), 50",
        ),
        ("list_leased_budgets", "gen_random_uuid()"),
        ("count_due_refs", "10000"),
        ("seconds_until_ready", ""),
        ("list_leased_refs", "gen_random_uuid()"),
        ("read_leased_credential", "gen_random_uuid()"),
        ("apply_outcomes", "gen_random_uuid(), '[]'"),
        ("settle_budgets", "'{}', FALSE"),
        ("list_outcome_seqs", "'{}'"),
        ("share_chat_accounts", "gen_random_uuid()"),
        ("lock_chat_budgets", "gen_random_uuid()"),
        ("refresh_refs", "gen_random_uuid(), '{}'"),
        ("make_budgets_due", "'{}', TRUE"),
        ("resume_polling_refs", "gen_random_uuid()"),
        ("stop_polling_chat", "gen_random_uuid()"),
        ("lock_budgets", "'key', gen_random_uuid(), 'github'"),
        (
            "move_refs",
            "gen_random_uuid(), 'github', gen_random_uuid(), TRUE",
        ),
        ("prune_change_events", "60, 1000"),
        ("prune_sync_requests", "1000"),
        ("list_budgets_after", "gen_random_uuid(), 1000"),
        ("delete_unused_budgets", "'{}'"),
    ] {
        let text = &statements()[name];
        client
            .batch_execute(&format!("PREPARE {name} AS {text}"))
            .await
            .unwrap();
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!("({arguments})")
        };
        let plan: Vec<String> = client
            .query(&format!("EXPLAIN EXECUTE {name}{arguments}"), &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get(0).unwrap())
            .collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{name}:\n{plan}");
    }
}
