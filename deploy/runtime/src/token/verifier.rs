//! Checking tokens.

use std::{future::ready, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use http::{HeaderMap, header};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, crypto, decode_header};
use tokio_util::sync::CancellationToken;

use super::{
    AUDIENCE, LEEWAY_SECONDS, MAX_TOKEN_BYTES, TokenError,
    claims::{ClaimNames, Claims},
    key::{self, KeyError},
    keys::Keys,
    load::Access,
    metrics::KeyMetrics,
    source::KeySources,
};
use crate::egress::EgressProxy;

/// The trusted issuers, and the conditions on their tokens.
#[derive(Clone)]
pub struct Trust {
    /// The verifier's name in metrics and logs.
    pub name: &'static str,
    /// Where the issuer's public keys are.
    pub keys: KeySources,
    /// The `iss` that tokens must have, if any.
    pub issuer: Option<String>,
    /// Tokens must be for one of these.
    pub audiences: Vec<String>,
    /// Time from issue to expiry at most; of a token that does not say when it was issued, from
    /// now.
    pub max_lifetime: Duration,
    /// Under which names tokens hold their claims.
    pub claims: ClaimNames,
    /// File with authorities (PEM) that key URLs are verified by, beside the system's.
    pub authorities: Option<PathBuf>,
    /// File with a bearer token that key URLs ask for.
    pub bearer: Option<PathBuf>,
    /// What key URLs are reached through, if not directly.
    pub proxy: Option<EgressProxy>,
}

/// Checks tokens. Cheap to clone; clones have the same keys.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    keys: Arc<Keys>,
    issuer: Option<String>,
    audiences: Vec<String>,
    max_lifetime: Duration,
    claims: ClaimNames,
}

impl Verifier {
    /// Accepts what `trust` says. The keys of files are there at once, those of URLs when
    /// [`Verifier::keep`] has loaded them.
    #[must_use]
    pub fn new(trust: Trust, metrics: &KeyMetrics) -> Self {
        let access = Access {
            authorities: trust.authorities,
            bearer: trust.bearer,
            proxy: trust.proxy,
        };
        let metrics = metrics.of(trust.name);
        Self(Arc::new(Inner {
            keys: Keys::new(trust.name, trust.keys, access, metrics),
            issuer: trust.issuer,
            audiences: trust.audiences,
            max_lifetime: trust.max_lifetime,
            claims: trust.claims,
        }))
    }

    /// Accepts tokens for [`AUDIENCE`] by these keys (PEM), of any issuer and for up to a day.
    ///
    /// # Errors
    ///
    /// When they are no keys that can be used.
    pub fn from_public_key_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Inner {
            keys: Arc::new(Keys::fixed(key::parse(pem)?)),
            issuer: None,
            audiences: vec![AUDIENCE.to_owned()],
            max_lifetime: Duration::from_secs(24 * 60 * 60),
            claims: ClaimNames::default(),
        })))
    }

    /// Keeps the keys up to date until `stop`.
    pub fn keep(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.0.keys).keep(stop)
    }

    /// Returns the claims of the call's `authorization` header, with the keys that there are now.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn verify_headers(&self, headers: &HeaderMap) -> Result<Claims, TokenError> {
        self.verify(bearer(headers)?)
    }

    /// The same; if the token names a key that is not known, the keys are loaded again first. Waits
    /// for nothing else.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
    ) -> BoxFuture<'static, Result<Claims, TokenError>> {
        let verified = bearer(headers).map(|token| (token, self.verify(token)));
        match verified {
            Ok((token, Err(TokenError::UnknownKey))) => {
                let (verifier, token) = (self.clone(), token.to_owned());
                Box::pin(async move { verifier.verify_by_new_keys(&token).await })
            }
            Ok((_, verified)) => Box::pin(ready(verified)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    /// Returns the claims of a token.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (id, algorithm) = names(token)?;
        let keys = self.0.keys.find(id.as_deref(), algorithm)?;
        let malformed = TokenError::Invalid("malformed");
        let (message, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
        let is_signed = keys.iter().any(|key| {
            let verified = crypto::verify(signature, message.as_bytes(), &key.decoding, algorithm);
            matches!(verified, Ok(true))
        });
        if !is_signed {
            return Err(TokenError::Invalid("its signature is not its key's"));
        }
        let (_, payload) = message.split_once('.').ok_or(malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok();
        let payload = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let payload = payload.ok_or(TokenError::Invalid("its payload is not JSON"))?;
        let claims = self.0.claims.read(payload);
        let claims = claims.map_err(|_| TokenError::Invalid("a claim is missing or malformed"))?;
        self.0.check(&claims).map_err(TokenError::Invalid)?;
        Ok(claims)
    }

    async fn verify_by_new_keys(&self, token: &str) -> Result<Claims, TokenError> {
        let (id, algorithm) = names(token)?;
        let keys = &self.0.keys;
        let is_known = |keys: &Keys| {
            let found = keys.find(id.as_deref(), algorithm);
            !matches!(found, Err(TokenError::UnknownKey))
        };
        let looked = keys.look_again(is_known).await;
        let verified = self.verify(token);
        if verified == Err(TokenError::UnknownKey) && (!looked || keys.are_uncertain()) {
            return Err(TokenError::KeysUnavailable);
        }
        verified
    }
}

impl Inner {
    /// Whether verified claims are for us, now; else why not.
    fn check(&self, claims: &Claims) -> Result<(), &'static str> {
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err("of another issuer");
        }
        let is_ours = |audience: &String| self.audiences.contains(audience);
        if !claims.aud.iter().any(is_ours) {
            return Err("for another audience");
        }
        let now = Timestamp::now().as_second();
        let latest = now.saturating_add(LEEWAY_SECONDS);
        if claims.exp.saturating_add(LEEWAY_SECONDS) < now {
            return Err("expired");
        }
        if claims.nbf.is_some_and(|from| from > latest) {
            return Err("not valid yet");
        }
        if claims.iat.is_some_and(|issued| issued > latest) {
            return Err("issued in the future");
        }
        let lifetime = claims.exp.saturating_sub(claims.iat.unwrap_or(now));
        let most = i64::try_from(self.max_lifetime.as_secs()).unwrap_or(i64::MAX);
        if lifetime > most.saturating_add(LEEWAY_SECONDS) {
            return Err("valid for too long");
        }
        Ok(())
    }
}

/// The token of the call. Two of them are refused: a proxy may have checked the other one.
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Invalid("one of two"));
    }
    let text = value.to_str();
    let text = text.map_err(|_| TokenError::Invalid("not ASCII"))?;
    let (scheme, token) = text.split_once(' ').ok_or(TokenError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    Ok(token.trim())
}

/// The key and algorithm that a token names. Critical extensions are not supported (RFC 7515,
/// section 4.1.11).
fn names(token: &str) -> Result<(Option<String>, Algorithm), TokenError> {
    let header =
        decode_header(token).map_err(|_| TokenError::Invalid("its header is malformed"))?;
    if header.crit.is_some() {
        return Err(TokenError::Invalid("it has critical extensions"));
    }
    Ok((header.kid, header.alg))
}
