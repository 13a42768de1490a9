//! Requests of a service to other hosts: the only HTTP client that the services build, perhaps with
//! a proxy, and the settings that name one.

use std::net::IpAddr;

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

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
    /// The proxy that a pair of settings names, if it names one.
    #[must_use]
    pub fn of(url: Option<&SecretString>, bypass: Option<&String>) -> Option<Self> {
        Some(Self {
            url: url?.clone(),
            bypass: bypass.cloned(),
        })
    }
}

/// Begins an HTTP client whose requests carry secrets: it follows no redirect, and goes through
/// `proxy` or none. An ambient `HTTPS_PROXY` must not decide where secrets go.
///
/// # Errors
///
/// When the proxy's URL cannot be used.
pub fn http_client(proxy: Option<&EgressProxy>) -> Result<ClientBuilder, reqwest::Error> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy();
    let Some(proxy) = proxy else {
        return Ok(builder);
    };
    let bypass = proxy.bypass.as_deref().and_then(NoProxy::from_string);
    Ok(builder.proxy(Proxy::https(proxy.url.expose_secret())?.no_proxy(bypass)))
}

/// Parses the URL of a proxy.
///
/// # Errors
///
/// What it must be. The problem does not repeat the value, which may hold a password.
pub fn https_proxy(text: &str) -> Result<SecretString, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL, as in http://proxy.example:3128")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the host or its port");
    }
    Ok(SecretString::from(text))
}

/// Parses the hosts that are reached without the proxy.
///
/// # Errors
///
/// What they must be. An entry that is refused here would be ignored by the HTTP client.
pub fn no_proxy(text: &str) -> Result<String, &'static str> {
    let is_network = |entry: &str| {
        let (address, mask) = entry.split_once('/').unwrap_or((entry, "0"));
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        mask.parse::<u8>().is_ok_and(|mask| mask <= most)
    };
    let is_name = |entry: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !entry.is_empty() && entry.bytes().all(is_plain)
    };
    let mut entries = text.split(',').map(str::trim);
    if entries.all(|entry| entry == "*" || is_network(entry) || is_name(entry)) {
        return Ok(text.to_owned());
    }
    Err("must be names, addresses or networks with commas between, or `*`; no ports or patterns")
}
