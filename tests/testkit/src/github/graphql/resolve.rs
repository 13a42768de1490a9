//! What each field of each type gives.

mod account;
mod check;
mod pull_request;
mod repository;
mod root;

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::json;

use super::argument::Arguments;
use super::entity::{Entity, Outcome, Placed, Resolved};
use super::page;
use super::problem::Problem;
use crate::github::barrier::{Barrier, Visitor};
use crate::github::fault::Overload;
use crate::github::limit::RateLimit;
use crate::github::model::{Account, Repository};
use crate::github::refusal;
use crate::github::state::World;

/// What a number weighs that GitHub counts from a diff.
const DIFF_WEIGHT: u64 = 10;
/// What a list of reviews weighs.
const REVIEWS_WEIGHT: u64 = 5;

/// Looks things up for one viewer, and weighs what it finds.
pub(crate) struct Resolver<'w> {
    world: &'w World,
    viewer: &'w Account,
    visitor: Visitor<'w>,
    rate: Option<Rate>,
    pub(crate) weight: u64,
    /// Whether a pull request was asked that is too heavy by itself.
    poisoned: bool,
    /// Whether each pull request can be merged, which one answer tells in one way.
    mergeability: RefCell<HashMap<u64, &'static str>>,
}

/// What `rateLimit` answers.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) cost: u64,
    pub(crate) nodes: u64,
    /// As it is after this query.
    pub(crate) bucket: RateLimit,
}

impl<'w> Resolver<'w> {
    pub(crate) fn new(
        world: &'w World,
        viewer: &'w Account,
        visitor: Visitor<'w>,
        rate: Option<Rate>,
    ) -> Self {
        Self {
            world,
            viewer,
            visitor,
            rate,
            weight: 0,
            poisoned: false,
            mergeability: RefCell::default(),
        }
    }

    /// How the whole query fails, if it was too heavy and nothing of it is to be answered.
    pub(crate) fn overload(&self) -> Option<Overload> {
        let overload = self.world.graphql.overload;
        let too_heavy = self.is_too_heavy() || self.poisoned;
        (too_heavy && overload != Overload::ResourceLimits).then_some(overload)
    }

    /// Whether what is left is to be refused, in place of the whole.
    pub(crate) fn refuses_the_rest(&self) -> bool {
        self.is_too_heavy() && self.world.graphql.overload == Overload::ResourceLimits
    }

    fn is_too_heavy(&self) -> bool {
        let most = self.world.graphql.most_weight;
        most.is_some_and(|most| self.weight > most)
    }

    /// Weighs a field of a pull request.
    fn weigh(&mut self, placed: Placed<'_>, name: &str) -> Result<(), Box<Problem>> {
        let settings = &self.world.graphql;
        let (weight, poisoned) = match name {
            "additions" | "deletions" | "changedFiles" => (
                DIFF_WEIGHT,
                settings.poisoned.contains(&placed.pull_request.id),
            ),
            "reviews" | "latestReviews" | "latestOpinionatedReviews" => (
                REVIEWS_WEIGHT,
                settings.poisoned.contains(&placed.pull_request.id),
            ),
            "statusCheckRollup" if settings.without_checks.contains(&self.viewer.id) => {
                return Err(no_permission());
            }
            "statusCheckRollup" => (0, settings.heavy_checks.contains(&placed.repository.id)),
            _ => return Ok(()),
        };
        self.weight += weight;
        if !poisoned {
            return Ok(());
        }
        if self.world.graphql.overload == Overload::ResourceLimits {
            return Err(resource_limits());
        }
        self.poisoned = true;
        Ok(())
    }

    pub(crate) fn resolve(
        &mut self,
        entity: &Entity<'w>,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Outcome<'w> {
        match entity {
            Entity::Query => self.root(name, arguments),
            Entity::RateLimit => Ok(self.rate_limit(name)),
            Entity::Account(account) => self.account(account, name, arguments),
            Entity::Repository(repository) => self.repository(repository, name, arguments),
            Entity::PullRequest(placed) => {
                self.weigh(*placed, name)?;
                Ok(self.pull_request(*placed, name, arguments))
            }
            Entity::Review(placed, review) => Ok(self.review(*placed, review, name)),
            Entity::Branch(repository, branch) => {
                Ok(self.branch(repository, branch, name, arguments))
            }
            Entity::Commit(repository, sha) => Ok(self.commit(repository, sha, name, arguments)),
            Entity::AutoMerge(placed) => Ok(self.auto_merge(*placed, name)),
            Entity::Connection(connection) => Ok(page::connection(connection, name)),
            Entity::Edge(connection, index) => Ok(page::edge(connection, *index, name)),
            Entity::PageInfo(connection) => Ok(page::page_info(connection, name)),
            Entity::Total(total) => Ok(Resolved::Number(*total)),
            Entity::Rollup(_)
            | Entity::Contexts(..)
            | Entity::StateCount(..)
            | Entity::CheckRun(..)
            | Entity::CheckSuite(..)
            | Entity::WorkflowRun(..)
            | Entity::Workflow(..)
            | Entity::StatusContext(_)
            | Entity::Expected(..)
            | Entity::QueueEntry(_)
            | Entity::Thread(_)
            | Entity::ThreadComment(_)
            | Entity::ReviewRequest(..)
            | Entity::Team(_)
            | Entity::RefUpdateRule(_) => Ok(self.check(entity, name, arguments)),
        }
    }

    /// Whether the viewer may know of the repository.
    fn sees(&self, repository: &Repository) -> bool {
        self.world.model.may_read(Some(self.viewer.id), repository)
    }

    /// The repository, if nothing keeps the viewer out; none where it is null without an error.
    fn open_repository(
        &self,
        repository: &'w Repository,
        missing: impl Fn() -> Box<Problem>,
    ) -> Result<Option<&'w Repository>, Box<Problem>> {
        if !self.sees(repository) {
            return Err(missing());
        }
        let barriers = &self.world.barriers;
        match barriers.at_repository(self.visitor, repository) {
            Some(barrier) => self.stopped(repository, barrier, missing),
            None => Ok(Some(repository)),
        }
    }

    /// The same for a pull request of a repository that is open.
    fn open_pull_request(
        &self,
        placed: Placed<'w>,
        missing: impl Fn() -> Box<Problem>,
    ) -> Result<Option<Entity<'w>>, Box<Problem>> {
        let barriers = &self.world.barriers;
        match barriers.at_pull_request(self.visitor, placed.pull_request) {
            Some(barrier) => self.stopped(placed.repository, barrier, missing),
            None => Ok(Some(Entity::PullRequest(placed))),
        }
    }

    fn stopped<T>(
        &self,
        repository: &Repository,
        barrier: Barrier,
        missing: impl Fn() -> Box<Problem>,
    ) -> Result<Option<T>, Box<Problem>> {
        let saml = json!(barrier == Barrier::SingleSignOn);
        let message = match barrier {
            Barrier::SingleSignOn => refusal::SINGLE_SIGN_ON.to_owned(),
            Barrier::NoPermission => refusal::NO_PERMISSION.to_owned(),
            Barrier::AddressNotAllowed => {
                let owner = self.world.model.account(repository.owner);
                refusal::address_not_allowed(owner.map_or("", |owner| owner.login.as_str()))
            }
            Barrier::Blocked { .. } => refusal::ACCESS_BLOCKED.to_owned(),
            Barrier::NotFound => return Err(missing()),
            Barrier::Null | Barrier::Unlisted => return Ok(None),
        };
        let problem = Problem::new("FORBIDDEN", message).extension("saml_failure", saml);
        Err(Box::new(problem))
    }

    fn find_account(&self, id: u64) -> Option<Entity<'w>> {
        self.world.model.account(id).map(Entity::Account)
    }

    fn full_name(&self, repository: &Repository) -> String {
        self.world.model.full_name(repository)
    }
}

pub(crate) fn resource_limits() -> Box<Problem> {
    let kind = "RESOURCE_LIMITS_EXCEEDED";
    Box::new(Problem::new(kind, refusal::RESOURCE_LIMITS))
}

fn no_permission() -> Box<Problem> {
    let problem = Problem::new("FORBIDDEN", refusal::NO_PERMISSION.to_owned());
    Box::new(problem.extension("saml_failure", json!(false)))
}

fn not_found(message: String) -> Box<Problem> {
    Box::new(Problem::new("NOT_FOUND", message))
}
