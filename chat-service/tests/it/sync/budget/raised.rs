//! Pauses go along when a spender gets another budget: by a new token, or when its account is
//! learned.

use serde_json::{Value, json};
use testkit::postgres::Client;
use uuid::Uuid;

use crate::sql::statement;

/// A budget with these columns set.
async fn budget(client: &Client, columns: &str) -> Uuid {
    let id = Uuid::now_v7();
    client
        .batch_execute(&format!(
            "INSERT INTO git_budgets (id, budget_key, provider_id) VALUES ('{id}', '{id}', 'github')"
        ))
        .await
        .unwrap();
    if !columns.is_empty() {
        client
            .batch_execute(&format!(
                "UPDATE git_budgets SET {columns} WHERE id = '{id}'"
            ))
            .await
            .unwrap();
    }
    id
}

async fn raise(client: &Client, from: Uuid, to: Uuid) {
    let raised = client
        .execute(&statement("raise_pauses"), &[&from, &to])
        .await
        .unwrap();
    assert_eq!(raised, 1);
}

/// What pauses the budget, in hours from now.
async fn paused(client: &Client, id: Uuid) -> Value {
    let row = client
        .query_one(
            "SELECT jsonb_build_object(
                'budget', jsonb_build_array(
                    round(extract(epoch FROM b.paused_until - now()) / 3600), b.pause_class,
                    b.pause_lane
                ),
                'cautious', round(extract(epoch FROM b.cautious_until - now()) / 3600),
                'windows', (
                    SELECT jsonb_object_agg(w ->> 'name', round(extract(epoch FROM
                        (w ->> 'paused_until')::timestamptz - now()) / 3600))
                    FROM jsonb_array_elements(b.windows) AS w
                )
             )
             FROM git_budgets b WHERE b.id = $1",
            &[&id],
        )
        .await
        .unwrap();
    row.try_get(0).unwrap()
}

fn pause(hours: i32, class: &str, lane: i32) -> String {
    format!(
        "paused_until = now() + interval '{hours} h', pause_class = '{class}', pause_lane = {lane}"
    )
}

fn windows(paused: &[(&str, i32)]) -> String {
    let windows: Vec<String> = paused
        .iter()
        .map(|(name, hours)| {
            format!(
                "jsonb_build_object('name', '{name}', 'limit', 5000, 'remaining', 17,
                    'paused_until', now() + interval '{hours} h')"
            )
        })
        .collect();
    format!("windows = jsonb_build_array({})", windows.join(", "))
}

#[tokio::test]
async fn a_budget_that_takes_over_is_paused_as_the_former_one_was() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let former = format!(
        "{}, {}, cautious_until = now() + interval '3 h'",
        pause(2, "secondary_limited", 2),
        windows(&[("core", 4), ("graphql", -1)])
    );
    let former = budget(&client, &former).await;
    let next = budget(&client, "").await;
    raise(&client, former, next).await;
    assert_eq!(
        paused(&client, next).await,
        json!({
            "budget": [2, "secondary_limited", 2],
            "cautious": 3,
            "windows": {"core": 4},
        })
    );
    // What is left of a window is another token's, or comes with the next answer.
    let left: Option<String> = client
        .query_one(
            "SELECT windows -> 0 ->> 'remaining' FROM git_budgets WHERE id = $1",
            &[&next],
        )
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    assert_eq!(left, None);
}

#[tokio::test]
async fn a_pause_that_is_raised_shortens_none_and_is_for_all_lanes_of_both() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let long = format!(
        "{}, {}, cautious_until = now() + interval '9 h'",
        pause(8, "rate_limited", 3),
        windows(&[("core", 7), ("graphql", 1)])
    );
    for (from, expected) in [
        (
            pause(2, "secondary_limited", 4),
            json!([8, "rate_limited", 3]),
        ),
        (
            pause(2, "secondary_limited", 1),
            json!([8, "rate_limited", 1]),
        ),
        (
            pause(9, "secondary_limited", 4),
            json!([9, "secondary_limited", 3]),
        ),
        // One that is over says nothing, nor does a budget without one.
        (
            pause(-1, "secondary_limited", 1),
            json!([8, "rate_limited", 3]),
        ),
        ("demand = 1".to_owned(), json!([8, "rate_limited", 3])),
    ] {
        let from = format!("{from}, {}", windows(&[("core", 2), ("graphql", 5)]));
        let former = budget(&client, &from).await;
        let next = budget(&client, &long).await;
        raise(&client, former, next).await;
        assert_eq!(
            paused(&client, next).await,
            json!({
                "budget": expected,
                "cautious": 9,
                "windows": {"core": 7, "graphql": 5},
            }),
            "{from}"
        );
    }
}
