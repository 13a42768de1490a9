//! Whether a value written into the query fits the type that is expected there.

use async_graphql_parser::types::{BaseType, Type};
use async_graphql_value::Value;

use crate::github::graphql::schema::{Kind, SCHEMA};

/// Variables always fit here; their types are compared elsewhere.
pub(super) fn fits(expected: &Type, value: &Value) -> bool {
    match value {
        Value::Variable(_) => true,
        Value::Null => expected.nullable,
        Value::List(items) => match &expected.base {
            BaseType::List(inner) => items.iter().all(|item| fits(inner, item)),
            BaseType::Named(_) => false,
        },
        Value::Number(_)
        | Value::String(_)
        | Value::Boolean(_)
        | Value::Binary(_)
        | Value::Enum(_)
        | Value::Object(_) => match &expected.base {
            // One value stands for a list of one.
            BaseType::List(inner) => fits(inner, value),
            BaseType::Named(name) => fits_named(name, value),
        },
    }
}

fn fits_named(name: &str, value: &Value) -> bool {
    match SCHEMA.kind(name) {
        Some(Kind::Enum(values)) => {
            matches!(value, Value::Enum(given) if values.contains(given.as_str()))
        }
        Some(Kind::Input(fields)) => {
            let Value::Object(given) = value else {
                return false;
            };
            given.iter().all(|(name, value)| {
                fields
                    .get(name.as_str())
                    .is_some_and(|field| fits(&field.ty, value))
            }) && fields.iter().all(|(name, field)| {
                field.ty.nullable || field.has_default || given.contains_key(name.as_str())
            })
        }
        Some(Kind::Scalar) => match name {
            "Int" => matches!(value, Value::Number(number) if number.is_i64() || number.is_u64()),
            "Float" => matches!(value, Value::Number(_)),
            "Boolean" => matches!(value, Value::Boolean(_)),
            "ID" => matches!(value, Value::String(_) | Value::Number(_)),
            _ => matches!(value, Value::String(_)),
        },
        Some(Kind::Composite(_)) | None => false,
    }
}
