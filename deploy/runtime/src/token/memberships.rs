//! Memberships in a token: a readable list while they are few, and else 16 bytes an id, in base64.
//! A thousand organizations and a thousand groups make a token of 57 KiB this way, and one of 150
//! KiB as lists; proxies accept 60 KiB at most.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A user's membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// The organization.
    pub id: Uuid,
    /// As in `admin`, `member`.
    #[serde(default)]
    pub roles: BTreeSet<String>,
}

/// Longer lists are written in short.
const MOST_LISTED: usize = 32;

/// Ids as `base64url(id, id, ...)`, 16 bytes each.
fn short(ids: impl Iterator<Item = Uuid>) -> String {
    let bytes: Vec<u8> = ids.flat_map(Uuid::into_bytes).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn long(text: &str) -> Result<Vec<Uuid>, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    let bytes = bytes.map_err(|_| "ids are not base64url without padding")?;
    let (ids, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err("ids are not 16 bytes each");
    }
    Ok(ids.iter().copied().map(Uuid::from_bytes).collect())
}

/// `[{"id": ..., "roles": [...]}]`, or ids by role, with an empty role for those without any. Other
/// issuers list ids alone, for members without a role.
pub(super) mod organizations {
    use super::{
        BTreeMap, BTreeSet, Deserialize, Deserializer, MOST_LISTED, Organization, Serialize,
        Serializer, Uuid, long, short,
    };
    use serde::de::Error as _;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Listed(Vec<Entry>),
        ByRole(BTreeMap<String, String>),
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Full(Organization),
        Named(String),
    }

    impl Entry {
        fn organization(self) -> Option<Organization> {
            match self {
                Self::Full(organization) => Some(organization),
                Self::Named(name) => Some(Organization {
                    id: name.parse().ok()?,
                    roles: BTreeSet::new(),
                }),
            }
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(
        organizations: &[Organization],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if organizations.len() <= MOST_LISTED {
            return organizations.serialize(serializer);
        }
        let mut by_role: BTreeMap<&str, BTreeSet<Uuid>> = BTreeMap::new();
        for Organization { id, roles } in organizations {
            let none = roles.is_empty().then_some("");
            for role in roles.iter().map(String::as_str).chain(none) {
                by_role.entry(role).or_default().insert(*id);
            }
        }
        let short = |(role, ids): (_, BTreeSet<Uuid>)| (role, short(ids.into_iter()));
        serializer.collect_map(by_role.into_iter().map(short))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Organization>, D::Error> {
        let by_role = match Either::deserialize(deserializer)? {
            Either::Listed(entries) => {
                return Ok(entries
                    .into_iter()
                    .filter_map(Entry::organization)
                    .collect());
            }
            Either::ByRole(by_role) => by_role,
        };
        let mut roles: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
        for (role, ids) in by_role {
            for id in long(&ids).map_err(D::Error::custom)? {
                let roles = roles.entry(id).or_default();
                if !role.is_empty() {
                    roles.insert(role.clone());
                }
            }
        }
        let organizations = roles.into_iter();
        Ok(organizations
            .map(|(id, roles)| Organization { id, roles })
            .collect())
    }
}

/// `["...", ...]`, or one text. What other issuers list beside ids is no group of ours: a name that
/// is no UUID matches no share and no policy.
pub(super) mod groups {
    use super::{
        BTreeSet, Deserialize, Deserializer, MOST_LISTED, Serialize, Serializer, Uuid, long, short,
    };
    use serde::de::Error as _;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Listed(Vec<String>),
        Short(String),
    }

    pub(in super::super) fn serialize<S: Serializer>(
        groups: &BTreeSet<Uuid>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if groups.len() <= MOST_LISTED {
            groups.serialize(serializer)
        } else {
            short(groups.iter().copied()).serialize(serializer)
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<Uuid>, D::Error> {
        match Either::deserialize(deserializer)? {
            Either::Listed(groups) => Ok(groups
                .iter()
                .filter_map(|group| group.parse().ok())
                .collect()),
            Either::Short(text) => {
                let groups = long(&text).map_err(D::Error::custom)?;
                Ok(groups.into_iter().collect())
            }
        }
    }
}
