//! What happens to a call before its handler: whose it is, and whether it is one.

use e2e::stack::Stack;
use proto::reason;
use testkit::clients::Caller;
use tonic::Code;

use crate::raw::{Call, peak_mib};

/// What all that a call without a token sends may cost: less than one of its bodies.
const MAX_GROWTH_MIB: u64 = 12;

#[tokio::test]
async fn fifteen_megabytes_without_a_token_cost_nothing() {
    Stack::run(async |stack| {
        // 7.5 million empty outcomes, and as many empty subjects.
        let outcomes = [0x1a, 0].repeat(7_500_000);
        let subjects = [0x12, 0].repeat(7_500_000);
        let calls = [
            (
                stack.sync_url(),
                "chat.v1.SyncService/ReportOutcomes",
                outcomes,
            ),
            (
                stack.grpc_url(),
                "chat.v1.ChatService/UpdateChatSharing",
                subjects,
            ),
        ];
        let before = peak_mib(&stack.chat_service);
        for (url, method, message) in &calls {
            for _ in 0..4 {
                let answer = Call::new(url, method, message).send().await;
                let facts = answer.facts();
                assert_eq!(facts.0, Code::Unauthenticated);
                assert_eq!(facts.1, reason::CREDENTIALS_MISSING);
            }
        }
        let growth = peak_mib(&stack.chat_service) - before;
        assert!(growth <= MAX_GROWTH_MIB, "grew by {growth} MiB");
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn a_call_that_no_handler_takes_is_refused_with_the_contracts_code_and_reason() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let token = stack.token(&Caller::user().site("admin"));
        let (public, sync, state) = (stack.grpc_url(), stack.sync_url(), worker.grpc.as_str());
        for (url, method) in [
            (public, "chat.v1.ChatService/Anything"),
            (public, "chat.v1.Anything/GetChat"),
            (public, "chat.v1.SyncService/ReportOutcomes"),
            (public, "gitsync.v1.WorkerService/GetWorkerState"),
            (sync, "chat.v1.ChatService/GetChat"),
            (state, "chat.v1.SyncService/RenewLease"),
        ] {
            let answer = Call::new(url, method, &[]).bearer(&token).send().await;
            let refused = (Code::Unimplemented, reason::METHOD_UNKNOWN.to_owned(), None);
            assert_eq!(answer.facts(), refused, "{method}");
        }
        for (url, method) in [
            (public, "chat.v1.ChatService/GetChats"),
            (sync, "chat.v1.SyncService/RenewLease"),
            (state, "gitsync.v1.WorkerService/GetWorkerState"),
        ] {
            let call = || Call::new(url, method, &[]).bearer(&token);
            let answer = call().header("grpc-encoding", "gzip").send().await;
            let refused = (
                Code::Unimplemented,
                reason::ENCODING_UNKNOWN.to_owned(),
                None,
            );
            assert_eq!(answer.facts(), refused, "{method}");
            assert_eq!(answer.headers["grpc-accept-encoding"], "identity");
            for content_type in ["text/plain", "application/json", "application/grpc+json"] {
                let answer = call().header("content-type", content_type).send().await;
                assert_eq!(answer.http.as_u16(), 415, "{method}, {content_type}");
            }
            let answer = call().header_too("authorization", "Bearer x").send().await;
            let refused = (
                Code::Unauthenticated,
                reason::CREDENTIALS_INVALID.to_owned(),
                None,
            );
            assert_eq!(answer.facts(), refused, "{method} with two tokens");
        }
        vec![worker]
    })
    .await;
}
