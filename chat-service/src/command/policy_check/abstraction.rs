//! The finite set of callers and chats that given policies can distinguish.
//!
//! Policies and SQL touch ids only by equality with a finite set of constants (the caller's own id,
//! organizations and groups, and what the policies name), so a chat is fully described by which of
//! them each of its columns is, or "another one". One chat for each such combination stands for all
//! chats. What to vary is taken from Cedar's own syntax tree, not from the translation: an
//! attribute that the translation overlooked is varied all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use policy::{Level, Literals, Policies, Principal, Subject, User};
use uuid::Uuid;

use crate::{
    chat::{Chat, ChatStatus, MAX_TITLE_CHARS},
    id::{ChatId, GroupId, OrganizationId, UserId, WorkspaceId},
};

/// Chats at most; of more combinations, a sample.
const MAX_CHATS: usize = 4096;
/// Columns of these chats at most, all together, unless one chat alone has more: labels and shares
/// take memory three times over.
const MAX_CELLS: usize = 200_000;

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

/// The kinds of callers that `policies` can distinguish: by what they name, one thing at a time,
/// with and without memberships, suspended and not.
#[must_use]
pub fn principals(policies: &Policies) -> Vec<Principal> {
    let literals = policies.literals();
    let stranger = User {
        id: CALLER,
        organizations: BTreeMap::new(),
        groups: BTreeSet::new(),
        site_roles: BTreeSet::new(),
        suspended: false,
    };
    let member = User {
        organizations: [
            (ADMINISTERED, ["admin".to_owned()].into()),
            (JOINED, ["member".to_owned()].into()),
        ]
        .into(),
        groups: GROUPS.into(),
        ..stranger.clone()
    };
    let mut roles: Vec<BTreeSet<String>> = vec![BTreeSet::new()];
    if literals.mention("siteRoles") {
        let each = literals.texts.iter().cloned();
        roles.extend(each.map(|role| BTreeSet::from([role])));
        roles.push(literals.texts.clone());
    }
    let mut users = Vec::new();
    for site_roles in roles {
        for suspended in [false, true] {
            users.extend([&stranger, &member].map(|user| User {
                site_roles: site_roles.clone(),
                suspended,
                ..user.clone()
            }));
        }
    }
    users.extend(named(literals, "User", UserId).map(|id| User {
        id,
        ..member.clone()
    }));
    users.extend(named(literals, "Group", GroupId).map(|id| {
        let mut user = member.clone();
        user.groups.insert(id);
        user
    }));
    for id in named(literals, "Organization", OrganizationId) {
        users.extend(["admin", "member"].map(|role| {
            let mut user = member.clone();
            user.organizations.insert(id, [role.to_owned()].into());
            user
        }));
    }
    let services = literals.ids("Service").chain([OTHER_SERVICE]);
    let services = services.map(|name| Principal::Service(name.to_owned()));
    users
        .into_iter()
        .map(Principal::User)
        .chain(services)
        .collect()
}

/// The entities of the type `of` that policies name.
fn named<T>(literals: &Literals, of: &'static str, id: fn(Uuid) -> T) -> impl Iterator<Item = T> {
    let ids = literals.ids(of).filter_map(|id| id.parse().ok());
    ids.map(id)
}

/// The owners of accounts and chats that policies can distinguish.
#[must_use]
pub fn owners(policies: &Policies) -> Vec<UserId> {
    let named = named(policies.literals(), "User", UserId);
    [CALLER, OTHER_USER].into_iter().chain(named).collect()
}

/// Makes one of a column's choices, by its number.
type Choose = Box<dyn Fn(&mut Chat, usize)>;

/// The choices of one column.
struct SyntheticColumn {
    /// How many choices there are.
    choices: usize,
    choose: Choose,
}

/// The choice of `column` in the sampled chat `index`, before it is reduced to the number of
/// choices: as good as random, and the same in every run.
fn sampled(index: usize, column: usize) -> usize {
    // SplitMix64, whose neighbouring seeds give independent values.
    let mut z = (index as u64) << 32 | column as u64;
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Without the highest bits, so that it fits on every machine.
    usize::try_from((z ^ (z >> 31)) >> 33).unwrap_or(0)
}

/// The chats that `policies` can distinguish, and how many combinations exist.
#[must_use]
pub fn chats(policies: &Policies) -> (Vec<Chat>, usize) {
    let columns = columns(policies);
    let total = columns
        .iter()
        .try_fold(1_usize, |total, column| total.checked_mul(column.choices))
        .unwrap_or(usize::MAX);
    let most = (MAX_CELLS / columns.len()).clamp(1, MAX_CHATS);
    let count = total.min(most);
    let chats = (0..count)
        .map(|index| {
            let mut chat = Chat {
                id: ChatId(Uuid::from_u128(0x1000 + index as u128)),
                owner: OTHER_USER,
                organization: None,
                workspace: None,
                title: OTHER_TEXT.to_owned(),
                status: ChatStatus::Waiting,
                labels: BTreeMap::new(),
                archived: false,
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
                diff_statuses: Vec::new(),
                shares: Vec::new(),
            };
            let mut place = index;
            for (number, SyntheticColumn { choices, choose }) in columns.iter().enumerate() {
                let chosen = if count == total {
                    place
                } else {
                    sampled(index, number)
                };
                choose(&mut chat, chosen % choices);
                place /= choices;
            }
            chat
        })
        .collect();
    (chats, total)
}

/// The choices of every column that some policy names.
fn columns(policies: &Policies) -> Vec<SyntheticColumn> {
    let literals = policies.literals();
    let mut columns = vec![choices(owners(policies), |chat, id| chat.owner = id)];
    let mut add = |attribute, choices| {
        if literals.mention(attribute) {
            columns.push(choices);
        }
    };
    let organizations = [ADMINISTERED, JOINED, OTHER_ORGANIZATION].into_iter();
    let organizations = organizations.chain(named(literals, "Organization", OrganizationId));
    add(
        "organization",
        choices(or_none(organizations), |chat, id| chat.organization = id),
    );
    let workspaces = named(literals, "Workspace", WorkspaceId).chain([OTHER_WORKSPACE]);
    add(
        "workspace",
        choices(or_none(workspaces), |chat, id| chat.workspace = id),
    );
    // A title has at least one character.
    let titles = texts(literals).into_iter().filter(|text| !text.is_empty());
    add("title", choices(titles, |chat, title| chat.title = title));
    let statuses = ChatStatus::ALL.iter().copied();
    add(
        "status",
        choices(statuses, |chat, status| chat.status = status),
    );
    add(
        "archived",
        choices([false, true], |chat, archived| chat.archived = archived),
    );
    // All labels have the same values, which are kept once.
    let values: Arc<[_]> = or_none(texts(literals)).collect();
    for key in &literals.label_keys {
        let key = key.clone();
        columns.push(column(values.clone(), move |chat, value| {
            chat.labels.extend(value.map(|value| (key.clone(), value)));
        }));
    }
    let users = named(literals, "User", UserId).chain([CALLER]);
    let groups = named(literals, "Group", GroupId).chain(GROUPS);
    let kinds: [(_, _, Vec<Subject>); 2] = [
        (
            ["readerUsers", "writerUsers"],
            Subject::User(OTHER_USER),
            users.map(Subject::User).collect(),
        ),
        (
            ["readerGroups", "writerGroups"],
            Subject::Group(OTHER_GROUP),
            groups.map(Subject::Group).collect(),
        ),
    ];
    for (attributes, other, subjects) in kinds {
        if attributes
            .iter()
            .any(|attribute| literals.mention(attribute))
        {
            columns.push(shares(other, &[Level::Writer]));
            let levels = [Level::Reader, Level::Writer];
            columns.extend(subjects.into_iter().map(|subject| shares(subject, &levels)));
        }
    }
    columns
}

fn choices<T: Clone + 'static>(
    values: impl IntoIterator<Item = T>,
    set: impl Fn(&mut Chat, T) + 'static,
) -> SyntheticColumn {
    column(values.into_iter().collect(), set)
}

fn column<T: Clone + 'static>(
    values: Arc<[T]>,
    set: impl Fn(&mut Chat, T) + 'static,
) -> SyntheticColumn {
    SyntheticColumn {
        choices: values.len(),
        choose: Box::new(move |chat, place| {
            if let Some(value) = values.get(place) {
                set(chat, value.clone());
            }
        }),
    }
}

fn or_none<T>(values: impl IntoIterator<Item = T>) -> impl Iterator<Item = Option<T>> {
    [None].into_iter().chain(values.into_iter().map(Some))
}

/// Not shared with `subject`, or at one of these levels.
fn shares(subject: Subject, levels: &[Level]) -> SyntheticColumn {
    choices(or_none(levels.iter().copied()), move |chat, level| {
        chat.shares.extend(level.map(|level| (subject, level)));
    })
}

/// Texts on each side of every constant and every pattern.
fn texts(literals: &Literals) -> BTreeSet<String> {
    let mut texts = literals.texts.clone();
    texts.insert(OTHER_TEXT.to_owned());
    for pattern in &literals.patterns {
        let fitting = pattern.literals().concat();
        texts.insert(pattern.literals().join("%x_\\"));
        // Near misses: what a wildcard would take that should have stood for itself.
        texts.insert(fitting.replace(['%', '_', '\\', '*'], "z"));
        texts.insert(format!("{fitting}z"));
        texts.insert(format!("z{fitting}"));
        texts.insert(fitting.to_uppercase());
        texts.insert(fitting);
    }
    texts.retain(|text| text.chars().count() <= MAX_TITLE_CHARS);
    texts
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_choice_of_a_column_is_passed_by_for_ever() {
        for (column, choices) in (2..=500).enumerate() {
            let met = (0..MAX_CHATS).map(|index| sampled(index, column) % choices);
            let met = met.collect::<HashSet<_>>().len();
            assert!(met > choices * 99 / 100, "{met} of {choices}");
        }
    }
}
