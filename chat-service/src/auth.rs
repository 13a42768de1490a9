//! From the call's credentials to a [`Principal`]: the only place that makes one for a request.
//!
//! On the public listener a caller is who the bearer token says. On the listener of gitsync-service
//! there is one caller: who is not gitsync is refused before the call's body is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    str::FromStr,
    sync::Arc,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Extensions, HeaderMap, header};
use jiff::Timestamp;
use proto::reason;
use service_runtime::{
    peer::PeerNames,
    token::{Claims, Kind, TokenError, Verifier},
};
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

/// The service that may call `SyncService`, as the policies name it.
const GITSYNC: &str = "gitsync";

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

/// Which subjects of tokens are services, and what the policies call them.
///
/// A token whose `kind` is `service` is of the service that its subject names, unless that is named
/// here. A token without a `kind`, as other issuers make them, is of a service only if its subject
/// is named here. As a setting: `system:serviceaccount:chat:gitsync=gitsync,batch@idp=internal`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceNames(Arc<BTreeMap<String, String>>);

impl FromStr for ServiceNames {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            // A subject may hold the character, a name does not.
            let (subject, name) = entry.rsplit_once('=').unwrap_or((entry, ""));
            if subject.is_empty() || !is_plain(name) {
                return Err(
                    "must be subject=name with commas between; names are of letters, digits, \
                            `-`, `_` and `.`",
                );
            }
            names.insert(subject.to_owned(), name.to_owned());
        }
        Ok(Self(Arc::new(names)))
    }
}

impl ServiceNames {
    /// The service whose token it is, if it is one's.
    fn of<'a>(&'a self, claims: &'a Claims) -> Option<&'a str> {
        let named = self.0.get(&claims.sub).map(String::as_str);
        match claims.kind {
            Some(Kind::User) => None,
            Some(Kind::Service) => Some(named.unwrap_or(&claims.sub)),
            None => named,
        }
    }
}

fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Authenticates calls of the public listener. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    verifier: Verifier,
    services: ServiceNames,
}

impl Auth {
    /// Accepts the tokens that `verifier` accepts.
    #[must_use]
    pub fn new(verifier: Verifier, services: ServiceNames) -> Self {
        Self { verifier, services }
    }

    /// Authenticates a call by its headers, with the keys that there are now.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsMissing`], [`Error::CredentialsInvalid`], or
    /// [`Error::CredentialsTooLarge`].
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        caller(self.verifier.verify_headers(headers), &self.services)
    }

    /// The same, after new keys were loaded if the token is of an unknown one;
    /// [`Error::Unavailable`] if they cannot be.
    pub fn authenticate(&self, headers: &HeaderMap) -> BoxFuture<'static, Result<Caller, Error>> {
        let services = self.services.clone();
        let verified = self.verifier.authenticate(headers);
        verified
            .map(move |verified| caller(verified, &services))
            .boxed()
    }
}

/// Authenticates calls of the listener of gitsync-service. Cheap to clone.
///
/// A bearer token counts if there is one, whatever certificate the connection has: a token that is
/// not accepted shows a mistake, which a certificate must not hide. Without a token, the
/// connection's client certificate counts.
#[derive(Clone)]
pub struct SyncAuth {
    verifier: Verifier,
    services: ServiceNames,
    certificates: Arc<[String]>,
}

impl SyncAuth {
    /// Accepts the tokens of gitsync that `verifier` accepts, and client certificates with one of
    /// these names.
    #[must_use]
    pub fn new(verifier: Verifier, services: ServiceNames, certificates: Vec<String>) -> Self {
        Self {
            verifier,
            services,
            certificates: certificates.into(),
        }
    }

    /// Authenticates a call as gitsync's.
    ///
    /// Errors are those of [`Auth::authenticate`], and [`Error::NotAllowed`] for a caller who is
    /// known and is not gitsync.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> BoxFuture<'static, Result<Caller, Error>> {
        if !headers.contains_key(header::AUTHORIZATION)
            && !self.certificates.is_empty()
            && let Some(PeerNames(names)) = extensions.get::<PeerNames>()
        {
            let is_gitsync = names.iter().any(|name| self.certificates.contains(name));
            // Calls of this listener are short: a certificate that expires meanwhile ends none.
            return ready(gitsync(is_gitsync, Timestamp::MAX)).boxed();
        }
        let services = self.services.clone();
        let verified = self.verifier.authenticate(headers);
        let of = move |verified: Result<Claims, TokenError>| {
            let claims = verified.map_err(refused)?;
            let is_gitsync = services.of(&claims) == Some(GITSYNC);
            gitsync(is_gitsync, expiry(&claims)?)
        };
        verified.map(of).boxed()
    }
}

fn gitsync(is_gitsync: bool, expires_at: Timestamp) -> Result<Caller, Error> {
    if !is_gitsync {
        return Err(Error::NotAllowed {
            action: "SyncService",
        });
    }
    Ok(Caller {
        principal: Principal::Service(GITSYNC.to_owned()),
        expires_at,
    })
}

fn caller(verified: Result<Claims, TokenError>, services: &ServiceNames) -> Result<Caller, Error> {
    let claims = verified.map_err(refused)?;
    Ok(Caller {
        expires_at: expiry(&claims)?,
        principal: principal(claims, services)?,
    })
}

fn expiry(claims: &Claims) -> Result<Timestamp, Error> {
    Timestamp::from_second(claims.exp).map_err(|_| Error::CredentialsInvalid)
}

fn refused(error: TokenError) -> Error {
    match error {
        TokenError::Missing => Error::CredentialsMissing,
        TokenError::TooLong => Error::CredentialsTooLarge,
        TokenError::KeysUnavailable => Error::Unavailable {
            problem: "the keys that verify this token cannot be loaded now",
            reason: reason::DEPENDENCY_UNAVAILABLE,
            retry_after: None,
            source: Some(error.into()),
        },
        TokenError::UnknownKey | TokenError::Invalid(_) => {
            tracing::debug!(why = %error, "a token was refused");
            Error::CredentialsInvalid
        }
    }
}

/// The principal of verified claims.
///
/// # Errors
///
/// As [`Auth::caller`].
pub(crate) fn principal(claims: Claims, services: &ServiceNames) -> Result<Principal, Error> {
    if let Some(name) = services.of(&claims) {
        return if is_plain(name) {
            Ok(Principal::Service(name.to_owned()))
        } else {
            Err(Error::CredentialsInvalid)
        };
    }
    if claims.organizations.len().max(claims.groups.len()) > MAX_MEMBERSHIPS {
        return Err(Error::CredentialsTooLarge);
    }
    let id: Uuid = claims.sub.parse().map_err(|_| Error::CredentialsInvalid)?;
    let mut roles: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
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
