//! Key pairs of issuers of tokens.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret as _;
use service_runtime::token::Signer;

use super::Caller;
use crate::secrets;

/// The issuer that services in the test's own process trust: one for all, since a pair for each would
/// prove nothing more.
pub static KEYS: LazyLock<KeyPair> = LazyLock::new(KeyPair::generate);

/// What comes before the key in RFC 8410's `SubjectPublicKeyInfo`.
const PUBLIC_KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// An issuer's Ed25519 key pair.
pub struct KeyPair {
    /// The public key, as services read it from a file.
    pub public_pem: String,
    signer: Signer,
}

impl KeyPair {
    /// A new pair.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    #[must_use]
    pub fn generate() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key pair");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("our own key pair");
        let public = [&PUBLIC_KEY_PREFIX, pair.public_key().as_ref()].concat();
        let private = pem("PRIVATE KEY", document.as_ref());
        secrets::note_keys("a private key", &private);
        Self {
            public_pem: pem("PUBLIC KEY", &public),
            signer: Signer::from_private_key_pem(private.as_bytes()).expect("our own key"),
        }
    }

    /// A token of `caller`.
    ///
    /// # Panics
    ///
    /// When the claims cannot be signed.
    #[must_use]
    pub fn token(&self, caller: &Caller) -> String {
        sign(&self.signer, caller)
    }
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
