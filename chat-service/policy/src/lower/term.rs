//! Terms: the values of expressions.

use std::sync::Arc;

use cedar_policy::pst::EntityUID;
use uuid::Uuid;

use super::{Result, Scope, refuse};
use crate::{
    cond::{Cond, Membership},
    id::{GroupId, OrganizationId, UserId, WorkspaceId},
    pred::{Atom, Level},
};

/// The value of an expression.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Bool(Cond),
    Text(Arc<str>),
    Entity(EntityLiteral),
    Caller,
    Resource,
    Column(Column),
    /// The organizations that the caller belongs to.
    Organizations(Membership),
    SiteRoles,
    /// The subjects that the chat is shared with, at this level or a higher one.
    Shares(SubjectKind, Level),
    Set(Vec<Self>),
}

/// An attribute of the resource that is compared as a whole.
#[derive(Clone, Debug)]
pub(super) enum Column {
    Owner,
    Organization,
    Workspace,
    Title,
    Status,
    Label(Arc<str>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum SubjectKind {
    User,
    Group,
}

/// An entity that a policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntityLiteral {
    User(UserId),
    Group(GroupId),
    Organization(OrganizationId),
    Workspace(WorkspaceId),
    Status(String),
    Service(String),
    Sync(String),
}

impl EntityLiteral {
    pub(super) fn parse(uid: &EntityUID) -> Result<Self> {
        // Cedar compares ids as text, PostgreSQL as values, so only the one way of writing that the
        // database has is taken.
        let uuid = || match uid.eid.parse::<Uuid>() {
            Ok(id) if id.hyphenated().to_string() == uid.eid.as_str() => Ok(id),
            Ok(_) | Err(_) => refuse(uid, "the id must be a UUID in lower case with hyphens"),
        };
        Ok(match uid.ty.to_string().as_str() {
            "User" => Self::User(UserId(uuid()?)),
            "Group" => Self::Group(GroupId(uuid()?)),
            "Organization" => Self::Organization(OrganizationId(uuid()?)),
            "Workspace" => Self::Workspace(WorkspaceId(uuid()?)),
            "Status" => Self::Status(uid.eid.to_string()),
            "Service" => Self::Service(uid.eid.to_string()),
            "Sync" => Self::Sync(uid.eid.to_string()),
            _ => {
                return refuse(
                    uid,
                    "policies are about kinds of resources, not about a single one",
                );
            }
        })
    }
}

impl Term {
    pub(super) fn chat(atom: Atom) -> Self {
        Self::Bool(Cond::chat(atom))
    }
}

impl Scope {
    /// The type of the entity that a term is; `None` for a term of another type.
    pub(super) fn kind(&self, term: &Term) -> Option<&'static str> {
        Some(match term {
            Term::Caller => self.caller.name(),
            Term::Resource => self.resource.name(),
            Term::Entity(EntityLiteral::User(_)) | Term::Column(Column::Owner) => "User",
            Term::Entity(EntityLiteral::Group(_)) => "Group",
            Term::Entity(EntityLiteral::Organization(_)) | Term::Column(Column::Organization) => {
                "Organization"
            }
            Term::Entity(EntityLiteral::Workspace(_)) | Term::Column(Column::Workspace) => {
                "Workspace"
            }
            Term::Entity(EntityLiteral::Status(_)) | Term::Column(Column::Status) => "Status",
            Term::Entity(EntityLiteral::Service(_)) => "Service",
            Term::Entity(EntityLiteral::Sync(_)) => "Sync",
            _ => return None,
        })
    }
}
