//! Barriers: requests that wait inside the stand-in until the test lets them go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::matching::Matching;
use super::record::RecordedRequest;

/// How long a test waits for requests before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps matching requests waiting; dropping it lets them go. Made by
/// [`GitHub::hold`](super::GitHub::hold).
#[must_use = "requests are held only as long as this lives"]
#[derive(Debug)]
pub struct Hold {
    gate: Arc<Gate>,
}

#[derive(Debug)]
pub(crate) struct Gate {
    matching: Matching,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    passes: usize,
    open: bool,
}

impl Hold {
    pub(crate) fn new(matching: Matching) -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate {
            matching,
            state: watch::Sender::new(State::default()),
        });
        (
            Self {
                gate: Arc::clone(&gate),
            },
            gate,
        )
    }

    /// Resolves once at least `count` requests wait here at the same time.
    pub async fn waiting(&self, count: usize) {
        let mut state = self.gate.state.subscribe();
        let enough = state.wait_for(|state| state.inside >= count);
        let arrived = tokio::time::timeout(PATIENCE, enough).await.is_ok();
        assert!(
            arrived,
            "{count} requests should wait at {:?}, but there are {}",
            self.gate.matching,
            self.count()
        );
    }

    /// Resolves once no request waits here any more: all were let go, or their clients hung up.
    pub async fn empty(&self) {
        let mut state = self.gate.state.subscribe();
        let emptied = state.wait_for(|state| state.inside == 0);
        let left = tokio::time::timeout(PATIENCE, emptied).await.is_ok();
        assert!(
            left,
            "{} requests still wait at {:?}",
            self.count(),
            self.gate.matching
        );
    }

    /// How many requests wait here now.
    pub fn count(&self) -> usize {
        self.gate.state.borrow().inside
    }

    /// Lets one request go: one that waits, or the next to come.
    pub fn release_one(&self) {
        self.gate.state.send_modify(|state| state.passes += 1);
    }

    /// Lets all requests go, those that wait and those to come.
    pub fn release(&self) {
        self.gate.state.send_modify(|state| state.open = true);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

impl Gate {
    pub(crate) fn is_open(&self) -> bool {
        self.state.borrow().open
    }

    pub(crate) fn stops(&self, request: &RecordedRequest) -> bool {
        !self.is_open() && self.matching.matches(request)
    }

    /// Waits until the request may go on.
    pub(crate) async fn pass(&self) {
        let mut state = self.state.subscribe();
        self.state.send_modify(|state| state.inside += 1);
        let _inside = Inside { gate: self };
        // A closed channel means that the request can no longer be released: it goes on.
        while state
            .wait_for(|state| state.open || state.passes > 0)
            .await
            .is_ok()
        {
            let mut may_go = false;
            self.state.send_if_modified(|state| {
                may_go = state.open || state.passes > 0;
                state.passes = state
                    .passes
                    .saturating_sub(usize::from(may_go && !state.open));
                may_go
            });
            if may_go {
                return;
            }
        }
    }
}

/// Counts a request as waiting, also when its client hangs up meanwhile.
struct Inside<'a> {
    gate: &'a Gate,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.gate
            .state
            .send_modify(|state| state.inside = state.inside.saturating_sub(1));
    }
}
