//! GitHub and GitHub Enterprise behind `Host`.
//!
//! `client` is the one place that sends. `graphql` puts many questions into one request, `rest`
//! answers one question with one request or a few; `HostConnection` chooses between them. Both
//! normalise GitHub's values (`normalised`), so that a question has one answer. `rate_limit` and
//! `refusal` are GitHub's rules for both, as pure functions; `instance` is the process's state of
//! one GitHub.

mod capability;
mod check;
mod client;
mod connection;
mod graphql;
mod instance;
mod normalised;
mod rate_limit;
mod refusal;
mod rest;
mod review_summary;
mod session;
mod sizes;
mod thread_authors;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::sync::{BudgetView, Credential, ProblemClass, Provider};
use service_runtime::egress::EgressProxy;

use super::Answer;
use crate::budget::{Admission, Supply, WithholdReason};

pub use client::{CONNECT_TIMEOUT, MAX_BODY_BYTES, REQUEST_TIMEOUT};
pub use connection::HostConnection;
pub use rest::MAX_REVIEW_PAGES;

use client::{Client, HttpClient};
use instance::Instance;
use sizes::QueryKind;

/// The window that REST spends, as GitHub names it.
pub const CORE: &str = "core";
/// The window that GraphQL spends, as GitHub names it.
pub const GRAPHQL: &str = "graphql";

/// Requests that a ref takes over REST: its pull request, the reviews, and two sorts of checks.
const REQUESTS_OF_REST: f64 = 4.0;

/// Instances that are remembered. They are those of chat-service's configuration.
const MOST_INSTANCES: usize = 1_000;

/// How GitHub is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether GraphQL is used where the host has it.
    pub graphql: bool,
    /// A request for whole statuses that takes longer costs the host more than one that asks what
    /// changed and one for what did. GitHub charges both with the same point.
    pub slow_detail: Duration,
    /// Minimum pause before a query that the host failed to complete is sent again in smaller
    /// parts; the maximum is three times as long. The host may be overloaded, and GitHub charges
    /// for queries that it does not complete.
    pub heavy_pause: Duration,
    /// Without one, hosts are reached directly.
    pub proxy: Option<EgressProxy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            graphql: true,
            slow_detail: Duration::from_secs(3),
            heavy_pause: Duration::from_secs(1),
            proxy: None,
        }
    }
}

/// Every GitHub that the process asks: its connections to them, and what it remembers of each.
#[derive(Debug)]
pub struct Github {
    http: HttpClient,
    settings: Settings,
    instances: Mutex<HashMap<String, Arc<Instance>>>,
}

/// The HTTP client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct GithubError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Why a connection cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The token fits no request header, so no host could accept it.
    Credential,
    /// The provider cannot be asked at all.
    Failed(ProblemClass),
}

impl Github {
    /// Sets the HTTP client up. A request may take `request_timeout` with its answer's body.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, or the proxy's URL cannot be used.
    pub fn new(settings: Settings, request_timeout: Duration) -> Result<Self, GithubError> {
        let http = HttpClient::new(request_timeout, settings.proxy.as_ref())
            .map_err(|error| GithubError(Box::new(error)))?;
        Ok(Self {
            http,
            settings,
            instances: Mutex::default(),
        })
    }

    /// A GitHub as one credential sees it. Sends nothing.
    ///
    /// # Errors
    ///
    /// When the token fits no header, or the provider's API base is no web address.
    pub fn open(
        &self,
        provider: &Provider,
        credential: &Credential,
        admission: Admission,
    ) -> Result<HostConnection, OpenError> {
        let base = &provider.api_base_url;
        let instance = self.instance(base);
        let token = &credential.access_token;
        let client = Client::new(&self.http, base, token, admission, Arc::clone(&instance))?;
        Ok(HostConnection::new(client, instance))
    }

    /// The window that most requests of a budget spend at this API base: GraphQL, a point for as
    /// many pull requests as fit one request, or else REST, which takes two requests for each.
    #[must_use]
    pub fn supply(&self, api_base_url: &str, budget: &BudgetView) -> Supply {
        let instance = self.instance(api_base_url);
        if instance.has_graphql() {
            let size = u32::try_from(instance.sizes.size(QueryKind::Detail)).unwrap_or(u32::MAX);
            Supply {
                window: budget.window(GRAPHQL),
                requests_per_ref: 1.0 / f64::from(size.max(1)),
            }
        } else {
            Supply {
                window: budget.window(CORE),
                requests_per_ref: REQUESTS_OF_REST,
            }
        }
    }

    fn instance(&self, base: &str) -> Arc<Instance> {
        let mut known = self
            .instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_INSTANCES && !known.contains_key(base) {
            known.clear();
        }
        let instance = known
            .entry(base.to_owned())
            .or_insert_with(|| Arc::new(Instance::new(self.settings.clone(), base)));
        Arc::clone(instance)
    }
}

/// Why a request brought no answer to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoAnswer {
    /// It was not sent, or it was one too many, or its credential was refused.
    Withheld(WithholdReason),
    /// The host was asked, and this is what is wrong.
    Failed(ProblemClass),
}

impl NoAnswer {
    /// The host answered something that is not an answer.
    fn invalid(what: &'static str) -> Self {
        tracing::debug!(what, "the host's answer is invalid");
        Self::Failed(ProblemClass::HostAnswerInvalid)
    }

    /// The host failed, timed out or could not be reached.
    fn unavailable(what: &'static str) -> Self {
        tracing::debug!(what, "the host is unavailable");
        Self::Failed(ProblemClass::HostUnavailable)
    }

    /// Whether the asked repository as a whole has the problem.
    fn is_of_repository(self) -> bool {
        matches!(
            self,
            Self::Failed(
                ProblemClass::AccessDenied
                    | ProblemClass::RepositoryNotFound
                    | ProblemClass::RepositoryBlocked
                    | ProblemClass::SsoRequired
                    | ProblemClass::AddressNotAllowed
            )
        )
    }
}

impl From<NoAnswer> for Answer {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Withheld(withheld) => Self::Unsent(withheld),
            NoAnswer::Failed(class) => Self::Failed {
                class,
                repository: reason.is_of_repository(),
            },
        }
    }
}
