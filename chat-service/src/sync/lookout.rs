//! One of the lease calls that wait in this process polls for ready budgets, the lookout; the
//! others wait for its place, in the order in which they came.
//!
//! So a notification costs one poll, however many calls wait, and so does a planned time. A lookout
//! that leases something returns, and the next call takes the place and polls at once: more may be
//! ready.

use std::{sync::Arc, time::Duration};

use proto::sync::RequestId;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};
use uuid::Uuid;

/// The lookout's polling interval without a notification, which may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(4);
/// The first backoff for a budget that is ready and that another transaction holds; it doubles each
/// time.
const CONTENDED_PAUSE: Duration = Duration::from_millis(20);
/// How often the backoff is doubled at most.
const CONTENDED_DOUBLINGS: u32 = 4;
/// Replicas whose lookouts wait for one planned time do not all look in one moment.
const JITTER_MILLISECONDS: u128 = 25;

/// The place of the one call that polls.
#[derive(Clone, Default)]
pub(super) struct Lookout(Arc<Mutex<()>>);

/// The place was taken.
pub(super) struct LookoutTurn {
    /// Dropping it gives the place up.
    pub(super) lookout: OwnedMutexGuard<()>,
    /// Another call had the place until now.
    pub(super) waited: bool,
}

impl Lookout {
    /// Waits for the place.
    pub(super) async fn take(&self) -> LookoutTurn {
        let free = Arc::clone(&self.0).try_lock_owned();
        match free {
            Ok(lookout) => LookoutTurn {
                lookout,
                waited: false,
            },
            Err(_) => LookoutTurn {
                lookout: Arc::clone(&self.0).lock_owned().await,
                waited: true,
            },
        }
    }
}

/// The results of one call's polls.
#[derive(Default)]
pub(super) struct Looks {
    /// The budget that becomes ready next, and in how long.
    next: Option<(Uuid, Duration)>,
    /// How often in a row something was ready that another transaction held.
    held: u32,
}

impl Looks {
    /// Notes that nothing was leased, and what is next.
    pub(super) fn note(&mut self, next: Option<(Uuid, Duration)>) {
        self.next = next;
        self.held = if self.is_ready() { self.held + 1 } else { 0 };
    }

    fn is_ready(&self) -> bool {
        self.next.is_some_and(|(_, ready_in)| ready_in.is_zero())
    }

    /// The budget whose lock to wait for: one that is ready and was held. Every other poll skips
    /// it, so that it delays no other budget.
    pub(super) fn contended(&self) -> Option<Uuid> {
        let (budget, _) = self.next.filter(|_| self.held % 2 == 1)?;
        Some(budget)
    }

    /// Whether a call that does not wait looks once more: what is ready is held for a moment.
    pub(super) fn again(&self) -> bool {
        self.held == 1
    }

    /// How long the lookout sleeps without a notification.
    pub(super) fn pause(&self, until: Instant, call: RequestId) -> Duration {
        let left = until.saturating_duration_since(Instant::now());
        if self.held > 0 {
            let pause = CONTENDED_PAUSE * 2_u32.pow((self.held - 1).min(CONTENDED_DOUBLINGS));
            // A call that does not wait polls once more.
            return pause.min(left.max(CONTENDED_PAUSE));
        }
        let jitter = u64::try_from(call.0.as_u128() % JITTER_MILLISECONDS).unwrap_or(0);
        let planned = self.next.map_or(LOOK_INTERVAL, |(_, ready_in)| ready_in);
        left.min(planned.min(LOOK_INTERVAL) + Duration::from_millis(jitter))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_is_held_is_looked_for_less_and_less_often_and_waited_for_every_other_time() {
        let mut looks = Looks::default();
        let held = Uuid::now_v7();
        let until = Instant::now() + Duration::from_secs(60);
        let mut pauses = Vec::new();
        let mut contended = Vec::new();
        for _ in 0..7 {
            looks.note(Some((held, Duration::ZERO)));
            pauses.push(looks.pause(until, RequestId(Uuid::nil())).as_millis());
            contended.push(looks.contended().is_some());
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 320, 320]);
        assert_eq!(contended, [true, false, true, false, true, false, true]);
        looks.note(None);
        assert_eq!(looks.pause(until, RequestId(Uuid::nil())), LOOK_INTERVAL);
        assert_eq!(looks.contended(), None);
    }

    #[tokio::test]
    async fn the_place_goes_to_those_who_wait_in_the_order_in_which_they_came() {
        let lookout = Lookout::default();
        let first = lookout.take().await;
        assert!(!first.waited);
        let mut second = Box::pin(lookout.take());
        let mut third = Box::pin(lookout.take());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        // One that is dropped leaves it to the next.
        drop(second);
        assert!(third.await.waited);
    }
}
