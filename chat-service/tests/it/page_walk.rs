//! Walks through lists in small random worlds with many ties in the sort key: every page full, in
//! order, no gap, no repetition, and together exactly what may be read and matches.

use std::sync::Arc;

use chat_service::{
    attention::AttentionKind,
    authz::{Authorized, Authorizer},
    chat::{Chat, ChatStatus, View},
    chat_filter::{ChatFilter, Cursor, ListDetail, PullRequestFilter, folded},
    id::{ChatId, UserId, WorkspaceId},
    store::{
        PoolOptions, Store,
        measure::{self, Matches, PageBounds},
    },
};
use jiff::Timestamp;
use proto::sync::PullRequestState;
use testkit::{
    postgres::Database,
    random::{Random, cases},
};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    explain::{readable, readable_under},
    policy_random::{generate, load},
    stack::Caller,
};

/// Worlds that are walked through; half as many with random policies.
const WORLDS: u64 = 6;
const CHATS: i32 = 90;
/// Sets of policies in each world that has random ones.
const SETS: usize = 30;

/// Things have the ids 0 to 5 of their kind.
fn thing(number: usize) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128)
}

/// $1 seeds the world, of $2 chats. Nine times in all, so that most chats tie with others.
const FILL: [&str; 5] = [
    "SELECT setseed($1::float8 / 1000.0 + $2::int * 0)",
    "INSERT INTO chats (id, owner_id, organization_id, workspace_id, title, status, labels, archived,
         updated_at)
     SELECT gen_random_uuid(), t.ids[1 + floor(random() * 6)::int],
         t.ids[1 + floor(random() * 9)::int], t.ids[1 + floor(random() * 9)::int],
         (ARRAY['Fix the login', 'fix 100%_sure', 'Größe ändern', 'a', 'xy', 'Ο ΣΊΣΥΦΟΣ', 'İzmir'])
             [1 + floor(random() * 7)::int],
         (ARRAY['waiting', 'running', 'error'])[1 + floor(random() * 3)::int],
         (ARRAY['{}', '{\"team\": \"a\"}', '{\"team\": \"b\", \"x\": \"y\"}'])[1 + floor(random() * 3)::int]::jsonb,
         random() < 0.4, '2026-01-01'::timestamptz + floor(random() * 9) * interval '1 us'
     FROM generate_series(1, $2::int) i
     CROSS JOIN (SELECT array_agg(
         ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid ORDER BY n) AS ids
         FROM generate_series(0, 5) n) t
     WHERE $1::float8 IS NOT NULL",
    "WITH account AS (
         INSERT INTO git_accounts (id, user_id, provider_id)
         SELECT gen_random_uuid(), gen_random_uuid(), 'github'
         WHERE $1::float8 IS NOT NULL AND $2::int > 0 RETURNING id
     ), made AS (
         INSERT INTO git_refs (id, chat_id, account_id, provider_id, git_remote_origin, repository,
             git_branch, is_primary, pr_repository, pull_request)
         SELECT gen_random_uuid(), c.id, a.id, 'github', '', 'Acme/web' || floor(r.a * 3), 'b', TRUE,
             r.state, CASE WHEN r.state IS NOT NULL THEN jsonb_build_object('number', 1 + floor(r.b * 3),
                 'state', r.state, 'draft', r.b < 0.5, 'url', '', 'title', '', 'base_branch', '',
                 'changes_requested', r.a < 0.2, 'approved', FALSE, 'reviewer_count', 0,
                 'head', jsonb_build_object('branch', '', 'sha', '', 'additions', 0, 'deletions', 0,
                     'changed_files', 0, 'commits', 0,
                     'merge_state', CASE WHEN r.d < 0.4 THEN 'conflicting' ELSE 'clean' END,
                     'checks', jsonb_build_object('state', CASE WHEN r.e < 0.5 THEN 'failing' ELSE
                         'passing' END, 'total', 1, 'passed', 0, 'failed', 0, 'pending', 0, 'skipped', 0)
                 )) END
         FROM chats c CROSS JOIN account a CROSS JOIN LATERAL (
             SELECT random() AS a, random() AS b, random() AS d, random() AS e,
                 (ARRAY['open', 'merged', 'closed', NULL])[1 + floor(random() * 4)::int] AS state, c.id
         ) r
         WHERE r.a < 0.8 RETURNING id, account_id
     )
     INSERT INTO git_ref_polls (ref_id, account_id) SELECT id, account_id FROM made",
    "UPDATE chats c
     SET primary_repository_key = r.repository_key,
         primary_pr_number = (r.pull_request ->> 'number')::integer,
         primary_pr_state = r.pull_request ->> 'state',
         primary_pr_draft = (r.pull_request ->> 'draft')::boolean,
         primary_attention = r.attention
     FROM git_refs r
     WHERE r.chat_id = c.id AND $1::float8 IS NOT NULL AND $2::int > 0",
    "INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at,
         chat_archived, chat_status, chat_pr, chat_attention)
     SELECT c.id, k.kind, ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'reader',
         c.owner_id, c.updated_at, c.archived, c.list_status, c.list_pr, c.primary_attention
     FROM chats c CROSS JOIN generate_series(0, 5) n CROSS JOIN (VALUES ('user'), ('group')) k (kind)
     WHERE random() < 0.12 AND $1::float8 IS NOT NULL AND $2::int > 0",
];

fn caller(random: &mut Random) -> Caller {
    let mut caller = Caller::user();
    if random.below(8) == 0 {
        return caller.site("auditor");
    }
    if random.chance(50) {
        caller.claims.sub = thing(random.below(6)).to_string();
    }
    for number in 0..6 {
        if random.below(4) == 0 {
            caller = caller.member(thing(number), "admin");
        }
        if random.below(3) == 0 {
            caller = caller.group(thing(number));
        }
    }
    caller
}

fn filter(random: &mut Random) -> ChatFilter {
    let mut filter = ChatFilter::default();
    for _ in 0..random.below(3) {
        match random.below(11) {
            0 | 9 => filter.owner = Some(UserId(thing(random.below(6)))),
            1 => filter.workspace = Some(WorkspaceId(thing(random.below(6)))),
            2 => filter.archived = Some(random.chance(50)),
            3 => {
                filter.statuses = vec![ChatStatus::Running, ChatStatus::Error, ChatStatus::Running];
            }
            4 => {
                let labels = [("team", "a"), ("team", "b"), ("x", "y"), ("x", "")];
                filter.labels = labels
                    .into_iter()
                    .filter(|_| random.chance(50))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
            }
            5 => {
                filter.pull_requests = vec![
                    random.pick(&[
                        PullRequestFilter::Open,
                        PullRequestFilter::Draft,
                        PullRequestFilter::Settled(PullRequestState::Merged),
                    ]),
                    PullRequestFilter::Settled(PullRequestState::Closed),
                ];
            }
            6 => filter.repository = Some("aCME/web1".to_owned()),
            7 => filter.pull_request_number = Some(2),
            8 => {
                let kinds = AttentionKind::ALL.iter().copied();
                filter.attention = kinds.filter(|_| random.chance(50)).collect();
            }
            _ => {
                let title = random.pick(&[
                    "fix",
                    "100%_",
                    "größe",
                    "a",
                    "no such",
                    "XY",
                    "σίσυφοσ",
                    "ΣΊΣΥΦΟΣ",
                    "ς",
                    "izm",
                    "İ",
                    "i",
                    "GRÖSSE",
                    "o",
                ]);
                filter.title = Some(title.to_owned());
            }
        }
    }
    filter
}

/// All pages of a list, each checked to be full until the last.
pub(crate) async fn walk(
    store: &Store,
    readable: &Authorized,
    filter: &ChatFilter,
    size: usize,
) -> Vec<Chat> {
    let mut chats: Vec<Chat> = Vec::new();
    let mut cursor = None;
    loop {
        let what = ListDetail::of(View::Full);
        let page = store.list_chats(readable.clone(), filter, cursor, size, what);
        let (page, more) = page.await.unwrap();
        assert!(!more || page.len() == size, "a page of {}", page.len());
        chats.extend(page);
        if !more {
            return chats;
        }
        cursor = chats.last().map(|last| Cursor {
            updated_at: last.updated_at,
            id: last.id,
        });
    }
}

/// The same walk by statements that turn to their next part almost at once, as they do in large
/// tables, whatever the statistics say.
async fn tight_walk(
    client: &Client,
    readable: &Authorized,
    filter: &ChatFilter,
    size: usize,
    (matches, bounds): (Matches, PageBounds),
) -> Vec<(Timestamp, Uuid)> {
    let mut keys: Vec<(Timestamp, Uuid)> = Vec::new();
    let limit = i64::try_from(size).unwrap();
    loop {
        let cursor = keys.last().map(|(updated_at, id)| Cursor {
            updated_at: *updated_at,
            id: ChatId(*id),
        });
        let Some(page) = measure::plan(readable.pred(), filter, cursor, limit, matches, bounds)
        else {
            return keys;
        };
        let rows = client.query(page.text(), &page.values()).await.unwrap();
        for row in &rows {
            keys.push((
                row.try_get("updated_at").unwrap(),
                row.try_get("id").unwrap(),
            ));
        }
        if rows.len() < size {
            return keys;
        }
    }
}

/// A world of its own.
struct World {
    client: testkit::postgres::Client,
    store: Store,
    all: Vec<Chat>,
    // Dropped last: the others are connected to it.
    _database: Database,
}

impl World {
    async fn new(number: u64) -> Self {
        let database = testkit::postgres::database().await;
        let client = database.client().await;
        let seed = f64::from(u32::try_from(number).unwrap());
        for step in FILL {
            client.query(step, &[&seed, &CHATS]).await.unwrap();
        }
        let store = Store::new(database.url(), &PoolOptions::default()).unwrap();
        let auditor = readable(&Caller::user().site("auditor"));
        let all = walk(&store, &auditor, &ChatFilter::default(), 50).await;
        assert_eq!(all.len(), usize::try_from(CHATS).unwrap());
        Self {
            client,
            store,
            all,
            _database: database,
        }
    }

    /// Walks with a random filter and page size, the usual way and with tight bounds; returns how
    /// many chats there were.
    async fn check(&self, random: &mut Random, readable: &Authorized, what: &str) -> usize {
        let filter = filter(random);
        let size = 1 + random.below(7);
        let what = format!("{what}, size {size}, {filter:?}, {:?}", readable.pred());
        let listed: Vec<_> = walk(&self.store, readable, &filter, size)
            .await
            .iter()
            .map(|chat| (chat.updated_at, chat.id.0))
            .collect();
        assert!(listed.is_sorted_by(|a, b| a > b), "{what}: out of order");
        let mut expected: Vec<_> = self
            .all
            .iter()
            .filter(|chat| readable.holds(&chat.facts()) && filter.matches(chat))
            .map(|chat| (chat.updated_at, chat.id.0))
            .collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(listed, expected, "{what}");
        for matches in [Matches::Often, Matches::Rarely] {
            let bounds = PageBounds {
                near: i64::try_from(1 + random.below(9)).unwrap(),
                candidates: i64::try_from(1 + random.below(30)).unwrap(),
            };
            let how = (matches, bounds);
            let listed = tight_walk(&self.client, readable, &filter, size, how).await;
            assert_eq!(listed, expected, "{what}, {how:?}");
        }
        listed.len()
    }
}

/// Promise 1.
#[tokio::test(flavor = "multi_thread")]
async fn walks_return_exactly_the_readable_set_in_order_page_by_full_page() {
    for number in 1..=cases(WORLDS) {
        let world = World::new(number).await;
        let mut random = Random::new(number);
        for _ in 0..25 {
            let readable = readable(&caller(&mut random));
            world
                .check(&mut random, &readable, &format!("world {number}"))
                .await;
        }
    }
}

/// What a list finds and what a watch lets through are the same chats, for a caller who may read
/// all.
#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_in_memory_exactly_for_the_chats_that_statements_find() {
    let auditor = readable(&Caller::user().site("auditor"));
    let mut found = 0;
    for number in 1..=3 {
        let world = World::new(200 + number).await;
        let mut random = Random::new(200 + number);
        for _ in 0..300 {
            let filter = filter(&mut random);
            let listed = walk(&world.store, &auditor, &filter, world.all.len()).await;
            let matching = world.all.iter().filter(|chat| filter.matches(chat));
            assert!(matching.eq(&listed), "{filter:?}");
            found += listed.len();
        }
    }
    assert!(found > 10_000, "{found} chats in all");
}

/// In the locale of the tests, whose PostgreSQL may be older than the letters that we know.
#[tokio::test]
async fn every_letter_that_the_database_folds_is_folded_alike_in_memory() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let rows = client
        .query(
            "SELECT chr(n) AS letter, lower(chr(n)) AS lower
             FROM generate_series(1, 1114111) n
             WHERE n NOT BETWEEN 55296 AND 57343 AND lower(chr(n)) <> chr(n)",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.len() > 1_000, "{} letters", rows.len());
    for row in rows {
        let letter: String = row.try_get("letter").unwrap();
        let lower: String = row.try_get("lower").unwrap();
        assert_eq!(folded(&letter), lower, "{letter:?}");
    }
}

/// Promise 1: as the walks in `policy_random`, with filters, and turning to their next part almost
/// at once.
#[tokio::test(flavor = "multi_thread")]
async fn walks_under_random_policies_return_exactly_the_readable_set() {
    let mut random = Random::new(20);
    let mut listed = 0;
    for number in 1..=cases(WORLDS / 2) {
        let world = World::new(100 + number).await;
        for _ in 0..SETS {
            let text = generate::policies(&mut random);
            let authorizer = Authorizer::of(Arc::new(load(&text)));
            let readable = readable_under(&authorizer, &caller(&mut random));
            listed += world.check(&mut random, &readable, &text).await;
        }
    }
    // Policies that allow nearly nothing would prove little.
    assert!(listed > 1_000, "{listed} chats in all");
}

mod race {
    use proto::chat::v1::{ReportGitRefRequest, UpdateChatRequest};

    use super::*;
    use crate::stack::Stack;

    /// What lists filter by is the primary ref's, whatever reports and updates come together.
    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_reports_and_updates_never_let_the_filter_columns_drift() {
        Stack::run(async |stack| {
            let owner = Caller::user();
            let chat = stack.chat(&owner).await;
            for round in 0..20 {
                let barrier = Arc::new(tokio::sync::Barrier::new(6));
                let mut tasks = tokio::task::JoinSet::new();
                for index in 0..6 {
                    let mut client = stack.chats(&owner);
                    let (id, barrier) = (chat.id.clone(), barrier.clone());
                    let internal = stack.chats(&Caller::internal());
                    tasks.spawn(async move {
                        barrier.wait().await;
                        if index % 2 == 0 {
                            let mut client = internal;
                            let request = ReportGitRefRequest {
                                target: Some(
                                    proto::chat::v1::report_git_ref_request::Target::ChatId(id),
                                ),
                                git_remote_origin: format!(
                                    "https://github.com/acme/web-{}",
                                    (round + index) % 4
                                ),
                                git_branch: "b".to_owned(),
                                ..ReportGitRefRequest::default()
                            };
                            client.report_git_ref(request).await.map(|_| ())
                        } else {
                            let request = UpdateChatRequest {
                                chat_id: id,
                                title: Some(Uuid::now_v7().to_string()),
                                // Archiving and back locks refs, the account and its budget, too.
                                archived: Some(index == 5 && round % 2 == 0),
                                update_mask: Some(prost_types::FieldMask {
                                    paths: vec!["title".to_owned(), "archived".to_owned()],
                                }),
                                ..UpdateChatRequest::default()
                            };
                            client.update_chat(request).await.map(|_| ())
                        }
                    });
                }
                while let Some(result) = tasks.join_next().await {
                    result.unwrap().unwrap();
                }
                let client = stack.database.client().await;
                let drifted = client
                    .query(
                        "SELECT FROM git_refs r JOIN chats c ON c.id = r.chat_id \
                         WHERE r.is_primary AND (r.repository_key, r.attention) \
                             IS DISTINCT FROM (c.primary_repository_key, c.primary_attention)",
                        &[],
                    )
                    .await
                    .unwrap();
                assert_eq!(drifted.len(), 0, "round {round}");
            }
        })
        .await;
    }
}
