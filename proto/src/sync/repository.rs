//! Where a repository is at its host.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::field::{FieldError, Wire};
use crate::bounds::MAX_REPOSITORY_BYTES;

/// A repository's path at its host, as in `acme/web` or `group/sub/project`: opaque to both
/// services, in the spelling that was reported. Hosts compare paths without case, and so does this
/// type.
#[derive(Clone, Debug)]
pub struct RepositoryPath(String);

impl RepositoryPath {
    /// Takes a path of at least two segments, none of them empty.
    ///
    /// Returns `None` for anything else, and for one longer than [`MAX_REPOSITORY_BYTES`].
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let fits = path.len() <= MAX_REPOSITORY_BYTES
            && path.contains('/')
            && path.split('/').all(|segment| !segment.is_empty())
            && !path.contains('\0');
        fits.then(|| Self(path.to_owned()))
    }

    /// The path as it was spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Owner and name, on hosts whose paths have exactly these two.
    #[must_use]
    pub fn owner_and_name(&self) -> Option<(&str, &str)> {
        let (owner, name) = self.0.split_once('/')?;
        (!name.contains('/')).then_some((owner, name))
    }
}

impl Wire<String> for RepositoryPath {
    fn read(path: String) -> Result<Self, FieldError> {
        Self::parse(&path).ok_or_else(|| FieldError::new("", "is not a repository's path"))
    }

    fn message(&self) -> String {
        self.0.clone()
    }
}

impl PartialEq for RepositoryPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for RepositoryPath {}

impl Hash for RepositoryPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_equal_whatever_their_case() {
        assert_eq!(
            RepositoryPath::parse("Acme/Web"),
            RepositoryPath::parse("acme/web")
        );
        assert_ne!(
            RepositoryPath::parse("acme/web"),
            RepositoryPath::parse("acme/api")
        );
    }

    #[test]
    fn a_path_has_at_least_two_segments_and_none_is_empty() {
        for path in ["", "acme", "acme/", "/web", "a//b", "a/b/", "a/\0"] {
            assert!(RepositoryPath::parse(path).is_none(), "{path:?}");
        }
        let deep = RepositoryPath::parse("group/sub/project").unwrap();
        assert_eq!(deep.owner_and_name(), None);
        let flat = RepositoryPath::parse("acme/web").unwrap();
        assert_eq!(flat.owner_and_name(), Some(("acme", "web")));
    }
}
