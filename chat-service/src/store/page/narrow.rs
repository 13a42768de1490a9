//! A list's filter: as a condition, and as the index that it can drive a page by.

use std::fmt::Write as _;

use proto::sync::PullRequestState;
use serde_json::json;

use super::branch::{Branch, Keys};
use crate::{
    chat_filter::{ChatFilter, PullRequestFilter},
    store::sql::Params,
};

/// The branch of the filter's workspace.
pub(super) fn workspace(filter: &ChatFilter) -> Option<Branch> {
    let mut rest = filter.clone();
    let workspace = rest.workspace.take()?;
    let keys = Keys::Ids(vec![workspace.0]);
    Some(Branch::of_filter("c.workspace_id = key.id", keys, rest))
}

/// The branch of a filter that names few chats, in order.
pub(super) fn named(filter: &ChatFilter) -> Option<Branch> {
    let mut rest = filter.clone();
    if let Some(number) = rest.pull_request_number.take() {
        let keys = Keys::Numbers(vec![number]);
        let under_key = "c.primary_pr_number = key.id";
        return Some(Branch::of_filter(under_key, keys, rest));
    }
    let repository = rest.repository.take()?;
    let keys = Keys::Texts(vec![repository.to_lowercase()]);
    Some(Branch::of_filter(
        "c.primary_repository_key = key.id",
        keys,
        rest,
    ))
}

/// The branch of a filter that names many chats, or few, in order.
pub(super) fn ordered(filter: &ChatFilter) -> Option<Branch> {
    let mut rest = filter.clone();
    if !filter.pull_requests.is_empty() {
        let mut states: Vec<(&'static str, bool)> = std::mem::take(&mut rest.pull_requests)
            .into_iter()
            .flat_map(state_keys)
            .collect();
        states.sort_unstable();
        states.dedup();
        let under_key = "c.primary_pr_state = key.id AND c.primary_pr_draft = key.draft";
        return Some(Branch::of_filter(under_key, Keys::States(states), rest));
    }
    if !filter.statuses.is_empty() {
        let mut statuses: Vec<String> = std::mem::take(&mut rest.statuses)
            .into_iter()
            .map(|status| status.name().to_owned())
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        let keys = Keys::Texts(statuses);
        return Some(Branch::of_filter("c.status = key.id", keys, rest));
    }
    rest.archived.take_if(|archived| *archived)?;
    Some(Branch::of_filter("c.archived", Keys::None, rest))
}

/// Whether the filter has a part that an index without order finds. A title pattern can be looked up
/// only if three letters or digits stand together in it: the index is of such threes. A shorter one
/// is asked of each chat in turn, which is how lists are walked anyway; it matches often.
pub(super) fn searched(filter: &ChatFilter) -> bool {
    !filter.labels.is_empty()
        || filter.title.as_deref().is_some_and(|title| {
            title
                .split(|character: char| !character.is_alphanumeric())
                .any(|word| word.chars().nth(2).is_some())
        })
}

/// What [`searched`] finds, as a condition on a chat `c`.
pub(super) fn print_search(filter: &ChatFilter, params: &mut Params) -> String {
    let searched = ChatFilter {
        labels: filter.labels.clone(),
        title: filter.title.clone(),
        ..ChatFilter::default()
    };
    print_filter(&searched, params)
}

/// The other parts of the filter, as a condition on a chat `c`.
pub(super) fn print_rest(filter: &ChatFilter, params: &mut Params) -> String {
    let rest = ChatFilter {
        labels: std::collections::BTreeMap::new(),
        title: None,
        ..filter.clone()
    };
    print_filter(&rest, params)
}

/// The filter as a condition on a chat `c`; `TRUE` if it is empty.
pub(super) fn print_filter(filter: &ChatFilter, params: &mut Params) -> String {
    // Destructured, so that a new filter does not compile until it is printed.
    let ChatFilter {
        owner,
        workspace,
        archived,
        statuses,
        labels,
        pull_requests,
        repository,
        pull_request_number,
        title,
    } = filter;
    let mut out = "TRUE".to_owned();
    // Writing to a String cannot fail.
    if let Some(owner) = owner {
        let _ = write!(out, " AND c.owner_id = ${}", params.push(owner.0));
    }
    if let Some(workspace) = workspace {
        // As a subquery, it is asked of each row that another index names. Where workspaces are small on
        // average, their index would be preferred to that of the owner, also for one that is not.
        let _ = write!(
            out,
            " AND (SELECT c.workspace_id = ${})",
            params.push(workspace.0)
        );
    }
    if let Some(archived) = archived {
        let _ = write!(out, " AND c.archived = ${}", params.push(*archived));
    }
    if !statuses.is_empty() {
        let names: Vec<&'static str> = statuses.iter().map(|status| status.name()).collect();
        let _ = write!(out, " AND c.status = ANY(${})", params.push(names));
    }
    if !labels.is_empty() {
        let _ = write!(out, " AND c.labels @> ${}", params.push(json!(labels)));
    }
    if let Some(title) = title {
        let pattern = format!("%{}%", escaped_like(title));
        let _ = write!(
            out,
            " AND c.title_key LIKE lower(${})",
            params.push(pattern)
        );
    }
    // As subqueries, for the same reason.
    if let Some(repository) = repository {
        let key = params.push(repository.to_lowercase());
        let _ = write!(out, " AND (SELECT c.primary_repository_key = ${key})");
    }
    if let Some(number) = pull_request_number {
        let number = params.push(*number);
        let _ = write!(out, " AND (SELECT c.primary_pr_number = ${number})");
    }
    if !pull_requests.is_empty() {
        let (states, drafts): (Vec<&'static str>, Vec<bool>) = pull_requests
            .iter()
            .flat_map(|wanted| state_keys(*wanted))
            .unzip();
        // A value and no EXISTS, which could become a join that hashes the table.
        let _ = write!(
            out,
            " AND (SELECT bool_or(c.primary_pr_state = w.state AND c.primary_pr_draft = w.draft) \
             FROM unnest(${}::text[], ${}::boolean[]) AS w (state, draft))",
            params.push(states),
            params.push(drafts),
        );
    }
    out
}

/// Where a pull request stands, as pairs of state and draft: settled ones match either way.
fn state_keys(wanted: PullRequestFilter) -> Vec<(&'static str, bool)> {
    match wanted {
        PullRequestFilter::Open => vec![(PullRequestState::Open.name(), false)],
        PullRequestFilter::Draft => vec![(PullRequestState::Open.name(), true)],
        PullRequestFilter::Settled(state) => vec![(state.name(), false), (state.name(), true)],
    }
}

/// `text` as a LIKE pattern that matches only itself.
fn escaped_like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
