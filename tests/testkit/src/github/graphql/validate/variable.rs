//! Variables: each is declared, used, and of a type that fits where it is used.

use std::collections::HashSet;

use async_graphql_parser::types::{
    BaseType, OperationDefinition, Selection, SelectionSet, Type, VariableDefinition,
};
use async_graphql_parser::{Pos, Positioned};
use async_graphql_value::{ConstValue, Name, Value};
use serde_json::json;

use super::condition;
use crate::github::graphql::call::Fragments;
use crate::github::graphql::problem::{Problem, Step};
use crate::github::graphql::schema::{Kind, SCHEMA, named};

/// A place where a variable stands.
struct Use<'d> {
    variable: &'d Name,
    expected: Type,
    argument: String,
    location: Pos,
}

pub(super) fn check(
    fragments: &Fragments,
    root: &str,
    owner: &str,
    operation: &OperationDefinition,
    step: &Step,
) -> Vec<Problem> {
    let mut finder = Finder {
        fragments,
        seen: HashSet::new(),
        uses: Vec::new(),
    };
    finder.selections(root, &operation.selection_set.node);
    let path = std::slice::from_ref(step);
    let mut problems = Vec::new();
    for definition in &operation.variable_definitions {
        let name = &definition.node.name.node;
        if finder.uses.iter().all(|used| used.variable != name) {
            let message = format!("Variable ${name} is declared by {owner} but not used");
            let problem = Problem::of_text("variableNotUsed", message)
                .extension("variableName", json!(name.as_str()));
            problems.push(problem.at(path, definition.pos));
        }
    }
    for used in finder.uses {
        let Use {
            variable,
            expected,
            argument,
            location,
        } = used;
        match declared(operation, variable) {
            None => {
                let message = format!("Variable ${variable} is used by {owner} but not declared");
                let problem = Problem::of_text("variableNotDefined", message)
                    .extension("variableName", json!(variable.as_str()));
                problems.push(problem.at(path, location));
            }
            Some(definition) if !fits(definition, &expected) => {
                let given = &definition.var_type.node;
                let message = format!(
                    "Type mismatch on variable ${variable} and argument {argument} ({given} / \
                     {expected})"
                );
                let problem = Problem::of_text("variableMismatch", message)
                    .extension("variableName", json!(variable.as_str()))
                    .extension("typeName", json!(given.to_string()))
                    .extension("argumentName", json!(argument))
                    .extension("errorMessage", json!("Type mismatch"));
                problems.push(problem.at(path, location));
            }
            Some(_) => {}
        }
    }
    problems
}

fn declared<'d>(operation: &'d OperationDefinition, name: &Name) -> Option<&'d VariableDefinition> {
    operation
        .variable_definitions
        .iter()
        .map(|definition| &definition.node)
        .find(|definition| definition.name.node == *name)
}

/// A variable with a default is never null.
fn fits(definition: &VariableDefinition, expected: &Type) -> bool {
    let has_default = definition
        .default_value
        .as_ref()
        .is_some_and(|value| value.node != ConstValue::Null);
    let given = &definition.var_type.node;
    let nullable = given.nullable && !has_default;
    (!nullable || expected.nullable) && same_base(&given.base, &expected.base)
}

fn same_base(given: &BaseType, expected: &BaseType) -> bool {
    match (given, expected) {
        (BaseType::Named(given), BaseType::Named(expected)) => given == expected,
        (BaseType::List(given), BaseType::List(expected)) => {
            (!given.nullable || expected.nullable) && same_base(&given.base, &expected.base)
        }
        (BaseType::Named(_), BaseType::List(expected)) => same_base(given, &expected.base),
        (BaseType::List(_), BaseType::Named(_)) => false,
    }
}

struct Finder<'d> {
    fragments: &'d Fragments,
    seen: HashSet<&'d Name>,
    uses: Vec<Use<'d>>,
}

impl<'d> Finder<'d> {
    fn selections(&mut self, parent: &str, set: &'d SelectionSet) {
        for selection in &set.items {
            for directive in selection.node.directives() {
                if let Some(value) = condition(&directive.node) {
                    self.value(value, &boolean(), "if", directive.pos);
                }
            }
            match &selection.node {
                Selection::Field(field) => {
                    let Some(found) = SCHEMA.field(parent, &field.node.name.node) else {
                        continue;
                    };
                    for (name, value) in &field.node.arguments {
                        if let Some(argument) = found.arguments.get(name.node.as_str()) {
                            let mut expected = argument.ty.clone();
                            expected.nullable |= argument.has_default;
                            self.value(&value.node, &expected, &name.node, value.pos);
                        }
                    }
                    self.selections(named(&found.ty), &field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref();
                    let on = on.map_or(parent, |found| found.node.on.node.as_str());
                    self.selections(on, &fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => self.fragment(spread),
            }
        }
    }

    fn fragment(&mut self, spread: &'d Positioned<async_graphql_parser::types::FragmentSpread>) {
        let name = &spread.node.fragment_name.node;
        if !self.seen.insert(name) {
            return;
        }
        if let Some(fragment) = self.fragments.get(name) {
            let on = fragment.node.type_condition.node.on.node.as_str();
            self.selections(on, &fragment.node.selection_set.node);
        }
    }

    fn value(&mut self, value: &'d Value, expected: &Type, argument: &str, location: Pos) {
        match value {
            Value::Variable(variable) => self.uses.push(Use {
                variable,
                expected: expected.clone(),
                argument: argument.to_owned(),
                location,
            }),
            Value::List(items) => {
                if let BaseType::List(inner) = &expected.base {
                    for item in items {
                        self.value(item, inner, argument, location);
                    }
                }
            }
            Value::Object(members) => {
                let Some(Kind::Input(fields)) = SCHEMA.kind(named(expected)) else {
                    return;
                };
                for (name, value) in members {
                    if let Some(field) = fields.get(name.as_str()) {
                        self.value(value, &field.ty, name, location);
                    }
                }
            }
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_) => {}
        }
    }
}

fn boolean() -> Type {
    Type {
        base: BaseType::Named(Name::new("Boolean")),
        nullable: false,
    }
}
