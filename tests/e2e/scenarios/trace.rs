//! Traces, as a collector receives them over OTLP from both real binaries.

use std::time::{Duration, Instant};

use e2e::stack::{REPOSITORY, Stack};
use futures_util::future::join_all;
use proto::chat::v1::{Chat, CreateChatRequest, GetChatRequest, RefreshChatRequest};
use testkit::{
    clients::Caller,
    collector::{Collector, Span},
    http,
    postgres::Client,
    proxy::Proxy,
    wait,
};
use tonic::Request;

const SERVER: &str = "SPAN_KIND_SERVER";
const CLIENT: &str = "SPAN_KIND_CLIENT";
/// The trace of a caller, and the caller's own span.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const OTHER_TRACE: &str = "5bf92f3577b34da6a3ce929d0e0e4736";

const ENDPOINT: &str = "CHAT_TRACE_ENDPOINT";
const PERCENT: &str = "CHAT_TRACE_PERCENT";
const WORKER_ENDPOINT: &str = "GITSYNC_TRACE_ENDPOINT";
const WORKER_PERCENT: &str = "GITSYNC_TRACE_PERCENT";

/// A call within a trace of its caller, who records it or does not.
fn within<T>(trace: &str, recorded: bool, message: T) -> Request<T> {
    let flags = u8::from(recorded);
    let context = format!("00-{trace}-{CALLER}-{flags:02x}");
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", context.parse().unwrap());
    metadata.insert("tracestate", "vendor=state".parse().unwrap());
    request
}

fn refresh_of(chat: &Chat) -> RefreshChatRequest {
    let chat_id = chat.id.clone();
    RefreshChatRequest { chat_id }
}

fn get(chat: &Chat) -> GetChatRequest {
    GetChatRequest {
        chat_id: chat.id.clone(),
        ..GetChatRequest::default()
    }
}

fn is(kind: &str, name: &str) -> impl Fn(&Span) -> bool {
    move |span: &Span| span.kind == kind && span.name == name
}

/// The trace: the caller, chat-service with its statements, the worker's turn with its
/// request to the host, and the report with its statements.
#[tokio::test]
async fn one_refresh_is_one_trace_from_its_caller_to_the_host_and_back() {
    let collector = Collector::start().await;
    let url = collector.url();
    // Nothing is recorded but what a caller records.
    Stack::run_with(&[(ENDPOINT, &url), (PERCENT, "0")], async |stack| {
        let variables = [(WORKER_ENDPOINT, url.as_str()), (WORKER_PERCENT, "0")];
        let worker = stack.worker_with(&variables).await;
        let owner = Caller::user();
        let token = stack.link(&owner, "ann").await;
        let chat = CreateChatRequest {
            title: "Title of a chat".to_owned(),
            labels: [("label-key".to_owned(), "label-value".to_owned())].into(),
            ..CreateChatRequest::default()
        };
        let chat = stack.chats(&owner).create_chat(chat).await.unwrap();
        let chat = chat.into_inner().chat.unwrap();
        let pull_request = stack.github.pull_request(REPOSITORY).head("branch-name");
        pull_request.title("Title of a pull request").open();
        stack.report(&owner, &chat, REPOSITORY, "branch-name").await;
        let seen = "the pull request is seen";
        stack
            .status_when(&owner, &chat, seen, |status| status.pr_number.is_some())
            .await;
        let request = within(TRACE, true, refresh_of(&chat));
        stack.chats(&owner).refresh_chat(request).await.unwrap();

        let find = async |kind, name| collector.span(name, is(kind, name)).await;
        let refresh = find(SERVER, "chat.v1.ChatService/RefreshChat").await;
        let turn = find("SPAN_KIND_INTERNAL", "turn").await;
        let request = collector.span("the request to the host", |span| {
            span.kind == CLIENT && span.name.starts_with("POST graphql_")
        });
        let request = request.await;
        let reporting = find(CLIENT, "chat.v1.SyncService/ReportOutcomes").await;
        let reported = find(SERVER, "chat.v1.SyncService/ReportOutcomes").await;
        let due = find(CLIENT, "refresh_refs").await;
        let applied = find(CLIENT, "apply_outcomes").await;
        for (span, service, parent) in [
            (&refresh, "chat-service", CALLER),
            (&due, "chat-service", &refresh.id),
            (&turn, "gitsync-service", &refresh.id),
            (&request, "gitsync-service", &turn.id),
            (&reporting, "gitsync-service", &turn.id),
            (&reported, "chat-service", &reporting.id),
            (&applied, "chat-service", &reported.id),
        ] {
            let (of, within) = (span.service.as_str(), span.parent.as_str());
            assert_eq!((of, within), (service, parent), "{span:?}");
            assert!(!span.failed, "{span:?}");
        }
        for call in [&refresh, &reporting, &reported] {
            let named = ["rpc.system.name", "rpc.method", "rpc.response.status_code"];
            let said = named.map(|name| call.get(name));
            assert_eq!(said, ["grpc", &call.name, "OK"]);
        }
        assert_eq!(applied.get("db.system.name"), "postgresql");
        assert_eq!(applied.get("db.query.summary"), "apply_outcomes");
        assert_eq!(request.get("server.address"), "127.0.0.1");
        assert_eq!(request.get("http.response.status_code"), "200");
        assert_ne!(request.get("git_host.request_id"), "");

        let spans = collector.spans();
        assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
        let text = collector.text();
        for secret in [
            token.as_str(),
            "Title of",
            "label-",
            "branch-name",
            "Bearer",
        ] {
            assert!(!text.contains(secret), "{secret} is in a trace");
        }
        // A host is no part of anybody's trace.
        let requests = stack.github.requests();
        let headers = requests.iter().map(|request| &request.headers);
        assert_eq!(
            headers
                .filter(|all| all.contains_key("traceparent"))
                .count(),
            0
        );
        // An answered ref has no waiter any more.
        let database = stack.database.client().await;
        assert_eq!(waiting(&database).await, 0);
        vec![worker]
    })
    .await;
}

/// How many refs have a trace that waits for their lookup.
async fn waiting(database: &Client) -> i64 {
    let count = "SELECT count(*) FROM git_ref_polls WHERE traceparent IS NOT NULL";
    let row = database.query_one(count, &[]).await.unwrap();
    row.try_get(0).unwrap()
}

#[tokio::test]
async fn a_turn_that_serves_several_waiters_continues_one_trace_and_points_to_the_others() {
    let collector = Collector::start().await;
    let url = collector.url();
    Stack::run_with(&[(ENDPOINT, &url), (PERCENT, "0")], async |stack| {
        let owner = stack.linked_user("ann").await;
        let chats = [stack.chat(&owner).await, stack.chat(&owner).await];
        for (chat, branch) in chats.iter().zip(["one", "other"]) {
            stack.github.repository(REPOSITORY).push(branch);
            stack.report(&owner, chat, REPOSITORY, branch).await;
        }
        let refresh = async |chat: &Chat, trace| {
            let request = within(trace, true, refresh_of(chat));
            stack.chats(&owner).refresh_chat(request).await.unwrap();
        };
        let work = async {
            let database = stack.database.client().await;
            wait::until("both wait", || async {
                let waiting = waiting(&database).await;
                if waiting == 2 { Ok(()) } else { Err(waiting) }
            })
            .await;
            let variables = [(WORKER_ENDPOINT, url.as_str()), (WORKER_PERCENT, "0")];
            stack.worker_with(&variables).await
        };
        let [one, other] = &chats;
        let ((), (), worker) = tokio::join!(refresh(one, TRACE), refresh(other, OTHER_TRACE), work);
        let turn = collector.span("the turn", is("SPAN_KIND_INTERNAL", "turn"));
        let turn = turn.await;
        let (continued, linked) = if turn.trace == TRACE {
            (TRACE, OTHER_TRACE)
        } else {
            (OTHER_TRACE, TRACE)
        };
        assert_eq!(
            (turn.trace.as_str(), turn.links.as_slice()),
            (continued, [linked.to_owned()].as_slice())
        );
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_does_not_record_its_trace_is_not_recorded_and_one_without_a_trace_is_by_share()
 {
    let collector = Collector::start().await;
    let url = collector.url();
    Stack::run_with(&[(ENDPOINT, &url), (PERCENT, "100")], async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let mut client = stack.chats(&owner);
        let request = within(TRACE, false, get(&chat));
        client.get_chat(request).await.unwrap();
        // Sent later, and so received later.
        let request = within(OTHER_TRACE, true, get(&chat));
        client.get_chat(request).await.unwrap();
        let recorded = |span: &Span| span.trace == OTHER_TRACE;
        collector.span("the recorded call", recorded).await;
        let spans = collector.spans();
        assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
        let begun = is(SERVER, "chat.v1.ChatService/CreateChat");
        let begun = collector.span("a trace that begins here", begun).await;
        assert_eq!(begun.parent, "");
        // What no listener serves has no name that its caller chose.
        let unknown = format!("{}/chat.v1.ChatService/Anything", stack.grpc_url());
        let answer = reqwest::Client::builder()
            .build()
            .unwrap()
            .post(unknown)
            .header("content-type", "application/grpc-web+proto")
            .send()
            .await;
        assert!(answer.unwrap().status().is_success());
        let unknown = collector.span("an unknown method", is(SERVER, "_OTHER"));
        assert_eq!(
            unknown.await.get("rpc.response.status_code"),
            "UNIMPLEMENTED"
        );
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_recorded_and_nothing_travels() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.github.repository(REPOSITORY).push("feature");
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let request = within(TRACE, true, refresh_of(&chat));
        stack.chats(&owner).refresh_chat(request).await.unwrap();
        for ops in [stack.ops_url(), &worker.ops] {
            for outcome in ["sent", "dropped"] {
                let spans = spans(ops, outcome).await;
                assert_eq!(spans, 0, "{outcome} by {ops}");
            }
        }
        let logs = [stack.chat_service.lines(), worker.process.lines()].concat();
        assert!(logs.iter().all(|line| !line.contains(TRACE)), "{logs:#?}");
        vec![worker]
    })
    .await;
}

async fn spans(ops: &str, outcome: &str) -> u64 {
    let metrics = http::get(ops, "/metrics").await;
    let end = format!("trace_spans_{outcome}_total");
    let mut lines = metrics.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(name, _)| name.ends_with(&end));
    found.expect("a metric").1.parse().unwrap()
}

/// More spans than the queue holds.
const CALLS: usize = 2000;

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_neither_calls_nor_the_drain() {
    let collector = Collector::start().await;
    let proxy = Proxy::start(collector.url().trim_start_matches("http://")).await;
    proxy.stall();
    let url = format!("http://{}", proxy.address());
    let mut stack = Stack::start_with(&[(ENDPOINT, &url), (PERCENT, "100")]).await;
    stack.expect_warnings(&[
        "the collector takes no traces: no answer in time",
        "the collector of traces takes too long; the last spans are dropped",
    ]);
    let owner = Caller::user();
    let chat = stack.chat(&owner).await;
    for _ in 0..CALLS / 50 {
        let begun = Instant::now();
        let calls = join_all((0..50).map(|_| {
            let mut client = stack.chats(&owner);
            let request = get(&chat);
            async move { client.get_chat(request).await.map(drop) }
        }));
        for answer in calls.await {
            answer.unwrap();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "a round takes long"
        );
    }
    assert!(spans(stack.ops_url(), "dropped").await > 0);
    let takes_none = |line: &serde_json::Value| line["message"] == "the collector takes no traces";
    stack.chat_service.wait_for_log("warns", takes_none).await;
    let process = stack.chat_service;
    let begun = Instant::now();
    process.stop().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "the drain took {took:?}");
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_waited_and_is_warned_of_once() {
    let collector = Collector::start().await;
    let proxy = Proxy::start(collector.url().trim_start_matches("http://")).await;
    proxy.cut();
    let url = format!("http://{}", proxy.address());
    Stack::run_with(&[(ENDPOINT, &url), (PERCENT, "0")], async |stack| {
        stack.expect_warnings(&["the collector takes no traces"]);
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let mut client = stack.chats(&owner);
        let request = within(TRACE, true, get(&chat));
        client.get_chat(request).await.unwrap();
        let takes_none =
            |line: &serde_json::Value| line["message"] == "the collector takes no traces";
        stack.chat_service.wait_for_log("warns", takes_none).await;
        let refused = proxy.accepted();
        wait::until("it is tried again", || async {
            let accepted = proxy.accepted();
            if accepted > refused {
                Ok(())
            } else {
                Err(accepted)
            }
        })
        .await;
        proxy.restore();
        let call = is(SERVER, "chat.v1.ChatService/GetChat");
        let call = collector.span("the call of before", call).await;
        assert_eq!(call.trace, TRACE);
        let takes_some =
            |line: &serde_json::Value| line["message"] == "the collector takes traces again";
        stack.chat_service.wait_for_log("says so", takes_some).await;
        let log = stack.chat_service.log();
        let warned = log.iter().filter(|line| takes_none(line)).count();
        assert_eq!(warned, 1);
        Vec::new()
    })
    .await;
}
