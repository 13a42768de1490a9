//! Git hosts: how a ref is looked up at the host that its lease names.
//!
//! A session is opened once per lease group, with the group's provider and credential. It answers
//! for one ref at a time, and where the host can ([`batch`]) for many in one request; what is asked next
//! is the refresher's business. What may be sent at all is decided by the [`gate`], never here and never by a
//! session.

pub(crate) mod batch;
pub(crate) mod gate;
mod github;
mod memo;

use secrecy::SecretString;

use crate::{
    lease::{KnownPullRequest, Provider, ProviderKind, RepositoryPath, Upstream},
    outcome::{Found, Learned, Problem},
};

pub(crate) use github::HttpClient;
pub use github::{CONNECT_TIMEOUT, MAX_BODY_BYTES, MAX_REVIEW_PAGES, REQUEST_TIMEOUT};

use gate::Asker;

/// The branch whose pull request is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As it was reported.
    pub(crate) repository: RepositoryPath,
    /// As it was called last, if that is another name.
    pub(crate) renamed: Option<RepositoryPath>,
    pub(crate) branch: String,
    pub(crate) upstream: Upstream,
}

impl Target {
    /// The same, by the name that the host had for its repository last.
    fn by_last_name(&self) -> Option<Self> {
        Some(Self {
            repository: self.renamed.clone()?,
            renamed: None,
            ..self.clone()
        })
    }
}

/// What a lookup brought.
pub(crate) struct Finding {
    pub(crate) result: Result<Found, Problem>,
    pub(crate) learned: Learned,
}

impl Finding {
    /// One that brought nothing but this.
    pub(crate) fn of(result: Result<Found, Problem>) -> Self {
        Self {
            result,
            learned: Learned::default(),
        }
    }
}

/// A host, opened with one credential. Remembers every answer for as long as it lives, so that
/// refs with the same question cost one.
pub(crate) enum Session {
    Github(Box<github::Session>),
}

impl Session {
    /// Opens the group's provider with its credential. Sends nothing.
    pub(crate) fn open(
        http: &HttpClient,
        provider: &Provider,
        access_token: Option<&SecretString>,
    ) -> Result<Self, Problem> {
        match provider.kind {
            ProviderKind::Unsupported => Err(Problem::ProviderUnsupported),
            ProviderKind::Github => {
                let token = access_token.ok_or(Problem::NoAccount)?;
                let session = github::Session::open(http, &provider.api_base_url, token)?;
                Ok(Self::Github(Box::new(session)))
            }
        }
    }

    /// Looks up the pull request of a branch, starting from what is known of it. With a validator, the
    /// host may answer that a known open one is as it was.
    pub(crate) async fn look_up(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        known: Option<&KnownPullRequest>,
        validator: Option<&str>,
    ) -> Finding {
        match self {
            Self::Github(session) => session.look_up(asker, target, known, validator).await,
        }
    }

    /// The interface that answers many questions in one request, if the provider has one.
    pub(crate) fn batches(&self) -> Option<&github::Session> {
        match self {
            Self::Github(session) => Some(session),
        }
    }

    /// Whether a lookup could make use of this validator.
    pub(crate) fn accepts(&self, validator: &str) -> bool {
        match self {
            Self::Github(session) => session.accepts(validator),
        }
    }

    /// Asks the host whose account the credential is of. Returns whether it has a word for that.
    pub(crate) async fn identify(&self, asker: &Asker<'_>) -> Result<bool, Problem> {
        match self {
            Self::Github(session) => session.identify(asker).await,
        }
    }
}
