//! The state of one credential while it is leased.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use proto::sync::{Credential, CredentialState};

use super::Withheld;

/// Whether the host takes a group's credential.
///
/// A credential may have been refused before, or be dead since the last lease: one request alone
/// finds out, and nothing else is sent with it before that is answered. Hosts lock accounts for
/// tokens that they refuse again and again.
#[derive(Debug)]
pub(super) struct CredentialCheck {
    credential: Option<Credential>,
    verdict: Mutex<Option<CredentialState>>,
    probing: AtomicBool,
}

impl CredentialCheck {
    pub(super) fn new(credential: Option<Credential>) -> Self {
        Self {
            credential,
            verdict: Mutex::new(None),
            probing: AtomicBool::new(false),
        }
    }

    /// What was learned of the credential that chat-service does not know yet.
    pub(super) fn news(&self) -> Option<(&Credential, CredentialState)> {
        let (state, credential) = ((*self.verdict())?, self.credential.as_ref()?);
        let is_news = credential.suspect || state != CredentialState::Accepted;
        is_news.then_some((credential, state))
    }

    /// Whether anything may be sent with it.
    pub(super) fn check(&self) -> Result<(), Withheld> {
        match *self.verdict() {
            Some(CredentialState::Suspect | CredentialState::Rejected) => Err(Withheld::Credential),
            Some(CredentialState::Accepted) | None => Ok(()),
        }
    }

    /// Begins a request: `Err` while another one finds out whether the credential is good.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Option<CredentialProbe>, ()> {
        if self.verdict().is_some() {
            return Ok(None);
        }
        if self.probing.swap(true, Ordering::Relaxed) {
            return Err(());
        }
        Ok(Some(CredentialProbe(Arc::clone(self))))
    }

    pub(super) fn accept(&self) {
        self.verdict().get_or_insert(CredentialState::Accepted);
    }

    /// The host refused it: once more than it was leased with, unless it was accepted meanwhile.
    pub(super) fn refuse(&self) {
        let suspect = self.credential.as_ref().is_some_and(|known| known.suspect);
        let mut verdict = self.verdict();
        let again = suspect && *verdict != Some(CredentialState::Accepted);
        *verdict = Some(if again {
            CredentialState::Rejected
        } else {
            CredentialState::Suspect
        });
    }

    /// It cannot be sent at all.
    pub(super) fn reject(&self) {
        *self.verdict() = Some(CredentialState::Rejected);
    }

    fn verdict(&self) -> MutexGuard<'_, Option<CredentialState>> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one request that finds out whether the credential is good.
#[derive(Debug)]
pub(super) struct CredentialProbe(Arc<CredentialCheck>);

impl Drop for CredentialProbe {
    fn drop(&mut self) {
        self.0.probing.store(false, Ordering::Relaxed);
    }
}
