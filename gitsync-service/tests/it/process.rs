//! The real binary: its ports, its state for operators, and its end.

use std::collections::BTreeSet;

use proto::{
    gitsync::v1::{GetWorkerStateRequest, GetWorkerStateResponse},
    reason,
};
use testkit::{
    clients::{self, Bearer, Caller, bearer},
    github::Matching,
    http,
    process::{Process, Signal},
    wait::until,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    binary::{Keys, configured, start},
    stack::Stack,
};

async fn worker_state(url: &str, token: Option<&str>) -> Result<GetWorkerStateResponse, Status> {
    let bearer = token.map_or(Bearer::ANONYMOUS, bearer);
    clients::worker(clients::channel(url), bearer)
        .get_worker_state(GetWorkerStateRequest {})
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_ref_is_looked_up_and_reported_by_the_real_binary() {
    Stack::run(async |stack| {
        let keys = Keys::new();
        stack.chat().accept_only(&keys.service_token());
        stack.github.pull_request("acme/web").head("a").open();
        stack.chat().queue(stack.lease("lease", &["a"]));
        let (mut process, grpc, ops) = start(stack, &keys).await;
        stack.applied("a").await;
        stack.released("lease").await;

        let listening = process.wait_for_event("listening").await;
        assert_eq!(process.log()[0], listening, "it is the first line");
        assert_eq!(
            format!("http://{}", listening["grpc"].as_str().unwrap()),
            grpc
        );
        assert_eq!(
            format!("http://{}", listening["ops"].as_str().unwrap()),
            ops
        );
        assert!(http::get(&ops, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = until("the outcome is counted", || async {
            let metrics = http::get(&ops, "/metrics").await;
            if metrics.contains("result=\"found\",class=\"none\"} 1\n") {
                Ok(metrics)
            } else {
                Err(metrics)
            }
        })
        .await;
        for name in [
            "gitsync_leased_refs_total 1",
            "endpoint=\"graphql_discover\",status=\"200\"} 1\n",
            "rpc_client_call_duration_seconds_count{rpc_system_name=\"grpc\",\
             rpc_method=\"chat.v1.SyncService/ReportOutcomes\",\
             rpc_response_status_code=\"OK\",error_type=\"\"} 1",
            "gitsync_ready 1",
            "gitsync_panics_total 0",
            "gitsync_host_requests_in_flight 0",
            "gitsync_leases_lost_total 0",
            "gitsync_report_duration_seconds_count 1",
        ] {
            assert!(metrics.contains(name), "{name} in {metrics}");
        }

        // No secret is in any line, at the most talkative.
        let log = process.lines().join("\n");
        let secrets = [&stack.token, &keys.service_token(), "key of lease"];
        for secret in [secrets[0], secrets[1]] {
            assert!(!log.contains(secret.trim()), "{secret} in {log}");
            assert!(!metrics.contains(secret.trim()));
        }
        assert!(!metrics.contains(secrets[2]));
        process.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_without_graphql_by_its_settings_sends_none() {
    Stack::run(async |stack| {
        let keys = Keys::new();
        stack.github.pull_request("acme/web").head("a").open();
        stack.chat().queue(stack.lease("lease", &["a"]));
        let mut command = configured(stack, &keys);
        command.env("GITSYNC_GRAPHQL", "false");
        let process = Process::spawn("gitsync-service", command).unwrap();
        stack.applied("a").await;
        assert_eq!(stack.github.count(Matching::graphql()), 0);
        assert_eq!(stack.github.count("/pulls$"), 1);
        process.stop().await;
    })
    .await;
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_and_exits_with_0() {
    Stack::run_over_rest(async |stack| {
        let keys = Keys::new();
        let hold = stack.github.hold("/pulls$");
        stack.chat().queue(stack.lease("held", &["a"]));
        let (mut process, grpc, ops) = start(stack, &keys).await;
        hold.waiting(1).await;
        process.signal(Signal::Terminate).unwrap();
        until("it is not ready", || async {
            let answer = http::get(&ops, "/readyz").await;
            if answer.starts_with("HTTP/1.1 503") {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
        // Operators can watch the drain.
        let admin = keys.token(&Caller::user().site("admin"));
        let state = worker_state(&grpc, Some(&admin)).await.unwrap();
        assert!(state.draining);
        assert_eq!(state.leases.len(), 1);
        hold.release();
        let status = process.wait().await;
        assert!(status.success(), "{status}");
        assert!(stack.chat().outcomes().contains_key("a"));
        assert!(stack.chat().is_released("held"));
    })
    .await;
}

#[tokio::test]
async fn the_workers_state_is_for_site_admins_only() {
    Stack::run_over_rest(async |stack| {
        let keys = Keys::new();
        let hold = stack.github.hold("/pulls$");
        stack.chat().queue(stack.lease("held", &["a", "b"]));
        let (process, grpc, _) = start(stack, &keys).await;
        process.expect_warnings(&["a git host is in another state: graphql_left"]);
        hold.waiting(2).await;

        let forged = Keys::new().token(&Caller::user().site("admin"));
        for (token, code, why) in [
            (None, Code::Unauthenticated, reason::CREDENTIALS_MISSING),
            (
                Some("x".to_owned()),
                Code::Unauthenticated,
                reason::CREDENTIALS_INVALID,
            ),
            (
                Some(forged),
                Code::Unauthenticated,
                reason::CREDENTIALS_INVALID,
            ),
            (
                Some(keys.token(&Caller::user().site("auditor"))),
                Code::PermissionDenied,
                reason::ACTION_NOT_ALLOWED,
            ),
            (
                Some(keys.token(&Caller::user().site("admin").suspended())),
                Code::PermissionDenied,
                reason::ACTION_NOT_ALLOWED,
            ),
            (
                Some(keys.token(&Caller::gitsync().site("admin"))),
                Code::PermissionDenied,
                reason::ACTION_NOT_ALLOWED,
            ),
        ] {
            let status = worker_state(&grpc, token.as_deref()).await.unwrap_err();
            let info = status.get_details_error_info().unwrap();
            assert_eq!((status.code(), info.reason.as_str()), (code, why));
            assert_eq!(info.domain, reason::DOMAIN);
        }

        let admin = keys.token(&Caller::user().site("admin"));
        let state = worker_state(&grpc, Some(&admin)).await.unwrap();
        assert!(!state.worker_id.is_empty() && state.uptime.is_some() && !state.draining);
        assert_eq!(state.refs_leased, 2);
        assert_eq!(state.host_requests_in_flight, 2);
        let lease = &state.leases[0];
        assert_eq!((lease.budget_key.as_str(), lease.refs), ("key of held", 2));
        hold.release();
        stack.released("held").await;
        until("the outcomes are counted", || async {
            let state = worker_state(&grpc, Some(&admin)).await.unwrap();
            if state.outcomes_reported == 2
                && state.leases.is_empty()
                && state.outcomes_per_second > 0.0
            {
                Ok(())
            } else {
                Err(state)
            }
        })
        .await;
        process.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_last_failures_are_shown_to_operators() {
    Stack::run(async |stack| {
        let keys = Keys::new();
        let mut lease = stack.lease("lease", &["a"]);
        lease.groups[0].credential = None;
        stack.chat().queue(lease);
        let (process, grpc, _) = start(stack, &keys).await;
        stack.released("lease").await;
        let admin = keys.token(&Caller::user().site("admin"));
        until("the failure is listed", || async {
            let state = worker_state(&grpc, Some(&admin)).await.unwrap();
            let first = state.last_errors.first().cloned();
            first
                .filter(|error| error.kind == "no_account" && error.ago.is_some())
                .ok_or(state)
        })
        .await;
        process.stop().await;
    })
    .await;
}

#[tokio::test]
async fn health_and_both_versions_of_reflection_are_served() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    Stack::run(async |stack| {
        let keys = Keys::new();
        let (process, grpc, _) = start(stack, &keys).await;
        let channel = clients::channel(&grpc);
        for service in ["", "gitsync.v1.WorkerService"] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let answer = HealthClient::new(channel.clone())
                .check(request)
                .await
                .unwrap();
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
        }

        macro_rules! services {
            ($version:ident) => {{
                use tonic_reflection::pb::$version::{
                    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                    server_reflection_request::MessageRequest,
                    server_reflection_response::MessageResponse,
                };
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(MessageRequest::ListServices(String::new())),
                };
                let mut answers = ServerReflectionClient::new(channel.clone())
                    .server_reflection_info(tokio_stream::iter([request]))
                    .await
                    .unwrap()
                    .into_inner();
                let answer = answers.message().await.unwrap().unwrap();
                match answer.message_response {
                    Some(MessageResponse::ListServicesResponse(list)) => list
                        .service
                        .into_iter()
                        .map(|service| service.name)
                        .collect::<BTreeSet<_>>(),
                    other => panic!("{other:?}"),
                }
            }};
        }
        for services in [services!(v1), services!(v1alpha)] {
            assert!(
                services.contains("gitsync.v1.WorkerService"),
                "{services:?}"
            );
            assert!(services.contains("grpc.health.v1.Health"), "{services:?}");
        }
        process.stop().await;
    })
    .await;
}
