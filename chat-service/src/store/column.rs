//! Columns as domain types, by name. A column of another type than this release expects is a bug; a
//! name in it that this release does not know is not.

use std::{collections::BTreeMap, error::Error, time::Duration};

use jiff::Timestamp;
use policy::Level;
use proto::sync::{CredentialState, Lane, ProblemClass, ProblemName as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{FromSql, Json, Type},
};
use uuid::Uuid;

use super::{StoreError, unknown::known_or};
use crate::{
    id::{
        ChatId, GitAccountId, GitRefId, GroupId, LeaseToken, OrganizationId, RequestId, UserId,
        WorkspaceId,
    },
    text_enum::TextEnum,
};

/// A type that a column can be read as.
pub(crate) trait Column: Sized {
    /// As PostgreSQL sends it.
    type Wire: for<'a> FromSql<'a>;

    /// The value of the column of that name. A name of a later release is unspecified, and counted.
    fn from_wire(wire: Self::Wire, column: &str) -> Self;
}

/// Reads rows by column name.
pub(crate) trait Columns {
    /// The column `name`.
    fn get_as<T: Column>(&self, name: &str) -> Result<T, StoreError>;
}

impl Columns for Row {
    fn get_as<T: Column>(&self, name: &str) -> Result<T, StoreError> {
        let wire = self.try_get(name).map_err(StoreError::row)?;
        Ok(T::from_wire(wire, name))
    }
}

/// The column `name` of each row.
pub(crate) fn column<T: Column>(rows: &[Row], name: &str) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| row.get_as(name)).collect()
}

/// The column `name` of the first row, if there is one.
pub(crate) fn first<T: Column>(rows: &[Row], name: &str) -> Result<Option<T>, StoreError> {
    rows.first().map(|row| row.get_as(name)).transpose()
}

macro_rules! as_sent {
    ($($type:ty)*) => {$(
        impl Column for $type {
            type Wire = Self;

            fn from_wire(wire: Self, _: &str) -> Self {
                wire
            }
        }
    )*};
}

as_sent! { bool i16 i32 i64 f64 String Uuid Timestamp Value Vec<u8> }

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl Column for $id {
            type Wire = Uuid;

            fn from_wire(wire: Uuid, _: &str) -> Self {
                Self(wire)
            }
        }
    )*};
}

ids! {
    ChatId GitAccountId GitRefId GroupId LeaseToken OrganizationId RequestId UserId WorkspaceId
}

impl<T: TextEnum> Column for T {
    type Wire = String;

    fn from_wire(wire: String, column: &str) -> Self {
        known_or(Self::parse(&wire), Self::UNKNOWN, column, wire)
    }
}

/// Seconds that the database counted; zero when they have passed.
impl Column for Duration {
    type Wire = f64;

    fn from_wire(wire: f64, _: &str) -> Self {
        Self::try_from_secs_f64(wire).unwrap_or_default()
    }
}

impl Column for ProblemClass {
    type Wire = String;

    fn from_wire(wire: String, column: &str) -> Self {
        known_or(Self::from_name(&wire), Self::Unspecified, column, wire)
    }
}

/// A lane of a later release is as urgent as anything that is not.
impl Column for Lane {
    type Wire = i16;

    fn from_wire(wire: i16, column: &str) -> Self {
        known_or(Self::from_number(wire), Self::Idle, column, wire)
    }
}

impl Column for CredentialState {
    type Wire = String;

    fn from_wire(wire: String, column: &str) -> Self {
        let name = format!("CREDENTIAL_STATE_{}", wire.to_uppercase());
        known_or(Self::from_str_name(&name), Self::Unspecified, column, wire)
    }
}

/// A level of a later release allows at least what the least one does, as for the SQL of
/// predicates.
impl Column for Level {
    type Wire = String;

    fn from_wire(wire: String, column: &str) -> Self {
        let mut levels = [Self::Reader, Self::Writer].into_iter();
        let known = levels.find(|level| level.name() == wire);
        known_or(known, Self::Reader, column, wire)
    }
}

/// Labels, as `jsonb` has them.
impl Column for BTreeMap<String, String> {
    type Wire = Json<Self>;

    fn from_wire(Json(labels): Json<Self>, _: &str) -> Self {
        labels
    }
}

/// A `jsonb` document, parsed in one pass; or why not, since a later release may have written it.
pub(crate) struct Document<T>(pub(crate) Result<T, Box<dyn Error + Sync + Send>>);

impl<'a, T: DeserializeOwned> FromSql<'a> for Document<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Json::from_sql(ty, raw).map(|Json(value)| value)))
    }

    fn accepts(ty: &Type) -> bool {
        <Json<T> as FromSql>::accepts(ty)
    }
}

impl<T: DeserializeOwned> Column for Document<T> {
    type Wire = Self;

    fn from_wire(wire: Self, _: &str) -> Self {
        wire
    }
}

/// NULL is `None`.
impl<T: Column> Column for Option<T> {
    type Wire = Option<T::Wire>;

    fn from_wire(wire: Option<T::Wire>, column: &str) -> Self {
        wire.map(|wire| T::from_wire(wire, column))
    }
}

/// An array.
impl<T: Column> Column for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn from_wire(wire: Vec<T::Wire>, column: &str) -> Self {
        wire.into_iter()
            .map(|wire| T::from_wire(wire, column))
            .collect()
    }
}
