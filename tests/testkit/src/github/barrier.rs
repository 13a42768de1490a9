//! Barriers: what keeps a viewer from an organization, a repository or a pull request although it
//! exists.
//!
//! Unlike a fault a barrier spoils no whole answer. In a GraphQL query only what is behind it is
//! missing, with its own error at its own path; REST refuses with the same reason.

use std::cell::Cell;
use std::collections::HashSet;

use super::model::{AccountId, Model, Repository, RepositoryId};
use super::pull_request::PullRequest;

/// Why a token has no access to something that exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Barrier {
    /// The organization wants single sign-on for the token first. GraphQL: `FORBIDDEN` with
    /// `saml_failure`; REST: 403 with `X-GitHub-SSO`.
    SingleSignOn,
    /// The token lacks a permission. GraphQL: `FORBIDDEN`; REST: 403.
    NoPermission,
    /// The organization takes requests from some addresses only. `FORBIDDEN`, 403.
    AddressNotAllowed,
    /// Blocked for legal reasons, with this status in REST (451 or 403). GraphQL: `FORBIDDEN`.
    Blocked {
        /// 451, or 403 with the same words.
        status: u16,
    },
    /// It seems not to exist: no access, or created a moment ago and not everywhere yet. GraphQL:
    /// `NOT_FOUND`; REST: 404.
    NotFound,
    /// Null in GraphQL, without any error; 404 in REST.
    Null,
    /// Lists do not show it, as happens for moments; by number or id it is there. Only for a pull
    /// request.
    Unlisted,
}

/// What a barrier is around.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Owner(AccountId),
    Repository(RepositoryId),
    PullRequest(u64),
}

/// A barrier in place.
pub(crate) struct Bar {
    pub(crate) number: u64,
    place: Place,
    barrier: Barrier,
    /// The accounts that it blocks; all if the set is empty.
    pub(crate) only: Option<AccountId>,
    /// The tokens that it lets through.
    pub(crate) except: HashSet<String>,
    /// How many more requests it blocks; `None`: unlimited.
    pub(crate) left: Cell<Option<u64>>,
}

/// All barriers of a stand-in.
#[derive(Default)]
pub(crate) struct Barriers {
    bars: Vec<Bar>,
    last: u64,
}

/// Who comes to a barrier.
#[derive(Clone, Copy)]
pub(crate) struct Visitor<'a> {
    pub(crate) id: Option<AccountId>,
    pub(crate) token: Option<&'a str>,
}

impl Barriers {
    pub(crate) fn insert(&mut self, place: Place, barrier: Barrier) -> u64 {
        self.last += 1;
        self.bars.push(Bar {
            number: self.last,
            place,
            barrier,
            only: None,
            except: HashSet::new(),
            left: Cell::new(None),
        });
        self.last
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Bar> {
        self.bars.iter_mut().find(|bar| bar.number == number)
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.bars.retain(|bar| bar.number != number);
    }

    /// What stops the visitor at the repository or at its owner.
    pub(crate) fn at_repository(
        &self,
        visitor: Visitor<'_>,
        repository: &Repository,
    ) -> Option<Barrier> {
        self.stop(visitor, |place, _| match place {
            Place::Owner(id) => id == repository.owner,
            Place::Repository(id) => id == repository.id,
            Place::PullRequest(_) => false,
        })
    }

    /// What stops the visitor at the pull request itself.
    pub(crate) fn at_pull_request(
        &self,
        visitor: Visitor<'_>,
        pull_request: &PullRequest,
    ) -> Option<Barrier> {
        self.stop(visitor, |place, barrier| {
            place == Place::PullRequest(pull_request.id) && barrier != Barrier::Unlisted
        })
    }

    /// Whether lists leave the pull request out.
    pub(crate) fn is_unlisted(&self, visitor: Visitor<'_>, pull_request: &PullRequest) -> bool {
        let stop = self.stop(visitor, |place, barrier| {
            place == Place::PullRequest(pull_request.id) && barrier == Barrier::Unlisted
        });
        stop.is_some()
    }

    /// The first barrier that stops the visitor, used up by one.
    fn stop(
        &self,
        visitor: Visitor<'_>,
        is_here: impl Fn(Place, Barrier) -> bool,
    ) -> Option<Barrier> {
        let bar = self.bars.iter().find(|bar| {
            bar.left.get() != Some(0)
                && is_here(bar.place, bar.barrier)
                && bar.only.is_none_or(|only| Some(only) == visitor.id)
                && visitor
                    .token
                    .is_none_or(|token| !bar.except.contains(token))
        })?;
        bar.left.set(bar.left.get().map(|left| left - 1));
        Some(bar.barrier)
    }
}

impl Place {
    /// `owner`, `owner/name` or `owner/name#number`.
    pub(crate) fn find(model: &Model, text: &str) -> Option<Self> {
        let Some((owner, rest)) = text.split_once('/') else {
            return model.find_account(text).map(|found| Self::Owner(found.id));
        };
        let (name, number) = match rest.split_once('#') {
            Some((name, number)) => (name, Some(number.parse::<u64>().ok()?)),
            None => (rest, None),
        };
        let repository = model.find_repository(owner, name)?;
        match number {
            None => Some(Self::Repository(repository.id)),
            Some(number) => {
                let found = repository.pull_requests.get(&number)?;
                Some(Self::PullRequest(found.id))
            }
        }
    }
}
