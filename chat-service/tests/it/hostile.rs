//! Hostile input: quotes, backslashes, NUL, wildcards and SQL, wherever a request takes a text.
//! They change nothing but what matches.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MethodDescriptor,
    ReflectMessage as _, Value,
};
use proto::{
    chat::v1::{report_git_ref_request::Target, *},
    externalscaler::{
        GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::stack::{Caller, Stack};

const NUL: &str = "a\0b";
const TEXTS: [&str; 12] = [
    "'",
    "\"",
    "\\",
    "\\'",
    "%",
    "_",
    "$1",
    "x'; DROP TABLE chats; --",
    "x' OR '1'='1",
    "x\") OR TRUE OR (\"",
    "*/ TRUE OR /*",
    // What the store replaces in its statements.
    "/* readable */ TRUE /* filter */ TRUE",
];

/// All answers that a request with a wrong text may get: none of them is a failure of ours.
const ANSWERS: [Code; 6] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::NotFound,
    Code::PermissionDenied,
    Code::FailedPrecondition,
    Code::Aborted,
];

/// Sends a message of the right type.
macro_rules! send {
    ($client:expr, $method:ident, $request:ident, $message:expr) => {
        $client
            .$method($message.transcode_to::<$request>().unwrap())
            .await
            .map(|_| ())
    };
}

async fn call(
    stack: &Stack,
    caller: &Caller,
    rpc: &str,
    message: &DynamicMessage,
) -> Result<(), Status> {
    let (mut chats, mut accounts) = (stack.chats(caller), stack.accounts(caller));
    let (mut sync, mut admin) = (stack.sync(caller), stack.admin(caller));
    let mut keda = ExternalScalerClient::new(stack.scaler.clone());
    match rpc {
        "chat.v1.ChatService.GetChats" => send!(chats, get_chats, GetChatsRequest, message),
        "chat.v1.ChatService.GetChat" => send!(chats, get_chat, GetChatRequest, message),
        "chat.v1.ChatService.BatchGetChats" => {
            send!(chats, batch_get_chats, BatchGetChatsRequest, message)
        }
        "chat.v1.ChatService.DeleteChat" => send!(chats, delete_chat, DeleteChatRequest, message),
        "chat.v1.ChatService.CreateChat" => send!(chats, create_chat, CreateChatRequest, message),
        "chat.v1.ChatService.UpdateChat" => send!(chats, update_chat, UpdateChatRequest, message),
        "chat.v1.ChatService.UpdateChatSharing" => send!(
            chats,
            update_chat_sharing,
            UpdateChatSharingRequest,
            message
        ),
        "chat.v1.ChatService.RefreshChat" => {
            send!(chats, refresh_chat, RefreshChatRequest, message)
        }
        "chat.v1.ChatService.GetChatDiff" => {
            send!(chats, get_chat_diff, GetChatDiffRequest, message)
        }
        "chat.v1.ChatService.ReportGitRef" => {
            send!(chats, report_git_ref, ReportGitRefRequest, message)
        }
        "chat.v1.ChatService.WatchChats" => send!(chats, watch_chats, WatchChatsRequest, message),
        "chat.v1.GitAccountService.LinkGitAccount" => {
            send!(accounts, link_git_account, LinkGitAccountRequest, message)
        }
        "chat.v1.GitAccountService.ListGitAccounts" => {
            send!(accounts, list_git_accounts, ListGitAccountsRequest, message)
        }
        "chat.v1.GitAccountService.UnlinkGitAccount" => {
            send!(
                accounts,
                unlink_git_account,
                UnlinkGitAccountRequest,
                message
            )
        }
        "chat.v1.SyncService.LeaseDiffStatuses" => {
            send!(sync, lease_diff_statuses, LeaseDiffStatusesRequest, message)
        }
        "chat.v1.SyncService.RenewLease" => send!(sync, renew_lease, RenewLeaseRequest, message),
        "chat.v1.SyncService.ReportOutcomes" => {
            send!(sync, report_outcomes, ReportOutcomesRequest, message)
        }
        "chat.v1.SyncService.ReportDiff" => {
            send!(sync, report_diff, ReportDiffRequest, message)
        }
        "chat.v1.SyncService.ReleaseLease" => {
            send!(sync, release_lease, ReleaseLeaseRequest, message)
        }
        "chat.v1.SyncAdminService.ReleaseLeaseOf" => {
            send!(admin, release_lease_of, ReleaseLeaseOfRequest, message)
        }
        "chat.v1.SyncAdminService.ResumeBudget" => {
            send!(admin, resume_budget, ResumeBudgetRequest, message)
        }
        "chat.v1.SyncAdminService.RequeueGitRefs" => {
            send!(admin, requeue_git_refs, RequeueGitRefsRequest, message)
        }
        "externalscaler.ExternalScaler.GetMetrics" => {
            send!(keda, get_metrics, GetMetricsRequest, message)
        }
        "externalscaler.ExternalScaler.GetMetricSpec" => {
            send!(keda, get_metric_spec, ScaledObjectRef, message)
        }
        "externalscaler.ExternalScaler.IsActive" => {
            send!(keda, is_active, ScaledObjectRef, message)
        }
        "externalscaler.ExternalScaler.StreamIsActive" => {
            send!(keda, stream_is_active, ScaledObjectRef, message)
        }
        _ => panic!("{rpc} takes a text, and is not tried"),
    }
}

/// Requests about `chat`, each of which would do something if all its texts were right. Other RPCs
/// start from an empty request.
fn bases(chat: &Chat, method: &MethodDescriptor) -> Vec<DynamicMessage> {
    let Chat { id, owner_id, .. } = chat.clone();
    let chat_id = id;
    match method.name() {
        "CreateChat" => vec![dynamic(
            method,
            &CreateChatRequest {
                owner_id: Some(owner_id),
                ..CreateChatRequest::default()
            },
        )],
        "UpdateChat" => vec![dynamic(
            method,
            &UpdateChatRequest {
                chat_id,
                title: Some("title".to_owned()),
                update_mask: Some(prost_types::FieldMask {
                    paths: ["title", "labels"].map(str::to_owned).into(),
                }),
                ..UpdateChatRequest::default()
            },
        )],
        "UpdateChatSharing" => vec![dynamic(
            method,
            &UpdateChatSharingRequest {
                chat_id,
                ..UpdateChatSharingRequest::default()
            },
        )],
        "ReportGitRef" => {
            let workspace_id = chat.workspace_id().to_owned();
            let workspace = WorkspaceChats {
                owner_id,
                workspace_id,
            };
            [Target::ChatId(chat_id), Target::Workspace(workspace)]
                .into_iter()
                .map(|target| dynamic(method, &report(target)))
                .collect()
        }
        "LinkGitAccount" => vec![dynamic(
            method,
            &LinkGitAccountRequest {
                user_id: Some(owner_id),
                ..link()
            },
        )],
        _ => vec![DynamicMessage::new(method.input())],
    }
}

fn dynamic(method: &MethodDescriptor, typed: &impl prost::Message) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.input());
    message.transcode_from(typed).unwrap();
    message
}

fn report(target: Target) -> ReportGitRefRequest {
    ReportGitRefRequest {
        target: Some(target),
        git_remote_origin: "https://github.com/acme/web".to_owned(),
        git_branch: "main".to_owned(),
        commit: None,
    }
}

fn link() -> LinkGitAccountRequest {
    LinkGitAccountRequest {
        provider_id: "github".to_owned(),
        access_token: "token".to_owned(),
        ..LinkGitAccountRequest::default()
    }
}

/// The message once for each text that it could hold, with that text replaced; and where it is.
fn replaced(message: &DynamicMessage, text: &str) -> Vec<(String, DynamicMessage)> {
    let mut all = Vec::new();
    for field in message.descriptor().fields() {
        let mut add = |place: &str, value: Value| {
            let mut changed = message.clone();
            changed.set_field(&field, value);
            all.push((format!("{}{place}", field.name()), changed));
        };
        if field.is_map() {
            let pair = |key: &str, value: &str| {
                let key = MapKey::String(key.to_owned());
                Value::Map([(key, Value::String(value.to_owned()))].into())
            };
            add(" (key)", pair(text, "value"));
            add(" (value)", pair("key", text));
            continue;
        }
        let kind = field.kind();
        if kind == Kind::String {
            add("", listed(&field, Value::String(text.to_owned())));
        } else if let Some(of) = kind.as_message() {
            let inner = message.get_field(&field);
            let inner = inner.as_message().cloned();
            let inner = inner.unwrap_or_else(|| DynamicMessage::new(of.clone()));
            for (place, inner) in replaced(&inner, text) {
                add(&format!(".{place}"), listed(&field, Value::Message(inner)));
            }
        }
    }
    all
}

fn listed(field: &FieldDescriptor, value: Value) -> Value {
    if field.is_list() {
        Value::List(vec![value])
    } else {
        value
    }
}

/// All that there is of a chat and its owner, but for what a worker does.
async fn all_of(stack: &Stack, chat: &Chat) -> Vec<String> {
    let client = stack.database.client().await;
    let mut all = Vec::new();
    for statement in [
        "SELECT to_jsonb(c)::text FROM chats c WHERE c.id = $1 OR c.owner_id = $2 ORDER BY c.id",
        "SELECT to_jsonb(a)::text FROM chat_acl a WHERE a.chat_id = $1 AND $2::uuid IS NOT NULL",
        "SELECT concat_ws('|', r.id, r.git_remote_origin, r.git_branch, p.report_seq, r.pull_request)
         FROM git_refs r JOIN git_ref_polls p ON p.ref_id = r.id JOIN chats c ON c.id = r.chat_id
         WHERE c.id = $1 OR c.owner_id = $2 ORDER BY r.id",
        "SELECT concat_ws('|', g.id, g.provider_id) FROM git_accounts g
         WHERE g.user_id = $2 AND $1::uuid IS NOT NULL",
    ] {
        let ids: [Uuid; 2] = [chat.id.parse().unwrap(), chat.owner_id.parse().unwrap()];
        let rows = client.query(statement, &[&ids[0], &ids[1]]).await.unwrap();
        assert_eq!(rows.len(), 1, "{statement}");
        all.extend(rows.iter().map(|row| row.try_get::<_, String>(0).unwrap()));
    }
    all
}

/// A chat with a share, a ref and an account.
async fn rich_chat(stack: &Stack, owner: &Caller, workspace: Uuid) -> Chat {
    let create = CreateChatRequest {
        workspace_id: Some(workspace.to_string()),
        ..CreateChatRequest::default()
    };
    let chat = stack.chat_with(owner, create).await;
    let share = UpdateChatSharingRequest {
        chat_id: chat.id.clone(),
        add_readers: vec![Subject {
            subject: Some(subject::Subject::UserId(Uuid::now_v7().to_string())),
        }],
        ..UpdateChatSharingRequest::default()
    };
    let mut chats = stack.chats(owner);
    chats.update_chat_sharing(share).await.unwrap();
    let target = Target::ChatId(chat.id.clone());
    chats.report_git_ref(report(target)).await.unwrap();
    let mut accounts = stack.accounts(owner);
    accounts.link_git_account(link()).await.unwrap();
    chat
}

#[tokio::test]
async fn hostile_text_in_any_field_of_any_request_reaches_nothing_of_others() {
    Stack::run(async |stack| {
        let (owner, victim) = (Caller::user(), Caller::user());
        let workspace = Uuid::now_v7();
        let chat = rich_chat(stack, &owner, workspace).await;
        let others = rich_chat(stack, &victim, workspace).await;
        let before = all_of(stack, &others).await;
        let public = [owner, Caller::internal(), Caller::user()];
        let worker = [Caller::gitsync()];
        let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut tried = BTreeSet::new();
        for service in pool.services().filter(|service| {
            // Of this process's operators, and on a listener of the other service.
            service.full_name() != "gitsync.v1.WorkerService"
        }) {
            let callers: &[Caller] = match service.name() {
                "SyncService" => &worker,
                _ => &public,
            };
            for method in service.methods() {
                for text in TEXTS.into_iter().chain([NUL]) {
                    for base in bases(&chat, &method) {
                        for (field, request) in replaced(&base, text) {
                            for caller in callers {
                                let result =
                                    call(stack, caller, method.full_name(), &request).await;
                                let code = result.as_ref().map_or_else(Status::code, |()| Code::Ok);
                                assert!(
                                    ANSWERS.contains(&code),
                                    "{} with {text:?} as {field}: {result:?}",
                                    method.full_name()
                                );
                            }
                            tried.insert(format!("{}.{field}", method.name()));
                        }
                    }
                }
            }
        }
        // The walk through the descriptors finds what is nested, listed and mapped.
        for place in [
            "GetChat.chat_id",
            "GetChats.page_token",
            "CreateChat.labels (key)",
            "UpdateChat.update_mask.paths",
            "UpdateChatSharing.add_writers.group_id",
            "ReportGitRef.workspace.owner_id",
            "WatchChats.since_revision",
            "LinkGitAccount.access_token",
            "LeaseDiffStatuses.worker_id",
            "ReportOutcomes.lease_token",
        ] {
            assert!(tried.contains(place), "{place} is not in {tried:#?}");
        }
        assert_eq!(all_of(stack, &others).await, before);
    })
    .await;
}

#[tokio::test]
async fn hostile_titles_and_labels_are_kept_as_they_are_and_match_only_themselves() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut made: BTreeMap<String, &str> = BTreeMap::new();
        for text in TEXTS {
            let request = CreateChatRequest {
                title: text.to_owned(),
                labels: [
                    ("of".to_owned(), text.to_owned()),
                    (text.to_owned(), "is key".to_owned()),
                ]
                .into(),
                ..CreateChatRequest::default()
            };
            let chat = stack.chat_with(&owner, request.clone()).await;
            assert_eq!((chat.title, chat.labels), (request.title, request.labels));
            made.insert(chat.id, text);
        }
        let listed = async |request: GetChatsRequest| {
            let page = stack.chats(&owner).get_chats(request).await.unwrap();
            let page = page.into_inner().chats;
            page.iter()
                .map(|chat| made[&chat.id])
                .collect::<BTreeSet<_>>()
        };
        let by_label = |key: &str, value: &str| GetChatsRequest {
            labels: [(key.to_owned(), value.to_owned())].into(),
            ..GetChatsRequest::default()
        };
        for text in TEXTS {
            let by_title = GetChatsRequest {
                title: Some(text.to_owned()),
                ..GetChatsRequest::default()
            };
            let with_it: BTreeSet<&str> = TEXTS
                .into_iter()
                .filter(|title| title.to_lowercase().contains(&text.to_lowercase()))
                .collect();
            assert_eq!(listed(by_title).await, with_it, "{text:?} in titles");
            let only = BTreeSet::from([text]);
            assert_eq!(listed(by_label("of", text)).await, only, "as a value");
            assert_eq!(listed(by_label(text, "is key")).await, only, "as a key");
        }
    })
    .await;
}

#[tokio::test]
async fn a_hostile_name_of_a_service_or_a_role_is_no_other_name() {
    Stack::run(async |stack| {
        let chat = stack.chat(&Caller::user()).await;
        let get = GetChatRequest {
            chat_id: chat.id,
            ..GetChatRequest::default()
        };
        for text in TEXTS {
            for caller in [
                Caller::service(text),
                Caller::service(&format!("internal{text}")),
                Caller::user().site(text),
                Caller::user().site(&format!("admin{text}")),
            ] {
                let answer = stack.chats(&caller).get_chat(get.clone()).await;
                let code = answer.unwrap_err().code();
                assert!(
                    [Code::NotFound, Code::Unauthenticated].contains(&code),
                    "{text:?}: {code}"
                );
            }
        }
    })
    .await;
}
