//! Identities of a Kubernetes cluster on the listener of gitsync-service, beside an issuer of
//! users.

use e2e::stack::{REPOSITORY, Stack};
use proto::chat::v1::PullRequestState;
use serde_json::{Value, json};
use testkit::{
    clients::{Caller, KeyPair},
    file::TempFile,
    jwks::Provider,
};
use tonic::Code;

use super::{code, now};
use crate::raw::Call;

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
/// Asks for leases; there are none.
const LEASE: &str = "chat.v1.SyncService/LeaseDiffStatuses";

/// A projected token of a service account of namespace `chat`, as the API server makes it.
fn projected(account: &str) -> Value {
    json!({
        "iss": CLUSTER,
        "sub": format!("system:serviceaccount:chat:{account}"),
        "aud": ["chat-sync"],
        "iat": now(),
        "nbf": now(),
        "exp": now() + 3607,
        "jti": "0f0a5d0e-3f4b-4a5e-9d9b-0d3c2b1a0f9e",
        "kubernetes.io": {
            "namespace": "chat",
            "pod": { "name": format!("{account}-0"), "uid": "a" },
            "serviceaccount": { "name": account, "uid": "b" },
        },
    })
}

#[tokio::test]
async fn a_projected_service_account_token_of_gitsync_is_its_identity_and_no_other_token_is() {
    let key = KeyPair::rsa();
    let cluster = Provider::start(&[&key]).await;
    cluster.ask_for("of the pod");
    let bearer = TempFile::new("of the pod\n");
    let (url, bearer_name) = (cluster.url(), bearer.name());
    let variables = [
        ("CHAT_SYNC_JWT_KEYS", url.as_str()),
        ("CHAT_SYNC_JWT_ISSUER", CLUSTER),
        ("CHAT_SYNC_JWT_AUDIENCES", "chat-sync"),
        ("CHAT_SYNC_JWKS_TOKEN_FILE", &bearer_name),
        (
            "CHAT_SERVICES",
            "system:serviceaccount:chat:gitsync=gitsync,system:serviceaccount:chat:platform=internal",
        ),
    ];
    Stack::run_with(&variables, async |stack| {
        let token = TempFile::new(&key.issue(&projected("gitsync")));
        let worker = stack
            .worker_with(&[("GITSYNC_TOKEN_FILE", &token.name())])
            .await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(&owner, &chat, "the worker does its work", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;

        let with = |name: &str, value: Value| {
            let mut claims = projected("gitsync");
            claims[name] = value;
            key.issue(&claims)
        };
        for (what, token, wanted) in [
            (
                "another account",
                key.issue(&projected("default")),
                Code::PermissionDenied,
            ),
            (
                "the internal service",
                key.issue(&projected("platform")),
                Code::PermissionDenied,
            ),
            (
                "another audience",
                with("aud", json!(["chat"])),
                Code::Unauthenticated,
            ),
            (
                "another cluster",
                with("iss", json!("https://other")),
                Code::Unauthenticated,
            ),
            (
                "an account that says it is gitsync",
                {
                    let mut claims = projected("default");
                    claims["kind"] = json!("service");
                    key.issue(&claims)
                },
                Code::PermissionDenied,
            ),
            // Good on the public listener alone.
            (
                "gitsync by the other issuer",
                stack.token(&Caller::gitsync()),
                Code::Unauthenticated,
            ),
            ("a user", stack.token(&owner), Code::Unauthenticated),
        ] {
            let call = Call::new(stack.sync_url(), LEASE, &[]).bearer(&token);
            assert_eq!(code(&call.send().await), wanted, "{what}");
        }
        let public = Call::new(stack.grpc_url(), "chat.v1.ChatService/GetChats", &[]);
        let answer = public
            .bearer(&key.issue(&projected("gitsync")))
            .send()
            .await;
        assert_eq!(code(&answer), Code::Unauthenticated);
        vec![worker]
    })
    .await;
}
