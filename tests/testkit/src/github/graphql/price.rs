//! What a query costs by GitHub's published formula, before it runs, and which of its fields the
//! host does not have.
//!
//! Each connection is one request for each parent that it may have, assuming that every `first`
//! and `last` is reached; a hundred requests are a point. The nodes are what those connections may
//! hold.

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{
    Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql_value::Name;
use serde_json::json;

use super::argument::{Arguments, Variables, is_included};
use super::call::Fragments;
use super::problem::{Problem, Step};
use super::schema::{Hidden, SCHEMA, named};

/// Requests to a point.
const REQUESTS_PER_POINT: u64 = 100;
/// The most that `first` and `last` may ask for.
const MOST_ITEMS: u64 = 100;
/// The most ids that one `nodes` may name.
pub(crate) const MOST_IDS: usize = 100;

/// The price of a query.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Price {
    pub(crate) requests: u64,
    pub(crate) nodes: u64,
    /// Fields of the operation itself.
    pub(crate) aliases: usize,
    /// Ids in `nodes` and `node`.
    pub(crate) ids: usize,
}

impl Price {
    pub(crate) fn points(&self) -> u64 {
        ((self.requests + REQUESTS_PER_POINT / 2) / REQUESTS_PER_POINT).max(1)
    }
}

/// What is known of a query before it runs.
#[derive(Default)]
pub(crate) struct Estimate {
    pub(crate) price: Price,
    /// Connections without a size, or with one that is too large.
    pub(crate) oversized: Vec<Problem>,
    /// Fields that the schema lacks, or that are hidden.
    pub(crate) undefined: Vec<Problem>,
}

/// Walks through a whole operation.
pub(crate) fn estimate(
    fragments: &Fragments,
    variables: &Variables,
    name: Option<&Name>,
    operation: &OperationDefinition,
    hidden: &Hidden,
) -> Estimate {
    let root = match operation.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let label = match name {
        Some(name) => format!("{} {name}", operation.ty),
        None => operation.ty.to_string(),
    };
    let mut pricer = Pricer {
        fragments,
        variables,
        hidden,
        label,
        path: Vec::new(),
        estimate: Estimate::default(),
    };
    pricer.selections(root, &operation.selection_set.node, 1, true);
    pricer.estimate
}

struct Pricer<'q> {
    fragments: &'q Fragments,
    variables: &'q Variables,
    hidden: &'q Hidden,
    /// The operation, as paths of undefined fields begin.
    label: String,
    path: Vec<Step>,
    estimate: Estimate,
}

impl<'q> Pricer<'q> {
    fn selections(&mut self, parent: &str, set: &'q SelectionSet, parents: u64, is_root: bool) {
        for selection in &set.items {
            if !is_included(selection.node.directives(), self.variables) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    self.estimate.price.aliases += usize::from(is_root);
                    let key = field.node.response_key().node.to_string();
                    self.path.push(Step::Key(key));
                    self.field(parent, field, parents);
                    self.path.pop();
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref();
                    let on = on.map_or(parent, |found| found.node.on.node.as_str());
                    self.selections(on, &fragment.node.selection_set.node, parents, is_root);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(found) = self.fragments.get(&spread.node.fragment_name.node) {
                        let on = found.node.type_condition.node.on.node.as_str();
                        self.selections(on, &found.node.selection_set.node, parents, is_root);
                    }
                }
            }
        }
    }

    fn field(&mut self, parent: &str, field: &'q Positioned<Field>, parents: u64) {
        let name = field.node.name.node.as_str();
        let Some(ty) = self.field_type(parent, name) else {
            self.undefined(parent, field);
            return;
        };
        let arguments = Arguments {
            field: &field.node,
            variables: self.variables,
        };
        let items = match (parent, name) {
            ("Query", "nodes") => {
                let ids = arguments.texts("ids").map_or(0, |ids| ids.len());
                self.estimate.price.ids += ids;
                Some(u64::try_from(ids).unwrap_or(u64::MAX))
            }
            ("Query", "node") => {
                self.estimate.price.ids += 1;
                None
            }
            _ if ty.ends_with("Connection") => self.connection(name, field, arguments),
            _ => None,
        };
        let mut children = parents;
        if let Some(items) = items {
            self.estimate.price.requests = self.estimate.price.requests.saturating_add(parents);
            children = parents.saturating_mul(items);
            self.estimate.price.nodes = self.estimate.price.nodes.saturating_add(children);
        }
        self.selections(ty, &field.node.selection_set.node, children, false);
    }

    fn field_type(&self, parent: &str, name: &str) -> Option<&'static str> {
        let is_hidden =
            !self.hidden.is_empty() && self.hidden.contains(&(parent.to_owned(), name.to_owned()));
        let found = SCHEMA.field(parent, name).filter(|_| !is_hidden)?;
        Some(named(found))
    }

    fn undefined(&mut self, parent: &str, field: &Positioned<Field>) {
        let name = field.node.name.node.as_str();
        let message = format!("Field '{name}' doesn't exist on type '{parent}'");
        let mut path = vec![Step::Key(self.label.clone())];
        path.extend_from_slice(&self.path);
        let problem = Problem::of_text("undefinedField", message)
            .extension("typeName", json!(parent))
            .extension("fieldName", json!(name))
            .at(&path, field.pos);
        self.estimate.undefined.push(problem);
    }

    /// How many items a connection may have; without a size only its total may be asked for.
    fn connection(
        &mut self,
        name: &str,
        field: &Positioned<Field>,
        arguments: Arguments<'_>,
    ) -> Option<u64> {
        let sizes = [
            ("first", arguments.get("first")),
            ("last", arguments.get("last")),
        ];
        let size = sizes
            .into_iter()
            .find_map(|(name, size)| Some((name, size?.as_i64()?)));
        match size {
            None => {
                if self.needs_size(&field.node.selection_set.node) {
                    let message = format!(
                        "You must provide a `first` or `last` value to properly paginate the \
                         `{name}` connection."
                    );
                    let problem = Problem::new("MISSING_PAGINATION_BOUNDARIES", message);
                    self.estimate
                        .oversized
                        .push(problem.at(&self.path, field.pos));
                }
                None
            }
            Some((argument, size)) => match u64::try_from(size) {
                Ok(size) if size <= MOST_ITEMS => Some(size),
                Ok(size) => {
                    let message = format!(
                        "Requesting {size} records on the `{name}` connection exceeds the \
                         `{argument}` limit of {MOST_ITEMS} records."
                    );
                    let problem = Problem::new("EXCESSIVE_PAGINATION", message);
                    self.estimate
                        .oversized
                        .push(problem.at(&self.path, field.pos));
                    Some(MOST_ITEMS)
                }
                Err(_) => {
                    let message = format!(
                        "`{argument}` on the `{name}` connection cannot be less than zero."
                    );
                    let problem = Problem::new("ARGUMENT_ERROR", message);
                    self.estimate
                        .oversized
                        .push(problem.at(&self.path, field.pos));
                    None
                }
            },
        }
    }

    fn needs_size(&self, set: &SelectionSet) -> bool {
        set.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => {
                matches!(
                    field.node.name.node.as_str(),
                    "nodes" | "edges" | "pageInfo"
                )
            }
            Selection::InlineFragment(fragment) => {
                self.needs_size(&fragment.node.selection_set.node)
            }
            Selection::FragmentSpread(spread) => self
                .fragments
                .get(&spread.node.fragment_name.node)
                .is_some_and(|found| self.needs_size(&found.node.selection_set.node)),
        })
    }
}
