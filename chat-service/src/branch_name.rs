//! Names of branches and commits, by git's own rules.

/// Bytes of a branch at most: what a file system lets a component of a ref have, and a host takes.
const MAX_BRANCH_BYTES: usize = 255;

/// The name of a branch, as git and hosts take it. Compared with case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch(String);

impl Branch {
    /// Takes `name` as it is if `git check-ref-format --branch` would.
    ///
    /// A full ref name (`refs/heads/x`) is refused rather than shortened or taken literally: the
    /// branch that it means is `x`, and a branch of that literal name is never meant.
    ///
    /// # Errors
    ///
    /// The reason why the name is invalid.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("must not be empty");
        }
        if name.len() > MAX_BRANCH_BYTES {
            return Err("must not be longer than 255 bytes");
        }
        if name.starts_with("refs/") {
            return Err("must be the branch's own name, without refs/heads/");
        }
        if name == "@" || name == "HEAD" || name.starts_with('-') {
            return Err("is no name that a branch can have");
        }
        let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
        if name.contains(forbidden) || name.contains("..") || name.contains("@{") {
            return Err("has characters that a branch's name cannot have");
        }
        if name.ends_with('.') {
            return Err("must not end with a dot");
        }
        let misshapen =
            |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        if name.split('/').any(misshapen) {
            return Err("has a part that is empty, begins with a dot or ends with .lock");
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes a full commit id, SHA-1 or SHA-256, in lower case.
///
/// # Errors
///
/// The reason why the text is invalid.
pub fn parse_commit(text: &str) -> Result<String, &'static str> {
    let full = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if full {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be 40 or 64 hex digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_takes_are_taken_as_they_are() {
        for name in [
            "main",
            "feat/x",
            "feat/my-thing_2",
            "dependabot/npm_and_yarn/a-1.2.3",
            "a@b",
            "@x",
            "ä",
            "a.b",
            "x.lock.y",
            "Fix#12",
            "100%",
            "a{b}",
            "héad",
            "(x)",
            "a+b",
            "HEADS",
            "head",
        ] {
            assert_eq!(Branch::parse(name).unwrap().as_str(), name);
        }
        assert!(Branch::parse(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn names_that_no_branch_can_have_are_refused() {
        for name in [
            "",
            " ",
            "a b",
            "-x",
            "--x",
            ".x",
            "a/.x",
            "x.",
            "x.lock",
            "a.lock/b",
            "a..b",
            "a//b",
            "/a",
            "a/",
            "a~b",
            "a^b",
            "a:b",
            "a?b",
            "a*b",
            "a[b",
            "a\\b",
            "a@{b",
            "@",
            "HEAD",
            "a\tb",
            "a\nb",
            "a\u{0}b",
            "a\u{7f}b",
            "refs/heads/x",
            "refs/tags/x",
        ] {
            assert!(Branch::parse(name).is_err(), "{name:?}");
        }
        assert!(Branch::parse(&"a".repeat(256)).is_err());
    }

    #[test]
    fn commits_are_full_ids_in_lower_case() {
        let upper = "ABCDEF0123".repeat(4);
        assert_eq!(parse_commit(&upper).unwrap(), upper.to_lowercase());
        assert!(parse_commit(&"0".repeat(64)).is_ok());
        for text in ["", "abc", &"g".repeat(40), &"0".repeat(41), &"0".repeat(63)] {
            assert!(parse_commit(text).is_err());
        }
    }
}
