//! The proxy through which git hosts are reached.

use reqwest::{NoProxy, Proxy};
use secrecy::{ExposeSecret as _, SecretString};

/// A proxy that requests to `https` addresses go through, by `CONNECT`: it sees the host's name and
/// neither requests nor tokens.
#[derive(Clone, Debug)]
pub struct EgressProxy {
    /// Its address, `http` or `https`, perhaps with user and password.
    pub url: SecretString,
    /// Hosts that are reached without it, as in the variable `NO_PROXY`: names with what is below
    /// them, addresses, networks, or `*`, with commas between.
    pub bypass: Option<String>,
}

impl EgressProxy {
    pub(super) fn build(&self) -> Result<Proxy, reqwest::Error> {
        let bypass = self.bypass.as_deref().and_then(NoProxy::from_string);
        Ok(Proxy::https(self.url.expose_secret())?.no_proxy(bypass))
    }
}
