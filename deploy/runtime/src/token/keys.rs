//! The keys that a verifier has now, and how they are kept up to date.
//!
//! Every source is loaded again at intervals, and when a token names a key that is not known. One
//! load of a source is under way at a time, single flight, and loads for unknown keys are rate
//! limited: a storm of unknown keys costs a provider one request per [`ASKED_INTERVAL`]. A call
//! waits for a load that began after it came, so that a key that was published before is found
//! whatever others ask for. A load that fails leaves the keys as they are.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::join_all;
use jsonwebtoken::Algorithm;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    TokenError,
    key::{ALGORITHMS, Key},
    load::{Access, LoadError, load},
    metrics::VerifierMetrics,
    source::{KeySource, KeySources},
};
use crate::jitter::jittered;

/// A file that was replaced is noticed within this.
const FILE_INTERVAL: Duration = Duration::from_secs(5);
/// A key that a provider withdrew is refused after this. Providers announce new keys hours before.
const URL_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Between loads of a provider that fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// From one load of a source to the next that is begun because of unknown keys.
const ASKED_INTERVAL: Duration = Duration::from_secs(1);
/// How long a call with an unknown key waits at most: for the interval, and for two loads, each of
/// a few hundred milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// Calls with unknown keys that wait at once at most; each holds its headers.
const MAX_WAITING: usize = 1000;
/// Replicas that start together load apart from one another.
const JITTER: f64 = 0.1;

/// The keys of one verifier.
pub(super) struct Keys {
    verifier: &'static str,
    current: RwLock<Arc<[Key]>>,
    sources: Vec<Source>,
    access: Access,
    metrics: VerifierMetrics,
    /// Changes whenever a load has ended.
    ended: watch::Sender<()>,
    waiting: Semaphore,
    /// Loads that tokens asked for; they end by themselves.
    loads: TaskTracker,
}

struct Source {
    from: KeySource,
    state: Mutex<State>,
}

struct State {
    keys: Vec<Key>,
    /// A load is under way.
    loading: bool,
    last: Last,
    /// When the last load began.
    begun_at: Option<Instant>,
    /// When the last load began that has ended.
    ended_from: Option<Instant>,
}

/// The result of the last load.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// There was none.
    Never,
    Good,
    Failed,
}

impl Keys {
    pub(super) fn new(
        verifier: &'static str,
        sources: KeySources,
        access: Access,
        metrics: VerifierMetrics,
    ) -> Arc<Self> {
        let sources = sources.0.into_iter().map(|(from, keys)| Source {
            state: Mutex::new(State {
                loading: false,
                last: match from {
                    KeySource::File(_) => Last::Good,
                    KeySource::Url(_) => Last::Never,
                },
                begun_at: None,
                ended_from: None,
                keys,
            }),
            from,
        });
        let keys = Self {
            verifier,
            sources: sources.collect(),
            access,
            metrics,
            ..Self::fixed(Vec::new())
        };
        keys.gather();
        Arc::new(keys)
    }

    /// A fixed set of keys, never loaded again.
    pub(super) fn fixed(keys: Vec<Key>) -> Self {
        Self {
            verifier: "fixed",
            current: RwLock::new(keys.into()),
            sources: Vec::new(),
            access: Access::default(),
            metrics: VerifierMetrics::default(),
            ended: watch::Sender::default(),
            waiting: Semaphore::new(MAX_WAITING),
            loads: TaskTracker::new(),
        }
    }

    /// The keys that a token may be signed with, by its header. A key is for its own algorithms,
    /// and for no other that a header names. A token that names no key can be of one only: were
    /// several tried, a key could be used for what another one is trusted with.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Key>, TokenError> {
        if !ALGORITHMS.contains(&algorithm) {
            return Err(TokenError::Invalid("its algorithm is not accepted"));
        }
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let is_named = |key: &&Key| id.is_none_or(|id| key.id == id);
        let named: Vec<&Key> = current.iter().filter(is_named).collect();
        let is_fit = |key: &&Key| key.algorithms.contains(&algorithm);
        let fit: Vec<Key> = named.iter().copied().filter(is_fit).cloned().collect();
        match (id, fit.len()) {
            (Some(_), 0) if !named.is_empty() => {
                Err(TokenError::Invalid("its algorithm is not its key's"))
            }
            (_, 0) => Err(TokenError::UnknownKey),
            (Some(_), _) | (None, 1) => Ok(fit),
            (None, _) => Err(TokenError::Invalid("it names no key, and several are fit")),
        }
    }

    /// Whether keys may be missing since a source could not be loaded when that was last tried.
    pub(super) fn are_uncertain(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| source.state().last != Last::Good)
    }

    /// Has every source loaded again, and waits until `enough` or the end of these loads. Returns
    /// false if that takes longer than [`PATIENCE`], or if too many wait already.
    pub(super) async fn look_again(self: &Arc<Self>, enough: impl Fn(&Self) -> bool) -> bool {
        let Ok(_place) = self.waiting.try_acquire() else {
            return false;
        };
        let arrived = Instant::now();
        let until = arrived + PATIENCE;
        let mut ended = self.ended.subscribe();
        loop {
            // Until when nothing happens, unless a load ends; none if there is nothing to wait for.
            let mut quiet: Option<Instant> = None;
            for (index, source) in self.sources.iter().enumerate() {
                let (loading, begun_at, ended_from) = {
                    let state = source.state();
                    (state.loading, state.begun_at, state.ended_from)
                };
                if ended_from.is_some_and(|from| from >= arrived) {
                    continue;
                }
                let next = begun_at.map(|at| at + ASKED_INTERVAL);
                let next = next.filter(|next| *next > Instant::now());
                if !loading
                    && next.is_none()
                    && let Some(load) = self.begin(index)
                {
                    self.loads.spawn(load.run());
                }
                let next = next.filter(|_| !loading).unwrap_or(until).min(until);
                quiet = Some(quiet.map_or(next, |quiet| quiet.min(next)));
            }
            let Some(quiet) = quiet.filter(|_| !enough(self)) else {
                return true;
            };
            let is_over = timeout_at(quiet, ended.changed()).await.is_err() && quiet == until;
            if is_over {
                return enough(self);
            }
        }
    }

    /// Loads every source at its intervals, until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let sources = (0..self.sources.len()).map(|index| self.keep_one(index));
        stop.run_until_cancelled(join_all(sources)).await;
    }

    async fn keep_one(self: &Arc<Self>, index: usize) {
        let Some(source) = self.sources.get(index) else {
            return;
        };
        let interval = || match (&source.from, source.state().last) {
            (KeySource::File(_), _) => FILE_INTERVAL,
            (KeySource::Url(_), Last::Good) => URL_INTERVAL,
            (KeySource::Url(_), Last::Never | Last::Failed) => RETRY_INTERVAL,
        };
        if source.state().last != Last::Never {
            sleep(jittered(interval(), JITTER)).await;
        }
        loop {
            if let Some(load) = self.begin(index) {
                load.run().await;
            }
            sleep(jittered(interval(), JITTER)).await;
        }
    }

    /// The right to load a source, until it is dropped; none while another load has it.
    fn begin(self: &Arc<Self>, index: usize) -> Option<Load> {
        let mut state = self.sources.get(index)?.state();
        if state.loading {
            return None;
        }
        let begun_at = Instant::now();
        state.loading = true;
        state.begun_at = Some(begun_at);
        Some(Load {
            keys: Arc::clone(self),
            index,
            begun_at,
        })
    }

    fn land(&self, source: &Source, loaded: Result<Vec<Key>, LoadError>) {
        let (verifier, from) = (self.verifier, &source.from);
        let mut state = source.state();
        match loaded {
            Ok(keys) => {
                self.metrics.loaded.inc();
                let ids = |keys: &[Key]| keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>();
                let now = ids(&keys);
                if ids(&state.keys) != now {
                    tracing::info!(verifier, %from, keys = ?now, "the keys for tokens changed");
                } else if state.last == Last::Failed {
                    tracing::info!(verifier, %from, "the keys for tokens are loaded again");
                }
                state.last = Last::Good;
                state.keys = keys;
            }
            Err(error) => {
                self.metrics.failed.inc();
                if state.last != Last::Failed {
                    tracing::warn!(
                        verifier,
                        %from,
                        %error,
                        "the keys for tokens cannot be loaded; those loaded last stay in force"
                    );
                }
                state.last = Last::Failed;
            }
        }
        drop(state);
        self.gather();
    }

    /// Puts together what all sources have.
    fn gather(&self) {
        // Held throughout, so that of two loads that end at once the later one counts.
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (mut keys, mut failing) = (Vec::new(), 0);
        for source in &self.sources {
            let state = source.state();
            keys.extend(state.keys.iter().cloned());
            failing += i64::from(state.last == Last::Failed);
        }
        self.metrics.failing.set(failing);
        self.metrics
            .keys
            .set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        *current = keys.into();
    }
}

impl Source {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load of a source that is under way. Ends when it is dropped, whatever became of it.
struct Load {
    keys: Arc<Keys>,
    index: usize,
    begun_at: Instant,
}

impl Load {
    async fn run(self) {
        if let Some(source) = self.keys.sources.get(self.index) {
            let loaded = load(&source.from, &self.keys.access).await;
            self.keys.land(source, loaded);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(source) = self.keys.sources.get(self.index) {
            let mut state = source.state();
            state.loading = false;
            state.ended_from = Some(self.begun_at);
        }
        self.keys.ended.send_replace(());
    }
}
