//! A loaded set of policies, and what it says for a caller.

use std::{collections::BTreeMap, fmt, path::Path};

use crate::{
    action::Action,
    cedar::Oracle,
    cond::Caller,
    error::LoadError,
    literals::Literals,
    load::{self, Loaded},
    pred::Pred,
    principal::Principal,
    source::Source,
    table::Table,
};

/// A loaded set of policies.
pub struct Policies {
    table: Table,
    oracle: Oracle,
    texts: BTreeMap<String, String>,
    literals: Literals,
    warnings: Vec<String>,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("ids", &self.texts.keys())
            .finish_non_exhaustive()
    }
}

impl Policies {
    /// Loads policies: parses, validates strictly, translates.
    ///
    /// # Errors
    ///
    /// All problems at once, each with the policy and the construct that it is about.
    pub fn load(sources: &[Source]) -> Result<Self, LoadError> {
        let Loaded {
            schema,
            set,
            table,
            texts,
            literals,
            warnings,
        } = load::load(sources)?;
        Ok(Self {
            table,
            oracle: Oracle::new(schema, set)?,
            texts,
            literals,
            warnings,
        })
    }

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
        self.table
            .slice(principal, action)
            .map_or(Pred::False, |slice| {
                slice.all.filled(&Caller::new(principal))
            })
    }

    /// The same, of the policies with the grant `share` only, and of all that forbid.
    #[must_use]
    pub fn compile_shares(&self, principal: &Principal, action: Action) -> Pred {
        self.table
            .slice(principal, action)
            .map_or(Pred::False, |slice| {
                slice.shares.filled(&Caller::new(principal))
            })
    }

    /// What each policy says by itself: its id, whether it forbids, and when it applies. Those that
    /// never apply to the caller are left out.
    #[must_use]
    pub fn explain(&self, principal: &Principal, action: Action) -> Vec<(&str, bool, Pred)> {
        let Some(slice) = self.table.slice(principal, action) else {
            return Vec::new();
        };
        let caller = Caller::new(principal);
        let permits = slice.permits.iter().map(|rule| (rule, false));
        let forbids = slice.forbids.iter().map(|rule| (rule, true));
        permits
            .chain(forbids)
            .map(|(rule, forbids)| (rule.id.as_str(), forbids, rule.when.filled(&caller)))
            .filter(|(_, _, pred)| *pred != Pred::False)
            .collect()
    }

    /// Cedar itself, for the same policies.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The text of each policy, by id.
    #[must_use]
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// The constants that the policies name.
    #[must_use]
    pub fn literals(&self) -> &Literals {
        &self.literals
    }

    /// What the validator has to say without refusing.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
