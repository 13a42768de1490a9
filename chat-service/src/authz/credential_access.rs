//! The right to read credentials, as a value.

use super::{Action, Authorizer, Principal};
use crate::error::Error;

/// The right to read the credentials of what is leased. The store reads none without it.
pub(crate) struct CredentialAccess(());

impl CredentialAccess {
    /// Asks policy.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub(crate) fn of(authorizer: &Authorizer, principal: &Principal) -> Result<Self, Error> {
        authorizer.site(principal, Action::ReadGitCredential)?;
        Ok(Self(()))
    }
}
