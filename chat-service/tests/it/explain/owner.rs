//! What a page of one owner's chats costs does not grow with how many chats the owner has, nor with
//! how many of others the caller may read: rows and pages that its statement visits, at two sizes.

use chat_service::store::measure::PageBounds;
use chat_service::{
    authz::{Authorized, Authorizer},
    chat_filter::ChatFilter,
    id::{UserId, WorkspaceId},
};
use serde_json::Value;
use testkit::postgres::Database;
use uuid::Uuid;

use super::{Explained, principal, readable};
use crate::stack::Caller;

const FEW: i32 = 100;
const MANY: i32 = 20_000;
/// Rows of a page that a statement asks for: 50, and the one that tells whether more follow.
const PAGE: f64 = 51.0;

/// The id of a user or an organization, the same at both sizes.
fn thing(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number)
}

const OWNER: u128 = 1;
const OTHERS: u128 = 2;
const ORGANIZATION: u128 = 3;
const ELSEWHERE: u128 = 4;
const GROUP: u128 = 5;
const WORKSPACE: u128 = 6;
const READER: u128 = 7;

/// $1 chats of the owner in a workspace; many of others, elsewhere and in an organization. The
/// owner's oldest is in that organization, too. That one, and all of the others, are shared with a
/// reader and a group.
const FILL: &str = "
WITH made AS (
    INSERT INTO chats (id, owner_id, organization_id, workspace_id, title, status, updated_at)
    SELECT gen_random_uuid(), o.id,
        CASE WHEN o.id = $3 AND i > 1 THEN $6::uuid ELSE $5::uuid END,
        CASE WHEN o.id = $3 THEN $8::uuid END, 'Fix the login page', 'waiting',
        '2026-01-01'::timestamptz + i * interval '1 s'
    FROM (VALUES ($3::uuid, $1::int), ($4::uuid, $2::int)) o (id, chats)
    CROSS JOIN generate_series(1, o.chats) i
    RETURNING id, owner_id, updated_at, archived, list_status, list_pr, primary_attention
)
INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, chat_updated_at, owner_id,
    chat_archived, chat_status, chat_pr, chat_attention)
SELECT m.id, s.kind, s.id, 'reader', m.updated_at, m.owner_id, m.archived, m.list_status, m.list_pr,
    m.primary_attention
FROM made m CROSS JOIN (VALUES ('user', $9::uuid), ('group', $7::uuid)) s (kind, id)
WHERE m.owner_id = $4 OR m.updated_at = '2026-01-01'::timestamptz + interval '1 s'";

async fn filled(chats: i32) -> Database {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let ids = [
        OWNER,
        OTHERS,
        ORGANIZATION,
        ELSEWHERE,
        GROUP,
        WORKSPACE,
        READER,
    ]
    .map(thing);
    let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&chats, &MANY];
    for id in &ids {
        params.push(id);
    }
    client.execute(FILL, &params).await.unwrap();
    client
        .batch_execute("VACUUM (ANALYZE) chats, chat_acl")
        .await
        .unwrap();
    database
}

/// What a statement visits: rows of tables and indexes, also those that it turns down, and pages.
#[derive(Debug, Default)]
struct Visited {
    returned: f64,
    rows: f64,
    pages: f64,
}

fn visited(plan: &Value) -> Visited {
    let plan = &plan["Plan"];
    let mut visited = Visited {
        returned: plan["Actual Rows"].as_f64().unwrap(),
        pages: plan["Shared Hit Blocks"].as_f64().unwrap()
            + plan["Shared Read Blocks"].as_f64().unwrap(),
        rows: 0.0,
    };
    add_rows(plan, &mut visited.rows);
    visited
}

fn add_rows(node: &Value, rows: &mut f64) {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let reads = node["Relation Name"].is_string() || node["Node Type"] == "Bitmap Index Scan";
    if reads {
        let each = number("Actual Rows")
            + number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck");
        *rows += each * number("Actual Loops");
    }
    for part in node["Plans"].as_array().into_iter().flatten() {
        add_rows(part, rows);
    }
}

/// Who asks, for what, how many chats come back, and how many rows may be visited for them.
type Case = (&'static str, Authorized, ChatFilter, f64, f64);

fn user(number: u128) -> Caller {
    let mut caller = Caller::user();
    caller.claims.sub = thing(number).to_string();
    caller
}

fn cases() -> Vec<Case> {
    let owner = Some(UserId(thing(OWNER)));
    let archived = |archived| ChatFilter {
        owner,
        archived,
        ..ChatFilter::default()
    };
    let title = |text: &str| ChatFilter {
        owner,
        title: Some(text.to_owned()),
        ..ChatFilter::default()
    };
    let all = || archived(None);
    let (old, new) = (|| archived(Some(true)), || archived(Some(false)));
    let member = Caller::user().group(thing(GROUP));
    let admin = Caller::user().member(thing(ORGANIZATION), "admin");
    let auditor = Caller::user().site("auditor");
    let of_stranger = || readable(&user(99));
    let of_reader = || readable(&user(READER));
    let of_owner = || readable(&user(OWNER));
    let shared = |caller| Authorizer::new().shared_chats(&principal(&caller));
    let page = 2.0 * PAGE;
    // A share's row or an index entry, the chat to ask what else must hold, the chat to return.
    vec![
        ("stranger", of_stranger(), all(), 0.0, 0.0),
        ("stranger, new", of_stranger(), new(), 0.0, 0.0),
        ("stranger, title", of_stranger(), title("login"), 0.0, 0.0),
        ("stranger, shared", shared(user(99)), all(), 0.0, 0.0),
        ("reader", of_reader(), all(), 1.0, 2.0),
        ("reader, new", of_reader(), new(), 1.0, 3.0),
        ("reader, old", of_reader(), old(), 0.0, 2.0),
        ("reader, title", of_reader(), title("login"), 1.0, 3.0),
        ("reader, no title", of_reader(), title("none"), 0.0, 2.0),
        ("reader, shared", shared(user(READER)), all(), 1.0, 2.0),
        ("member", readable(&member), all(), 1.0, 2.0),
        ("member, old", readable(&member), old(), 0.0, 2.0),
        ("admin", readable(&admin), all(), 1.0, 2.0),
        ("admin, old", readable(&admin), old(), 0.0, 1.0),
        ("owner", of_owner(), all(), PAGE, page),
        ("owner, new", of_owner(), new(), PAGE, page),
        ("auditor", readable(&auditor), all(), PAGE, page),
    ]
}

#[tokio::test]
async fn a_page_of_an_owner_costs_what_it_returns_whatever_the_owner_has() {
    let (few, many) = (filled(FEW).await, filled(MANY).await);
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let few = Explained::connect(&few, mode).await;
        let many = Explained::connect(&many, mode).await;
        for (who, readable, filter, returned, most) in cases() {
            let small = visited(&few.plan(&readable, &filter).await.unwrap());
            let plan = many.plan(&readable, &filter).await.unwrap();
            let large = visited(&plan);
            let what = format!("{who}, {mode}: {small:?}, then {large:?}");
            let found = (small.returned, large.returned);
            assert_eq!(found, (returned, returned), "{what}");
            assert!(small.rows <= most && large.rows <= most, "{what}: {plan:#}");
            // The way down some indexes, and for each row one more. What an index turns down by
            // itself is no row, but pages.
            let mut most = 12.0 + 2.0 * most;
            if filter.archived.is_some() {
                // Each combination with a status and a pull request state is a way down.
                most += 2.5 * 64.0;
            }
            assert!(large.pages <= most, "{what}: {plan:#}");
            // With more rows, an index may be a level deeper.
            assert!(large.pages <= small.pages + 2.0, "{what}: {plan:#}");
        }
    }
}

/// There, a fixed number of chats is looked at first: once in the index, and once in the table.
#[tokio::test]
async fn a_page_of_a_workspace_costs_who_may_read_little_no_more_than_is_tried() {
    let many = filled(MANY).await;
    let filter = ChatFilter {
        workspace: Some(WorkspaceId(thing(WORKSPACE))),
        ..ChatFilter::default()
    };
    let tried = f64::from(u32::try_from(PageBounds::default().near).unwrap());
    let cases = [
        ("stranger", user(99), 0.0, 2.0 * tried),
        ("owner", user(OWNER), PAGE, tried + 2.0 * PAGE),
    ];
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let many = Explained::connect(&many, mode).await;
        for (who, caller, returned, most) in &cases {
            let plan = many.plan(&readable(caller), &filter).await.unwrap();
            let visited = visited(&plan);
            assert_eq!(visited.returned, *returned, "{who}, {mode}");
            assert!(
                visited.rows <= *most,
                "{who}, {mode}: {visited:?}: {plan:#}"
            );
        }
    }
}

/// Chats of other owners in a repository, of a number, with a title and in a workspace; the owner
/// has none of that.
const OF_OTHERS: &str = "
UPDATE chats
SET title = CASE WHEN owner_id = $1 THEN 'Nothing of the kind' ELSE title END,
    workspace_id = CASE WHEN owner_id = $2 THEN $3::uuid WHEN owner_id <> $1 THEN workspace_id END,
    primary_repository_key = CASE WHEN owner_id = $2 THEN 'acme/web' ELSE 'acme/own' END,
    primary_pr_number = CASE WHEN owner_id = $2 THEN 7 ELSE 8 END,
    primary_pr_state = 'open',
    primary_pr_draft = FALSE";

/// Whatever the filter's own index has of others.
#[tokio::test]
async fn a_filter_within_an_owner_costs_no_more_than_the_owners_chats() {
    // More than are tried first.
    let chats = i32::try_from(PageBounds::default().near).unwrap() * 3 / 2;
    let database = filled(chats).await;
    let client = database.client().await;
    let (owner, others, workspace) = (thing(OWNER), thing(OTHERS), thing(WORKSPACE));
    client
        .execute(OF_OTHERS, &[&owner, &others, &workspace])
        .await
        .unwrap();
    client
        .batch_execute("VACUUM (ANALYZE) chats")
        .await
        .unwrap();
    let filter = || ChatFilter {
        owner: Some(UserId(owner)),
        ..ChatFilter::default()
    };
    let cases = [
        ChatFilter {
            repository: Some("acme/web".to_owned()),
            ..filter()
        },
        ChatFilter {
            pull_request_number: Some(7),
            ..filter()
        },
        ChatFilter {
            workspace: Some(WorkspaceId(workspace)),
            ..filter()
        },
        ChatFilter {
            title: Some("login".to_owned()),
            ..filter()
        },
    ];
    let auditor = Caller::user().site("auditor");
    // Their keys, the chats and their refs are read, of some when tried and of all once more; or
    // the keys and the workspace's latest chats.
    let most = 5.0 * f64::from(chats);
    assert!(most < f64::from(MANY) / 2.0);
    // As the service plans. With the values at hand, PostgreSQL may sort as few as these others
    // are.
    let explained = Explained::connect(&database, "force_generic_plan").await;
    for (who, caller) in [("owner", user(OWNER)), ("auditor", auditor)] {
        for filter in &cases {
            let plan = explained.plan(&readable(&caller), filter).await.unwrap();
            let visited = visited(&plan);
            assert!(visited.returned < 1.0, "{who}, {filter:?}");
            assert!(
                visited.rows <= most,
                "{who}, {filter:?}: {visited:?}: {plan:#}"
            );
        }
    }
}
