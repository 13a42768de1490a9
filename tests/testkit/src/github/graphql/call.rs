//! A GraphQL request as it was sent: document, operation, variables.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_graphql_parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, Selection,
    SelectionSet,
};
use async_graphql_parser::{Positioned, parse_query};
use async_graphql_value::Name;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use crate::lock::lock;

/// How many documents stay parsed. Clients send a handful; one that writes values into its queries
/// sends a new one each time, and must not fill the memory.
const DOCUMENTS: usize = 512;

/// The fragments of a document by name.
pub(crate) type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// A parsed text, and what is known of it.
struct Document {
    parsed: ExecutableDocument,
    /// A fragment that contains itself.
    endless: Option<Name>,
}

/// A request that could be read.
pub(crate) struct Call {
    document: Arc<Document>,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Map<String, Value>,
}

/// Why a request could not be read.
#[derive(Clone, Debug)]
pub(crate) enum Unreadable {
    /// The body is not JSON.
    Body,
    /// There is no text in `query`.
    NoQuery,
    /// The query is not GraphQL.
    Query(Box<Problem>),
}

/// The documents parsed so far, by their text.
#[derive(Default)]
pub(crate) struct Documents {
    known: Mutex<HashMap<String, Arc<Document>>>,
}

impl Documents {
    /// Reads a request body.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Call, Unreadable> {
        let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else {
            return Err(Unreadable::Body);
        };
        let Some(Value::String(text)) = body.remove("query") else {
            return Err(Unreadable::NoQuery);
        };
        let operation_name = body
            .get("operationName")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let variables = match body.remove("variables") {
            Some(Value::Object(variables)) => variables,
            Some(_) | None => Map::new(),
        };
        Ok(Call {
            document: self.parse(text)?,
            operation_name,
            variables,
        })
    }

    fn parse(&self, text: String) -> Result<Arc<Document>, Unreadable> {
        let mut known = lock(&self.known);
        if let Some(document) = known.get(&text) {
            return Ok(Arc::clone(document));
        }
        let parsed = parse_query(&text).map_err(|error| {
            let position = error.positions().next();
            let mut problem = Problem::of_text("", parse_error(&text, position));
            problem.location = position;
            Unreadable::Query(Box::new(problem))
        })?;
        let fragments = &parsed.fragments;
        let endless = fragments
            .keys()
            .find(|name| contains_itself(fragments, name))
            .cloned();
        let document = Arc::new(Document { parsed, endless });
        if known.len() >= DOCUMENTS {
            known.clear();
        }
        known.insert(text, Arc::clone(&document));
        Ok(document)
    }
}

fn parse_error(text: &str, position: Option<async_graphql_parser::Pos>) -> String {
    let Some(position) = position else {
        return "Unexpected end of document".to_owned();
    };
    let rest = text
        .lines()
        .nth(position.line - 1)
        .and_then(|line| line.get(position.column - 1..))
        .unwrap_or_default();
    let end = rest
        .find(|found: char| !found.is_alphanumeric())
        .unwrap_or(rest.len())
        .max(rest.chars().next().map_or(0, char::len_utf8));
    let token = rest.get(..end).unwrap_or_default();
    format!(
        "Parse error on {} at [{}, {}]",
        json!(token),
        position.line,
        position.column
    )
}

impl Call {
    /// The operation asked for, with its name.
    pub(crate) fn operation(
        &self,
    ) -> Result<(Option<&Name>, &Positioned<OperationDefinition>), Box<Problem>> {
        match (
            &self.document.parsed.operations,
            self.operation_name.as_deref(),
        ) {
            (DocumentOperations::Single(operation), None | Some("")) => Ok((None, operation)),
            (DocumentOperations::Single(_), Some(name)) => Err(no_operation(name)),
            (DocumentOperations::Multiple(operations), Some(name)) if !name.is_empty() => {
                let found = operations.get_key_value(name);
                found
                    .map(|(name, operation)| (Some(name), operation))
                    .ok_or_else(|| no_operation(name))
            }
            (DocumentOperations::Multiple(operations), Some(_) | None) => {
                let mut all = operations.iter();
                match (all.next(), all.next()) {
                    (Some((name, operation)), None) => Ok((Some(name), operation)),
                    (Some(_) | None, _) => Err(Box::new(Problem::of_text(
                        "",
                        "An operation name is required".to_owned(),
                    ))),
                }
            }
        }
    }

    /// Why running it would never end, if so.
    pub(crate) fn endless(&self) -> Option<Problem> {
        let name = self.document.endless.as_ref()?;
        let message = format!("Fragment {name} contains an infinite loop");
        Some(Problem::of_text("infiniteLoop", message))
    }

    pub(crate) fn fragments(&self) -> &Fragments {
        &self.document.parsed.fragments
    }
}

fn no_operation(name: &str) -> Box<Problem> {
    let message = format!("No operation named {}", json!(name));
    Box::new(Problem::of_text("", message))
}

/// Whether spreading the fragment never ends.
fn contains_itself(fragments: &Fragments, name: &Name) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![name];
    while let Some(next) = open.pop() {
        let Some(fragment) = fragments.get(next) else {
            continue;
        };
        for spread in spreads(&fragment.node.selection_set.node) {
            if spread == name {
                return true;
            }
            if seen.insert(spread) {
                open.push(spread);
            }
        }
    }
    false
}

/// The names of all fragments spread anywhere in a selection.
fn spreads(set: &SelectionSet) -> Vec<&Name> {
    set.items
        .iter()
        .flat_map(|selection| match &selection.node {
            Selection::Field(field) => spreads(&field.node.selection_set.node),
            Selection::InlineFragment(fragment) => spreads(&fragment.node.selection_set.node),
            Selection::FragmentSpread(spread) => vec![&spread.node.fragment_name.node],
        })
        .collect()
}
