//! What the statements of the sync store promise by their text.

use crate::sql::{statement, statements};

/// Lines that are no comments.
fn lines(name: &str) -> usize {
    statement(name)
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .count()
}

#[test]
fn the_claim_and_what_is_due_are_two_statements_of_at_most_100_lines_together() {
    let names = ["lock_ready_budgets", "list_due_refs"];
    let claim: usize = names.into_iter().map(lines).sum();
    assert!(claim <= 100, "{claim} lines");
    // And nothing of them is kept elsewhere.
    for name in names {
        assert!(!statement(name).contains("git_account_states"), "{name}");
    }
    let schema = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../migrations/schema.sql"
    ));
    for hidden in ["CREATE FUNCTION", "CREATE TRIGGER"] {
        assert!(!schema.contains(hidden), "{hidden}");
    }
    assert_eq!(schema.matches("CREATE VIEW").count(), 1);
}

#[test]
fn the_statement_that_applies_outcomes_has_at_most_150_lines() {
    let text = statement("apply_outcomes");
    assert!(text.lines().count() <= 150, "{}", text.lines().count());
}

#[test]
fn the_statements_of_claims_and_reports_have_lines_of_at_most_100_columns() {
    for name in [
        "lock_ready_budgets",
        "list_due_refs",
        "list_early_refs",
        "claim_budgets",
        "settle_accounts",
        "settle_budgets",
        "apply_outcomes",
        "observe_budget",
    ] {
        for line in statement(name).lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

/// What a statement assigns: the columns to the left of `=` in `SET`, one a line.
fn assigns(text: &str, column: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("SET ").unwrap_or(line);
        line.strip_prefix(column)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

#[test]
fn no_statement_sets_a_refs_budget_or_account() {
    let mut of_refs = 0;
    for (name, text) in statements() {
        let writes_refs = text.contains("UPDATE git_ref") || text.contains("INTO git_ref");
        if !writes_refs {
            continue;
        }
        of_refs += 1;
        for column in ["budget_id", "account_id"] {
            assert!(!assigns(&text, column), "{name} sets {column}");
        }
    }
    assert!(of_refs >= 8, "{of_refs} statements write refs");
    // The check sees such a line where there is one.
    assert!(assigns(&statement("move_accounts"), "budget_id"));
}

#[tokio::test]
async fn a_ref_has_no_column_for_a_budget() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let rows = client
        .query(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_name IN ('git_refs', 'git_ref_polls')
                 AND (column_name LIKE '%budget%' OR column_name LIKE 'lease%')",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.is_empty());
}
