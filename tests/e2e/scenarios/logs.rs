//! What the services write of themselves: nothing while nothing happens, one line when something
//! begins to fail and one when that ends, and who was let do what.

use std::{collections::BTreeMap, time::Duration};

use e2e::{
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::chat::v1::{
    DeleteChatRequest, GetChatsRequest, GetSyncStateRequest, Subject, UnlinkGitAccountRequest,
    UpdateChatRequest, UpdateChatSharingRequest, subject,
};
use serde_json::Value;
use testkit::{
    clients::{Bearer, Caller, channel, chats},
    http, wait,
};
use tonic::{Code, Request};

/// Longer than any interval at which something looks for work, but the longest wait for leases.
const IDLE: Duration = Duration::from_secs(12);
/// Calls that fail one after the other.
const CALLS: usize = 50;

#[tokio::test]
async fn an_idle_system_writes_nothing() {
    Stack::run(async |stack| {
        let mut worker = stack.worker().await;
        worker.process.wait_for_event("ready").await;
        let lines = [stack.chat_service.lines(), worker.process.lines()];
        assert!(lines.iter().all(|lines| !lines.is_empty()));
        // Time itself is what is tested here.
        tokio::time::sleep(IDLE).await;
        assert_eq!([stack.chat_service.lines(), worker.process.lines()], lines);
        vec![worker]
    })
    .await;
}

/// How often each warning and error was written.
fn warnings(log: &[Value]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for line in log {
        if line["level"] == "WARN" || line["level"] == "ERROR" {
            let text = format!("{}, {}", line["message"], line["error"]);
            *counted.entry(text).or_default() += 1;
        }
    }
    counted
}

#[tokio::test]
async fn a_database_that_is_away_is_warned_of_when_it_goes_and_when_it_is_back() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let mut worker = stack.worker().await;
        worker.process.wait_for_event("ready").await;
        let caller = Caller::user();
        let list = async |stack: &Stack| {
            let request = GetChatsRequest::default();
            stack.chats(&caller).get_chats(request).await.map(drop)
        };
        list(stack).await.unwrap();
        stack.database_proxy.cut();
        stack.chat_service.wait_for_event("database_away").await;
        for _ in 0..CALLS {
            let failed = list(stack).await.unwrap_err();
            assert_eq!(failed.code(), Code::Unavailable);
        }
        // Several rounds of everything that tries again.
        tokio::time::sleep(Duration::from_secs(4)).await;
        stack.database_proxy.restore();
        stack.chat_service.wait_for_event("database_back").await;
        wait::until("calls are answered again", || list(stack)).await;
        http::until_contains(stack.ops_url(), "/readyz", "ok").await;
        for process in [&stack.chat_service, &worker.process] {
            let warnings = warnings(&process.log());
            assert!(!warnings.is_empty());
            assert!(warnings.values().all(|times| *times == 1), "{warnings:#?}");
        }
        vec![worker]
    })
    .await;
}

/// The events of the audit, each with the fields of its call.
fn audit(stack: &Stack) -> Vec<Value> {
    let log = stack.chat_service.log().into_iter();
    log.filter(|line| line["target"] == "audit").collect()
}

#[tokio::test]
async fn the_audit_says_who_was_let_do_what_and_who_was_not() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let (owner, reader) = (Caller::user(), Caller::user());
        let token = stack.link(&owner, "ann").await;
        let chat = stack.chat(&owner).await;
        stack.github.repository(REPOSITORY).push("feature");
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let looked_up = "the branch is looked up";
        stack
            .status_when(&owner, &chat, looked_up, |status| {
                status.refreshed_at.is_some()
            })
            .await;
        let share = UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_readers: vec![Subject {
                subject: Some(subject::Subject::UserId(reader.id())),
            }],
            ..UpdateChatSharingRequest::default()
        };
        stack
            .chats(&owner)
            .update_chat_sharing(share)
            .await
            .unwrap();
        let archive = UpdateChatRequest {
            chat_id: chat.id.clone(),
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["archived".to_owned()],
            }),
            ..UpdateChatRequest::default()
        };
        let mut archive = Request::new(archive);
        let id = "0198aaaa-of-the-reader";
        archive
            .metadata_mut()
            .insert("x-request-id", id.parse().unwrap());
        let denied = stack.chats(&reader).update_chat(archive).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        let operator = Caller::user().site("admin");
        let request = GetSyncStateRequest::default();
        stack
            .sync_admin(&operator)
            .get_sync_state(request)
            .await
            .unwrap();
        let anonymous = chats(channel(stack.grpc_url()), Bearer::ANONYMOUS);
        let request = GetChatsRequest::default();
        let refused = anonymous.clone().get_chats(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let delete = DeleteChatRequest {
            chat_id: chat.id.clone(),
            ..DeleteChatRequest::default()
        };
        stack.chats(&owner).delete_chat(delete).await.unwrap();
        let unlink = UnlinkGitAccountRequest {
            provider_id: e2e::stack::PROVIDER.to_owned(),
            ..UnlinkGitAccountRequest::default()
        };
        stack
            .accounts(&owner)
            .unlink_git_account(unlink)
            .await
            .unwrap();

        let last = |line: &Value| line["action"] == "unlinkGitAccount";
        stack.chat_service.wait_for_log("unlinks", last).await;
        let named = |caller: &Caller| format!("user:{}", caller.id());
        let (chat, user) = (format!("chat {}", chat.id), format!("user {}", owner.id()));
        for (principal, action, resource, decision) in [
            (named(&owner), "linkGitAccount", user.as_str(), "allowed"),
            (
                "service:gitsync".to_owned(),
                "readGitCredential",
                "",
                "allowed",
            ),
            (named(&owner), "shareChat", &chat, "allowed"),
            (named(&reader), "archiveChat", &chat, "denied"),
            (named(&operator), "getSyncState", "", "allowed"),
            (String::new(), "", "", "denied"),
            (named(&owner), "deleteChat", &chat, "allowed"),
            (named(&owner), "unlinkGitAccount", &user, "allowed"),
        ] {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let is_it = |line: &Value| {
                let span = &line["span"];
                line["target"] == "audit"
                    && text(&span["principal"]) == principal
                    && text(&line["action"]) == action
                    && text(&span["resource"]) == resource
                    && line["decision"] == decision
                    && !text(&span["request.id"]).is_empty()
            };
            let what = format!("logs {action} of {principal}");
            stack.chat_service.wait_for_log(&what, is_it).await;
        }
        let audit = audit(stack);
        assert!(audit.iter().any(|line| line["span"]["request.id"] == id));
        let read = audit
            .iter()
            .find(|line| line["action"] == "readGitCredential");
        let accounts = read.unwrap()["git_account.ids"].as_str().unwrap();
        assert_eq!(accounts.matches('-').count(), 4, "one account: {accounts}");
        let text = format!("{audit:?}");
        assert!(!text.contains(&token) && !text.contains("Bearer"));
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn the_audit_has_a_filter_of_its_own_and_keeps_whose_call_it_was() {
    let filter = "off,chat_service::server=info,audit=info";
    Stack::run_with(&[("CHAT_LOG", filter)], async |stack| {
        let owner = stack.linked_user("ann").await;
        let linked = |line: &Value| {
            line["target"] == "audit" && line["span"]["principal"] == format!("user:{}", owner.id())
        };
        stack.chat_service.wait_for_log("links", linked).await;
        Vec::new()
    })
    .await;
    Stack::run_with(&[("CHAT_LOG", "info,audit=off")], async |stack| {
        stack.linked_user("ann").await;
        assert_eq!(audit(stack), Vec::<Value>::new());
        Vec::new()
    })
    .await;
}
