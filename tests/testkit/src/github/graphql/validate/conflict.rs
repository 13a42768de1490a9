//! Two fields that would share one place in the answer must be the same field.

use std::collections::HashMap;

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{Field, OperationDefinition, Selection, SelectionSet};
use serde_json::json;

use crate::github::graphql::call::Fragments;
use crate::github::graphql::problem::{Problem, Step};
use crate::github::graphql::schema::{SCHEMA, named};

/// A field, and the type that its selection is on.
type Found<'d> = (&'d str, &'d Positioned<Field>);

pub(super) fn find(
    fragments: &Fragments,
    root: &str,
    operation: &OperationDefinition,
    step: &Step,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let sets = [(root, &operation.selection_set.node)];
    compare(fragments, &sets, step, &mut problems);
    problems
}

/// Compares the fields of selections that end up in one object.
fn compare<'d>(
    fragments: &'d Fragments,
    sets: &[(&'d str, &'d SelectionSet)],
    step: &Step,
    problems: &mut Vec<Problem>,
) {
    let mut by_key: HashMap<&str, Vec<Found<'d>>> = HashMap::new();
    for (parent, set) in sets {
        flatten(fragments, parent, set, &mut by_key);
    }
    let mut keys: Vec<&str> = by_key.keys().copied().collect();
    keys.sort_unstable();
    for key in keys {
        let Some((first, others)) = by_key.get(key).and_then(|found| found.split_first()) else {
            continue;
        };
        for other in others {
            if let Some((one, other)) = conflict(first, other) {
                let message = format!("Field '{key}' has a field conflict: {one} or {other}?");
                let problem = Problem::of_text("fieldConflict", message)
                    .extension("fieldName", json!(key))
                    .extension("conflicts", json!(format!("{one} or {other}")));
                problems.push(problem.at(std::slice::from_ref(step), first.1.pos));
            }
        }
        let below: Vec<(&str, &SelectionSet)> = std::iter::once(first)
            .chain(others)
            .filter_map(|(parent, field)| {
                let ty = SCHEMA.field(parent, &field.node.name.node)?;
                Some((named(&ty.ty), &field.node.selection_set.node))
            })
            .filter(|(_, set)| !set.items.is_empty())
            .collect();
        if !below.is_empty() {
            compare(fragments, &below, step, problems);
        }
    }
}

/// What the two differ in, if they do.
fn conflict(one: &Found<'_>, other: &Found<'_>) -> Option<(String, String)> {
    let ((one_parent, one), (other_parent, other)) = (one, other);
    let (one_name, other_name) = (&one.node.name.node, &other.node.name.node);
    // Objects of different types never share a place, but their answers must look alike.
    if SCHEMA.overlap(one_parent, other_parent) {
        if one_name != other_name {
            return Some((one_name.to_string(), other_name.to_string()));
        }
        let (one, other) = (arguments(&one.node), arguments(&other.node));
        if one != other {
            return Some((one, other));
        }
    }
    let one_type = &SCHEMA.field(one_parent, one_name)?.ty;
    let other_type = &SCHEMA.field(other_parent, other_name)?.ty;
    let alike = if SCHEMA.has_selections(one_type) && SCHEMA.has_selections(other_type) {
        true
    } else {
        one_type == other_type
    };
    (!alike).then(|| (one_type.to_string(), other_type.to_string()))
}

fn arguments(field: &Field) -> String {
    let mut texts: Vec<String> = field
        .arguments
        .iter()
        .map(|(name, value)| format!("{}: {}", name.node, value.node))
        .collect();
    texts.sort_unstable();
    format!("{{{}}}", texts.join(", "))
}

fn flatten<'d>(
    fragments: &'d Fragments,
    parent: &'d str,
    set: &'d SelectionSet,
    by_key: &mut HashMap<&'d str, Vec<Found<'d>>>,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => by_key
                .entry(field.node.response_key().node.as_str())
                .or_default()
                .push((parent, field)),
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref();
                let on = on.map_or(parent, |found| found.node.on.node.as_str());
                flatten(fragments, on, &fragment.node.selection_set.node, by_key);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = fragments.get(&spread.node.fragment_name.node) {
                    let on = fragment.node.type_condition.node.on.node.as_str();
                    flatten(fragments, on, &fragment.node.selection_set.node, by_key);
                }
            }
        }
    }
}
