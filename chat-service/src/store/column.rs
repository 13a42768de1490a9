//! Columns as domain types, by name. A column that is not as this binary thinks is a bug.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use proto::sync::{CredentialState, Lane, ProblemClass, ProblemName as _, PullRequest};
use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{FromSql, Json},
};
use uuid::Uuid;

use super::StoreError;
use crate::{
    id::{
        ChatId, GitAccountId, GitRefId, GroupId, LeaseToken, OrganizationId, RequestId, UserId,
        WorkspaceId,
    },
    text_enum::TextEnum,
};

/// What a column can be read as.
pub(crate) trait Column: Sized {
    /// As PostgreSQL sends it.
    type Wire: for<'a> FromSql<'a>;

    /// Says what is wrong with a value that means nothing here.
    fn from_wire(wire: Self::Wire) -> Result<Self, String>;
}

/// Reads rows by column name.
pub(crate) trait Columns {
    /// The column `name`.
    fn get_as<T: Column>(&self, name: &str) -> Result<T, StoreError>;
}

impl Columns for Row {
    fn get_as<T: Column>(&self, name: &str) -> Result<T, StoreError> {
        let wire = self.try_get(name).map_err(StoreError::row)?;
        T::from_wire(wire)
            .map_err(|problem| StoreError::bug("read a row", format!("{name}: {problem}")))
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

            fn from_wire(wire: Self) -> Result<Self, String> {
                Ok(wire)
            }
        }
    )*};
}

as_sent! { bool i16 i32 i64 f64 String Uuid Timestamp Value Vec<u8> }

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl Column for $id {
            type Wire = Uuid;

            fn from_wire(wire: Uuid) -> Result<Self, String> {
                Ok(Self(wire))
            }
        }
    )*};
}

ids! {
    ChatId GitAccountId GitRefId GroupId LeaseToken OrganizationId RequestId UserId WorkspaceId
}

impl<T: TextEnum> Column for T {
    type Wire = String;

    fn from_wire(wire: String) -> Result<Self, String> {
        Self::parse(&wire).ok_or_else(|| format!("unknown name {wire:?}"))
    }
}

/// Seconds that the database counted; zero when they have passed.
impl Column for Duration {
    type Wire = f64;

    fn from_wire(wire: f64) -> Result<Self, String> {
        Ok(Self::try_from_secs_f64(wire).unwrap_or_default())
    }
}

/// A class that a later release added is unspecified here: that costs its text, and no chat.
impl Column for ProblemClass {
    type Wire = String;

    fn from_wire(wire: String) -> Result<Self, String> {
        Ok(Self::from_name(&wire).unwrap_or(Self::Unspecified))
    }
}

impl Column for Lane {
    type Wire = i16;

    fn from_wire(wire: i16) -> Result<Self, String> {
        Self::from_number(wire).ok_or_else(|| format!("{wire} is no lane"))
    }
}

impl Column for CredentialState {
    type Wire = String;

    /// A name of a later release is shown as unspecified.
    fn from_wire(wire: String) -> Result<Self, String> {
        let name = format!("CREDENTIAL_STATE_{}", wire.to_uppercase());
        Ok(Self::from_str_name(&name).unwrap_or_default())
    }
}

/// What is shown of a pull request, as `jsonb` has it.
impl Column for PullRequest {
    type Wire = Json<Self>;

    fn from_wire(Json(pull_request): Json<Self>) -> Result<Self, String> {
        Ok(pull_request)
    }
}

/// Labels, as `jsonb` has them.
impl Column for BTreeMap<String, String> {
    type Wire = Json<Self>;

    fn from_wire(Json(labels): Json<Self>) -> Result<Self, String> {
        Ok(labels)
    }
}

/// NULL is `None`.
impl<T: Column> Column for Option<T> {
    type Wire = Option<T::Wire>;

    fn from_wire(wire: Option<T::Wire>) -> Result<Self, String> {
        wire.map(T::from_wire).transpose()
    }
}

/// An array.
impl<T: Column> Column for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn from_wire(wire: Vec<T::Wire>) -> Result<Self, String> {
        wire.into_iter().map(T::from_wire).collect()
    }
}
