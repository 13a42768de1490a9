//! Bearer tokens: JWTs signed with Ed25519. A service holds only the public key, so that no service
//! can speak for a user; whoever issues tokens holds the private one.

mod memberships;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::Error};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

/// The `aud` that a token must have: these services and no others.
pub const AUDIENCE: &str = "chat";

/// Clock difference that is forgiven between issuer and service, in seconds.
pub const LEEWAY_SECONDS: u64 = 5;

/// A token longer than this is not even parsed. Large enough for a user in a thousand organizations
/// and a thousand groups, in short; nearly all that proxies such as Envoy accept of headers.
pub const MAX_TOKEN_BYTES: usize = 59 * 1024;

/// What a token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// A user's UUID, or a service's name.
    pub sub: String,
    /// Must be [`AUDIENCE`], or a list with it.
    #[serde(deserialize_with = "audience")]
    pub aud: String,
    /// When the token expires, in seconds since 1970.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Whose token it is.
    pub kind: Kind,
    /// The organizations that a user belongs to.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "memberships::organizations"
    )]
    pub organizations: Vec<Organization>,
    /// The groups that a user belongs to, closed over nesting.
    #[serde(
        default,
        skip_serializing_if = "BTreeSet::is_empty",
        with = "memberships::groups"
    )]
    pub groups: BTreeSet<Uuid>,
    /// Roles over the whole site: `admin`, `auditor`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub site_roles: BTreeSet<String>,
    /// A suspended user may do nothing.
    #[serde(default)]
    pub suspended: bool,
}

/// One audience, or the list of which RFC 7519 speaks: then ours, if it is one of them.
fn audience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Listed(Vec<String>),
    }
    match Either::deserialize(deserializer)? {
        Either::One(audience) => Ok(audience),
        Either::Listed(audiences) => {
            let mut ours = audiences.into_iter();
            let ours = ours.find(|audience| audience == AUDIENCE);
            ours.ok_or_else(|| serde::de::Error::custom("is for another audience"))
        }
    }
}

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person.
    User,
    /// One of our own services.
    Service,
}

/// A user's membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Which organization.
    pub id: Uuid,
    /// As in `admin`, `member`.
    #[serde(default)]
    pub roles: BTreeSet<String>,
}

/// Why a token is refused. No variant tells the client more than its name.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no `authorization: Bearer` metadata.
    #[error("no bearer token")]
    Missing,
    /// The token is longer than [`MAX_TOKEN_BYTES`].
    #[error("the bearer token is too long")]
    TooLong,
    /// The token is malformed, forged, expired, or for another audience.
    #[error("the bearer token is not valid")]
    Invalid {
        /// For the log only.
        #[source]
        source: Option<Error>,
    },
}

/// The key is not an Ed25519 key in PEM.
#[derive(Debug, thiserror::Error)]
#[error("the key is not an Ed25519 key in PEM form")]
pub struct KeyError(#[from] Error);

/// Checks tokens against one public key.
#[derive(Clone)]
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    /// Takes an Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn from_public_key_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = DecodingKey::from_ed_pem(pem)?;
        // The algorithm is fixed here and never taken from the token's own header.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "sub", "aud"]);
        Ok(Self { key, validation })
    }

    /// Returns the claims of the call's `authorization` header. Two of them are refused: a proxy
    /// may have checked the other one.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn verify_headers(&self, headers: &HeaderMap) -> Result<Claims, TokenError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or(TokenError::Missing)?;
        if values.next().is_some() {
            return Err(TokenError::Invalid { source: None });
        }
        let text = value
            .to_str()
            .map_err(|_| TokenError::Invalid { source: None })?;
        let (scheme, token) = text.split_once(' ').ok_or(TokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Missing);
        }
        self.verify(token.trim())
    }

    /// Returns the claims of a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::TooLong`] or [`TokenError::Invalid`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map(|data| data.claims)
            .map_err(|source| TokenError::Invalid {
                source: Some(source),
            })
    }
}

/// Signs tokens. Only issuers hold one.
pub struct Signer(EncodingKey);

impl Signer {
    /// Takes an Ed25519 private key in PEM (PKCS#8, `-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn from_private_key_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(EncodingKey::from_ed_pem(pem)?))
    }

    /// Signs `claims`.
    ///
    /// # Errors
    ///
    /// When they cannot be encoded.
    pub fn sign(&self, claims: &Claims) -> Result<SecretString, Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.0)
            .map(SecretString::from)
    }
}

/// A service's own token, in a file that whoever issues it may replace at any time (as Kubernetes
/// does with projected tokens). Reads it anew when asked, and keeps the last good one.
#[derive(Clone)]
pub struct TokenFile {
    path: PathBuf,
    bearer: watch::Sender<MetadataValue<Ascii>>,
}

impl TokenFile {
    /// Reads the token for the first time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds nothing that fits a header.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            bearer: watch::Sender::new(read(path)?),
        })
    }

    /// Reads the file again. The last good token stays when that fails.
    ///
    /// # Errors
    ///
    /// As [`TokenFile::open`].
    pub fn reload(&self) -> io::Result<()> {
        self.bearer.send_replace(read(&self.path)?);
        Ok(())
    }

    /// The `authorization` metadata to send; marked sensitive, so that `Debug` hides it.
    #[must_use]
    pub fn bearer(&self) -> MetadataValue<Ascii> {
        self.bearer.borrow().clone()
    }
}

fn read(path: &Path) -> io::Result<MetadataValue<Ascii>> {
    let text = std::fs::read_to_string(path)?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = MetadataValue::try_from(format!("Bearer {token}")).ok();
    let mut value = value.filter(|_| is_token).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the file holds no bearer token")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(der)
        )
    }

    /// A key pair as (private, public) PEM. The prefix is RFC 8410's `SubjectPublicKeyInfo`.
    fn key_pair() -> (String, String) {
        let document =
            Ed25519KeyPair::generate_pkcs8v1(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let mut spki = vec![
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        spki.extend_from_slice(pair.public_key().as_ref());
        (
            pem("PRIVATE KEY", document.as_ref()),
            pem("PUBLIC KEY", &spki),
        )
    }

    fn claims(exp: i64) -> Claims {
        Claims {
            sub: Uuid::nil().to_string(),
            aud: AUDIENCE.to_owned(),
            exp,
            iat: None,
            kind: Kind::User,
            organizations: Vec::new(),
            groups: BTreeSet::new(),
            site_roles: BTreeSet::new(),
            suspended: false,
        }
    }

    const FAR: i64 = 4_000_000_000;

    #[test]
    fn only_a_token_of_this_key_for_this_audience_that_has_not_expired_gives_its_claims_back() {
        let ((private, public), (other, _)) = (key_pair(), key_pair());
        let verifier = Verifier::from_public_key_pem(public.as_bytes()).unwrap();
        let foreign = Claims {
            aud: "other".to_owned(),
            ..claims(FAR)
        };
        let by = |key: &str| EncodingKey::from_ed_pem(key.as_bytes()).unwrap();
        let public_as_secret = EncodingKey::from_secret(public.as_bytes());
        for (algorithm, key, claims, accepted) in [
            (Algorithm::EdDSA, by(&private), claims(FAR), true),
            (Algorithm::EdDSA, by(&private), claims(1), false),
            (Algorithm::EdDSA, by(&other), claims(FAR), false),
            (Algorithm::EdDSA, by(&private), foreign, false),
            (Algorithm::HS256, public_as_secret, claims(FAR), false),
        ] {
            let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap();
            let verified = verifier.verify(&token).ok();
            assert_eq!(verified, accepted.then_some(claims), "{token}");
        }
    }

    fn claims_of(json: &str) -> Result<Claims, serde_json::Error> {
        let json = format!(r#"{{"sub":"x","exp":1,"kind":"user",{json}}}"#);
        serde_json::from_str(&json)
    }

    #[test]
    fn an_audience_may_be_a_list_with_ours() {
        for (aud, accepted) in [
            (r#""chat""#, true),
            (r#"["other","chat"]"#, true),
            (r#"["other"]"#, false),
            ("[]", false),
            ("1", false),
        ] {
            let claims = claims_of(&format!(r#""aud":{aud}"#));
            assert_eq!(
                claims.is_ok_and(|claims| claims.aud == AUDIENCE),
                accepted,
                "{aud}"
            );
        }
    }

    #[test]
    fn a_thousand_organizations_and_groups_are_short_enough_and_come_back_as_they_were() {
        let roles = |number: u128| match number % 3 {
            0 => BTreeSet::new(),
            1 => BTreeSet::from(["admin".to_owned()]),
            _ => BTreeSet::from(["member".to_owned()]),
        };
        for count in [1, 32, 33, 1000] {
            let organizations = (0..count).map(|number| Organization {
                id: Uuid::from_u128((number << 64) | 7),
                roles: roles(number),
            });
            let claims = Claims {
                organizations: organizations.collect(),
                groups: (0..count)
                    .map(|number| Uuid::from_u128(number << 32))
                    .collect(),
                ..claims(FAR)
            };
            let (private, public) = key_pair();
            let token = Signer::from_private_key_pem(private.as_bytes()).unwrap();
            let token = token.sign(&claims).unwrap();
            let verifier = Verifier::from_public_key_pem(public.as_bytes()).unwrap();
            let token = secrecy::ExposeSecret::expose_secret(&token);
            assert_eq!(verifier.verify(token).unwrap(), claims, "{count}");
        }
    }

    #[test]
    fn ids_in_short_that_are_none_are_refused() {
        for (short, accepted) in [
            (r#""aud":"chat","groups":"AAAAAAAAAAAAAAAAAAAAAQ""#, true),
            (r#""aud":"chat","groups":"""#, true),
            (r#""aud":"chat","groups":"AAAA""#, false),
            (r#""aud":"chat","groups":"AAAAAAAAAAAAAAAAAAAAAQ==""#, false),
            (
                r#""aud":"chat","organizations":{"member":"AAAAAAAAAAAAAAAAAAAAAQ"}"#,
                true,
            ),
            (r#""aud":"chat","organizations":{"member":"%"}"#, false),
        ] {
            assert_eq!(claims_of(short).is_ok(), accepted, "{short}");
        }
    }
}
