//! What policies say once they are translated: rules by kind of caller and action.

use crate::{action::Action, cond::Cond, lower::CallerKind, principal::Principal};

/// The reason for which a policy permits, as its annotation `@grant` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// `@grant("share")`: the chat is shared with the principal.
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
pub(crate) struct Slice {
    pub(crate) permits: Vec<Rule>,
    pub(crate) forbids: Vec<Rule>,
    /// Any permit and no forbid.
    pub(crate) all: Cond,
    /// Any permit with the grant, and no forbid.
    pub(crate) shares: Cond,
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

    pub(crate) fn slice(&self, principal: &Principal, action: Action) -> Option<&Slice> {
        let slices = match principal {
            Principal::User(_) => &self.users,
            Principal::Service(_) => &self.services,
        };
        slices.get(action as usize)
    }
}
