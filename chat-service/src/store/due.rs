//! What ends every transaction that makes refs due: the account and the budget learn of it.
//!
//! The refs' polls are locked first. Then, in this order and in one round trip with the commit: the
//! accounts are locked and settled, and then their budgets. Each lock is a statement of its own, so
//! that what follows sees every ref that was made due before.

use uuid::Uuid;

use super::{Sql, sql::sql};

/// Of the budgets that are named beside those of accounts: none.
pub(super) const NO_BUDGETS: &[Uuid] = &[];

/// Locks the refs `$1`.
pub(super) const LOCK_POLLS: Sql = sql!("lock_polls");
/// Locks the accounts `$1`.
pub(super) const LOCK_ACCOUNTS: Sql = sql!("lock_accounts");
/// Sets lane and due time of the accounts `$1`, which are locked.
pub(super) const SETTLE_ACCOUNTS: Sql = sql!("settle_accounts");
/// Locks the budgets `$1` and those of the accounts `$2`, which are locked.
pub(super) const LOCK_BUDGETS: Sql = sql!("lock_budgets");
/// Sets the places in the queue of the budgets `$1`, and of those of the accounts `$3`, which are
/// locked; with `$2`, ends their leases.
pub(super) const SETTLE_BUDGETS: Sql = sql!("settle_budgets");
