//! Who may call what: every RPC of the contract, for every kind of caller, over real sockets. The
//! table is meant to be read by people who write no code.

mod call;
mod hidden;
mod locked;
mod recorder;

use std::{collections::BTreeSet, fmt::Write as _};

use prost_reflect::DescriptorPool;
use proto::chat::v1::{self, Chat, UpdateChatSharingRequest, subject};
use uuid::Uuid;

use crate::stack::{Caller, Stack};

/// RPCs of the other service, and those of KEDA, which sends no token. This list only shrinks.
const SERVED_ELSEWHERE: [&str; 5] = [
    "gitsync.v1.WorkerService.GetWorkerState",
    "externalscaler.ExternalScaler.IsActive",
    "externalscaler.ExternalScaler.StreamIsActive",
    "externalscaler.ExternalScaler.GetMetricSpec",
    "externalscaler.ExternalScaler.GetMetrics",
];

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
        self.chat_in(stack, None).await
    }

    async fn chat_in(&self, stack: &Stack, workspace_id: Option<String>) -> Chat {
        let request = v1::CreateChatRequest {
            organization_id: Some(self.organization.to_string()),
            workspace_id,
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
const ROWS: [(&str, &str); 25] = [
    ("chat.v1.ChatService.GetChats", "lists it"),
    ("chat.v1.ChatService.GetChats", "lists it as shared"),
    ("chat.v1.ChatService.GetChat", ""),
    ("chat.v1.ChatService.BatchGetChats", "gets it"),
    ("chat.v1.ChatService.CreateChat", "for the owner"),
    ("chat.v1.ChatService.UpdateChat", "title"),
    ("chat.v1.ChatService.UpdateChat", "archived"),
    ("chat.v1.ChatService.DeleteChat", ""),
    ("chat.v1.ChatService.UpdateChatSharing", ""),
    ("chat.v1.ChatService.RefreshChat", ""),
    ("chat.v1.ChatService.GetChatDiff", ""),
    ("chat.v1.ChatService.ReportGitRef", ""),
    ("chat.v1.ChatService.WatchChats", "hears of it"),
    ("chat.v1.GitAccountService.LinkGitAccount", "the owner's"),
    ("chat.v1.GitAccountService.ListGitAccounts", "the owner's"),
    ("chat.v1.GitAccountService.UnlinkGitAccount", "the owner's"),
    ("chat.v1.SyncAdminService.GetSyncState", ""),
    (
        "chat.v1.SyncAdminService.ReleaseLeaseOf",
        "an unknown budget",
    ),
    ("chat.v1.SyncAdminService.ResumeBudget", "an unknown one"),
    ("chat.v1.SyncAdminService.RequeueGitRefs", "an unknown one"),
    ("chat.v1.SyncService.LeaseDiffStatuses", ""),
    ("chat.v1.SyncService.RenewLease", "an unknown one"),
    ("chat.v1.SyncService.ReportOutcomes", "an unknown lease"),
    ("chat.v1.SyncService.ReportDiff", "of an unknown lease"),
    ("chat.v1.SyncService.ReleaseLease", "an unknown one"),
];

#[tokio::test]
async fn every_rpc_answers_every_kind_of_caller_as_the_policies_say() {
    Stack::run(async |stack| {
        let cast = Cast::new();
        let mut table = String::new();
        for (rpc, what) in &ROWS {
            let (service, method) = rpc.trim_start_matches("chat.v1.").split_once('.').unwrap();
            writeln!(table, "{}", format!("{service}.{method} {what}").trim_end()).unwrap();
            // Callers by their answer: the shape in which people ask.
            let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
            for (name, caller) in &cast.callers {
                let answer = if service == "ChatService" {
                    call::on_chat(stack, &cast, caller, method, what).await
                } else {
                    call::on_rest(stack, &cast, caller, method).await
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
    })
    .await;
}

/// The full names of the contract's RPCs for which `wanted` holds of the request.
fn rpcs(wanted: impl Fn(&prost_reflect::MessageDescriptor) -> bool) -> BTreeSet<String> {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let services: Vec<_> = pool.services().collect();
    let methods = services.iter().flat_map(|service| service.methods());
    methods
        .filter(|method| wanted(&method.input()))
        .map(|method| method.full_name().to_owned())
        .collect()
}

#[test]
fn every_rpc_of_the_contract_has_a_row() {
    let rows: BTreeSet<String> = ROWS
        .iter()
        .map(|(rpc, _)| (*rpc).to_owned())
        .chain(SERVED_ELSEWHERE.map(str::to_owned))
        .collect();
    assert_eq!(rpcs(|_| true), rows);
}
