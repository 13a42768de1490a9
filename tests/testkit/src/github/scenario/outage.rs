//! How tests break the world in parts, and set the host's rules.

use std::sync::Arc;
use std::time::Duration;

use crate::github::GitHub;
use crate::github::barrier::{Bar, Barrier, Place};
use crate::github::fault::Overload;
use crate::github::graphql::LimitSpelling;
use crate::github::model::AccountId;
use crate::github::state::{Shared, World};

impl GitHub {
    /// Puts a barrier around an organization (`acme`), a repository (`acme/web`) or a pull request
    /// (`acme/web#1`), until [`BarrierHandle::lift`]. It survives renames.
    #[track_caller]
    pub fn bar(&self, place: &str, barrier: Barrier) -> BarrierHandle {
        let mut world = self.shared.lock();
        let Some(found) = Place::find(&world.model, place) else {
            panic!("there is no {place}");
        };
        let number = world.barriers.insert(found, barrier);
        BarrierHandle {
            shared: Arc::clone(&self.shared),
            number,
        }
    }

    /// Lets REST show the user `ghost` as the author of a pull request whose author is gone, as
    /// GitHub's description has it; otherwise it is null, as in GraphQL.
    pub fn set_ghosts(&self, shown: bool) {
        self.shared.lock().ghosts = shown;
    }

    /// Says which versions of the REST API it takes, as on a host of an older version.
    pub fn set_api_versions(&self, versions: &'static [&'static str]) {
        self.shared.lock().api_versions = versions;
    }

    /// Refuses everything of this user for so long, REST and GraphQL, as the secondary limit does.
    #[track_caller]
    pub fn pause(&self, login: &str, pause: Duration) {
        let mut world = self.shared.lock();
        let (id, now) = (account(&world, login), world.now());
        world.pauses.pause(id, now, pause);
    }

    /// Whether this user is paused by the secondary limit.
    #[track_caller]
    pub fn is_paused(&self, login: &str) -> bool {
        let world = self.shared.lock();
        let left = world.pauses.left(account(&world, login), world.now());
        left.is_some()
    }

    /// Turns the GraphQL API off, as on a host without one, or on again.
    pub fn set_graphql(&self, enabled: bool) {
        self.shared.lock().graphql.disabled = !enabled;
    }

    /// Takes a field out of the GraphQL schema, as on a host of an older version.
    pub fn hide_field(&self, type_name: &str, field: &str) {
        let hidden = (type_name.to_owned(), field.to_owned());
        self.shared.lock().graphql.hidden.insert(hidden);
    }

    /// Sets how many nodes a query may touch; 500,000 unless said.
    pub fn set_node_limit(&self, nodes: u64) {
        self.shared.lock().graphql.most_nodes = nodes;
    }

    /// Sets how heavy a query may be, and what becomes of a heavier one. The weight is one for each
    /// object answered, ten for each number that is counted from a diff (`additions`, `deletions`,
    /// `changedFiles`) and five for each list of reviews;
    /// [`RecordedQuery::weight`](crate::github::RecordedQuery::weight) tells it.
    pub fn set_weight_limit(&self, weight: Option<u64>, overload: Overload) {
        let mut world = self.shared.lock();
        world.graphql.most_weight = weight;
        world.graphql.overload = overload;
    }

    /// Makes a pull request too heavy by itself: every query fails that asks for a number from its
    /// diff or for its reviews, in the way of [`set_weight_limit`](Self::set_weight_limit). Without
    /// those it answers as ever.
    #[track_caller]
    pub fn poison(&self, full_name: &str, number: u64) {
        let mut world = self.shared.lock();
        match Place::find(&world.model, &format!("{full_name}#{number}")) {
            Some(Place::PullRequest(id)) => world.graphql.poisoned.insert(id),
            Some(Place::Owner(_) | Place::Repository(_)) | None => {
                panic!("{full_name} has no pull request {number}")
            }
        };
    }

    /// Sets the word for the primary limit in GraphQL answers; both are live.
    pub fn set_limit_spelling(&self, spelling: LimitSpelling) {
        self.shared.lock().graphql.spelling = spelling;
    }
}

/// A barrier in place. It stays when this is dropped.
#[derive(Clone)]
pub struct BarrierHandle {
    shared: Arc<Shared>,
    number: u64,
}

impl BarrierHandle {
    /// It stops only this user.
    #[track_caller]
    pub fn only(&self, login: &str) -> &Self {
        let id = account(&self.shared.lock(), login);
        self.edit(|bar| bar.only = Some(id))
    }

    /// It lets this token through, as single sign-on does once the token is authorized.
    pub fn except(&self, token: &str) -> &Self {
        self.edit(|bar| {
            bar.except.insert(token.to_owned());
        })
    }

    /// Removes the barrier after it has blocked `times` requests.
    pub fn times(&self, times: u64) -> &Self {
        self.edit(|bar| bar.left.set(Some(times)))
    }

    /// Takes it away.
    pub fn lift(&self) {
        self.shared.lock().barriers.remove(self.number);
    }

    fn edit(&self, change: impl FnOnce(&mut Bar)) -> &Self {
        if let Some(bar) = self.shared.lock().barriers.get_mut(self.number) {
            change(bar);
        }
        self
    }
}

#[track_caller]
fn account(world: &World, login: &str) -> AccountId {
    match world.model.find_account(login) {
        Some(account) => account.id,
        None => panic!("there is no account {login}"),
    }
}
