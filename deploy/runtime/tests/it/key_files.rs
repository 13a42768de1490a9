//! Which files hold keys that can be used, and what is said of the others.

use serde_json::json;
use service_runtime::token::{KeySources, TokenError};
use testkit::{clients::KeyPair, file::TempFile, wait};

use crate::{authenticate, claims, set, trust, verifier};

/// Of 1024 bits, too few since 2013.
const WEAK_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQD0dxKjFoMNo8Rm5Duylsv2del5
rOYrq93aDmC7Bh7Iq8FQcuOBGnN8gAjelGeovoOa5RnuMs9EwOgwaLlSeMV2u4US
Zn4GYDQ1nqA/C8j9sPjEu7o3VBheyqtZgDP0GbjZWcvpd56u5AUc/s/h1W1sKcg+
/zksD/D9qyAfLePxMwIDAQAB
-----END PUBLIC KEY-----
";
/// A point of as many bytes as one of P-256.
const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEiB8XhfRpJ1OTCNj4f6wBx41X/Iwk4fHv
ArkCKDUUlnxrFp1hq2JBe8MmX0kPch0pgptIcn3Einpf+iylV8UBeg==
-----END PUBLIC KEY-----
";
/// As long as an Ed25519 key.
const X25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEADfIPrGF6e/guQbGEr5sttT0mGj/g//5UzUgRtvJ8eGA=
-----END PUBLIC KEY-----
";

const UNFIT: &str = "holds a key that is not Ed25519, P-256, P-384, or RSA of 2048 to 8192 bits";
const MALFORMED: &str = "must be public keys in PEM (PUBLIC KEY) or a JSON Web Key Set";
const EMPTY: &str = "holds no key that verifies signatures";
const PRIVATE: &str = "holds a private key; services get the public one only";

#[test]
fn a_file_without_a_key_that_can_be_used_is_refused_with_the_reason_and_without_its_content() {
    let pair = KeyPair::generate();
    let changed = |name: &str, value: &str| {
        let mut jwk = pair.jwk();
        jwk[name] = json!(value);
        json!({ "keys": [jwk] }).to_string()
    };
    let two = format!("{}{}", pair.public_pem, KeyPair::p256().public_pem);
    // 1024 bits in base64.
    let modulus = format!("{}w", "_".repeat(170));
    let weak = json!({ "keys": [{ "kty": "RSA", "kid": "a", "n": modulus, "e": "AQAB" }] });
    let mixed = json!({ "keys": [pair.jwk(), { "kty": "AKP", "kid": "b" }, weak["keys"][0]] });
    let many: Vec<_> = (0..101).map(|_| pair.jwk()).collect();
    for (text, problem) in [
        (pair.public_pem.clone(), None),
        (two, None),
        (set(&[&pair]), None),
        // What a provider publishes for other uses is left out.
        (mixed.to_string(), None),
        (changed("alg", "EdDSA"), None),
        (String::new(), Some(MALFORMED)),
        ("hunter2".to_owned(), Some(MALFORMED)),
        ("{\"keys\": 1}".to_owned(), Some(MALFORMED)),
        ("{\"keys\": []}".to_owned(), Some(EMPTY)),
        (weak.to_string(), Some(EMPTY)),
        (changed("use", "enc"), Some(EMPTY)),
        (changed("alg", "RS256"), Some(EMPTY)),
        (changed("alg", "HS256"), Some(EMPTY)),
        (changed("crv", "X25519"), Some(EMPTY)),
        (changed("x", "AAAA"), Some(EMPTY)),
        (changed("kty", "oct"), Some(EMPTY)),
        (changed("d", "hunter2"), Some(PRIVATE)),
        (
            json!({ "keys": many }).to_string(),
            Some("holds more than 100 keys"),
        ),
        (pair.private_pem.clone(), Some(PRIVATE)),
        (
            format!("{}{}", pair.public_pem, pair.private_pem),
            Some(PRIVATE),
        ),
        (WEAK_RSA.to_owned(), Some(UNFIT)),
        (SECP256K1.to_owned(), Some(UNFIT)),
        (X25519.to_owned(), Some(UNFIT)),
        (format!("{}{X25519}", pair.public_pem), Some(UNFIT)),
    ] {
        let file = TempFile::new(&text);
        let refused = KeySources::parse(&file.name()).err();
        let problem = problem.map(|problem| format!("cannot be used: {}: {problem}", file.name()));
        assert_eq!(refused, problem, "{text}");
    }
}

#[test]
fn all_sources_that_cannot_be_used_are_named_at_once() {
    let file = TempFile::new(&KeyPair::generate().public_pem);
    let good = file.name();
    for (text, problem) in [
        (format!("{good}, https://issuer.test/keys"), None),
        (
            format!("{good},http://127.0.0.1:1/keys,http://[::1]:1/,http://localhost/"),
            None,
        ),
        (
            " , ".to_owned(),
            Some("must name files or URLs, with commas between"),
        ),
        (
            format!(
                "/nowhere,{good},http://issuer.test/keys,https://ann:hush@issuer.test/,ftp://x/"
            ),
            Some(
                "cannot be used: /nowhere: No such file or directory (os error 2); \
                 http://issuer.test/keys must begin with https://; URLs must not hold credentials; \
                 ftp://x/ must begin with https://",
            ),
        ),
        (
            "http://127.0.0.1.issuer.test/".to_owned(),
            Some("cannot be used: http://127.0.0.1.issuer.test/ must begin with https://"),
        ),
    ] {
        let refused = KeySources::parse(&text).err();
        assert_eq!(refused.as_deref(), problem, "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_again() {
    let [old, new] = [(); 2].map(|()| KeyPair::generate());
    let file = TempFile::new(&set(&[&old]));
    let verifier = verifier(trust(&file.name()));
    let keeping = tokio::spawn(verifier.keep(Default::default()));
    let (of_old, of_new) = (old.issue(&claims()), new.issue(&claims()));
    assert_eq!(verifier.verify(&of_new), Err(TokenError::UnknownKey));
    file.write(&set(&[&old, &new]));
    wait::until("the new key is read", || async { verifier.verify(&of_new) }).await;
    assert!(verifier.verify(&of_old).is_ok());
    file.write(&new.public_pem);
    wait::until("the old key is retired", || async {
        match verifier.verify(&of_old) {
            Err(TokenError::UnknownKey) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // Half of a file, as a copy in place leaves it for a moment: an unknown key has it read.
    file.write(&new.public_pem[..40]);
    let unknown = authenticate(&verifier, &of_old).await;
    assert_eq!(unknown, Err(TokenError::KeysUnavailable));
    let unnamed = new.issue_as(&json!({ "alg": "EdDSA" }), &claims());
    assert!(verifier.verify(&unnamed).is_ok());
    keeping.abort();
}
