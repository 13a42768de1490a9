//! Who may come in at all: suspended accounts, and the lockout after too many bad credentials.

use std::collections::{HashMap, HashSet};

use super::model::AccountId;

/// The state of all logins.
#[derive(Default)]
pub(crate) struct Logins {
    /// After how many bad credentials of one user all of that user's are refused.
    pub(crate) lockout_after: Option<u64>,
    failures: HashMap<AccountId, u64>,
    locked: HashSet<AccountId>,
    suspended: HashSet<AccountId>,
}

impl Logins {
    /// Notes a token of this user that is good no longer.
    pub(crate) fn note_failure(&mut self, account: AccountId) {
        let failures = self.failures.entry(account).or_default();
        *failures += 1;
        if self.lockout_after.is_some_and(|most| *failures >= most) {
            self.locked.insert(account);
        }
    }

    pub(crate) fn set_locked(&mut self, account: AccountId, locked: bool) {
        if locked {
            self.locked.insert(account);
        } else {
            self.locked.remove(&account);
            self.failures.remove(&account);
        }
    }

    pub(crate) fn set_suspended(&mut self, account: AccountId, suspended: bool) {
        if suspended {
            self.suspended.insert(account);
        } else {
            self.suspended.remove(&account);
        }
    }

    pub(crate) fn is_locked(&self, account: AccountId) -> bool {
        self.locked.contains(&account)
    }

    pub(crate) fn is_suspended(&self, account: AccountId) -> bool {
        self.suspended.contains(&account)
    }

    /// How many bad credentials of this user have come so far.
    pub(crate) fn failures(&self, account: AccountId) -> u64 {
        self.failures.get(&account).copied().unwrap_or(0)
    }
}
