//! What a host thinks of a credential, as workers learn it.

use std::time::Duration;

use crate::{id::GitAccountId, text_enum::text_enum};

/// After so long a refusal is confirmed, unless the worker says otherwise.
pub const DEFAULT_CONFIRM_IN: Duration = Duration::from_secs(45);
/// No refusal waits longer for its confirmation.
pub const MAX_CONFIRM_IN: Duration = Duration::from_secs(60 * 60);

text_enum! {
    /// What a host thinks of a credential.
    CredentialState {
        /// It takes it, or has not been asked.
        Accepted = "accepted",
        /// It refused it once. Nothing is sent with it until that is to be confirmed.
        Suspect = "suspect",
        /// It refused it again. Nothing is sent with it any more.
        Rejected = "rejected",
    }
}

/// What the host's answers said about a credential.
#[derive(Clone, Debug)]
pub struct CredentialObservation {
    /// Which, from the lease.
    pub account: GitAccountId,
    /// What the host thinks of it.
    pub state: CredentialState,
    /// When to confirm that a suspect one is refused.
    pub confirm_in: Duration,
}
