//! Who is calling, as their token says.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{GroupId, OrganizationId, UserId};

/// The role of an organization's administrators; who has it administers the organization.
pub const ADMIN: &str = "admin";

/// A caller whose token was verified. Only `auth.rs` makes one from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    User(User),
    /// One of our own services, by name.
    Service(String),
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// Roles by organization, as in `admin`.
    pub organizations: BTreeMap<OrganizationId, BTreeSet<String>>,
    /// Groups, closed over nesting.
    pub groups: BTreeSet<GroupId>,
    /// Roles over the whole site: `admin`, `auditor`.
    pub site_roles: BTreeSet<String>,
    /// May do nothing.
    pub suspended: bool,
}

impl Principal {
    /// A stable name of the caller, to which page tokens are bound.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::User(user) => format!("user:{}", user.id),
            Self::Service(name) => format!("service:{name}"),
        }
    }

    /// The caller's user id, if it is a person.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(user.id),
            Self::Service(_) => None,
        }
    }
}
