//! The worker's request slots: a request is on the wire for as long as it holds one.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::host_state::HostState;

/// One slot in this many is out of a single lease's reach, and of a single host's where several are
/// leased, so that a slow one leaves room for the others.
const RESERVED_SHARE: usize = 5;

/// The slots of a worker, shared by all its leases.
#[derive(Debug)]
pub(super) struct Slots {
    count: usize,
    free: Arc<Semaphore>,
    /// For requests: notified when a slot is released.
    released: Notify,
    /// For the one task that leases more: notified when a slot is released.
    eased: Notify,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            free: Arc::new(Semaphore::new(count)),
            released: Notify::new(),
            eased: Notify::new(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many are within a single lease's reach, and a single host's while there are others.
    pub(super) fn share(&self) -> usize {
        (self.count - self.count / RESERVED_SHARE).max(1)
    }

    /// Whether one more request could be sent now.
    pub(super) fn has_free(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// Resolves when a slot was released since this was last awaited. For one waiter.
    pub(super) async fn eased(&self) {
        self.eased.notified().await;
    }

    /// Waits for a slot for a request to `host`. `None`: there are none any more.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        host: &Arc<HostState>,
        hosts: usize,
    ) -> Option<Slot> {
        let share = match hosts {
            0 | 1 => usize::MAX,
            _ => self.share(),
        };
        loop {
            // Subscribe before checking, so that a release between the two is not lost.
            let released = self.released.notified();
            if host.try_begin(share) {
                break;
            }
            released.await;
        }
        let mut slot = Slot {
            slots: Arc::clone(self),
            host: Arc::clone(host),
            permit: None,
        };
        slot.permit = Some(Arc::clone(&self.free).acquire_owned().await.ok()?);
        Some(slot)
    }
}

/// A slot, for as long as this is held.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    host: Arc<HostState>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Released before the notification, so that the notified find it free.
        drop(self.permit.take());
        self.host.end();
        self.slots.released.notify_waiters();
        self.slots.eased.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use super::*;

    /// The slot, if it is there at once.
    async fn at_once(slots: &Arc<Slots>, host: &Arc<HostState>, hosts: usize) -> Option<Slot> {
        let mut acquiring = pin!(slots.acquire(host, hosts));
        std::future::poll_fn(|context| match acquiring.as_mut().poll(context) {
            Poll::Ready(slot) => Poll::Ready(slot),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn one_of_several_hosts_leaves_a_fifth_of_the_slots_to_the_others() {
        let slots = Arc::new(Slots::new(5));
        let [slow, other] = [0, 1].map(|_| Arc::<HostState>::default());
        let mut held = Vec::new();
        while let Some(slot) = at_once(&slots, &slow, 2).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 4);
        held.extend(at_once(&slots, &other, 2).await);
        assert!(held.len() == 5 && !slots.has_free());
        drop(held);
        let mut held = Vec::new();
        while let Some(slot) = at_once(&slots, &slow, 1).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 5, "a host that is alone has all slots");
    }
}
