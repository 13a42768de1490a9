//! The relay: its lease and epochs, and the resync of watchers when positions go back.

use proto::chat::v1::WatchEventKind;
use testkit::{http, postgres::Client, wait};
use tokio_postgres::GenericClient;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

use crate::{
    lock::{Holder, until_blocked_in},
    prune::{number, take_over, until_none},
    sql::statement,
    stack::{Caller, Stack},
    watch::{hears_of_the_next_chat, next, resume, watch},
    worker::run,
};

async fn until_one(stack: &Stack, what: &str, sql: &str) {
    wait::until(what, || async {
        let found = number(stack, sql, &[]).await;
        if found == 1 { Ok(()) } else { Err(found) }
    })
    .await;
}

/// Checks that `sql`, which changes positions or their epoch, generation or server, resyncs a live
/// watcher and one that resumes, and that both hear of later changes.
async fn is_a_resync(sql: &str) {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut live = watch(stack, &owner).await;
        let mut seen = None;
        for _ in 0..3 {
            seen = Some(hears_of_the_next_chat(stack, &owner, &mut live).await);
        }
        run(stack, sql).await;
        let resync = next(&mut live).await;
        assert_eq!(resync.kind(), WatchEventKind::Resync);
        let mut late = resume(stack, &owner, &seen.unwrap().revision).await;
        assert_eq!(next(&mut late).await.kind(), WatchEventKind::Resync);
        let mut current = resume(stack, &owner, &resync.revision).await;
        let chat = stack.chat(&owner).await;
        for stream in [&mut live, &mut late, &mut current] {
            let heard = next(stream).await;
            assert_eq!(
                (heard.kind(), heard.chat.map(|chat| chat.id)),
                (WatchEventKind::Created, Some(chat.id.clone()))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn positions_that_go_back_are_a_resync_and_later_events_are_heard() {
    is_a_resync(
        "BEGIN;
         UPDATE change_relay SET position = position - 2;
         DELETE FROM change_events WHERE position > (SELECT r.position FROM change_relay r);
         COMMIT",
    )
    .await;
}

#[tokio::test]
async fn another_server_or_timeline_than_before_is_a_resync() {
    is_a_resync("UPDATE change_relay SET server = '1/00000001'").await;
}

#[tokio::test]
async fn events_that_were_forgotten_before_they_were_read_are_a_resync() {
    is_a_resync(
        "UPDATE change_relay SET position = position + 5, forgotten_position = position + 5",
    )
    .await;
}

#[tokio::test]
async fn three_hand_overs_and_hours_of_silence_are_no_resync() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut live = watch(stack, &owner).await;
        let seen = hears_of_the_next_chat(stack, &owner, &mut live).await;
        let current = "SELECT count(*) FROM change_relay
            WHERE holder IS NOT NULL AND expires_at > clock_timestamp()";
        for _ in 0..3 {
            take_over(stack).await;
            until_one(stack, "there is a relay again", current).await;
        }
        run(
            stack,
            "UPDATE change_events SET recorded_at = recorded_at - interval '2 h'",
        )
        .await;
        take_over(stack).await;
        until_none(stack, "SELECT count(*) FROM change_events").await;
        let mut late = resume(stack, &owner, &seen.revision).await;
        let heard = hears_of_the_next_chat(stack, &owner, &mut live).await;
        assert_eq!(next(&mut late).await, heard);
    })
    .await;
}

#[tokio::test]
async fn a_revision_of_other_memberships_is_a_resync() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut live = watch(stack, &owner).await;
        let seen = hears_of_the_next_chat(stack, &owner, &mut live).await;
        let joined = owner.clone().group(Uuid::now_v7());
        let mut stream = resume(stack, &joined, &seen.revision).await;
        assert_eq!(next(&mut stream).await.kind(), WatchEventKind::Resync);
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_drains_gives_up_at_once() {
    Stack::run(async |stack| {
        let mut stream = watch(stack, &Caller::user()).await;
        let free = "SELECT count(*) FROM change_relay
            WHERE holder IS NOT NULL AND expires_at <= clock_timestamp()";
        let held = "SELECT count(*) FROM change_relay
            WHERE holder IS NOT NULL AND expires_at > clock_timestamp() + interval '5 s'";
        until_one(stack, "there is a relay", held).await;
        stack.stop.cancel();
        assert!(stream.message().await.is_err());
        until_one(stack, "it released the relay", free).await;
    })
    .await;
}

/// Places events in the epoch 1: returns how many, or `None` when another epoch is the relay's.
async fn place(client: &impl GenericClient, limit: i64) -> Option<i64> {
    let row = client
        .query_opt(
            &statement("place_change_events"),
            &[&1_i64, &10_f64, &None::<String>, &"chat_placed", &limit],
        )
        .await
        .unwrap();
    row.map(|row| row.try_get("placed").unwrap())
}

/// Three events that have no position, and a relay of the epoch 1.
async fn unplaced() -> testkit::postgres::Database {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute(
            "UPDATE change_relay SET epoch = 1, expires_at = clock_timestamp() + interval '1 min';
             INSERT INTO change_events (chat_id, kind)
             SELECT gen_random_uuid(), 'created' FROM generate_series(1, 3)",
        )
        .await
        .unwrap();
    database
}

async fn positions(client: &Client) -> Vec<Option<i64>> {
    let rows = client
        .query("SELECT position FROM change_events ORDER BY id", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.try_get(0).unwrap()).collect()
}

/// Promise 11, for a relay whose statement was on its way while another took over.
#[tokio::test]
async fn a_placement_that_was_under_way_when_another_took_over_places_nothing() {
    for sql in [
        "UPDATE change_relay SET epoch = 2, expires_at = clock_timestamp() + interval '10 s'",
        "UPDATE change_relay SET expires_at = clock_timestamp()",
    ] {
        let database = unplaced().await;
        let (client, late) = tokio::join!(database.client(), database.client());
        let holder = Holder::begin(database.client().await, sql).await;
        let taken_over = async {
            until_blocked_in(&client, 1).await;
            holder.let_go().await;
        };
        let (placed, ()) = tokio::join!(place(&*late, 10), taken_over);
        assert_eq!(placed, None, "{sql}");
        assert_eq!(place(&*late, 10).await, None, "{sql}");
        assert_eq!(positions(&client).await, [None; 3], "{sql}");
    }
}

#[tokio::test]
async fn placements_that_overlap_give_each_event_one_position() {
    let database = unplaced().await;
    let (client, second) = tokio::join!(database.client(), database.client());
    let mut first = database.client().await;
    let transaction = first.transaction().await.unwrap();
    assert_eq!(place(&transaction, 2).await, Some(2));
    let committed = async {
        until_blocked_in(&client, 1).await;
        transaction.commit().await.unwrap();
    };
    let (placed, ()) = tokio::join!(place(&*second, 10), committed);
    assert_eq!(placed, Some(1));
    let positions = positions(&client).await;
    let last = positions[2].unwrap();
    assert_eq!(positions[..2], [Some(1), Some(2)]);
    assert!(last > 2, "{last}");
    let row = client.query_one("SELECT position FROM change_relay", &[]);
    let given: i64 = row.await.unwrap().try_get(0).unwrap();
    assert_eq!(given, last);
}

/// Many managed servers let an ordinary role ask which server it is; some may not.
#[tokio::test]
async fn a_role_that_may_not_ask_which_server_it_is_relays_all_the_same() {
    let database = testkit::postgres::database().await;
    let role = format!("r_{}", Uuid::now_v7().simple());
    let client = database.client().await;
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'r';
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
             REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
        ))
        .await
        .unwrap();
    let (_, place) = database.url().split_once('@').unwrap();
    let url = format!("postgres://{role}:r@{place}");
    Stack::run_on(
        database,
        |settings, _| settings.database.database_url = Some(url.into()),
        async |stack| {
            let owner = Caller::user();
            let mut stream = watch(stack, &owner).await;
            hears_of_the_next_chat(stack, &owner, &mut stream).await;
            let known_servers = "SELECT count(*) FROM change_relay WHERE server IS NOT NULL";
            assert_eq!(number(stack, known_servers, &[]).await, 0);
            let dropped = format!("REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}");
            run(stack, &dropped).await;
        },
    )
    .await;
}

pub(crate) async fn health(stack: &Stack, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut client = HealthClient::new(stack.public.clone());
    client.check(request).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn events_without_a_relay_show_in_the_gauge_and_the_health_of_watches_and_not_in_readiness() {
    const WATCHES: &str = "chat.v1.ChatService/WatchChats";
    const AGE: &str = "chat_oldest_unplaced_event_seconds";
    Stack::run(async |stack| {
        let until_health = async |wanted: ServingStatus| {
            wait::until("the health of watches", || async {
                let found = health(stack, WATCHES).await;
                if found == wanted { Ok(()) } else { Err(found) }
            })
            .await;
        };
        until_health(ServingStatus::Serving).await;
        wait::until("this process is the relay", || async {
            let relay: u64 = stack.metric("chat_relay").await;
            if relay == 1 { Ok(()) } else { Err(relay) }
        })
        .await;
        // As when the relay is lost, a minute ago.
        let holder = Holder::of(stack, "SELECT FROM change_relay FOR UPDATE").await;
        run(
            stack,
            "INSERT INTO change_events (chat_id, kind, recorded_at)
             VALUES (gen_random_uuid(), 'updated', now() - interval '1 min')",
        )
        .await;
        until_health(ServingStatus::NotServing).await;
        let age: f64 = stack.metric(AGE).await;
        assert!((60.0..120.0).contains(&age), "{age}");
        for service in ["", "chat.v1.ChatService"] {
            assert_eq!(health(stack, service).await, ServingStatus::Serving);
        }
        let ready = http::get(&stack.ops_url, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        holder.let_go().await;
        until_health(ServingStatus::Serving).await;
        assert!(stack.metric::<f64>(AGE).await < 1.0);
    })
    .await;
}

/// PostgreSQL plans the statement when the table is small and knows of no unplaced events, and
/// keeps the plan until it next analyzes the table.
#[tokio::test]
async fn events_that_come_all_at_once_are_placed_by_a_plan_for_few() {
    Stack::run(async |stack| {
        let unplaced = "SELECT count(*) FROM change_events WHERE position IS NULL";
        let insert = |count: usize| {
            format!(
                "INSERT INTO change_events (chat_id, kind)
                 SELECT gen_random_uuid(), 'updated' FROM generate_series(1, {count})"
            )
        };
        run(
            stack,
            "ALTER TABLE change_events SET (autovacuum_enabled = off)",
        )
        .await;
        run(stack, &insert(300)).await;
        until_none(stack, unplaced).await;
        run(stack, "ANALYZE change_events").await;
        let owner = Caller::user();
        let mut live = watch(stack, &owner).await;
        hears_of_the_next_chat(stack, &owner, &mut live).await;
        run(stack, &insert(30_000)).await;
        until_none(stack, unplaced).await;
    })
    .await;
}
