//! A list's filter: as a condition, and as the index that it can drive a page by.

use std::fmt::Write as _;

use proto::sync::PullRequestState;
use serde_json::json;

use super::branch::{IndexFilter, Keys, PageBranch};
use crate::{
    attention::AttentionKind,
    chat_filter::{ChatFilter, PullRequestFilter, folded},
    store::sql::Params,
};

impl IndexFilter {
    /// The rest of the filter, which the index does not answer.
    pub(super) fn rest(self, filter: &ChatFilter) -> ChatFilter {
        let mut rest = filter.clone();
        match self {
            Self::Nothing => {}
            Self::Workspace => rest.workspace = None,
            Self::Repository => rest.repository = None,
            Self::Number => rest.pull_request_number = None,
            Self::Facets => {
                rest.archived = None;
                rest.statuses.clear();
                rest.pull_requests.clear();
                rest.attention.clear();
            }
        }
        rest
    }
}

/// The branch of the filter's workspace.
pub(super) fn workspace(filter: &ChatFilter) -> Option<PageBranch> {
    let keys = Keys::Id(filter.workspace?.0);
    let under_key = "c.workspace_id = key.id";
    Some(PageBranch::of_filter(
        under_key,
        keys,
        IndexFilter::Workspace,
    ))
}

/// The branch of a filter that names few chats, in order.
pub(super) fn named(filter: &ChatFilter) -> Option<PageBranch> {
    if let Some(number) = filter.pull_request_number {
        let under_key = "c.primary_pr_number = key.id";
        let keys = Keys::Number(number);
        return Some(PageBranch::of_filter(under_key, keys, IndexFilter::Number));
    }
    let keys = Keys::Text(folded(filter.repository.as_ref()?));
    let under_key = "c.primary_repository_key = key.id";
    Some(PageBranch::of_filter(
        under_key,
        keys,
        IndexFilter::Repository,
    ))
}

/// Whether the filter has a part that an index without order finds. A title pattern can be looked
/// up only if three letters or digits stand together in it: the index is of such threes. A shorter
/// one is asked of each chat in turn, which is how lists are walked anyway; it matches often.
pub(super) fn searched(filter: &ChatFilter) -> bool {
    !filter.labels.is_empty()
        || filter.title.as_deref().is_some_and(|title| {
            title
                .split(|character: char| !character.is_alphanumeric())
                .any(|word| word.chars().nth(2).is_some())
        })
}

/// Prints [`searched`] as a condition on a chat `c` that its index answers.
pub(super) fn print_search(filter: &ChatFilter, params: &mut Params) -> String {
    let mut out = "TRUE".to_owned();
    // Writing to a String cannot fail.
    if !filter.labels.is_empty() {
        let labels = params.push(json!(filter.labels));
        let _ = write!(out, " AND c.labels @> ${labels}");
    }
    if let Some(title) = &filter.title {
        let pattern = params.push(pattern(title));
        let _ = write!(out, " AND c.title_key LIKE lower(${pattern})");
    }
    out
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
        attention,
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
        // As a subquery, it is asked of each row that another index names. Where workspaces are
        // small on average, their index would be preferred to that of the owner, also for one that
        // is not.
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
    // In a form that the index of searches does not answer: what is walked in order stays in order.
    if !labels.is_empty() {
        let labels = params.push(json!(labels));
        let _ = write!(out, " AND COALESCE(c.labels @> ${labels}, FALSE)");
    }
    if let Some(title) = title {
        let pattern = params.push(pattern(title));
        let _ = write!(
            out,
            " AND COALESCE(c.title_key LIKE (SELECT lower(${pattern})), FALSE)"
        );
    }
    // As subqueries, for the same reason.
    if let Some(repository) = repository {
        let key = params.push(folded(repository));
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
    if !attention.is_empty() {
        let wanted = params.push(AttentionKind::sum(attention));
        let _ = write!(out, " AND (SELECT c.primary_attention & ${wanted} > 0)");
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

/// The LIKE pattern of what has `text` in it, of which no character is a wildcard. Case is folded
/// by PostgreSQL on both sides, letter by letter; nothing else is.
fn pattern(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped.push('%');
    escaped
}
