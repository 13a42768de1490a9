//! Asks who began the unresolved review threads of what was answered, each of them once.

use std::{collections::BTreeSet, time::Duration};

use proto::sync::Lane;
use serde_json::{Map, Value, json};

use super::{
    super::{GRAPHQL, NoAnswer, client::Reply, session::HostSession},
    Part, Query, QueryResult,
    answer::{Envelope, lacking},
    document,
};

/// The name in metrics.
const ENDPOINT: &str = "graphql_threads";
/// Threads of one request: as many ids as GitHub accepts. It has no second one: where more are
/// unresolved that were never asked about, it stays unknown who began those of some pull requests.
const MOST_THREADS: usize = 100;
/// The cost of that request in points.
const POINTS: i64 = 1;
/// How long what was answered waits for that. A host answers ids in a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// The list of a pull request's threads.
const THREADS: &str = "reviewThreads";

/// Learns who began the unresolved threads in an answer, as far as that is not known. It stays
/// unknown where the host does not answer, or may not be asked: that fails nothing.
pub(super) async fn learn_authors(session: &HostSession, lane: Lane, answer: &Envelope) {
    let mut ids = BTreeSet::new();
    for value in answer.data.values() {
        collect(value, &mut ids);
    }
    let known = &session.instance.thread_authors;
    known.make_room();
    ids.retain(|id| known.is_bots(id).is_none());
    let ids: Vec<&str> = ids.into_iter().take(MOST_THREADS).collect();
    if ids.is_empty() {
        return;
    }
    let Ok(permit) = session
        .client
        .admission
        .permit_begun(GRAPHQL, lane, POINTS)
        .await
    else {
        return;
    };
    let metrics = session.client.admission.metrics();
    metrics.observe_batch("threads", ids.len());
    let query = Query {
        query: &document::threads(),
        variables: Map::from_iter([("ids".to_owned(), json!(ids))]),
    };
    let asked = permit.run(session.client.query(ENDPOINT, &query));
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    drop(permit);
    let Ok(Some(Ok(Reply::Body(bytes, limits)))) = answered else {
        return;
    };
    let read = Envelope::read(&bytes, &limits, &session.client, ENDPOINT);
    let Ok(QueryResult::InPart(mut authors)) = read else {
        return;
    };
    for (id, part) in ids.iter().zip(authors.nodes(&ids, is_bots)) {
        // A thread that the host does not have counts as a person's, or it would be asked about at
        // each look, and keep others from being asked about.
        if let Part::Answered(is_bots) = part {
            known.note(id, is_bots.unwrap_or(false));
        }
    }
}

/// The ids of the unresolved threads that are anywhere in a value.
fn collect<'v>(value: &'v Value, ids: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == THREADS {
                    let threads = member.get("nodes").and_then(Value::as_array);
                    let open = threads.into_iter().flatten().filter(is_open);
                    ids.extend(open.filter_map(|thread| thread.get("id")?.as_str()));
                } else {
                    collect(member, ids);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_open(thread: &&Value) -> bool {
    thread.get("isResolved").and_then(Value::as_bool) == Some(false)
}

/// Whether the author of a thread's first comment is a bot. An account that is gone counts as a
/// person's.
fn is_bots(thread: &Value) -> Result<bool, NoAnswer> {
    let comments = thread.pointer("/comments/nodes").ok_or_else(lacking)?;
    let author = comments.pointer("/0/author/__typename");
    Ok(author.and_then(Value::as_str) == Some("Bot"))
}
