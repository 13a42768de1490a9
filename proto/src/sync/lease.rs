//! What a worker is handed: leases, and the groups of refs in them.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    BudgetView, GitAccountId, LeaseToken, LeasedRef, RequestId,
    field::{
        FieldError, at, elapsed, maybe_duration, message_duration, message_timestamp, timestamp,
        uuid,
    },
};
use crate::{
    bounds::{DEFAULT_LEASED_REFS, MAX_LEASE_WAIT, MAX_LEASED_REFS, MAX_WORKER_ID_CHARS},
    chat::v1,
};

/// A call for leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The idempotency key.
    pub request: RequestId,
    /// Names the worker to operators.
    pub worker: String,
    /// Budgets are leased until so many refs are handed out; the last one's turn is not cut.
    pub max_refs: i64,
    /// How long to wait for refs to become due.
    pub wait: Duration,
}

impl LeaseRequest {
    /// Reads the message.
    ///
    /// # Errors
    ///
    /// A field that cannot be read, with its path.
    pub fn read(message: v1::LeaseDiffStatusesRequest) -> Result<Self, FieldError> {
        let v1::LeaseDiffStatusesRequest {
            request_id,
            worker_id,
            max_refs,
            wait,
        } = message;
        let characters = worker_id.chars().count();
        if characters == 0 || characters > MAX_WORKER_ID_CHARS || worker_id.contains('\0') {
            return Err(FieldError::new(
                "worker_id",
                format!("must have 1 to {MAX_WORKER_ID_CHARS} characters"),
            ));
        }
        let max_refs = match max_refs {
            0 => i64::from(DEFAULT_LEASED_REFS),
            1.. => i64::from(max_refs).min(i64::from(MAX_LEASED_REFS)),
            _ => return Err(FieldError::new("max_refs", "must not be negative")),
        };
        Ok(Self {
            request: RequestId(uuid("", "request_id", &request_id)?),
            worker: worker_id,
            max_refs,
            wait: maybe_duration("", "wait", wait, MAX_LEASE_WAIT)?.unwrap_or_default(),
        })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> v1::LeaseDiffStatusesRequest {
        v1::LeaseDiffStatusesRequest {
            request_id: self.request.0.to_string(),
            worker_id: self.worker.clone(),
            max_refs: i32::try_from(self.max_refs).unwrap_or(i32::MAX),
            wait: Some(message_duration(self.wait)),
        }
    }
}

/// The exclusive right to a budget, with what is due of it.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Proves the right.
    pub token: LeaseToken,
    /// Whose rate limits requests spend.
    pub budget_key: BudgetKey,
    /// How long it lasts unless it is renewed.
    pub expires_in: Duration,
    /// What is due, by account.
    pub groups: Vec<LeaseGroup>,
    /// What is known of the budget.
    pub budget: BudgetView,
}

/// Names a budget to workers and operators; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BudgetKey(pub String);

/// Refs that are looked up with one account's credential.
#[derive(Clone, Debug)]
pub struct LeaseGroup {
    /// Where.
    pub provider: Provider,
    /// With what. `None`: it was unlinked since the lease was taken.
    pub credential: Option<Credential>,
    /// What.
    pub refs: Vec<LeasedRef>,
}

/// An account's access token.
#[derive(Clone)]
pub struct Credential {
    /// Whose.
    pub account: GitAccountId,
    /// Raised whenever the token is replaced.
    pub generation: i64,
    /// The token.
    pub access_token: SecretString,
    /// The host refused it last.
    pub suspect: bool,
    /// When the token expires, as far as is known.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("account", &self.account)
            .field("generation", &self.generation)
            .field("suspect", &self.suspect)
            .finish_non_exhaustive()
    }
}

/// A git host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its id in the configuration.
    pub id: String,
    /// Which protocol it speaks.
    pub kind: ProviderKind,
    /// Host of origins and web pages.
    pub host: String,
    /// The only base that may be dialled for it.
    pub api_base_url: String,
}

/// The protocol of a git host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// GitHub, on github.com or elsewhere.
    Github,
    /// One that this version does not speak.
    Unsupported,
}

impl Lease {
    /// How many refs it hands out.
    #[must_use]
    pub fn ref_count(&self) -> usize {
        self.groups.iter().map(|group| group.refs.len()).sum()
    }

    /// Reads the message.
    ///
    /// # Errors
    ///
    /// A field that cannot be read, with its path.
    pub fn read(message: v1::Lease) -> Result<Self, FieldError> {
        let v1::Lease {
            lease_token,
            budget_key,
            expires_in,
            groups,
            budget,
        } = message;
        Ok(Self {
            token: LeaseToken(uuid("", "lease_token", &lease_token)?),
            budget_key: BudgetKey(budget_key),
            expires_in: elapsed(expires_in),
            groups: groups
                .into_iter()
                .enumerate()
                .map(|(index, group)| LeaseGroup::read(&format!("groups[{index}]"), group))
                .collect::<Result<_, _>>()?,
            budget: BudgetView::read(budget.unwrap_or_default()),
        })
    }

    /// The message. It holds secrets.
    #[must_use]
    pub fn message(&self) -> v1::Lease {
        v1::Lease {
            lease_token: self.token.0.to_string(),
            budget_key: self.budget_key.0.clone(),
            expires_in: Some(message_duration(self.expires_in)),
            groups: self.groups.iter().map(LeaseGroup::message).collect(),
            budget: Some(self.budget.message()),
        }
    }
}

impl LeaseGroup {
    fn read(path: &str, message: v1::LeaseGroup) -> Result<Self, FieldError> {
        let v1::LeaseGroup {
            provider,
            credential,
            refs,
        } = message;
        let path = |field: &str| at(path, field);
        Ok(Self {
            provider: Provider::read(provider.unwrap_or_default()),
            credential: credential
                .map(|credential| Credential::read(&path("credential"), credential))
                .transpose()?
                .flatten(),
            refs: refs
                .into_iter()
                .enumerate()
                .map(|(index, leased)| LeasedRef::read(&path(&format!("refs[{index}]")), leased))
                .collect::<Result<_, _>>()?,
        })
    }

    fn message(&self) -> v1::LeaseGroup {
        v1::LeaseGroup {
            provider: Some(self.provider.message()),
            credential: self.credential.as_ref().map(Credential::message),
            refs: self.refs.iter().map(LeasedRef::message).collect(),
        }
    }
}

impl Credential {
    /// `None` for an empty token: sent, it would ask the host as an anonymous caller.
    fn read(path: &str, message: v1::Credential) -> Result<Option<Self>, FieldError> {
        let v1::Credential {
            id,
            generation,
            access_token,
            suspect,
            expires_at,
        } = message;
        if access_token.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            account: GitAccountId(uuid(path, "id", &id)?),
            generation,
            access_token: SecretString::from(access_token),
            suspect,
            expires_at: expires_at.and_then(timestamp),
        }))
    }

    fn message(&self) -> v1::Credential {
        v1::Credential {
            id: self.account.to_string(),
            generation: self.generation,
            access_token: self.access_token.expose_secret().to_owned(),
            suspect: self.suspect,
            expires_at: self.expires_at.map(message_timestamp),
        }
    }
}

impl Provider {
    fn read(message: v1::Provider) -> Self {
        let kind = match message.r#type() {
            v1::ProviderType::Github => ProviderKind::Github,
            v1::ProviderType::Unspecified => ProviderKind::Unsupported,
        };
        Self {
            id: message.id,
            kind,
            host: message.host,
            api_base_url: message.api_base_url,
        }
    }

    fn message(&self) -> v1::Provider {
        let kind = match self.kind {
            ProviderKind::Github => v1::ProviderType::Github,
            ProviderKind::Unsupported => v1::ProviderType::Unspecified,
        };
        v1::Provider {
            id: self.id.clone(),
            r#type: kind.into(),
            host: self.host.clone(),
            api_base_url: self.api_base_url.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
