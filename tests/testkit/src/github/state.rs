//! Everything one stand-in holds, behind one lock.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::barrier::Barriers;
use super::fault::Faults;
use super::front::API_VERSIONS;
use super::graphql::{self, Documents};
use super::hold::Gate;
use super::limit::Limits;
use super::model::{AccountId, Model};
use super::oauth::Apps;
use super::record::{Caller, Noted, Record, RecordedRequest};
use super::secondary::Pauses;
use crate::lock::lock;

/// Where the real host's pages are; the addresses in answers say so unless a test changes it.
pub const DEFAULT_WEB_BASE: &str = "https://github.com";

/// What the handles and the server share.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) documents: Documents,
    /// Changes with every arrival and every answer.
    activity: watch::Sender<u64>,
}

/// The state proper.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) limits: Limits,
    pub(crate) graphql: graphql::Settings,
    pub(crate) barriers: Barriers,
    pub(crate) pauses: Pauses,
    pub(crate) apps: Apps,
    pub(crate) faults: Faults,
    pub(crate) holds: Vec<Arc<Gate>>,
    pub(crate) record: Record,
    pub(crate) latency: Duration,
    pub(crate) api_base: String,
    pub(crate) web_base: String,
    pub(crate) clock_skew: SignedDuration,
    /// When answers say that tokens expire, as text.
    pub(crate) token_expiry: Option<String>,
    /// The versions of the REST API that it takes.
    pub(crate) api_versions: &'static [&'static str],
    /// Whether REST shows `ghost` as the author of what an account wrote that is gone.
    pub(crate) ghosts: bool,
}

impl Shared {
    pub(crate) fn new(api_base: String) -> Self {
        let world = World {
            api_base,
            web_base: DEFAULT_WEB_BASE.to_owned(),
            api_versions: &API_VERSIONS,
            ..World::default()
        };
        Self {
            world: Mutex::new(world),
            documents: Documents::default(),
            activity: watch::Sender::new(0),
        }
    }

    /// The state. A test that panicked while it held the lock has failed anyway; the others go on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn activity(&self) -> watch::Receiver<u64> {
        self.activity.subscribe()
    }

    fn note_activity(&self) {
        self.activity.send_modify(|count| *count += 1);
    }
}

impl World {
    /// The host's clock: the machine's, shifted as the test wishes, in whole seconds as GitHub
    /// shows them.
    pub(crate) fn now(&self) -> Timestamp {
        let now = Timestamp::now()
            .saturating_add(self.clock_skew)
            .unwrap_or(Timestamp::MAX);
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// The account whose token it is.
    pub(crate) fn caller(&self, token: Option<&str>) -> (Caller, Option<AccountId>) {
        let Some(token) = token else {
            return (Caller::Anonymous, None);
        };
        let owner = self
            .model
            .token_owner(token)
            .filter(|_| !self.apps.is_expired(token, self.now()))
            .and_then(|id| self.model.account(id));
        match owner {
            Some(account) => (Caller::User(account.login.clone()), Some(account.id)),
            None => (Caller::Unknown, None),
        }
    }
}

/// A request under way. However it ends, it is counted out.
pub(crate) struct Visit {
    shared: Arc<Shared>,
    caller: Caller,
    sequence: u64,
}

impl Visit {
    pub(crate) fn begin(shared: &Arc<Shared>, request: &RecordedRequest) -> Self {
        let sequence = shared.lock().record.enter(request.clone());
        shared.note_activity();
        Self {
            shared: Arc::clone(shared),
            caller: request.caller.clone(),
            sequence,
        }
    }

    pub(crate) fn answered(&self, status: u16, unexpected: bool, noted: Noted) {
        self.shared
            .lock()
            .record
            .answered(self.sequence, status, unexpected, noted);
        self.shared.note_activity();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.lock().record.leave(&self.caller);
        self.shared.note_activity();
    }
}
