//! The part of GitHub's schema that the stand-in serves, as tables.
//!
//! It is read from the published text, cut down by `fixtures/trim-schema.mjs`; nothing here is
//! written by hand, so types and nullability cannot drift.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_graphql_parser::parse_schema;
use async_graphql_parser::types::{
    BaseType, ServiceDocument, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql_value::Name;

use crate::github::fixtures;

/// GitHub's schema, as far as the stand-in serves it.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(fixtures::SCHEMA));

/// What every field of that name gives: the name of the object's type.
static TYPE_NAME: LazyLock<Type> = LazyLock::new(|| Type {
    base: BaseType::Named(Name::new("String")),
    nullable: false,
});

/// Fields that a host does not have, as pairs of type and field.
pub(crate) type Hidden = HashSet<(String, String)>;

/// The objects and interfaces by name.
pub(crate) struct Schema(HashMap<String, Composite>);

/// An object or an interface.
#[derive(Default)]
struct Composite {
    /// The types of its fields by name.
    fields: HashMap<String, Type>,
    /// The objects that an interface may be.
    possible: HashSet<String>,
}

impl Schema {
    /// The text is compiled in and a test reads it; an empty schema is the fallback that keeps a
    /// panic out of the server.
    fn parse(text: &str) -> Self {
        let document = parse_schema(text).unwrap_or(ServiceDocument {
            definitions: Vec::new(),
        });
        let mut types: HashMap<String, Composite> = HashMap::new();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else {
                continue;
            };
            let name = definition.node.name.node.to_string();
            let fields = match definition.node.kind {
                TypeKind::Interface(found) => found.fields,
                TypeKind::Object(found) => {
                    for interface in &found.implements {
                        let interface = types.entry(interface.node.to_string()).or_default();
                        interface.possible.insert(name.clone());
                    }
                    found.fields
                }
                TypeKind::Scalar
                | TypeKind::Union(_)
                | TypeKind::Enum(_)
                | TypeKind::InputObject(_) => continue,
            };
            types.entry(name).or_default().fields = fields
                .into_iter()
                .map(|field| (field.node.name.node.to_string(), field.node.ty.node))
                .collect();
        }
        Self(types)
    }

    /// The type of that field of that object or interface.
    pub(crate) fn field(&self, parent: &str, name: &str) -> Option<&Type> {
        if name == "__typename" {
            return Some(&TYPE_NAME);
        }
        self.0.get(parent)?.fields.get(name)
    }

    /// Whether an object of this type satisfies a fragment's condition.
    pub(crate) fn is_a(&self, object: &str, condition: &str) -> bool {
        let interface = self.0.get(condition);
        object == condition || interface.is_some_and(|found| found.possible.contains(object))
    }
}

/// The name inside all lists and non-nulls.
pub(crate) fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_understood() {
        let state = SCHEMA.field("PullRequest", "state").unwrap();
        assert_eq!(state.to_string(), "PullRequestState!");
        let nodes = SCHEMA.field("Query", "nodes").unwrap();
        assert_eq!(nodes.to_string(), "[Node]!");
        assert!(SCHEMA.is_a("PullRequest", "Node") && !SCHEMA.is_a("RateLimit", "Node"));
        assert!(SCHEMA.field("Node", "__typename").is_some());
    }
}
