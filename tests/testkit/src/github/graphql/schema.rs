//! The part of GitHub's schema that the stand-in serves, as tables.
//!
//! It is read from the published text, cut down by `fixtures/trim-schema.mjs`; nothing here is
//! written by hand, so types, arguments and nullability cannot drift.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_graphql_parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, ServiceDocument, Type, TypeKind,
    TypeSystemDefinition,
};
use async_graphql_parser::{Positioned, parse_schema};
use async_graphql_value::Name;

use crate::github::fixtures;

/// GitHub's schema, as far as the stand-in serves it.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(fixtures::SCHEMA));

/// What every field of that name gives: the name of the object's type.
static TYPE_NAME: LazyLock<FieldType> = LazyLock::new(|| FieldType {
    ty: non_null("String"),
    arguments: HashMap::new(),
});

pub(crate) struct Schema {
    types: HashMap<String, Kind>,
}

pub(crate) enum Kind {
    Scalar,
    Enum(HashSet<String>),
    Input(HashMap<String, Argument>),
    Composite(Composite),
}

/// An object or an interface.
#[derive(Default)]
pub(crate) struct Composite {
    fields: HashMap<String, FieldType>,
    /// The objects that it may be; an object only itself.
    possible: HashSet<String>,
}

pub(crate) struct FieldType {
    pub(crate) ty: Type,
    pub(crate) arguments: HashMap<String, Argument>,
}

pub(crate) struct Argument {
    pub(crate) ty: Type,
    pub(crate) has_default: bool,
}

impl Schema {
    /// The text is compiled in and a test reads it; an empty schema is the fallback that keeps a
    /// panic out of the server.
    fn parse(text: &str) -> Self {
        let document = parse_schema(text).unwrap_or(ServiceDocument {
            definitions: Vec::new(),
        });
        let mut types: HashMap<String, Kind> = ["Boolean", "Float", "ID", "Int", "String"]
            .into_iter()
            .map(|name| (name.to_owned(), Kind::Scalar))
            .collect();
        let mut implementations: Vec<(String, String)> = Vec::new();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else {
                continue;
            };
            let name = definition.node.name.node.to_string();
            let kind = match definition.node.kind {
                TypeKind::Scalar | TypeKind::Union(_) => Kind::Scalar,
                TypeKind::Enum(found) => Kind::Enum(
                    found
                        .values
                        .iter()
                        .map(|value| value.node.value.node.to_string())
                        .collect(),
                ),
                TypeKind::InputObject(found) => Kind::Input(arguments(&found.fields)),
                TypeKind::Interface(found) => Kind::Composite(Composite {
                    fields: fields(&found.fields),
                    possible: HashSet::new(),
                }),
                TypeKind::Object(found) => {
                    for interface in &found.implements {
                        implementations.push((interface.node.to_string(), name.clone()));
                    }
                    Kind::Composite(Composite {
                        fields: fields(&found.fields),
                        possible: HashSet::from([name.clone()]),
                    })
                }
            };
            types.insert(name, kind);
        }
        for (interface, object) in implementations {
            if let Some(Kind::Composite(composite)) = types.get_mut(&interface) {
                composite.possible.insert(object);
            }
        }
        Self { types }
    }

    pub(crate) fn kind(&self, name: &str) -> Option<&Kind> {
        self.types.get(name)
    }

    pub(crate) fn composite(&self, name: &str) -> Option<&Composite> {
        match self.kind(name)? {
            Kind::Composite(composite) => Some(composite),
            Kind::Scalar | Kind::Enum(_) | Kind::Input(_) => None,
        }
    }

    /// The field of that object or interface.
    pub(crate) fn field(&self, parent: &str, name: &str) -> Option<&FieldType> {
        if name == "__typename" {
            return Some(&TYPE_NAME);
        }
        self.composite(parent)?.fields.get(name)
    }

    /// Whether an object of this type satisfies a fragment's condition.
    pub(crate) fn is_a(&self, object: &str, condition: &str) -> bool {
        object == condition
            || self
                .composite(condition)
                .is_some_and(|composite| composite.possible.contains(object))
    }

    /// Whether something may be both.
    pub(crate) fn overlap(&self, one: &str, other: &str) -> bool {
        match (self.composite(one), self.composite(other)) {
            (Some(one), Some(other)) => !one.possible.is_disjoint(&other.possible),
            (None, _) | (_, None) => false,
        }
    }

    /// Whether fields of the type have a selection of their own.
    pub(crate) fn has_selections(&self, ty: &Type) -> bool {
        self.composite(named(ty)).is_some()
    }
}

/// The name inside all lists and non-nulls.
pub(crate) fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

fn non_null(name: &str) -> Type {
    Type {
        base: BaseType::Named(Name::new(name)),
        nullable: false,
    }
}

fn fields(definitions: &[Positioned<FieldDefinition>]) -> HashMap<String, FieldType> {
    definitions
        .iter()
        .map(|definition| {
            let field = FieldType {
                ty: definition.node.ty.node.clone(),
                arguments: arguments(&definition.node.arguments),
            };
            (definition.node.name.node.to_string(), field)
        })
        .collect()
}

fn arguments(definitions: &[Positioned<InputValueDefinition>]) -> HashMap<String, Argument> {
    definitions
        .iter()
        .map(|definition| {
            let argument = Argument {
                ty: definition.node.ty.node.clone(),
                has_default: definition.node.default_value.is_some(),
            };
            (definition.node.name.node.to_string(), argument)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_understood() {
        let state = SCHEMA.field("PullRequest", "state").unwrap();
        assert_eq!(state.ty.to_string(), "PullRequestState!");
        let nodes = SCHEMA.field("Query", "nodes").unwrap();
        assert_eq!(nodes.ty.to_string(), "[Node]!");
        assert_eq!(nodes.arguments["ids"].ty.to_string(), "[ID!]!");
        assert!(
            SCHEMA.field("Query", "repository").unwrap().arguments["followRenames"].has_default
        );
        assert!(SCHEMA.is_a("PullRequest", "Node") && !SCHEMA.is_a("RateLimit", "Node"));
        assert!(SCHEMA.overlap("Actor", "Node") && !SCHEMA.overlap("User", "Bot"));
        assert!(SCHEMA.field("Node", "__typename").is_some());
    }
}
