//! From the call's bearer token to a [`Principal`]: the only place that makes one for a request.

use std::collections::BTreeMap;

use http::HeaderMap;
use jiff::Timestamp;
use service_runtime::token::{Claims, Kind, TokenError, Verifier};
use tonic::Request;
use uuid::Uuid;

use crate::{
    authz::{Principal, User},
    error::Error,
    id::{GroupId, OrganizationId, UserId},
};

/// Organizations, and groups, that a token may name at most.
///
/// As many of both fit into [`service_runtime::token::MAX_TOKEN_BYTES`]. A page has one branch for
/// all organizations and one for all groups, whose cost grows with their number.
pub const MAX_MEMBERSHIPS: usize = 1000;

/// A caller, and until when their token is good.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user or the service.
    pub principal: Principal,
    /// When the token expires: a stream ends then.
    pub expires_at: Timestamp,
}

impl Caller {
    /// The caller that was authenticated before the call's body was read.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsMissing`] for a call without one: nothing is done for it.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let caller = request.extensions().get::<Self>();
        caller.cloned().ok_or(Error::CredentialsMissing)
    }
}

/// Authenticates calls. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    verifier: Verifier,
}

impl Auth {
    /// Accepts the tokens that `verifier` accepts.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier }
    }

    /// Authenticates a call by its headers.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsMissing`], [`Error::CredentialsInvalid`], or
    /// [`Error::CredentialsTooLarge`].
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        let claims = self
            .verifier
            .verify_headers(headers)
            .map_err(|error| match error {
                TokenError::Missing => Error::CredentialsMissing,
                TokenError::TooLong => Error::CredentialsTooLarge,
                TokenError::Invalid { source } => {
                    let why = source.map(|source| source.to_string());
                    tracing::debug!(why, "a token was refused");
                    Error::CredentialsInvalid
                }
            })?;
        let expires_at =
            Timestamp::from_second(claims.exp).map_err(|_| Error::CredentialsInvalid)?;
        Ok(Caller {
            principal: principal(claims)?,
            expires_at,
        })
    }
}

/// Whom verified claims are about.
///
/// # Errors
///
/// As [`Auth::caller`].
pub(crate) fn principal(claims: Claims) -> Result<Principal, Error> {
    match claims.kind {
        Kind::Service => {
            let name = claims.sub;
            let plain = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if plain {
                Ok(Principal::Service(name))
            } else {
                Err(Error::CredentialsInvalid)
            }
        }
        Kind::User => {
            if claims.organizations.len().max(claims.groups.len()) > MAX_MEMBERSHIPS {
                return Err(Error::CredentialsTooLarge);
            }
            let id = claims
                .sub
                .parse::<Uuid>()
                .map_err(|_| Error::CredentialsInvalid)?;
            let mut roles: BTreeMap<_, std::collections::BTreeSet<String>> = BTreeMap::new();
            for membership in claims.organizations {
                roles
                    .entry(OrganizationId(membership.id))
                    .or_default()
                    .extend(membership.roles);
            }
            Ok(Principal::User(User {
                id: UserId(id),
                organizations: roles,
                groups: claims.groups.into_iter().map(GroupId).collect(),
                site_roles: claims.site_roles,
                suspended: claims.suspended,
            }))
        }
    }
}
