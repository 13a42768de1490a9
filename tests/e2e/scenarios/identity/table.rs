//! Every RPC that needs a token, and its answer to each identity.

use proto::{chat::v1, gitsync};
use tonic::Code;
use uuid::Uuid;

/// An RPC, a request that is well formed and about nothing that exists, and the answer to each
/// identity on the listener that serves it. On every other listener it does not exist, for all.
pub(super) struct Row {
    pub(super) rpc: &'static str,
    pub(super) request: Vec<u8>,
    pub(super) answers: [Code; 4],
}

pub(super) fn table() -> Vec<Row> {
    use Code::{FailedPrecondition, NotFound, Ok, PermissionDenied as Denied};
    let row = |rpc, request: &dyn Encoded, answers| Row {
        rpc,
        request: request.encoded(),
        answers,
    };
    let some = || Uuid::now_v7().to_string();
    let chat_id = some;
    let user_id = || Some(some());
    let provider_id = || "github".to_owned();
    vec![
        row(
            "chat.v1.ChatService/GetChats",
            &v1::GetChatsRequest::default(),
            [Ok, Ok, Ok, Ok],
        ),
        row(
            "chat.v1.ChatService/GetChat",
            &v1::GetChatRequest {
                chat_id: chat_id(),
                ..v1::GetChatRequest::default()
            },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/BatchGetChats",
            &v1::BatchGetChatsRequest {
                chat_ids: vec![chat_id()],
                ..v1::BatchGetChatsRequest::default()
            },
            [Ok, Ok, Ok, Ok],
        ),
        row(
            "chat.v1.ChatService/CreateChat",
            &v1::CreateChatRequest {
                owner_id: user_id(),
                ..v1::CreateChatRequest::default()
            },
            [Denied, Ok, Denied, Ok],
        ),
        row(
            "chat.v1.ChatService/UpdateChat",
            &v1::UpdateChatRequest {
                chat_id: chat_id(),
                title: Some("changed".to_owned()),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["title".to_owned()],
                }),
                ..v1::UpdateChatRequest::default()
            },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/DeleteChat",
            &v1::DeleteChatRequest {
                chat_id: chat_id(),
                etag: None,
            },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/UpdateChatSharing",
            &v1::UpdateChatSharingRequest {
                chat_id: chat_id(),
                add_readers: vec![v1::Subject {
                    subject: Some(v1::subject::Subject::UserId(some())),
                }],
                ..v1::UpdateChatSharingRequest::default()
            },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/RefreshChat",
            &v1::RefreshChatRequest { chat_id: chat_id() },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/GetChatDiff",
            &v1::GetChatDiffRequest { chat_id: chat_id() },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/ReportGitRef",
            &v1::ReportGitRefRequest {
                target: Some(v1::report_git_ref_request::Target::ChatId(chat_id())),
                git_remote_origin: "https://github.com/acme/web".to_owned(),
                git_branch: "feature".to_owned(),
                commit: None,
            },
            [NotFound, NotFound, NotFound, NotFound],
        ),
        row(
            "chat.v1.ChatService/WatchChats",
            &v1::WatchChatsRequest::default(),
            [Ok, Ok, Ok, Ok],
        ),
        row(
            "chat.v1.GitAccountService/LinkGitAccount",
            &v1::LinkGitAccountRequest {
                user_id: user_id(),
                provider_id: provider_id(),
                access_token: "token".to_owned(),
                ..v1::LinkGitAccountRequest::default()
            },
            [Denied, Ok, Denied, Denied],
        ),
        row(
            "chat.v1.GitAccountService/ListGitAccounts",
            &v1::ListGitAccountsRequest {
                user_id: user_id(),
                ..v1::ListGitAccountsRequest::default()
            },
            [Denied, Ok, Denied, Denied],
        ),
        row(
            "chat.v1.GitAccountService/UnlinkGitAccount",
            &v1::UnlinkGitAccountRequest {
                user_id: user_id(),
                provider_id: provider_id(),
            },
            [Denied, NotFound, Denied, Denied],
        ),
        row(
            "chat.v1.SyncAdminService/GetSyncState",
            &v1::GetSyncStateRequest {},
            [Denied, Denied, Denied, Ok],
        ),
        row(
            "chat.v1.SyncAdminService/ReleaseLeaseOf",
            &v1::ReleaseLeaseOfRequest { budget_key: some() },
            [Denied, Denied, Denied, NotFound],
        ),
        row(
            "chat.v1.SyncAdminService/ResumeBudget",
            &v1::ResumeBudgetRequest { budget_key: some() },
            [Denied, Denied, Denied, NotFound],
        ),
        row(
            "chat.v1.SyncAdminService/RequeueGitRefs",
            &v1::RequeueGitRefsRequest {
                git_ref_ids: vec![some()],
            },
            [Denied, Denied, Denied, Ok],
        ),
        row(
            "chat.v1.SyncService/LeaseDiffStatuses",
            &v1::LeaseDiffStatusesRequest {
                request_id: some(),
                worker_id: "worker".to_owned(),
                ..v1::LeaseDiffStatusesRequest::default()
            },
            [Denied, Denied, Ok, Denied],
        ),
        row(
            "chat.v1.SyncService/RenewLease",
            &v1::RenewLeaseRequest {
                lease_token: some(),
            },
            [Denied, Denied, FailedPrecondition, Denied],
        ),
        row(
            "chat.v1.SyncService/ReportOutcomes",
            &v1::ReportOutcomesRequest {
                request_id: some(),
                lease_token: some(),
                ..v1::ReportOutcomesRequest::default()
            },
            [Denied, Denied, FailedPrecondition, Denied],
        ),
        row(
            "chat.v1.SyncService/ReportDiff",
            &v1::ReportDiffRequest {
                lease_token: some(),
                git_ref_id: some(),
                fence: Some(v1::Fence {
                    report_seq: 1,
                    ..v1::Fence::default()
                }),
                result: Some(v1::report_diff_request::Result::Missing(v1::DiffMissing {})),
            },
            [Denied, Denied, FailedPrecondition, Denied],
        ),
        row(
            "chat.v1.SyncService/ReleaseLease",
            &v1::ReleaseLeaseRequest {
                lease_token: some(),
            },
            [Denied, Denied, Ok, Denied],
        ),
        row(
            "gitsync.v1.WorkerService/GetWorkerState",
            &gitsync::v1::GetWorkerStateRequest {},
            [Denied, Denied, Denied, Ok],
        ),
    ]
}

/// `prost::Message` is no trait object.
trait Encoded {
    fn encoded(&self) -> Vec<u8>;
}

impl<M: prost::Message> Encoded for M {
    fn encoded(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
