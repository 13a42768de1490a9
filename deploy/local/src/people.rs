//! Who calls: one bearer of each role, with fixed ids, so that a kept database goes on to fit.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::services::run;

/// The organization of all users but the stranger.
pub(crate) const ORGANIZATION: Uuid = id(0x0100);
/// A group that the colleague is in.
pub(crate) const REVIEWERS: Uuid = id(0x0101);

/// How long the printed tokens are good.
pub(crate) const TTL: &str = "7d";

/// A bearer of one role.
pub(crate) struct Person {
    /// The role, as the ready file names it.
    pub(crate) role: &'static str,
    /// A user's UUID, or a service's name.
    pub(crate) subject: String,
    /// What else the token says, as flags of `chat-service token`.
    claims: Vec<String>,
}

const fn id(number: u128) -> Uuid {
    // A valid version 7, at the beginning of 2024, and otherwise nothing but the number.
    Uuid::from_u128(0x018c_c251_f400_7000_8000_0000_0000_0000 | number)
}

/// The chats' owner.
pub(crate) const OWNER: Uuid = id(1);
/// A user who shares nothing with the others.
pub(crate) const STRANGER: Uuid = id(2);
/// Another member of the owner's organization.
pub(crate) const COLLEAGUE: Uuid = id(6);

/// A member of the organization who has linked no account.
pub(crate) const NEWCOMER: Uuid = id(7);

/// All users, in the order of printing.
pub(crate) fn all_people() -> Vec<Person> {
    let member = format!("--organization={ORGANIZATION}");
    let user = |role, id: Uuid, claims: &[&str]| Person {
        role,
        subject: id.to_string(),
        claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
    };
    let service = |role, name: &str| Person {
        role,
        subject: name.to_owned(),
        claims: vec!["--kind=service".to_owned()],
    };
    vec![
        user("owner", OWNER, &[&member]),
        user("stranger", STRANGER, &[]),
        user("org_admin", id(3), &[&format!("{member}=admin")]),
        user("auditor", id(4), &["--site-role=auditor"]),
        user("operator", id(5), &["--site-role=admin"]),
        user(
            "colleague",
            COLLEAGUE,
            &[&member, &format!("--group={REVIEWERS}")],
        ),
        user("newcomer", NEWCOMER, &[&member]),
        service("internal_service", "internal"),
    ]
}

/// The worker's own identity. Its token goes into a file and is not printed.
pub(crate) fn worker() -> Person {
    Person {
        role: "gitsync",
        subject: "gitsync".to_owned(),
        claims: vec!["--kind=service".to_owned()],
    }
}

/// The bearer tokens, by role.
#[derive(Clone)]
pub(crate) struct Tokens(BTreeMap<&'static str, String>);

impl Tokens {
    /// Has `chat-service token` issue a token for each user.
    pub(crate) async fn issue(program: &Path, private_key: &Path) -> anyhow::Result<Self> {
        let mut tokens = BTreeMap::new();
        for person in all_people() {
            tokens.insert(person.role, issue(program, private_key, &person).await?);
        }
        Ok(Self(tokens))
    }

    /// The token of one role.
    pub(crate) fn of(&self, role: &str) -> anyhow::Result<&str> {
        self.0
            .get(role)
            .map(String::as_str)
            .with_context(|| format!("there is no role {role}"))
    }

    /// All, for the ready file.
    pub(crate) fn json(&self) -> Value {
        json!(self.0)
    }
}

/// Has `chat-service token` issue one token.
pub(crate) async fn issue(
    program: &Path,
    private_key: &Path,
    person: &Person,
) -> anyhow::Result<String> {
    let mut command = testkit::process::command(program);
    command
        .arg("token")
        .arg("--private-key-file")
        .arg(private_key)
        .args(["--sub", &person.subject, "--ttl", TTL])
        .args(&person.claims);
    let token = run("chat-service token", command).await?;
    Ok(token.trim().to_owned())
}

/// The id of each user, for the ready file.
pub(crate) fn json() -> Value {
    let users: BTreeMap<&str, String> = all_people()
        .into_iter()
        .map(|person| (person.role, person.subject))
        .collect();
    json!(users)
}
