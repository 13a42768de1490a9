//! The normalised form of values that differ between REST and GraphQL.
//!
//! REST calls a bot `renovate[bot]` and GraphQL `renovate`; an author whose account is deleted is
//! null, or the account `ghost`; an avatar's address has a size or a signature beside its version.

use std::sync::Arc;

use proto::sync::{FoundPullRequest, Progress, RepositoryPath};
use url::Url;

use super::{NoAnswer, review_summary::ReviewSummary};

/// GitHub's account in place of those that are deleted.
const GHOST: &str = "ghost";
const BOT: &str = "[bot]";

/// A pull request in the one spelling. Nothing in it is longer than chat-service takes.
///
/// # Errors
///
/// When something that is needed is missing or too long.
pub(super) fn found(mut found: FoundPullRequest) -> Result<Arc<FoundPullRequest>, NoAnswer> {
    let shown = &mut found.shown;
    // A person clicks on it: nothing but a web address is passed on.
    if !(shown.url.starts_with("https://") || shown.url.starts_with("http://")) {
        return Err(NoAnswer::invalid("a pull request has no page"));
    }
    shown.author_login = shown.author_login.as_deref().and_then(login);
    shown.author_avatar_url = shown
        .author_avatar_url
        .as_deref()
        .filter(|_| shown.author_login.is_some())
        .and_then(avatar_url);
    found
        .fitted()
        .map(Arc::new)
        .ok_or_else(|| NoAnswer::invalid("something in a pull request is missing or too long"))
}

/// Who is asked for a review, in the order of names, and whether one of them approved before.
pub(super) fn requested(names: impl Iterator<Item = String>, reviews: &ReviewSummary) -> Progress {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    let approved = |name: &String| reviews.approved_by.contains(&name.to_lowercase());
    // In an order that both interfaces have.
    let mut change_requests = reviews.change_requests.clone();
    change_requests.sort();
    Progress {
        change_requests,
        requested_again: names.iter().any(approved),
        requested_reviewers: names,
        ..Progress::default()
    }
}

/// An account's name. `None` for a deleted one.
pub(super) fn login(login: &str) -> Option<String> {
    let login = login.trim();
    let login = login.strip_suffix(BOT).unwrap_or(login);
    (!login.is_empty() && !login.eq_ignore_ascii_case(GHOST)).then(|| login.to_owned())
}

/// An avatar's address with its version and nothing else.
fn avatar_url(url: &str) -> Option<String> {
    let mut url = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let version = url
        .query_pairs()
        .find(|(name, _)| name == "v")
        .map(|(_, version)| version.into_owned());
    url.set_fragment(None);
    url.set_query(None);
    if let Some(version) = version {
        url.query_pairs_mut().append_pair("v", &version);
    }
    Some(url.into())
}

/// A repository's path as the host spells it.
///
/// # Errors
///
/// When it is not a path.
pub(super) fn repository(path: &str) -> Result<RepositoryPath, NoAnswer> {
    RepositoryPath::parse(path).ok_or_else(|| NoAnswer::invalid("a repository has no full name"))
}

/// Whether a commit is given by its full id. GitHub refuses a whole query with an abbreviated one.
pub(super) fn is_commit(commit: &str) -> bool {
    matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The contract counts in 32 bits. More lines than that are shown as that many.
pub(super) fn count(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
