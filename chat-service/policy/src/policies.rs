//! A loaded set of policies, and what it says for a caller.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use crate::{
    action::Action,
    cedar::Oracle,
    cond::{Caller, Cond, Fact},
    error::LoadError,
    literals::Literals,
    lower::CallerKind,
    pred::{Attribute, Pred},
    principal::Principal,
    size::{MAX_BRANCHES, MAX_COMPARISONS},
    source::Source,
};

/// A loaded set of policies.
pub struct Policies {
    pub(crate) slices: BTreeMap<(CallerKind, Action), Slice>,
    pub(crate) oracle: Oracle,
    pub(crate) count: usize,
    pub(crate) literals: Literals,
    pub(crate) warnings: Vec<String>,
}

/// All that there is to say to one kind of caller about one action.
pub(crate) struct Slice {
    rules: Vec<Rule>,
    /// Any permit and no forbid.
    all: Cond,
    /// Any permit that is a share, and no forbid.
    shares: Cond,
}

/// A policy, translated for one kind of caller and one action.
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) forbids: bool,
    /// Permits because the chat is shared with the caller: `@grant("share")`.
    pub(crate) share: bool,
    pub(crate) when: Cond,
}

impl Slice {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let any = |wanted: fn(&Rule) -> bool| {
            let rules = rules.iter().filter(|rule| wanted(rule));
            Cond::any(rules.map(|rule| rule.when.clone()))
        };
        let spared = any(|rule| rule.forbids).negated();
        Self {
            all: Cond::all([spared.clone(), any(|rule| !rule.forbids)]).tidied(),
            shares: Cond::all([spared, any(|rule| rule.share)]).tidied(),
            rules,
        }
    }

    /// The problem of a predicate that is too large for any list.
    pub(crate) fn too_large(&self, action: Action) -> Option<String> {
        let size = self.all.size();
        if size.fits() {
            return None;
        }
        let largest = self.rules.iter().max_by_key(|rule| rule.when.atoms())?;
        Some(format!(
            "the policies about {} take {} comparisons in {} branches of a list, more than \
             {MAX_COMPARISONS} in {MAX_BRANCHES}; the largest is policy {:?}",
            action.name(),
            size.comparisons,
            size.branches,
            largest.id,
        ))
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Policies {
    /// The policies that this binary was built with.
    ///
    /// # Errors
    ///
    /// None in a binary that was tested.
    pub fn embedded() -> Result<Self, LoadError> {
        Self::load(&Source::embedded())
    }

    /// The policies of a directory.
    ///
    /// # Errors
    ///
    /// As [`Policies::load`], or when the directory cannot be read.
    pub fn directory(directory: &Path) -> Result<Self, LoadError> {
        Self::load(&Source::directory(directory)?)
    }

    /// The predicate over the chats on which `principal` may do `action`.
    #[must_use]
    pub fn compile(&self, principal: &Principal, action: Action) -> Pred {
        self.slice(principal, action).map_or(Pred::False, |slice| {
            slice.all.filled(&Caller::new(principal))
        })
    }

    /// The same, of the policies with the grant `share` only, and of all that forbid.
    #[must_use]
    pub fn compile_shares(&self, principal: &Principal, action: Action) -> Pred {
        self.slice(principal, action).map_or(Pred::False, |slice| {
            slice.shares.filled(&Caller::new(principal))
        })
    }

    /// The attributes of a chat that the policies for `action` read, for any caller. A change that
    /// leaves these attributes and the shares as they are changes no decision.
    #[must_use]
    pub fn attributes(&self, action: Action) -> BTreeSet<Attribute> {
        let mut attributes = BTreeSet::new();
        for ((_, of), slice) in &self.slices {
            if *of == action {
                slice.all.visit(&mut |fact| {
                    if let Fact::Chat(atom) = fact {
                        attributes.extend(atom.attribute());
                    }
                });
            }
        }
        attributes
    }

    /// Each policy by itself: its id, whether it forbids, and when it applies. Policies that never
    /// apply to the caller are left out; permits come first.
    #[must_use]
    pub fn explain(&self, principal: &Principal, action: Action) -> Vec<(&str, bool, Pred)> {
        let caller = Caller::new(principal);
        let mut explained: Vec<_> = self
            .slice(principal, action)
            .into_iter()
            .flat_map(|slice| &slice.rules)
            .map(|rule| (rule.id.as_str(), rule.forbids, rule.when.filled(&caller)))
            .filter(|(_, _, pred)| *pred != Pred::False)
            .collect();
        explained.sort_by_key(|(_, forbids, _)| *forbids);
        explained
    }

    fn slice(&self, principal: &Principal, action: Action) -> Option<&Slice> {
        let caller = match principal {
            Principal::User(_) => CallerKind::User,
            Principal::Service(_) => CallerKind::Service,
        };
        self.slices.get(&(caller, action))
    }

    /// Cedar itself, for the same policies.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// How many policies there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The constants that the policies name.
    #[must_use]
    pub fn literals(&self) -> &Literals {
        &self.literals
    }

    /// The validator's warnings, which refuse nothing.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
