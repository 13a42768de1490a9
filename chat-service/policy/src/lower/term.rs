//! What an expression is, and when two of them are equal.

use std::sync::Arc;

use cedar_policy::pst::{EntityUID, Expr};
use uuid::Uuid;

use super::{CallerKind, Result, Scope, refuse};
use crate::{
    action::ResourceKind,
    cond::{CallerFact, ChatFact, Cond, Membership},
    id::{GroupId, OrganizationId, UserId, WorkspaceId},
    pred::{Atom, Level},
};

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Bool(Cond),
    Long(i64),
    Text(Arc<str>),
    Entity(EntityUID),
    Caller,
    Resource,
    Column(Column),
    /// The organizations that the caller belongs to.
    Organizations(Membership),
    SiteRoles,
    /// Whom the chat is shared with, at this level or a higher one.
    Shares(SubjectKind, Level),
    Set(Vec<Self>),
}

/// An attribute of the resource that is compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Owner,
    Organization,
    Workspace,
    Title,
    Status,
    Label(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubjectKind {
    User,
    Group,
}

impl Term {
    /// The type of the entity that it is; none if it is no entity.
    pub(super) fn entity_type(&self, scope: &Scope) -> Option<String> {
        match self {
            Self::Caller => Some(scope.caller.name().to_owned()),
            Self::Resource => Some(scope.resource.name().to_owned()),
            Self::Entity(uid) => Some(uid.ty.to_string()),
            Self::Column(Column::Owner) => Some("User".to_owned()),
            Self::Column(Column::Organization) => Some("Organization".to_owned()),
            Self::Column(Column::Workspace) => Some("Workspace".to_owned()),
            Self::Column(Column::Status) => Some("Status".to_owned()),
            Self::Column(Column::Title | Column::Label(_))
            | Self::Bool(_)
            | Self::Long(_)
            | Self::Text(_)
            | Self::Organizations(_)
            | Self::SiteRoles
            | Self::Shares(..)
            | Self::Set(_) => None,
        }
    }
}

/// The UUID of an entity. Cedar compares ids as text, PostgreSQL as values, so only the one way of
/// writing that the database has is taken.
pub(super) fn uuid(uid: &EntityUID) -> Result<Uuid> {
    match uid.eid.parse::<Uuid>() {
        Ok(id) if id.hyphenated().to_string() == uid.eid.as_str() => Ok(id),
        Ok(_) | Err(_) => refuse(uid, "the id must be a UUID in lower case with hyphens"),
    }
}

impl Scope {
    /// Whether the caller is this entity.
    pub(super) fn caller_is(&self, uid: &EntityUID) -> Result<Cond> {
        match (self.caller, uid.ty.to_string().as_str()) {
            (CallerKind::User, "User") => Ok(Cond::Caller(CallerFact::IsUser(UserId(uuid(uid)?)))),
            (CallerKind::Service, "Service") => {
                Ok(Cond::Caller(CallerFact::IsService(uid.eid.to_string())))
            }
            (CallerKind::User | CallerKind::Service, _) => Ok(Cond::Const(false)),
        }
    }

    /// Whether the resource is this entity.
    pub(super) fn resource_is(&self, uid: &EntityUID) -> Result<Cond> {
        match (self.resource, uid.ty.to_string() == self.resource.name()) {
            (_, false) => Ok(Cond::Const(false)),
            (ResourceKind::Sync, true) => Ok(Cond::Const(uid.eid.as_str() == crate::SYNC_ID)),
            (ResourceKind::Chat | ResourceKind::GitAccount, true) => refuse(
                uid,
                "policies are about kinds of resources, not about a single one",
            ),
        }
    }

    pub(super) fn equal(&self, left: &Term, right: &Term, construct: &Expr) -> Result<Cond> {
        match (left, right) {
            (Term::Bool(left), Term::Bool(right)) => Ok(Cond::any([
                Cond::all([left.clone(), right.clone()]),
                Cond::all([left.clone().negated(), right.clone().negated()]),
            ])),
            (Term::Long(left), Term::Long(right)) => Ok(Cond::Const(left == right)),
            (Term::Text(left), Term::Text(right)) => Ok(Cond::Const(left == right)),
            (Term::Entity(left), Term::Entity(right)) => Ok(Cond::Const(left == right)),
            (Term::Caller, Term::Caller) | (Term::Resource, Term::Resource) => {
                Ok(Cond::Const(true))
            }
            (Term::Caller, Term::Resource) | (Term::Resource, Term::Caller) => {
                Ok(Cond::Const(false))
            }
            (Term::Caller, Term::Entity(uid)) | (Term::Entity(uid), Term::Caller) => {
                self.caller_is(uid)
            }
            (Term::Resource, Term::Entity(uid)) | (Term::Entity(uid), Term::Resource) => {
                self.resource_is(uid)
            }
            (Term::Column(column), Term::Caller) | (Term::Caller, Term::Column(column)) => {
                Ok(match (column, self.caller) {
                    (Column::Owner, CallerKind::User) => Cond::Chat(ChatFact::OwnerIsCaller),
                    _ => Cond::Const(false),
                })
            }
            (Term::Column(column), Term::Entity(uid))
            | (Term::Entity(uid), Term::Column(column)) => column_is(column, uid),
            (Term::Column(column), Term::Text(text)) | (Term::Text(text), Term::Column(column)) => {
                match column {
                    Column::Title => Ok(Cond::atom(Atom::Title(text.clone()))),
                    Column::Label(key) => Ok(Cond::atom(Atom::LabelIs(key.clone(), text.clone()))),
                    Column::Owner | Column::Organization | Column::Workspace | Column::Status => {
                        Ok(Cond::Const(false))
                    }
                }
            }
            (Term::Column(_), Term::Column(_)) => {
                refuse(construct, "compares two attributes of the resource")
            }
            _ => refuse(
                construct,
                "compares what has no translation: sets, or the resource",
            ),
        }
    }

    /// Whether some of `items` is `column`: one set where there can be one.
    pub(super) fn one_of(&self, items: &[Term], column: &Column, construct: &Expr) -> Result<Cond> {
        let uids: Option<Vec<&EntityUID>> = items
            .iter()
            .map(|item| match item {
                Term::Entity(uid) if uid.ty.to_string() == type_of(column) => Some(uid),
                _ => None,
            })
            .collect();
        match (column, uids) {
            (Column::Organization, Some(uids)) if !uids.is_empty() => {
                Ok(Cond::atom(Atom::Organization(ids(&uids, OrganizationId)?)))
            }
            (Column::Workspace, Some(uids)) if !uids.is_empty() => {
                Ok(Cond::atom(Atom::Workspace(ids(&uids, WorkspaceId)?)))
            }
            (Column::Status, Some(uids)) if !uids.is_empty() => Ok(Cond::atom(Atom::Status(
                uids.iter().map(|uid| uid.eid.to_string()).collect(),
            ))),
            _ => {
                let column = Term::Column(column.clone());
                let conds = items
                    .iter()
                    .map(|item| self.equal(item, &column, construct))
                    .collect::<Result<Vec<_>>>()?;
                Ok(Cond::any(conds))
            }
        }
    }
}

/// Whether the column holds this entity.
pub(super) fn column_is(column: &Column, uid: &EntityUID) -> Result<Cond> {
    if uid.ty.to_string() != type_of(column) {
        return Ok(Cond::Const(false));
    }
    Ok(Cond::atom(match column {
        Column::Owner => Atom::Owner(UserId(uuid(uid)?)),
        Column::Organization => Atom::Organization([OrganizationId(uuid(uid)?)].into()),
        Column::Workspace => Atom::Workspace([WorkspaceId(uuid(uid)?)].into()),
        Column::Status => Atom::Status([uid.eid.to_string()].into()),
        Column::Title | Column::Label(_) => return Ok(Cond::Const(false)),
    }))
}

/// The groups of a set.
pub(super) fn groups(uids: &[&EntityUID]) -> Result<Arc<[GroupId]>> {
    ids(uids, GroupId)
}

fn ids<T: Ord>(uids: &[&EntityUID], id: fn(Uuid) -> T) -> Result<Arc<[T]>> {
    let mut ids = uids
        .iter()
        .map(|uid| uuid(uid).map(id))
        .collect::<Result<Vec<T>>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids.into())
}

fn type_of(column: &Column) -> &'static str {
    match column {
        Column::Owner => "User",
        Column::Organization => "Organization",
        Column::Workspace => "Workspace",
        Column::Status => "Status",
        Column::Title | Column::Label(_) => "String",
    }
}
