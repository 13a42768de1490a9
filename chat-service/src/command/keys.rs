//! New keys for `chat-service keys generate`: the pair that signs and checks bearer tokens.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

/// What precedes an Ed25519 public key in a `SubjectPublicKeyInfo` (RFC 8410).
const PUBLIC_KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// An Ed25519 key pair in PEM: whoever issues tokens holds the private key, the services the public.
pub struct TokenKeyPair {
    /// PKCS#8, `-----BEGIN PRIVATE KEY-----`.
    pub private_pem: SecretString,
    /// `-----BEGIN PUBLIC KEY-----`.
    pub public_pem: String,
}

/// The operating system gave no random numbers, or the library no key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no key could be generated")]
pub struct GenerateError;

impl TokenKeyPair {
    /// Makes a new pair.
    ///
    /// # Errors
    ///
    /// [`GenerateError`].
    pub fn generate() -> Result<Self, GenerateError> {
        let document =
            Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| GenerateError)?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| GenerateError)?;
        let mut public = PUBLIC_KEY_PREFIX.to_vec();
        public.extend_from_slice(pair.public_key().as_ref());
        Ok(Self {
            private_pem: SecretString::from(pem("PRIVATE KEY", document.as_ref())),
            public_pem: pem("PUBLIC KEY", &public),
        })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so that every index is a character's.
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret as _;
    use service_runtime::token::{AUDIENCE, Claims, Kind, Signer, Verifier};

    use super::*;

    #[test]
    fn a_token_signed_with_the_private_key_is_good_for_the_public_key() {
        let pair = TokenKeyPair::generate().unwrap();
        let signer =
            Signer::from_private_key_pem(pair.private_pem.expose_secret().as_bytes()).unwrap();
        let verifier = Verifier::from_public_key_pem(pair.public_pem.as_bytes()).unwrap();
        let claims = Claims {
            sub: "gitsync".to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: 4_000_000_000,
            iat: None,
            kind: Kind::Service,
            organizations: Vec::new(),
            groups: BTreeSet::new(),
            site_roles: BTreeSet::new(),
            suspended: false,
        };
        let token = signer.sign(&claims).unwrap();
        assert_eq!(verifier.verify(token.expose_secret()).unwrap(), claims);
        let other = TokenKeyPair::generate().unwrap();
        let verifier = Verifier::from_public_key_pem(other.public_pem.as_bytes()).unwrap();
        assert!(verifier.verify(token.expose_secret()).is_err());
    }
}
