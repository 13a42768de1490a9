//! Arguments and variables as plain JSON.

use std::borrow::Cow;

use async_graphql_parser::types::{
    BaseType, Directive, Field, OperationDefinition, Type, VariableDefinition,
};
use async_graphql_parser::{Pos, Positioned};
use async_graphql_value::Value as Literal;
use serde_json::{Map, Value, json};

use super::problem::Problem;

/// The declared variables of one request, with defaults.
pub(crate) type Variables = Map<String, Value>;

/// The arguments of one field.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'q> {
    pub(crate) field: &'q Field,
    pub(crate) variables: &'q Variables,
}

impl<'q> Arguments<'q> {
    /// The value given, unless it is null.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'q, Value>> {
        let value = &self.field.get_argument(name)?.node;
        value_of(value, self.variables).filter(|value| !value.is_null())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name)
            .and_then(|value| value.as_bool())
            .unwrap_or(default)
    }

    /// A text or an id; an id may be given as a number.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'q, str>> {
        text_of(self.get(name)?)
    }

    /// A list of texts, where one alone is a list too.
    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let value = self.get(name)?;
        Some(match value.as_array() {
            Some(items) => items
                .iter()
                .filter_map(|item| text_of(Cow::Borrowed(item)).map(Cow::into_owned))
                .collect(),
            None => text_of(value).map(Cow::into_owned).into_iter().collect(),
        })
    }
}

fn text_of(value: Cow<'_, Value>) -> Option<Cow<'_, str>> {
    if let Some(number) = value.as_i64() {
        return Some(Cow::Owned(number.to_string()));
    }
    match value {
        Cow::Borrowed(value) => value.as_str().map(Cow::Borrowed),
        Cow::Owned(Value::String(text)) => Some(Cow::Owned(text)),
        Cow::Owned(_) => None,
    }
}

/// Whether `@include` and `@skip` leave the selection in.
pub(crate) fn is_included(directives: &[Positioned<Directive>], variables: &Variables) -> bool {
    directives.iter().all(|directive| {
        let wanted = directive.node.name.node == *"include";
        let value = directive.node.get_argument("if");
        let value = value.and_then(|value| value_of(&value.node, variables));
        let value = value.and_then(|value| value.as_bool());
        value.is_none_or(|value| value == wanted)
    })
}

/// A literal with its variables filled in; a variable that was not given is nothing.
fn value_of<'q>(value: &'q Literal, variables: &'q Variables) -> Option<Cow<'q, Value>> {
    let value = match value {
        Literal::Variable(name) => return variables.get(name.as_str()).map(Cow::Borrowed),
        Literal::Null | Literal::Binary(_) => Value::Null,
        Literal::Number(number) => Value::Number(number.clone()),
        Literal::String(text) => Value::String(text.clone()),
        Literal::Boolean(flag) => Value::Bool(*flag),
        Literal::Enum(name) => Value::String(name.to_string()),
        Literal::List(items) => items
            .iter()
            .map(|item| value_of(item, variables).map_or(Value::Null, Cow::into_owned))
            .collect(),
        Literal::Object(members) => Value::Object(
            members
                .iter()
                .filter_map(|(name, value)| {
                    let value = value_of(value, variables)?.into_owned();
                    Some((name.to_string(), value))
                })
                .collect(),
        ),
    };
    Some(Cow::Owned(value))
}

/// Fills in defaults, and checks what is sent as the queries alone cannot be: nulls and scalars.
pub(crate) fn coerce(
    mut given: Map<String, Value>,
    operation: &OperationDefinition,
) -> Result<Variables, Vec<Problem>> {
    let mut variables = Variables::new();
    let mut problems = Vec::new();
    for definition in &operation.variable_definitions {
        let VariableDefinition {
            name,
            var_type,
            directives: _,
            default_value,
        } = &definition.node;
        let name = name.node.as_str();
        let ty = &var_type.node;
        let value = match given.remove(name) {
            Some(value) => Some(value),
            None => default_value
                .as_ref()
                .and_then(|value| value.node.clone().into_json().ok()),
        };
        match value {
            None if ty.nullable => {}
            None => problems.push(invalid(name, ty, &Value::Null, definition.pos)),
            Some(value) if fits(ty, &value) => {
                variables.insert(name.to_owned(), value);
            }
            Some(value) => problems.push(invalid(name, ty, &value, definition.pos)),
        }
    }
    if problems.is_empty() {
        Ok(variables)
    } else {
        Err(problems)
    }
}

fn invalid(name: &str, ty: &Type, value: &Value, location: Pos) -> Problem {
    let explanation = if value.is_null() {
        "Expected value to not be null".to_owned()
    } else {
        format!("Could not coerce value {value} to {ty}")
    };
    let message = format!("Variable ${name} of type {ty} was provided invalid value");
    Problem::of_text("", message)
        .extension("value", value.clone())
        .extension(
            "problems",
            json!([{"path": [], "explanation": explanation}]),
        )
        .at(&[], location)
}

/// Whether a value fits the type, as far as that can be decided without the schema.
fn fits(ty: &Type, value: &Value) -> bool {
    if value.is_null() {
        return ty.nullable;
    }
    match &ty.base {
        BaseType::List(inner) => match value.as_array() {
            Some(items) => items.iter().all(|item| fits(inner, item)),
            None => fits(inner, value),
        },
        BaseType::Named(name) => match name.as_str() {
            "Int" => value.is_i64() || value.is_u64(),
            "Boolean" => value.is_boolean(),
            "String" => value.is_string(),
            "ID" => value.is_string() || value.is_i64() || value.is_u64(),
            _ => true,
        },
    }
}
