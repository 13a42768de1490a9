//! Leases, and the groups of refs in them.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    BudgetView, GitAccountId, LeaseToken, LeasedRef, RequestId,
    field::{FieldError, Wire, message, words},
};
use crate::{
    bounds::{DEFAULT_LEASED_REFS, MAX_LEASE_WAIT, MAX_LEASED_REFS, MAX_WORKER_ID_CHARS},
    chat::v1,
};

message! {
    /// A call for leases.
    #[derive(Clone, Debug, PartialEq, Eq)]
    LeaseRequest = v1::LeaseDiffStatusesRequest, with LeaseRequest::fitted {
        /// The idempotency key.
        request as request_id: RequestId,
        /// Names the worker to operators.
        worker as worker_id: String,
        /// Budgets are leased until this many refs are handed out; the last one's turn is not cut.
        max_refs: i64,
        /// How long to wait for refs to become due.
        wait: Duration,
    }
}

impl LeaseRequest {
    fn fitted(mut self) -> Result<Self, FieldError> {
        let characters = self.worker.chars().count();
        if characters == 0 || characters > MAX_WORKER_ID_CHARS || self.worker.contains('\0') {
            let problem = format!("must have 1 to {MAX_WORKER_ID_CHARS} characters");
            return Err(FieldError::new("worker_id", problem));
        }
        self.max_refs = match self.max_refs {
            0 => DEFAULT_LEASED_REFS,
            refs => refs.min(MAX_LEASED_REFS),
        };
        self.wait = self.wait.min(MAX_LEASE_WAIT);
        Ok(self)
    }
}

message! {
    /// The exclusive right to a budget, with what is due of it. Its message holds secrets.
    #[derive(Clone, Debug)]
    Lease = v1::Lease {
        /// Proves the right.
        token as lease_token: LeaseToken,
        /// Whose rate limits requests spend.
        budget_key: BudgetKey,
        /// How long it lasts unless it is renewed.
        expires_in: Duration,
        /// The due refs, by account.
        groups: Vec<LeaseGroup>,
        /// The budget as it is known.
        budget: BudgetView,
    }
}

impl Lease {
    /// How many refs it hands out.
    #[must_use]
    pub fn ref_count(&self) -> usize {
        self.groups.iter().map(|group| group.refs.len()).sum()
    }
}

/// Names a budget to workers and operators; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BudgetKey(pub String);

impl Wire<String> for BudgetKey {
    fn read(key: String) -> Result<Self, FieldError> {
        Ok(Self(key))
    }

    fn message(&self) -> String {
        self.0.clone()
    }
}

message! {
    /// Refs that are looked up with one account's credential.
    #[derive(Clone, Debug)]
    LeaseGroup = v1::LeaseGroup, with LeaseGroup::usable {
        /// Where.
        provider: Provider,
        /// With what. `None`: it was unlinked since the lease was taken.
        credential: Option<Credential>,
        /// What.
        refs: Vec<LeasedRef>,
    }
}

impl LeaseGroup {
    /// An empty token is no credential: sent, it would ask the host as an anonymous caller.
    fn usable(mut self) -> Result<Self, FieldError> {
        self.credential
            .take_if(|credential| credential.access_token.expose_secret().trim().is_empty());
        Ok(self)
    }
}

message! {
    /// An account's access token.
    #[derive(Clone, Debug)]
    Credential = v1::Credential {
        /// Whose.
        account as id: GitAccountId,
        /// Raised whenever the token is replaced.
        generation: i64,
        /// The token.
        access_token: SecretString,
        /// The host refused it last.
        suspect: bool,
        /// When the token expires, as far as is known.
        lenient expires_at: Option<Timestamp>,
    }
}

message! {
    /// A git host.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Provider = v1::Provider {
        /// Its id in the configuration, in requests and in rows.
        id: String,
        /// Which protocol it speaks.
        kind as r#type: ProviderKind,
        /// Host of origins and web pages, in lower case.
        host: String,
        /// The only base that may be dialled for it, without a slash at its end.
        api_base_url: String,
    }
}

impl Provider {
    /// Host and port of its API: what a rate limit belongs to, beside the account.
    #[must_use]
    pub fn api_host(&self) -> &str {
        let base = self.api_base_url.as_str();
        let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }
}

words! {
    /// The protocol of a git host.
    ProviderKind = ProviderType, else Unspecified {
        /// GitHub, on github.com or elsewhere.
        Github = "github",
        /// One that this version does not speak.
        Unspecified = "unspecified",
    }
}
