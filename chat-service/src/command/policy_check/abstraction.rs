//! All callers and chats that given policies can tell apart.
//!
//! Policies and SQL touch ids only by equality with a finite set of constants (the caller's own id,
//! organizations and groups, and what the policies name), so a chat is fully described by which of
//! them each of its columns is, or "another one". One chat for each such combination stands for all
//! chats. What to vary is taken from Cedar's own syntax tree, not from the translation: an attribute
//! that the translation overlooked is varied all the same.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Level, Literals, Policies, Principal, Subject, User};
use uuid::Uuid;

use super::agree::MadeUp;
use crate::{
    chat::ChatStatus,
    id::{ChatId, GroupId, OrganizationId, UserId, WorkspaceId},
};

/// Chats at most; of more combinations, an even sample.
const MAX_CHATS: usize = 4096;

const CALLER: UserId = UserId(Uuid::from_u128(0x01));
const OTHER_USER: UserId = UserId(Uuid::from_u128(0x02));
const ADMINISTERED: OrganizationId = OrganizationId(Uuid::from_u128(0x11));
const JOINED: OrganizationId = OrganizationId(Uuid::from_u128(0x12));
const OTHER_ORGANIZATION: OrganizationId = OrganizationId(Uuid::from_u128(0x13));
const GROUPS: [GroupId; 2] = [
    GroupId(Uuid::from_u128(0x21)),
    GroupId(Uuid::from_u128(0x22)),
];
const OTHER_GROUP: GroupId = GroupId(Uuid::from_u128(0x23));
const OTHER_WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(0x31));
const OTHER_TEXT: &str = "another text";
const OTHER_SERVICE: &str = "another-service";

/// The kinds of callers that `policies` can tell apart: by what they name, one thing at a time, with
/// and without memberships, suspended and not.
#[must_use]
pub fn principals(policies: &Policies) -> Vec<Principal> {
    let literals = policies.literals();
    let mut users = Vec::new();
    let mut roles: Vec<BTreeSet<String>> = vec![BTreeSet::new()];
    if literals.mention("siteRoles") {
        roles.extend(
            literals
                .texts
                .iter()
                .map(|role| BTreeSet::from([role.clone()])),
        );
        roles.push(literals.texts.clone());
    }
    for site_roles in roles {
        for suspended in [false, true] {
            for member in [nobody(), somebody()] {
                users.push(User {
                    site_roles: site_roles.clone(),
                    suspended,
                    ..member
                });
            }
        }
    }
    for id in ids(literals, "User") {
        users.push(User {
            id: UserId(id),
            ..somebody()
        });
    }
    for id in ids(literals, "Group") {
        let mut user = somebody();
        user.groups.insert(GroupId(id));
        users.push(user);
    }
    for id in ids(literals, "Organization") {
        for role in ["admin", "member"] {
            let mut user = somebody();
            user.organizations
                .insert(OrganizationId(id), [role.to_owned()].into());
            users.push(user);
        }
    }
    let services = literals
        .ids("Service")
        .chain([OTHER_SERVICE])
        .map(|name| Principal::Service(name.to_owned()));
    users
        .into_iter()
        .map(Principal::User)
        .chain(services)
        .collect()
}

fn nobody() -> User {
    User {
        id: CALLER,
        organizations: BTreeMap::new(),
        groups: BTreeSet::new(),
        site_roles: BTreeSet::new(),
        suspended: false,
    }
}

fn somebody() -> User {
    User {
        organizations: [
            (ADMINISTERED, ["admin".to_owned()].into()),
            (JOINED, ["member".to_owned()].into()),
        ]
        .into(),
        groups: GROUPS.into(),
        ..nobody()
    }
}

fn ids<'a>(literals: &'a Literals, of: &'a str) -> impl Iterator<Item = Uuid> + 'a {
    literals.ids(of).filter_map(|id| id.parse().ok())
}

/// The owners of accounts and chats that policies can tell apart.
#[must_use]
pub fn owners(policies: &Policies) -> Vec<UserId> {
    let named = ids(policies.literals(), "User").map(UserId);
    [CALLER, OTHER_USER].into_iter().chain(named).collect()
}

/// What one column can be.
type Choice = Box<dyn Fn(&mut MadeUp)>;

/// The chats that `policies` can tell apart, and how many combinations there are.
#[must_use]
pub fn chats(policies: &Policies) -> (Vec<MadeUp>, usize) {
    let columns = columns(policies);
    let total = columns
        .iter()
        .try_fold(1_usize, |total, choices| total.checked_mul(choices.len()))
        .unwrap_or(usize::MAX);
    let count = total.min(MAX_CHATS);
    let chats = (0..count)
        .map(|index| {
            // Evenly spread when there are too many; an odd step meets every choice of each column.
            let mut place = if total == count {
                index
            } else {
                index.wrapping_mul((total / count) | 1) % total
            };
            let mut chat = MadeUp {
                id: ChatId(Uuid::from_u128(0x1000 + index as u128)),
                owner: OTHER_USER,
                organization: None,
                workspace: None,
                title: OTHER_TEXT.to_owned(),
                status: ChatStatus::Waiting.name().to_owned(),
                labels: BTreeMap::new(),
                archived: false,
                shares: Vec::new(),
            };
            for choices in &columns {
                if let Some(choice) = choices.get(place % choices.len()) {
                    choice(&mut chat);
                }
                place /= choices.len();
            }
            chat
        })
        .collect();
    (chats, total)
}

/// The choices of every column that some policy names.
fn columns(policies: &Policies) -> Vec<Vec<Choice>> {
    let literals = policies.literals();
    let mut columns: Vec<Vec<Choice>> = vec![choices(owners(policies), |chat, id| {
        chat.owner = id;
    })];
    if literals.mention("organization") {
        let named = ids(literals, "Organization").map(OrganizationId);
        let ids = [ADMINISTERED, JOINED, OTHER_ORGANIZATION]
            .into_iter()
            .chain(named)
            .map(Some);
        columns.push(choices([None].into_iter().chain(ids), |chat, id| {
            chat.organization = id;
        }));
    }
    if literals.mention("workspace") {
        let named = ids(literals, "Workspace").map(WorkspaceId);
        let ids = [OTHER_WORKSPACE].into_iter().chain(named).map(Some);
        columns.push(choices([None].into_iter().chain(ids), |chat, id| {
            chat.workspace = id;
        }));
    }
    if literals.mention("title") {
        columns.push(choices(texts(literals), |chat, title| {
            // A title has at least one character and at most two hundred.
            chat.title = if title.is_empty() {
                OTHER_TEXT.to_owned()
            } else {
                title
            };
        }));
    }
    if literals.mention("status") {
        columns.push(choices(
            [
                "waiting",
                "pending",
                "running",
                "paused",
                "completed",
                "error",
            ],
            |chat, status| chat.status = status.to_owned(),
        ));
    }
    if literals.mention("archived") {
        columns.push(choices([false, true], |chat, archived| {
            chat.archived = archived;
        }));
    }
    for key in &literals.label_keys {
        let values = texts(literals).into_iter().map(Some);
        let key = key.clone();
        columns.push(choices(
            [None].into_iter().chain(values),
            move |chat, value| {
                if let Some(value) = value {
                    chat.labels.insert(key.clone(), value);
                }
            },
        ));
    }
    if literals.mention("readerUsers") || literals.mention("writerUsers") {
        let named = ids(literals, "User").map(UserId);
        columns.push(shared_or_not(Subject::User(OTHER_USER)));
        for id in [CALLER].into_iter().chain(named) {
            columns.push(levels(Subject::User(id)));
        }
    }
    if literals.mention("readerGroups") || literals.mention("writerGroups") {
        let named = ids(literals, "Group").map(GroupId);
        columns.push(shared_or_not(Subject::Group(OTHER_GROUP)));
        for id in GROUPS.into_iter().chain(named) {
            columns.push(levels(Subject::Group(id)));
        }
    }
    columns
}

fn choices<T: Clone + 'static>(
    values: impl IntoIterator<Item = T>,
    set: impl Fn(&mut MadeUp, T) + Clone + 'static,
) -> Vec<Choice> {
    values
        .into_iter()
        .map(|value| {
            let set = set.clone();
            Box::new(move |chat: &mut MadeUp| set(chat, value.clone())) as Choice
        })
        .collect()
}

fn levels(subject: Subject) -> Vec<Choice> {
    let levels = [None, Some(Level::Reader), Some(Level::Writer)];
    choices(levels, move |chat, level| {
        chat.shares.extend(level.map(|level| (subject, level)));
    })
}

fn shared_or_not(subject: Subject) -> Vec<Choice> {
    choices([None, Some(Level::Writer)], move |chat, level| {
        chat.shares.extend(level.map(|level| (subject, level)));
    })
}

/// Texts on each side of every constant and every pattern.
#[must_use]
pub fn texts(literals: &Literals) -> BTreeSet<String> {
    let mut texts: BTreeSet<String> = literals.texts.iter().cloned().collect();
    texts.insert(OTHER_TEXT.to_owned());
    for pattern in &literals.patterns {
        let filled = |any: &str, special: Option<char>| -> String {
            pattern
                .iter()
                .map(|piece| match piece {
                    None => any.to_owned(),
                    Some('%' | '_' | '\\' | '*') if special.is_some() => {
                        special.map(String::from).unwrap_or_default()
                    }
                    Some(character) => character.to_string(),
                })
                .collect()
        };
        texts.insert(filled("", None));
        texts.insert(filled("%x_\\", None));
        // Near misses: what a wildcard would take that should have stood for itself.
        texts.insert(filled("", Some('z')));
        texts.insert(format!("{}z", filled("", None)));
        texts.insert(format!("z{}", filled("", None)));
        texts.insert(filled("", None).to_uppercase());
    }
    texts.retain(|text| text.chars().count() <= crate::chat::MAX_TITLE_CHARS);
    texts
}
