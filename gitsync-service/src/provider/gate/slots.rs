//! The worker's slots: a request is on the wire for as long as it holds one. And which leases want none
//! for now, so that slots are left for others.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::outcome::Problem;

/// The slots of a worker, shared by all its leases.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Semaphore,
    /// Leases that only wait for time to pass.
    resting: AtomicUsize,
    /// Said whenever there may be more to spare than before.
    eased: Notify,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: Semaphore::new(count),
            resting: AtomicUsize::new(0),
            eased: Notify::new(),
        }
    }

    /// Whether one more request could be sent now.
    pub(crate) fn has_free(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// How many leases only wait for time to pass: they hold no slot and queue for none.
    pub(crate) fn resting(&self) -> usize {
        self.resting.load(Ordering::Relaxed)
    }

    /// Resolves when a slot was given back or a lease began to rest since this was last awaited. For one
    /// waiter.
    pub(crate) async fn eased(&self) {
        self.eased.notified().await;
    }
}

/// What one lease wants of the slots.
pub(super) struct Wants {
    slots: Arc<Slots>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Requests that hold a slot or queue for one.
    wanting: usize,
    /// Requests that wait for time to pass.
    waiting: usize,
    is_resting: bool,
}

impl Wants {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self {
            slots,
            counts: Mutex::default(),
        }
    }

    /// Queues for a slot.
    pub(super) async fn slot(&self) -> Result<Slot<'_>, Problem> {
        let want = Want::new(self, |counts| &mut counts.wanting);
        let permit = self.slots.free.acquire().await;
        let permit = permit.map_err(|_| Problem::Internal("the worker's slots are closed"))?;
        Ok(Slot {
            permit: Some(permit),
            want,
        })
    }

    /// Says that a request waits for time to pass, until the guard is gone.
    pub(super) fn rest(&self) -> Want<'_> {
        Want::new(self, |counts| &mut counts.waiting)
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.lock();
        change(&mut counts);
        let is_resting = counts.waiting > 0 && counts.wanting == 0;
        if is_resting == counts.is_resting {
            return;
        }
        counts.is_resting = is_resting;
        if is_resting {
            self.slots.resting.fetch_add(1, Ordering::Relaxed);
            self.slots.eased.notify_one();
        } else {
            self.slots.resting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, counted for as long as this is held.
pub(super) struct Want<'a> {
    wants: &'a Wants,
    of: fn(&mut Counts) -> &mut usize,
}

impl<'a> Want<'a> {
    fn new(wants: &'a Wants, of: fn(&mut Counts) -> &mut usize) -> Self {
        wants.change(|counts| *of(counts) += 1);
        Self { wants, of }
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.wants.change(|counts| *(self.of)(counts) -= 1);
    }
}

/// A slot, for as long as this is held.
pub(super) struct Slot<'a> {
    permit: Option<SemaphorePermit<'a>>,
    want: Want<'a>,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Given back first: whoever is told looks whether one is free.
        drop(self.permit.take());
        self.want.wants.slots.eased.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_rests_while_all_it_does_is_to_let_time_pass() {
        let slots = Arc::new(Slots::new(1));
        let [one, other] = [0, 1].map(|_| Wants::new(Arc::clone(&slots)));
        let slot = one.slot().await.unwrap();
        assert!(!slots.has_free());
        let rest = one.rest();
        assert_eq!(slots.resting(), 0, "it has a request on the wire as well");
        let rests = [other.rest(), other.rest()];
        assert_eq!(slots.resting(), 1, "it is one lease");
        drop(slot);
        assert_eq!((slots.resting(), slots.has_free()), (2, true));
        drop((rest, rests));
        assert_eq!(slots.resting(), 0);
    }
}
