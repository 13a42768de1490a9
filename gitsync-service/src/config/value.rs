//! Parsers of the values that only this service has.

use std::net::IpAddr;

use secrecy::SecretString;
use service_runtime::config::environment;
use url::Url;
use uuid::Uuid;

pub(super) fn chat_service_url(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL, as in https://chat.example:50052")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold credentials");
    }
    Ok(text.to_owned())
}

/// The problem does not repeat the value, which may hold a password.
pub(super) fn https_proxy(text: &str) -> Result<SecretString, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL, as in http://proxy.example:3128")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the host or its port");
    }
    Ok(SecretString::from(text))
}

/// An entry that is refused here would be ignored by the HTTP client.
pub(super) fn no_proxy(text: &str) -> Result<String, &'static str> {
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

pub(super) fn worker_id(text: &str) -> Result<String, &'static str> {
    if (1..=100).contains(&text.chars().count()) {
        return Ok(text.to_owned());
    }
    Err("must have 1 to 100 characters")
}

/// Tells workers apart also when several run on one host or under one name.
pub(super) fn default_worker_id() -> String {
    let host = environment()
        .remove("HOSTNAME")
        .filter(|name| !name.is_empty() && name.len() <= 80)
        .unwrap_or_else(|| "gitsync".to_owned());
    let suffix = Uuid::new_v4().simple().to_string();
    format!("{host}-{}", suffix.get(..8).unwrap_or_default())
}
