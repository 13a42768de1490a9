//! The constants that policies name. Taken from Cedar's own JSON and not from the translation, so
//! that a check that varies them does not inherit what the translation overlooked.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::pattern::Pattern;

/// The constants of a set of policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Literals {
    /// Entities, by type and id. Actions are none.
    pub entities: BTreeSet<(String, String)>,
    /// Texts.
    pub texts: BTreeSet<String>,
    /// Keys of labels.
    pub label_keys: BTreeSet<String>,
    /// Patterns of `like`.
    pub patterns: BTreeSet<Pattern>,
    /// Names of attributes.
    pub attributes: BTreeSet<String>,
}

impl Literals {
    /// The ids of the entities of a type.
    pub fn ids<'a>(&'a self, of: &'a str) -> impl Iterator<Item = &'a str> {
        self.entities
            .iter()
            .filter(move |(name, _)| name == of)
            .map(|(_, id)| id.as_str())
    }

    /// Whether a policy names this attribute.
    #[must_use]
    pub fn mention(&self, attribute: &str) -> bool {
        self.attributes.contains(attribute)
    }

    pub(crate) fn collect(&mut self, json: &Value) {
        match json {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        // Its keys are ours, not Cedar's.
                        ("annotations", _) => {}
                        ("Value", Value::String(text)) => {
                            self.texts.insert(text.clone());
                        }
                        ("attr", Value::String(attribute)) => {
                            self.attributes.insert(attribute.clone());
                        }
                        ("pattern", Value::Array(pieces)) => {
                            self.patterns
                                .insert(pieces.iter().flat_map(piece).collect());
                        }
                        ("hasTag" | "getTag", tag) => {
                            if let Some(key) = tag.pointer("/right/Value").and_then(Value::as_str) {
                                self.label_keys.insert(key.to_owned());
                            }
                            self.collect(tag);
                        }
                        _ => self.collect(value),
                    }
                }
                if let (Some(Value::String(of)), Some(Value::String(id))) =
                    (fields.get("type"), fields.get("id"))
                    && of != "Action"
                {
                    self.entities.insert((of.clone(), id.clone()));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.collect(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// A piece of a pattern: the text `"Wildcard"`, or `{"Literal": text}`.
fn piece(json: &Value) -> Vec<Option<char>> {
    match json.get("Literal").and_then(Value::as_str) {
        Some(text) => text.chars().map(Some).collect(),
        None => vec![None],
    }
}
