//! One watcher: its interest, its pending notices, and the handle that takes them.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Watchers,
    held::{HeldChat, Notice},
    interest::Interest,
    lock,
    pending::{AddResult, NoticeQueue},
};
use crate::{
    events::metrics::{EventMetrics, ResyncCause},
    store::event::{ChangeEvent, Point},
};

/// One watcher.
pub(super) struct Watcher {
    pub(super) interest: Interest,
    pub(super) pending: Mutex<NoticeQueue>,
    /// Wakes the stream when a notice may be taken.
    pub(super) arrived: Notify,
}

/// The handle by which a stream takes a watcher's notices. Dropping it ends the watch.
pub(crate) struct Watch {
    number: u64,
    watcher: Arc<Watcher>,
    watchers: Watchers,
    /// The client has heard of all up to here; `None` until it has listed.
    reached: Option<Point>,
}

impl Watcher {
    pub(super) fn new(interest: Interest, pending: NoticeQueue) -> Self {
        Self {
            interest,
            pending: Mutex::new(pending),
            arrived: Notify::new(),
        }
    }

    /// Adds the watcher's notice of `event`; `chat` is the chat as it is now.
    pub(super) fn offer(
        &self,
        generation: Uuid,
        event: &ChangeEvent,
        chat: Option<&Arc<HeldChat>>,
        metrics: &EventMetrics,
    ) {
        metrics.asked.inc();
        let Some(what) = self.interest.hears(event, chat) else {
            return;
        };
        metrics.offered.inc();
        let position = event.position;
        let notice = Notice {
            point: Point {
                generation,
                position,
            },
            at: Some(event.at),
            what,
        };
        match lock(&self.pending).add(event.chat, notice, &metrics.pending) {
            AddResult::Waits => {}
            AddResult::Needless => return,
            AddResult::TooMany => metrics.count_resync(ResyncCause::Slow),
        }
        self.arrived.notify_one();
    }

    /// The point that it resumes after, while it catches up.
    pub(super) fn resumes_after(&self) -> Option<Point> {
        lock(&self.pending).resumes_after()
    }

    /// Has the watcher list again, and go on at `point`.
    pub(super) fn start_over(&self, point: Point, cause: ResyncCause, metrics: &EventMetrics) {
        lock(&self.pending).start_over(point);
        metrics.count_resync(cause);
        self.arrived.notify_one();
    }
}

impl Watch {
    pub(super) fn new(
        watchers: Watchers,
        number: u64,
        watcher: Arc<Watcher>,
        reached: Option<Point>,
    ) -> Self {
        Self {
            number,
            watcher,
            watchers,
            reached,
        }
    }

    /// The next notice. Cancel safe: a notice is taken only when it is returned.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            let taken = lock(&self.watcher.pending).take();
            if let Some(notice) = taken {
                self.reached = Some(notice.point);
                return notice;
            }
            self.watcher.arrived.notified().await;
        }
    }

    /// The point after which the client can resume without a gap; `None` while a resync is pending.
    pub(crate) fn reached(&mut self) -> Option<Point> {
        // Read before the notices: an event that is offered in between is after this point.
        let offered = lock(&self.watchers.0.state).offered;
        if let Some(reached) = &mut self.reached
            && reached.generation == offered.generation
            && reached.position < offered.position
            && lock(&self.watcher.pending).is_idle()
        {
            *reached = offered;
        }
        self.reached
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let state = &mut *lock(&self.watchers.0.state);
        state.index.remove(self.number);
        for resuming in &mut state.resuming {
            resuming.remove(&self.number);
        }
        self.watchers.0.metrics.watchers.dec();
    }
}
