//! Decides whether a request may be sent now: the windows of a lease's budget and their reserve for
//! the owner, pauses, the credential, the host's circuit breaker, and the worker's request slots.
//!
//! [`Budgets`] is the process's, [`LeaseBudget`] one lease's, [`Admission`] one credential's within
//! it: a host asks it for a [`RequestPermit`] before each request and reports to it what the answer
//! said. A successful response never reopens what was closed; only the end that was said does.
//! Windows are opaque names here; which of them stand in for one another only their host knows.

mod admission;
pub mod ceiling;
mod credential;
mod demand;
pub mod host_state;
mod lease_budget;
mod load;
pub mod pause;
mod refused_tokens;
mod slots;
mod window;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::sync::{BudgetKey, Lease};
use tokio::time::Instant;

use crate::metrics::Metrics;

pub use admission::{Admission, RequestPermit};
pub use demand::{DemandFactor, Supply};
pub use lease_budget::LeaseBudget;

use ceiling::LocalCeiling;
use host_state::HostState;
use lease_budget::UnreportedPauses;
use slots::Slots;

/// Percent of a limit that is kept for the account's owner: what this service spends of it is
/// missing in their own tools. The share is that of others who poll in users' names.
pub const RESERVE_PERCENT: u32 = 40;
/// Requests or points that are kept for them in any case.
const RESERVE_LEAST: u32 = 200;
/// Percent of a limit below which nothing is spent even when a person is looking.
const INTERACTIVE_FLOOR_PERCENT: u32 = 10;
/// States of a host: its circuit breaker is open,
const BREAKER_OPEN: &str = "breaker_open";
/// it is asked less, since it wants several budgets to pause,
const SLOWED: &str = "slowed";
/// and, since that went on, not at all.
const STOPPED: &str = "stopped";
/// Hosts that are remembered. They are those of chat-service's configuration, so this many are
/// plenty.
const MOST_HOSTS: usize = 1_000;
/// Budgets whose unreported pauses are kept; one that is forgotten costs a refused request.
const MOST_UNREPORTED: usize = 1_000;

/// How much of a rate limit is spent, and how long pauses last.
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`RESERVE_PERCENT`].
    pub reserve_percent: u32,
    /// Requests or points of each window that background lanes never spend.
    pub reserve_least: u32,
    /// Percent of a limit that even what a person looks at does not spend.
    pub interactive_floor_percent: u32,
    /// See [`ceiling::LOCAL_CEILING`]; 0: unlimited.
    pub local_ceiling: u32,
    /// See [`host_state::PROBE_AFTER`].
    pub host_probe_after: Duration,
    /// See [`pause::RESET_PADDING`].
    pub reset_padding: Duration,
    /// See [`pause::RESET_SPREAD`].
    pub reset_spread: Duration,
    /// See [`pause::SECONDARY`].
    pub secondary_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reserve_percent: RESERVE_PERCENT,
            reserve_least: RESERVE_LEAST,
            interactive_floor_percent: INTERACTIVE_FLOOR_PERCENT,
            local_ceiling: ceiling::LOCAL_CEILING,
            host_probe_after: host_state::PROBE_AFTER,
            reset_padding: pause::RESET_PADDING,
            reset_spread: pause::RESET_SPREAD,
            secondary_pause: pause::SECONDARY,
        }
    }
}

/// Why a request was not sent, or was refused as one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WithholdReason {
    /// The window's limit is spent. Other windows of the budget may not be.
    WindowPaused,
    /// The host wants no requests for this budget at all.
    BudgetPaused,
    /// The rest of the window is reserved for its owner, or for more urgent lanes.
    Reserved,
    /// The host is down, or wants fewer requests from this address.
    HostClosed,
    /// The host does not take the credential, or has still to confirm that.
    Credential,
    /// The lease's turn has ended: a person waits for the budget, the worker stops, or the time is
    /// up.
    TurnOver,
}

/// All budgets of the process, and what it knows of their hosts.
#[derive(Debug)]
pub struct Budgets {
    settings: Settings,
    metrics: Arc<Metrics>,
    slots: Arc<Slots>,
    ceiling: LocalCeiling,
    /// By API base.
    hosts: Mutex<HashMap<String, Arc<HostState>>>,
    /// Pauses that may not have been reported.
    unreported: Mutex<HashMap<BudgetKey, UnreportedPauses>>,
}

impl Budgets {
    /// Knows no host yet. At most `concurrency` requests are on the wire at once.
    #[must_use]
    pub fn new(settings: Settings, concurrency: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let slots = i64::try_from(concurrency).unwrap_or(i64::MAX);
        metrics.host_request_slots.set(slots);
        Arc::new(Self {
            ceiling: LocalCeiling::new(settings.local_ceiling),
            slots: Arc::new(Slots::new(concurrency)),
            hosts: Mutex::default(),
            unreported: Mutex::default(),
            metrics,
            settings,
        })
    }

    /// The budget of a lease that ends at `deadline` at the latest. It begins with the pauses
    /// that the budget's last lease in this process could not report, unless an operator has
    /// resumed the budget since.
    #[must_use]
    pub fn open(self: &Arc<Self>, lease: &Lease, deadline: Instant) -> Arc<LeaseBudget> {
        let pauses = self.unreported().remove(&lease.budget_key);
        let pauses = pauses.filter(|pauses| pauses.hold_for(&lease.budget));
        let pauses = pauses.unwrap_or_default();
        Arc::new(LeaseBudget::new(Arc::clone(self), lease, deadline, pauses))
    }

    /// Keeps the pauses that a lease could not report for the budget's next lease.
    fn keep_unreported(&self, key: &BudgetKey, pauses: UnreportedPauses) {
        let (mut unreported, now) = (self.unreported(), Instant::now());
        unreported.retain(|_, pauses| pauses.in_force(now));
        if pauses.in_force(now) && unreported.len() < MOST_UNREPORTED {
            unreported.insert(key.clone(), pauses);
        }
    }

    fn unreported(&self) -> MutexGuard<'_, HashMap<BudgetKey, UnreportedPauses>> {
        self.unreported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The factor by which the intervals of a leased budget's refs are scaled.
    #[must_use]
    pub fn demand_factor(&self, lease: &Lease, supply: &Supply) -> DemandFactor {
        let ceiling = self
            .ceiling
            .per_second(&lease.budget_key, &supply.window.name);
        let factor = DemandFactor::of(&self.settings, &lease.budget, supply, ceiling);
        self.metrics.interval_stretch.observe(factor.value());
        factor
    }

    /// How many requests may be on the wire at once.
    pub(crate) fn concurrency(&self) -> usize {
        self.slots.count()
    }

    /// Whether one more request could be sent now.
    pub(crate) fn has_free_slot(&self) -> bool {
        self.slots.has_free()
    }

    /// Resolves when a slot was released since this was last awaited. For one waiter.
    pub(crate) async fn slot_released(&self) {
        self.slots.eased().await;
    }

    /// The host at an API base, and how many there are.
    fn host(&self, api_base_url: &str) -> (Arc<HostState>, usize) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST_HOSTS && !hosts.contains_key(api_base_url) {
            hosts.clear();
        }
        let known = hosts.len();
        let host = Arc::clone(hosts.entry(api_base_url.to_owned()).or_default());
        if hosts.len() > known {
            for state in [BREAKER_OPEN, SLOWED, STOPPED] {
                self.metrics.set_host_state(api_base_url, state, false);
            }
        }
        (host, hosts.len())
    }
}

/// A share of one, the same in every process and version for the same key and `turn`: what depends
/// on it differs between budgets and can still be foretold.
pub(crate) fn share(key: &BudgetKey, turn: u64) -> f64 {
    /// FNV-1a's, 64 bits.
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let turn = turn.to_le_bytes();
    let bytes = key.0.as_bytes().iter().chain(&turn);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    // The low bits of an FNV hash of similar keys are alike: mixed as SplitMix64 does.
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_similar_keys_are_spread_evenly_and_depend_on_the_turn() {
        let mut tenths = [0_usize; 10];
        for number in 0..1000 {
            let share = share(&BudgetKey(format!("github:{number}")), 0);
            assert!((0.0..1.0).contains(&share));
            let next = super::share(&BudgetKey(format!("github:{number}")), 1);
            assert!((share - next).abs() > 1e-9);
            let tenth = format!("{share:.9}").as_bytes()[2] - b'0';
            tenths[usize::from(tenth)] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..150).contains(count)),
            "{tenths:?}"
        );
    }
}
