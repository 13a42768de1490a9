//! Migrations are applied while the services work.

use e2e::load::{Judged, Setting, under_load};
use migrations::{ALL, Migration, apply_list};
use testkit::postgres;
use tokio::time::sleep;

use super::OUTAGE;

/// What a later version may do to tables that are in use.
const NEW: [Migration; 3] = [
    Migration {
        name: "9001_columns",
        sql: "ALTER TABLE chats ADD COLUMN later text;
              ALTER TABLE git_refs ADD COLUMN later text;
              ALTER TABLE git_ref_polls ADD COLUMN later boolean NOT NULL DEFAULT FALSE;
              ALTER TABLE git_accounts ADD COLUMN later text;
              ALTER TABLE git_budgets ADD COLUMN later text;
              ALTER TABLE change_events ADD COLUMN later text;",
    },
    Migration {
        name: "9002_constraint",
        sql: "ALTER TABLE chats ADD CONSTRAINT chats_later_check
                  CHECK (later IS NULL OR later <> '') NOT VALID;
              ALTER TABLE chats VALIDATE CONSTRAINT chats_later_check;",
    },
    Migration {
        name: "9003_index",
        sql: "-- no-transaction
CREATE INDEX CONCURRENTLY chats_later_idx ON chats (later)",
    },
];

/// A dump holds locks for long, and the first migration has to wait for it without keeping callers
/// waiting behind itself.
#[tokio::test]
async fn migrations_under_load_fail_no_call_although_a_dump_is_in_their_way() {
    let database = postgres::database().await;
    let (name, setting) = ("migrations under load", Setting::default());
    under_load(name, database, setting, Judged::UNNOTICED, async |scene| {
        let dump = scene.stack.database.client().await;
        dump.batch_execute("BEGIN; LOCK TABLE chats IN ACCESS SHARE MODE")
            .await
            .unwrap();
        let mut runner = scene.stack.database.client().await;
        let list = [ALL, &NEW[..]].concat();
        let dumped = async {
            sleep(OUTAGE).await;
            dump.batch_execute("COMMIT").await.unwrap();
        };
        let (applied, ()) = tokio::join!(apply_list(&mut runner, &list), dumped);
        assert_eq!(applied.unwrap().names.len(), NEW.len());
        scene.load.steady().await;
    })
    .await;
}
