//! Who may do what, as Cedar policies that are compiled to a predicate over a chat.
//!
//! [`Policies::load`] parses and strictly validates a set of policies and translates each of them,
//! so that whatever has no translation is refused then, by policy and construct.
//! [`Policies::compile`] fills in a caller and gives a [`Pred`] over an unknown chat, in
//! microseconds; it cannot fail.
//! [`Oracle::is_authorized`] asks Cedar itself about a known chat: it is the reference that every
//! other way of deciding is held against, and too slow to be one of them.
//!
//! This is the only crate that depends on Cedar, whose build takes a minute.

mod action;
mod cedar;
mod cond;
mod depth;
mod error;
mod id;
mod literals;
mod load;
mod lower;
mod pattern;
mod policies;
mod pred;
mod principal;
mod size;
mod source;
mod ways;

pub use action::{Action, ResourceKind};
pub use cedar::{CedarDecision, EntityView, Oracle, OracleError, Resource, Scene};
pub use error::LoadError;
pub use id::{GroupId, OrganizationId, UserId, WorkspaceId};
pub use literals::Literals;
pub use pattern::Pattern;
pub use policies::Policies;
pub use pred::{Atom, Attribute, ChatFacts, Formula, Level, Pred, Subject};
pub use principal::{ADMIN, Principal, User};
pub use source::Source;
pub use ways::Way;

/// The id of the one resource of kind [`ResourceKind::Sync`].
pub(crate) const SYNC_ID: &str = "sync";
