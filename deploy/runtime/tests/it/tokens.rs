//! Which tokens are accepted.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use service_runtime::token::{LEEWAY_SECONDS, MAX_TOKEN_BYTES, TokenError, Verifier};
use testkit::{
    clients::{Caller, KeyPair},
    file::TempFile,
};

use crate::{HOUR, claims, now, set, trust, verifier};

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn only_a_token_of_the_issuer_for_us_within_its_times_is_accepted() {
    let pair = KeyPair::generate();
    let file = TempFile::new(&set(&[&pair]));
    let verifier = verifier(trust(&file.name()));
    let past = |by: i64| now() - LEEWAY_SECONDS - by;
    let future = |by: i64| now() + LEEWAY_SECONDS + by;
    // In time: a test that is slow by less than this sees no other answer.
    let slack = 60;
    let lifetime = 2 * HOUR;
    for (claims, refused) in [
        (claims(), None),
        (with("aud", json!(["other", "chat-2"])), None),
        (with("exp", json!(now() as f64 + 60.5)), None),
        (without("iat"), None),
        (without("kind"), None),
        (with("nbf", now()), None),
        (with("groups", Value::Null), None),
        (with("exp", past(1)), Some("expired")),
        (with("exp", -1), Some("expired")),
        (with("nbf", future(slack)), Some("not valid yet")),
        (with("iat", future(slack)), Some("issued in the future")),
        (with("iss", "https://other.test"), Some("of another issuer")),
        (without("iss"), Some("of another issuer")),
        (
            with("iss", json!(["https://issuer.test"])),
            Some("a claim is missing or malformed"),
        ),
        (with("aud", "other"), Some("for another audience")),
        (with("aud", json!([])), Some("for another audience")),
        (
            with("exp", now() + lifetime + slack),
            Some("valid for too long"),
        ),
        (
            {
                let mut forever = without("iat");
                forever["exp"] = 4_000_000_000_i64.into();
                forever
            },
            Some("valid for too long"),
        ),
        (
            {
                let mut old = with("iat", now() - 3 * HOUR);
                old["exp"] = (now() + HOUR).into();
                old
            },
            Some("valid for too long"),
        ),
        (without("exp"), Some("a claim is missing or malformed")),
        (without("aud"), Some("a claim is missing or malformed")),
        (without("sub"), Some("a claim is missing or malformed")),
        (with("exp", "soon"), Some("a claim is missing or malformed")),
        (with("nbf", "soon"), Some("a claim is missing or malformed")),
        (
            with("kind", "root"),
            Some("a claim is missing or malformed"),
        ),
        (json!("claims"), Some("a claim is missing or malformed")),
    ] {
        let verified = verifier.verify(&pair.issue(&claims)).err();
        assert_eq!(verified, refused.map(TokenError::Invalid), "{claims}");
    }
}

/// The issuer is checked if it is configured, and only then.
#[test]
fn without_an_issuer_configured_a_token_of_any_is_accepted() {
    let pair = KeyPair::generate();
    let file = TempFile::new(&pair.public_pem);
    let mut trust = trust(&file.name());
    trust.issuer = None;
    trust.max_lifetime = Duration::from_secs(24 * 60 * 60);
    assert!(verifier(trust).verify(&pair.token(&Caller::user())).is_ok());
}

const ALGORITHMS: [&str; 9] = [
    "EdDSA", "ES256", "ES384", "RS256", "PS256", "RS512", "HS256", "none", "",
];

#[test]
fn a_key_verifies_its_own_algorithms_whatever_a_token_says() {
    let pairs = [
        (KeyPair::generate(), vec!["EdDSA"]),
        (KeyPair::p256(), vec!["ES256"]),
        (KeyPair::p384(), vec!["ES384"]),
        (KeyPair::rsa(), vec!["RS256", "PS256"]),
    ];
    for (pair, own) in &pairs {
        // A set names its key as the provider does, and a PEM file does not.
        for (text, id) in [
            (set(&[pair]), Some(&pair.id)),
            (pair.public_pem.clone(), None),
        ] {
            let file = TempFile::new(&text);
            let verifier = verifier(trust(&file.name()));
            for algorithm in ALGORITHMS {
                let mut header = json!({ "alg": algorithm });
                if let Some(id) = id {
                    header["kid"] = json!(id);
                }
                let token = pair.issue_as(&header, &claims());
                let verified = verifier.verify(&token);
                assert_eq!(
                    verified.is_ok(),
                    own.contains(&algorithm),
                    "{header}: {verified:?}"
                );
                // Without a signature, or with another one's.
                let (message, signature) = token.rsplit_once('.').unwrap();
                for signature in ["", "AAAA", &signature[..signature.len() / 2]] {
                    assert!(verifier.verify(&format!("{message}.{signature}")).is_err());
                }
            }
            // The public key as a secret that both sides know.
            let refused = Err(TokenError::Invalid("its algorithm is not accepted"));
            assert_eq!(verifier.verify(&pair.forge(&claims())), refused);
        }
    }
}

#[test]
fn a_key_that_is_for_one_algorithm_only_verifies_no_other() {
    let pair = KeyPair::rsa();
    let mut jwk = pair.jwk();
    jwk["alg"] = json!("PS256");
    let file = TempFile::new(&json!({ "keys": [jwk] }).to_string());
    let verifier = verifier(trust(&file.name()));
    for (algorithm, accepted) in [("PS256", true), ("RS256", false)] {
        let header = json!({ "alg": algorithm, "kid": pair.id });
        let verified = verifier.verify(&pair.issue_as(&header, &claims()));
        assert_eq!(verified.is_ok(), accepted, "{algorithm}");
    }
}

#[test]
fn a_token_is_of_the_key_that_it_names_and_of_no_other() {
    let [old, new, stranger] = [(); 3].map(|()| KeyPair::generate());
    let rsa = KeyPair::rsa();
    let file = TempFile::new(&set(&[&old, &new, &rsa]));
    let verifier = verifier(trust(&file.name()));
    let named = |signer: &KeyPair, id: Option<&str>| {
        let mut header = json!({ "alg": signer.algorithm() });
        if let Some(id) = id {
            header["kid"] = json!(id);
        }
        verifier.verify(&signer.issue_as(&header, &claims())).err()
    };
    let forged = Some(TokenError::Invalid("its signature is not its key's"));
    assert_eq!(named(&old, Some(&old.id)), None);
    assert_eq!(named(&new, Some(&new.id)), None);
    assert_eq!(named(&old, Some(&new.id)), forged);
    assert_eq!(named(&stranger, Some(&new.id)), forged);
    assert_eq!(
        named(&stranger, Some(&stranger.id)),
        Some(TokenError::UnknownKey)
    );
    // Without a name it must be clear which key is meant.
    let ambiguous = Some(TokenError::Invalid("it names no key, and several are fit"));
    assert_eq!(named(&old, None), ambiguous);
    assert_eq!(named(&rsa, None), None);
    let p256 = KeyPair::p256();
    assert_eq!(named(&p256, None), Some(TokenError::UnknownKey));
}

#[test]
fn a_token_with_an_extension_that_must_be_understood_is_refused() {
    let pair = KeyPair::generate();
    let file = TempFile::new(&set(&[&pair]));
    let header = json!({ "alg": "EdDSA", "kid": pair.id, "crit": ["b64"], "b64": false });
    let verified = verifier(trust(&file.name())).verify(&pair.issue_as(&header, &claims()));
    assert_eq!(
        verified,
        Err(TokenError::Invalid("it has critical extensions"))
    );
}

#[test]
fn what_is_no_token_is_refused() {
    let pair = KeyPair::generate();
    let verifier = Verifier::from_public_key_pem(pair.public_pem.as_bytes()).unwrap();
    let good = pair.token(&Caller::user());
    assert!(verifier.verify(&good).is_ok());
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(verifier.verify(&long), Err(TokenError::TooLong));
    let twice = format!("{good}.{good}");
    let cut = &good[..good.len() - 1];
    for text in ["", ".", "..", "a.b.c", "e30.e30.e30", cut, &twice] {
        assert!(verifier.verify(text).is_err(), "{text}");
    }
}

#[test]
fn a_call_has_one_bearer_token() {
    let pair = KeyPair::generate();
    let verifier = Verifier::from_public_key_pem(pair.public_pem.as_bytes()).unwrap();
    let good = pair.token(&Caller::user());
    let bearer = format!("Bearer {good}");
    for (values, refused) in [
        (vec![bearer.as_str()], None),
        (vec![&format!("bEARER  {good}")], None),
        (vec![], Some(TokenError::Missing)),
        (vec![good.as_str()], Some(TokenError::Missing)),
        (vec!["Basic YTpi"], Some(TokenError::Missing)),
        (
            vec![&bearer, &bearer],
            Some(TokenError::Invalid("one of two")),
        ),
    ] {
        let mut headers = HeaderMap::new();
        for value in &values {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append("authorization", value);
        }
        assert_eq!(
            verifier.verify_headers(&headers).err(),
            refused,
            "{values:?}"
        );
    }
}

/// A token is verified where its call is handled: no kind of key takes longer than other calls of
/// the thread may wait. A build without optimizations takes several times as long as a release.
#[test]
fn no_kind_of_key_holds_the_thread_of_a_call_for_long() {
    const TIMES: usize = 101;
    for pair in [
        KeyPair::generate(),
        KeyPair::p256(),
        KeyPair::p384(),
        KeyPair::rsa(),
    ] {
        let file = TempFile::new(&set(&[&pair]));
        let verifier = verifier(trust(&file.name()));
        let token = pair.issue(&claims());
        let mut taken: Vec<Duration> = (0..TIMES)
            .map(|_| {
                let begun = Instant::now();
                verifier.verify(&token).unwrap();
                begun.elapsed()
            })
            .collect();
        taken.sort();
        let median = taken[TIMES / 2];
        assert!(
            median < Duration::from_millis(3),
            "{}: {median:?}",
            pair.algorithm()
        );
    }
}
