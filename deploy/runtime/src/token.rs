//! Bearer tokens: JWTs, signed by issuers that an operator trusts. A service holds public keys
//! only, so that no service can speak for a user.
//!
//! [`Verifier`] checks a token: by which key ([`KeySources`]), from which issuer, for which
//! audience, within which times. [`ClaimNames`] says under which names an issuer's tokens hold what
//! [`Claims`] are made of.

mod claims;
mod file;
mod key;
mod keys;
mod load;
mod memberships;
mod metrics;
mod signer;
mod source;
mod verifier;

pub use self::{
    claims::{ClaimNames, Claims, Kind},
    file::TokenFile,
    key::KeyError,
    memberships::Organization,
    metrics::KeyMetrics,
    signer::Signer,
    source::{KeySource, KeySources},
    verifier::{Trust, Verifier},
};

/// The `aud` of the tokens that our own command issues, and what is accepted by default.
pub const AUDIENCE: &str = "chat";

/// Difference that is allowed between the clocks of issuer and service, in seconds. Both follow
/// NTP, which keeps them within a fraction of that.
pub const LEEWAY_SECONDS: i64 = 5;

/// A token longer than this is not even parsed. Large enough for a user in a thousand organizations
/// and a thousand groups, in short; nearly all that proxies such as Envoy accept of headers.
pub const MAX_TOKEN_BYTES: usize = 59 * 1024;

/// Why a token is refused. Clients see the variant's name only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no `authorization: Bearer` metadata.
    #[error("no bearer token")]
    Missing,
    /// The token is longer than [`MAX_TOKEN_BYTES`].
    #[error("the bearer token is too long")]
    TooLong,
    /// Its key is not, or no longer, one of its issuer's.
    #[error("the bearer token is of an unknown key")]
    UnknownKey,
    /// It is signed by an unknown key, and which keys its issuer has now cannot be found out: it
    /// may be good.
    #[error("the issuer's keys cannot be loaded")]
    KeysUnavailable,
    /// The token is malformed, forged, expired, or for another audience.
    #[error("the bearer token is not valid: {0}")]
    Invalid(
        /// For the log only.
        &'static str,
    ),
}
