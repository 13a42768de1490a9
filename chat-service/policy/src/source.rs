//! Where policies come from: files of this binary, or of a directory.

use std::path::Path;

use crate::error::LoadError;

/// The schema, which is this binary's own.
pub(crate) const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");
/// The name of a schema's file.
pub(crate) const SCHEMA_FILE: &str = "schema.cedarschema";
/// The extension of policy files.
const POLICY_EXTENSION: &str = "cedar";

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../policies/", $name)))),*]
    };
}

/// The policies that are in force when no directory is given.
const EMBEDDED: [(&str, &str); 7] = embedded![
    "organization.cedar",
    "owner.cedar",
    "service.cedar",
    "sharing.cedar",
    "site.cedar",
    "suspended.cedar",
    "schema.cedarschema",
];

/// One file of a policy directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file with this name and text.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The files of this binary.
    #[must_use]
    pub fn embedded() -> Vec<Self> {
        EMBEDDED
            .iter()
            .map(|(name, text)| Self::new(*name, *text))
            .collect()
    }

    /// The policy and schema files of a directory, by name. Subdirectories and names that begin
    /// with a dot are skipped: Kubernetes keeps versions of mounted files there.
    ///
    /// # Errors
    ///
    /// When the directory or a file cannot be read, or there is no policy at all.
    pub fn directory(directory: &Path) -> Result<Vec<Self>, LoadError> {
        let unreadable = |path: &Path, error: std::io::Error| {
            LoadError::one(format!("{} cannot be read: {error}", path.display()))
        };
        let mut sources = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
            let path = entry.map_err(|error| unreadable(directory, error))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let wanted =
                path.extension().is_some_and(|end| end == POLICY_EXTENSION) || name == SCHEMA_FILE;
            if name.starts_with('.') || !wanted || !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            sources.push(Self::new(name, text));
        }
        if !sources.iter().any(|source| source.name != SCHEMA_FILE) {
            // A directory without policies would deny everything.
            return Err(LoadError::one(format!(
                "{} holds no policy (a file that ends in .cedar)",
                directory.display()
            )));
        }
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_is_embedded() {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"));
        let mut embedded = Source::embedded();
        embedded.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(Source::directory(directory).unwrap(), embedded);
    }
}
