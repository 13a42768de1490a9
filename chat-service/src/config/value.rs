//! Parsers of the values that only this service has. Each error is the rest of a sentence that
//! begins with the setting, and holds nothing secret.

use std::{path::Path, sync::Arc};

use policy::{LoadError, Policies};
use secrecy::{ExposeSecret as _, SecretString};
use service_runtime::config::file;

use crate::{
    accounts::seal::KeyRing,
    store::{Address, AddressError},
    web::sign_in::SignIn,
};

pub(super) fn postgres_url(text: &str) -> Result<SecretString, AddressError> {
    text.parse::<Address>().map(|_| SecretString::from(text))
}

pub(super) fn postgres_url_file(path: &str) -> Result<SecretString, String> {
    let url = file(path)?;
    postgres_url(url.expose_secret()).map_err(|error| error.to_string())
}

pub(super) fn key_ring(path: &str) -> Result<Arc<KeyRing>, String> {
    match KeyRing::parse(file(path)?.expose_secret()) {
        Ok(keys) => Ok(Arc::new(keys)),
        Err(error) => Err(format!("cannot be used: {error}")),
    }
}

pub(super) fn sign_in(path: &str) -> Result<Arc<SignIn>, String> {
    Ok(Arc::new(SignIn::parse(file(path)?.expose_secret())?))
}

/// The policies of a directory, whole or not at all.
pub(super) fn policies(directory: &str) -> Result<Arc<Policies>, String> {
    match Policies::directory(Path::new(directory)) {
        Ok(policies) => Ok(Arc::new(policies)),
        Err(LoadError(problems)) => {
            Err(format!("cannot be used:\n    {}", problems.join("\n    ")))
        }
    }
}
