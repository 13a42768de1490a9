//! The largest messages: the page that the bounds of all fields allow arrives, whole, at clients
//! that know its limit, and a report of as many outcomes as one can have is read.

use std::{collections::BTreeMap, time::Duration};

use chat_service::{
    chat::{MAX_LABEL_KEY_CHARS, MAX_LABEL_VALUE_CHARS, MAX_LABELS, MAX_SUBJECTS, MAX_TITLE_CHARS},
    chat_filter::MAX_PAGE_SIZE,
    config::Settings,
    diff_status::MAX_GIT_REFS,
};
use prost::Message as _;
use proto::{
    bounds::{
        MAX_AVATAR_URL_BYTES, MAX_CHANGE_REQUESTS, MAX_CHAT_BYTES, MAX_CHECK_NAME_CHARS,
        MAX_CHECK_URL_BYTES, MAX_COMMIT_BYTES, MAX_FAILED_CHECKS, MAX_LOGIN_BYTES, MAX_NAME_BYTES,
        MAX_ORIGIN_BYTES, MAX_OUTCOMES, MAX_PAGE_BYTES, MAX_PULL_REQUEST_TITLE_CHARS,
        MAX_REQUESTED_REVIEWERS, MAX_REVIEW_ID_BYTES, MAX_SYNC_BYTES, MAX_URL_BYTES,
        SMALL_PAGE_SIZE,
    },
    chat::v1::{self, GetChatsRequest, chat_service_client::ChatServiceClient},
};
use serde_json::{Map, Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, bearer, refused},
    worker::report,
};

/// A character of as many bytes as one can have.
const WIDE: &str = "😀";

/// $1 chats of the owner $2, with title $3, labels $4 and $5 shares each.
const CHATS: &str = "
WITH made AS (
    INSERT INTO chats (id, owner_id, organization_id, workspace_id, title, status, labels, archived)
    SELECT gen_random_uuid(), $2, gen_random_uuid(), gen_random_uuid(), $3, 'error', $4, TRUE
    FROM generate_series(1, $1::int)
    RETURNING id, updated_at, list_status, list_pr, primary_attention
)
INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, chat_updated_at, owner_id,
    chat_archived, chat_status, chat_pr, chat_attention)
SELECT m.id, 'group', gen_random_uuid(), 'reader', m.updated_at, $2, TRUE, m.list_status, m.list_pr,
    m.primary_attention
FROM made m CROSS JOIN generate_series(1, $5::int)";

/// $1 refs of each chat, with an origin of $2 bytes, names of $3, addresses of $4, the title $5, $7
/// reviewers with names of $6 bytes, $10 failed checks with the name $8 and addresses of $9 bytes,
/// $12 reviews with ids of $11 bytes, addresses of pictures of $13 bytes, and commits of $14. All
/// need attention for all that can be at once.
const REFS: &str = "
WITH budget AS (
    INSERT INTO git_budgets (id, budget_key, provider_id)
    VALUES (gen_random_uuid(), 'k', 'p') RETURNING id
), account AS (
    INSERT INTO git_accounts (id, user_id, provider_id, budget_id, credential_state)
    SELECT gen_random_uuid(), gen_random_uuid(), 'p', b.id, 'accepted' FROM budget b RETURNING id
), made AS (
    INSERT INTO git_refs (
        id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch, is_primary,
        reported_at, pull_request, pr_repository, problem_class, problem_since)
    SELECT gen_random_uuid(), c.id, a.id, repeat('p', 64), repeat('o', $2),
        repeat('w', 100) || '/' || repeat('n', 100), lpad(i::text, $3, 'b'), i = 1, t.at,
        jsonb_build_object('number', n.most, 'url', repeat('u', $4), 'state', 'open', 'draft', TRUE,
            'title', $5::text, 'base_branch', repeat('b', $3), 'author_login', repeat('a', $6),
            'author_avatar_url', repeat('v', $13), 'changes_requested', TRUE, 'approved', TRUE,
            'reviewer_count', n.most, 'review_decision', 'review_required',
            'requested_reviewers', array_fill(repeat('r', $6), ARRAY[$7::int]), 'requested_again', TRUE,
            'change_requests', array_fill(repeat('i', $11), ARRAY[$12::int]),
            'unresolved_threads', n.most, 'unresolved_bot_threads', n.most, 'auto_merge', TRUE, 'queue_position', n.most, 'head', jsonb_build_object('branch', repeat('h', $3),
                'sha', repeat('s', $14), 'additions', n.most, 'deletions', n.most,
                'changed_files', n.most, 'commits', n.most, 'merge_state', 'conflicting', 'checks',
                jsonb_build_object('state', 'failing', 'total', n.most, 'passed', n.most,
                    'failed', n.most, 'pending', n.most, 'skipped', n.most, 'at_least', TRUE,
                    'failed_checks', array_fill(jsonb_build_object('name', $8::text,
                        'url', repeat('l', $9), 'required', TRUE), ARRAY[$10::int])))),
        'w/n', 'sso_required', t.at
    FROM chats c CROSS JOIN generate_series(1, $1::int) i CROSS JOIN account a
    CROSS JOIN (VALUES ('2026-01-01 00:00:00.999999Z'::timestamptz)) t (at)
    CROSS JOIN (VALUES (2147483647)) n (most)
    RETURNING id, account_id, reported_at
), raised AS (
    INSERT INTO git_ref_attentions (ref_id, kind, head_sha, raised_at)
    SELECT m.id, k.kind, repeat('s', $14), m.reported_at
    FROM made m CROSS JOIN unnest('{1, 2, 4}'::smallint[]) AS k (kind)
)
INSERT INTO git_ref_polls (ref_id, account_id, refreshed_at, due_at, early_at)
SELECT m.id, m.account_id, m.reported_at, now(), now()
FROM made m";

fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap()
}

fn labels() -> Value {
    let pairs = (0..MAX_LABELS).map(|number| {
        let key = format!("{}{number:02}", WIDE.repeat(MAX_LABEL_KEY_CHARS - 2));
        (key, json!(WIDE.repeat(MAX_LABEL_VALUE_CHARS)))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[tokio::test]
async fn the_largest_page_arrives_at_clients_that_know_its_limit() {
    const { assert!(MAX_PAGE_SIZE * MAX_CHAT_BYTES < MAX_PAGE_BYTES) };
    // A page of 30 MiB may take a busy machine longer than a call has.
    let patient = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
        settings.statement_timeout = Duration::from_secs(60).into();
        settings.call_timeout = Duration::from_secs(90).into();
    };
    Stack::run_with(patient, async |stack| {
        let owner = Caller::user();
        let client = stack.database.client().await;
        let id = Uuid::parse_str(&owner.id()).unwrap();
        let title = WIDE.repeat(MAX_TITLE_CHARS);
        let (chats, shares) = (int(MAX_PAGE_SIZE), int(MAX_SUBJECTS));
        client
            .execute(CHATS, &[&chats, &id, &title, &labels(), &shares])
            .await
            .unwrap();
        let refs = i32::try_from(MAX_GIT_REFS).unwrap();
        let [origin, name, url] = [MAX_ORIGIN_BYTES, MAX_NAME_BYTES, MAX_URL_BYTES].map(int);
        let title = WIDE.repeat(MAX_PULL_REQUEST_TITLE_CHARS);
        client
            .execute(
                REFS,
                &[
                    &refs,
                    &origin,
                    &name,
                    &url,
                    &title,
                    &int(MAX_LOGIN_BYTES),
                    &int(MAX_REQUESTED_REVIEWERS),
                    &WIDE.repeat(MAX_CHECK_NAME_CHARS),
                    &int(MAX_CHECK_URL_BYTES),
                    &int(MAX_FAILED_CHECKS),
                    &int(MAX_REVIEW_ID_BYTES),
                    &int(MAX_CHANGE_REQUESTS),
                    &int(MAX_AVATAR_URL_BYTES),
                    &int(MAX_COMMIT_BYTES),
                ],
            )
            .await
            .unwrap();

        let page_of = |page_size| GetChatsRequest {
            page_size,
            view: v1::ChatView::Full.into(),
            ..GetChatsRequest::default()
        };
        let page = stack
            .chats(&owner)
            .get_chats(page_of(200))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (page.chats.len(), page.next_page_token.as_str()),
            (MAX_PAGE_SIZE, "")
        );
        assert_eq!(
            page.chats[0].diff_statuses.len(),
            usize::try_from(MAX_GIT_REFS).unwrap()
        );
        let largest = page
            .chats
            .iter()
            .map(prost::Message::encoded_len)
            .max()
            .unwrap();
        println!(
            "a chat of {largest} bytes, a page of {}",
            page.encoded_len()
        );
        assert!(largest <= MAX_CHAT_BYTES, "{largest} bytes");
        // Bounds that are far from what can be would make clients reserve too much.
        assert!(largest > MAX_CHAT_BYTES * 4 / 5, "{largest} bytes");

        let unaware =
            || ChatServiceClient::with_interceptor(stack.public.clone(), bearer(&owner.token()));
        let small = unaware()
            .get_chats(page_of(SMALL_PAGE_SIZE))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(small.chats.len(), usize::try_from(SMALL_PAGE_SIZE).unwrap());
        let refused = unaware().get_chats(page_of(200)).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange);
    })
    .await;
}

/// As a worker of another release may send it, whose bounds are wider.
#[tokio::test]
async fn a_large_report_is_read() {
    Stack::run(async |stack| {
        let found = v1::PullRequest {
            repository: "acme/web".to_owned(),
            state: v1::PullRequestState::Open.into(),
            title: "x".repeat(MAX_SYNC_BYTES / MAX_OUTCOMES * 9 / 10),
            ..v1::PullRequest::default()
        };
        let outcomes = (0..MAX_OUTCOMES).map(|_| v1::Outcome {
            git_ref_id: Uuid::now_v7().to_string(),
            fence: Some(v1::Fence {
                report_seq: 1,
                ..v1::Fence::default()
            }),
            result: Some(v1::outcome::Result::Found(found.clone())),
            ..v1::Outcome::default()
        });
        let report = report(&Uuid::now_v7().to_string(), outcomes.collect());
        assert!(report.encoded_len() > MAX_SYNC_BYTES * 4 / 5);
        let answer = stack.sync(&Caller::gitsync()).report_outcomes(report).await;
        assert_eq!(refused(answer).1, "LEASE_LOST");
    })
    .await;
}
