//! Compares answers of the GraphQL API with the published schema: each value has the type that the
//! schema gives it, nothing is null that must not be, and no field is missing or too many.
//!
//! Every answer that a test gets by [`Client::query`](crate::client::Client::query) is compared.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql_parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, Selection, SelectionSet, Type, TypeKind,
    TypeSystemDefinition,
};
use async_graphql_parser::{parse_query, parse_schema};
use serde_json::Value;
use testkit::github::fixtures;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);

struct Schema {
    kinds: HashMap<String, Kind>,
}

enum Kind {
    Scalar,
    Enum(Vec<String>),
    Object {
        fields: HashMap<String, Type>,
        interfaces: Vec<String>,
    },
    Interface,
    Union(Vec<String>),
}

impl Schema {
    fn read() -> Self {
        let document = parse_schema(fixtures::SCHEMA).expect("the schema is valid");
        let mut kinds = HashMap::new();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else {
                continue;
            };
            let kind = match definition.node.kind {
                TypeKind::Object(object) => Kind::Object {
                    fields: object
                        .fields
                        .into_iter()
                        .map(|field| (field.node.name.node.to_string(), field.node.ty.node))
                        .collect(),
                    interfaces: object
                        .implements
                        .iter()
                        .map(|name| name.node.to_string())
                        .collect(),
                },
                TypeKind::Interface(_) => Kind::Interface,
                TypeKind::Enum(found) => Kind::Enum(
                    found
                        .values
                        .iter()
                        .map(|value| value.node.value.node.to_string())
                        .collect(),
                ),
                TypeKind::Union(found) => Kind::Union(
                    found
                        .members
                        .iter()
                        .map(|member| member.node.to_string())
                        .collect(),
                ),
                TypeKind::Scalar | TypeKind::InputObject(_) => Kind::Scalar,
            };
            kinds.insert(definition.node.name.node.to_string(), kind);
        }
        Self { kinds }
    }

    /// The objects that something of this type may be.
    fn objects(&self, name: &str) -> Vec<&str> {
        let none = Vec::new();
        let members = if let Some(Kind::Union(members)) = self.kinds.get(name) {
            members
        } else {
            &none
        };
        self.kinds
            .iter()
            .filter(|(object, kind)| match kind {
                Kind::Object { interfaces, .. } => {
                    *object == name
                        || interfaces.iter().any(|found| found == name)
                        || members.contains(object)
                }
                Kind::Scalar | Kind::Enum(_) | Kind::Interface | Kind::Union(_) => false,
            })
            .map(|(object, _)| object.as_str())
            .collect()
    }
}

/// Compares the data of an answer with the only operation of the query.
///
/// # Panics
///
/// If they differ.
pub(crate) fn certify(query: &str, data: &Value) {
    let document = parse_query(query).expect("it was answered");
    let DocumentOperations::Single(operation) = &document.operations else {
        let DocumentOperations::Multiple(operations) = &document.operations else {
            return;
        };
        let mut operations = operations.values();
        let (Some(operation), None) = (operations.next(), operations.next()) else {
            return;
        };
        return check(&document, &operation.node.selection_set.node, data);
    };
    check(&document, &operation.node.selection_set.node, data);
}

fn check(document: &ExecutableDocument, set: &SelectionSet, data: &Value) {
    if data.is_null() {
        return;
    }
    let dry_run = data
        .as_object()
        .is_some_and(|data| data.len() < set.items.len());
    if let Err(problem) = object(document, "Query", &[set], data)
        && !(dry_run && data.get("rateLimit").is_some())
    {
        panic!("the answer does not fit the schema: {problem}\n{data:#}");
    }
}

fn value(
    document: &ExecutableDocument,
    ty: &Type,
    sets: &[&SelectionSet],
    found: &Value,
) -> Result<(), String> {
    if found.is_null() {
        return if ty.nullable {
            Ok(())
        } else {
            Err(format!("null is no {ty}"))
        };
    }
    let name = match &ty.base {
        BaseType::List(inner) => {
            let items = found.as_array().ok_or(format!("{found} is no {ty}"))?;
            return items
                .iter()
                .try_for_each(|item| value(document, inner, sets, item));
        }
        BaseType::Named(name) => name.as_str(),
    };
    let fits = match SCHEMA.kinds.get(name) {
        Some(Kind::Object { .. } | Kind::Interface | Kind::Union(_)) => {
            // Without `__typename` it is enough that one of the types fits.
            let mut problems = Vec::new();
            for candidate in SCHEMA.objects(name) {
                match object(document, candidate, sets, found) {
                    Ok(()) => return Ok(()),
                    Err(problem) => problems.push(format!("{candidate}: {problem}")),
                }
            }
            return Err(problems.join("; "));
        }
        Some(Kind::Enum(values)) => found
            .as_str()
            .is_some_and(|text| values.iter().any(|value| value == text)),
        Some(Kind::Scalar) | None => match name {
            "Int" => found
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            "Boolean" => found.is_boolean(),
            "DateTime" => found
                .as_str()
                .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok() && text.len() == 20),
            "GitObjectID" => found.as_str().is_some_and(|text| {
                text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
            "URI" => found
                .as_str()
                .is_some_and(|text| text.starts_with('/') || text.parse::<url::Url>().is_ok()),
            _ => found.is_string(),
        },
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{found} is no {ty}"))
    }
}

fn object(
    document: &ExecutableDocument,
    type_name: &str,
    sets: &[&SelectionSet],
    found: &Value,
) -> Result<(), String> {
    let Some(Kind::Object { fields, .. }) = SCHEMA.kinds.get(type_name) else {
        return Err(format!("{type_name} is no object"));
    };
    let members = found.as_object().ok_or(format!("{found} is no object"))?;
    let mut wanted: HashMap<&str, (&str, Vec<&SelectionSet>)> = HashMap::new();
    for set in sets {
        collect(document, type_name, set, &mut wanted);
    }
    if let Some(extra) = members
        .keys()
        .find(|key| !wanted.contains_key(key.as_str()))
    {
        return Err(format!("{extra} was not asked for"));
    }
    for (key, (name, sets)) in wanted {
        let member = members.get(key).ok_or(format!("{key} is missing"))?;
        if name == "__typename" {
            if member != type_name {
                return Err(format!("{member} is no {type_name}"));
            }
            continue;
        }
        let ty = fields
            .get(name)
            .ok_or(format!("{type_name} has no {name}"))?;
        value(document, ty, &sets, member).map_err(|problem| format!("{key}: {problem}"))?;
    }
    Ok(())
}

fn collect<'d>(
    document: &'d ExecutableDocument,
    type_name: &str,
    set: &'d SelectionSet,
    wanted: &mut HashMap<&'d str, (&'d str, Vec<&'d SelectionSet>)>,
) {
    let applies = |on: &str| SCHEMA.objects(on).contains(&type_name);
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                let key = field.node.response_key().node.as_str();
                let name = field.node.name.node.as_str();
                let (_, sets) = wanted.entry(key).or_insert((name, Vec::new()));
                sets.push(&field.node.selection_set.node);
            }
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref();
                if on.is_none_or(|on| applies(&on.node.on.node)) {
                    collect(
                        document,
                        type_name,
                        &fragment.node.selection_set.node,
                        wanted,
                    );
                }
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                let fragment = &document.fragments[name];
                if applies(&fragment.node.type_condition.node.on.node) {
                    collect(
                        document,
                        type_name,
                        &fragment.node.selection_set.node,
                        wanted,
                    );
                }
            }
        }
    }
}

mod tests {
    use serde_json::json;

    use super::certify;

    #[test]
    #[should_panic(expected = "null is no String!")]
    fn a_null_without_a_place_is_found() {
        certify("{ viewer { login } }", &json!({"viewer": {"login": null}}));
    }

    #[test]
    #[should_panic(expected = "id is missing")]
    fn a_missing_member_is_found() {
        certify(
            "{ viewer { login id } }",
            &json!({"viewer": {"login": "ann"}}),
        );
    }

    #[test]
    #[should_panic(expected = "is no PullRequestState!")]
    fn a_word_that_is_no_value_is_found() {
        let query = "{ node(id: \"x\") { ... on PullRequest { state } } }";
        certify(query, &json!({"node": {"state": "DRAFT"}}));
    }
}
