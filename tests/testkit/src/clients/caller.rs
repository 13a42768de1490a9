//! The identity in whose name a call is made.

use std::collections::BTreeSet;

use service_runtime::token::{AUDIENCE, Claims, Kind, Organization, Signer};
use uuid::Uuid;

use super::{Bearer, KEYS, bearer, keys};

/// Life of a token, in seconds: longer than any test, and shorter than services accept.
const LIFETIME: i64 = 12 * 60 * 60;

/// A user or a service that calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What its token says.
    pub claims: Claims,
}

impl Caller {
    /// A new user without any role.
    pub fn user() -> Self {
        Self {
            claims: Claims {
                sub: Uuid::now_v7().to_string(),
                iss: None,
                aud: vec![AUDIENCE.to_owned()],
                exp: jiff::Timestamp::now().as_second() + LIFETIME,
                iat: None,
                nbf: None,
                kind: Some(Kind::User),
                organizations: Vec::new(),
                groups: BTreeSet::new(),
                site_roles: BTreeSet::new(),
                suspended: false,
            },
        }
    }

    /// One of our own services.
    pub fn service(name: &str) -> Self {
        let mut caller = Self::user();
        caller.claims.kind = Some(Kind::Service);
        name.clone_into(&mut caller.claims.sub);
        caller
    }

    /// The service that manages chats for their owners.
    pub fn internal() -> Self {
        Self::service("internal")
    }

    /// A worker.
    pub fn gitsync() -> Self {
        Self::service("gitsync")
    }

    /// The same user, with a role in an organization.
    pub fn member(mut self, organization: Uuid, role: &str) -> Self {
        self.claims.organizations.push(Organization {
            id: organization,
            roles: [role.to_owned()].into(),
        });
        self
    }

    /// The same user, in a group.
    pub fn group(mut self, group: Uuid) -> Self {
        self.claims.groups.insert(group);
        self
    }

    /// The same caller, with a role over the whole site.
    pub fn site(mut self, role: &str) -> Self {
        self.claims.site_roles.insert(role.to_owned());
        self
    }

    /// The same user, suspended.
    pub fn suspended(mut self) -> Self {
        self.claims.suspended = true;
        self
    }

    /// The same caller, whose token expires at `at`, in seconds since 1970.
    pub fn expires(mut self, at: i64) -> Self {
        self.claims.exp = at;
        self
    }

    /// The same caller, whose token expires in this many seconds.
    pub fn expires_in(self, seconds: i64) -> Self {
        self.expires(jiff::Timestamp::now().as_second() + seconds)
    }

    /// The `sub` of the token.
    pub fn id(&self) -> String {
        self.claims.sub.clone()
    }

    /// A token, signed with [`KEYS`].
    pub fn token(&self) -> String {
        KEYS.token(self)
    }

    /// The bearer of a token that `signer` has signed.
    pub fn bearer(&self, signer: &Signer) -> Bearer {
        bearer(&keys::sign(signer, self))
    }
}
