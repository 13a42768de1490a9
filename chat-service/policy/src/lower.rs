//! From Cedar's syntax tree to a [`Cond`], for one kind of caller, one action, one kind of resource.
//!
//! This happens once, when policies are loaded. Everything that depends on types and names is settled here:
//! what has no translation is refused here, with the construct, and never at request time. The tree
//! was strictly validated before, so that no expression that gets here can be an error at evaluation:
//! optional attributes and tags stand under their `has` and `hasTag`.
//!
//! Where an operand decides (`false && x`), the other one is not looked at, as Cedar's validator does:
//! `principal is User && principal.suspended` is about users only.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not named is refused: that is the rule of this module"
)]

mod membership;
mod term;

use std::sync::Arc;

use cedar_policy::pst::{
    BinaryOp, Clause, EntityOrSlot, EntityUID, Expr, Literal, PrincipalConstraint,
    ResourceConstraint, SmolStr, Template, UnaryOp, Var,
};

use self::term::{Column, SubjectKind, Term};
use crate::{
    action::ResourceKind,
    cond::{CallerFact, Cond, Membership},
    pattern::{Pattern, Piece},
    pred::{Atom, Level},
};

/// What kind of caller a policy is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerKind {
    User,
    Service,
}

impl CallerKind {
    pub(crate) const ALL: [Self; 2] = [Self::User, Self::Service];

    fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Service => "Service",
        }
    }
}

/// For what a policy is translated.
pub(crate) struct Scope {
    pub(crate) caller: CallerKind,
    pub(crate) resource: ResourceKind,
}

/// A construct without translation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) construct: String,
    pub(crate) why: &'static str,
}

type Result<T> = std::result::Result<T, Refusal>;

fn refuse<T>(construct: &impl ToString, why: &'static str) -> Result<T> {
    Err(Refusal {
        construct: construct.to_string(),
        why,
    })
}

impl Scope {
    /// When a policy applies. Its action was matched before.
    pub(crate) fn policy(&self, policy: &Template) -> Result<Cond> {
        let mut conds = vec![
            self.principal(&policy.principal)?,
            self.resource(&policy.resource)?,
        ];
        for clause in policy.clauses() {
            if conds.contains(&Cond::Const(false)) {
                break;
            }
            conds.push(match clause {
                Clause::When(expr) => self.cond(expr)?,
                Clause::Unless(expr) => self.cond(expr)?.negated(),
            });
        }
        Ok(Cond::all(conds))
    }

    fn principal(&self, constraint: &PrincipalConstraint) -> Result<Cond> {
        let is = |name: String| Cond::Const(name == self.caller.name());
        match constraint {
            PrincipalConstraint::Any => Ok(Cond::Const(true)),
            PrincipalConstraint::Eq(entity) => self.caller_is(self.entity(entity)?),
            PrincipalConstraint::In(entity) => self.caller_in(self.entity(entity)?),
            PrincipalConstraint::Is(name) => Ok(is(name.to_string())),
            PrincipalConstraint::IsIn(name, entity) => Ok(Cond::all([
                is(name.to_string()),
                self.caller_in(self.entity(entity)?)?,
            ])),
        }
    }

    fn resource(&self, constraint: &ResourceConstraint) -> Result<Cond> {
        match constraint {
            ResourceConstraint::Any => Ok(Cond::Const(true)),
            ResourceConstraint::Is(name) => {
                Ok(Cond::Const(name.to_string() == self.resource.name()))
            }
            ResourceConstraint::Eq(entity) | ResourceConstraint::In(entity) => {
                self.resource_is(self.entity(entity)?)
            }
            ResourceConstraint::IsIn(_, entity) => self.resource_is(self.entity(entity)?),
        }
    }

    fn entity<'e>(&self, entity: &'e EntityOrSlot) -> Result<&'e EntityUID> {
        match entity {
            EntityOrSlot::Entity(uid) => Ok(uid),
            EntityOrSlot::Slot(slot) => refuse(slot, "templates are not linked here"),
        }
    }

    /// An expression that is a condition.
    fn cond(&self, expr: &Arc<Expr>) -> Result<Cond> {
        match self.term(expr)? {
            Term::Bool(cond) => Ok(cond),
            Term::Long(_)
            | Term::Text(_)
            | Term::Entity(_)
            | Term::Caller
            | Term::Resource
            | Term::Column(_)
            | Term::Organizations(_)
            | Term::SiteRoles
            | Term::Shares(..)
            | Term::Set(_) => refuse(expr, "is not a condition"),
        }
    }

    fn term(&self, expr: &Arc<Expr>) -> Result<Term> {
        let construct: &Expr = expr;
        match construct {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Var(Var::Principal) => Ok(Term::Caller),
            Expr::Var(Var::Resource) => Ok(Term::Resource),
            Expr::Var(Var::Action) => refuse(construct, "name actions in the policy's head"),
            Expr::Var(Var::Context) => refuse(construct, "there is no context"),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, construct),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, construct),
            Expr::GetAttr { expr, attr } => self.attribute(expr, attr, construct),
            Expr::HasAttr { expr, attrs } => {
                let attrs: Vec<&SmolStr> = attrs.iter().collect();
                self.has(expr, &attrs, construct).map(Term::Bool)
            }
            Expr::Like { expr, pattern } => {
                let pattern = Pattern::new(pattern.iter().map(|piece| match piece {
                    cedar_policy::pst::PatternElem::Char(character) => Piece::Char(*character),
                    cedar_policy::pst::PatternElem::Wildcard => Piece::Any,
                }));
                if pattern.pieces().contains(&Piece::Char('\0')) {
                    return refuse(construct, "no text in PostgreSQL holds NUL");
                }
                match self.term(expr)? {
                    Term::Column(Column::Title) => {
                        Ok(Term::Bool(Cond::atom(Atom::TitleLike(pattern))))
                    }
                    Term::Column(Column::Label(key)) => {
                        Ok(Term::Bool(Cond::atom(Atom::LabelLike(key, pattern))))
                    }
                    _ => refuse(construct, "only the title and labels are matched with like"),
                }
            }
            Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                let kind = self.term(expr)?.entity_type(self);
                let is = kind.as_deref() == Some(entity_type.to_string().as_str());
                match in_expr {
                    Some(ancestors) if is => self.is_in(expr, ancestors, construct).map(Term::Bool),
                    Some(_) | None => Ok(Term::Bool(Cond::Const(is))),
                }
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => match self.cond(cond)? {
                Cond::Const(true) => self.term(then_expr),
                Cond::Const(false) => self.term(else_expr),
                cond => Ok(Term::Bool(Cond::any([
                    Cond::all([cond.clone(), self.cond(then_expr)?]),
                    Cond::all([cond.negated(), self.cond(else_expr)?]),
                ]))),
            },
            Expr::Set(items) => Ok(Term::Set(
                items
                    .iter()
                    .map(|item| self.term(item))
                    .collect::<Result<_>>()?,
            )),
            Expr::Record(_) => refuse(construct, "there are no records"),
            Expr::Slot(_) => refuse(construct, "templates are not linked here"),
            Expr::Unknown { .. } | _ => refuse(construct, "has no translation"),
        }
    }

    fn literal(&self, literal: &Literal) -> Result<Term> {
        match literal {
            Literal::Bool(value) => Ok(Term::Bool(Cond::Const(*value))),
            Literal::Long(value) => Ok(Term::Long(*value)),
            Literal::String(text) => Ok(Term::Text(plain(text)?)),
            Literal::EntityUID(uid) => Ok(Term::Entity(uid.clone())),
            _ => refuse(&"a literal", "has no translation"),
        }
    }

    fn unary(&self, op: UnaryOp, operand: &Arc<Expr>, construct: &Expr) -> Result<Term> {
        match op {
            UnaryOp::Not => Ok(Term::Bool(self.cond(operand)?.negated())),
            UnaryOp::IsEmpty => match self.term(operand)? {
                Term::Set(items) => Ok(Term::Bool(Cond::Const(items.is_empty()))),
                Term::Organizations(membership) => {
                    Ok(Term::Bool(Cond::Caller(CallerFact::Nowhere(membership))))
                }
                Term::SiteRoles => Ok(Term::Bool(Cond::Caller(CallerFact::NoSiteRole))),
                _ => refuse(construct, "isEmpty of an attribute of the chat"),
            },
            UnaryOp::Neg => refuse(construct, "arithmetic"),
            _ => refuse(construct, "an extension function"),
        }
    }

    fn binary(
        &self,
        op: BinaryOp,
        left: &Arc<Expr>,
        right: &Arc<Expr>,
        construct: &Expr,
    ) -> Result<Term> {
        let cond = match op {
            BinaryOp::And => match self.cond(left)? {
                Cond::Const(false) => Cond::Const(false),
                left => Cond::all([left, self.cond(right)?]),
            },
            BinaryOp::Or => match self.cond(left)? {
                Cond::Const(true) => Cond::Const(true),
                left => Cond::any([left, self.cond(right)?]),
            },
            BinaryOp::Eq => self.equal(&self.term(left)?, &self.term(right)?, construct)?,
            BinaryOp::NotEq => self
                .equal(&self.term(left)?, &self.term(right)?, construct)?
                .negated(),
            BinaryOp::In => self.is_in(left, right, construct)?,
            BinaryOp::Contains => {
                self.contains(&self.term(left)?, &self.term(right)?, construct)?
            }
            BinaryOp::ContainsAny | BinaryOp::ContainsAll => {
                self.contains_some(op, self.term(left)?, self.term(right)?, construct)?
            }
            BinaryOp::HasTag => {
                let key = self.label_key(left, right, construct)?;
                Cond::atom(Atom::Label(key))
            }
            BinaryOp::GetTag => {
                let key = self.label_key(left, right, construct)?;
                return Ok(Term::Column(Column::Label(key)));
            }
            BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq => {
                return refuse(construct, "no attribute of a chat has an order");
            }
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => {
                return refuse(construct, "arithmetic");
            }
            _ => return refuse(construct, "an extension function"),
        };
        Ok(Term::Bool(cond))
    }

    fn label_key(&self, of: &Arc<Expr>, key: &Arc<Expr>, construct: &Expr) -> Result<Arc<str>> {
        match (self.term(of)?, self.term(key)?) {
            (Term::Resource, Term::Text(key)) if self.resource == ResourceKind::Chat => Ok(key),
            _ => refuse(
                construct,
                "only labels of the chat have tags, with a key that is written out",
            ),
        }
    }

    fn attribute(&self, of: &Arc<Expr>, attr: &SmolStr, construct: &Expr) -> Result<Term> {
        let chat = self.resource == ResourceKind::Chat;
        match (self.term(of)?, attr.as_str()) {
            (Term::Caller, "adminOf") => Ok(Term::Organizations(Membership::Admin)),
            (Term::Caller, "memberOf") => Ok(Term::Organizations(Membership::Member)),
            (Term::Caller, "siteRoles") => Ok(Term::SiteRoles),
            (Term::Caller, "suspended") => Ok(Term::Bool(Cond::Caller(CallerFact::Suspended))),
            (Term::Resource, "owner") => Ok(Term::Column(Column::Owner)),
            (Term::Resource, "organization") if chat => Ok(Term::Column(Column::Organization)),
            (Term::Resource, "workspace") if chat => Ok(Term::Column(Column::Workspace)),
            (Term::Resource, "title") if chat => Ok(Term::Column(Column::Title)),
            (Term::Resource, "status") if chat => Ok(Term::Column(Column::Status)),
            (Term::Resource, "archived") if chat => Ok(Term::Bool(Cond::atom(Atom::Archived))),
            (Term::Resource, "readerUsers") if chat => {
                Ok(Term::Shares(SubjectKind::User, Level::Reader))
            }
            (Term::Resource, "readerGroups") if chat => {
                Ok(Term::Shares(SubjectKind::Group, Level::Reader))
            }
            (Term::Resource, "writerUsers") if chat => {
                Ok(Term::Shares(SubjectKind::User, Level::Writer))
            }
            (Term::Resource, "writerGroups") if chat => {
                Ok(Term::Shares(SubjectKind::Group, Level::Writer))
            }
            (Term::Caller | Term::Resource, _) => refuse(construct, "the attribute has no column"),
            _ => refuse(
                construct,
                "an attribute of an entity other than principal and resource",
            ),
        }
    }

    fn has(&self, of: &Arc<Expr>, attrs: &[&SmolStr], construct: &Expr) -> Result<Cond> {
        let [attr] = attrs else {
            return refuse(
                construct,
                "there are no records, and no attributes of other entities",
            );
        };
        let attr = attr.as_str();
        match (self.term(of)?, self.caller, self.resource) {
            (Term::Resource, _, ResourceKind::Chat) => Ok(match attr {
                "organization" => Cond::atom(Atom::InSomeOrganization),
                "workspace" => Cond::atom(Atom::InSomeWorkspace),
                "owner" | "title" | "status" | "archived" | "readerUsers" | "readerGroups"
                | "writerUsers" | "writerGroups" => Cond::Const(true),
                _ => Cond::Const(false),
            }),
            (Term::Resource, _, ResourceKind::GitAccount) => Ok(Cond::Const(attr == "owner")),
            (Term::Resource, _, ResourceKind::Sync) => Ok(Cond::Const(false)),
            (Term::Caller, CallerKind::User, _) => Ok(Cond::Const(matches!(
                attr,
                "adminOf" | "memberOf" | "siteRoles" | "suspended"
            ))),
            (Term::Caller, CallerKind::Service, _) => Ok(Cond::Const(false)),
            _ => refuse(
                construct,
                "an attribute of an entity other than principal and resource",
            ),
        }
    }
}

/// Text that PostgreSQL can hold.
fn plain(text: &SmolStr) -> Result<Arc<str>> {
    if text.contains('\0') {
        return refuse(&format!("{text:?}"), "no text in PostgreSQL holds NUL");
    }
    Ok(Arc::from(text.as_str()))
}
