//! Tokens and the keys that verify them, with keys of every kind, files and a provider over HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test ends at its first surprise, and its tasks end with it"
)]

mod claims;
mod key_files;
mod provider;
mod tokens;

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use service_runtime::token::{
    AUDIENCE, ClaimNames, Claims, KeyMetrics, KeySources, TokenError, Trust, Verifier,
};
use testkit::clients::KeyPair;
use uuid::Uuid;

const HOUR: i64 = 60 * 60;

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// What a good token of a user says.
fn claims() -> Value {
    json!({
        "sub": Uuid::nil(),
        "iss": "https://issuer.test",
        "aud": AUDIENCE,
        "iat": now(),
        "exp": now() + HOUR,
        "kind": "user",
    })
}

/// Trusts the keys of these files and URLs.
fn trust(sources: &str) -> Trust {
    Trust {
        name: "test",
        keys: KeySources::parse(sources).unwrap(),
        issuer: Some("https://issuer.test".to_owned()),
        audiences: vec![AUDIENCE.to_owned(), "chat-2".to_owned()],
        max_lifetime: Duration::from_secs(2 * 60 * 60),
        claims: ClaimNames::default(),
        authorities: None,
        bearer: None,
        proxy: None,
    }
}

fn verifier(trust: Trust) -> Verifier {
    Verifier::new(trust, &KeyMetrics::default())
}

/// As a call is authenticated: new keys are loaded if the token is of an unknown one.
async fn authenticate(verifier: &Verifier, token: &str) -> Result<Claims, TokenError> {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {token}").parse().unwrap();
    headers.insert("authorization", bearer);
    verifier.authenticate(&headers).await
}

/// A set of keys as a provider publishes it.
fn set(keys: &[&KeyPair]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
