//! Who may not write locks nothing: a refused call waits for no other transaction, however long
//! that takes, and leaves no trace in any row.

use std::collections::BTreeSet;

use proto::chat::v1::{self, Chat, report_git_ref_request::Target};
use tonic::Code;
use uuid::Uuid;

use super::{
    Cast, SERVED_ELSEWHERE,
    call::{link, rest},
    hidden::{NAMING_A_CHAT, refusal},
    rpcs,
};
use crate::{
    lock::Holder,
    stack::{Stack, refused},
    worker::{Owner, Worker, value},
};

/// RPCs that write nothing. Every other one is tried.
const READING: [&str; 6] = [
    "chat.v1.ChatService.BatchGetChats",
    "chat.v1.ChatService.GetChat",
    "chat.v1.ChatService.GetChats",
    "chat.v1.ChatService.WatchChats",
    "chat.v1.GitAccountService.ListGitAccounts",
    "chat.v1.SyncAdminService.GetSyncState",
];
/// RPCs that write and name no chat, or not only one.
const OTHERS: [&str; 12] = [
    "chat.v1.ChatService.CreateChat",
    "chat.v1.ChatService.ReportGitRef",
    "chat.v1.GitAccountService.LinkGitAccount",
    "chat.v1.GitAccountService.UnlinkGitAccount",
    "chat.v1.SyncAdminService.ReleaseLeaseOf",
    "chat.v1.SyncAdminService.ResumeBudget",
    "chat.v1.SyncAdminService.RequeueGitRefs",
    "chat.v1.SyncService.LeaseDiffStatuses",
    "chat.v1.SyncService.RenewLease",
    "chat.v1.SyncService.ReportOutcomes",
    "chat.v1.SyncService.ReportDiff",
    "chat.v1.SyncService.ReleaseLease",
];
/// Those that all may call who may read the chat: what they write is no part of it.
const READERS: [&str; 1] = ["chat.v1.ChatService.GetChatDiff"];
/// All rows that a call could lock.
const LOCK_ALL: &str = "SELECT FROM chats FOR UPDATE; SELECT FROM chat_acl FOR UPDATE;
    SELECT FROM git_refs FOR UPDATE; SELECT FROM git_ref_polls FOR UPDATE;
    SELECT FROM git_accounts FOR UPDATE; SELECT FROM git_credentials FOR UPDATE;
    SELECT FROM git_tokens FOR UPDATE; SELECT FROM git_budgets FOR UPDATE;
    SELECT FROM git_ref_attentions FOR UPDATE; SELECT FROM git_diffs FOR UPDATE";
/// Version and locker of every row, where a lock shows even after it was given up.
const VERSIONS: &str = "SELECT string_agg(v.row, ' ' ORDER BY v.row) FROM (
    SELECT 'c' || ctid || xmin || '/' || xmax AS row FROM chats
    UNION ALL SELECT 's' || ctid || xmin || '/' || xmax FROM chat_acl
    UNION ALL SELECT 'r' || ctid || xmin || '/' || xmax FROM git_refs
    UNION ALL SELECT 'p' || ctid || xmin || '/' || xmax FROM git_ref_polls
    UNION ALL SELECT 'a' || ctid || xmin || '/' || xmax FROM git_accounts
    UNION ALL SELECT 'k' || ctid || xmin || '/' || xmax FROM git_credentials
    UNION ALL SELECT 't' || ctid || xmin || '/' || xmax FROM git_tokens
    UNION ALL SELECT 'b' || ctid || xmin || '/' || xmax FROM git_budgets
    UNION ALL SELECT 'n' || ctid || xmin || '/' || xmax FROM git_ref_attentions
    UNION ALL SELECT 'd' || ctid || xmin || '/' || xmax FROM git_diffs
) AS v";

fn tried() -> BTreeSet<String> {
    NAMING_A_CHAT
        .iter()
        .map(|(rpc, _)| *rpc)
        .filter(|rpc| !READING.contains(rpc))
        .chain(OTHERS)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_rpc_that_writes_is_tried_by_who_may_not() {
    let aside: BTreeSet<String> = READING
        .iter()
        .chain(&SERVED_ELSEWHERE)
        .map(|rpc| (*rpc).to_owned())
        .collect();
    let writing: BTreeSet<String> = rpcs(|_| true).difference(&aside).cloned().collect();
    assert_eq!(tried(), writing);
}

/// Calls everything that writes, as one who may see nothing and as one who may only read.
async fn refuse_all(stack: &Stack, cast: &Cast, chat: &Chat) {
    let id: Uuid = chat.id.parse().unwrap();
    for (rpc, what) in NAMING_A_CHAT {
        if READING.contains(&rpc) {
            continue;
        }
        for (name, code) in [
            ("stranger", Code::NotFound),
            ("another service", Code::NotFound),
            ("reader", Code::PermissionDenied),
            ("site auditor", Code::PermissionDenied),
        ] {
            if code == Code::PermissionDenied && READERS.contains(&rpc) {
                continue;
            }
            let status = refusal(stack, cast.caller(name), rpc, what, id).await;
            assert_eq!(status.code(), code, "{name}, {rpc} {what}: {status}");
        }
    }
    let stranger = cast.caller("stranger");
    let mut client = stack.chats(stranger);
    let create = v1::CreateChatRequest {
        owner_id: Some(chat.owner_id.clone()),
        ..v1::CreateChatRequest::default()
    };
    let created = client.create_chat(create).await;
    assert_eq!(refused(created).0, Code::PermissionDenied);
    let report = v1::ReportGitRefRequest {
        target: Some(Target::Workspace(v1::WorkspaceChats {
            owner_id: chat.owner_id.clone(),
            workspace_id: chat.workspace_id.clone().unwrap(),
        })),
        git_remote_origin: "https://github.com/acme/web".to_owned(),
        git_branch: "feat/x".to_owned(),
        commit: None,
    };
    let reported = client.report_git_ref(report).await;
    assert_eq!(refused(reported).0, Code::PermissionDenied);
    for rpc in OTHERS {
        let (service, method) = rpc.rsplit_once('.').unwrap();
        if service != "chat.v1.ChatService" {
            let answer = rest(stack, cast, stranger, method).await;
            assert_eq!(answer, "denied", "{rpc}");
        }
    }
}

#[tokio::test]
async fn who_may_not_write_waits_for_no_lock_and_takes_none() {
    Stack::run(async |stack| {
        let cast = Cast::new();
        let workspace = Uuid::now_v7().to_string();
        let chat = cast.chat_in(stack, Some(workspace)).await;
        let owner = Owner {
            stack,
            caller: cast.owner.clone(),
        };
        link(stack, &cast.owner).await;
        owner.report(&chat.id, "feat/x").await;
        let lease = Worker::of(stack).lease_one().await;
        assert_eq!(lease.refs().len(), 1, "rows of every kind");
        testkit::wait::until("the new account is followed up", || async {
            let changed = "SELECT count(*) FROM git_accounts WHERE unannounced OR requeue_denied";
            let changed: i64 = value(stack, changed).await;
            if changed == 0 { Ok(()) } else { Err(changed) }
        })
        .await;
        let versions: String = value(stack, VERSIONS).await;
        refuse_all(stack, &cast, &chat).await;
        assert_eq!(value::<String>(stack, VERSIONS).await, versions);
        let holder = Holder::of(stack, LOCK_ALL).await;
        // Whatever waited would end with another code, for want of the lock.
        refuse_all(stack, &cast, &chat).await;
        holder.let_go().await;
    })
    .await;
}
