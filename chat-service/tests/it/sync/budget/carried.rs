//! What is known of a budget goes along when its spender gets another: no column is forgotten.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use testkit::postgres::Client;
use uuid::Uuid;

use crate::sql::statements;

/// Columns that say which budget it is, or are computed from the others.
const OWN: [&str; 4] = ["id", "budget_key", "provider_id", "ready_at"];
/// A lease is of one budget; neither statement runs while a lease of the former must hold.
const LEASE: [&str; 5] = [
    "lease_token",
    "lease_expires_at",
    "lease_worker",
    "lease_request_id",
    "leased_at",
];
/// Settled, or asked for anew, from the refs that it then has. A turn is of one place in the queue.
const OF_REFS: [&str; 6] = [
    "next_due_at",
    "lane",
    "turn_left",
    "demand",
    "demand_at",
    "merge_after",
];

/// A statement that takes over what is known, and what it leaves.
struct Takeover {
    name: &'static str,
    left: Vec<&'static str>,
}

fn takeovers() -> [Takeover; 2] {
    let common = [&OWN[..], &LEASE, &OF_REFS].concat();
    let mut of_link = common.clone();
    // Another token may be another account's, and the refs move with who waits for them.
    of_link.extend(["account_id", "interactive_since"]);
    [
        Takeover {
            name: "carry_over_budget",
            left: of_link,
        },
        Takeover {
            name: "merge_budget",
            left: common,
        },
    ]
}

async fn run(client: &Client, name: &str, former: Uuid, next: Uuid) {
    let text = &statements()[name];
    let done = if name == "carry_over_budget" {
        let user = Uuid::now_v7();
        client.execute(text, &[&former, &user, &next]).await
    } else {
        client.execute(text, &[&next, &former]).await
    };
    assert_eq!(done.unwrap(), 1, "{name}");
}

/// The columns with their types.
async fn columns(client: &Client) -> BTreeMap<String, String> {
    let rows = client
        .query(
            "SELECT column_name::text, data_type::text FROM information_schema.columns
             WHERE table_name = 'git_budgets'",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
        .collect()
}

/// A value that no budget has by default, and that grows with `size`.
fn made_up(data_type: &str, size: u8) -> String {
    match data_type {
        "bigint" | "integer" | "smallint" => format!("{size}"),
        "double precision" => format!("{size}.5"),
        "text" => format!("'text {size}'"),
        "timestamp with time zone" => format!("now() + interval '{size} h'"),
        other => panic!("a column of another type: {other}"),
    }
}

/// A budget, with all columns but those that are left made up if there is a `size`.
async fn budget(client: &Client, takeover: &Takeover, size: Option<u8>) -> Uuid {
    let id = Uuid::now_v7();
    client
        .batch_execute(&format!(
            "INSERT INTO git_budgets (id, budget_key, provider_id)
             VALUES ('{id}', '{id}', 'github')"
        ))
        .await
        .unwrap();
    if let Some(size) = size {
        let values: Vec<String> = columns(client)
            .await
            .iter()
            .filter(|(column, _)| !takeover.left.contains(&column.as_str()))
            .map(|(column, data_type)| format!("{column} = {}", made_up(data_type, size)))
            .collect();
        let values = values.join(", ");
        client
            .batch_execute(&format!(
                "UPDATE git_budgets SET {values} WHERE id = '{id}'"
            ))
            .await
            .unwrap();
    }
    id
}

async fn row(client: &Client, id: Uuid) -> Map<String, Value> {
    let row = client
        .query_one(
            "SELECT to_jsonb(b) FROM git_budgets b WHERE b.id = $1",
            &[&id],
        )
        .await
        .unwrap();
    let row: Value = row.try_get(0).unwrap();
    row.as_object().unwrap().clone()
}

#[tokio::test]
async fn every_column_of_a_budget_is_carried_over_or_is_said_to_be_left() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    for takeover in takeovers() {
        let name = takeover.name;
        let former = budget(&client, &takeover, Some(2)).await;
        let next = budget(&client, &takeover, None).await;
        let before = row(&client, next).await;
        run(&client, name, former, next).await;
        let (former, next) = (row(&client, former).await, row(&client, next).await);
        for column in &takeover.left {
            assert!(next.contains_key(*column), "{name}: there is no {column}");
        }
        for (column, value) in &former {
            if takeover.left.contains(&column.as_str()) {
                continue;
            }
            assert_ne!(*value, before[column], "{column} is not made up");
            assert_eq!(next[column], *value, "{name} forgets {column}");
        }
    }
}

#[tokio::test]
async fn what_is_carried_over_shortens_no_pause_and_replaces_nothing_that_is_newer() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    for takeover in takeovers() {
        let name = takeover.name;
        let former = budget(&client, &takeover, Some(2)).await;
        let next = budget(&client, &takeover, Some(4)).await;
        let before = row(&client, next).await;
        run(&client, name, former, next).await;
        let (former, after) = (row(&client, former).await, row(&client, next).await);
        for (column, value) in &before {
            let expected = match column.as_str() {
                // Who has waited for longest.
                "interactive_since" => &former[column],
                // Asked for anew.
                "demand_at" => continue,
                _ => value,
            };
            assert_eq!(after[column], *expected, "{name}: {column}");
        }
    }
}

#[tokio::test]
async fn a_key_is_paused_whose_interfaces_were_paused_under_two_keys() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    for name in ["carry_over_budget", "merge_budget"] {
        let [former, next] = [(); 2].map(|()| Uuid::now_v7());
        client
            .batch_execute(&format!(
                "INSERT INTO git_budgets (
                    id, budget_key, provider_id, rest_paused_until, graphql_paused_until
                 ) VALUES
                    ('{former}', '{former}', 'github', now() + interval '2 h', NULL),
                    ('{next}', '{next}', 'github', NULL, now() + interval '1 h')"
            ))
            .await
            .unwrap();
        run(&client, name, former, next).await;
        let merged = row(&client, next).await;
        assert!(merged["paused_until"].is_string(), "{name}");
        assert_eq!(
            merged["paused_until"], merged["graphql_paused_until"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn pauses_that_keys_of_one_account_share_are_the_longest_and_nobody_elses() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO git_budgets (
                id, budget_key, provider_id, account_id, paused_until, rest_paused_until,
                graphql_paused_until, cautious_until
             )
             SELECT gen_random_uuid(), key, provider, account, now() + a, now() + b, now() + c, now() + d
             FROM (VALUES
                ('1', 'github', 'same', NULL::interval, '2h'::interval, NULL::interval, '1h'::interval),
                ('2', 'github', 'same', '1h', '1h', '3h', NULL),
                ('3', 'github', 'same', NULL, NULL, NULL, NULL),
                ('4', 'github', 'other', '9h', '9h', '9h', '9h'),
                ('5', 'other', 'same', '9h', '9h', '9h', '9h'),
                ('6', 'github', NULL, NULL, NULL, NULL, NULL)
             ) AS b (key, provider, account, a, b, c, d)",
        )
        .await
        .unwrap();
    let share = &statements()["share_pauses"];
    for (key, written) in [("3", 3), ("1", 0), ("4", 0), ("6", 0)] {
        let id: Uuid = client
            .query_one("SELECT id FROM git_budgets WHERE budget_key = $1", &[&key])
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        assert_eq!(
            client.execute(share, &[&id]).await.unwrap(),
            written,
            "{key}"
        );
    }
    let rows = client
        .query(
            "SELECT concat_ws(' ', budget_key, paused, rest, graphql, cautious)
             FROM git_budgets b
             CROSS JOIN LATERAL (
                SELECT
                    round(extract(epoch FROM b.paused_until - now()) / 3600, 1) AS paused,
                    round(extract(epoch FROM b.rest_paused_until - now()) / 3600) AS rest,
                    round(extract(epoch FROM b.graphql_paused_until - now()) / 3600) AS graphql,
                    round(extract(epoch FROM b.cautious_until - now()) / 3600) AS cautious
             ) AS hours
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let hours: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
    assert_eq!(
        hours,
        [
            // Until the first interface may be used, which is longer than what either was told.
            "1 2.0 2 3 1",
            "2 2.0 2 3 1",
            "3 2.0 2 3 1",
            "4 9.0 9 9 9",
            "5 9.0 9 9 9",
            "6"
        ]
    );
}
