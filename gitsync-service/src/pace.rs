//! How much of an account's rate limit is spent, and how fast.
//!
//! Everything here is a rule and holds no lease and no connection: [`Allowance`] says whether there is
//! room for a request, [`Burst`] how long it waits, [`Batches`] how much it asks for, [`Stretch`] how far
//! apart refreshes are when there is too little for all, [`pause`] how long an account is left alone, and
//! [`Hosts`] and [`Keys`] what this process knows of a host and of an account. Numbers are those of GitHub's documentation or of systems
//! that poll it, and each says which.

pub mod allowance;
pub mod batches;
pub mod burst;
pub mod hosts;
pub mod keys;
pub mod pause;
pub mod stretch;

use std::time::Duration;

use crate::lease::BudgetKey;

pub use allowance::Allowance;
pub use batches::{Batches, Kind};
pub use burst::Burst;
pub use hosts::Hosts;
pub use keys::Keys;
pub use pause::Pauses;
pub use stretch::{Pull, Stretch};

/// Percent of a limit that is left to the account's owner: what this service spends of it is missing in
/// their own tools. The share is that of others who poll in users' names.
pub const RESERVE_PERCENT: u32 = 40;
/// Requests or points that are left to them in any case.
pub const RESERVE_LEAST: u32 = 200;
/// Percent of a limit below which nothing is spent even when somebody is looking.
pub const INTERACTIVE_FLOOR_PERCENT: u32 = 10;
/// GraphQL requests of a lease that need not wait for one another.
pub const BURST: u32 = 5;
/// How far apart they are after that. As Prow spaces its own; GitHub asks for requests "serially".
pub const BURST_GAP: Duration = Duration::from_millis(850);
/// How far apart they are for some time after a secondary limit.
pub const CAUTIOUS_GAP: Duration = Duration::from_secs(2);
/// How soon a request of the burst is forgiven: 20 a minute, 1,200 points an hour at one each, are 24 %
/// of the usual limit.
pub const BURST_REFILL: Duration = Duration::from_secs(3);
/// How much a gap varies, in percent, so that keys do not march in step.
pub const GAP_JITTER_PERCENT: u32 = 20;

/// Known pull requests that are asked at once whether they changed: as many ids as GitHub takes.
pub const PROBE_BATCH: u32 = 100;
/// Known pull requests whose whole status is asked for at once, to begin with. Others who do so ended
/// between 10 and 37, above which GitHub gives up now and then.
pub const DETAIL_BATCH: u32 = 25;
/// Branches whose pull requests are asked for at once, to begin with.
pub const DISCOVER_BATCH: u32 = 10;

/// The numbers of the pace. Those that an operator can judge are settings of the same name.
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`RESERVE_PERCENT`].
    pub reserve_percent: u32,
    /// See [`RESERVE_LEAST`].
    pub reserve_least: u32,
    /// See [`INTERACTIVE_FLOOR_PERCENT`].
    pub interactive_floor_percent: u32,
    /// See [`BURST`].
    pub burst: u32,
    /// See [`BURST_GAP`].
    pub burst_gap: Duration,
    /// See [`CAUTIOUS_GAP`].
    pub cautious_gap: Duration,
    /// See [`GAP_JITTER_PERCENT`].
    pub gap_jitter_percent: u32,
    /// See [`keys::LOCAL_CEILING`]; 0 means none.
    pub local_ceiling: u32,
    /// See [`PROBE_BATCH`].
    pub probe_batch: u32,
    /// See [`DETAIL_BATCH`].
    pub detail_batch: u32,
    /// See [`DISCOVER_BATCH`].
    pub discover_batch: u32,
    /// See [`batches::QUICK`].
    pub quick_answer: Duration,
    /// See [`batches::SLOW`].
    pub slow_answer: Duration,
    /// See [`keys::SLOW_DETAIL`].
    pub slow_detail: Duration,
    /// See [`batches::CLEAN_ANSWERS`].
    pub clean_answers: u32,
    /// See [`batches::HOLD`].
    pub batch_hold: Duration,
    /// See [`hosts::KEYS_IN_TROUBLE`].
    pub host_trouble_keys: u32,
    /// See [`hosts::TROUBLE_WINDOW`].
    pub host_trouble_window: Duration,
    /// See [`hosts::PROBE_AFTER`].
    pub host_probe_after: Duration,
    /// See [`hosts::PROBE_CAP`].
    pub host_probe_cap: Duration,
    /// See [`hosts::HOST_PAUSE`].
    pub host_pause: Duration,
    /// See [`hosts::HOST_RAMP`].
    pub host_ramp: Duration,
    /// See [`hosts::CAPABILITY_TTL`].
    pub capability_ttl: Duration,
    /// How long a budget key or a credential is left alone.
    pub pauses: Pauses,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reserve_percent: RESERVE_PERCENT,
            reserve_least: RESERVE_LEAST,
            interactive_floor_percent: INTERACTIVE_FLOOR_PERCENT,
            burst: BURST,
            burst_gap: BURST_GAP,
            cautious_gap: CAUTIOUS_GAP,
            gap_jitter_percent: GAP_JITTER_PERCENT,
            local_ceiling: keys::LOCAL_CEILING,
            probe_batch: PROBE_BATCH,
            detail_batch: DETAIL_BATCH,
            discover_batch: DISCOVER_BATCH,
            quick_answer: batches::QUICK,
            slow_answer: batches::SLOW,
            slow_detail: keys::SLOW_DETAIL,
            clean_answers: batches::CLEAN_ANSWERS,
            batch_hold: batches::HOLD,
            host_trouble_keys: hosts::KEYS_IN_TROUBLE,
            host_trouble_window: hosts::TROUBLE_WINDOW,
            host_probe_after: hosts::PROBE_AFTER,
            host_probe_cap: hosts::PROBE_CAP,
            host_pause: hosts::HOST_PAUSE,
            host_ramp: hosts::HOST_RAMP,
            capability_ttl: hosts::CAPABILITY_TTL,
            pauses: Pauses::default(),
        }
    }
}

/// A share of one, the same in every process and version for the same key and `turn`: what depends on it
/// differs between keys and can still be foretold.
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
    fn shares_of_similar_keys_are_spread_evenly() {
        let mut tenths = [0_usize; 10];
        for number in 0..1000 {
            let share = share(&BudgetKey(format!("github:{number}")), 0);
            assert!((0.0..1.0).contains(&share));
            let tenth = format!("{share:.9}").as_bytes()[2] - b'0';
            tenths[usize::from(tenth)] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..150).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn a_share_depends_on_the_turn_and_on_nothing_else() {
        let key = BudgetKey("github:1".to_owned());
        assert!((share(&key, 1) - share(&key, 1)).abs() < f64::EPSILON);
        assert!((share(&key, 1) - share(&key, 2)).abs() > 1e-6);
    }
}
