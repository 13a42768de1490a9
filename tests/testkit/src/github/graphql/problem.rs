//! An entry of `errors` as GitHub writes it.

use async_graphql_parser::Pos;
use serde_json::{Map, Value, json};

/// One step on the way to a field: its key in the answer, or the place in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// What went wrong, and where.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// GitHub's own `type`, which errors of the query text do not have.
    pub(crate) kind: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) path: Vec<Step>,
    pub(crate) location: Option<Pos>,
    pub(crate) extensions: Map<String, Value>,
    /// Members that only this error has.
    pub(crate) more: Map<String, Value>,
}

impl Problem {
    /// An error of the query text; `code` says which rule it breaks.
    pub(crate) fn of_text(code: &'static str, message: String) -> Self {
        let problem = Self {
            kind: None,
            message,
            path: Vec::new(),
            location: None,
            extensions: Map::new(),
            more: Map::new(),
        };
        if code.is_empty() {
            problem
        } else {
            problem.extension("code", json!(code))
        }
    }

    /// An error of answering, with GitHub's `type`.
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: Some(kind),
            ..Self::of_text("", message.into())
        }
    }

    pub(crate) fn at(mut self, path: &[Step], location: Pos) -> Self {
        path.clone_into(&mut self.path);
        self.location = Some(location);
        self
    }

    pub(crate) fn extension(mut self, name: &str, value: Value) -> Self {
        self.extensions.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn member(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// What the record of requests keeps of it: its type, or else its code.
    pub(crate) fn label(&self) -> String {
        match self.kind {
            Some(kind) => kind.to_owned(),
            None => {
                let code = self.extensions.get("code").and_then(Value::as_str);
                code.unwrap_or("error").to_owned()
            }
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut body = Map::new();
        if let Some(kind) = self.kind {
            body.insert("type".to_owned(), json!(kind));
        }
        if !self.path.is_empty() {
            let path: Value = self
                .path
                .iter()
                .map(|step| match step {
                    Step::Key(key) => json!(key),
                    Step::Index(index) => json!(index),
                })
                .collect();
            body.insert("path".to_owned(), path);
        }
        if !self.extensions.is_empty() {
            body.insert("extensions".to_owned(), json!(self.extensions));
        }
        if let Some(Pos { line, column }) = self.location {
            let location = json!([{"line": line, "column": column}]);
            body.insert("locations".to_owned(), location);
        }
        body.extend(self.more.clone());
        body.insert("message".to_owned(), json!(self.message));
        Value::Object(body)
    }
}
