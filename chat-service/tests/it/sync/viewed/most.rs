//! Who watches much views little of it.

use proto::chat::v1;
use uuid::Uuid;

use super::until_all_noted;
use crate::{
    stack::{Caller, Stack},
    worker::value,
};

/// Chats of an owner, with a ref each, that were updated two minutes after one another, the last
/// one `2 - minutes` ago.
async fn chats_of(stack: &Stack, owner: Uuid, chats: i32, minutes: i32) {
    stack
        .database
        .client()
        .await
        .batch_execute(&format!(
            "WITH account AS (
                INSERT INTO git_accounts (id, user_id, provider_id)
                VALUES (gen_random_uuid(), '{owner}', 'github')
                RETURNING id
             ), chat AS (
                INSERT INTO chats (id, owner_id, title, status, updated_at)
                SELECT gen_random_uuid(), '{owner}', 'chat ' || n, 'waiting',
                    now() - make_interval(mins => 2 * n - {minutes})
                FROM generate_series(1, {chats}) AS n
                RETURNING id
             ), made AS (
                INSERT INTO git_refs (
                    id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch,
                    is_primary
                )
                SELECT gen_random_uuid(), c.id, a.id, 'github', 'https://github.com/acme/web',
                    'acme/web', 'feat/x', TRUE
                FROM chat c, account a
                RETURNING id, account_id
             )
             INSERT INTO git_ref_polls (ref_id, account_id)
             SELECT m.id, m.account_id FROM made m"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn of_all_watched_chats_the_fifty_updated_last_are_viewed() {
    Stack::run(async |stack| {
        let watcher = Caller::user();
        let team = Uuid::now_v7();
        let id: Uuid = watcher.id().parse().unwrap();
        let (friend, colleague) = (Uuid::now_v7(), Uuid::now_v7());
        // Own chats, and in between, by turns, those shared with the watcher and with their group.
        chats_of(stack, id, 60, 0).await;
        chats_of(stack, friend, 30, 1).await;
        chats_of(stack, colleague, 30, 1).await;
        stack
            .database
            .client()
            .await
            .batch_execute(&format!(
                "INSERT INTO chat_acl (
                    chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at,
                    chat_archived, chat_status, chat_pr, chat_attention
                 )
                 SELECT id, 'user', '{id}'::uuid, 'reader', owner_id, updated_at, archived, list_status, list_pr,
                    primary_attention
                 FROM chats
                 WHERE owner_id = '{friend}'
                 UNION ALL
                 SELECT id, 'group', '{team}', 'reader', owner_id, updated_at, archived, list_status, list_pr,
                    primary_attention
                 FROM chats
                 WHERE owner_id = '{colleague}'"
            ))
            .await
            .unwrap();
        let stream = stack
            .chats(&watcher.group(team))
            .watch_chats(v1::WatchChatsRequest::default())
            .await
            .unwrap()
            .into_inner();
        testkit::wait::until("what is watched is noted", || async {
            let viewed: i64 = value(
                stack,
                "SELECT count(*) FROM git_ref_polls WHERE viewed_until > now()",
            )
            .await;
            if viewed > 0 { Ok(()) } else { Err(()) }
        })
        .await;
        until_all_noted(stack).await;
        let right: bool = value(
            stack,
            &format!(
                "SELECT count(*) = 50 AND count(DISTINCT owner_id) = 3 AND bool_and(id IN (
                    SELECT id FROM chats
                    WHERE owner_id IN ('{id}', '{friend}', '{colleague}')
                    ORDER BY updated_at DESC, id DESC LIMIT 50
                 ))
                 FROM chats c
                 WHERE owner_id IN ('{id}', '{friend}', '{colleague}')
                    AND EXISTS (
                        SELECT FROM git_refs r JOIN git_ref_polls p ON p.ref_id = r.id
                        WHERE r.chat_id = c.id AND p.viewed_until > now()
                    )"
            ),
        )
        .await;
        assert!(right);
        drop(stream);
    })
    .await;
}

#[tokio::test]
async fn of_one_owners_watched_chats_only_the_watchers_are_viewed() {
    Stack::run(async |stack| {
        let watcher = Caller::user();
        let team = Uuid::now_v7();
        let id: Uuid = watcher.id().parse().unwrap();
        let (friend, colleague) = (Uuid::now_v7(), Uuid::now_v7());
        for owner in [id, friend, colleague] {
            chats_of(stack, owner, 4, 0).await;
        }
        // Of the friend's, one is shared with them, one with their group, one with both, and one
        // with none.
        stack
            .database
            .client()
            .await
            .batch_execute(&format!(
                "INSERT INTO chat_acl (
                    chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at,
                    chat_archived, chat_status, chat_pr, chat_attention
                 )
             SELECT id, 'user', '{id}'::uuid, 'reader', owner_id, updated_at, archived, list_status, list_pr,
                    primary_attention
                 FROM chats
             WHERE (owner_id = '{friend}' AND title IN ('chat 1', 'chat 2')) OR owner_id = '{colleague}'
             UNION ALL
             SELECT id, 'group', '{team}', 'reader', owner_id, updated_at, archived, list_status, list_pr,
                    primary_attention
                 FROM chats
             WHERE (owner_id = '{friend}' AND title IN ('chat 2', 'chat 3')) OR owner_id = '{colleague}'"
            ))
            .await
            .unwrap();
        let watcher = watcher.group(team);
        for (owner, viewed) in [(friend, 3), (id, 4)] {
            let stream = stack
                .chats(&watcher)
                .watch_chats(v1::WatchChatsRequest {
                    owner_id: Some(owner.to_string()),
                    ..v1::WatchChatsRequest::default()
                })
                .await
                .unwrap()
                .into_inner();
            testkit::wait::until("what is watched is noted", || async {
                let found: i64 = value(
                    stack,
                    &format!(
                        "SELECT count(*)
                         FROM git_ref_polls p JOIN git_accounts a ON a.id = p.account_id
                         WHERE p.viewed_until > now() AND a.user_id = '{owner}'"
                    ),
                )
                .await;
                if found == viewed { Ok(()) } else { Err(found) }
            })
            .await;
            drop(stream);
        }
        until_all_noted(stack).await;
        let all: i64 = value(
            stack,
            &format!(
                "SELECT count(*)
                 FROM git_ref_polls p JOIN git_accounts a ON a.id = p.account_id
                 WHERE p.viewed_until > now() AND a.user_id IN ('{id}', '{friend}', '{colleague}')"
            ),
        )
        .await;
        assert_eq!(all, 7);
    })
    .await;
}
