//! The claims of a token, and their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::memberships::{self, Organization};

/// The claims of a token about its bearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// A user's UUID, or a service's name.
    pub sub: String,
    /// The issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The audiences that the token was issued for.
    #[serde(with = "audiences")]
    pub aud: Vec<String>,
    /// When the token expires, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "some_seconds")]
    pub iat: Option<i64>,
    /// Valid from this time on, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "some_seconds")]
    pub nbf: Option<i64>,
    /// The kind of the subject, if the token states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The organizations that a user belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(with = "memberships::organizations")]
    pub organizations: Vec<Organization>,
    /// The groups that a user belongs to, closed over nesting.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[serde(with = "memberships::groups")]
    pub groups: BTreeSet<Uuid>,
    /// Roles over the whole site: `admin`, `auditor`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub site_roles: BTreeSet<String>,
    /// A suspended user may do nothing.
    #[serde(default)]
    pub suspended: bool,
}

/// The kind of a token's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person.
    User,
    /// One of our own services.
    Service,
}

/// One audience as text, or the list of which RFC 7519 speaks.
mod audiences {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Listed(Vec<String>),
    }

    pub(super) fn serialize<S: Serializer>(
        audiences: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match audiences {
            [one] => one.serialize(serializer),
            listed => listed.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::One(audience) => vec![audience],
            Either::Listed(audiences) => audiences,
        })
    }
}

/// A time of RFC 7519, which may have a fraction.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the fraction is cut off; the range is checked"
)]
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    // No clock shows a time beyond, and below all seconds are exact.
    let whole = |seconds: f64| (0.0..=1e12).contains(&seconds).then_some(seconds as i64);
    let seconds = number.as_i64().or_else(|| number.as_f64().and_then(whole));
    seconds.ok_or_else(|| D::Error::custom("not a time"))
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    seconds(deserializer).map(Some)
}

/// Claims that an issuer may name otherwise.
const NAMED: [&str; 6] = [
    "sub",
    "kind",
    "organizations",
    "groups",
    "site_roles",
    "suspended",
];

/// Under which names an issuer's tokens hold what [`Claims`] are made of, by our own names. What is
/// not named here has our own name.
///
/// As a setting: `sub=uid,groups=/access/groups`. A name that begins with `/` is a JSON pointer
/// (RFC 6901), since other names may hold dots and slashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimNames(BTreeMap<&'static str, String>);

impl FromStr for ClaimNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (ours, theirs) = entry.split_once('=').unwrap_or((entry, ""));
            let known = NAMED.into_iter().find(|known| *known == ours.trim());
            let theirs = theirs.trim();
            let Some(known) = known.filter(|_| !theirs.is_empty()) else {
                let known = NAMED.join(", ");
                return Err(format!(
                    "must be claim=name with commas between, as in sub=uid; claims are {known}"
                ));
            };
            if names.insert(known, theirs.to_owned()).is_some() {
                return Err(format!("must name {known} once"));
            }
        }
        Ok(Self(names))
    }
}

impl ClaimNames {
    /// The claims that a token's payload makes under these names.
    ///
    /// # Errors
    ///
    /// When one is missing or not of its kind.
    pub fn read(&self, payload: Value) -> Result<Claims, serde_json::Error> {
        let renamed: Vec<_> = self
            .0
            .iter()
            .map(|(ours, theirs)| {
                let value = if theirs.starts_with('/') {
                    payload.pointer(theirs)
                } else {
                    payload.get(theirs)
                };
                (*ours, value.cloned())
            })
            .collect();
        let Value::Object(mut payload) = payload else {
            return Err(serde_json::Error::custom("not an object"));
        };
        for (ours, value) in renamed {
            set(&mut payload, ours, value);
        }
        // Many issuers write a claim that a subject does not have as null.
        payload.retain(|_, value| !value.is_null());
        Claims::deserialize(Value::Object(payload))
    }
}

/// A claim that has another name is not read under ours.
fn set(payload: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    payload.remove(name);
    if let Some(value) = value {
        payload.insert(name.to_owned(), value);
    }
}
