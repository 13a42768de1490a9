//! Finds the watchers that a change may concern, without asking each.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    authz::{ChatFacts, Pred, Way},
    id::{ChatId, UserId},
};

/// A key of the index of watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum WatchKey {
    /// Changes of this chat.
    Chat(ChatId),
    /// Changes of chats with this owner, organization or share.
    Way(Way),
    /// Changes of all chats.
    Any,
}

/// The keys of a watcher of the chats for which `readable` holds, narrowed to `owner` and to
/// `chats` where these are given: the smallest set that covers all of them.
pub(super) fn keys(
    readable: &Pred,
    owner: Option<UserId>,
    chats: &BTreeSet<ChatId>,
) -> Vec<WatchKey> {
    let ways = readable
        .ways()
        .map(|ways| ways.into_iter().map(WatchKey::Way).collect());
    let owner = owner.map(|owner| vec![WatchKey::Way(Way::Owner(owner))]);
    let chats = (!chats.is_empty()).then(|| chats.iter().copied().map(WatchKey::Chat).collect());
    [ways, owner, chats]
        .into_iter()
        .flatten()
        .min_by_key(Vec::len)
        .unwrap_or_else(|| vec![WatchKey::Any])
}

/// Watchers by their keys. Each watcher has a number of its own.
pub(super) struct Index<T> {
    watchers: HashMap<u64, (Arc<T>, Vec<WatchKey>)>,
    found: HashMap<WatchKey, BTreeMap<u64, Arc<T>>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self {
            watchers: HashMap::new(),
            found: HashMap::new(),
        }
    }
}

impl<T> Index<T> {
    pub(super) fn len(&self) -> usize {
        self.watchers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Arc<T>> {
        self.watchers.get(&number).map(|(watcher, _)| watcher)
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let watchers = self.watchers.values();
        watchers.map(|(watcher, _)| watcher.clone()).collect()
    }

    pub(super) fn insert(&mut self, number: u64, keys: Vec<WatchKey>, watcher: Arc<T>) {
        for key in &keys {
            let found = self.found.entry(*key).or_default();
            found.insert(number, watcher.clone());
        }
        self.watchers.insert(number, (watcher, keys));
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some((_, keys)) = self.watchers.remove(&number) else {
            return;
        };
        for key in keys {
            if let Some(found) = self.found.get_mut(&key) {
                found.remove(&number);
                if found.is_empty() {
                    self.found.remove(&key);
                }
            }
        }
    }

    /// The watchers that a change of `chat` may concern, each once. `states` are the known ones of
    /// the chat before and after the change.
    pub(super) fn candidates<'a>(
        &self,
        chat: ChatId,
        states: impl IntoIterator<Item = ChatFacts<'a>>,
    ) -> Vec<Arc<T>> {
        let mut candidates: Vec<(u64, &Arc<T>)> = Vec::new();
        let mut add = |key: WatchKey| {
            let found = self.found.get(&key).into_iter().flatten();
            candidates.extend(found.map(|(number, watcher)| (*number, watcher)));
        };
        add(WatchKey::Any);
        add(WatchKey::Chat(chat));
        for state in states {
            state.ways().map(WatchKey::Way).for_each(&mut add);
        }
        candidates.sort_unstable_by_key(|(number, _)| *number);
        candidates.dedup_by_key(|(number, _)| *number);
        let watchers = candidates.into_iter();
        watchers.map(|(_, watcher)| watcher.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{
        collection::{btree_set, vec},
        option,
        prelude::*,
        sample::subsequence,
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        authz::{Atom, Level, Subject},
        id::{GroupId, OrganizationId},
    };

    const IDS: u128 = 4;

    fn id() -> impl Strategy<Value = Uuid> {
        (0..IDS).prop_map(Uuid::from_u128)
    }

    fn ids<T: Clone + std::fmt::Debug + 'static>(
        of: fn(Uuid) -> T,
    ) -> impl Strategy<Value = Arc<[T]>> {
        let all: Vec<T> = (0..IDS).map(|id| of(Uuid::from_u128(id))).collect();
        subsequence(all, 1..=2).prop_map(Into::into)
    }

    fn level() -> impl Strategy<Value = Level> {
        prop_oneof![Just(Level::Reader), Just(Level::Writer)]
    }

    fn atom() -> impl Strategy<Value = Atom> {
        prop_oneof![
            ids(UserId).prop_map(Atom::Owner),
            ids(OrganizationId).prop_map(Atom::Organization),
            Just(Atom::InSomeOrganization),
            (ids(UserId), level()).prop_map(|(ids, level)| Atom::SharedWithUser(ids, level)),
            (ids(GroupId), level()).prop_map(|(ids, level)| Atom::SharedWithGroup(ids, level)),
            Just(Atom::Archived),
        ]
    }

    fn pred() -> impl Strategy<Value = Pred> {
        let leaf = prop_oneof![
            1 => Just(Pred::True),
            1 => Just(Pred::False),
            8 => atom().prop_map(Pred::Atom),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                3 => vec(inner.clone(), 0..4).prop_map(Pred::all),
                3 => vec(inner.clone(), 0..4).prop_map(Pred::any),
                1 => inner.prop_map(Pred::negated),
            ]
        })
    }

    fn subject() -> impl Strategy<Value = Subject> {
        prop_oneof![
            id().prop_map(|id| Subject::User(UserId(id))),
            id().prop_map(|id| Subject::Group(GroupId(id))),
        ]
    }

    /// The readable chats, the owner and the ids of one watch.
    type Watched = (Pred, Option<UserId>, BTreeSet<ChatId>);

    fn watched() -> impl Strategy<Value = Watched> {
        let owner = option::weighted(0.3, id().prop_map(UserId));
        let chats = btree_set(id().prop_map(ChatId), 0..3);
        (pred(), owner, chats)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_watcher_of_a_chat_is_always_among_the_candidates_and_once(
            watchers in vec(watched(), 1..12),
            gone in any::<bool>(),
            id in id(),
            owner in id(),
            organization in option::of(id().prop_map(OrganizationId)),
            archived in any::<bool>(),
            shares in vec((subject(), level()), 0..4),
        ) {
            let mut index = Index::default();
            for (number, watched) in (0..).zip(&watchers) {
                let keys = keys(&watched.0, watched.1, &watched.2);
                index.insert(number, keys, Arc::new((number, watched.clone())));
            }
            if gone {
                index.remove(0);
            }
            let labels = BTreeMap::new();
            let (chat, owner) = (ChatId(id), UserId(owner));
            let facts = ChatFacts {
                organization,
                labels: &labels,
                archived,
                shares: &shares,
                ..ChatFacts::of_owner(owner)
            };
            let found = index.candidates(chat, [facts, facts]);
            let found: Vec<u64> = found.iter().map(|watcher| watcher.0).collect();
            prop_assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
            for (number, (readable, of, chats)) in (0..).zip(&watchers) {
                let holds = readable.holds(&facts)
                    && of.is_none_or(|of| of == owner)
                    && (chats.is_empty() || chats.contains(&chat));
                let here = number > 0 || !gone;
                if holds && here {
                    prop_assert!(found.contains(&number), "{readable:?}");
                }
                prop_assert!(here || !found.contains(&number));
            }
        }
    }

    #[test]
    fn a_change_asks_those_it_may_concern_and_no_stranger() {
        let [owner, reader, stranger] = [1, 2, 3].map(|id| UserId(Uuid::from_u128(id)));
        let group = GroupId(Uuid::from_u128(4));
        let of = |user: UserId| {
            let level = Level::Reader;
            Pred::any([
                Pred::Atom(Atom::Owner([user].into())),
                Pred::Atom(Atom::SharedWithUser([user].into(), level)),
                Pred::Atom(Atom::SharedWithGroup([group].into(), level)),
            ])
        };
        let any = BTreeSet::new();
        let mut index = Index::default();
        for (number, user) in (0..).zip([owner, reader, stranger]) {
            index.insert(number, keys(&of(user), None, &any), Arc::new(user));
        }
        index.insert(
            3,
            keys(&of(stranger), Some(stranger), &any),
            Arc::new(stranger),
        );
        index.insert(4, keys(&Pred::False, None, &any), Arc::new(stranger));
        let chat = ChatId(Uuid::from_u128(5));
        let was = [(Subject::User(reader), Level::Writer)];
        let facts = ChatFacts::of_owner(owner);
        let former = ChatFacts {
            shares: &was,
            ..facts
        };
        let asked = |states: &[ChatFacts<'_>]| -> Vec<UserId> {
            let found = index.candidates(chat, states.iter().copied());
            found.iter().map(|user| **user).collect()
        };
        assert_eq!(asked(&[facts]), [owner]);
        assert_eq!(asked(&[facts, former]), [owner, reader]);
        let all = [(Subject::Group(group), Level::Reader)];
        let shared = ChatFacts {
            shares: &all,
            ..facts
        };
        assert_eq!(asked(&[shared]), [owner, reader, stranger]);
        for number in 0..5 {
            index.remove(number);
        }
        assert!(index.is_empty() && index.found.is_empty());
    }
}
