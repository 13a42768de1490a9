//! A loaded set of policies, and what it says for a caller.

use std::{collections::BTreeMap, fmt, path::Path};

use crate::{
    action::Action,
    cedar::Oracle,
    cond::{Caller, Cond},
    error::LoadError,
    literals::Literals,
    load::{self, Loaded},
    lower::CallerKind,
    pred::Pred,
    principal::Principal,
    source::Source,
};

/// The reason for which a policy permits, as its annotation `@grant` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// `@grant("share")`: somebody shared the chat.
    Share,
}

/// A policy, translated for one kind of caller and one action.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) grant: Option<Grant>,
    pub(crate) when: Cond,
}

/// All that there is to say to one kind of caller about one action.
#[derive(Clone, Debug)]
struct Slice {
    permits: Vec<Rule>,
    forbids: Vec<Rule>,
    /// Any permit and no forbid.
    all: Cond,
    /// Any permit with the grant, and no forbid.
    shares: Cond,
}

/// The slices, by kind of caller and action.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    users: Vec<Slice>,
    services: Vec<Slice>,
}

impl Default for Table {
    fn default() -> Self {
        let nothing = || {
            let slice = Slice {
                permits: Vec::new(),
                forbids: Vec::new(),
                all: Cond::Const(false),
                shares: Cond::Const(false),
            };
            vec![slice; Action::ALL.len()]
        };
        Self {
            users: nothing(),
            services: nothing(),
        }
    }
}

impl Table {
    fn slices(&mut self, caller: CallerKind) -> &mut Vec<Slice> {
        match caller {
            CallerKind::User => &mut self.users,
            CallerKind::Service => &mut self.services,
        }
    }

    /// Adds a policy.
    pub(crate) fn add(&mut self, caller: CallerKind, action: Action, forbid: bool, rule: Rule) {
        if let Some(slice) = self.slices(caller).get_mut(action as usize) {
            let rules = if forbid {
                &mut slice.forbids
            } else {
                &mut slice.permits
            };
            rules.push(rule);
        }
    }

    /// Puts the policies of each slice together.
    pub(crate) fn finish(&mut self) {
        for slice in self.users.iter_mut().chain(&mut self.services) {
            let conds = |rules: &[Rule], grant: Option<Grant>| {
                let conds = rules
                    .iter()
                    .filter(|rule| grant.is_none() || rule.grant == grant)
                    .map(|rule| rule.when.clone());
                Cond::any(conds.collect::<Vec<_>>())
            };
            let spared = conds(&slice.forbids, None).negated();
            slice.all = Cond::all([spared.clone(), conds(&slice.permits, None)]);
            slice.shares = Cond::all([spared, conds(&slice.permits, Some(Grant::Share))]);
        }
    }

    fn slice(&self, principal: &Principal, action: Action) -> Option<&Slice> {
        let slices = match principal {
            Principal::User(_) => &self.users,
            Principal::Service(_) => &self.services,
        };
        slices.get(action as usize)
    }
}

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
