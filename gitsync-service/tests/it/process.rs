//! The real binary: its settings, its ports, its state for operators, and its end.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gitsync_service::config::EXIT_USAGE;
use proto::{
    gitsync::v1::{
        GetWorkerStateRequest, GetWorkerStateResponse, worker_service_client::WorkerServiceClient,
    },
    reason,
};
use secrecy::ExposeSecret as _;
use service_runtime::token::{AUDIENCE, Claims, Kind, Signer};
use testkit::{
    process::{Process, Signal, command},
    wait::until,
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::worker::Stack;

/// A directory with an issuer's public key and a service's token.
struct Keys {
    directory: PathBuf,
    signer: Signer,
}

impl Keys {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("gitsync-it-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&directory).unwrap();
        let pem = |label: &str, der: &[u8]| {
            format!(
                "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
                STANDARD.encode(der)
            )
        };
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        // RFC 8410's SubjectPublicKeyInfo.
        let mut public = vec![
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        public.extend_from_slice(pair.public_key().as_ref());
        std::fs::write(directory.join("public.pem"), pem("PUBLIC KEY", &public)).unwrap();
        let private = pem("PRIVATE KEY", document.as_ref());
        let keys = Self {
            directory,
            signer: Signer::from_private_key_pem(private.as_bytes()).unwrap(),
        };
        let service = keys.token(Kind::Service, &[], false);
        std::fs::write(keys.directory.join("token"), service).unwrap();
        keys
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn token(&self, kind: Kind, site_roles: &[&str], suspended: bool) -> String {
        let claims = Claims {
            sub: Uuid::new_v4().to_string(),
            aud: AUDIENCE.to_owned(),
            exp: 4_000_000_000,
            iat: None,
            kind,
            organizations: Vec::new(),
            groups: BTreeSet::new(),
            site_roles: site_roles.iter().map(|&role| role.to_owned()).collect(),
            suspended,
        };
        self.signer
            .sign(&claims)
            .unwrap()
            .expose_secret()
            .to_owned()
    }

    fn service_token(&self) -> String {
        std::fs::read_to_string(self.file("token")).unwrap()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn binary() -> Command {
    command(env!("CARGO_BIN_EXE_gitsync-service"))
}

fn configured(stack: &Stack, keys: &Keys) -> Command {
    let mut command = binary();
    command
        .env("GITSYNC_CHAT_SERVICE_URL", stack.server.url())
        .env("GITSYNC_TOKEN_FILE", keys.file("token"))
        .env("GITSYNC_JWT_PUBLIC_KEY_FILE", keys.file("public.pem"))
        .env("GITSYNC_LISTEN", "127.0.0.1:0")
        .env("GITSYNC_OPS_LISTEN", "127.0.0.1:0")
        .env("GITSYNC_LOG_FILTER", "debug");
    command
}

async fn start(stack: &Stack, keys: &Keys) -> (Process, String, String) {
    let ready_file = keys.file("ready.json");
    let mut command = configured(stack, keys);
    command.arg("--ready-file").arg(&ready_file);
    let mut process = Process::spawn("gitsync-service", command).unwrap();
    let ready = process.wait_for_ready_file(&ready_file).await;
    let url = |name: &str| ready[name].as_str().unwrap().to_owned();
    (process, url("grpc"), url("ops"))
}

async fn worker_state(url: &str, token: Option<&str>) -> Result<GetWorkerStateResponse, Status> {
    let channel = Channel::from_shared(url.to_owned()).unwrap().connect_lazy();
    let mut request = Request::new(GetWorkerStateRequest {});
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    WorkerServiceClient::new(channel)
        .get_worker_state(request)
        .await
        .map(tonic::Response::into_inner)
}

/// A plain HTTP request, for which no client is needed.
async fn http_get(url: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn a_ref_is_looked_up_and_reported_by_the_real_binary() {
    let stack = Stack::new().await;
    let keys = Keys::new();
    stack.chat().accept_only(&keys.service_token());
    stack.github.pull_request("acme/web").head("a").open();
    stack.chat().queue(stack.lease("lease", &["a"]));
    let (mut process, grpc, ops) = start(&stack, &keys).await;
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
    assert!(http_get(&ops, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = until("the outcome is counted", || async {
        let metrics = http_get(&ops, "/metrics").await;
        let counted = "gitsync_outcomes_total{result=\"found\",class=\"none\"} 1";
        if metrics.contains(counted) {
            Ok(metrics)
        } else {
            Err(metrics)
        }
    })
    .await;
    for name in [
        "gitsync_refs_leased_total 1",
        "gitsync_host_requests_total{endpoint=\"get_pull\",status=\"200\"} 1",
        "gitsync_host_request_duration_seconds_count{endpoint=\"list_pulls\"} 1",
        "gitsync_host_requests_in_flight 0",
        "gitsync_leases_lost_total 0",
        "gitsync_rate_limit_pauses_total 0",
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
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_and_exits_with_0() {
    let stack = Stack::new().await;
    let keys = Keys::new();
    let hold = stack.github.hold("/pulls$");
    stack.chat().queue(stack.lease("held", &["a"]));
    let (mut process, grpc, ops) = start(&stack, &keys).await;
    hold.waiting(1).await;
    process.signal(Signal::Terminate).unwrap();
    until("it is not ready", || async {
        let answer = http_get(&ops, "/readyz").await;
        if answer.starts_with("HTTP/1.1 503") {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    // Operators can watch the drain.
    let admin = keys.token(Kind::User, &["admin"], false);
    let state = worker_state(&grpc, Some(&admin)).await.unwrap();
    assert!(state.draining);
    assert_eq!(state.leases.len(), 1);
    hold.release();
    let status = process.wait().await;
    assert!(status.success(), "{status}");
    assert!(stack.chat().outcomes().contains_key("a"));
    assert!(stack.chat().is_released("held"));
}

#[tokio::test]
async fn the_workers_state_is_for_site_admins_only() {
    let stack = Stack::new().await;
    let keys = Keys::new();
    let hold = stack.github.hold("/pulls$");
    stack.chat().queue(stack.lease("held", &["a", "b"]));
    let (process, grpc, _) = start(&stack, &keys).await;
    hold.waiting(2).await;

    let forged = Keys::new().token(Kind::User, &["admin"], false);
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
            Some(keys.token(Kind::User, &["auditor"], false)),
            Code::PermissionDenied,
            reason::ACTION_NOT_ALLOWED,
        ),
        (
            Some(keys.token(Kind::User, &["admin"], true)),
            Code::PermissionDenied,
            reason::ACTION_NOT_ALLOWED,
        ),
        (
            Some(keys.token(Kind::Service, &["admin"], false)),
            Code::PermissionDenied,
            reason::ACTION_NOT_ALLOWED,
        ),
    ] {
        let status = worker_state(&grpc, token.as_deref()).await.unwrap_err();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (code, why));
        assert_eq!(info.domain, reason::DOMAIN);
    }

    let admin = keys.token(Kind::User, &["admin"], false);
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
}

#[tokio::test]
async fn the_last_failures_are_told_to_operators() {
    let stack = Stack::new().await;
    let keys = Keys::new();
    let mut lease = stack.lease("lease", &["a"]);
    lease.groups[0].access_token = None;
    stack.chat().queue(lease);
    let (process, grpc, _) = start(&stack, &keys).await;
    stack.released("lease").await;
    let admin = keys.token(Kind::User, &["admin"], false);
    until("the failure is listed", || async {
        let state = worker_state(&grpc, Some(&admin)).await.unwrap();
        let first = state.last_errors.first().cloned();
        first
            .filter(|error| error.kind == "no_account" && error.ago.is_some())
            .ok_or(state)
    })
    .await;
    process.stop().await;
}

#[tokio::test]
async fn health_and_both_versions_of_reflection_are_served() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    let stack = Stack::new().await;
    let keys = Keys::new();
    let (process, grpc, _) = start(&stack, &keys).await;
    let channel = Channel::from_shared(grpc).unwrap().connect_lazy();
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
}

#[tokio::test]
async fn without_chat_service_it_is_alive_and_not_ready() {
    let stack = Stack::new().await;
    let keys = Keys::new();
    stack.chat().accept_only("another token");
    let mut process = Process::spawn("gitsync-service", configured(&stack, &keys)).unwrap();
    let listening = process.wait_for_event("listening").await;
    let ops = format!("http://{}", listening["ops"].as_str().unwrap());
    until("it was refused", || async {
        let calls = stack.chat().calls("lease").len();
        if calls >= 2 { Ok(()) } else { Err(calls) }
    })
    .await;
    assert!(http_get(&ops, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(http_get(&ops, "/readyz").await.starts_with("HTTP/1.1 503"));
    process.stop().await;
}

#[test]
fn all_problems_of_the_configuration_are_told_at_once() {
    let (code, text) = refused(
        binary()
            .env("GITSYNC_CONCURRENCY", "0")
            .env("GITSYNC_INTERVAL", "10")
            .env("GITSYNC_TICK_TIMEOUT", "5s")
            .env("GITSYNC_TOKEN_FILE", "/nowhere/token")
            .env("GITSYNC_INTERVALL", "10s")
            .env("GITSYNC_LISTEN", "here")
            .arg("--batch-size=501"),
    );
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    for problem in [
        "GITSYNC_CHAT_SERVICE_URL is required",
        "GITSYNC_JWT_PUBLIC_KEY_FILE is required",
        "GITSYNC_CONCURRENCY is \"0\"; it must be 1 to 1000",
        "GITSYNC_INTERVAL is \"10\"; it must be a whole number with a unit",
        "GITSYNC_TICK_TIMEOUT is 5s; it must not be less than GITSYNC_REQUEST_TIMEOUT, which is 12s",
        "GITSYNC_TOKEN_FILE is \"/nowhere/token\"; it cannot be used",
        "GITSYNC_INTERVALL is no setting of this service",
        "GITSYNC_LISTEN is \"here\"; it must be an address and a port",
        "GITSYNC_BATCH_SIZE is \"501\"; it must be 1 to 500",
    ] {
        assert!(text.contains(problem), "{problem:?} in {text}");
    }
}

#[test]
fn an_unknown_flag_is_refused_and_help_names_every_variable() {
    let (code, _) = refused(binary().arg("--concurency=3"));
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    let help = binary().arg("--help").output().unwrap();
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for variable in [
        "GITSYNC_CONCURRENCY",
        "GITSYNC_NO_TOKEN_BACKOFF",
        "GITSYNC_READY_FILE",
    ] {
        assert!(help.contains(variable), "{variable} in {help}");
    }
}

#[test]
fn a_key_or_token_that_cannot_work_is_refused_by_name_and_not_shown() {
    let keys = Keys::new();
    std::fs::write(keys.file("garbage"), "garbage-secret and more").unwrap();
    let garbage: &Path = &keys.file("garbage");
    let (code, text) = refused(
        binary()
            .env("GITSYNC_CHAT_SERVICE_URL", "https://127.0.0.1:1")
            .env("GITSYNC_TOKEN_FILE", garbage)
            .env("GITSYNC_JWT_PUBLIC_KEY_FILE", garbage),
    );
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    for name in [
        "GITSYNC_CHAT_SERVICE_URL",
        "GITSYNC_TOKEN_FILE",
        "GITSYNC_JWT_PUBLIC_KEY_FILE",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("garbage-secret"), "{text}");
}
