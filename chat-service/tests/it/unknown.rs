//! Names of a later release in rows: it runs beside this one, or ran before a rollback.

use std::{collections::BTreeSet, time::Duration};

use proto::chat::v1::{
    self, ChatStatus, GetChatsRequest, ProblemClass, Subject, UpdateChatSharingRequest,
    WatchEventKind, subject,
};
use testkit::http;
use tonic::Request;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack},
    watch::{next, watch},
    worker::{Owner, Worker, found, limited, report},
};

/// Each column with names or lanes that this service reads, with its value of a later release. No
/// budget of such a lane is in a queue here.
const COLUMNS: [(&str, &str, &str); 13] = [
    ("chats", "status", "'of_a_later_release'"),
    ("chat_acl", "level", "'of_a_later_release'"),
    ("git_accounts", "credential_state", "'of_a_later_release'"),
    ("git_accounts", "lane", "9"),
    ("git_budgets", "lane", "1"),
    ("git_budgets", "pause_class", "'of_a_later_release'"),
    ("git_budgets", "pause_lane", "9"),
    ("git_budgets", "rest_class", "'of_a_later_release'"),
    ("git_budgets", "rest_lane", "9"),
    ("git_ref_polls", "lane", "9"),
    ("git_refs", "problem_class", "'of_a_later_release'"),
    ("chat_acl", "subject_kind", "'of_a_later_release'"),
    ("change_events", "kind", "'of_a_later_release'"),
];

/// The column of diffs, likewise: what it says decides a call of its own.
const DIFF_RESULT: (&str, &str) = ("git_diffs", "result");

/// Those with names that no statement returns.
const NEVER_READ: [(&str, &str); 1] = [("chats", "primary_pr_state")];

/// Drops the constraints that keep this release from writing the values of a later one.
const DROP_CHECKS: &str = "DO $$
    DECLARE k record;
    BEGIN
        FOR k IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
            WHERE contype = 'c' AND connamespace = 'public'::regnamespace
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.place, k.conname);
        END LOOP;
    END $$";

/// The columns of which a CHECK lists the names or the lanes.
async fn listed(stack: &Stack) -> BTreeSet<(String, String)> {
    let client = stack.database.client().await;
    let rows = client
        .query(
            "SELECT DISTINCT k.conrelid::regclass::text, a.attname::text
             FROM pg_constraint k
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
             WHERE k.contype = 'c' AND k.connamespace = 'public'::regnamespace
                 AND (
                     pg_get_constraintdef(k.oid) LIKE '%(' || a.attname || ' = ANY (ARRAY[%'
                     OR a.attname LIKE '%lane'
                 )",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
        .collect()
}

async fn unknown_values(stack: &Stack, column: &str) -> bool {
    let counter = format!("chat_unknown_values_total{{column=\"{column}\"}}");
    http::metric::<u64>(&stack.ops_url, &counter)
        .await
        .is_some()
}

/// A chat of `owner` with a pull request, a user to read and a group to write.
async fn shared_chat(owner: &Owner<'_>, reader: &Caller) -> v1::Chat {
    let chat = owner.chat("feat/x").await;
    Worker::of(owner.stack).answer(found()).await;
    let share = UpdateChatSharingRequest {
        chat_id: chat.id.clone(),
        add_readers: vec![Subject {
            subject: Some(subject::Subject::UserId(reader.id())),
        }],
        add_writers: vec![Subject {
            subject: Some(subject::Subject::GroupId(Uuid::now_v7().to_string())),
        }],
        ..UpdateChatSharingRequest::default()
    };
    let mut chats = owner.stack.chats(&owner.caller);
    chats.update_chat_sharing(share).await.unwrap();
    chat
}

#[tokio::test]
async fn every_column_with_names_is_looked_at_here() {
    Stack::run(async |stack| {
        let known: BTreeSet<_> = COLUMNS
            .iter()
            .map(|(table, column, _)| (*table, *column))
            .chain(NEVER_READ)
            .chain([DIFF_RESULT])
            .map(|(table, column)| (table.to_owned(), column.to_owned()))
            .collect();
        let listed = listed(stack).await;
        let left_out: Vec<_> = listed.difference(&known).collect();
        assert!(left_out.is_empty(), "{left_out:?}");
        assert!(listed.len() > 8, "{listed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_result_of_a_diff_of_a_later_release_is_counted_and_is_no_diff() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let client = stack.database.client().await;
        client.batch_execute(DROP_CHECKS).await.unwrap();
        client
            .batch_execute(
                "INSERT INTO git_diffs (ref_id, account_id, answered, wanted_until, result,
                     report_seq, generation, fetched_at, expires_at)
                 SELECT id, account_id, 1, now() + interval '1 minute', 'of_a_later_release',
                     1, 1, now(), now() + interval '1 minute'
                 FROM git_refs",
            )
            .await
            .unwrap();
        let mut request = Request::new(v1::GetChatDiffRequest { chat_id: chat.id });
        request.set_timeout(Duration::from_secs(2));
        let read = async {
            let diff = stack.chats(&owner.caller).get_chat_diff(request).await?;
            diff.into_inner().message().await
        };
        read.await.unwrap_err();
        assert!(unknown_values(stack, "result").await);
    })
    .await;
}

#[tokio::test]
async fn a_name_of_a_later_release_is_shown_as_unspecified_counted_and_stops_nothing() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let reader = Caller::user();
        let chat = shared_chat(&owner, &reader).await;
        // A second ref is due, and its budget is limited.
        let waiting = owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut request = report(&lease.0.lease_token, Vec::new());
        request.budget = Some(limited());
        worker.report(request).await.unwrap();

        let mut stream = watch(stack, &owner.caller).await;
        let stranger = Caller::user();
        let mut strangers = watch(stack, &stranger).await;
        let client = stack.database.client().await;
        client.batch_execute(DROP_CHECKS).await.unwrap();
        client
            .batch_execute(
                "UPDATE git_budgets
                 SET rests_until = paused_until, rest_class = pause_class, rest_lane = pause_lane;
                 UPDATE git_refs SET problem_class = 'internal', problem_since = now()",
            )
            .await
            .unwrap();
        for (table, column, value) in COLUMNS {
            let place = match (table, column) {
                // Events that were placed were read.
                ("change_events", _) => continue,
                ("chat_acl", "level") => "WHERE subject_kind = 'user'",
                ("chat_acl", _) => "WHERE subject_kind = 'group'",
                _ => "",
            };
            let sql = format!("UPDATE {table} SET {column} = {value} {place}");
            assert!(client.execute(&sql, &[]).await.unwrap() > 0, "{sql}");
        }
        client
            .batch_execute(&format!(
                "INSERT INTO change_events (chat_id, kind, former)
                 SELECT c.id, 'of_a_later_release', to_jsonb(c) || jsonb_build_object('shares',
                     '[{{\"kind\": \"of_a_later_release\", \"id\": \"{id}\", \"level\": \"reader\"}}]'::jsonb)
                 FROM chats c
                 WHERE c.id = '{id}'",
                id = chat.id
            ))
            .await
            .unwrap();

        // The event is heard, and so are the events after it.
        let heard = next(&mut stream).await;
        assert_eq!(heard.kind(), WatchEventKind::Unspecified);
        assert_eq!(heard.chat.unwrap().id, chat.id);
        let other = stack.chat(&stranger).await;
        assert_eq!(next(&mut strangers).await.chat.unwrap().id, other.id);

        let mut service = stack.chats(&owner.caller);
        let page = service.get_chats(GetChatsRequest::default()).await;
        let chats = page.unwrap().into_inner().chats;
        let of = |id: &str| chats.iter().find(|chat| chat.id == id).unwrap();
        let shown = owner.get(&chat.id).await;
        assert_eq!(
            (shown.status(), shown.icon.as_str()),
            (ChatStatus::Unspecified, "")
        );
        assert_eq!(shown.readers.len(), 1, "a level of a later release reads");
        assert!(
            shown.writers.is_empty(),
            "a group of a later release is not shown"
        );
        for id in [&chat.id, &waiting.id] {
            let status = of(id).diff_status.as_ref().unwrap();
            assert_eq!(
                status.problem.as_ref().unwrap().class(),
                ProblemClass::Unspecified
            );
        }
        let accounts = v1::ListGitAccountsRequest::default();
        let accounts = stack
            .accounts(&owner.caller)
            .list_git_accounts(accounts)
            .await;
        assert_eq!(accounts.unwrap().into_inner().accounts.len(), 1);
        let admin = Caller::user().site("admin");
        let mut operator = stack.admin(&admin);
        let state = operator.get_sync_state(v1::GetSyncStateRequest {});
        state.await.unwrap();
        worker.lease().await;

        for column in [
            "status",
            "level",
            "subject_kind",
            "former",
            "kind",
            "problem_class",
            "pause_class",
            "pause_lane",
        ] {
            assert!(unknown_values(stack, column).await, "{column}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_pull_request_that_cannot_be_read_is_a_problem_of_ours_and_not_none() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        Worker::of(stack).answer(found()).await;
        let client = stack.database.client().await;
        client.batch_execute(DROP_CHECKS).await.unwrap();
        let later = "UPDATE git_refs
            SET pull_request = jsonb_set(pull_request, '{state}', '\"of_a_later_release\"')";
        assert_eq!(client.execute(later, &[]).await.unwrap(), 1);
        let status = owner.status(&chat.id).await;
        assert_eq!(status.pr_number, None);
        assert_eq!(status.problem.unwrap().class(), ProblemClass::Internal);
        assert!(unknown_values(stack, "pull_request").await);
    })
    .await;
}

#[tokio::test]
async fn a_changed_chat_that_cannot_be_read_holds_up_no_event_of_another() {
    Stack::run(async |stack| {
        let (owner, stranger) = (Caller::user(), Caller::user());
        let chat = stack.chat(&owner).await;
        let mut strangers = watch(stack, &stranger).await;
        let client = stack.database.client().await;
        client
            .batch_execute(&format!(
                "UPDATE chats SET labels = '{{\"number\": 1}}' WHERE id = '{id}';
                 INSERT INTO change_events (chat_id, kind) VALUES ('{id}', 'updated')",
                id = chat.id
            ))
            .await
            .unwrap();
        let other = stack.chat(&stranger).await;
        assert_eq!(next(&mut strangers).await.chat.unwrap().id, other.id);
    })
    .await;
}
