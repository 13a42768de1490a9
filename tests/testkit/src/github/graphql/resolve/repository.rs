//! Repositories, branches and commits.

use std::borrow::Cow;

use serde_json::Value;

use super::{Resolver, not_found};
use crate::github::graphql::argument::Arguments;
use crate::github::graphql::entity::{Entity, Of, Outcome, Placed, Resolved};
use crate::github::graphql::page;
use crate::github::model::{AccountKind, Repository};
use crate::github::pull_request::{PullRequest, PullRequestState};

const HEADS: &str = "refs/heads/";

impl<'w> Resolver<'w> {
    pub(super) fn repository(
        &self,
        repository: &'w Repository,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Outcome<'w> {
        let model = &self.world.model;
        Ok(match name {
            "id" => Resolved::owned(repository.node_id()),
            "databaseId" => Resolved::Number(repository.id),
            "name" => repository.name.as_str().into(),
            "nameWithOwner" => Resolved::owned(self.full_name(repository)),
            "owner" => Resolved::object(self.find_account(repository.owner)),
            "url" => Resolved::owned(format!(
                "{}/{}",
                self.world.web_base,
                self.full_name(repository)
            )),
            "resourcePath" => Resolved::owned(format!("/{}", self.full_name(repository))),
            "createdAt" => Resolved::time(Some(repository.created_at)),
            "isArchived" => Resolved::Flag(repository.archived),
            "isFork" => Resolved::Flag(repository.fork_of.is_some()),
            "isPrivate" => Resolved::Flag(repository.private),
            "isDisabled" | "isEmpty" | "isLocked" => Resolved::Flag(false),
            "isInOrganization" => Resolved::Flag(
                model
                    .account(repository.owner)
                    .is_some_and(|owner| owner.kind == AccountKind::Organization),
            ),
            "visibility" if repository.private => "PRIVATE".into(),
            "visibility" => "PUBLIC".into(),
            "parent" => {
                let parent = repository.fork_of.and_then(|id| model.repository(id));
                let parent = parent.filter(|parent| self.sees(parent));
                Resolved::object(parent.map(Entity::Repository))
            }
            "defaultBranchRef" => find_branch(repository, &repository.default_branch),
            "ref" => find_branch(
                repository,
                &arguments.text("qualifiedName").unwrap_or_default(),
            ),
            "object" => {
                let found = arguments.text("oid").filter(|oid| model.is_commit(oid));
                Resolved::object(found.map(|oid| Entity::Commit(repository, oid)))
            }
            "pullRequest" => {
                let number = arguments.number("number").unwrap_or_default();
                let missing = || {
                    not_found(format!(
                        "Could not resolve to a PullRequest with the number of {number}."
                    ))
                };
                let found = repository.pull_requests.get(&number);
                let pull_request = found.ok_or_else(missing)?;
                let placed = Placed {
                    repository,
                    pull_request,
                };
                Resolved::object(self.open_pull_request(placed, missing)?)
            }
            "pullRequests" => self.pull_requests(repository, arguments),
            _ => Resolved::Null,
        })
    }

    pub(super) fn branch(
        &self,
        repository: &'w Repository,
        branch: &'w str,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Resolved<'w> {
        match name {
            "id" => Resolved::owned(format!("REF_{:08X}:{HEADS}{branch}", repository.id)),
            "name" => branch.into(),
            "prefix" => HEADS.into(),
            "repository" => Resolved::Object(Entity::Repository(repository)),
            "target" => {
                let sha = repository.branches.get(branch).map(String::as_str);
                let commit = sha.map(|sha| Entity::Commit(repository, Cow::Borrowed(sha)));
                Resolved::object(commit)
            }
            "refUpdateRule" => {
                let is_protected = !repository.protected_checks.is_empty();
                Resolved::object(is_protected.then_some(Entity::RefUpdateRule(repository)))
            }
            // GitHub takes `orderBy` here and does not honour it.
            "associatedPullRequests" => {
                let from_here = self.world.model.pull_requests_from(repository.id, branch);
                let mut found: Vec<_> = from_here.collect();
                found.sort_by_key(|(_, found)| (found.created_at, found.id));
                self.associated(found, arguments)
            }
            _ => Resolved::Null,
        }
    }

    /// Pull requests of any repository of the network that the viewer sees.
    fn associated(
        &self,
        found: Vec<(&'w Repository, &'w PullRequest)>,
        arguments: Arguments<'w>,
    ) -> Resolved<'w> {
        let wanted = Wanted::of(arguments);
        let seen = found.into_iter().filter(|(target, found)| {
            let barriers = &self.world.barriers;
            self.sees(target) && wanted.takes(found) && !barriers.is_unlisted(self.visitor, found)
        });
        let placed = seen.map(|(repository, pull_request)| placed(repository, pull_request));
        Resolved::Object(page::cut(Of::PullRequests, placed.collect(), arguments))
    }

    fn pull_requests(&self, repository: &'w Repository, arguments: Arguments<'w>) -> Resolved<'w> {
        let wanted = Wanted::of(arguments);
        let mut found: Vec<&PullRequest> = match arguments.text("headRefName") {
            Some(branch) => repository.with_head(&branch).collect(),
            None => repository.pull_requests.values().collect(),
        };
        found.retain(|pull_request| {
            let barriers = &self.world.barriers;
            wanted.takes(pull_request) && !barriers.is_unlisted(self.visitor, pull_request)
        });
        if let Some(order) = arguments.get("orderBy") {
            let word = |name: &str| order.get(name).and_then(Value::as_str).unwrap_or_default();
            match word("field") {
                "UPDATED_AT" => found.sort_by_key(|found| (found.updated_at, found.changed)),
                "CREATED_AT" => found.sort_by_key(|found| (found.created_at, found.number)),
                _ => {}
            }
            if word("direction") == "DESC" {
                found.reverse();
            }
        }
        let found = found
            .into_iter()
            .map(|pull_request| placed(repository, pull_request))
            .collect();
        Resolved::Object(page::cut(Of::PullRequests, found, arguments))
    }

    pub(super) fn commit(
        &self,
        repository: &'w Repository,
        sha: &Cow<'w, str>,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Resolved<'w> {
        match name {
            "associatedPullRequests" => {
                let found = self.world.model.pull_requests_of_commit(sha);
                self.associated(found, arguments)
            }
            "id" => Resolved::owned(format!("C_kwDO{:08X}{sha}", repository.id)),
            "oid" => Resolved::Text(sha.clone()),
            "abbreviatedOid" => Resolved::owned(sha.chars().take(7).collect::<String>()),
            "repository" => Resolved::Object(Entity::Repository(repository)),
            _ => Resolved::Null,
        }
    }
}

/// A branch by its name, with or without `refs/heads/`; null if it does not exist.
pub(super) fn find_branch<'w>(repository: &'w Repository, name: &str) -> Resolved<'w> {
    let name = name.strip_prefix(HEADS).unwrap_or(name);
    let found = repository.branches.get_key_value(name);
    Resolved::object(found.map(|(branch, _)| Entity::Branch(repository, branch)))
}

fn placed<'w>(repository: &'w Repository, pull_request: &'w PullRequest) -> Entity<'w> {
    Entity::PullRequest(Placed {
        repository,
        pull_request,
    })
}

/// What the arguments of a list of pull requests leave in it.
struct Wanted {
    states: Option<Vec<String>>,
    base: Option<String>,
    head: Option<String>,
    /// Nothing in the model has a label.
    nothing: bool,
}

impl Wanted {
    fn of(arguments: Arguments<'_>) -> Self {
        let labels = arguments.texts("labels");
        Self {
            states: arguments
                .texts("states")
                .filter(|states| !states.is_empty()),
            base: arguments.text("baseRefName").map(Cow::into_owned),
            head: arguments.text("headRefName").map(Cow::into_owned),
            nothing: labels.is_some_and(|labels| !labels.is_empty()),
        }
    }

    fn takes(&self, pull_request: &PullRequest) -> bool {
        let state = state(pull_request);
        let Self {
            states,
            base,
            head,
            nothing,
        } = self;
        !nothing
            && states
                .as_ref()
                .is_none_or(|states| states.iter().any(|found| found == state))
            && base
                .as_ref()
                .is_none_or(|base| *base == pull_request.base_branch)
            && head
                .as_ref()
                .is_none_or(|head| *head == pull_request.head.branch)
    }
}

/// The state in the words of the GraphQL API.
pub(super) fn state(pull_request: &PullRequest) -> &'static str {
    match pull_request.state {
        PullRequestState::Open => "OPEN",
        PullRequestState::Closed => "CLOSED",
        PullRequestState::Merged { .. } => "MERGED",
    }
}
