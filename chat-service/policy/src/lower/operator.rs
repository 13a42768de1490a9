//! The operators that compare: `==`, `in`, `contains`, `containsAny`, `containsAll`.

use cedar_policy::pst::Expr;

use super::{
    CallerKind, Result, Scope, may_be_repeated, refuse,
    term::{Column, EntityLiteral, SubjectKind, Term},
};
use crate::{
    cond::{Cond, Fact},
    pred::{Atom, Level},
};

impl Scope {
    /// Whether the caller is this entity.
    pub(super) fn caller_is(&self, entity: &EntityLiteral) -> Cond {
        match (self.caller, entity) {
            (CallerKind::User, EntityLiteral::User(id)) => Cond::Atom(Fact::IsUser(*id)),
            (CallerKind::Service, EntityLiteral::Service(name)) => {
                Cond::Atom(Fact::IsService(name.clone()))
            }
            (CallerKind::User | CallerKind::Service, _) => Cond::False,
        }
    }

    /// Whether the caller is this entity, or below it.
    pub(super) fn caller_in(&self, entity: &EntityLiteral) -> Cond {
        match (self.caller, entity) {
            (CallerKind::User, EntityLiteral::Group(id)) => Cond::Atom(Fact::InGroup(*id)),
            _ => self.caller_is(entity),
        }
    }

    /// Whether the resource is this entity. Of the kinds of resources, only that of the one `Sync`
    /// can be named.
    pub(super) fn resource_is(&self, entity: &EntityLiteral) -> Cond {
        match entity {
            EntityLiteral::Sync(id) => {
                (self.resource.name() == "Sync" && id == crate::SYNC_ID).into()
            }
            _ => Cond::False,
        }
    }

    pub(super) fn equal(&self, left: &Term, right: &Term, construct: &Expr) -> Result<Cond> {
        if let (Term::Bool(left), Term::Bool(right)) = (left, right) {
            may_be_repeated(&[left, right], construct)?;
        }
        match (left, right) {
            (Term::Column(_), Term::Column(_)) => {
                refuse(construct, "compares two attributes of the resource")
            }
            _ => match self.equal_in_order(left, right) {
                Some(cond) => Ok(cond),
                None => self.equal_in_order(right, left).map_or_else(
                    || {
                        refuse(
                            construct,
                            "compares what has no translation: sets, or the resource",
                        )
                    },
                    Ok,
                ),
            },
        }
    }

    /// Whether the two are equal; none when they have to stand the other way round.
    fn equal_in_order(&self, left: &Term, right: &Term) -> Option<Cond> {
        Some(match (left, right) {
            (Term::Bool(left), Term::Bool(right)) => Cond::any([
                Cond::all([left.clone(), right.clone()]),
                Cond::all([left.clone().negated(), right.clone().negated()]),
            ]),
            (Term::Text(left), Term::Text(right)) => (left == right).into(),
            (Term::Entity(left), Term::Entity(right)) => (left == right).into(),
            (Term::Caller, Term::Caller) | (Term::Resource, Term::Resource) => Cond::True,
            (Term::Caller, Term::Resource) => Cond::False,
            (Term::Caller, Term::Entity(entity)) => self.caller_is(entity),
            (Term::Resource, Term::Entity(entity)) => self.resource_is(entity),
            (Term::Column(Column::Owner), Term::Caller) if self.caller == CallerKind::User => {
                Cond::Atom(Fact::OwnerIsCaller)
            }
            (Term::Column(_), Term::Caller) => Cond::False,
            (Term::Column(column), Term::Entity(entity)) => column_is(column, entity),
            (Term::Column(Column::Title), Term::Text(text)) => {
                Cond::chat(Atom::Title(text.clone()))
            }
            (Term::Column(Column::Label(key)), Term::Text(text)) => {
                Cond::chat(Atom::LabelIs(key.clone(), text.clone()))
            }
            _ => return None,
        })
    }

    pub(super) fn is_in(&self, left: &Term, right: &Term, construct: &Expr) -> Result<Cond> {
        match (left, right) {
            (_, Term::Set(items)) => any(items, |item| self.is_in(left, item, construct)),
            (Term::Caller, Term::Shares(kind, level)) => Ok(match (self.caller, kind) {
                (CallerKind::Service, _) => Cond::False,
                (CallerKind::User, SubjectKind::User) => Cond::Atom(Fact::SharedWithCaller(*level)),
                (CallerKind::User, SubjectKind::Group) => {
                    Cond::Atom(Fact::SharedWithGroupsOfCaller(*level))
                }
            }),
            (Term::Column(Column::Organization), Term::Organizations(membership)) => {
                Ok(Cond::Atom(Fact::OrganizationOfCaller(*membership)))
            }
            (Term::Caller, Term::Entity(entity)) => Ok(self.caller_in(entity)),
            // Users have groups above them, and only the caller's are known.
            (
                Term::Column(Column::Owner) | Term::Entity(EntityLiteral::User(_)),
                Term::Entity(EntityLiteral::Group(_)),
            ) => refuse(construct, "the groups of another user are not known"),
            (Term::Caller | Term::Resource | Term::Column(_) | Term::Entity(_), _) => {
                self.equal(left, right, construct)
            }
            _ => refuse(construct, "in has no translation here"),
        }
    }

    pub(super) fn contains(&self, set: &Term, item: &Term, construct: &Expr) -> Result<Cond> {
        match (set, item) {
            (Term::Set(items), item) => any(items, |one| self.equal(one, item, construct)),
            (Term::Organizations(membership), Term::Column(Column::Organization)) => {
                Ok(Cond::Atom(Fact::OrganizationOfCaller(*membership)))
            }
            (Term::Organizations(membership), Term::Entity(entity)) => Ok(match entity {
                EntityLiteral::Organization(id) => Cond::Atom(Fact::In(*membership, *id)),
                _ => Cond::False,
            }),
            (Term::SiteRoles, Term::Text(role)) => {
                Ok(Cond::Atom(Fact::SiteRole(role.as_ref().to_owned())))
            }
            (Term::Shares(kind, level), Term::Caller) => Ok(match (kind, self.caller) {
                (SubjectKind::User, CallerKind::User) => Cond::Atom(Fact::SharedWithCaller(*level)),
                (SubjectKind::User | SubjectKind::Group, _) => Cond::False,
            }),
            (Term::Shares(kind, level), Term::Entity(entity)) => {
                Ok(shared_with(*kind, *level, entity))
            }
            (Term::Shares(..), _) => refuse(construct, "compares two attributes of the resource"),
            _ => refuse(construct, "contains has no translation here"),
        }
    }

    /// `containsAny`, or `containsAll`. One side must be written out: two sets that are both
    /// unknown have no bound on their members.
    pub(super) fn contains_some(
        &self,
        any_of: bool,
        left: Term,
        right: Term,
        construct: &Expr,
    ) -> Result<Cond> {
        let (set, items) = match (left, right) {
            (set, Term::Set(items)) => (set, items),
            (Term::Set(items), set) if any_of => (set, items),
            _ => return refuse(construct, "needs a set that is written out"),
        };
        let contains = |item: &Term| self.contains(&set, item, construct);
        if any_of {
            any(&items, contains)
        } else {
            let conds = items.iter().map(contains).collect::<Result<Vec<_>>>()?;
            Ok(Cond::all(conds))
        }
    }
}

fn any(items: &[Term], holds: impl Fn(&Term) -> Result<Cond>) -> Result<Cond> {
    let conds = items.iter().map(holds).collect::<Result<Vec<_>>>()?;
    Ok(Cond::any(conds))
}

/// Whether the column holds this entity.
fn column_is(column: &Column, entity: &EntityLiteral) -> Cond {
    Cond::chat(match (column, entity) {
        (Column::Owner, EntityLiteral::User(id)) => Atom::Owner([*id].into()),
        (Column::Organization, EntityLiteral::Organization(id)) => Atom::Organization([*id].into()),
        (Column::Workspace, EntityLiteral::Workspace(id)) => Atom::Workspace([*id].into()),
        (Column::Status, EntityLiteral::Status(name)) => Atom::Status([name.clone()].into()),
        _ => return Cond::False,
    })
}

fn shared_with(kind: SubjectKind, level: Level, entity: &EntityLiteral) -> Cond {
    Cond::chat(match (kind, entity) {
        (SubjectKind::User, EntityLiteral::User(id)) => Atom::SharedWithUser([*id].into(), level),
        (SubjectKind::Group, EntityLiteral::Group(id)) => {
            Atom::SharedWithGroup([*id].into(), level)
        }
        _ => return Cond::False,
    })
}
