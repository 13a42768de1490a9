//! By what chats are found: the owner, the organization or the share through which a predicate
//! reaches them.

use crate::{
    id::{OrganizationId, UserId},
    pred::{Atom, ChatFacts, Formula, Pred, Subject},
};

/// Something by which the chats that have it are found among all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Their owner.
    Owner(UserId),
    /// Their organization.
    Organization(OrganizationId),
    /// One of those they are shared with, at whatever level.
    Share(Subject),
}

impl ChatFacts<'_> {
    /// The ways to this chat.
    pub fn ways(&self) -> impl Iterator<Item = Way> {
        let shares = self.shares.iter().map(|(subject, _)| Way::Share(*subject));
        [Way::Owner(self.owner)]
            .into_iter()
            .chain(self.organization.map(Way::Organization))
            .chain(shares)
    }
}

impl Pred {
    /// Ways of which every chat for which this holds has one at least: of a conjunction the fewest
    /// that one of its parts needs. `None` when it may hold for a chat whatever the ways to it.
    #[must_use]
    pub fn ways(&self) -> Option<Vec<Way>> {
        match self {
            Formula::True | Formula::Not(_) => None,
            Formula::False => Some(Vec::new()),
            Formula::Atom(atom) => atom.ways(),
            Formula::All(parts) => parts.iter().filter_map(Self::ways).min_by_key(Vec::len),
            Formula::Any(parts) => {
                let each: Option<Vec<_>> = parts.iter().map(Self::ways).collect();
                Some(each?.concat())
            }
        }
    }
}

impl Atom {
    fn ways(&self) -> Option<Vec<Way>> {
        // Not a `match`: a fact that policies learn to ask about needs no way of its own.
        Some(if let Self::Owner(users) = self {
            users.iter().copied().map(Way::Owner).collect()
        } else if let Self::Organization(ids) = self {
            ids.iter().copied().map(Way::Organization).collect()
        } else if let Self::SharedWithUser(users, _) = self {
            let subjects = users.iter().copied().map(Subject::User);
            subjects.map(Way::Share).collect()
        } else if let Self::SharedWithGroup(groups, _) = self {
            let subjects = groups.iter().copied().map(Subject::Group);
            subjects.map(Way::Share).collect()
        } else {
            return None;
        })
    }
}
