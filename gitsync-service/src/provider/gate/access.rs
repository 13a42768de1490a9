//! How a group of refs gets into its host: where that is, and whether it takes the credential.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    lease::{Credential, LeaseGroup},
    outcome::{CredentialState, Problem},
};

/// A host and a credential, for as long as they are leased.
///
/// A credential may have been refused before, or be dead since the last lease: one request alone finds out,
/// and nothing else is sent with it before that has its answer. Hosts lock accounts for tokens that they
/// refuse again and again.
pub(crate) struct Access {
    base: String,
    credential: Option<Credential>,
    verdict: Mutex<Option<CredentialState>>,
    confirming: AtomicBool,
}

impl Access {
    pub(crate) fn of(group: &LeaseGroup) -> Self {
        Self {
            base: group.provider.api_base_url.clone(),
            credential: group.credential.clone(),
            verdict: Mutex::new(None),
            confirming: AtomicBool::new(false),
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What was learned of the credential that chat-service does not know yet.
    pub(crate) fn learned(&self) -> Option<(&Credential, CredentialState)> {
        let state = (*self.verdict())?;
        // That a good one is good is no news.
        (self.is_suspect() || state != CredentialState::Accepted)
            .then_some((self.credential.as_ref()?, state))
    }

    /// Nothing can be sent with it.
    pub(crate) fn reject(&self) {
        *self.verdict() = Some(CredentialState::Rejected);
    }

    /// Whether anything may be sent with it.
    pub(super) fn check(&self) -> Result<(), Problem> {
        match *self.verdict() {
            Some(CredentialState::Suspect) => Err(Problem::CredentialSuspect),
            Some(CredentialState::Rejected) => Err(Problem::CredentialRejected),
            Some(CredentialState::Accepted) | None => Ok(()),
        }
    }

    /// Begins a request, unless another one is finding out whether the credential is good.
    #[expect(
        clippy::option_option,
        reason = "whether it may, and what it then holds"
    )]
    pub(super) fn begin(&self) -> Option<Option<Confirms<'_>>> {
        if self.verdict().is_some() {
            return Some(None);
        }
        if self.confirming.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Some(Confirms(self)))
    }

    pub(super) fn accept(&self) {
        self.verdict().get_or_insert(CredentialState::Accepted);
    }

    pub(super) fn refuse(&self) -> Problem {
        let (state, problem) = if self.is_suspect() {
            (CredentialState::Rejected, Problem::CredentialRejected)
        } else {
            (CredentialState::Suspect, Problem::CredentialSuspect)
        };
        *self.verdict() = Some(state);
        problem
    }

    fn is_suspect(&self) -> bool {
        let credential = self.credential.as_ref();
        credential.is_some_and(|credential| credential.suspect)
    }

    fn verdict(&self) -> MutexGuard<'_, Option<CredentialState>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one request that finds out whether the credential is good.
pub(super) struct Confirms<'a>(&'a Access);

impl Drop for Confirms<'_> {
    fn drop(&mut self) {
        self.0.confirming.store(false, Ordering::Relaxed);
    }
}
