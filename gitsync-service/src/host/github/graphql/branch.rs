//! The pull requests that carry a branch's name, as GraphQL tells them.

use proto::sync::{RepositoryPath, Upstream};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{NoAnswer, normalised},
    BranchRow,
    status::{self, Named},
};
use crate::host::{BranchFacts, Candidate};

/// How long the lists are, as the query has it.
const PAGE: usize = 5;

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
    /// A list that is missing is not an empty one.
    fn into_all(self) -> Result<List<T>, NoAnswer> {
        let nodes = self.nodes.ok_or_else(lacking)?;
        Ok(List {
            is_cut: nodes.len() >= PAGE,
            items: nodes.into_iter().flatten().collect(),
        })
    }
}

struct List<T> {
    items: Vec<T>,
    /// There may be more.
    is_cut: bool,
}

/// Reads what was found out about a branch.
pub(super) fn facts(row: &BranchRow<'_>, repository: &Value) -> Result<BranchFacts, NoAnswer> {
    let Asked {
        name_with_owner,
        is_fork,
        parent,
        settled,
        head,
    } = Asked::deserialize(repository).map_err(|_| lacking())?;
    let asked = normalised::repository(&name_with_owner)?;
    let at_home = row.at == row.head;
    // The question may have an old name of it; heads carry the present one.
    let home = if at_home { &asked } else { row.head };
    let upstream = match parent {
        _ if !is_fork => Upstream::NoFork,
        Some(parent) => Upstream::Of(normalised::repository(&parent.name_with_owner)?),
        // It may be seen once the token's access changes.
        None => Upstream::Unknown,
    };
    let List {
        items: mut open,
        is_cut,
    } = open_candidates(repository, home, &asked, row.branch)?;
    // Where the branch itself leads: beyond the first page, or to the repository that this is a
    // fork of.
    let mut covers_upstream = false;
    let mut complete = !is_cut;
    if let Some(head) = head.filter(|_| at_home) {
        let associated = head.associated_pull_requests.into_all()?;
        covers_upstream = !associated.is_cut;
        // The branch's own list has all of its open ones, however many other branches share its name.
        complete |= !associated.is_cut;
        for pull in associated.items {
            let Some(base) = pull.base_repository else {
                // It may be the upstream, hidden from this list: that is to be asked itself.
                covers_upstream = false;
                continue;
            };
            let base = normalised::repository(&base.name_with_owner)?;
            let is_there =
                |seen: &Candidate| seen.number == pull.number && seen.base_repository == base;
            if !open.iter().any(is_there) {
                open.push(Candidate {
                    number: pull.number,
                    host_id: Some(pull.id),
                    head_repository: Some(asked.clone()),
                    base_repository: base,
                    head_sha: None,
                    whole: None,
                });
            }
        }
    }
    // They are only asked for by a commit.
    let settled = match row.commit {
        Some(commit) => {
            let list = settled.ok_or_else(lacking)?.into_all()?;
            let at_commit = list.items.into_iter();
            at_commit
                .filter(|pull| pull.head_ref_oid == commit)
                .map(|pull| pull.candidate(&asked))
                .collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    Ok(BranchFacts {
        moved: asked != *row.at,
        repository: asked,
        upstream,
        open,
        settled,
        covers_upstream,
        complete,
    })
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

/// The open pull requests in `asked` of the branch's name, whole where they are from `home`.
fn open_candidates(
    repository: &Value,
    home: &RepositoryPath,
    asked: &RepositoryPath,
    branch: &str,
) -> Result<List<Candidate>, NoAnswer> {
    let nodes = repository
        .pointer("/open/nodes")
        .and_then(Value::as_array)
        // A list that is missing is not an empty one.
        .ok_or_else(lacking)?;
    let mut items = Vec::new();
    for node in nodes.iter().filter(|node| !node.is_null()) {
        let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str);
        if text("/headRefName") != Some(branch) {
            continue;
        }
        let head_repository = text("/headRepository/nameWithOwner")
            .map(normalised::repository)
            .transpose()?;
        let whole = if head_repository.as_ref() == Some(home) {
            Some(Box::new(status::observed(node)?))
        } else {
            None
        };
        let number = node.get("number").and_then(Value::as_i64);
        let number = number.and_then(|number| i32::try_from(number).ok());
        items.push(Candidate {
            number: number.ok_or_else(lacking)?,
            host_id: text("/id").map(str::to_owned),
            head_repository,
            base_repository: asked.clone(),
            head_sha: text("/headRefOid").map(str::to_owned),
            whole,
        });
    }
    Ok(List {
        is_cut: nodes.len() >= PAGE,
        items,
    })
}

impl SettledPull {
    fn candidate(self, asked: &RepositoryPath) -> Result<Candidate, NoAnswer> {
        let head = self.head_repository;
        let head = head.map(|named| normalised::repository(&named.name_with_owner));
        Ok(Candidate {
            number: self.number,
            host_id: Some(self.id),
            head_repository: head.transpose()?,
            base_repository: asked.clone(),
            head_sha: Some(self.head_ref_oid),
            whole: None,
        })
    }
}

fn lacking() -> NoAnswer {
    NoAnswer::invalid("a repository lacks what was asked for")
}
