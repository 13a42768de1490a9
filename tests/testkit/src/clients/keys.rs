//! Key pairs of issuers of tokens, of every kind that a service accepts.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer as _,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_runtime::token::Signer;

use super::Caller;
use crate::secrets;

/// The issuer that services in the test's own process trust: one for all, since a pair for each
/// would prove nothing more.
pub static KEYS: LazyLock<KeyPair> = LazyLock::new(KeyPair::generate);

/// An issuer's key pair.
pub struct KeyPair {
    /// The public key, as services read it from a file.
    pub public_pem: String,
    /// The private key, as our own command signs with it; empty for kinds other than Ed25519.
    pub private_pem: String,
    /// What the issuer calls it.
    pub id: String,
    public: Value,
    private: Private,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// A new pair of Ed25519 keys.
    pub fn generate() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key pair");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("our own key pair");
        let private_pem = pem("PRIVATE KEY", document.as_ref());
        secrets::note_keys("a private key", &private_pem);
        let public = pair.public_key();
        let der = public.as_der().expect("our own public key");
        let x = URL_SAFE_NO_PAD.encode(public.as_ref());
        Self {
            private_pem,
            ..Self::new(
                der.as_ref(),
                json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
                Private::Ed25519(pair),
            )
        }
    }

    /// A new pair for ES256.
    pub fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    /// A new pair for ES384.
    pub fn p384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
    }

    /// A new pair for RS256 and PS256, of 2048 bits.
    pub fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key pair");
        let public = pair.public_key();
        let der = public.as_der().expect("our own public key");
        let n = public.modulus().big_endian_without_leading_zero().to_vec();
        let e = public.exponent().big_endian_without_leading_zero().to_vec();
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        Self::new(
            der.as_ref(),
            json!({"kty": "RSA", "n": n, "e": e}),
            Private::Rsa(pair),
        )
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).expect("a key pair");
        let public = pair.public_key();
        let der = public.as_der().expect("our own public key");
        let (x, y) = public.as_ref()[1..].split_at(public.as_ref().len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let public = json!({"kty": "EC", "crv": curve, "x": x, "y": y});
        Self::new(der.as_ref(), public, Private::Ecdsa(pair))
    }

    fn new(der: &[u8], public: Value, private: Private) -> Self {
        Self {
            public_pem: pem("PUBLIC KEY", der),
            private_pem: String::new(),
            id: uuid::Uuid::now_v7().to_string(),
            public,
            private,
        }
    }

    /// The public key as a provider publishes it (RFC 7517), under its id.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The algorithm that it signs with, unless a header says another.
    pub fn algorithm(&self) -> &'static str {
        match &self.private {
            Private::Ed25519(_) => "EdDSA",
            Private::Ecdsa(pair) if pair.public_key().as_ref().len() == 65 => "ES256",
            Private::Ecdsa(_) => "ES384",
            Private::Rsa(_) => "RS256",
        }
    }

    /// A token of `caller`, as our own command makes it: named by the key's thumbprint.
    pub fn token(&self, caller: &Caller) -> String {
        let signer = Signer::from_private_key_pem(self.private_pem.as_bytes());
        sign(&signer.expect("an Ed25519 key"), caller)
    }

    /// A token with these claims, as a provider makes it: named by the key's id.
    pub fn issue(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm(), "kid": self.id});
        self.issue_as(&header, claims)
    }

    /// A token with these claims, signed by an attacker with the public key as a shared secret.
    pub fn forge(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": "HS256", "kid": self.id});
        let message = message(&header, claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.public_pem.as_bytes());
        let tag = hmac::sign(&secret, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// A token with this header and these claims, which need not be true.
    pub fn issue_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.private {
            Private::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Private::Ecdsa(pair) => {
                let signature = pair.sign(&random, message.as_bytes());
                signature.expect("a signature").as_ref().to_vec()
            }
            Private::Rsa(pair) => {
                let encoding = if header["alg"] == "PS256" {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message.as_bytes(), &mut signature)
                    .expect("a signature");
                signature
            }
        };
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        secrets::note("a bearer token", &token);
        token
    }
}

/// What is signed of a token.
fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token of `caller`, by `signer`.
pub(super) fn sign(signer: &Signer, caller: &Caller) -> String {
    let token = signer.sign(&caller.claims).expect("sign a token");
    secrets::note("a bearer token", token.expose_secret());
    token.expose_secret().to_owned()
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}
