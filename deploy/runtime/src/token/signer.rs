//! Signing tokens, which issuers alone do.

use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    errors::Error,
    jwk::{Jwk, ThumbprintHash},
};
use secrecy::SecretString;

use super::{claims::Claims, key::KeyError};

/// Signs tokens. Only issuers hold one.
pub struct Signer {
    key: EncodingKey,
    header: Header,
}

impl Signer {
    /// Takes an Ed25519 private key in PEM (PKCS#8, `-----BEGIN PRIVATE KEY-----`). Its tokens name
    /// it by its thumbprint (RFC 7638), by which a verifier finds the public key of a PEM file.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn from_private_key_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let of = || {
            let key = EncodingKey::from_ed_pem(pem)?;
            let mut header = Header::new(Algorithm::EdDSA);
            let public = Jwk::from_encoding_key(&key, header.alg)?;
            header.kid = Some(public.thumbprint(ThumbprintHash::SHA256)?);
            Ok(Self { key, header })
        };
        of().map_err(|_: Error| KeyError::NotPrivate)
    }

    /// Signs `claims`.
    ///
    /// # Errors
    ///
    /// When they cannot be encoded.
    pub fn sign(&self, claims: &Claims) -> Result<SecretString, Error> {
        jsonwebtoken::encode(&self.header, claims, &self.key).map(SecretString::from)
    }
}
