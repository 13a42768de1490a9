//! Somebody who calls, and their token.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use service_runtime::token::{AUDIENCE, Claims, Kind, Organization, Signer};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};
use uuid::Uuid;

/// Long after any test: the year 2096.
const FAR: i64 = 4_000_000_000;

/// Somebody who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What their token says.
    pub claims: Claims,
}

impl Caller {
    /// A user without any role.
    #[must_use]
    pub fn user() -> Self {
        Self {
            claims: Claims {
                sub: Uuid::now_v7().to_string(),
                aud: AUDIENCE.to_owned(),
                exp: FAR,
                iat: None,
                kind: Kind::User,
                organizations: Vec::new(),
                groups: BTreeSet::new(),
                site_roles: BTreeSet::new(),
                suspended: false,
            },
        }
    }

    /// One of our own services.
    #[must_use]
    pub fn service(name: &str) -> Self {
        let mut caller = Self::user();
        caller.claims.kind = Kind::Service;
        name.clone_into(&mut caller.claims.sub);
        caller
    }

    /// The service that manages chats for their owners.
    #[must_use]
    pub fn internal() -> Self {
        Self::service("internal")
    }

    /// The same user, in an organization.
    #[must_use]
    pub fn member(mut self, organization: Uuid, role: &str) -> Self {
        self.claims.organizations.push(Organization {
            id: organization,
            roles: [role.to_owned()].into(),
        });
        self
    }

    /// The same user, with a role over the whole site.
    #[must_use]
    pub fn site(mut self, role: &str) -> Self {
        self.claims.site_roles.insert(role.to_owned());
        self
    }

    /// The `sub` of the token.
    #[must_use]
    pub fn id(&self) -> String {
        self.claims.sub.clone()
    }

    /// Their token.
    ///
    /// # Panics
    ///
    /// When the token cannot be signed or does not fit a header.
    #[must_use]
    pub fn bearer(&self, signer: &Signer) -> Bearer {
        let token = signer.sign(&self.claims).expect("sign a token");
        let value = format!("Bearer {}", token.expose_secret());
        Bearer(value.parse().expect("a token fits a header"))
    }
}

/// Adds a bearer token to every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}
