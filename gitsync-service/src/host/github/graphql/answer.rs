//! Reads a response row by row: a partial response is used as far as it goes. If an error has no
//! path, rows that were found are found, and missing rows are not known to be missing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use proto::sync::ProblemClass;
use serde_json::{Map, Value};

use super::{
    super::{
        GRAPHQL, NoAnswer,
        client::Client,
        rate_limit::{self, LimitHeaders},
    },
    Part, QueryResult,
    error::{ErrorPath, LIST, Meaning, by_message, dispensable, meaning},
    progress::OPTIONAL,
};

const NOT_FOUND: NoAnswer = NoAnswer::Failed(ProblemClass::RepositoryNotFound);

/// The answer lacks what was asked for.
pub(super) fn lacking() -> NoAnswer {
    NoAnswer::invalid("it lacks what was asked for")
}

fn unknown() -> NoAnswer {
    NoAnswer::invalid("an unknown error")
}

/// Fields that may be null or absent in a valid response.
const DISPENSABLE: [&str; 7] = [
    "parent",
    "author",
    "head",
    "headRepository",
    "baseRepository",
    "commit",
    "defaultBranchRef",
];

/// A list whose items may be in repositories that this token may not see.
const NETWORK_LIST: &str = "associatedPullRequests";

/// An answer whose body is one.
pub(super) struct Envelope {
    pub(super) data: Map<String, Value>,
    /// The failure of every row without an answer.
    whole: Option<NoAnswer>,
    /// Whether to send the unanswered rows again, in smaller parts.
    again: bool,
    /// Whether the host failed to complete any part of the query.
    pub(super) overloaded: bool,
    by_alias: HashMap<String, RowVerdict>,
    by_index: HashMap<usize, RowVerdict>,
    /// Fields that were taken out, and of which answers.
    hidden: HashSet<(String, Option<usize>, &'static str)>,
}

/// The verdict of an error on one row.
#[derive(Clone, Copy)]
enum RowVerdict {
    NotFound,
    Failed(NoAnswer),
    Again,
}

impl RowVerdict {
    /// The worse of two verdicts, the one that decides less: a row that the host failed to complete
    /// is unknown, whatever its other errors say.
    fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Again, _) | (_, Self::Again) => Self::Again,
            (Self::Failed(reason), _) | (_, Self::Failed(reason)) => Self::Failed(reason),
            (Self::NotFound, Self::NotFound) => Self::NotFound,
        }
    }
}

impl Envelope {
    /// Reads a body and notes what it says of limits and of whose account it is.
    pub(super) fn read(
        bytes: &[u8],
        limits: &LimitHeaders,
        client: &Client,
        endpoint: &'static str,
    ) -> Result<QueryResult<Self>, NoAnswer> {
        const NO_ANSWER: &str = "not an answer to a query";
        let Ok(Value::Object(mut body)) = serde_json::from_slice(bytes) else {
            return Err(NoAnswer::invalid(NO_ANSWER));
        };
        let data = match body.remove("data") {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        count_points(&data, client, endpoint);
        observe(&data, limits, client);
        let mut envelope = Self {
            data,
            whole: None,
            again: false,
            overloaded: false,
            by_alias: HashMap::new(),
            by_index: HashMap::new(),
            hidden: HashSet::new(),
        };
        let (mut too_heavy, mut overloaded) = (false, false);
        let mut whole = |envelope: &mut Self, meaning: Meaning, error: &Value| {
            match meaning {
                Meaning::Primary => {
                    client.log_refusal(OK, &"Primary", limits);
                    envelope.whole = Some(client.spend(GRAPHQL, limits.reset_in()));
                }
                Meaning::Secondary => envelope.secondary(limits, client),
                Meaning::TooHeavy => too_heavy = true,
                Meaning::Overloaded => overloaded = true,
                Meaning::Skew => {
                    let request = limits.request_id.as_deref();
                    let goes_on = client.lack_field(dispensable(error), request);
                    return Some(if goes_on {
                        QueryResult::Leaner
                    } else {
                        QueryResult::Elsewhere
                    });
                }
                Meaning::Denied(class) => {
                    envelope.whole.get_or_insert(NoAnswer::Failed(class));
                }
                Meaning::NotFound | Meaning::Unknown => {
                    envelope.whole.get_or_insert_with(unknown);
                }
            }
            None
        };
        // Usually a list, but not always.
        let errors = match body.remove("errors") {
            Some(Value::Array(errors)) => errors,
            Some(Value::Null) | None => Vec::new(),
            Some(error) => vec![error],
        };
        for error in &errors {
            let (meaning, place) = meaning(error);
            let everything = matches!(
                meaning,
                Meaning::Primary | Meaning::Secondary | Meaning::Skew
            );
            if place == ErrorPath::Whole || everything {
                if let Some(answered) = whole(&mut envelope, meaning, error) {
                    return Ok(answered);
                }
            } else {
                envelope.note(meaning, place);
            }
        }
        if errors.is_empty() && envelope.data.is_empty() {
            let message = body.get("message").and_then(Value::as_str);
            let message = message.ok_or_else(|| NoAnswer::invalid(NO_ANSWER))?;
            let meaning = by_message(&message.to_ascii_lowercase());
            if let Some(answered) = whole(&mut envelope, meaning, &Value::Null) {
                return Ok(answered);
            }
        }
        if limits.has_retry_after() && envelope.whole.is_none() {
            envelope.secondary(limits, client);
        }
        envelope.again = too_heavy || overloaded;
        envelope.overloaded |= overloaded;
        if envelope.again && envelope.whole.is_none() && envelope.is_bare() {
            return Ok(if too_heavy {
                QueryResult::TooHeavy
            } else {
                QueryResult::Overloaded
            });
        }
        let is_refused = envelope.whole.is_some_and(NoAnswer::is_of_repository);
        if is_refused && envelope.is_bare() {
            return Ok(QueryResult::Elsewhere);
        }
        Ok(QueryResult::InPart(envelope))
    }

    fn secondary(&mut self, limits: &LimitHeaders, client: &Client) {
        client.log_refusal(OK, &"Secondary", limits);
        let request = limits.request_id.as_deref();
        let retry_after = limits.retry_after();
        let withheld = client.admission.secondary_limit(retry_after, request);
        self.whole = Some(NoAnswer::Withheld(withheld));
    }

    /// Whether there is nothing in it but what rides along.
    fn is_bare(&self) -> bool {
        let rides_along = |key: &String| matches!(key.as_str(), "viewer" | "rateLimit");
        self.by_alias.is_empty()
            && self.by_index.is_empty()
            && self
                .data
                .iter()
                .all(|(key, value)| rides_along(key) || value.is_null())
    }

    fn note(&mut self, meaning: Meaning, place: ErrorPath) {
        let ErrorPath::One { key, index, below } = place else {
            return;
        };
        // An optional field of a pull request that is hidden from the token or too expensive is
        // absent from the answer. The pull request itself fails only where the response left no
        // node for it.
        let field = OPTIONAL
            .iter()
            .find(|field| below.iter().any(|step| step == *field));
        if let Some(field) = field
            && self.hide(&key, index, field)
        {
            return;
        }
        let last = below.last().map(String::as_str).unwrap_or_default();
        self.overloaded |= meaning == Meaning::Overloaded;
        // These lists are of the whole network: strangers decide what is in them.
        let is_of_network = last == "nodes" && below.iter().any(|name| name == NETWORK_LIST);
        let verdict = match meaning {
            Meaning::TooHeavy | Meaning::Overloaded => RowVerdict::Again,
            Meaning::NotFound | Meaning::Denied(_)
                if is_of_network || DISPENSABLE.contains(&last) =>
            {
                return;
            }
            Meaning::NotFound => RowVerdict::NotFound,
            Meaning::Denied(class) => RowVerdict::Failed(NoAnswer::Failed(class)),
            Meaning::Primary | Meaning::Secondary | Meaning::Skew | Meaning::Unknown => {
                RowVerdict::Failed(unknown())
            }
        };
        let noted = match index {
            Some(index) if key == LIST => self.by_index.entry(index).or_insert(verdict),
            _ => self.by_alias.entry(key).or_insert(verdict),
        };
        *noted = noted.worse(verdict);
    }

    /// Takes a field out of what was answered at a place. Returns whether it was there.
    fn hide(&mut self, key: &str, index: Option<usize>, field: &'static str) -> bool {
        let at = self.data.get_mut(key);
        let at = match index {
            Some(index) => at.and_then(|list| list.get_mut(index)),
            None => at,
        };
        let place = (key.to_owned(), index, field);
        if at.is_some_and(|at| take_out(at, field)) {
            self.hidden.insert(place);
            return true;
        }
        self.hidden.contains(&place)
    }

    /// An error without a usable path puts every row of the list in doubt.
    fn doubt_all_of_the_list(&mut self) {
        for verdict in self.by_index.values() {
            match verdict {
                RowVerdict::Again => self.again = true,
                RowVerdict::Failed(reason) => {
                    self.whole.get_or_insert(*reason);
                }
                RowVerdict::NotFound => {}
            }
        }
    }

    /// Why nothing is known to be missing, if an error does not say what it is about.
    fn doubt<T>(&self) -> Option<Part<T>> {
        match self.whole {
            Some(reason) if reason.is_of_repository() => Some(Part::Elsewhere),
            Some(reason) => Some(Part::Failed(reason)),
            None => self.again.then_some(Part::Unresolved),
        }
    }

    /// The verdict of each id. Rows are matched by the ids in the response, because a missing row
    /// need not leave a gap.
    pub(super) fn nodes<T>(
        &mut self,
        ids: &[&str],
        read: impl Fn(&Value) -> Result<T, NoAnswer>,
    ) -> Vec<Part<Option<T>>> {
        let nodes = match self.data.remove(LIST) {
            Some(Value::Array(nodes)) => nodes,
            // Without the list it is not known what is missing from it.
            _ => {
                if !self.again {
                    self.whole.get_or_insert_with(lacking);
                }
                Vec::new()
            }
        };
        let id_of = |node: &Value| node.get("id").and_then(Value::as_str).map(str::to_owned);
        let mut by_id: HashMap<String, &Value> = HashMap::with_capacity(nodes.len());
        for node in &nodes {
            if let Some(id) = id_of(node) {
                by_id.insert(id, node);
            }
        }
        // An old id may be answered by the new one of the same thing.
        let in_step = nodes.len() == ids.len();
        if !in_step {
            self.doubt_all_of_the_list();
        }
        let stranger = |index: usize| {
            let node = nodes.get(index).filter(|_| in_step)?;
            let id = id_of(node)?;
            (!ids.contains(&id.as_str())).then_some(node)
        };
        ids.iter()
            .enumerate()
            .map(|(index, id)| {
                let verdict = self.by_index.get(&index);
                let verdict = verdict.copied().filter(|_| in_step);
                match by_id.get(*id).copied().or_else(|| stranger(index)) {
                    Some(_) if matches!(verdict, Some(RowVerdict::Again)) => Part::Unresolved,
                    Some(node) => match verdict {
                        Some(RowVerdict::Failed(reason)) => Part::Failed(reason),
                        _ => self.part(read(node).map(Some), Option::is_none),
                    },
                    None => self.unanswered(verdict, Some(None)),
                }
            })
            .collect()
    }

    /// The result of the row at `place`, whose alias is a repository. An answer that is `nothing`
    /// means that something does not exist.
    pub(super) fn alias<T>(
        &mut self,
        place: usize,
        read: impl Fn(&Value) -> Result<T, NoAnswer>,
        nothing: impl Fn(&T) -> bool,
    ) -> Part<T> {
        let alias = format!("r{place}");
        let verdict = self.by_alias.get(&alias).copied();
        match (self.data.remove(&alias), verdict) {
            (None, None) if self.whole.is_none() && !self.again => Part::Failed(lacking()),
            (None | Some(Value::Null), verdict) => self.unanswered(verdict, None),
            (Some(_), Some(RowVerdict::Again)) => Part::Unresolved,
            (Some(_), Some(RowVerdict::Failed(reason))) => Part::Failed(reason),
            (Some(repository), Some(RowVerdict::NotFound) | None) => {
                self.part(read(&repository), nothing)
            }
        }
    }

    /// The value that was read, unless it is nothing and may be missing for another reason.
    fn part<T>(&self, read: Result<T, NoAnswer>, nothing: impl Fn(&T) -> bool) -> Part<T> {
        match read {
            Ok(found) if !nothing(&found) => Part::Answered(found),
            read => match self.doubt() {
                Some(doubt) => doubt,
                None => match read {
                    Ok(nothing) => Part::Answered(nothing),
                    Err(reason) => Part::Failed(reason),
                },
            },
        }
    }

    /// The result of a row whose answer is null or absent.
    fn unanswered<T>(&self, verdict: Option<RowVerdict>, missing: Option<T>) -> Part<T> {
        match verdict {
            Some(RowVerdict::Again) => Part::Unresolved,
            Some(RowVerdict::Failed(reason)) => Part::Failed(reason),
            // It was said of this one, whatever else is open.
            Some(RowVerdict::NotFound) => Self::missing(missing),
            None => self.doubt().unwrap_or_else(|| Self::missing(missing)),
        }
    }

    fn missing<T>(missing: Option<T>) -> Part<T> {
        missing.map_or(Part::Failed(NOT_FOUND), Part::Answered)
    }
}

/// Takes a field out of a value wherever it is. Returns whether it was there.
fn take_out(value: &mut Value, field: &str) -> bool {
    // Every part is looked at, also after the field was found in one.
    let mut is_there = false;
    match value {
        Value::Object(members) => {
            is_there = members.remove(field).is_some();
            for member in members.values_mut() {
                is_there |= take_out(member, field);
            }
        }
        Value::Array(items) => {
            for item in items {
                is_there |= take_out(item, field);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    is_there
}

/// The status of a GraphQL answer that refuses in its body.
const OK: u16 = 200;

fn count_points(data: &Map<String, Value>, client: &Client, endpoint: &'static str) {
    let seen = data.get("rateLimit");
    if let Some(cost) = seen.and_then(|seen| seen.get("cost")?.as_u64()) {
        let admission = &client.admission;
        let host = admission.api_base_url();
        admission.metrics().count_points(host, endpoint, cost);
    }
}

/// Notes whose account it is, and what is left of its limit where the headers do not say it.
fn observe(data: &Map<String, Value>, limits: &LimitHeaders, client: &Client) {
    let admission = &client.admission;
    let viewer = |name: &str| data.get("viewer").and_then(|viewer| viewer.get(name));
    // An app is one user for all its installations, and each has a limit of its own.
    let login = viewer("login").and_then(Value::as_str).unwrap_or_default();
    if let Some(id) = viewer("databaseId").and_then(Value::as_u64)
        && !client.is_installation
        && !login.ends_with("[bot]")
    {
        admission.identify(id.to_string());
    }
    let Some(seen) = data.get("rateLimit").filter(|seen| !seen.is_null()) else {
        return;
    };
    let number = |name: &str| seen.get(name).and_then(Value::as_i64);
    if limits.tell_what_is_left() {
        return;
    }
    let reset: Option<Timestamp> = seen
        .get("resetAt")
        .and_then(Value::as_str)
        .and_then(|at| at.parse().ok());
    let reset_in = reset.and_then(|at| limits.until(at));
    let (limit, remaining) = (number("limit"), number("remaining"));
    let seen = rate_limit::window(GRAPHQL, limit, remaining, reset_in);
    admission.observe(GRAPHQL, seen);
    if rate_limit::is_spent(limit, remaining) && reset_in != Some(Duration::ZERO) {
        client.spend(GRAPHQL, reset_in);
    }
}
