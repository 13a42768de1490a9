//! Which pull request is a branch's.
//!
//! A branch's name is used again and again, in many forks: what counts is the repository that the
//! head is in, compared without case, and the branch, compared with it. Open ones are adopted by
//! that; a settled one only where its commit tells that it is of this push.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    lease::{RepositoryPath, Upstream},
    outcome::Problem,
    provider::batch::{BranchQuestion, Branched, Discovered, Seen},
};

use super::{
    super::model::{MAX_NAME_BYTES, fits},
    status::{self, Named},
};

const NO_REPOSITORY: Problem = Problem::HostAnswerInvalid("a repository lacks what was asked for");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    name_with_owner: String,
    is_fork: bool,
    parent: Option<Named>,
    settled: Option<Pulls<SettledPull>>,
    head: Option<HeadBranch>,
}

#[derive(Debug, Deserialize)]
struct Pulls<T> {
    nodes: Option<Vec<Option<T>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettledPull {
    id: String,
    number: i32,
    head_ref_oid: String,
    head_repository: Option<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadBranch {
    associated_pull_requests: Pulls<AssociatedPull>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssociatedPull {
    id: String,
    number: i32,
    base_repository: Option<Named>,
}

impl<T> Pulls<T> {
    /// Without the list nobody knows that there is none.
    fn into_all(self) -> Result<impl Iterator<Item = T>, Problem> {
        let nodes = self.nodes.ok_or(NO_REPOSITORY)?;
        Ok(nodes.into_iter().flatten())
    }
}

/// Reads what was found out about a branch.
pub(super) fn discovered(
    question: &BranchQuestion<'_>,
    repository: &Value,
) -> Result<Discovered, Problem> {
    let Asked {
        name_with_owner,
        is_fork,
        parent,
        settled,
        head,
    } = Asked::deserialize(repository).map_err(|_| NO_REPOSITORY)?;
    let asked = parse(&name_with_owner)?;
    let at_home = question.at == question.head;
    // The question may have an old name of it; heads carry the present one.
    let home = if at_home { &asked } else { question.head };
    let is_home = |named: &Option<Named>| {
        named
            .as_ref()
            .and_then(|named| RepositoryPath::parse(&named.name_with_owner))
            .is_some_and(|named| named == *home)
    };
    let is_asked = |pull: &AssociatedPull| {
        pull.base_repository
            .as_ref()
            .and_then(|named| RepositoryPath::parse(&named.name_with_owner))
            .is_some_and(|base| base == asked)
    };
    let branch_exists = head.is_some();
    let upstream = match parent {
        _ if !is_fork => Upstream::NoFork,
        Some(parent) => Upstream::Of(parse(&parent.name_with_owner)?),
        // It may be seen once the token's access changes.
        None => Upstream::Unknown,
    };
    let found = match latest_open(repository, home, question.branch)? {
        Some(seen) => Branched::Open(seen),
        None => {
            // Beyond the first page, or in the repository that this is a fork of. Whether at home comes
            // first, then the highest number.
            let elsewhere = match head.filter(|_| at_home) {
                Some(head) => head
                    .associated_pull_requests
                    .into_all()?
                    .max_by_key(|pull| (is_asked(pull), pull.number))
                    .map(|pull| pull.id),
                None => None,
            };
            // It is only asked for by a commit.
            let settled = match question.commit.filter(|_| elsewhere.is_none()) {
                Some(commit) => settled
                    .ok_or(NO_REPOSITORY)?
                    .into_all()?
                    .filter(|pull| is_home(&pull.head_repository) && pull.head_ref_oid == commit)
                    .max_by_key(|pull| pull.number)
                    .map(|pull| pull.id),
                None => None,
            };
            elsewhere.or(settled).map_or(Branched::None, Branched::Id)
        }
    };
    Ok(Discovered {
        repository: asked,
        upstream,
        found,
        branch_exists,
    })
}

/// The branch's open pull request with the highest number.
fn latest_open(
    repository: &Value,
    home: &RepositoryPath,
    branch: &str,
) -> Result<Option<Seen>, Problem> {
    let open = repository
        .pointer("/open/nodes")
        .and_then(Value::as_array)
        // Without the list nobody knows that there is none.
        .ok_or(NO_REPOSITORY)?;
    let mut latest: Option<Seen> = None;
    for node in open.iter().filter(|node| !node.is_null()) {
        let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str);
        let is_home = text("/headRepository/nameWithOwner")
            .and_then(RepositoryPath::parse)
            .is_some_and(|head| head == *home);
        if !is_home || text("/headRefName") != Some(branch) {
            continue;
        }
        let seen = status::seen(node)?;
        if latest
            .as_ref()
            .is_none_or(|latest| latest.status.shown.number < seen.status.shown.number)
        {
            latest = Some(seen);
        }
    }
    Ok(latest)
}

fn parse(name: &str) -> Result<RepositoryPath, Problem> {
    RepositoryPath::parse(name)
        .filter(|path| fits(name, MAX_NAME_BYTES) && path.owner_and_name().is_some())
        .ok_or(Problem::HostAnswerInvalid("a repository has no full name"))
}
