//! From Cedar's syntax tree to a [`Cond`], for one kind of caller, one action, one kind of
//! resource.
//!
//! This happens once, when policies are loaded. Everything that depends on types and names is
//! settled here: what has no translation is refused here, with the construct, and never at request
//! time. The tree was strictly validated before, so that no expression that gets here can be an
//! error at evaluation: optional attributes and tags stand under their `has` and `hasTag`.
//!
//! Where an operand decides (`false && x`), the other one is not looked at, as Cedar's validator
//! does: `principal is User && principal.suspended` is about users only.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not named is refused: that is the rule of this module"
)]

mod operator;
mod term;

use std::sync::Arc;

use cedar_policy::pst::{
    BinaryOp, Clause, EntityOrSlot, Expr, Literal, PatternElem, PrincipalConstraint,
    ResourceConstraint, SmolStr, Template, UnaryOp, Var,
};

use self::term::{Column, EntityLiteral, SubjectKind, Term};
use crate::{
    action::ResourceKind,
    cond::{Cond, Fact, Membership},
    pattern::Pattern,
    pred::{Atom, Level},
    size::MAX_COMPARISONS,
};

/// The kind of caller that a policy is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) construct: String,
    pub(crate) why: &'static str,
}

/// Characters of a construct that a refusal shows.
const MAX_SHOWN: usize = 300;

type Result<T> = std::result::Result<T, Refusal>;

fn refuse<T>(construct: &impl ToString, why: &'static str) -> Result<T> {
    let mut construct = construct.to_string();
    if let Some((end, _)) = construct.char_indices().nth(MAX_SHOWN) {
        construct.truncate(end);
        construct.push_str("...");
    }
    Err(Refusal { construct, why })
}

/// Refuses what would be written twice if that makes it too large: every level doubles it.
fn may_be_repeated(conds: &[&Cond], construct: &Expr) -> Result<()> {
    let atoms = conds.iter().map(|cond| cond.atoms());
    if atoms.fold(0, usize::saturating_add) > MAX_COMPARISONS / 2 {
        return refuse(
            construct,
            "SQL has both sides of it twice, which makes it too large; compare less",
        );
    }
    Ok(())
}

/// The entity of a policy's head.
fn named(entity: &EntityOrSlot) -> Result<EntityLiteral> {
    match entity {
        EntityOrSlot::Entity(uid) => EntityLiteral::parse(uid),
        EntityOrSlot::Slot(slot) => refuse(slot, "templates are not linked here"),
    }
}

impl Scope {
    /// When a policy applies. Its action was matched before.
    pub(crate) fn policy(&self, policy: &Template) -> Result<Cond> {
        let mut conds = vec![
            self.principal(&policy.principal)?,
            self.resource(&policy.resource)?,
        ];
        for clause in policy.clauses() {
            if conds.contains(&Cond::False) {
                break;
            }
            conds.push(match clause {
                Clause::When(expr) => self.cond(expr)?,
                Clause::Unless(expr) => self.cond(expr)?.negated(),
            });
        }
        Ok(Cond::all(conds).tidied())
    }

    fn principal(&self, constraint: &PrincipalConstraint) -> Result<Cond> {
        let is = |name: String| Cond::from(name == self.caller.name());
        Ok(match constraint {
            PrincipalConstraint::Any => Cond::True,
            PrincipalConstraint::Eq(entity) => self.caller_is(&named(entity)?),
            PrincipalConstraint::In(entity) => self.caller_in(&named(entity)?),
            PrincipalConstraint::Is(name) => is(name.to_string()),
            PrincipalConstraint::IsIn(name, entity) => {
                Cond::all([is(name.to_string()), self.caller_in(&named(entity)?)])
            }
        })
    }

    fn resource(&self, constraint: &ResourceConstraint) -> Result<Cond> {
        Ok(match constraint {
            ResourceConstraint::Any => Cond::True,
            ResourceConstraint::Is(name) => (name.to_string() == self.resource.name()).into(),
            ResourceConstraint::Eq(entity)
            | ResourceConstraint::In(entity)
            | ResourceConstraint::IsIn(_, entity) => self.resource_is(&named(entity)?),
        })
    }

    /// An expression that is a condition.
    fn cond(&self, expr: &Expr) -> Result<Cond> {
        match self.term(expr)? {
            Term::Bool(cond) => Ok(cond),
            _ => refuse(expr, "is not a condition"),
        }
    }

    fn term(&self, construct: &Expr) -> Result<Term> {
        match construct {
            Expr::Literal(Literal::Bool(value)) => Ok(Term::Bool(Cond::from(*value))),
            Expr::Literal(Literal::Long(_)) => refuse(construct, "no attribute is a number"),
            Expr::Literal(Literal::String(text)) if text.contains('\0') => {
                refuse(construct, "no text in PostgreSQL holds NUL")
            }
            Expr::Literal(Literal::String(text)) => Ok(Term::Text(Arc::from(text.as_str()))),
            Expr::Literal(Literal::EntityUID(uid)) => EntityLiteral::parse(uid).map(Term::Entity),
            Expr::Var(Var::Principal) => Ok(Term::Caller),
            Expr::Var(Var::Resource) => Ok(Term::Resource),
            Expr::Var(Var::Action) => refuse(construct, "name actions in the policy's head"),
            Expr::Var(Var::Context) => refuse(construct, "there is no context"),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, construct).map(Term::Bool),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, construct),
            Expr::GetAttr { expr, attr } => self.attribute(expr, attr, construct),
            Expr::HasAttr { expr, attrs } => {
                let attrs: Vec<&SmolStr> = attrs.iter().collect();
                self.has(expr, &attrs, construct).map(Term::Bool)
            }
            Expr::Like { expr, pattern } => {
                if pattern.contains(&PatternElem::Char('\0')) {
                    return refuse(construct, "no text in PostgreSQL holds NUL");
                }
                let pieces = pattern.iter().map(|piece| match piece {
                    PatternElem::Char(character) => Some(*character),
                    PatternElem::Wildcard => None,
                });
                let pattern: Pattern = pieces.collect();
                match self.term(expr)? {
                    Term::Column(Column::Title) => Ok(Term::chat(Atom::TitleLike(pattern))),
                    Term::Column(Column::Label(key)) => {
                        Ok(Term::chat(Atom::LabelLike(key, pattern)))
                    }
                    _ => refuse(construct, "only the title and labels are matched with like"),
                }
            }
            Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                let term = self.term(expr)?;
                let is = self.kind(&term) == Some(entity_type.to_string().as_str());
                Ok(Term::Bool(match in_expr {
                    Some(ancestors) if is => {
                        self.is_in(&term, &self.term(ancestors)?, construct)?
                    }
                    Some(_) | None => is.into(),
                }))
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => match self.cond(cond)? {
                Cond::True => self.term(then_expr),
                Cond::False => self.term(else_expr),
                cond => {
                    may_be_repeated(&[&cond], construct)?;
                    Ok(Term::Bool(Cond::any([
                        Cond::all([cond.clone(), self.cond(then_expr)?]),
                        Cond::all([cond.negated(), self.cond(else_expr)?]),
                    ])))
                }
            },
            Expr::Set(items) => Ok(Term::Set(
                items
                    .iter()
                    .map(|item| self.term(item))
                    .collect::<Result<_>>()?,
            )),
            Expr::Record(_) => refuse(construct, "there are no records"),
            Expr::Slot(_) => refuse(construct, "templates are not linked here"),
            _ => refuse(construct, "has no translation"),
        }
    }

    fn unary(&self, op: UnaryOp, operand: &Expr, construct: &Expr) -> Result<Cond> {
        match op {
            UnaryOp::Not => Ok(self.cond(operand)?.negated()),
            UnaryOp::IsEmpty => match self.term(operand)? {
                Term::Set(items) => Ok(items.is_empty().into()),
                Term::Organizations(membership) => Ok(Cond::Atom(Fact::Nowhere(membership))),
                Term::SiteRoles => Ok(Cond::Atom(Fact::NoSiteRole)),
                _ => refuse(construct, "isEmpty of an attribute of the chat"),
            },
            UnaryOp::Neg => refuse(construct, "arithmetic"),
            _ => refuse(construct, "an extension function"),
        }
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr, construct: &Expr) -> Result<Term> {
        let terms = || Ok((self.term(left)?, self.term(right)?));
        let cond = match op {
            BinaryOp::And => match self.cond(left)? {
                Cond::False => Cond::False,
                left => Cond::all([left, self.cond(right)?]),
            },
            BinaryOp::Or => match self.cond(left)? {
                Cond::True => Cond::True,
                left => Cond::any([left, self.cond(right)?]),
            },
            BinaryOp::Eq | BinaryOp::NotEq => {
                let (left, right) = terms()?;
                let equal = self.equal(&left, &right, construct)?;
                if op == BinaryOp::Eq {
                    equal
                } else {
                    equal.negated()
                }
            }
            BinaryOp::In => {
                let (left, right) = terms()?;
                self.is_in(&left, &right, construct)?
            }
            BinaryOp::Contains => {
                let (set, item) = terms()?;
                self.contains(&set, &item, construct)?
            }
            BinaryOp::ContainsAny | BinaryOp::ContainsAll => {
                let (left, right) = terms()?;
                self.contains_some(op == BinaryOp::ContainsAny, left, right, construct)?
            }
            BinaryOp::HasTag | BinaryOp::GetTag => match terms()? {
                (Term::Resource, Term::Text(key)) if self.resource == ResourceKind::Chat => {
                    if op == BinaryOp::GetTag {
                        return Ok(Term::Column(Column::Label(key)));
                    }
                    Cond::chat(Atom::Label(key))
                }
                _ => {
                    return refuse(
                        construct,
                        "only labels of the chat have tags, with a key that is written out",
                    );
                }
            },
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

    fn attribute(&self, of: &Expr, attr: &SmolStr, construct: &Expr) -> Result<Term> {
        let chat = self.resource == ResourceKind::Chat;
        Ok(match (self.term(of)?, attr.as_str()) {
            (Term::Caller, "adminOf") => Term::Organizations(Membership::Admin),
            (Term::Caller, "memberOf") => Term::Organizations(Membership::Member),
            (Term::Caller, "siteRoles") => Term::SiteRoles,
            (Term::Caller, "suspended") => Term::Bool(Cond::Atom(Fact::Suspended)),
            (Term::Resource, "owner") => Term::Column(Column::Owner),
            (Term::Resource, "organization") if chat => Term::Column(Column::Organization),
            (Term::Resource, "workspace") if chat => Term::Column(Column::Workspace),
            (Term::Resource, "title") if chat => Term::Column(Column::Title),
            (Term::Resource, "status") if chat => Term::Column(Column::Status),
            (Term::Resource, "archived") if chat => Term::chat(Atom::Archived),
            (Term::Resource, "readerUsers") if chat => {
                Term::Shares(SubjectKind::User, Level::Reader)
            }
            (Term::Resource, "readerGroups") if chat => {
                Term::Shares(SubjectKind::Group, Level::Reader)
            }
            (Term::Resource, "writerUsers") if chat => {
                Term::Shares(SubjectKind::User, Level::Writer)
            }
            (Term::Resource, "writerGroups") if chat => {
                Term::Shares(SubjectKind::Group, Level::Writer)
            }
            (Term::Caller | Term::Resource, _) => {
                return refuse(construct, "the attribute has no column");
            }
            _ => return refuse(construct, FOREIGN_ATTRIBUTE),
        })
    }

    fn has(&self, of: &Expr, attrs: &[&SmolStr], construct: &Expr) -> Result<Cond> {
        let [attr] = attrs else {
            return refuse(construct, "there are no records");
        };
        match (self.term(of)?, attr.as_str(), self.resource) {
            (Term::Resource, "organization", ResourceKind::Chat) => {
                Ok(Cond::chat(Atom::InSomeOrganization))
            }
            (Term::Resource, "workspace", ResourceKind::Chat) => {
                Ok(Cond::chat(Atom::InSomeWorkspace))
            }
            (Term::Resource, _, ResourceKind::Sync) => Ok(Cond::False),
            (Term::Caller, ..) if self.caller == CallerKind::Service => Ok(Cond::False),
            // Any other attribute belongs to all entities of the type or to none of them.
            (Term::Caller | Term::Resource, ..) => {
                Ok(self.attribute(of, attr, construct).is_ok().into())
            }
            _ => refuse(construct, FOREIGN_ATTRIBUTE),
        }
    }
}

const FOREIGN_ATTRIBUTE: &str = "an attribute of an entity other than principal and resource";
