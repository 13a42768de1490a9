//! How the connections of a listener are counted, how long they live and how they end.

use std::{process::Command, time::Duration};

use e2e::{stack::Stack, warnings};
use futures_util::future::join_all;
use proto::{
    chat::v1::{self, WatchChatsRequest},
    reason,
};
use testkit::{
    clients::{Caller, Stalled, Untaken, facts},
    http,
    process::{Process, Signal},
    wait::{self, PATIENCE},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

async fn connected(url: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// Waits until the other side closes the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset closes it too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("it is closed");
}

async fn until_metrics_have(stack: &Stack, line: &str) {
    http::until_contains(stack.ops_url(), "/metrics", line).await;
}

async fn warned(stack: &mut Stack, message: &str) {
    let says = |line: &serde_json::Value| line["message"] == message;
    stack.chat_service.wait_for_log("says so", says).await;
}

/// The first message that is `wanted`, or what the stream ends with.
async fn first(
    watch: &mut Streaming<v1::WatchChatsResponse>,
    wanted: impl Fn(&v1::WatchChatsResponse) -> bool,
) -> Result<v1::WatchChatsResponse, Status> {
    loop {
        let message = watch.message().await?.expect("a stream ends with an error");
        if wanted(&message) {
            return Ok(message);
        }
    }
}

async fn list(stack: &Stack) -> Result<(), Status> {
    let mut chats = stack.chats(&Caller::user());
    chats
        .get_chats(v1::GetChatsRequest::default())
        .await
        .map(drop)
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_not_held() {
    Stack::run_with(&[("CHAT_MAX_CONNECTIONS", "3")], async |stack| {
        stack.expect_warnings(&["too many connections; refusing more"]);
        let url = stack.grpc_url();
        let held = [
            connected(url).await,
            connected(url).await,
            connected(url).await,
        ];
        until_metrics_have(stack, "chat_connections_open{listener=\"grpc\"} 3").await;
        closed(connected(url).await).await;
        until_metrics_have(stack, "chat_connections_refused_total{listener=\"grpc\"} 1").await;
        warned(stack, "too many connections; refusing more").await;
        // The workers' listener has a limit of its own.
        let worker = stack.worker().await;
        drop(held);
        until_metrics_have(stack, "chat_connections_open{listener=\"grpc\"} 0").await;
        list(stack).await.unwrap();
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_or_half_a_preface_is_said_is_closed() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let mut silent = Vec::new();
        for url in [stack.grpc_url(), stack.sync_url(), &worker.grpc] {
            for said in ["", "PRI * HTTP/2.0\r\n"] {
                let mut stream = connected(url).await;
                stream.write_all(said.as_bytes()).await.unwrap();
                silent.push(closed(stream));
            }
        }
        join_all(silent).await;
        vec![worker]
    })
    .await;
}

/// How long the process has had a processor, in ticks of a hundredth of a second.
fn ticks(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_process_without_descriptors_says_so_at_rest_and_goes_on_when_there_are_some() {
    Stack::run(async |stack| {
        stack
            .expect_warnings(&["no connection can be accepted; trying again: Too many open files"]);
        list(stack).await.unwrap();
        let open = std::fs::read_dir(format!("/proc/{}/fd", stack.chat_service.id()));
        let allowed = open.unwrap().count() + 10;
        let limited = Command::new("prlimit")
            .arg(format!("--pid={}", stack.chat_service.id()))
            .arg(format!("--nofile={allowed}"))
            .status();
        assert!(limited.unwrap().success());
        let mut held = Vec::new();
        for _ in 0..30 {
            held.push(connected(stack.grpc_url()).await);
        }
        warned(stack, "no connection can be accepted; trying again").await;
        let before = ticks(&stack.chat_service);
        sleep(Duration::from_secs(3)).await;
        let spent = ticks(&stack.chat_service) - before;
        assert!(
            spent < 100,
            "{spent} hundredths of a second in three seconds"
        );
        let log = stack.chat_service.log();
        let warnings = log.iter().filter(|line| line["level"] == "WARN").count();
        assert_eq!(
            warnings, 1,
            "a line when it begins, whatever is tried: {log:?}"
        );
        drop(held);
        wait::until("it serves again", || list(stack)).await;
        warned(stack, "connections are accepted again").await;
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn cancelled_calls_end_no_other_call_of_their_connection() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut chats = stack.chats(&owner);
        let watch = chats
            .watch_chats(WatchChatsRequest::default())
            .await
            .unwrap();
        let mut watch = watch.into_inner();
        watch.message().await.unwrap().unwrap();
        // A stopped process accepts no call before all are cancelled.
        stack.chat_service.signal(Signal::Stop).unwrap();
        let cancelled = (0..300).map(|_| {
            let mut chats = chats.clone();
            async move {
                let list = chats.get_chats(v1::GetChatsRequest::default());
                timeout(Duration::from_millis(500), list).await.is_err()
            }
        });
        let cancelled = join_all(cancelled).await;
        stack.chat_service.signal(Signal::Continue).unwrap();
        assert!(cancelled.iter().all(|cancelled| *cancelled));
        let made = chats
            .create_chat(v1::CreateChatRequest::default())
            .await
            .unwrap();
        let response = timeout(
            PATIENCE,
            first(&mut watch, |message| message.chat.is_some()),
        );
        let response = response.await.unwrap().unwrap();
        assert_eq!(
            response.chat.unwrap().id,
            made.into_inner().chat.unwrap().id
        );
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn a_connection_ends_at_its_age_and_its_streams_with_advice() {
    Stack::run_with(&[("CHAT_MAX_CONNECTION_AGE", "10s")], async |stack| {
        let mut chats = stack.chats(&Caller::user());
        let watch = chats
            .watch_chats(WatchChatsRequest::default())
            .await
            .unwrap();
        let mut watch = watch.into_inner();
        watch.message().await.unwrap().unwrap();
        until_metrics_have(stack, "chat_connections_open{listener=\"grpc\"} 1").await;
        let ended = timeout(PATIENCE, first(&mut watch, |_| false));
        let ended = ended.await.unwrap().unwrap_err();
        let (code, why, _) = facts(&ended);
        assert_eq!(
            (code, why.as_str()),
            (Code::Unavailable, reason::DEPENDENCY_UNAVAILABLE)
        );
        let retry = ended.get_error_details().retry_info().cloned();
        assert!(retry.is_some_and(|retry| retry.retry_delay.is_some()));
        until_metrics_have(stack, "chat_connections_open{listener=\"grpc\"} 0").await;
        // The client connects again.
        let list = v1::GetChatsRequest::default();
        chats.get_chats(list).await.unwrap();
        Vec::new()
    })
    .await;
}

/// An answer has as long as a call; a connection that ends has 10 s more.
const SHORT: [(&str, &str); 3] = [
    ("CHAT_CALL_TIMEOUT", "2s"),
    ("CHAT_STATEMENT_TIMEOUT", "2s"),
    ("CHAT_REFRESH_TIMEOUT", "2s"),
];

async fn untaken(stack: &Stack, client: &Stalled) -> Untaken {
    let method = "chat.v1.ChatService/GetChats";
    let (token, list) = (stack.token(&Caller::user()), v1::GetChatsRequest::default());
    client.call(method, &token, &list).await.unwrap()
}

/// Promise 10, for an answer of which its caller takes not a byte.
#[tokio::test]
async fn an_answer_that_is_not_taken_is_reset_and_other_calls_of_its_connection_go_on() {
    let age = ("CHAT_MAX_CONNECTION_AGE", "10s");
    let env: Vec<_> = SHORT.into_iter().chain([age]).collect();
    Stack::run_with(&env, async |stack| {
        let client = Stalled::connect(stack.grpc_url()).await;
        let end = timeout(PATIENCE, untaken(stack, &client).await.take()).await;
        let end = end.expect("it ends").unwrap_err();
        assert_eq!(format!("{:?}", end.reason()), "Some(CANCEL)");
        let _other = untaken(stack, &client).await;
        // Which keeps the connection no longer than until its own end: with a grace of 12 s, that
        // would be 17 s from here at least.
        let closed = until_metrics_have(stack, "chat_connections_open{listener=\"grpc\"} 0");
        timeout(Duration::from_secs(15), closed).await.unwrap();
        until_metrics_have(stack, "chat_calls_in_flight 0").await;
        until_metrics_have(stack, "chat_unread_answers_bytes 0").await;
        Vec::new()
    })
    .await;
}

/// Promise 10, for an answer that was passed on whole, so that no stream of it is left to end.
#[tokio::test]
async fn an_answer_whose_end_is_not_taken_ends_its_connection_after_a_grace() {
    Stack::run_with(&SHORT, async |stack| {
        let client = Stalled::taking(stack.grpc_url(), 1).await;
        let _untaken = untaken(stack, &client).await;
        until_metrics_have(stack, "chat_connections_open{listener=\"grpc\"} 1").await;
        let closed = "chat_connections_open{listener=\"grpc\"} 0";
        wait::within(2 * PATIENCE, "the connection is closed", || async {
            let metrics = http::get(stack.ops_url(), "/metrics").await;
            if metrics.contains(closed) {
                Ok(())
            } else {
                Err(())
            }
        })
        .await;
        until_metrics_have(stack, "chat_calls_in_flight 0").await;
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn calls_are_taken_until_balancers_have_heard_of_the_end() {
    Stack::run_with(&[("CHAT_DRAIN_DELAY", "4s")], async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        list(stack).await.unwrap();
        stack.chat_service.signal(Signal::Terminate).unwrap();
        wait::until("it is not ready", || async {
            let answer = http::get(stack.ops_url(), "/readyz").await;
            if answer.starts_with("HTTP/1.1 503") {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
        // Each over a connection of its own.
        list(stack).await.unwrap();
        let worker = stack.worker().await;
        wait::until("the listeners are closed", || async {
            match list(stack).await {
                Err(status) if status.code() == Code::Unavailable => Ok(()),
                other => Err(other),
            }
        })
        .await;
        assert!(stack.chat_service.wait().await.success());
        stack.restart_chat_service().await;
        vec![worker]
    })
    .await;
}
