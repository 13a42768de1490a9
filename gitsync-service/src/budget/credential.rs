//! The state of one credential while it is leased.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use proto::sync::{Credential, CredentialObservation};

use super::WithholdReason;

/// Whether the host takes a group's credential.
///
/// A credential may have been refused before, or be dead since the last lease: one request alone
/// finds out, and nothing else is sent with it before that is answered. Hosts lock accounts for
/// tokens that they refuse again and again.
#[derive(Debug)]
pub(super) struct CredentialCheck {
    credential: Option<Credential>,
    status: Mutex<CredentialStatus>,
    probing: AtomicBool,
}

/// The credential's status by the host's responses.
#[derive(Clone, Copy, Debug, Default)]
struct CredentialStatus {
    accepted: Option<bool>,
    expires_at: Option<Timestamp>,
}

impl CredentialCheck {
    pub(super) fn new(credential: Option<Credential>) -> Self {
        Self {
            credential,
            status: Mutex::default(),
            probing: AtomicBool::new(false),
        }
    }

    /// The observation of the credential, if chat-service does not know it yet.
    pub(super) fn news(&self) -> Option<CredentialObservation> {
        let (status, known) = (*self.status(), self.credential.as_ref()?);
        let refused = !status.accepted?;
        let expires_at = status.expires_at.filter(|at| known.expires_at != Some(*at));
        let is_news = refused || known.suspect || expires_at.is_some();
        is_news.then_some(CredentialObservation {
            account: known.account,
            generation: known.generation,
            refused,
            expires_at,
        })
    }

    /// Whether the host refused it.
    pub(super) fn is_refused(&self) -> bool {
        self.status().accepted == Some(false)
    }

    /// Whether anything may be sent with it.
    pub(super) fn check(&self) -> Result<(), WithholdReason> {
        if self.is_refused() {
            return Err(WithholdReason::Credential);
        }
        Ok(())
    }

    /// Begins a request: `Err` while another one finds out whether the credential is good.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Option<CredentialProbe>, ()> {
        if self.status().accepted.is_some() {
            return Ok(None);
        }
        if self.probing.swap(true, Ordering::Relaxed) {
            return Err(());
        }
        Ok(Some(CredentialProbe(Arc::clone(self))))
    }

    pub(super) fn accept(&self) {
        self.status().accepted.get_or_insert(true);
    }

    pub(super) fn refuse(&self) {
        self.status().accepted = Some(false);
    }

    pub(super) fn expires_at(&self, at: Timestamp) {
        self.status().expires_at = Some(at);
    }

    fn status(&self) -> MutexGuard<'_, CredentialStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
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
