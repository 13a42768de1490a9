//! Names of the contract, in words.

/// A name of the contract, as in `PULL_REQUEST_STATE_OPEN`, in words.
pub(super) fn words(name: &str, prefix: &str) -> String {
    let name = name.strip_prefix(prefix).unwrap_or(name);
    name.to_lowercase().replace('_', " ")
}
