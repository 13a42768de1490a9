//! What a query costs by GitHub's published formula, before it runs.
//!
//! Each connection is one request for each parent that it may have, assuming that every `first`
//! and `last` is reached; a hundred requests are a point. The nodes are what those connections may
//! hold.

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{Field, Selection, SelectionSet};

use super::argument::{Arguments, Variables, is_included};
use super::call::Fragments;
use super::problem::{Problem, Step};
use super::schema::{SCHEMA, named};

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

/// Prices a selection of the root; the problems are connections without a sensible size.
pub(crate) fn price(
    fragments: &Fragments,
    variables: &Variables,
    set: &SelectionSet,
) -> (Price, Vec<Problem>) {
    let mut pricer = Pricer {
        fragments,
        variables,
        path: Vec::new(),
        price: Price::default(),
        problems: Vec::new(),
    };
    pricer.selections("Query", set, 1, true);
    (pricer.price, pricer.problems)
}

struct Pricer<'q> {
    fragments: &'q Fragments,
    variables: &'q Variables,
    path: Vec<Step>,
    price: Price,
    problems: Vec<Problem>,
}

impl<'q> Pricer<'q> {
    fn selections(&mut self, parent: &str, set: &'q SelectionSet, parents: u64, is_root: bool) {
        for selection in &set.items {
            if !is_included(selection.node.directives(), self.variables) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    self.price.aliases += usize::from(is_root);
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
        let Some(found) = SCHEMA.field(parent, name) else {
            return;
        };
        let ty = named(&found.ty);
        let arguments = Arguments {
            field: &field.node,
            variables: self.variables,
        };
        let items = match (parent, name) {
            ("Query", "nodes") => {
                let ids = arguments.texts("ids").map_or(0, |ids| ids.len());
                self.price.ids += ids;
                Some(u64::try_from(ids).unwrap_or(u64::MAX))
            }
            ("Query", "node") => {
                self.price.ids += 1;
                None
            }
            _ if ty.ends_with("Connection") => self.connection(name, field, arguments),
            _ => None,
        };
        let mut children = parents;
        if let Some(items) = items {
            self.price.requests = self.price.requests.saturating_add(parents);
            children = parents.saturating_mul(items);
            self.price.nodes = self.price.nodes.saturating_add(children);
        }
        self.selections(ty, &field.node.selection_set.node, children, false);
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
                    self.problems.push(problem.at(&self.path, field.pos));
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
                    self.problems.push(problem.at(&self.path, field.pos));
                    Some(MOST_ITEMS)
                }
                Err(_) => {
                    let message = format!(
                        "`{argument}` on the `{name}` connection cannot be less than zero."
                    );
                    let problem = Problem::new("ARGUMENT_ERROR", message);
                    self.problems.push(problem.at(&self.path, field.pos));
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
