//! Who may call what: every RPC of the contract, for every kind of caller, over real sockets. The table
//! is meant to be read by people who write no code.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use prost_reflect::DescriptorPool;
use proto::chat::v1::{
    self, Chat, ChatStatus, UpdateChatSharingRequest, report_git_ref_request::Target, subject,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::stack::{Caller, Stack};

/// RPCs of the other service. This list only shrinks.
const SERVED_ELSEWHERE: [&str; 1] = ["gitsync.v1.WorkerService.GetWorkerState"];

/// An event takes some milliseconds.
const SILENCE: Duration = Duration::from_millis(700);

/// The people of the table.
struct Cast {
    owner: Caller,
    organization: Uuid,
    groups: [Uuid; 2],
    callers: Vec<(&'static str, Caller)>,
}

impl Cast {
    fn new() -> Self {
        let organization = Uuid::now_v7();
        let groups = [Uuid::now_v7(), Uuid::now_v7()];
        let owner = Caller::user().member(organization, "member");
        let callers = vec![
            ("owner", owner.clone()),
            ("suspended owner", owner.clone().suspended()),
            ("reader", Caller::user()),
            ("writer", Caller::user()),
            ("group reader", Caller::user().group(groups[0])),
            ("group writer", Caller::user().group(groups[1])),
            (
                "organization admin",
                Caller::user().member(organization, "admin"),
            ),
            (
                "organization member",
                Caller::user().member(organization, "member"),
            ),
            ("stranger", Caller::user()),
            ("site admin", Caller::user().site("admin")),
            ("site auditor", Caller::user().site("auditor")),
            ("internal service", Caller::internal()),
            ("gitsync", Caller::gitsync()),
            ("another service", Caller::service("other")),
        ];
        Self {
            owner,
            organization,
            groups,
            callers,
        }
    }

    fn caller(&self, name: &str) -> &Caller {
        &self
            .callers
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
    }

    /// A chat of the owner's in the organization, shared with all that it should be.
    async fn chat(&self, stack: &Stack) -> Chat {
        let request = v1::CreateChatRequest {
            organization_id: Some(self.organization.to_string()),
            ..v1::CreateChatRequest::default()
        };
        let chat = stack.chat_with(&self.owner, request).await;
        let subject = |subject| v1::Subject {
            subject: Some(subject),
        };
        let user = |name| subject(subject::Subject::UserId(self.caller(name).id()));
        let group = |id: Uuid| subject(subject::Subject::GroupId(id.to_string()));
        let share = UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_readers: vec![user("reader"), group(self.groups[0])],
            add_writers: vec![user("writer"), group(self.groups[1])],
            ..UpdateChatSharingRequest::default()
        };
        stack
            .chats(&self.owner)
            .update_chat_sharing(share)
            .await
            .unwrap();
        chat
    }
}

/// One line per RPC, or per thing that an RPC can be asked to do.
const ROWS: [(&str, &str); 18] = [
    ("chat.v1.ChatService.GetChats", "lists it"),
    ("chat.v1.ChatService.GetChats", "lists it as shared"),
    ("chat.v1.ChatService.GetChat", ""),
    ("chat.v1.ChatService.CreateChat", "for the owner"),
    ("chat.v1.ChatService.UpdateChat", "title"),
    ("chat.v1.ChatService.UpdateChat", "archived"),
    ("chat.v1.ChatService.UpdateChatSharing", ""),
    ("chat.v1.ChatService.RefreshChat", ""),
    ("chat.v1.ChatService.ReportGitRef", ""),
    ("chat.v1.ChatService.WatchChats", "hears of it"),
    ("chat.v1.GitAccountService.LinkGitAccount", "the owner's"),
    ("chat.v1.GitAccountService.ListGitAccounts", "the owner's"),
    ("chat.v1.GitAccountService.UnlinkGitAccount", "the owner's"),
    ("chat.v1.SyncAdminService.GetSyncState", ""),
    ("chat.v1.SyncService.LeaseDiffStatuses", ""),
    ("chat.v1.SyncService.RenewLease", "an unknown one"),
    ("chat.v1.SyncService.ReportOutcomes", "an unknown lease"),
    ("chat.v1.SyncService.ReleaseLease", "an unknown one"),
];

fn answer<T>(result: Result<T, Status>) -> String {
    match result {
        Ok(_) => "yes".to_owned(),
        Err(status) => {
            let known = [
                (Code::NotFound, "not found"),
                (Code::PermissionDenied, "denied"),
                (Code::FailedPrecondition, "yes (lease lost)"),
            ];
            let known = known.iter().find(|(code, _)| *code == status.code());
            known.map_or_else(|| status.to_string(), |(_, answer)| (*answer).to_owned())
        }
    }
}

fn title(chat: &Chat) -> v1::UpdateChatRequest {
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

async fn on_chat(stack: &Stack, cast: &Cast, caller: &Caller, rpc: &str, what: &str) -> String {
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
        ("GetChat", _) => answer(client.get_chat(v1::GetChatRequest { chat_id }).await),
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

/// Whether a watcher hears of a change. Everybody may watch; what they hear is what they may read.
async fn watches(stack: &Stack, cast: &Cast, caller: &Caller, chat: &Chat) -> String {
    let mut stream = stack
        .chats(caller)
        .watch_chats(v1::WatchChatsRequest::default())
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    stack
        .chats(&cast.owner)
        .update_chat(title(chat))
        .await
        .unwrap();
    // A chat of the watcher's own marks the end of what could have come before.
    let owner = caller.id();
    let mark = v1::CreateChatRequest {
        owner_id: Some(Uuid::parse_str(&owner).map_or_else(|_| some_uuid(), |_| owner)),
        ..v1::CreateChatRequest::default()
    };
    let Ok(mark) = stack.chats(caller).create_chat(mark).await else {
        // Whoever may create nothing gets no mark, and should get nothing at all.
        let heard = tokio::time::timeout(SILENCE, stream.message()).await;
        return if heard.is_ok() { "yes" } else { "no" }.to_owned();
    };
    let mark = mark.into_inner().chat.unwrap().id;
    loop {
        let event = stream.message().await.unwrap().unwrap();
        let id = event.chat.unwrap().id;
        if id == chat.id {
            return "yes".to_owned();
        }
        if id == mark {
            return "no".to_owned();
        }
    }
}

async fn on_rest(stack: &Stack, cast: &Cast, caller: &Caller, rpc: &str) -> String {
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
            let link = v1::LinkGitAccountRequest {
                provider_id: "github".to_owned(),
                access_token: "token".to_owned(),
                ..v1::LinkGitAccountRequest::default()
            };
            let linked = stack.accounts(&cast.owner).link_git_account(link).await;
            linked.unwrap();
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
        "ReleaseLease" => answer(
            stack
                .sync(caller)
                .release_lease(v1::ReleaseLeaseRequest { lease_token })
                .await,
        ),
        rpc => panic!("{rpc} has no row"),
    }
}

#[tokio::test]
async fn every_rpc_answers_every_kind_of_caller_as_the_policies_say() {
    let stack = Stack::start().await;
    let cast = Cast::new();
    let mut table = String::new();
    for (rpc, what) in &ROWS {
        let (service, method) = rpc.trim_start_matches("chat.v1.").split_once('.').unwrap();
        writeln!(table, "{}", format!("{service}.{method} {what}").trim_end()).unwrap();
        // Callers by their answer: the shape in which people ask.
        let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, caller) in &cast.callers {
            let answer = if service == "ChatService" {
                on_chat(&stack, &cast, caller, method, what).await
            } else {
                on_rest(&stack, &cast, caller, method).await
            };
            match answers.iter_mut().find(|(known, _)| *known == answer) {
                Some((_, names)) => names.push(name),
                None => answers.push((answer, vec![name])),
            }
        }
        answers.sort_by_key(|(answer, _)| !answer.starts_with("yes"));
        for (answer, names) in answers {
            writeln!(table, "    {answer}: {}", names.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
    stack.stop().await;
}

#[test]
fn every_rpc_of_the_contract_has_a_row() {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let rpcs: BTreeSet<String> = pool
        .services()
        .flat_map(|service| {
            service
                .methods()
                .map(|method| method.full_name().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let rows: BTreeSet<String> = ROWS
        .iter()
        .map(|(rpc, _)| (*rpc).to_owned())
        .chain(SERVED_ELSEWHERE.map(str::to_owned))
        .collect();
    assert_eq!(rpcs, rows);
}

#[tokio::test]
async fn a_chat_that_may_not_be_read_answers_as_one_that_does_not_exist() {
    let stack = Stack::start().await;
    let cast = Cast::new();
    let chat = cast.chat(&stack).await;
    let missing = Chat {
        id: Uuid::now_v7().to_string(),
        ..Chat::default()
    };
    for name in [
        "stranger",
        "organization member",
        "suspended owner",
        "gitsync",
        "another service",
    ] {
        let caller = cast.caller(name);
        let hidden = every_answer(&stack, caller, &chat).await;
        let absent = every_answer(&stack, caller, &missing).await;
        assert_eq!(hidden.len(), 6);
        for (rpc, hidden) in hidden.iter().enumerate() {
            assert_eq!(hidden.0, Code::NotFound, "{name}, {rpc}");
        }
        assert_eq!(hidden, absent, "{name}");
    }
    stack.stop().await;
}

/// Code, text and details of every RPC that names a chat.
async fn every_answer(stack: &Stack, caller: &Caller, chat: &Chat) -> Vec<(Code, String, Vec<u8>)> {
    let mut client = stack.chats(caller);
    let chat_id = chat.id.clone();
    let mut statuses = Vec::new();
    let get = v1::GetChatRequest {
        chat_id: chat_id.clone(),
    };
    statuses.push(client.get_chat(get).await.unwrap_err());
    statuses.push(client.update_chat(title(chat)).await.unwrap_err());
    let mut archive = title(chat);
    archive.update_mask = Some(prost_types::FieldMask {
        paths: vec!["archived".to_owned(), "title".to_owned()],
    });
    statuses.push(client.update_chat(archive).await.unwrap_err());
    let share = UpdateChatSharingRequest {
        chat_id: chat_id.clone(),
        remove: vec![v1::Subject {
            subject: Some(subject::Subject::UserId(some_uuid())),
        }],
        ..UpdateChatSharingRequest::default()
    };
    statuses.push(client.update_chat_sharing(share).await.unwrap_err());
    let refresh = v1::RefreshChatRequest {
        chat_id: chat_id.clone(),
    };
    statuses.push(client.refresh_chat(refresh).await.unwrap_err());
    let report = v1::ReportGitRefRequest {
        target: Some(Target::ChatId(chat_id)),
        git_remote_origin: "https://github.com/acme/web".to_owned(),
        git_branch: "feat/x".to_owned(),
        commit: None,
    };
    statuses.push(client.report_git_ref(report).await.unwrap_err());
    statuses
        .into_iter()
        .map(|status| {
            (
                status.code(),
                status.message().to_owned(),
                status.details().to_vec(),
            )
        })
        .collect()
}

fn some_uuid() -> String {
    Uuid::now_v7().to_string()
}
