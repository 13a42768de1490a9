//! The pull requests of a branch over GraphQL: those that carry its name, those that the branch
//! leads to, and those that contain the pushed commit.

use std::time::Duration;

use jiff::Timestamp;
use proto::sync::{RepositoryPath, Upstream};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{NoAnswer, normalised, rate_limit::LimitHeaders, thread_authors::ThreadAuthors},
    BranchRow,
    status::{self, RepositoryRef, Whole},
};
use crate::host::{BranchFacts, Candidate};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BranchAnswer {
    name_with_owner: String,
    is_fork: bool,
    default_branch_ref: Option<RefName>,
    parent: Option<ForkAncestry>,
    open: NodePage<Value>,
    settled: Option<NodePage<Link>>,
    head: Option<CommitPulls>,
    commit: Option<CommitPulls>,
}

#[derive(Debug, Deserialize)]
struct RefName {
    name: String,
}

/// A repository and what it is a fork of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForkAncestry {
    name_with_owner: String,
    is_fork: bool,
    #[serde(default)]
    parent: Option<Box<ForkAncestry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitPulls {
    /// Absent of what is no commit.
    associated_pull_requests: Option<NodePage<Link>>,
}

/// A list that is missing is not an empty one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodePage<T> {
    page_info: Option<PageInfo>,
    nodes: Vec<Option<T>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
}

impl<T> NodePage<T> {
    /// Whether there may be more.
    fn is_cut(&self) -> bool {
        let page_info = self.page_info.as_ref();
        page_info.map_or(!self.nodes.is_empty(), |page| page.has_next_page)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    id: String,
    number: i32,
    state: String,
    closed_at: Option<String>,
    head_ref_name: String,
    head_ref_oid: String,
    head_repository: Option<RepositoryRef>,
    base_repository: Option<ForkAncestry>,
}

/// Reads what was found out about a branch. `limits` has the answer's clock, and `authors` are
/// those of review threads.
pub(super) fn facts(
    row: &BranchRow<'_>,
    repository: &Value,
    limits: &LimitHeaders,
    authors: &ThreadAuthors,
) -> Result<BranchFacts, NoAnswer> {
    let BranchAnswer {
        name_with_owner,
        is_fork,
        default_branch_ref,
        parent,
        open,
        settled,
        head,
        commit,
    } = BranchAnswer::deserialize(repository).map_err(|_| lacking())?;
    let asked = normalised::repository(&name_with_owner)?;
    let at_home = row.at == row.head;
    // The question may have an old name of it; heads carry the present one.
    let home = if at_home { &asked } else { row.head };
    let default = default_branch_ref.as_ref().filter(|_| at_home);
    let mut facts = BranchFacts {
        upstream: match &parent {
            _ if !is_fork => Upstream::NoFork,
            Some(parent) => Upstream::Of(normalised::repository(&parent.name_with_owner)?),
            // It may be seen once the token's access changes.
            None => Upstream::Unknown,
        },
        root: parent.as_ref().and_then(root).transpose()?,
        is_default: default.is_some_and(|default| default.name == row.branch),
        open: Vec::new(),
        settled: Vec::new(),
        knows_commit: false,
        covers_upstream: false,
        complete: !open.is_cut(),
        moved: asked != *row.at,
        repository: asked.clone(),
    };
    for node in open.nodes.into_iter().flatten() {
        let whole = |node: &Value| status::whole(node, authors);
        facts
            .open
            .extend(open_candidate(&node, row, home, &asked, whole)?);
    }
    let hides_default = at_home && default.is_none();
    let reader = LinkReader { row, limits };
    // They are only asked for by a commit.
    if row.commit.is_some() && settled.is_none() {
        return Err(lacking());
    }
    let many_settled = settled.as_ref().is_some_and(NodePage::is_cut);
    for link in settled.into_iter().flat_map(|list| list.nodes).flatten() {
        if Some(link.head_ref_oid.as_str()) == row.commit {
            reader.add(&mut facts, link, Some(&asked), true)?;
        }
    }
    // Where the branch itself leads: beyond the first page, or to other repositories.
    if let Some(page) = head
        .filter(|_| at_home)
        .and_then(|head| head.associated_pull_requests)
    {
        // The branch's own list has all of its open ones, however many others share its name.
        let is_whole = !page.is_cut();
        facts.complete |= is_whole;
        facts.covers_upstream = is_whole;
        for link in page.nodes {
            // A hidden pull request may be in the upstream, which must be asked itself.
            let added = match link {
                Some(link) => reader.add(&mut facts, link, None, false)?,
                None => false,
            };
            facts.covers_upstream &= added;
        }
    }
    let holding = commit.and_then(|commit| commit.associated_pull_requests);
    // What holds the commit may be beyond the pages, unless an open one is the branch's anyway.
    let is_cut = holding.as_ref().map_or(many_settled, NodePage::is_cut);
    if is_cut && !facts.is_decided(home) {
        facts.complete = false;
    }
    if let Some(page) = holding {
        // One that is hidden may be the one that holds it.
        facts.knows_commit = page.nodes.iter().all(Option::is_some);
        for link in page.nodes.into_iter().flatten() {
            reader.add(&mut facts, link, None, true)?;
        }
    }
    // A default branch is not adopted by its name, and which one that is may be hidden.
    if hides_default && facts.open_from(home).any(|open| !open.has_commit) {
        facts.complete = false;
    }
    Ok(facts)
}

/// The root of the network that a parent is in, if that is in the answer.
fn root(parent: &ForkAncestry) -> Option<Result<RepositoryPath, NoAnswer>> {
    match &parent.parent {
        _ if !parent.is_fork => Some(normalised::repository(&parent.name_with_owner)),
        Some(parent) => root(parent),
        None => None,
    }
}

/// Reads links to pull requests.
struct LinkReader<'a> {
    row: &'a BranchRow<'a>,
    limits: &'a LimitHeaders,
}

impl LinkReader<'_> {
    /// Adds a pull request of the branch's name to what is known. Returns whether it says which
    /// repository it is in; one that is in a list of the asked repository is `there`.
    fn add(
        &self,
        facts: &mut BranchFacts,
        link: Link,
        there: Option<&RepositoryPath>,
        has_commit: bool,
    ) -> Result<bool, NoAnswer> {
        let base_repository = match (there, &link.base_repository) {
            (Some(there), _) => there.clone(),
            (None, Some(base)) => normalised::repository(&base.name_with_owner)?,
            (None, None) => return Ok(false),
        };
        if link.head_ref_name != self.row.branch {
            return Ok(true);
        }
        // A repository of the network that is no fork is its root.
        let is_root = link.base_repository.is_some_and(|base| !base.is_fork);
        if is_root && base_repository != facts.repository {
            facts.root.get_or_insert_with(|| base_repository.clone());
        }
        let is_open = link.state == "OPEN";
        let list = if is_open {
            &mut facts.open
        } else {
            &mut facts.settled
        };
        let is_there = |seen: &&mut Candidate| {
            seen.number == link.number && seen.base_repository == base_repository
        };
        if let Some(seen) = list.iter_mut().find(is_there) {
            seen.has_commit |= has_commit;
            return Ok(true);
        }
        let head = link.head_repository;
        let head = head.map(|named| normalised::repository(&named.name_with_owner));
        list.push(Candidate {
            number: link.number,
            host_id: Some(link.id),
            head_repository: head.transpose()?,
            base_repository,
            has_commit: has_commit || Some(link.head_ref_oid.as_str()) == self.row.commit,
            settled_ago: link.closed_at.and_then(|at| self.ago(&at)),
            whole: None,
        });
        Ok(true)
    }

    fn ago(&self, at: &str) -> Option<Duration> {
        self.limits.since(at.parse::<Timestamp>().ok()?)
    }
}

/// Whether nothing was found that may be the branch's.
pub(super) fn is_nothing(facts: &BranchFacts, row: &BranchRow<'_>) -> bool {
    let home = if row.at == row.head {
        &facts.repository
    } else {
        row.head
    };
    let mut candidates = facts.open.iter().chain(&facts.settled);
    !candidates.any(|candidate| candidate.head_repository.as_ref() == Some(home))
}

/// An open pull request in `asked` with the branch's name; with its whole status if that was
/// queried and the head is in `home`.
fn open_candidate(
    node: &Value,
    row: &BranchRow<'_>,
    home: &RepositoryPath,
    asked: &RepositoryPath,
    whole: impl Fn(&Value) -> Result<Whole, NoAnswer>,
) -> Result<Option<Candidate>, NoAnswer> {
    let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str);
    if text("/headRefName") != Some(row.branch) {
        return Ok(None);
    }
    let head_repository = text("/headRepository/nameWithOwner")
        .map(normalised::repository)
        .transpose()?;
    let whole = if row.whole && head_repository.as_ref() == Some(home) {
        match whole(node)? {
            Whole::Status(observed) => Some(observed),
            Whole::MoreReviews => None,
        }
    } else {
        None
    };
    let number = node.get("number").and_then(Value::as_i64);
    let number = number.and_then(|number| i32::try_from(number).ok());
    Ok(Some(Candidate {
        number: number.ok_or_else(lacking)?,
        host_id: text("/id").map(str::to_owned),
        head_repository,
        base_repository: asked.clone(),
        has_commit: row.commit.is_some() && text("/headRefOid") == row.commit,
        settled_ago: None,
        whole,
    }))
}

fn lacking() -> NoAnswer {
    NoAnswer::invalid("a repository lacks what was asked for")
}
