//! Checks of a call before its handler: its caller, and whether it is well formed.

use std::{collections::BTreeSet, time::Duration};

use e2e::stack::Stack;
use proto::{chat::v1, reason};
use service_runtime::token::{MAX_TOKEN_BYTES, Organization};
use testkit::{
    clients::{Caller, channel, refused},
    wait,
};
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use uuid::Uuid;

use crate::raw::{Call, peak_mib};

/// Memory that calls with bodies of 15 MB may cost together: less than one of the bodies.
const MAX_GROWTH_MIB: u64 = 12;

/// Promise 10, for bodies of callers without a token: they are refused unread.
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

/// Promise 10, for bodies that would decode to gigabytes.
#[tokio::test]
async fn a_list_beyond_its_bound_is_not_decoded_even_with_a_good_token() {
    Stack::run(async |stack| {
        let worker = stack.token(&Caller::gitsync());
        let user = stack.token(&Caller::user());
        let (report, share) = (
            "chat.v1.SyncService/ReportOutcomes",
            "chat.v1.ChatService/UpdateChatSharing",
        );
        let before = peak_mib(&stack.chat_service);
        for (url, method, token, message, field) in [
            (
                stack.sync_url(),
                report,
                &worker,
                [0x1a, 0].repeat(7_500_000),
                "outcomes",
            ),
            (
                stack.grpc_url(),
                share,
                &user,
                [0x12, 0].repeat(30_000),
                "add_readers",
            ),
        ] {
            for _ in 0..4 {
                let answer = Call::new(url, method, &message).bearer(token).send().await;
                let refused = (
                    Code::InvalidArgument,
                    reason::FIELD_INVALID.to_owned(),
                    Some(field.to_owned()),
                );
                assert_eq!(answer.facts(), refused);
            }
        }
        let growth = peak_mib(&stack.chat_service) - before;
        assert!(growth <= MAX_GROWTH_MIB, "grew by {growth} MiB");
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_request_are_the_clients_mistake_and_name_the_field() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let user = stack.token(&Caller::user());
        let gitsync = stack.token(&Caller::gitsync());
        let malformed = |field: Option<&str>| {
            (
                Code::InvalidArgument,
                reason::REQUEST_MALFORMED.to_owned(),
                field.map(str::to_owned),
            )
        };
        let too_large = || {
            (
                Code::ResourceExhausted,
                reason::REQUEST_TOO_LARGE.to_owned(),
                None,
            )
        };
        let (public, sync) = (stack.grpc_url(), stack.sync_url());
        let create = || Call::new(public, "chat.v1.ChatService/CreateChat", &[]).bearer(&user);
        let renew = || Call::new(sync, "chat.v1.SyncService/RenewLease", &[]).bearer(&gitsync);
        let health = || Call::new(worker.grpc.as_str(), "grpc.health.v1.Health/Check", &[]);
        for (call, expected) in [
            // A title and a lease token that are not UTF-8.
            (
                create().body(b"\0\0\0\0\x03\x22\x01\xff"),
                malformed(Some("title")),
            ),
            (
                renew().body(b"\0\0\0\0\x03\x0a\x01\xff"),
                malformed(Some("lease_token")),
            ),
            (
                health().body(b"\0\0\0\0\x03\x0a\x01\xff"),
                malformed(Some("service")),
            ),
            // A title that is a number.
            (
                create().body(b"\0\0\0\0\x02\x20\x01"),
                malformed(Some("title")),
            ),
            // Nothing, less than was said, and no message at all.
            (create().body(b""), malformed(None)),
            (create().body(b"\0\0\0\0\x09\x22"), malformed(None)),
            (renew().body(b"\0\0\0\0\x01\xff"), malformed(None)),
            (health().body(b"GET / HTTP/1.1\r\n\r\n"), malformed(None)),
            // More than a method takes, of which only the length is sent.
            (create().body(b"\0\0\x02\0\0"), too_large()),
            (renew().body(b"\0\0\x02\0\0"), too_large()),
            (health().body(b"\0\0\x02\0\0"), too_large()),
        ] {
            let what = format!("{call:?}");
            assert_eq!(call.send().await.facts(), expected, "{what}");
        }
        vec![worker]
    })
    .await;
}

/// A user in `count` organizations, with one of three sets of roles in each, and in `count` groups.
fn member_of(count: u128) -> Caller {
    let mut caller = Caller::user();
    caller.claims.organizations = (0..count)
        .map(|number| Organization {
            id: Uuid::now_v7(),
            roles: match number % 3 {
                0 => BTreeSet::new(),
                1 => BTreeSet::from(["admin".to_owned()]),
                _ => BTreeSet::from(["member".to_owned()]),
            },
        })
        .collect();
    caller.claims.groups = (0..count).map(|_| Uuid::now_v7()).collect();
    caller
}

#[tokio::test]
async fn a_user_in_a_thousand_organizations_and_groups_gets_in_and_one_more_is_refused_by_name() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let many = member_of(1000).site("admin");
        let organization = many.claims.organizations[1].id.to_string();
        let create = v1::CreateChatRequest {
            organization_id: Some(organization.clone()),
            ..v1::CreateChatRequest::default()
        };
        let chat = stack.chats(&many).create_chat(create).await.unwrap();
        assert_eq!(
            chat.into_inner().chat.unwrap().organization_id(),
            organization
        );
        let all = v1::GetChatsRequest::default();
        let page = stack.chats(&many).get_chats(all.clone()).await.unwrap();
        assert_eq!(page.into_inner().chats.len(), 1);
        let state = proto::gitsync::v1::GetWorkerStateRequest {};
        let mut workers = stack.worker_service(&worker, &many);
        workers.get_worker_state(state).await.unwrap();
        let list = || Call::new(stack.grpc_url(), "chat.v1.ChatService/GetChats", &[]);
        let answer = list().web().bearer(&stack.token(&many)).send().await;
        assert_eq!((answer.http.as_u16(), answer.grpc_status()), (200, None));

        let too_large = (
            Code::Unauthenticated,
            reason::CREDENTIALS_TOO_LARGE.to_owned(),
            None,
        );
        let more = member_of(1001);
        assert_eq!(refused(stack.chats(&more).get_chats(all).await), too_large);
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        for answer in [
            list().bearer(&long).send().await,
            list().web().bearer(&long).send().await,
            list().web().bearer(&stack.token(&more)).send().await,
            Call::new(stack.sync_url(), "chat.v1.SyncService/RenewLease", &[])
                .bearer(&long)
                .send()
                .await,
            Call::new(&worker.grpc, "gitsync.v1.WorkerService/GetWorkerState", &[])
                .bearer(&long)
                .send()
                .await,
        ] {
            assert_eq!(answer.facts(), too_large);
        }
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn health_says_of_each_listeners_services_only_what_is_news() {
    Stack::run(async |stack| {
        let check = async |url: &str, service: &str| {
            let service = service.to_owned();
            let mut health = HealthClient::new(channel(url));
            let answer = health.check(HealthCheckRequest { service }).await;
            answer.map(|answer| answer.into_inner().status())
        };
        let (public, sync) = (stack.grpc_url(), stack.sync_url());
        for (url, served, other) in [
            (public, "chat.v1.ChatService", "chat.v1.SyncService"),
            (
                public,
                "chat.v1.SyncAdminService",
                "gitsync.v1.WorkerService",
            ),
            (sync, "chat.v1.SyncService", "chat.v1.ChatService"),
        ] {
            wait::until("it serves", async || match check(url, served).await {
                Ok(ServingStatus::Serving) => Ok(()),
                other => Err(other),
            })
            .await;
            let unknown = (Code::NotFound, reason::RESOURCE_NOT_FOUND.to_owned(), None);
            assert_eq!(refused(check(url, other).await), unknown, "{other}");
        }
        let watch = HealthCheckRequest::default();
        let mut watched = stack.health().watch(watch).await.unwrap().into_inner();
        let first = watched.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        // The database is asked every 2 seconds.
        let more = timeout(Duration::from_secs(5), watched.message()).await;
        assert!(more.is_err(), "{more:?}");
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn reflection_lists_the_services_of_its_listener_and_no_others() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let all = [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ];
        for (url, own) in [
            (
                stack.grpc_url(),
                &[
                    "chat.v1.ChatService",
                    "chat.v1.GitAccountService",
                    "chat.v1.SyncAdminService",
                ][..],
            ),
            (stack.sync_url(), &["chat.v1.SyncService"]),
            (&worker.grpc, &["gitsync.v1.WorkerService"]),
        ] {
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let mut client = ServerReflectionClient::new(channel(url));
            let requests = futures_util::stream::iter([request]);
            let answers = client.server_reflection_info(requests).await.unwrap();
            let answer = answers.into_inner().message().await.unwrap().unwrap();
            let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
                panic!("{answer:?}");
            };
            let listed: BTreeSet<_> = list.service.into_iter().map(|one| one.name).collect();
            let expected = own.iter().chain(&all).map(|name| (*name).to_owned());
            assert_eq!(listed, expected.collect(), "{url}");
        }
        vec![worker]
    })
    .await;
}
