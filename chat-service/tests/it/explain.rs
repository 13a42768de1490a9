//! How the statements of lists are planned, on a table of some size: by index, and without looking
//! at much more than a page. In both modes of planning, since which one PostgreSQL takes is not
//! ours.

mod owner;

use std::sync::{Arc, Mutex};

use chat_service::{
    attention::AttentionKind,
    auth::{Auth, ServiceNames},
    authz::{Action, Authorized, Authorizer, Principal},
    chat::ChatStatus,
    chat_filter::{ChatFilter, PullRequestFilter},
    store::measure::{self, Matches, PageBounds},
};
use http::HeaderMap;
use proto::sync::PullRequestState;
use serde_json::Value;
use service_runtime::token::Verifier;
use testkit::postgres::Database;
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, NoTls};
use uuid::Uuid;

use crate::stack::{Caller, KEYS};

/// Enough that a plan that reads a table is dearer than one that does not.
const CHATS: i32 = 20_000;

/// The rows that the benchmark measures.
const STEPS: [&str; 7] = [
    include_str!("../../../tests/bench/src/sql/fill_names.sql"),
    include_str!("../../../tests/bench/src/sql/fill_chats.sql"),
    include_str!("../../../tests/bench/src/sql/fill_shares.sql"),
    include_str!("../../../tests/bench/src/sql/fill_accounts.sql"),
    include_str!("../../../tests/bench/src/sql/fill_refs.sql"),
    include_str!("../../../tests/bench/src/sql/fill_polls.sql"),
    include_str!("../../../tests/bench/src/sql/fill_primaries.sql"),
];

/// Rows that a statement may throw away, beyond those it returns. A page of latest chats that are
/// tried, and no more.
const MOST_REMOVED: f64 = 1_500.0;

pub(crate) fn readable(caller: &Caller) -> Authorized {
    readable_under(&Authorizer::new(), caller)
}

/// What the caller may read by the policies of `authorizer`.
pub(crate) fn readable_under(authorizer: &Authorizer, caller: &Caller) -> Authorized {
    authorizer.chats(&principal(caller), Action::ReadChat)
}

/// The caller as the service knows them.
fn principal(caller: &Caller) -> Principal {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", caller.token());
    headers.insert("authorization", bearer.parse().unwrap());
    let verifier = Verifier::from_public_key_pem(KEYS.public_pem.as_bytes()).unwrap();
    let auth = Auth::new(verifier, ServiceNames::default());
    auth.caller(&headers).unwrap().principal
}

async fn filled() -> Database {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client.batch_execute("SELECT setseed(0.5)").await.unwrap();
    // Some are two statements, of which the other cannot be run in one transaction.
    for step in STEPS.iter().flat_map(|step| step.split(";\n\n")) {
        if step.contains("$1") {
            client.execute(step, &[&CHATS]).await.unwrap();
        } else {
            client.batch_execute(step).await.unwrap();
        }
    }
    client
        .batch_execute("VACUUM (ANALYZE) chats, chat_acl, git_refs, git_ref_polls")
        .await
        .unwrap();
    database
}

/// A connection whose statements' plans are kept, as they were really run.
struct Explained {
    client: Client,
    plans: Arc<Mutex<Vec<Value>>>,
    _driver: JoinSet<()>,
}

impl Explained {
    async fn connect(database: &Database, mode: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(database.url(), NoTls)
            .await
            .unwrap();
        let plans = Arc::new(Mutex::new(Vec::new()));
        let kept = plans.clone();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            loop {
                let message = std::future::poll_fn(|context| connection.poll_message(context));
                match message.await {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        let json = notice.message().split_once('{').map(|(_, rest)| rest);
                        let json = json.map(|rest| format!("{{{rest}"));
                        let plan = json.and_then(|json| serde_json::from_str(&json).ok());
                        kept.lock().unwrap().extend(plan);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
        client
            .batch_execute(&format!(
                "LOAD 'auto_explain'; SET auto_explain.log_format = json;
                 SET auto_explain.log_analyze = on; SET auto_explain.log_buffers = on;
                 SET auto_explain.log_level = notice;
                 SET jit = off; SET plan_cache_mode = {mode};"
            ))
            .await
            .unwrap();
        Self {
            client,
            plans,
            _driver: driver,
        }
    }

    /// The plan of a list's page.
    async fn plan(&self, readable: &Authorized, filter: &ChatFilter) -> Option<Value> {
        let matches = match measure::explain_search(readable.pred(), filter) {
            Some(asked) => {
                let row = self.client.query_one(asked.text(), &asked.values()).await;
                Matches::from_plan(&row.unwrap().try_get(0).unwrap())
            }
            None => Matches::Often,
        };
        let bounds = PageBounds::default();
        let page = measure::plan(readable.pred(), filter, None, 51, matches, bounds)?;
        let prepared = self.client.prepare(page.text()).await.unwrap();
        self.plans.lock().unwrap().clear();
        self.client
            .batch_execute("SET auto_explain.log_min_duration = 0")
            .await
            .unwrap();
        self.client.query(&prepared, &page.values()).await.unwrap();
        self.client
            .batch_execute("SET auto_explain.log_min_duration = -1")
            .await
            .unwrap();
        let plan = self.plans.lock().unwrap().first().cloned();
        Some(plan.expect("auto_explain tells the plan"))
    }
}

/// Nodes that were run: type, and the index or table that they read.
fn nodes(plan: &Value, found: &mut Vec<(String, String, f64)>) {
    let text = |name: &str| plan.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| plan.get(name).and_then(Value::as_f64).unwrap_or_default();
    let loops = number("Actual Loops");
    if loops == 0.0 && plan.get("Node Type").is_some() {
        return;
    }
    if plan.get("Node Type").is_some() {
        let read = format!("{}{}", text("Index Name"), text("Relation Name"));
        let removed = number("Rows Removed by Filter") * loops;
        found.push((text("Node Type").to_owned(), read, removed));
    }
    for part in ["Plan", "Plans"] {
        match plan.get(part) {
            Some(Value::Array(plans)) => plans.iter().for_each(|plan| nodes(plan, found)),
            Some(plan) => nodes(plan, found),
            None => {}
        }
    }
}

fn id(database: &[(String, Uuid)], name: &str) -> Uuid {
    database.iter().find(|(key, _)| key == name).unwrap().1
}

#[tokio::test]
async fn every_caller_and_filter_is_served_by_its_index() {
    let database = filled().await;
    let client = database.client().await;
    let mut ids = Vec::new();
    for (kind, numbers) in [("owner", 1..3), ("group", 1..200), ("organization", 1..11)] {
        for number in numbers {
            let row = client
                .query_one("SELECT bench_id($1, $2)", &[&kind, &number])
                .await
                .unwrap();
            ids.push((format!("{kind} {number}"), row.try_get(0).unwrap()));
        }
    }
    let of = |name: &str| {
        let mut caller = Caller::user();
        caller.claims.sub = id(&ids, name).to_string();
        caller
    };
    let in_group = |name: &str| Caller::user().group(id(&ids, name));
    let admin_of = |name: &str| Caller::user().member(id(&ids, name), "admin");
    let hundred = (100..200).fold(Caller::user(), |caller, number| {
        caller.group(id(&ids, &format!("group {number}")))
    });
    let auditor = Caller::user().site("auditor");
    let none = ChatFilter::default;
    // An ordinary one: the busiest have one chat of six.
    let row = client
        .query_one(
            "SELECT primary_repository_key, primary_pr_number, id FROM chats
             WHERE primary_pr_number > 50 AND primary_repository_key LIKE '%/service-27'
             ORDER BY primary_pr_number LIMIT 1",
            &[],
        )
        .await
        .unwrap();
    let repository = ChatFilter {
        repository: Some(row.try_get(0).unwrap()),
        ..none()
    };
    let number = ChatFilter {
        pull_request_number: Some(row.try_get(1).unwrap()),
        ..none()
    };
    let state = |wanted| ChatFilter {
        pull_requests: vec![wanted],
        ..none()
    };
    let title = |text: &str| ChatFilter {
        title: Some(text.to_owned()),
        ..none()
    };
    let label = |key: &str, value: &str| ChatFilter {
        labels: [(key.to_owned(), value.to_owned())].into(),
        ..none()
    };
    let needing = |attention: &[AttentionKind]| ChatFilter {
        attention: attention.to_vec(),
        ..none()
    };
    let asked = needing(&[AttentionKind::ChangesRequested]);
    let asked_draft = ChatFilter {
        archived: Some(false),
        pull_requests: vec![PullRequestFilter::Draft],
        ..asked.clone()
    };
    let pending = ChatFilter {
        statuses: vec![ChatStatus::Pending],
        ..none()
    };
    let archived = ChatFilter {
        archived: Some(true),
        ..none()
    };
    // Who, which filter, and the index that must drive; the recency index may only where it does.
    let recency = "chats_updated_at_idx";
    let by_filter = "chats_filter_idx";
    let merged = PullRequestFilter::Settled(PullRequestState::Merged);
    let cases: Vec<(&Caller, ChatFilter, &str)> = vec![
        (&auditor, none(), recency),
        (&auditor, title("zanzibar"), "chats_title_idx"),
        (&auditor, title("no such words"), "chats_title_idx"),
        (&auditor, title("fix"), recency),
        (&auditor, label("incident", "inc-77"), "chats_labels_idx"),
        (&auditor, repository.clone(), "chats_primary_repository_idx"),
        (&auditor, number.clone(), "chats_primary_pr_number_idx"),
        (&auditor, state(PullRequestFilter::Open), by_filter),
        (&auditor, state(PullRequestFilter::Draft), by_filter),
        (&auditor, state(merged), by_filter),
        (&auditor, pending.clone(), by_filter),
        (&auditor, archived.clone(), by_filter),
        (&auditor, asked.clone(), "chats_attention_idx"),
        (&auditor, asked_draft.clone(), "chats_attention_idx"),
        (&auditor, needing(AttentionKind::ALL), "chats_attention_idx"),
    ];
    let (recent, old, stranger) = (of("owner 1"), of("owner 2"), Caller::user());
    let many = in_group("group 1");
    let (small, large) = (admin_of("organization 10"), admin_of("organization 1"));
    let organization = "chats_organization_id_idx";
    let callers = [
        (&recent, "chats_owner_id_idx"),
        (&old, "chats_owner_id_idx"),
        (&stranger, "chats_owner_id_idx"),
        (&many, "chat_acl_subject_idx"),
        (&small, organization),
        (&large, organization),
        (&hundred, "chat_acl_subject_idx"),
    ];
    let plain = callers.map(|(caller, index)| (caller, none(), index));
    let searching = callers.map(|(caller, index)| (caller, title("zanzibar"), index));
    let in_repository = callers.map(|(caller, index)| (caller, repository.clone(), index));
    let filtered = [
        (&recent, "chats_owner_filter_idx"),
        (&many, "chat_acl_subject_idx"),
        (&large, "chats_organization_filter_idx"),
        (&hundred, "chat_acl_subject_idx"),
    ]
    .into_iter()
    .flat_map(|(caller, index)| {
        let both = ChatFilter {
            archived: Some(true),
            ..pending.clone()
        };
        [&archived, &pending, &both, &state(merged)].map(|filter| (caller, filter.clone(), index))
    });
    let needing = [
        (&recent, "chats_owner_attention_idx"),
        (&many, "chat_acl_subject_idx"),
        (&large, "chats_organization_attention_idx"),
        (&hundred, "chat_acl_subject_idx"),
    ]
    .into_iter()
    .flat_map(|(caller, index)| {
        [&asked, &asked_draft].map(|filter| (caller, filter.clone(), index))
    });
    let cases = cases
        .into_iter()
        .chain(plain)
        .chain(searching)
        .chain(in_repository)
        .chain(filtered)
        .chain(needing);

    let modes = ["force_custom_plan", "force_generic_plan"];
    let mut connections = Vec::new();
    for mode in modes {
        connections.push((mode, Explained::connect(&database, mode).await));
    }
    for (index, (caller, filter, driver)) in cases.enumerate() {
        let readable = readable(caller);
        for (mode, connection) in &connections {
            let what = format!("case {index}, {driver}, {mode}, {filter:?}");
            let plan = connection.plan(&readable, &filter).await.unwrap();
            let mut found = Vec::new();
            nodes(&plan, &mut found);
            let reads = |name: &str| found.iter().any(|(_, read, _)| read.starts_with(name));
            assert!(reads(driver), "{what}: {plan:#}");
            assert!(
                driver == recency || !reads(recency),
                "{what} walks all chats: {plan:#}"
            );
            let scans = found.iter().any(|(node, _, _)| node == "Seq Scan");
            assert!(!scans, "{what} reads a table: {plan:#}");
            let removed: f64 = found.iter().map(|(_, _, removed)| removed).sum();
            assert!(
                removed <= MOST_REMOVED,
                "{what} removes {removed}: {plan:#}"
            );
        }
    }
}
