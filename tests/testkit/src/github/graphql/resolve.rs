//! What each field of each type gives.

mod account;
mod pull_request;
mod repository;
mod root;

use super::argument::Arguments;
use super::entity::{Entity, Outcome, Resolved};
use super::page;
use super::problem::Problem;
use crate::github::limit::RateLimit;
use crate::github::model::{Account, Repository};
use crate::github::state::World;

/// Looks things up for one viewer.
pub(crate) struct Resolver<'w> {
    pub(crate) world: &'w World,
    pub(crate) viewer: &'w Account,
    pub(crate) rate: Option<Rate>,
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
            Entity::PullRequest(placed) => self.pull_request(*placed, name, arguments),
            Entity::Review(placed, review) => Ok(self.review(*placed, review, name)),
            Entity::Branch(repository, branch) => {
                Ok(self.branch(repository, branch, name, arguments))
            }
            Entity::Commit(repository, sha) => Ok(self.commit(repository, sha, name)),
            Entity::AutoMerge(placed) => Ok(self.auto_merge(*placed, name)),
            Entity::Connection(connection) => Ok(page::connection(connection, name)),
            Entity::Edge(connection, index) => Ok(page::edge(connection, *index, name)),
            Entity::PageInfo(connection) => Ok(page::page_info(connection, name)),
            Entity::Total(total) => Ok(Resolved::Number(*total)),
        }
    }

    /// Whether the viewer may know of the repository.
    fn sees(&self, repository: &Repository) -> bool {
        self.world.model.may_read(Some(self.viewer.id), repository)
    }

    fn find_account(&self, id: u64) -> Option<Entity<'w>> {
        self.world.model.account(id).map(Entity::Account)
    }

    fn full_name(&self, repository: &Repository) -> String {
        self.world.model.full_name(repository)
    }
}

fn not_found(message: String) -> Box<Problem> {
    Box::new(Problem::new("NOT_FOUND", message))
}
