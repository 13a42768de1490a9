//! Runs a query, and writes the answer as it goes.
//!
//! A field that fails is null, with an error at its path; where the schema allows no null, the
//! next thing around it is null instead. What was written of it is then cut off again.

use std::collections::HashMap;
use std::rc::Rc;

use async_graphql_parser::types::{BaseType, Field, Selection, SelectionSet, Type};
use async_graphql_parser::{Pos, Positioned};
use serde::Serialize;

use super::argument::{Arguments, Variables, is_included};
use super::call::Fragments;
use super::entity::{Entity, Outcome, Resolved};
use super::problem::{Problem, Step};
use super::resolve::{Resolver, resource_limits};
use super::schema::SCHEMA;

/// A query that runs.
pub(crate) struct Execution<'w> {
    pub(crate) resolver: Resolver<'w>,
    fragments: &'w Fragments,
    variables: &'w Variables,
    /// The fields of a selection on an object of that type, worked out once.
    collected: HashMap<(*const SelectionSet, &'static str), Rc<[Group<'w>]>>,
    out: Vec<u8>,
    path: Vec<Here<'w>>,
    problems: Vec<Problem>,
}

/// What a query came to: the JSON of `data`, and the errors.
pub(crate) struct Finished {
    pub(crate) data: Vec<u8>,
    pub(crate) problems: Vec<Problem>,
}

/// A step of the path, borrowed until it is needed.
#[derive(Clone, Copy)]
enum Here<'w> {
    Key(&'w str),
    Index(usize),
}

/// Fields that share one place in the answer; nearly always one.
struct Group<'w> {
    key: &'w str,
    field: &'w Positioned<Field>,
    more: Vec<&'w Positioned<Field>>,
    /// What the schema says of it; nothing for what it does not have.
    found: Option<&'static Type>,
}

impl<'w> Execution<'w> {
    pub(crate) fn new(
        resolver: Resolver<'w>,
        fragments: &'w Fragments,
        variables: &'w Variables,
    ) -> Self {
        Self {
            resolver,
            fragments,
            variables,
            collected: HashMap::new(),
            out: Vec::with_capacity(1024),
            path: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Runs a selection of the root.
    pub(crate) fn run(&mut self, set: &'w SelectionSet) -> Finished {
        let groups = self.collect(&[set], "Query");
        if !self.object(&Entity::Query, &groups) {
            self.out.clear();
            self.out.extend_from_slice(b"null");
        }
        Finished {
            data: std::mem::take(&mut self.out),
            problems: std::mem::take(&mut self.problems),
        }
    }

    /// Writes an object; false if a null in it has no place there.
    fn object(&mut self, entity: &Entity<'w>, groups: &[Group<'w>]) -> bool {
        self.out.push(b'{');
        for (index, group) in groups.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.write(group.key);
            self.out.push(b':');
            self.path.push(Here::Key(group.key));
            let written = self.field(entity, group);
            self.path.pop();
            if !written {
                return false;
            }
        }
        self.out.push(b'}');
        true
    }

    fn field(&mut self, entity: &Entity<'w>, group: &Group<'w>) -> bool {
        let name = group.field.node.name.node.as_str();
        let type_name = entity.type_name();
        if name == "__typename" {
            self.write(type_name);
            return true;
        }
        // A query for what the schema lacks is refused before it runs.
        let Some(found) = group.found else {
            return false;
        };
        let arguments = Arguments {
            field: &group.field.node,
            variables: self.variables,
        };
        let outcome = self.resolver.resolve(entity, name, arguments);
        self.complete(found, outcome, group)
    }

    /// Writes a value of that type; false if it is null and must not be.
    fn complete(&mut self, ty: &Type, outcome: Outcome<'w>, group: &Group<'w>) -> bool {
        let start = self.out.len();
        let written = match outcome {
            Err(problem) => {
                self.report(*problem, group.field.pos);
                false
            }
            Ok(Resolved::Null) => false,
            Ok(Resolved::Text(text)) => self.write(&text),
            Ok(Resolved::Number(number)) => self.write(&number),
            Ok(Resolved::Flag(flag)) => self.write(&flag),
            Ok(Resolved::Texts(texts)) => self.write(texts),
            Ok(Resolved::Object(Entity::PullRequest(_) | Entity::Repository(_)))
                if self.is_refused() =>
            {
                self.report(*resource_limits(), group.field.pos);
                false
            }
            Ok(Resolved::Object(entity)) => {
                self.resolver.weight += u64::from(entity.is_weighed());
                self.selected(&entity, group)
            }
            Ok(Resolved::List(items)) => self.list(ty, items, group),
        };
        if written {
            return true;
        }
        self.out.truncate(start);
        if ty.nullable {
            self.out.extend_from_slice(b"null");
        }
        ty.nullable
    }

    /// Whether the query has had its share, and this is one of the things asked for as such: an
    /// alias, or a node of a list of them.
    fn is_refused(&self) -> bool {
        matches!(
            self.path.as_slice(),
            [Here::Key(_)] | [Here::Key(_), Here::Index(_)]
        ) && self.resolver.refuses_the_rest()
    }

    fn list(
        &mut self,
        ty: &Type,
        items: Vec<Result<Option<Entity<'w>>, Box<Problem>>>,
        group: &Group<'w>,
    ) -> bool {
        let BaseType::List(inner) = &ty.base else {
            return false;
        };
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.path.push(Here::Index(index));
            let written = self.complete(inner, item.map(Resolved::object), group);
            self.path.pop();
            if !written {
                return false;
            }
        }
        self.out.push(b']');
        true
    }

    fn selected(&mut self, entity: &Entity<'w>, group: &Group<'w>) -> bool {
        let type_name = entity.type_name();
        let first = &group.field.node.selection_set.node;
        if let (true, Some(known)) = (
            group.more.is_empty(),
            self.collected.get(&(std::ptr::from_ref(first), type_name)),
        ) {
            let groups = Rc::clone(known);
            return self.object(entity, &groups);
        }
        let more = group
            .more
            .iter()
            .map(|field| &field.node.selection_set.node);
        let sets: Vec<&'w SelectionSet> = std::iter::once(first).chain(more).collect();
        let groups: Rc<[Group<'w>]> = self.collect(&sets, type_name).into();
        if group.more.is_empty() {
            self.collected
                .insert((std::ptr::from_ref(first), type_name), Rc::clone(&groups));
        }
        self.object(entity, &groups)
    }

    fn collect(&self, sets: &[&'w SelectionSet], type_name: &str) -> Vec<Group<'w>> {
        let mut groups = Vec::new();
        for set in sets {
            self.collect_into(&mut groups, set, type_name);
        }
        groups
    }

    fn collect_into(&self, groups: &mut Vec<Group<'w>>, set: &'w SelectionSet, type_name: &str) {
        for selection in &set.items {
            if !is_included(selection.node.directives(), self.variables) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    match groups.iter_mut().find(|group| group.key == key) {
                        Some(group) => group.more.push(field),
                        None => groups.push(Group {
                            key,
                            field,
                            more: Vec::new(),
                            found: SCHEMA.field(type_name, &field.node.name.node),
                        }),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref();
                    if on.is_none_or(|on| SCHEMA.is_a(type_name, &on.node.on.node)) {
                        self.collect_into(groups, &fragment.node.selection_set.node, type_name);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let found = self.fragments.get(&spread.node.fragment_name.node);
                    let fitting = found.filter(|found| {
                        SCHEMA.is_a(type_name, &found.node.type_condition.node.on.node)
                    });
                    if let Some(found) = fitting {
                        self.collect_into(groups, &found.node.selection_set.node, type_name);
                    }
                }
            }
        }
    }

    fn report(&mut self, problem: Problem, location: Pos) {
        let path: Vec<Step> = self
            .path
            .iter()
            .map(|here| match here {
                Here::Key(key) => Step::Key((*key).to_owned()),
                Here::Index(index) => Step::Index(*index),
            })
            .collect();
        self.problems.push(problem.at(&path, location));
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> bool {
        serde_json::to_writer(&mut self.out, value).is_ok()
    }
}
