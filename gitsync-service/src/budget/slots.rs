//! The worker's request slots: a request is on the wire for as long as it holds one.
//!
//! A fifth of them is out of a single lease's reach, and of a single host's where there are others,
//! so that a slow one leaves room. What a person waits for comes first; the others have their turns
//! in the order in which they came.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::sync::Lane;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{host_state::HostState, load::InFlight};

/// One slot in this many is out of a single lease's reach, and of a single host's.
const RESERVED_SHARE: usize = 5;

/// The slots of a worker, shared by all its leases.
#[derive(Debug)]
pub(super) struct Slots {
    count: usize,
    queue: Mutex<SlotQueue>,
    /// For the one task that leases more: notified when a slot is released.
    eased: Notify,
}

#[derive(Debug, Default)]
struct SlotQueue {
    taken: usize,
    next: u64,
    waiting: BTreeMap<QueuePosition, Waiter>,
}

/// Background requests come after interactive ones, then in order of arrival.
type QueuePosition = (bool, u64);

#[derive(Debug)]
struct Waiter {
    demand: Demand,
    granted: oneshot::Sender<RequestSlot>,
}

/// The budget and urgency of a request that waits for a slot.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) lane: Lane,
    /// The requests of its lease.
    pub(super) lease: Arc<InFlight>,
    pub(super) host: Arc<HostState>,
    /// There are other hosts.
    pub(super) has_others: bool,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            queue: Mutex::default(),
            eased: Notify::new(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many are within a single lease's reach, and a single host's while there are others.
    pub(super) fn share(&self) -> usize {
        let reserved = (self.count / RESERVED_SHARE).max(1);
        self.count.saturating_sub(reserved).max(1)
    }

    /// Whether one more request could be sent now.
    pub(super) fn has_free(&self) -> bool {
        self.lock().taken < self.count
    }

    /// Resolves when a slot was released since this was last awaited. For one waiter.
    pub(super) async fn eased(&self) {
        self.eased.notified().await;
    }

    /// Waits for a slot. `None`: the slots are closed.
    pub(super) async fn acquire(self: &Arc<Self>, demand: Demand) -> Option<RequestSlot> {
        let slot = self.enqueue(demand);
        self.grant();
        slot.await.ok()
    }

    fn enqueue(&self, demand: Demand) -> oneshot::Receiver<RequestSlot> {
        let (granted, slot) = oneshot::channel();
        let mut queue = self.lock();
        let place = (demand.lane != Lane::Interactive, queue.next);
        queue.next += 1;
        queue.waiting.insert(place, Waiter { demand, granted });
        slot
    }

    /// Gives free slots to those that may have them, in their order.
    fn grant(self: &Arc<Self>) {
        let now = Instant::now();
        let mut untaken = Vec::new();
        let mut queue = self.lock();
        queue
            .waiting
            .retain(|_, waiting| !waiting.granted.is_closed());
        while queue.taken < self.count {
            let mut waiting = queue.waiting.iter();
            let first = waiting.find(|(_, waiting)| self.is_in_reach(&waiting.demand, now));
            let Some(place) = first.map(|(place, _)| *place) else {
                break;
            };
            let Some(Waiter { demand, granted }) = queue.waiting.remove(&place) else {
                break;
            };
            queue.taken += 1;
            demand.lease.begin();
            demand.host.load.begin();
            let slots = Arc::clone(self);
            untaken.extend(granted.send(RequestSlot { slots, demand }).err());
        }
        // A cancelled waiter releases its slot, which takes the lock.
        drop(queue);
        drop(untaken);
    }

    fn is_in_reach(&self, demand: &Demand, now: Instant) -> bool {
        let share = self.share();
        let of_host = if demand.has_others { share } else { self.count };
        demand.lease.count() < share && demand.host.load.count() < demand.host.places(of_host, now)
    }

    fn lock(&self) -> MutexGuard<'_, SlotQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot, for as long as this is held.
#[derive(Debug)]
pub(super) struct RequestSlot {
    slots: Arc<Slots>,
    demand: Demand,
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.slots.lock().taken -= 1;
        self.demand.lease.end();
        self.demand.host.load.end();
        self.slots.grant();
        self.slots.eased.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Poll};

    use super::*;

    fn demand(host: &Arc<HostState>, has_others: bool, lane: Lane) -> Demand {
        Demand {
            lane,
            lease: Arc::default(),
            host: Arc::clone(host),
            has_others,
        }
    }

    /// All slots that are there at once.
    async fn at_once(slots: &Arc<Slots>, demand: impl Fn() -> Demand) -> Vec<RequestSlot> {
        let mut held = Vec::new();
        loop {
            let mut acquiring = pin!(slots.acquire(demand()));
            let slot = std::future::poll_fn(|context| {
                Poll::Ready(match acquiring.as_mut().poll(context) {
                    Poll::Ready(slot) => slot,
                    Poll::Pending => None,
                })
            });
            match slot.await {
                Some(slot) => held.push(slot),
                None => return held,
            }
        }
    }

    #[tokio::test]
    async fn one_of_several_hosts_leaves_a_fifth_of_the_slots_to_the_others() {
        let slots = Arc::new(Slots::new(5));
        let [slow, other] = [0, 1].map(|_| Arc::<HostState>::default());
        let held = at_once(&slots, || demand(&slow, true, Lane::Idle)).await;
        assert_eq!(held.len(), 4);
        let others = at_once(&slots, || demand(&other, true, Lane::Idle)).await;
        assert!(others.len() == 1 && !slots.has_free());
        drop((held, others));
        let held = at_once(&slots, || demand(&slow, false, Lane::Idle)).await;
        assert_eq!(held.len(), 5, "a host that is alone has all slots");
    }

    #[tokio::test]
    async fn one_lease_leaves_a_fifth_of_the_slots_to_the_others() {
        let slots = Arc::new(Slots::new(5));
        let host = Arc::default();
        let lease = demand(&host, false, Lane::Interactive);
        let held = at_once(&slots, || lease.clone()).await;
        assert!(held.len() == 4 && slots.has_free());
    }

    #[tokio::test]
    async fn what_a_person_waits_for_has_the_next_slot() {
        let slots = Arc::new(Slots::new(1));
        let host = Arc::default();
        let mut held = at_once(&slots, || demand(&host, false, Lane::Idle)).await;
        let order = Mutex::new(Vec::new());
        let take = async |lane| {
            let slot = slots.acquire(demand(&host, false, lane)).await;
            order.lock().unwrap().push(lane);
            drop(slot);
        };
        tokio::join!(
            take(Lane::Idle),
            take(Lane::Viewed),
            take(Lane::Interactive),
            async { held.clear() }
        );
        let order = order.into_inner().unwrap();
        assert_eq!(order, [Lane::Interactive, Lane::Idle, Lane::Viewed]);
        assert!(slots.has_free());
    }
}
