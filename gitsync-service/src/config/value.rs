//! Parsers of the values that only this service has.

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
