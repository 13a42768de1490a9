//! One call for each row of the table, and what came of it.

use std::time::Duration;

use proto::chat::v1::{
    self, Chat, ChatStatus, UpdateChatSharingRequest, WatchChatsRequest, WatchChatsResponse,
    report_git_ref_request::Target, subject,
};
use testkit::wait::PATIENCE;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use super::Cast;
use crate::stack::{Caller, Stack, facts};

/// How long nothing must come, counted from when another watcher has heard of the change.
const SILENCE: Duration = Duration::from_millis(300);

fn answer<T>(result: Result<T, Status>) -> String {
    let Err(status) = result else {
        return "yes".to_owned();
    };
    let names = [
        (Code::NotFound, "not found"),
        (Code::PermissionDenied, "denied"),
        (Code::FailedPrecondition, "yes (lease lost)"),
    ];
    let name = names.iter().find(|(code, _)| *code == status.code());
    name.map_or_else(|| status.to_string(), |(_, name)| (*name).to_owned())
}

pub(super) fn title(chat: &Chat) -> v1::UpdateChatRequest {
    v1::UpdateChatRequest {
        chat_id: chat.id.clone(),
        title: Some("changed".to_owned()),
        status: Some(ChatStatus::Running.into()),
        archived: Some(true),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["title".to_owned()],
        }),
        ..v1::UpdateChatRequest::default()
    }
}

pub(super) async fn on_chat(
    stack: &Stack,
    cast: &Cast,
    caller: &Caller,
    rpc: &str,
    what: &str,
) -> String {
    let chat = cast.chat(stack).await;
    let chat_id = chat.id.clone();
    let mut client = stack.chats(caller);
    match (rpc, what) {
        ("GetChats", _) => {
            let request = v1::GetChatsRequest {
                shared_with_me: what.ends_with("shared"),
                ..v1::GetChatsRequest::default()
            };
            let page = client.get_chats(request).await.unwrap().into_inner();
            let listed = page.chats.iter().any(|listed| listed.id == chat_id);
            if listed { "yes" } else { "no" }.to_owned()
        }
        ("GetChat", _) => answer(
            client
                .get_chat(v1::GetChatRequest {
                    chat_id,
                    ..v1::GetChatRequest::default()
                })
                .await,
        ),
        ("BatchGetChats", _) => {
            let chat_ids = vec![chat_id];
            let request = v1::BatchGetChatsRequest {
                chat_ids,
                ..v1::BatchGetChatsRequest::default()
            };
            let batch = client.batch_get_chats(request).await.unwrap().into_inner();
            let got = batch.chats.iter().any(|got| got.id == chat.id);
            assert_ne!(got, batch.missing_chat_ids.contains(&chat.id));
            if got { "yes" } else { "no" }.to_owned()
        }
        ("DeleteChat", _) => {
            let etag = None;
            answer(
                client
                    .delete_chat(v1::DeleteChatRequest { chat_id, etag })
                    .await,
            )
        }
        ("CreateChat", _) => {
            let request = v1::CreateChatRequest {
                owner_id: Some(cast.owner.id()),
                organization_id: Some(cast.organization.to_string()),
                ..v1::CreateChatRequest::default()
            };
            answer(client.create_chat(request).await)
        }
        ("UpdateChat", "title") => answer(client.update_chat(title(&chat)).await),
        ("UpdateChat", _) => {
            let mut request = title(&chat);
            request.update_mask = Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            });
            answer(client.update_chat(request).await)
        }
        ("UpdateChatSharing", _) => {
            let request = UpdateChatSharingRequest {
                chat_id,
                add_readers: vec![v1::Subject {
                    subject: Some(subject::Subject::UserId(Uuid::now_v7().to_string())),
                }],
                ..UpdateChatSharingRequest::default()
            };
            answer(client.update_chat_sharing(request).await)
        }
        ("RefreshChat", _) => answer(
            client
                .refresh_chat(v1::RefreshChatRequest { chat_id })
                .await,
        ),
        ("GetChatDiff", _) => {
            let request = v1::GetChatDiffRequest { chat_id };
            match client.get_chat_diff(request).await {
                Err(status) if facts(&status).1 == "DIFF_NOT_FOUND" => "yes (no branch)".to_owned(),
                answered => answer(answered),
            }
        }
        ("ReportGitRef", _) => {
            let request = v1::ReportGitRefRequest {
                target: Some(Target::ChatId(chat_id)),
                git_remote_origin: "https://github.com/acme/web".to_owned(),
                git_branch: "feat/x".to_owned(),
                commit: None,
            };
            answer(client.report_git_ref(request).await)
        }
        ("WatchChats", _) => watches(stack, cast, caller, &chat).await,
        (rpc, _) => panic!("{rpc} has no row"),
    }
}

async fn watch(stack: &Stack, caller: &Caller) -> Streaming<WatchChatsResponse> {
    let mut client = stack.chats(caller);
    let stream = client.watch_chats(WatchChatsRequest::default()).await;
    let mut stream = stream.unwrap().into_inner();
    // The current revision: from here on nothing is missed.
    assert_eq!(next(&mut stream).await, None);
    stream
}

/// The chat of the next message; heartbeats have none.
async fn next(stream: &mut Streaming<WatchChatsResponse>) -> Option<String> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let event = message.expect("no event came").unwrap();
    event.expect("the stream ended").chat.map(|chat| chat.id)
}

/// Whether a watcher receives a change. Every caller may watch, and receives what it may read.
async fn watches(stack: &Stack, cast: &Cast, caller: &Caller, chat: &Chat) -> String {
    let mut stream = watch(stack, caller).await;
    let mut witness = watch(stack, &Caller::internal()).await;
    let change = stack.chats(&cast.owner).update_chat(title(chat)).await;
    change.unwrap();
    while next(&mut witness).await.as_ref() != Some(&chat.id) {}
    // A chat of the watcher's own marks the end of what could have come before.
    let owner = caller.id();
    let mark = v1::CreateChatRequest {
        owner_id: Some(Uuid::parse_str(&owner).map_or_else(|_| some_uuid(), |_| owner)),
        ..v1::CreateChatRequest::default()
    };
    let Ok(mark) = stack.chats(caller).create_chat(mark).await else {
        // A caller that may create nothing gets no mark, and should receive nothing at all.
        let heard = async { while next(&mut stream).await.is_none() {} };
        let heard = tokio::time::timeout(SILENCE, heard).await;
        return if heard.is_ok() { "yes" } else { "no" }.to_owned();
    };
    let mark = mark.into_inner().chat.unwrap().id;
    loop {
        let id = next(&mut stream).await;
        if id.as_ref() == Some(&chat.id) {
            return "yes".to_owned();
        }
        if id.as_ref() == Some(&mark) {
            return "no".to_owned();
        }
    }
}

pub(super) async fn on_rest(stack: &Stack, cast: &Cast, caller: &Caller, rpc: &str) -> String {
    if rpc == "UnlinkGitAccount" {
        link(stack, &cast.owner).await;
    }
    rest(stack, cast, caller, rpc).await
}

/// Links an account that there is something to be done to.
pub(super) async fn link(stack: &Stack, owner: &Caller) {
    let link = v1::LinkGitAccountRequest {
        provider_id: "github".to_owned(),
        access_token: "token".to_owned(),
        ..v1::LinkGitAccountRequest::default()
    };
    let linked = stack.accounts(owner).link_git_account(link).await;
    linked.unwrap();
}

/// One call that is about no chat.
pub(super) async fn rest(stack: &Stack, cast: &Cast, caller: &Caller, rpc: &str) -> String {
    let user_id = Some(cast.owner.id());
    let lease_token = Uuid::now_v7().to_string();
    let request_id = Uuid::now_v7().to_string();
    match rpc {
        "LinkGitAccount" => {
            let request = v1::LinkGitAccountRequest {
                user_id,
                provider_id: "github".to_owned(),
                access_token: "token".to_owned(),
                ..v1::LinkGitAccountRequest::default()
            };
            answer(stack.accounts(caller).link_git_account(request).await)
        }
        "ListGitAccounts" => {
            let request = v1::ListGitAccountsRequest {
                user_id,
                ..v1::ListGitAccountsRequest::default()
            };
            answer(stack.accounts(caller).list_git_accounts(request).await)
        }
        "UnlinkGitAccount" => {
            let request = v1::UnlinkGitAccountRequest {
                user_id,
                provider_id: "github".to_owned(),
            };
            answer(stack.accounts(caller).unlink_git_account(request).await)
        }
        "GetSyncState" => answer(
            stack
                .admin(caller)
                .get_sync_state(v1::GetSyncStateRequest {})
                .await,
        ),
        "ReleaseLeaseOf" => {
            let budget_key = "unknown".to_owned();
            let request = v1::ReleaseLeaseOfRequest { budget_key };
            answer(stack.admin(caller).release_lease_of(request).await)
        }
        "ResumeBudget" => {
            let budget_key = "unknown".to_owned();
            let request = v1::ResumeBudgetRequest { budget_key };
            answer(stack.admin(caller).resume_budget(request).await)
        }
        "RequeueGitRefs" => {
            let git_ref_ids = vec![some_uuid()];
            let request = v1::RequeueGitRefsRequest { git_ref_ids };
            answer(stack.admin(caller).requeue_git_refs(request).await)
        }
        "LeaseDiffStatuses" => {
            let request = v1::LeaseDiffStatusesRequest {
                request_id,
                worker_id: "worker".to_owned(),
                ..v1::LeaseDiffStatusesRequest::default()
            };
            answer(stack.sync(caller).lease_diff_statuses(request).await)
        }
        "RenewLease" => answer(
            stack
                .sync(caller)
                .renew_lease(v1::RenewLeaseRequest { lease_token })
                .await,
        ),
        "ReportOutcomes" => {
            let request = v1::ReportOutcomesRequest {
                request_id,
                lease_token,
                ..v1::ReportOutcomesRequest::default()
            };
            answer(stack.sync(caller).report_outcomes(request).await)
        }
        "ReportDiff" => {
            let request = v1::ReportDiffRequest {
                lease_token,
                git_ref_id: some_uuid(),
                fence: Some(v1::Fence {
                    report_seq: 1,
                    ..v1::Fence::default()
                }),
                result: Some(v1::report_diff_request::Result::Missing(v1::DiffMissing {})),
            };
            answer(stack.sync(caller).report_diff(request).await)
        }
        "ReleaseLease" => answer(
            stack
                .sync(caller)
                .release_lease(v1::ReleaseLeaseRequest { lease_token })
                .await,
        ),
        rpc => panic!("{rpc} has no row"),
    }
}

pub(super) fn some_uuid() -> String {
    Uuid::now_v7().to_string()
}
