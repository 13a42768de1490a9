//! What one caller may use, over real sockets, and that another is not touched by it.

use std::time::Duration;

use proto::{
    chat::v1::{
        self, Chat, GetChatsRequest, LinkGitAccountRequest, RefreshChatRequest,
        ReportGitRefRequest, UpdateChatRequest, WatchChatsRequest, report_git_ref_request::Target,
    },
    reason,
};
use testkit::{
    clients::{Stalled, Untaken},
    wait,
};
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::stack::{Caller, Stack, facts};

/// $1 chats of the owner $2, of more than 10 kB each.
const LARGE_CHATS: &str = "
INSERT INTO chats (id, owner_id, title, status, labels)
SELECT gen_random_uuid(), $2, 'x', 'running',
    (SELECT jsonb_object_agg('key' || i, repeat('v', 320)) FROM generate_series(1, 32) i)
FROM generate_series(1, $1::int)";

/// Asserts that a call is refused for `reason`, and that it says when to come back.
#[track_caller]
fn assert_refused<T>(result: Result<T, Status>, reason: &str) {
    let Err(status) = result else {
        panic!("the call was not refused");
    };
    let said = (Code::ResourceExhausted, reason.to_owned(), None);
    assert_eq!(facts(&status), said);
    let details = status.get_error_details();
    let advice = details.retry_info().and_then(|info| info.retry_delay);
    assert!(advice.is_some_and(|delay| delay <= Duration::from_secs(2)));
}

async fn list(stack: &Stack, caller: &Caller) -> Result<Vec<Chat>, Status> {
    let request = GetChatsRequest::default();
    let answer = stack.chats(caller).get_chats(request).await;
    answer.map(|page| page.into_inner().chats)
}

async fn watch(
    stack: &Stack,
    caller: &Caller,
) -> Result<Streaming<v1::WatchChatsResponse>, Status> {
    let request = WatchChatsRequest::default();
    let answer = stack.chats(caller).watch_chats(request).await;
    answer.map(tonic::Response::into_inner)
}

/// A chat whose refresh waits, since there is no worker.
async fn waiting_chat(stack: &Stack, owner: &Caller) -> Chat {
    let chat = stack.chat(owner).await;
    let link = LinkGitAccountRequest {
        provider_id: "github".to_owned(),
        access_token: Uuid::now_v7().to_string(),
        ..LinkGitAccountRequest::default()
    };
    stack.accounts(owner).link_git_account(link).await.unwrap();
    let report = ReportGitRefRequest {
        target: Some(Target::ChatId(chat.id.clone())),
        git_remote_origin: "https://github.com/acme/web".to_owned(),
        git_branch: "main".to_owned(),
        commit: None,
    };
    stack.chats(owner).report_git_ref(report).await.unwrap();
    chat
}

/// Begins to refresh `chat` on a task of its own.
fn refresh(tasks: &mut JoinSet<Result<(), Status>>, stack: &Stack, owner: &Caller, chat: &Chat) {
    let mut client = stack.chats(owner);
    let request = RefreshChatRequest {
        chat_id: chat.id.clone(),
    };
    tasks.spawn(async move { client.refresh_chat(request).await.map(drop) });
}

#[tokio::test]
async fn calls_in_flight_beyond_the_callers_limit_are_refused_and_anothers_are_not() {
    let change = |settings: &mut chat_service::config::Settings, _: &mut _| settings.user_calls = 3;
    Stack::run_with(change, async |stack| {
        let (owner, other) = (Caller::user(), Caller::user());
        let chat = stack.chat(&owner).await;
        let mut client = stack.database.client().await;
        let held = client.transaction().await.unwrap();
        held.execute("SELECT 1 FROM chats FOR UPDATE", &[])
            .await
            .unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..5 {
            let mut client = stack.chats(&owner);
            let request = UpdateChatRequest {
                chat_id: chat.id.clone(),
                title: Some("x".to_owned()),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["title".to_owned()],
                }),
                ..UpdateChatRequest::default()
            };
            calls.spawn(async move { client.update_chat(request).await });
        }
        // Those that are let in wait for the row.
        for _ in 0..2 {
            let refused = calls.join_next().await.unwrap().unwrap();
            assert_refused(refused, reason::TOO_MANY_CALLS);
        }
        assert_eq!(list(stack, &other).await.unwrap(), []);
        held.rollback().await.unwrap();
        for updated in calls.join_all().await {
            updated.unwrap();
        }
        list(stack, &owner).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn calls_a_second_beyond_the_callers_limit_are_refused_and_anothers_are_not() {
    let change = |settings: &mut chat_service::config::Settings, _: &mut _| {
        settings.user_calls_per_second = 2;
    };
    Stack::run_with(change, async |stack| {
        let (fast, other) = (Caller::user(), Caller::user());
        let refused = wait::until("a call is refused", || async {
            let calls = (0..20).map(|_| list(stack, &fast));
            let answers = futures_util::future::join_all(calls).await;
            answers.into_iter().find_map(Result::err).ok_or("none")
        })
        .await;
        assert_refused(Err::<(), _>(refused), reason::CALL_RATE_EXCEEDED);
        list(stack, &other).await.unwrap();
        wait::until("the caller is let in again", || list(stack, &fast)).await;
    })
    .await;
}

#[tokio::test]
async fn watches_beyond_the_callers_limit_are_refused_until_one_ends() {
    let change = |settings: &mut chat_service::config::Settings, _: &mut _| {
        settings.user_watches = 2;
        settings.service_weight = 2;
    };
    Stack::run_with(change, async |stack| {
        let (watcher, other) = (Caller::user(), Caller::user());
        let first = watch(stack, &watcher).await.unwrap();
        let _second = watch(stack, &watcher).await.unwrap();
        assert_refused(watch(stack, &watcher).await, reason::TOO_MANY_WATCHES);
        let _other = watch(stack, &other).await.unwrap();
        // A service is as good as several users.
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(watch(stack, &Caller::internal()).await.unwrap());
        }
        let refused = watch(stack, &Caller::internal()).await;
        assert_refused(refused, reason::TOO_MANY_WATCHES);
        drop(first);
        wait::until("there is a place", || async {
            watch(stack, &watcher).await.map(drop)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn calls_that_wait_are_bounded_by_caller_and_by_process_and_hold_up_no_other_call() {
    let change = |settings: &mut chat_service::config::Settings, _: &mut _| {
        settings.user_waiting_calls = 2;
        settings.max_waiting_calls = 3;
    };
    Stack::run_with(change, async |stack| {
        let (owner, other) = (Caller::user(), Caller::user());
        let chat = waiting_chat(stack, &owner).await;
        let others = waiting_chat(stack, &other).await;
        let mut waiting = JoinSet::new();
        for _ in 0..3 {
            refresh(&mut waiting, stack, &owner, &chat);
        }
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert_refused(refused, reason::TOO_MANY_WAITING_CALLS);
        for _ in 0..2 {
            refresh(&mut waiting, stack, &other, &others);
        }
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert_refused(refused, reason::TOO_MANY_REQUESTS);
        assert_eq!(list(stack, &owner).await.unwrap().len(), 1);
        // A call that its client gives up frees its place.
        waiting.shutdown().await;
        wait::until("there are places", || async {
            let mut again = JoinSet::new();
            refresh(&mut again, stack, &owner, &chat);
            let moment = Duration::from_millis(100);
            match tokio::time::timeout(moment, again.join_next()).await {
                Ok(answer) => Err(answer),
                Err(_) => Ok(()),
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_process_has_a_limit_of_calls_and_streams() {
    let change = |settings: &mut chat_service::config::Settings, _: &mut _| settings.max_calls = 2;
    Stack::run_with(change, async |stack| {
        let first = watch(stack, &Caller::user()).await.unwrap();
        let _second = watch(stack, &Caller::user()).await.unwrap();
        let refused = list(stack, &Caller::user()).await;
        assert_refused(refused, reason::TOO_MANY_REQUESTS);
        drop(first);
        let caller = Caller::user();
        wait::until("there is a place", || list(stack, &caller)).await;
    })
    .await;
}

async fn call_untaken(client: &Stalled, caller: &Caller) -> Result<Untaken, Status> {
    let page = GetChatsRequest {
        page_size: 200,
        ..GetChatsRequest::default()
    };
    let (method, token) = ("chat.v1.ChatService/GetChats", caller.token());
    client.call(method, &token, &page).await
}

/// Promise 10: the answers that a caller leaves unread are bounded, and no other caller's calls
/// wait for them. A page is of two MiB here, and each reader may owe one.
#[tokio::test]
async fn an_answer_that_is_not_taken_counts_against_its_caller_and_is_ended_at_its_deadline() {
    let change = |settings: &mut chat_service::config::Settings, _: &mut _| {
        settings.user_unread_mib = 1;
        settings.call_timeout = Duration::from_secs(3).into();
    };
    Stack::run_with(change, async |stack| {
        let (idler, other) = (Caller::user(), Caller::user());
        let client = stack.database.client().await;
        let owner = Uuid::parse_str(&idler.id()).unwrap();
        client.execute(LARGE_CHATS, &[&200, &owner]).await.unwrap();
        let stalled = Stalled::connect(&stack.public_url).await;
        let untaken = call_untaken(&stalled, &idler).await.unwrap();
        wait::until("the answer counts", || async {
            match list(stack, &idler).await {
                Ok(_) => Err("let in"),
                Err(status) => {
                    assert_refused(Err::<(), _>(status), reason::ANSWERS_NOT_READ);
                    Ok(())
                }
            }
        })
        .await;
        list(stack, &other).await.unwrap();
        // Ended: all but what the HTTP server holds of it is dropped, and is nothing that counts.
        wait::until("the caller is let in again", || list(stack, &idler)).await;
        stalled.open();
        let end = untaken.take().await.unwrap_err().reason();
        // The second one where the windows are opened a sweep later.
        let reasons = [h2::Reason::ENHANCE_YOUR_CALM, h2::Reason::CANCEL];
        assert!(end.is_some_and(|end| reasons.contains(&end)), "{end:?}");
        // What is taken late, and in time, arrives whole.
        let stalled = Stalled::connect(&stack.public_url).await;
        let untaken = call_untaken(&stalled, &idler).await.unwrap();
        stalled.open();
        assert!(untaken.take().await.unwrap() > 2_000_000);
    })
    .await;
}
