//! Who may call what, where: identities, good and bad, against every RPC on every listener. Only
//! what the table says passes.

mod cluster;
mod rotation;
mod table;

use std::collections::BTreeSet;

use e2e::stack::Stack;
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto::reason;
use serde_json::{Value, json};
use testkit::{
    clients::{Caller, KeyPair},
    file::TempFile,
    wait,
};
use tonic::Code;

use self::table::table;
use crate::raw::{Answer, Call};

const ISSUER: &str = "https://issuer.test";
/// As services accept it, unless they are set up otherwise.
const MAX_LIFETIME: i64 = 24 * 60 * 60;
/// Calls at once.
const AT_ONCE: usize = 8;

/// The listeners, and what each of them serves.
const LISTENERS: [(&str, &[&str]); 4] = [
    (
        "public",
        &[
            "chat.v1.ChatService",
            "chat.v1.GitAccountService",
            "chat.v1.SyncAdminService",
        ],
    ),
    ("sync", &["chat.v1.SyncService"]),
    ("scaler", &[]),
    ("worker", &["gitsync.v1.WorkerService"]),
];

/// Who calls, in the order of the answers of a row.
const IDENTITIES: [&str; 4] = ["user", "internal service", "gitsync", "operator"];

/// KEDA sends no token: on its listener, and nowhere else, these are open to all.
const FOR_KEDA: [(&str, Code); 4] = [
    ("externalscaler.ExternalScaler/IsActive", Code::Ok),
    ("externalscaler.ExternalScaler/StreamIsActive", Code::Ok),
    ("externalscaler.ExternalScaler/GetMetricSpec", Code::Ok),
    // Without the metric's name.
    (
        "externalscaler.ExternalScaler/GetMetrics",
        Code::InvalidArgument,
    ),
];

/// Open to all, with a token or without, whatever the token is.
const OPEN: [&str; 3] = [
    "grpc.health.v1.Health/Check",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

fn claims(caller: &Caller) -> Value {
    let mut claims = serde_json::to_value(&caller.claims).unwrap();
    claims["iss"] = json!(ISSUER);
    claims["iat"] = json!(now());
    claims["exp"] = json!(now() + 60 * 60);
    claims
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn set(keys: &[&KeyPair]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// What is wrong with a token that would else be good, and the token.
fn flawed(good: &Value, key: &KeyPair, retired: &KeyPair) -> Vec<(&'static str, String)> {
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.issue(&claims)
    };
    let as_header = |header: Value| key.issue_as(&header, good);
    let stranger = KeyPair::generate();
    // Longer than the test takes.
    let half_an_hour = 30 * 60;
    vec![
        ("expired", with("exp", json!(now() - half_an_hour))),
        ("not yet valid", with("nbf", json!(now() + half_an_hour))),
        (
            "issued in the future",
            with("iat", json!(now() + half_an_hour)),
        ),
        ("wrong audience", with("aud", json!(["other"]))),
        ("wrong issuer", with("iss", json!("https://other.test"))),
        ("no issuer", with("iss", Value::Null)),
        (
            "too long-lived",
            with("exp", json!(now() + MAX_LIFETIME + half_an_hour)),
        ),
        ("unknown key", stranger.issue(good)),
        ("retired key", retired.issue(good)),
        (
            "another key's signature",
            stranger.issue_as(&json!({ "alg": "EdDSA", "kid": key.id }), good),
        ),
        ("public key as secret", key.forge(good)),
        (
            "no algorithm",
            as_header(json!({ "alg": "none", "kid": key.id })),
        ),
        (
            "another algorithm",
            as_header(json!({ "alg": "RS256", "kid": key.id })),
        ),
        (
            "no signature",
            key.issue(good).rsplit_once('.').unwrap().0.to_owned() + ".",
        ),
    ]
}

fn code(answer: &Answer) -> Code {
    answer.grpc_status().unwrap_or(Code::Ok)
}

/// One call, and what it must be answered.
struct Case {
    what: String,
    url: String,
    rpc: &'static str,
    request: Vec<u8>,
    token: Option<String>,
    wanted: Code,
    reason: Option<&'static str>,
}

impl Case {
    async fn check(self) {
        let send = async || {
            let call = Call::new(&self.url, self.rpc, &self.request);
            let call = match &self.token {
                Some(token) => call.bearer(token),
                None => call,
            };
            let answer = call.send().await;
            // That a busy database does not answer in time says nothing of the caller.
            let code = code(&answer);
            if code == Code::Unavailable && code != self.wanted {
                Err(answer.facts())
            } else {
                Ok(answer)
            }
        };
        let answer = wait::until("a call is answered", send).await;
        assert_eq!(code(&answer), self.wanted, "{} {}", self.rpc, self.what);
        if let Some(reason) = self.reason {
            assert_eq!(answer.facts().1, reason, "{} {}", self.rpc, self.what);
        }
    }
}

#[tokio::test]
async fn of_all_identities_only_those_of_the_table_pass_at_each_listener() {
    let (key, retired) = (KeyPair::generate(), KeyPair::generate());
    let file = TempFile::new(&set(&[&key, &retired]));
    let file_name = file.name();
    let callers = [
        Caller::user(),
        Caller::internal(),
        Caller::gitsync(),
        Caller::user().site("admin"),
    ];
    let good = callers.each_ref().map(claims);
    let worker_token = TempFile::new(&key.issue(&good[2]));
    let audiences = "chat,platform";
    let variables = [
        ("CHAT_JWT_KEYS", file_name.as_str()),
        ("CHAT_JWT_ISSUER", ISSUER),
        ("CHAT_JWT_AUDIENCES", audiences),
        ("CHAT_USER_CALLS", "1000"),
    ];
    Stack::run_with(&variables, async |stack| {
        let worker = stack
            .worker_with(&[
                ("GITSYNC_JWT_KEYS", &file_name),
                ("GITSYNC_JWT_ISSUER", ISSUER),
                ("GITSYNC_JWT_AUDIENCES", audiences),
                ("GITSYNC_TOKEN_FILE", &worker_token.name()),
            ])
            .await;
        let url = |listener: &str| match listener {
            "public" => stack.grpc_url().to_owned(),
            "sync" => stack.sync_url().to_owned(),
            "scaler" => stack.scaler_url().to_owned(),
            _ => worker.grpc.clone(),
        };
        retire(
            &file,
            &key,
            &retired,
            &good[3],
            [&url("public"), &url("worker")],
        )
        .await;

        let mut cases = Vec::new();
        for row in table() {
            let (service, _) = row.rpc.split_once('/').unwrap();
            // Who would pass, were it not for a flaw.
            let passes = (0..4).find(|index| row.answers[*index] != Code::PermissionDenied);
            let passes = &good[passes.unwrap()];
            for (listener, services) in LISTENERS {
                let serves = services.contains(&service);
                let mut case = |what: &str, token: Option<String>, wanted, reason| {
                    cases.push(Case {
                        what: format!("by {what} at {listener}"),
                        url: url(listener),
                        rpc: row.rpc,
                        request: row.request.clone(),
                        token,
                        wanted: if serves { wanted } else { Code::Unimplemented },
                        reason: if serves {
                            reason
                        } else {
                            Some(reason::METHOD_UNKNOWN)
                        },
                    });
                };
                for (index, name) in IDENTITIES.iter().enumerate() {
                    let token = key.issue(&good[index]);
                    case(name, Some(token), row.answers[index], None);
                }
                let missing = Some(reason::CREDENTIALS_MISSING);
                case("no caller", None, Code::Unauthenticated, missing);
                if !serves {
                    continue;
                }
                let invalid = Some(reason::CREDENTIALS_INVALID);
                for (flaw, token) in flawed(passes, &key, &retired) {
                    case(flaw, Some(token), Code::Unauthenticated, invalid);
                }
            }
        }
        let open = OPEN.map(|rpc| (rpc, Code::Ok));
        for (rpc, answer) in open.into_iter().chain(FOR_KEDA) {
            for (listener, _) in LISTENERS {
                let serves = OPEN.contains(&rpc) || listener == "scaler";
                let tokens = [None, Some(key.issue(&good[0])), Some("forged".to_owned())];
                cases.extend(tokens.map(|token| Case {
                    what: format!("with {token:?} at {listener}"),
                    url: url(listener),
                    rpc,
                    request: Vec::new(),
                    token,
                    wanted: if serves { answer } else { Code::Unimplemented },
                    reason: None,
                }));
            }
        }
        let checks = stream::iter(cases).map(Case::check);
        checks.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        vec![worker]
    })
    .await;
}

/// Takes a key away that was good, and waits until all have noticed.
async fn retire(
    file: &TempFile,
    key: &KeyPair,
    retired: &KeyPair,
    operator: &Value,
    [public, worker]: [&str; 2],
) {
    let calls = [
        (public, "chat.v1.SyncAdminService/GetSyncState"),
        (worker, "gitsync.v1.WorkerService/GetWorkerState"),
    ];
    let token = retired.issue(operator);
    let answer = async |(url, rpc)| code(&Call::new(url, rpc, &[]).bearer(&token).send().await);
    for call in calls {
        assert_eq!(answer(call).await, Code::Ok, "before the key is retired");
    }
    file.replace(&set(&[key]));
    for call in calls {
        wait::until("the key is retired", || async {
            let code = answer(call).await;
            (code == Code::Unauthenticated).then_some(()).ok_or(code)
        })
        .await;
    }
}

#[test]
fn every_rpc_of_the_contract_has_a_row() {
    let rows = table();
    let rows = rows.iter().map(|row| row.rpc);
    let rows: BTreeSet<String> = rows
        .chain(FOR_KEDA.map(|(rpc, _)| rpc))
        .map(str::to_owned)
        .collect();
    let described = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut rpcs = BTreeSet::new();
    for file in &described.file {
        for service in &file.service {
            for method in &service.method {
                let package = file.package();
                rpcs.insert(format!("{package}.{}/{}", service.name(), method.name()));
            }
        }
    }
    assert_eq!(rows, rpcs);
}
