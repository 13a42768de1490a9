//! The page planner: the only place that composes SQL.
//!
//! A list is one ordered, limited branch per way of being allowed to read, merged, deduplicated and
//! cut. Each branch is an index range scan that stops after a page's worth of rows, so a page costs
//! the same however large the table is and however little of it the caller may read. One `OR` over all
//! ways would make PostgreSQL walk the table in order and throw away what does not match.
//!
//! Everything comes from marked `.sql` files and bind parameters; the text depends on the shape of
//! the predicate and on which filters are set, never on a value or on how many ids there are.

use std::fmt::Write as _;

use serde_json::json;
use uuid::Uuid;

use super::{
    Sql,
    predicate::{self, Params},
    sql,
};
use crate::{
    authz::{Atom, Authorized, Level, Pred},
    chat_filter::{ChatFilter, Cursor, PullRequestFilter},
    diff_status::PullRequestState,
};

const PAGE: Sql = sql!("page");
const BY_RECENCY: Sql = sql!("page_by_recency");
const BY_OWNER: Sql = sql!("page_by_owner");
const BY_ORGANIZATION: Sql = sql!("page_by_organization");
const BY_WORKSPACE: Sql = sql!("page_by_workspace");
const BY_USER_SHARE: Sql = sql!("page_by_user_share");
const BY_GROUP_SHARE: Sql = sql!("page_by_group_share");

/// One way to walk: which index, for which keys, and what else must hold.
#[derive(Clone, Debug)]
struct Branch {
    sql: Sql,
    keys: Vec<Uuid>,
    residual: Vec<Pred>,
}

impl Branch {
    fn new(sql: Sql, keys: Vec<Uuid>, residual: Vec<Pred>) -> Self {
        Self {
            sql,
            keys,
            residual,
        }
    }
}

/// A page's statement.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) params: Params,
}

/// The statement for a page; none when no chat can be in it.
pub(crate) fn plan(
    authorized: &Authorized,
    filter: &ChatFilter,
    cursor: Option<Cursor>,
    limit: i64,
) -> Option<Page> {
    let branches = branches(authorized.pred(), filter);
    if branches.is_empty() {
        return None;
    }
    let mut params = Params::default();
    let limit = format!("${}", params.push(limit));
    let after = cursor.map(|cursor| (params.push(cursor.updated_at), params.push(cursor.id.0)));
    let filter = print_filter(filter, &mut params);
    let mut union = String::new();
    for (index, branch) in branches.iter().enumerate() {
        if index > 0 {
            union.push_str("\nUNION ALL\n");
        }
        union.push('(');
        union.push_str(&print_branch(branch, &filter, after, &limit, &mut params));
        union.push(')');
    }
    let text = PAGE
        .text
        .replace(
            "/* branches */ SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id",
            &union,
        )
        .replace("/* limit */ 1", &limit);
    Some(Page { text, params })
}

/// The ways to walk. A filter that names few chats by an index of its own (owner, workspace) is
/// one branch, with the whole predicate checked on each of its rows.
fn branches(pred: &Pred, filter: &ChatFilter) -> Vec<Branch> {
    if *pred == Pred::False {
        return Vec::new();
    }
    if let Some(owner) = filter.owner {
        return vec![Branch::new(BY_OWNER, vec![owner.0], vec![pred.clone()])];
    }
    if let Some(workspace) = filter.workspace {
        return vec![Branch::new(
            BY_WORKSPACE,
            vec![workspace.0],
            vec![pred.clone()],
        )];
    }
    let mut branches = Vec::new();
    walk(pred, Vec::new(), &mut branches);
    branches
}

/// Adds the branches for `pred`, of which each row must also satisfy `residual`.
fn walk(pred: &Pred, mut residual: Vec<Pred>, branches: &mut Vec<Branch>) {
    match pred {
        Pred::False => {}
        Pred::Any(preds) => {
            for pred in preds {
                walk(pred, residual.clone(), branches);
            }
        }
        Pred::All(preds) => {
            let driver = preds.iter().position(has_index).unwrap_or(0);
            for (index, pred) in preds.iter().enumerate() {
                if index != driver {
                    residual.push(pred.clone());
                }
            }
            match preds.get(driver) {
                Some(pred) => walk(pred, residual, branches),
                None => branches.push(Branch::new(BY_RECENCY, Vec::new(), residual)),
            }
        }
        Pred::Atom(atom) => branches.push(atom_branch(atom, residual)),
        Pred::True => branches.push(Branch::new(BY_RECENCY, Vec::new(), residual)),
        Pred::Not(_) => {
            residual.push(pred.clone());
            branches.push(Branch::new(BY_RECENCY, Vec::new(), residual));
        }
    }
}

fn atom_branch(atom: &Atom, mut residual: Vec<Pred>) -> Branch {
    let at_least = |level: Level, residual: &mut Vec<Pred>| match level {
        Level::Reader => {}
        // The walk finds shares of every level; the exact one is checked on the row.
        Level::Writer => residual.push(Pred::Atom(atom.clone())),
    };
    match atom {
        Atom::Owner(user) => Branch::new(BY_OWNER, vec![user.0], residual),
        Atom::Organization(ids) => Branch::new(
            BY_ORGANIZATION,
            ids.iter().map(|id| id.0).collect(),
            residual,
        ),
        Atom::SharedWithUser(user, level) => {
            at_least(*level, &mut residual);
            Branch::new(BY_USER_SHARE, vec![user.0], residual)
        }
        Atom::SharedWithGroup(groups, level) => {
            at_least(*level, &mut residual);
            Branch::new(
                BY_GROUP_SHARE,
                groups.iter().map(|id| id.0).collect(),
                residual,
            )
        }
        Atom::InSomeOrganization
        | Atom::Workspace(_)
        | Atom::InSomeWorkspace
        | Atom::Archived
        | Atom::Status(_)
        | Atom::Title(_)
        | Atom::TitleLike(_)
        | Atom::Label(_)
        | Atom::LabelIs(..)
        | Atom::LabelLike(..) => {
            residual.push(Pred::Atom(atom.clone()));
            Branch::new(BY_RECENCY, Vec::new(), residual)
        }
    }
}

/// Whether every way of satisfying `pred` has an ordered index.
fn has_index(pred: &Pred) -> bool {
    match pred {
        Pred::Atom(
            Atom::Owner(_)
            | Atom::Organization(_)
            | Atom::SharedWithUser(..)
            | Atom::SharedWithGroup(..),
        ) => true,
        Pred::Any(preds) => preds.iter().all(has_index),
        Pred::All(preds) => preds.iter().any(has_index),
        Pred::Atom(
            Atom::InSomeOrganization
            | Atom::Workspace(_)
            | Atom::InSomeWorkspace
            | Atom::Archived
            | Atom::Status(_)
            | Atom::Title(_)
            | Atom::TitleLike(_)
            | Atom::Label(_)
            | Atom::LabelIs(..)
            | Atom::LabelLike(..),
        )
        | Pred::True
        | Pred::False
        | Pred::Not(_) => false,
    }
}

fn print_branch(
    branch: &Branch,
    filter: &str,
    after: Option<(usize, usize)>,
    limit: &str,
    params: &mut Params,
) -> String {
    let mut condition = filter.to_owned();
    for pred in &branch.residual {
        condition.push_str(" AND ");
        predicate::print(pred, params, &mut condition);
    }
    let (after, after_share) = match after {
        Some((updated_at, id)) => (
            format!("(c.updated_at, c.id) < (${updated_at}, ${id})"),
            format!("(a.chat_updated_at, a.chat_id) < (${updated_at}, ${id})"),
        ),
        None => ("TRUE".to_owned(), "TRUE".to_owned()),
    };
    let mut text = branch
        .sql
        .text
        .replace("/* filter */ TRUE", &condition)
        .replace("/* after */ TRUE", &after)
        .replace("/* after share */ TRUE", &after_share)
        .replace("/* limit */ 1", limit);
    if !branch.keys.is_empty() {
        let keys = format!("${}::uuid[]", params.push(branch.keys.clone()));
        text = text.replace("/* keys */ NULL::uuid[]", &keys);
    }
    text
}

/// The filter as a condition on a chat `c`.
fn print_filter(filter: &ChatFilter, params: &mut Params) -> String {
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
        let _ = write!(out, " AND c.workspace_id = ${}", params.push(workspace.0));
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
        let _ = write!(out, " AND c.title ILIKE ${}", params.push(pattern));
    }
    let primary = print_primary_filter(
        pull_requests,
        repository.as_deref(),
        *pull_request_number,
        params,
    );
    if !primary.is_empty() {
        let _ = write!(
            out,
            " AND EXISTS (SELECT FROM chat_diff_statuses s \
             WHERE s.chat_id = c.id AND s.is_primary{primary})"
        );
    }
    out
}

/// What the primary ref must satisfy, each part beginning with ` AND `.
fn print_primary_filter(
    pull_requests: &[PullRequestFilter],
    repository: Option<&str>,
    number: Option<i32>,
    params: &mut Params,
) -> String {
    let mut out = String::new();
    if let Some(repository) = repository {
        let _ = write!(
            out,
            " AND s.repository_key = ${}",
            params.push(repository.to_lowercase())
        );
    }
    if let Some(number) = number {
        let _ = write!(out, " AND s.pr_number = ${}", params.push(number));
    }
    if !pull_requests.is_empty() {
        // An array of (state, draft): settled ones match either way.
        let mut states: Vec<&'static str> = Vec::new();
        let mut drafts: Vec<Option<bool>> = Vec::new();
        for wanted in pull_requests {
            let (state, draft) = match wanted {
                PullRequestFilter::Open => (PullRequestState::Open, Some(false)),
                PullRequestFilter::Draft => (PullRequestState::Open, Some(true)),
                PullRequestFilter::Settled(state) => (*state, None),
            };
            states.push(state.name());
            drafts.push(draft);
        }
        let _ = write!(
            out,
            " AND EXISTS (SELECT FROM unnest(${}::text[], ${}::boolean[]) AS wanted (state, draft) \
             WHERE s.pull_request_state = wanted.state \
             AND s.pull_request_draft = COALESCE(wanted.draft, s.pull_request_draft))",
            params.push(states),
            params.push(drafts),
        );
    }
    out
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
