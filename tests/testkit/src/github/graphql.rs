//! `POST /graphql`: GitHub's other API, on the same model as REST.
//!
//! A query is read and priced when it arrives, then checked against the budget, and only then run.
//! Each step refuses in the host's own words. Whether a query is valid is not checked here, only
//! that the host has its fields: CI validates the worker's queries with GitHub's whole schema.

mod argument;
mod call;
mod entity;
mod execute;
mod page;
mod price;
mod problem;
mod query;
mod resolve;
mod schema;

use std::collections::HashSet;

use async_graphql_parser::types::{OperationDefinition, Selection, SelectionSet};
use async_graphql_value::Name;
use axum::http::StatusCode;
use serde_json::{Value, json};

use self::argument::{Arguments, Variables};
pub(crate) use self::call::Documents;
use self::execute::{Execution, Finished};
use self::problem::Problem;
pub(crate) use self::query::{Prepared, Query, Unreadable};
use self::resolve::{Rate, Resolver};
use self::schema::Hidden;
use super::answer::{Answer, Incoming};
use super::barrier::Visitor;
use super::fault::Overload;
use super::limit::Resource;
use super::model::{AccountId, RepositoryId};
use super::record::Noted;
use super::state::World;
use super::{front, refusal};

/// Possible nodes of one query.
const MOST_NODES: u64 = 500_000;
const DOCUMENTATION: &str = "https://docs.github.com/graphql";

/// How this host's GraphQL API differs from the real one's.
pub(crate) struct Settings {
    pub(crate) disabled: bool,
    pub(crate) hidden: Hidden,
    pub(crate) most_nodes: u64,
    pub(crate) most_weight: Option<u64>,
    /// What becomes of a query that is too heavy.
    pub(crate) overload: Overload,
    /// The pull requests that are too heavy by themselves.
    pub(crate) poisoned: HashSet<u64>,
    /// The repositories whose checks are too heavy to be summed up.
    pub(crate) heavy_checks: HashSet<RepositoryId>,
    /// The accounts whose tokens may not read checks.
    pub(crate) without_checks: HashSet<AccountId>,
    pub(crate) spelling: LimitSpelling,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disabled: false,
            hidden: Hidden::new(),
            most_nodes: MOST_NODES,
            most_weight: None,
            overload: Overload::default(),
            poisoned: HashSet::new(),
            heavy_checks: HashSet::new(),
            without_checks: HashSet::new(),
            spelling: LimitSpelling::default(),
        }
    }
}

/// GitHub's two words for the primary limit in GraphQL answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LimitSpelling {
    /// `RATE_LIMITED`.
    #[default]
    RateLimited,
    /// `RATE_LIMIT`, with the code `graphql_rate_limit`.
    RateLimit,
}

/// An answer, and what the record keeps of it.
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// Whether the query asks for something that the stand-in lacks.
    pub(crate) unexpected: bool,
    pub(crate) noted: Noted,
}

impl Reply {
    fn refusal(problems: &[Problem]) -> Self {
        let errors: Vec<Value> = problems.iter().map(Problem::to_json).collect();
        Self {
            answer: Answer::json(StatusCode::OK, &json!({ "errors": errors })),
            unexpected: false,
            noted: Noted {
                weight: 0,
                errors: labels(problems),
            },
        }
    }

    fn bad_request(message: &str) -> Self {
        let answer = Answer::error_about(StatusCode::BAD_REQUEST, message, DOCUMENTATION);
        Self {
            answer,
            unexpected: false,
            noted: Noted::default(),
        }
    }
}

/// Answers a query of `viewer`.
pub(crate) fn answer(
    world: &mut World,
    viewer: AccountId,
    incoming: &Incoming,
    query: &Query,
) -> Reply {
    let prepared = match query {
        Query::Ready(prepared) => prepared,
        Query::Unreadable(Unreadable::Body) => return Reply::bad_request("Problems parsing JSON"),
        Query::Unreadable(Unreadable::NoQuery) => {
            let message = "A query attribute must be specified and must be a string.";
            return Reply::bad_request(message);
        }
        Query::Unreadable(Unreadable::Query(problem)) => {
            return Reply::refusal(std::slice::from_ref(problem));
        }
    };
    let (name, operation) = match prepared.call.operation() {
        Ok(found) => found,
        Err(problem) => return Reply::refusal(&[*problem]),
    };
    if let Some(problem) = prepared.call.endless() {
        return Reply::refusal(&[problem]);
    }
    let variables = match &prepared.variables {
        Ok(variables) => variables,
        Err(problems) => return Reply::refusal(problems),
    };
    let estimate = &prepared.estimate;
    if !estimate.undefined.is_empty() {
        let mut refusal = Reply::refusal(&estimate.undefined);
        refusal.unexpected = true;
        return refusal;
    }
    let hidden = hidden_fields(world, prepared, variables, name, &operation.node);
    if !hidden.is_empty() {
        return Reply::refusal(&hidden);
    }
    if !estimate.oversized.is_empty() {
        return Reply::refusal(&estimate.oversized);
    }
    let nodes = estimate.price.nodes;
    let most_nodes = world.graphql.most_nodes;
    if nodes > most_nodes {
        let message = format!(
            "This query requests up to {} possible nodes which exceeds the maximum limit of {}.",
            grouped(nodes),
            grouped(most_nodes)
        );
        return Reply::refusal(&[Problem::new("MAX_NODE_LIMIT_EXCEEDED", message)]);
    }

    let dry = dry_run(&operation.node.selection_set.node, prepared);
    let cost = estimate.price.points();
    let rate = if world.limits.is_disabled() {
        None
    } else {
        let now = world.now();
        let spelling = world.graphql.spelling;
        let bucket = world.limits.bucket(Some(viewer), Resource::Graphql, now);
        if dry.is_none() {
            if bucket.remaining < cost {
                return Reply::refusal(&[rate_limited(viewer, spelling)]);
            }
            bucket.spend(cost);
        }
        Some(Rate {
            cost,
            nodes,
            bucket: *bucket,
        })
    };
    let Some(viewer) = world.model.account(viewer) else {
        return Reply::bad_request("There is no such account");
    };
    let visitor = Visitor {
        id: Some(viewer.id),
        token: incoming.token.as_deref(),
    };
    let resolver = Resolver::new(world, viewer, visitor, rate);
    let mut execution = Execution::new(resolver, prepared.call.fragments(), variables);
    let set = dry.as_ref().unwrap_or(&operation.node.selection_set.node);
    let finished = execution.run(set);
    match execution.resolver.overload() {
        Some(overload) => {
            let request_id = front::request_id(incoming);
            Reply {
                answer: refusal::overloaded(overload, &request_id),
                unexpected: false,
                noted: Noted {
                    weight: execution.resolver.weight,
                    errors: Vec::new(),
                },
            }
        }
        None => finish(finished, execution.resolver.weight),
    }
}

fn finish(finished: Finished, weight: u64) -> Reply {
    let Finished { data, problems } = finished;
    let mut body = Vec::with_capacity(data.len() + 16);
    body.extend_from_slice(b"{\"data\":");
    body.extend_from_slice(&data);
    if !problems.is_empty() {
        let errors: Vec<Value> = problems.iter().map(Problem::to_json).collect();
        body.extend_from_slice(b",\"errors\":");
        body.extend_from_slice(Value::Array(errors).to_string().as_bytes());
    }
    body.push(b'}');
    Reply {
        answer: Answer::json_bytes(StatusCode::OK, body),
        unexpected: false,
        noted: Noted {
            weight,
            errors: labels(&problems),
        },
    }
}

fn labels(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::label).collect()
}

/// The fields of a query that this host does not have because the test hid them.
fn hidden_fields(
    world: &World,
    prepared: &Prepared,
    variables: &Variables,
    name: Option<&Name>,
    operation: &OperationDefinition,
) -> Vec<Problem> {
    let hidden = &world.graphql.hidden;
    if hidden.is_empty() {
        return Vec::new();
    }
    price::estimate(
        prepared.call.fragments(),
        variables,
        name,
        operation,
        hidden,
    )
    .undefined
}

fn rate_limited(viewer: AccountId, spelling: LimitSpelling) -> Problem {
    match spelling {
        LimitSpelling::RateLimited => {
            let message = format!("API rate limit exceeded for user ID {viewer}.");
            Problem::new("RATE_LIMITED", message)
        }
        LimitSpelling::RateLimit => {
            let message = format!("API rate limit already exceeded for user ID {viewer}.");
            Problem::new("RATE_LIMIT", message).member("code", json!("graphql_rate_limit"))
        }
    }
}

/// With `rateLimit(dryRun: true)` a query is priced and not run: what remains of it.
fn dry_run(set: &SelectionSet, prepared: &Prepared) -> Option<SelectionSet> {
    let variables = prepared.variables.as_ref().ok()?;
    let found = set.items.iter().find(|selection| match &selection.node {
        Selection::Field(field) => {
            let arguments = Arguments {
                field: &field.node,
                variables,
            };
            field.node.name.node == *"rateLimit" && arguments.flag("dryRun", false)
        }
        Selection::InlineFragment(_) | Selection::FragmentSpread(_) => false,
    });
    found.map(|selection| SelectionSet {
        items: vec![selection.clone()],
    })
}

/// A number with commas, as GitHub's messages have it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (608_400, "608,400"),
        ];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
    }
}
