//! Checks a query against the schema before anything runs, in the host's words and codes.

mod conflict;
mod literal;
mod variable;

use std::collections::HashSet;

use async_graphql_parser::types::{
    Directive, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type,
};
use async_graphql_parser::{Pos, Positioned};
use async_graphql_value::{Name, Value};
use serde_json::json;

use super::call::{Call, Fragments};
use super::problem::{Problem, Step};
use super::schema::{FieldType, SCHEMA, named};

/// Fields that this host does not have, as pairs of type and field.
pub(crate) type Hidden = HashSet<(String, String)>;

/// What validation found.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) problems: Vec<Problem>,
    /// Whether the query asks for something that the stand-in lacks, and that was not hidden on
    /// purpose. The real host may well have it.
    pub(crate) beyond: bool,
}

/// Checks one operation and all fragments of its document.
pub(crate) fn validate(
    call: &Call,
    name: Option<&str>,
    operation: &OperationDefinition,
    hidden: &Hidden,
) -> Verdict {
    let fragments = call.fragments();
    let mut validator = Validator {
        fragments,
        hidden,
        path: Vec::new(),
        spread: HashSet::new(),
        verdict: Verdict::default(),
    };
    let root = match operation.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let label = match name {
        Some(name) => format!("{} {name}", operation.ty),
        None => operation.ty.to_string(),
    };
    let step = Step::Key(label);
    validator.path.push(step.clone());
    validator.selections(root, &operation.selection_set.node);
    validator.path.clear();
    let mut names: Vec<&Name> = fragments.keys().collect();
    names.sort_unstable();
    for name in names {
        validator.fragment(name);
    }
    if validator.verdict.problems.is_empty() {
        let conflicts = conflict::find(fragments, root, operation, &step);
        validator.verdict.problems.extend(conflicts);
    }
    if validator.verdict.problems.is_empty() {
        let owner = name.unwrap_or("anonymous query");
        let found = variable::check(fragments, root, owner, operation, &step);
        validator.verdict.problems.extend(found);
    }
    validator.verdict
}

struct Validator<'d> {
    fragments: &'d Fragments,
    hidden: &'d Hidden,
    path: Vec<Step>,
    /// The fragments that something uses.
    spread: HashSet<Name>,
    verdict: Verdict,
}

impl Validator<'_> {
    fn report(&mut self, problem: Problem, location: Pos) {
        self.verdict.problems.push(problem.at(&self.path, location));
    }

    fn selections(&mut self, parent: &str, set: &SelectionSet) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.to_string();
                    self.path.push(Step::Key(key));
                    self.field(parent, field);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let on = condition.map_or(parent, |found| found.node.on.node.as_str());
                    self.path.push(Step::Key(format!("... on {on}")));
                    if self.can_be(parent, on, "unknown", fragment.pos) {
                        self.selections(on, &fragment.node.selection_set.node);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    self.path.push(Step::Key(format!("... {name}")));
                    self.spread.insert(name.clone());
                    match self.fragments.get(name) {
                        Some(found) => {
                            let on = found.node.type_condition.node.on.node.as_str();
                            self.can_be(parent, on, name, spread.pos);
                        }
                        None => {
                            let message = format!("Fragment {name} was used, but not defined");
                            let problem = Problem::of_text("useAndDefineFragment", message)
                                .extension("fragmentName", json!(name.as_str()));
                            self.report(problem, spread.pos);
                        }
                    }
                }
            }
            self.directives(selection.node.directives());
            self.path.pop();
        }
    }

    /// A fragment's own fields; where it is used does not matter for them.
    fn fragment(&mut self, name: &Name) {
        let Some(fragment) = self.fragments.get(name) else {
            return;
        };
        self.path.push(Step::Key(format!("fragment {name}")));
        let on = fragment.node.type_condition.node.on.node.as_str();
        if SCHEMA.composite(on).is_none() {
            self.no_such_type(on, fragment.pos);
        } else if contains_itself(self.fragments, name) {
            let message = format!("Fragment {name} contains an infinite loop");
            let problem = Problem::of_text("infiniteLoop", message)
                .extension("fragmentName", json!(name.as_str()));
            self.report(problem, fragment.pos);
        } else {
            self.selections(on, &fragment.node.selection_set.node);
        }
        if !is_used(self.fragments, name, &self.spread) {
            let message = format!("Fragment {name} was defined, but not used");
            let problem = Problem::of_text("useAndDefineFragment", message)
                .extension("fragmentName", json!(name.as_str()));
            self.report(problem, fragment.pos);
        }
        self.path.pop();
    }

    fn no_such_type(&mut self, name: &str, location: Pos) {
        self.verdict.beyond = true;
        let message = format!("No such type {name}, so it can't be a fragment condition");
        let problem = Problem::of_text("undefinedType", message).extension("typeName", json!(name));
        self.report(problem, location);
    }

    /// Whether what is `parent` can also be `on`; if not, that is reported.
    fn can_be(&mut self, parent: &str, on: &str, fragment: &str, location: Pos) -> bool {
        if SCHEMA.composite(on).is_none() {
            self.no_such_type(on, location);
            return false;
        }
        if SCHEMA.overlap(parent, on) {
            return true;
        }
        let message = format!("Fragment on {on} can't be spread inside {parent}");
        let problem = Problem::of_text("cannotSpreadFragment", message)
            .extension("typeName", json!(on))
            .extension("fragmentName", json!(fragment))
            .extension("parentName", json!(parent));
        self.report(problem, location);
        false
    }

    fn field(&mut self, parent: &str, field: &Positioned<Field>) {
        let name = field.node.name.node.as_str();
        let found = SCHEMA.field(parent, name);
        let hidden = self.hidden.contains(&(parent.to_owned(), name.to_owned()));
        let Some(found) = found.filter(|_| !hidden) else {
            self.verdict.beyond |= !hidden;
            let message = format!("Field '{name}' doesn't exist on type '{parent}'");
            let problem = Problem::of_text("undefinedField", message)
                .extension("typeName", json!(parent))
                .extension("fieldName", json!(name));
            self.report(problem, field.pos);
            return;
        };
        self.arguments(field, found);
        let set = &field.node.selection_set.node;
        match (SCHEMA.has_selections(&found.ty), set.items.is_empty()) {
            (true, false) => self.selections(named(&found.ty), set),
            (true, true) => {
                let ty = &found.ty;
                let message = format!(
                    "Field must have selections (field '{name}' returns {} but has no selections. \
                     Did you mean '{name} {{ ... }}'?)",
                    named(ty)
                );
                self.selection_mismatch(name, ty, message, field.pos);
            }
            (false, false) => {
                let ty = &found.ty;
                let message = format!(
                    "Selections can't be made on scalars (field '{name}' returns {} but has \
                     selections)",
                    named(ty)
                );
                self.selection_mismatch(name, ty, message, field.pos);
            }
            (false, true) => {}
        }
    }

    fn selection_mismatch(&mut self, name: &str, ty: &Type, message: String, location: Pos) {
        let problem = Problem::of_text("selectionMismatch", message)
            .extension("nodeName", json!(format!("field '{name}'")))
            .extension("typeName", json!(ty.to_string()));
        self.report(problem, location);
    }

    fn arguments(&mut self, field: &Positioned<Field>, found: &FieldType) {
        let name = field.node.name.node.as_str();
        for (argument, value) in &field.node.arguments {
            let argument_name = argument.node.as_str();
            self.path.push(Step::Key(argument_name.to_owned()));
            match found.arguments.get(argument_name) {
                None => {
                    let message =
                        format!("Field '{name}' doesn't accept argument '{argument_name}'");
                    let problem = Problem::of_text("argumentNotAccepted", message)
                        .extension("name", json!(name))
                        .extension("typeName", json!("Field"))
                        .extension("argumentName", json!(argument_name));
                    self.report(problem, argument.pos);
                }
                Some(expected) if !literal::fits(&expected.ty, &value.node) => {
                    let message = format!(
                        "Argument '{argument_name}' on Field '{name}' has an invalid value ({}). \
                         Expected type '{}'.",
                        value.node, expected.ty
                    );
                    let problem = Problem::of_text("argumentLiteralsIncompatible", message)
                        .extension("typeName", json!("Field"))
                        .extension("argumentName", json!(argument_name));
                    self.report(problem, value.pos);
                }
                Some(_) => {}
            }
            self.path.pop();
        }
        let mut missing: Vec<&str> = found
            .arguments
            .iter()
            .filter(|(_, expected)| !expected.ty.nullable && !expected.has_default)
            .map(|(name, _)| name.as_str())
            .filter(|name| field.node.get_argument(name).is_none())
            .collect();
        missing.sort_unstable();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let message = format!("Field '{name}' is missing required arguments: {missing}");
            let problem = Problem::of_text("missingRequiredArguments", message)
                .extension("className", json!("Field"))
                .extension("name", json!(name))
                .extension("arguments", json!(missing));
            self.report(problem, field.pos);
        }
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) {
        for directive in directives {
            let name = directive.node.name.node.as_str();
            if !matches!(name, "include" | "skip") {
                let message = format!("Directive @{name} is not defined");
                let problem = Problem::of_text("undefinedDirective", message)
                    .extension("directiveName", json!(name));
                self.report(problem, directive.pos);
            }
        }
    }
}

/// Whether spreading the fragment never ends.
pub(super) fn contains_itself(fragments: &Fragments, name: &Name) -> bool {
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

/// Whether the operation, or another fragment, uses the fragment.
fn is_used(fragments: &Fragments, name: &Name, spread: &HashSet<Name>) -> bool {
    spread.contains(name)
        || fragments.iter().any(|(other, fragment)| {
            other != name && spreads(&fragment.node.selection_set.node).contains(&name)
        })
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

/// The argument of `@include` or `@skip`.
pub(crate) fn condition(directive: &Directive) -> Option<&Value> {
    directive.get_argument("if").map(|found| &found.node)
}
