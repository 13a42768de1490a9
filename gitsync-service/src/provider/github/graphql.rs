//! GitHub over GraphQL: many refs in one request.
//!
//! [`document`] has the queries' texts, [`answer`] reads what came back and says for each question
//! what became of it, [`trouble`] is GitHub's errors as a pure function, [`status`] and [`branch`]
//! turn what was found into our words. Nothing of it decides what is asked next.

mod answer;
mod branch;
mod document;
mod status;
mod trouble;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    outcome::Problem,
    provider::{
        batch::{BranchQuestion, Branched, Discovered, Looked, NumberQuestion, Queried, Seen},
        gate::Asker,
    },
};

use super::{
    client::{Client, Reply},
    model::owner_and_name,
};

use answer::{Answered, Envelope};
use document::Document;

#[derive(Serialize)]
struct Query<'a> {
    query: &'a str,
    variables: Map<String, Value>,
}

/// Whether the pull requests of these ids changed: their fingerprints. At most 100.
pub(super) async fn probe(
    client: &Client,
    asker: &Asker<'_>,
    ids: &[&str],
) -> Result<Queried<Option<String>>, Problem> {
    let answered = ask_ids(client, asker, Document::Probe, ids).await?;
    Ok(answered.parts(|mut envelope| envelope.nodes("nodes", ids, status::fingerprint)))
}

/// Whether the pull requests of some ids changed, and those of others in whole: first the answers to
/// these, then to those. At most 100 of each.
pub(super) async fn look(
    client: &Client,
    asker: &Asker<'_>,
    ids: &[&str],
    whole: &[&str],
) -> Result<Queried<Looked>, Problem> {
    let mut variables = Map::new();
    for (name, ids) in [("ids", ids), ("whole", whole)] {
        let ids = ids.iter().map(|id| Value::from(*id)).collect();
        variables.insert(name.to_owned(), Value::Array(ids));
    }
    let answered = ask(client, asker, &Document::Look, variables).await?;
    Ok(answered.parts(|mut envelope| {
        let looked = envelope.nodes("nodes", ids, status::fingerprint);
        let whole = envelope.nodes("whole", whole, status::seen);
        let looked = looked.into_iter().map(|part| part.map(Looked::Fingerprint));
        let whole = whole.into_iter().map(|part| part.map(Looked::Whole));
        looked.chain(whole).collect()
    }))
}

/// The pull requests of these ids. At most 100.
pub(super) async fn detail(
    client: &Client,
    asker: &Asker<'_>,
    ids: &[&str],
) -> Result<Queried<Option<Seen>>, Problem> {
    let answered = ask_ids(client, asker, Document::Detail, ids).await?;
    Ok(answered.parts(|mut envelope| envelope.nodes("nodes", ids, status::seen)))
}

/// Pull requests by their numbers.
pub(super) async fn numbers(
    client: &Client,
    asker: &Asker<'_>,
    questions: &[NumberQuestion<'_>],
) -> Result<Queried<Option<Seen>>, Problem> {
    let mut variables = Map::new();
    for (index, question) in questions.iter().enumerate() {
        let mut set = |name: &str, value: Value| variables.insert(format!("{name}{index}"), value);
        let (owner, name) = owner_and_name(question.repository)?;
        set("owner", owner.into());
        set("name", name.into());
        set("number", question.number.into());
    }
    let document = Document::Numbers(questions.len());
    let answered = ask(client, asker, &document, variables).await?;
    Ok(answered.parts(|envelope| {
        let read = |_, repository: &Value| match repository.get("pullRequest") {
            Some(Value::Null) => Ok(None),
            Some(found) => status::seen(found).map(Some),
            None => Err(answer::LACKING),
        };
        envelope.aliases(questions.len(), read, Option::is_none)
    }))
}

/// The pull requests of branches.
pub(super) async fn discover(
    client: &Client,
    asker: &Asker<'_>,
    questions: &[BranchQuestion<'_>],
) -> Result<Queried<Discovered>, Problem> {
    let mut variables = Map::new();
    for (index, question) in questions.iter().enumerate() {
        let mut set = |name: &str, value: Value| variables.insert(format!("{name}{index}"), value);
        let (owner, name) = owner_and_name(question.at)?;
        set("owner", owner.into());
        set("name", name.into());
        set("branch", question.branch.into());
        set("ref", format!("refs/heads/{}", question.branch).into());
        set("settled", question.commit.is_some().into());
    }
    let document = Document::Discover(questions.len());
    let answered = ask(client, asker, &document, variables).await?;
    Ok(answered.parts(|envelope| {
        let read = |index, repository: &Value| match questions.get(index) {
            Some(question) => branch::discovered(question, repository),
            None => Err(Problem::Internal("an answer without its question")),
        };
        let nothing = |found: &Discovered| matches!(found.found, Branched::None);
        envelope.aliases(questions.len(), read, nothing)
    }))
}

async fn ask_ids(
    client: &Client,
    asker: &Asker<'_>,
    document: Document,
    ids: &[&str],
) -> Result<Answered, Problem> {
    let mut variables = Map::new();
    let ids = ids.iter().map(|id| Value::from(*id)).collect();
    variables.insert("ids".to_owned(), Value::Array(ids));
    ask(client, asker, &document, variables).await
}

async fn ask(
    client: &Client,
    asker: &Asker<'_>,
    document: &Document,
    variables: Map<String, Value>,
) -> Result<Answered, Problem> {
    let query = Query {
        query: &document.text(),
        variables,
    };
    match client.query(asker, document.name(), &query).await? {
        Reply::Body(bytes, limits) => Envelope::read(&bytes, &limits, asker),
        Reply::Missing => Ok(Answered::Missing),
        Reply::Overloaded(problem) => Ok(Answered::Overloaded(problem)),
    }
}
