//! GitHub over GraphQL: many questions in one request.
//!
//! [`round`] takes the questions of one [`ask`](crate::host::Host::ask) to their answers, [`queue`]
//! puts them into requests of [`row`]s; [`evidence`] derives from failed requests how large one may
//! be. [`document`] has the queries' texts, [`answer`] reads responses into a result for each row,
//! [`error`] classifies GitHub's errors as a pure function, [`status`] and [`branch`] read what was
//! found; [`threads`] asks whose review threads are.

mod answer;
mod branch;
mod document;
mod error;
mod evidence;
mod progress;
mod queue;
mod round;
mod row;
mod status;
mod threads;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    NoAnswer,
    client::{Client, Reply},
    rate_limit::LimitHeaders,
    thread_authors::ThreadAuthors,
};
use crate::host::BranchFacts;

pub(super) use round::{RestFallback, Round};

use answer::Envelope;
use document::only_sort;
use row::{BranchRow, Row, Sort};
use status::Whole;

/// The answer to a row. `None`: the host says that it does not exist.
#[derive(Debug)]
enum RowAnswer {
    Fingerprint(Option<String>),
    PullRequest(Option<Whole>),
    Branch(BranchFacts),
}

/// The result of a request.
#[derive(Debug)]
enum QueryResult<T> {
    /// Something came back for some of the rows.
    InPart(T),
    /// It is more than the host answers at once; no row is answered.
    TooHeavy,
    /// The query exceeded the host's time, or the host is overloaded.
    Overloaded,
    /// The host's GraphQL lacks a field that is worth doing without: it is asked again, without.
    Leaner,
    /// The interface is not there, is of another version, or is refused to this token: REST may
    /// answer.
    Elsewhere,
}

impl<T> QueryResult<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> QueryResult<U> {
        match self {
            Self::InPart(answer) => QueryResult::InPart(change(answer)),
            Self::TooHeavy => QueryResult::TooHeavy,
            Self::Overloaded => QueryResult::Overloaded,
            Self::Leaner => QueryResult::Leaner,
            Self::Elsewhere => QueryResult::Elsewhere,
        }
    }
}

/// The results of the rows of a request.
#[derive(Debug)]
struct BatchResult {
    /// In the rows' order.
    parts: Vec<Part<RowAnswer>>,
    /// Some rows are unresolved because the host failed to complete the query, not because of its
    /// size.
    overloaded: bool,
}

/// The result of one row.
#[derive(Debug)]
enum Part<T> {
    /// The answer.
    Answered(T),
    /// No answer, for this reason.
    Failed(NoAnswer),
    /// No answer yet: the row is sent again in a smaller request.
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

/// An answer whose rows are not read yet, with what its headers say.
struct RowsAnswer {
    envelope: Envelope,
    limits: LimitHeaders,
}

/// Sends the rows, without the `dropped` fields. The caller holds the permit.
async fn send(
    client: &Client,
    dropped: &[&str],
    rows: &[&Row<'_>],
) -> Result<QueryResult<RowsAnswer>, NoAnswer> {
    let query = Query {
        query: &document::text(rows, dropped),
        variables: variables(rows),
    };
    let endpoint = document::endpoint(only_sort(rows.iter().copied()));
    match client.query(endpoint, &query).await? {
        Reply::Body(bytes, limits) => {
            let answered = Envelope::read(&bytes, &limits, client, endpoint)?;
            Ok(answered.map(|envelope| RowsAnswer { envelope, limits }))
        }
        Reply::Missing | Reply::Refused => Ok(QueryResult::Elsewhere),
        Reply::Overloaded => Ok(QueryResult::Overloaded),
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
    for (index, row) in rows.iter().enumerate() {
        let mut set = |name: &str, value: Value| variables.insert(format!("{name}{index}"), value);
        let repository = match row {
            Row::Probe(_) | Row::LightProbe(_) | Row::Detail(_) => continue,
            Row::Number(repository, number) => {
                set("number", (*number).into());
                repository
            }
            Row::Branch(row) => {
                set("branch", row.branch.into());
                set("ref", format!("refs/heads/{}", row.branch).into());
                set("commit", row.commit.into());
                set("pushed", row.commit.is_some().into());
                set("whole", row.whole.into());
                row.at
            }
        };
        let (owner, name) = repository.owner_and_name().unwrap_or_default();
        set("owner", owner.into());
        set("name", name.into());
    }
    variables
}

/// Reads the result of each row. `authors` are those of review threads, as far as they are known.
fn read(answer: RowsAnswer, rows: &[&Row<'_>], authors: &ThreadAuthors) -> BatchResult {
    let RowsAnswer {
        mut envelope,
        limits,
    } = answer;
    let whole = |node: &Value| status::whole(node, authors);
    let overloaded = envelope.overloaded;
    let ids: Vec<&str> = rows.iter().filter_map(|row| row.id()).collect();
    // A request asks one thing of all its ids.
    let nodes = match rows.iter().find(|row| row.id().is_some()) {
        None => Vec::new(),
        Some(Row::Probe(_) | Row::LightProbe(_)) => row_answers(
            envelope.nodes(&ids, status::fingerprint),
            RowAnswer::Fingerprint,
        ),
        Some(_) => row_answers(envelope.nodes(&ids, whole), RowAnswer::PullRequest),
    };
    let mut nodes = nodes.into_iter();
    let parts = rows.iter().enumerate().map(|(place, row)| match row {
        Row::Probe(_) | Row::LightProbe(_) | Row::Detail(_) => nodes
            .next()
            .unwrap_or_else(|| Part::Failed(answer::lacking())),
        Row::Number(..) => {
            let read = |repository: &Value| match repository.get("pullRequest") {
                Some(Value::Null) => Ok(None),
                Some(found) => whole(found).map(Some),
                None => Err(answer::lacking()),
            };
            let part = envelope.alias(place, read, Option::is_none);
            part.map(RowAnswer::PullRequest)
        }
        Row::Branch(row) => {
            let read = |repository: &Value| branch::facts(row, repository, &limits, authors);
            let part = envelope.alias(place, read, |facts| branch::is_nothing(facts, row));
            part.map(RowAnswer::Branch)
        }
    });
    BatchResult {
        parts: parts.collect(),
        overloaded,
    }
}

fn row_answers<T>(parts: Vec<Part<T>>, wrap: fn(T) -> RowAnswer) -> Vec<Part<RowAnswer>> {
    parts.into_iter().map(|part| part.map(wrap)).collect()
}
