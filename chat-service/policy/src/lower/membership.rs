//! The operators about sets and hierarchies: `in`, `contains`, `containsAny`, `containsAll`.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, EntityUID, Expr};

use super::{
    CallerKind, Result, Scope, refuse,
    term::{self, Column, SubjectKind, Term, uuid},
};
use crate::{
    cond::{CallerFact, ChatFact, Cond},
    id::{GroupId, OrganizationId, UserId},
    pred::{Atom, Level},
};

impl Scope {
    /// Whether the caller is this entity, or below it.
    pub(super) fn caller_in(&self, uid: &EntityUID) -> Result<Cond> {
        match (self.caller, uid.ty.to_string().as_str()) {
            (CallerKind::User, "Group") => {
                Ok(Cond::Caller(CallerFact::InGroup(GroupId(uuid(uid)?))))
            }
            (CallerKind::User | CallerKind::Service, _) => self.caller_is(uid),
        }
    }

    pub(super) fn is_in(
        &self,
        left: &Arc<Expr>,
        right: &Arc<Expr>,
        construct: &Expr,
    ) -> Result<Cond> {
        let (left, right) = (self.term(left)?, self.term(right)?);
        match (&left, &right) {
            (_, Term::Set(items)) => match &left {
                Term::Column(
                    column @ (Column::Organization | Column::Workspace | Column::Status),
                ) => self.one_of(items, column, construct),
                _ => {
                    let conds = items
                        .iter()
                        .map(|item| self.is_below(&left, item, construct))
                        .collect::<Result<Vec<_>>>()?;
                    Ok(Cond::any(conds))
                }
            },
            (Term::Caller, Term::Shares(kind, level)) => Ok(match (self.caller, kind) {
                (CallerKind::Service, _) => Cond::Const(false),
                (CallerKind::User, SubjectKind::User) => {
                    Cond::Chat(ChatFact::SharedWithCaller(*level))
                }
                (CallerKind::User, SubjectKind::Group) => {
                    Cond::Chat(ChatFact::SharedWithGroupsOfCaller(*level))
                }
            }),
            (Term::Column(Column::Organization), Term::Organizations(membership)) => {
                Ok(Cond::Chat(ChatFact::OrganizationOfCaller(*membership)))
            }
            _ => self.is_below(&left, &right, construct),
        }
    }

    /// `left in right` for two entities.
    fn is_below(&self, left: &Term, right: &Term, construct: &Expr) -> Result<Cond> {
        match (left, right) {
            (Term::Caller, Term::Entity(uid)) => self.caller_in(uid),
            // Users have groups above them, and whose the owner's are is not known.
            (Term::Column(Column::Owner), Term::Entity(uid)) if uid.ty.to_string() == "Group" => {
                refuse(construct, "the groups of the owner are not known")
            }
            (Term::Entity(left), Term::Entity(right)) => {
                if left != right && left.ty.to_string() == "User" && right.ty.to_string() == "Group"
                {
                    return refuse(construct, "the groups of another user are not known");
                }
                Ok(Cond::Const(left == right))
            }
            (Term::Caller | Term::Resource | Term::Column(_) | Term::Entity(_), _) => {
                self.equal(left, right, construct)
            }
            _ => refuse(construct, "in has no translation here"),
        }
    }

    pub(super) fn contains(&self, set: &Term, item: &Term, construct: &Expr) -> Result<Cond> {
        match (set, item) {
            (Term::Set(items), Term::Column(column)) => self.one_of(items, column, construct),
            (Term::Set(items), item) => {
                let conds = items
                    .iter()
                    .map(|one| self.equal(one, item, construct))
                    .collect::<Result<Vec<_>>>()?;
                Ok(Cond::any(conds))
            }
            (Term::Organizations(membership), Term::Column(Column::Organization)) => {
                Ok(Cond::Chat(ChatFact::OrganizationOfCaller(*membership)))
            }
            (Term::Organizations(membership), Term::Entity(uid)) => {
                Ok(if uid.ty.to_string() == "Organization" {
                    Cond::Caller(CallerFact::In(*membership, OrganizationId(uuid(uid)?)))
                } else {
                    Cond::Const(false)
                })
            }
            (Term::SiteRoles, Term::Text(role)) => {
                Ok(Cond::Caller(CallerFact::SiteRole(role.as_ref().to_owned())))
            }
            (Term::Shares(kind, level), Term::Caller) => Ok(match (kind, self.caller) {
                (SubjectKind::User, CallerKind::User) => {
                    Cond::Chat(ChatFact::SharedWithCaller(*level))
                }
                (SubjectKind::User | SubjectKind::Group, _) => Cond::Const(false),
            }),
            (Term::Shares(kind, level), Term::Entity(uid)) => shared_with(*kind, *level, uid),
            (Term::Shares(..), _) => refuse(construct, "compares two attributes of the resource"),
            _ => refuse(construct, "contains has no translation here"),
        }
    }

    /// `containsAny` and `containsAll`. One side must be written out: two sets that are both unknown
    /// have no bound on their members.
    pub(super) fn contains_some(
        &self,
        op: BinaryOp,
        left: Term,
        right: Term,
        construct: &Expr,
    ) -> Result<Cond> {
        let any = op == BinaryOp::ContainsAny;
        let (set, items) = match (left, right) {
            (set, Term::Set(items)) => (set, items),
            (Term::Set(items), set) if any => (set, items),
            _ => return refuse(construct, "needs a set that is written out"),
        };
        if let (true, Term::Shares(SubjectKind::Group, level)) = (any, &set) {
            return any_group(*level, &items, construct);
        }
        let conds = items
            .iter()
            .map(|item| self.contains(&set, item, construct))
            .collect::<Result<Vec<_>>>()?;
        Ok(if any {
            Cond::any(conds)
        } else {
            Cond::all(conds)
        })
    }
}

fn shared_with(kind: SubjectKind, level: Level, uid: &EntityUID) -> Result<Cond> {
    Ok(match (kind, uid.ty.to_string().as_str()) {
        (SubjectKind::User, "User") => Cond::atom(Atom::SharedWithUser(UserId(uuid(uid)?), level)),
        (SubjectKind::Group, "Group") => {
            Cond::atom(Atom::SharedWithGroup([GroupId(uuid(uid)?)].into(), level))
        }
        (SubjectKind::User | SubjectKind::Group, _) => Cond::Const(false),
    })
}

/// Shared with some of these groups: one set, one scan.
fn any_group(level: Level, items: &[Term], construct: &Expr) -> Result<Cond> {
    let uids = items
        .iter()
        .map(|item| match item {
            Term::Entity(uid) if uid.ty.to_string() == "Group" => Ok(uid),
            _ => refuse(construct, "needs groups that are written out"),
        })
        .collect::<Result<Vec<_>>>()?;
    if uids.is_empty() {
        return Ok(Cond::Const(false));
    }
    Ok(Cond::atom(Atom::SharedWithGroup(
        term::groups(&uids)?,
        level,
    )))
}
