//! Random policies, callers and chats, over few constants, so that they meet.

use std::collections::BTreeMap;

use chat_service::{
    authz::{Level, Principal, Subject, User},
    chat::{Chat, ChatStatus},
    id::{ChatId, GroupId, OrganizationId, UserId, WorkspaceId},
};
use jiff::Timestamp;
use testkit::random::Random;
use uuid::Uuid;

const STATUSES: [&str; 6] = [
    "waiting",
    "pending",
    "running",
    "paused",
    "completed",
    "error",
];
const TEXTS: [&str; 14] = [
    "plain",
    "100%",
    "100",
    "a_b",
    "axb",
    "A_B",
    "a\\b",
    "ab",
    "it's",
    "x'; DROP TABLE chats; --",
    "*star*",
    "\"quoted\"",
    "$1",
    "ünïcode",
];
const KEYS: [&str; 4] = ["team", "x'y", "a.b", "\"k\" ? '"];
const PATTERNS: [&[&str]; 9] = [
    &["*"],
    &["a_b"],
    &["100%"],
    &["a\\b"],
    &["", "*", "%"],
    &["a", "*", "b"],
    &["*", "'"],
    &["", "*", "star", "*", ""],
    &["x", "*"],
];

fn id(kind: u128, number: usize) -> Uuid {
    Uuid::from_u128((kind << 64) | (number as u128 + 1))
}

fn user(random: &mut Random) -> Uuid {
    id(1, random.below(4))
}

fn organization(random: &mut Random) -> Uuid {
    id(2, random.below(3))
}

fn group(random: &mut Random) -> Uuid {
    id(3, random.below(4))
}

fn workspace(random: &mut Random) -> Uuid {
    id(4, random.below(2))
}

/// Callers of every kind.
pub(crate) fn principals(random: &mut Random) -> Vec<Principal> {
    let mut principals: Vec<Principal> = (0..4)
        .map(|number| {
            let organizations = (0..random.below(3)).map(|_| {
                let roles: &[&str] = random.pick(&[&["admin"], &["member"], &[], &["admin", "x"]]);
                (
                    OrganizationId(organization(random)),
                    roles.iter().map(|role| (*role).to_owned()).collect(),
                )
            });
            let organizations = organizations.collect();
            let groups = (0..random.below(4)).map(|_| GroupId(group(random)));
            let groups = groups.collect();
            let roles: &[&str] = random.pick(&[&[], &[], &["admin"], &["auditor"]]);
            Principal::User(User {
                id: UserId(id(1, number)),
                organizations,
                groups,
                site_roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                suspended: random.chance(20),
            })
        })
        .collect();
    principals.push(Principal::Service("internal".to_owned()));
    principals
}

/// Chats that differ in everything.
pub(crate) fn chats(random: &mut Random, count: usize) -> Vec<Chat> {
    (0..count)
        .map(|number| {
            let mut shares: BTreeMap<Subject, Level> = BTreeMap::new();
            for _ in 0..random.below(5) {
                let subject = if random.chance(50) {
                    Subject::User(UserId(user(random)))
                } else {
                    Subject::Group(GroupId(group(random)))
                };
                shares.insert(subject, random.pick(&[Level::Reader, Level::Writer]));
            }
            let mut labels = BTreeMap::new();
            for _ in 0..random.below(3) {
                labels.insert(
                    random.pick(&KEYS).to_owned(),
                    random.pick(&TEXTS).to_owned(),
                );
            }
            Chat {
                id: ChatId(id(5, number)),
                owner: UserId(user(random)),
                organization: random
                    .chance(70)
                    .then(|| OrganizationId(organization(random))),
                workspace: random.chance(60).then(|| WorkspaceId(workspace(random))),
                title: random.pick(&TEXTS).to_owned(),
                status: random.pick(ChatStatus::ALL),
                labels,
                archived: random.chance(40),
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
                diff_statuses: Vec::new(),
                shares: shares.into_iter().collect(),
            }
        })
        .collect()
}

/// The text of one to five policies, of which one permits.
pub(crate) fn policies(random: &mut Random) -> String {
    let count = 1 + random.below(4);
    (0..=count)
        .map(|number| {
            let effect = if number > 0 && random.chance(35) {
                "forbid"
            } else {
                "permit"
            };
            let (head, user) = match random.below(10) {
                0 => ("principal".to_owned(), false),
                1 => (format!("principal in Group::\"{}\"", group(random)), true),
                2 => (format!("principal == User::\"{}\"", user(random)), true),
                3 => ("principal == Service::\"internal\"".to_owned(), false),
                4 => (
                    format!("principal is User in Group::\"{}\"", group(random)),
                    true,
                ),
                _ => ("principal is User".to_owned(), true),
            };
            let action = random.pick(&[
                "action == Action::\"readChat\"",
                "action == Action::\"updateChat\"",
                "action in [Action::\"readChat\", Action::\"updateChat\"]",
            ]);
            let clauses: String = (0..1 + random.below(2))
                .map(|_| {
                    let keyword = random.pick(&["when", "when", "unless"]);
                    format!("{keyword} {{ {} }}\n", condition(random, user, 3))
                })
                .collect();
            format!(
                "@id(\"p{number}\")\n{effect} ({head}, {action}, resource is Chat)\n{clauses};\n"
            )
        })
        .collect()
}

fn condition(random: &mut Random, user: bool, depth: usize) -> String {
    if depth == 0 || random.chance(30) {
        return atom(random, user);
    }
    let mut part = || condition(random, user, depth - 1);
    let (a, b, c) = (part(), part(), part());
    match random.below(7) {
        0 | 1 => format!("({a} && {b})"),
        2 | 3 => format!("({a} || {b})"),
        4 => format!("!({a})"),
        5 => format!("(if {a} then {b} else {c})"),
        _ => format!("(({a}) {} ({b}))", random.pick(&["==", "!="])),
    }
}

fn atom(random: &mut Random, user: bool) -> String {
    let known = user && random.chance(40) || random.chance(10);
    let text = if known {
        about_caller(random)
    } else {
        return about_chat(random);
    };
    if user {
        text
    } else {
        format!("(principal is User && {text})")
    }
}

fn set(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn entities(random: &mut Random, of: &str, id: fn(&mut Random) -> Uuid) -> String {
    let count = 1 + random.below(3);
    set((0..count).map(|_| format!("{of}::\"{}\"", id(random))))
}

fn about_caller(random: &mut Random) -> String {
    let level = random.pick(&["reader", "writer"]);
    let membership = random.pick(&["adminOf", "memberOf"]);
    match random.below(16) {
        0 | 1 => "resource.owner == principal".to_owned(),
        2 | 3 => format!(
            "(resource has organization && principal.{membership}.contains(resource.organization))"
        ),
        4 => format!(
            "(resource has organization && resource.organization in principal.{membership})"
        ),
        5 | 6 => format!("resource.{level}Users.contains(principal)"),
        7 | 8 => format!("principal in resource.{level}Groups"),
        9 => "principal.suspended".to_owned(),
        10 => format!(
            "principal.siteRoles.contains(\"{}\")",
            random.pick(&["admin", "auditor"])
        ),
        11 => random
            .pick(&[
                "principal.siteRoles.isEmpty()",
                "principal.adminOf.isEmpty()",
            ])
            .to_owned(),
        12 => format!(
            "principal.{membership}.{}({})",
            random.pick(&["containsAny", "containsAll"]),
            entities(random, "Organization", organization)
        ),
        13 => format!("principal in {}", entities(random, "Group", group)),
        14 => format!("{}.contains(principal)", entities(random, "User", user)),
        _ => format!("principal in Group::\"{}\"", group(random)),
    }
}

fn about_chat(random: &mut Random) -> String {
    let level = random.pick(&["reader", "writer"]);
    let some = random.pick(&["containsAny", "containsAll"]);
    let key = string(random.pick(&KEYS));
    match random.below(19) {
        0 => format!("resource.owner == User::\"{}\"", user(random)),
        1 => format!(
            "{}.contains(resource.owner)",
            entities(random, "User", user)
        ),
        2 => format!(
            "(resource has organization && resource.organization == Organization::\"{}\")",
            organization(random)
        ),
        3 => format!(
            "(resource has organization && {}.contains(resource.organization))",
            entities(random, "Organization", organization)
        ),
        4 => random
            .pick(&["resource has organization", "resource has workspace"])
            .to_owned(),
        5 => format!(
            "(resource has workspace && resource.workspace in {})",
            entities(random, "Workspace", workspace)
        ),
        6 => format!("resource.{level}Users.contains(User::\"{}\")", user(random)),
        7 => format!(
            "resource.{level}Users.{some}({})",
            entities(random, "User", user)
        ),
        8 | 9 => format!(
            "resource.{level}Groups.{some}({})",
            entities(random, "Group", group)
        ),
        10 | 11 => "resource.archived".to_owned(),
        12 => format!("resource.status == Status::\"{}\"", random.pick(&STATUSES)),
        13 => {
            let (a, b) = (random.pick(&STATUSES), random.pick(&STATUSES));
            let of = format!("[Status::\"{a}\", Status::\"{b}\"]");
            if random.chance(50) {
                format!("{of}.contains(resource.status)")
            } else {
                format!("resource.status in {of}")
            }
        }
        14 => format!("resource.title == {}", string(random.pick(&TEXTS))),
        15 => format!("resource.title like {}", pattern(random)),
        16 => format!("resource.hasTag({key})"),
        17 => format!(
            "(resource.hasTag({key}) && resource.getTag({key}) == {})",
            string(random.pick(&TEXTS))
        ),
        _ => format!(
            "(resource.hasTag({key}) && resource.getTag({key}) like {})",
            pattern(random)
        ),
    }
}

fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A piece `*` between others is a wildcard; any other star stands for itself.
fn pattern(random: &mut Random) -> String {
    let pieces = random.pick(&PATTERNS);
    let text: String = pieces
        .iter()
        .map(|piece| match *piece {
            "*" => "*".to_owned(),
            piece => piece
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('*', "\\*"),
        })
        .collect();
    format!("\"{text}\"")
}
