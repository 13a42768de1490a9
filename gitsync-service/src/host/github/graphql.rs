//! GitHub over GraphQL: many questions in one request.
//!
//! [`round`] takes the questions of one [`ask`](crate::host::Host::ask) to their answers, [`queue`]
//! puts them into requests of [`row`]s; [`evidence`] is what failed requests tell of their size.
//! [`document`] has the queries' texts, [`answer`] reads what came back and says for each row what
//! became of it, [`error`] is GitHub's errors as a pure function, [`status`] and [`branch`] read
//! what was found.

mod answer;
mod branch;
mod document;
mod error;
mod evidence;
mod queue;
mod round;
mod row;
mod status;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    NoAnswer,
    client::{Client, Reply},
    rate_limit::LimitHeaders,
};
use crate::host::BranchFacts;

pub(super) use round::{Diverted, Round};

use answer::Envelope;
use document::Document;
use row::{BranchRow, Row, Sort};
use status::Whole;

/// The answer to a row. `None`: the host says that it does not exist.
#[derive(Debug)]
enum Told {
    Fingerprint(Option<String>),
    PullRequest(Option<Whole>),
    Branch(BranchFacts),
}

/// What came of a request.
#[derive(Debug)]
enum Queried {
    /// What became of each row.
    Parts {
        /// In the rows' order.
        parts: Vec<Part<Told>>,
        /// What is unresolved is so because the host gave up, and not because it was too much.
        gave_up: bool,
    },
    /// It is more than the host answers at once; no row is answered.
    TooHeavy,
    /// The host gave up: on this query or altogether.
    Overloaded,
    /// The host's GraphQL lacks a field that is worth doing without: it is asked again, without.
    Leaner,
    /// The interface is not there, is of another version, or is refused to this token: REST may
    /// answer.
    Elsewhere,
}

/// What became of one row.
#[derive(Debug)]
enum Part<T> {
    /// The answer.
    Answered(T),
    /// No answer, for this reason.
    Failed(NoAnswer),
    /// No answer yet: it is to be asked again, with fewer beside it.
    Unresolved,
    /// The request as a whole was refused, which says nothing of this row's repository: REST may.
    Elsewhere,
}

impl<T> Part<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Answered(answer) => Part::Answered(change(answer)),
            Self::Failed(reason) => Part::Failed(reason),
            Self::Unresolved => Part::Unresolved,
            Self::Elsewhere => Part::Elsewhere,
        }
    }
}

#[derive(Serialize)]
struct Query<'a> {
    query: &'a str,
    variables: Map<String, Value>,
}

/// Sends the rows, which are all of one sort, without the `dropped` fields. The caller holds the
/// permit.
async fn send(
    client: &Client,
    sort: Sort,
    dropped: &[&str],
    rows: &[&Row<'_>],
) -> Result<Queried, NoAnswer> {
    let document = match sort {
        Sort::Probe => Document::Probe,
        Sort::Detail => Document::Detail,
        Sort::Numbers => Document::Numbers(rows.len()),
        Sort::Discover => Document::Discover(rows.len()),
    };
    let query = Query {
        query: &document.text(dropped),
        variables: variables(rows),
    };
    match client.query(document.name(), &query).await? {
        Reply::Body(bytes, limits) => {
            let answered = Envelope::read(&bytes, &limits, client)?;
            Ok(answered.parts(|envelope| read(envelope, &limits, sort, rows)))
        }
        Reply::Missing | Reply::Refused => Ok(Queried::Elsewhere),
        Reply::Overloaded => Ok(Queried::Overloaded),
    }
}

/// No value is ever written into a query: all of them are variables, those of a row with its index.
fn variables(rows: &[&Row<'_>]) -> Map<String, Value> {
    let mut variables = Map::new();
    let ids: Vec<Value> = rows
        .iter()
        .filter_map(|row| row.id())
        .map(Value::from)
        .collect();
    if !ids.is_empty() {
        variables.insert("ids".to_owned(), Value::Array(ids));
    }
    // It is the same for all branches of one call.
    if let Some(branch) = rows.iter().find_map(|row| row.branch()) {
        variables.insert("whole".to_owned(), branch.whole.into());
    }
    for (index, row) in rows.iter().enumerate() {
        let mut set = |name: &str, value: Value| variables.insert(format!("{name}{index}"), value);
        let repository = match row {
            Row::Probe(_) | Row::Detail(_) => continue,
            Row::Number(repository, number) => {
                set("number", (*number).into());
                repository
            }
            Row::Branch(row) => {
                set("branch", row.branch.into());
                set("ref", format!("refs/heads/{}", row.branch).into());
                set("commit", row.commit.into());
                set("pushed", row.commit.is_some().into());
                row.at
            }
        };
        let (owner, name) = repository.owner_and_name().unwrap_or_default();
        set("owner", owner.into());
        set("name", name.into());
    }
    variables
}

fn read(
    mut envelope: Envelope,
    limits: &LimitHeaders,
    sort: Sort,
    rows: &[&Row<'_>],
) -> Vec<Part<Told>> {
    let ids: Vec<&str> = rows.iter().filter_map(|row| row.id()).collect();
    match sort {
        Sort::Probe => told(envelope.nodes(&ids, status::fingerprint), Told::Fingerprint),
        Sort::Detail => told(envelope.nodes(&ids, status::whole), Told::PullRequest),
        Sort::Numbers => {
            let read = |_, repository: &Value| match repository.get("pullRequest") {
                Some(Value::Null) => Ok(None),
                Some(found) => status::whole(found).map(Some),
                None => Err(answer::lacking()),
            };
            let nothing = |_, found: &Option<Whole>| found.is_none();
            told(
                envelope.aliases(rows.len(), read, nothing),
                Told::PullRequest,
            )
        }
        Sort::Discover => {
            let row = |index: usize| rows.get(index).and_then(|row| row.branch());
            let read = |index, repository: &Value| {
                let row = row(index).ok_or_else(answer::lacking)?;
                branch::facts(&row, repository, limits)
            };
            let nothing = |index, facts: &BranchFacts| {
                row(index).is_none_or(|row| branch::is_nothing(facts, &row))
            };
            told(envelope.aliases(rows.len(), read, nothing), Told::Branch)
        }
    }
}

fn told<T>(parts: Vec<Part<T>>, tell: fn(T) -> Told) -> Vec<Part<Told>> {
    parts.into_iter().map(|part| part.map(tell)).collect()
}
