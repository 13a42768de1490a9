//! The secondary limit: an account that asks too fast is refused everything for a while, REST and
//! GraphQL alike, whatever is left of the primary limits.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::model::AccountId;

/// Until when accounts are paused, in Unix seconds.
#[derive(Default)]
pub(crate) struct Pauses(HashMap<AccountId, i64>);

impl Pauses {
    /// Refuses everything of this account for so long.
    pub(crate) fn pause(&mut self, account: AccountId, now: Timestamp, pause: Duration) {
        let until = now.as_second().saturating_add_unsigned(pause.as_secs());
        self.0.insert(account, until);
    }

    /// How many seconds the account's pause still lasts. `None`: it is not paused.
    pub(crate) fn left(&self, account: AccountId, now: Timestamp) -> Option<u64> {
        let left = self.0.get(&account)? - now.as_second();
        u64::try_from(left).ok().filter(|left| *left > 0)
    }
}
