//! A stand-in for GitHub: a model with state, served over real HTTP.
//!
//! Clients under test are pointed at [`GitHub::api_base_url`] and notice no difference: URLs,
//! headers, paging, entity tags, rate limits, redirects and error bodies are GitHub's, and the
//! bodies have every field of GitHub's published examples. A test builds its world with the
//! methods of the `scenario` part ([`GitHub::user`], [`GitHub::repository`],
//! [`GitHub::pull_request`], ...), breaks whole answers with [`GitHub::fault`] and parts of them
//! with [`GitHub::bar`], stops it with [`GitHub::hold`], and then asks what was sent with
//! [`GitHub::requests_to`].
//!
//! REST and GraphQL ([`GitHub::graphql_url`]) show one model. `.ci/certify-stand-in` compares both
//! with what GitHub publishes.
//!
//! ```no_run
//! # async fn example() {
//! use testkit::github::{GitHub, ReviewState};
//!
//! let github = GitHub::start().await;
//! let ann = github.user("ann");
//! let token = ann.token();
//! github.repository("acme/web").grant(&ann);
//! let number = github.pull_request("acme/web").head("feature").author("ann").open();
//! github.review("acme/web", number, "bob", ReviewState::Approved);
//! # drop(token);
//! # }
//! ```

mod answer;
mod barrier;
mod check;
mod exchange;
mod fault;
pub mod fixtures;
mod front;
mod graphql;
mod hold;
mod limit;
mod matching;
mod model;
mod oauth;
mod pull_request;
mod record;
mod refusal;
mod rest;
pub mod sample;
mod scenario;
mod secondary;
mod server;
mod spoil;
mod state;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub use self::barrier::Barrier;
pub use self::check::{CheckRun, CommitStatus, Requested, ReviewThread};
pub use self::exchange::{ENTERPRISE_PREFIX, GRAPHQL_PATH};
pub use self::fault::{Fault, FaultHandle, FaultScript, Overload};
pub use self::front::API_VERSIONS;
pub use self::graphql::LimitSpelling;
pub use self::hold::Hold;
pub use self::limit::{RateLimit, Resource};
pub use self::matching::Matching;
pub use self::model::{Account, AccountId, AccountKind, Repository, RepositoryId};
pub use self::oauth::{AppHandle, TOKEN_PATH, Tokens};
pub use self::pull_request::{Head, Mergeable, PullRequest, PullRequestState, Review, ReviewState};
pub use self::record::{Caller, RECORD_CAPACITY, RecordedQuery, RecordedRequest};
pub use self::scenario::{
    BarrierHandle, BudgetHandle, NewPullRequest, RepositoryHandle, RunState, UserHandle,
};
pub use self::state::DEFAULT_WEB_BASE;

use self::state::Shared;

/// How long stopping waits for what is under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running stand-in. Dropping it stops it, connections included.
///
/// It runs on a thread of its own, so a test may block, pause its clock or end its runtime.
pub struct GitHub {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Taken out when it stops.
    runtime: Option<Runtime>,
}

impl GitHub {
    /// Starts a stand-in on a free port of the loopback interface.
    pub async fn start() -> Self {
        match Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await {
            Ok(github) => github,
            Err(error) => panic!("the GitHub stand-in cannot start: {error}"),
        }
    }

    /// Starts a stand-in on this address.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("github-stand-in")
            .enable_all()
            .build()?;
        let bound = runtime
            .spawn(TcpListener::bind(address))
            .await
            .map_err(io::Error::other);
        let listener = match bound.and_then(|listener| listener) {
            Ok(listener) => listener,
            Err(error) => {
                // A runtime must not be dropped where one is running.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(format!("http://{address}")));
        runtime.spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            address,
            runtime: Some(runtime),
        })
    }

    /// Stops it and waits until its port is free.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let stopping =
                tokio::task::spawn_blocking(move || runtime.shutdown_timeout(STOP_TIMEOUT));
            // The only error is that the blocking task panicked or was cancelled with this
            // runtime; the stand-in is gone either way.
            drop(stopping.await);
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of the REST API, without a slash at the end. The same API is under
    /// [`enterprise_base_url`](Self::enterprise_base_url).
    pub fn api_base_url(&self) -> String {
        self.shared.lock().api_base.clone()
    }

    /// The base of the REST API as an enterprise server has it: with `/api/v3`.
    pub fn enterprise_base_url(&self) -> String {
        format!("{}{ENTERPRISE_PREFIX}", self.api_base_url())
    }

    /// The address of the GraphQL API.
    pub fn graphql_url(&self) -> String {
        format!("{}{GRAPHQL_PATH}", self.api_base_url())
    }

    /// The base of page addresses such as `html_url`.
    pub fn web_base(&self) -> String {
        self.shared.lock().web_base.clone()
    }

    /// The host's clock, in whole seconds.
    pub fn now(&self) -> Timestamp {
        self.shared.lock().now()
    }

    /// Lets the host's clock run ahead of the machine's, or behind it.
    pub fn set_clock_skew(&self, skew: SignedDuration) {
        self.shared.lock().clock_skew = skew;
    }

    /// Has every answer to a known token say that it expires then, as GitHub says it of tokens that
    /// do.
    pub fn set_token_expiry(&self, at: &str) {
        self.shared.lock().token_expiry = Some(at.to_owned());
    }

    /// Delays every answer from now on.
    pub fn latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// Begins a fault for matching requests; [`FaultScript::respond`] puts it in place.
    pub fn fault(&self, matching: impl Into<Matching>) -> FaultScript {
        FaultScript::new(Arc::clone(&self.shared), matching.into())
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Keeps matching requests waiting inside, from now until [`Hold::release`].
    pub fn hold(&self, matching: impl Into<Matching>) -> Hold {
        let (hold, gate) = Hold::new(matching.into());
        self.shared.lock().holds.push(gate);
        hold
    }

    /// All requests so far, oldest first; at most [`RECORD_CAPACITY`].
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests_to(Matching::any())
    }

    /// The requests so far that match, oldest first.
    pub fn requests_to(&self, matching: impl Into<Matching>) -> Vec<RecordedRequest> {
        let matching = matching.into();
        let world = self.shared.lock();
        world
            .record
            .iter()
            .filter(|request| matching.matches(request))
            .cloned()
            .collect()
    }

    /// How many requests match so far.
    pub fn count(&self, matching: impl Into<Matching>) -> usize {
        let matching = matching.into();
        let world = self.shared.lock();
        world
            .record
            .iter()
            .filter(|request| matching.matches(request))
            .count()
    }

    /// The requests that the stand-in has no endpoint for. A test ends with a look at it.
    pub fn unexpected(&self) -> Vec<RecordedRequest> {
        let world = self.shared.lock();
        world
            .record
            .iter()
            .filter(|request| request.unexpected)
            .cloned()
            .collect()
    }

    /// The most requests that were inside at the same time.
    pub fn max_in_flight(&self) -> usize {
        self.shared.lock().record.max_in_flight()
    }

    /// The most requests of one caller that were inside at the same time.
    pub fn max_in_flight_by(&self, caller: &Caller) -> usize {
        self.shared.lock().record.max_in_flight_by(caller)
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.lock().record.clear();
    }

    /// Waits for the first matching request.
    pub async fn wait_for_request(&self, matching: impl Into<Matching>) -> RecordedRequest {
        let mut found = self.wait_for_requests(matching, 1).await;
        found.swap_remove(0)
    }

    /// Waits for the first `count` matching requests.
    pub async fn wait_for_requests(
        &self,
        matching: impl Into<Matching>,
        count: usize,
    ) -> Vec<RecordedRequest> {
        let matching = matching.into();
        let mut activity = self.shared.activity();
        let enough = activity.wait_for(|_| self.count(matching.clone()) >= count);
        let arrived = tokio::time::timeout(hold::PATIENCE, enough).await.is_ok();
        let found = self.requests_to(matching.clone());
        assert!(
            arrived,
            "{count} requests should have come to {matching:?}, but there were {}; all: {:#?}",
            found.len(),
            self.requests()
        );
        found
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GitHub")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
