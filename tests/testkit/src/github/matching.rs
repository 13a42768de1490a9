//! Which requests something is about: faults, holds and questions to the record.

use axum::http::Method;

use super::record::{Caller, RecordedRequest};

/// Describes requests by path and, if wished, by method, query and caller.
///
/// A path pattern is a run of whole path segments anywhere in the path (a leading `/api/v3` does
/// not count): `/pulls` is both the list and one pull request, `/pulls/1` is not `/pulls/12`. A
/// `*` stands for any one segment, and a `$` at the end for the end of the path: `/pulls$` is the
/// list only. Case does not matter, as in names of repositories.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    segments: Vec<String>,
    whole_tail: bool,
    method: Option<Method>,
    query: Vec<(String, String)>,
    login: Option<String>,
    operation: Option<String>,
}

impl Matching {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests whose path has this run of segments.
    pub fn path(pattern: &str) -> Self {
        let (pattern, whole_tail) = match pattern.strip_suffix('$') {
            Some(rest) => (rest, true),
            None => (pattern, false),
        };
        let segments = split(pattern).map(str::to_owned).collect();
        Self {
            segments,
            whole_tail,
            ..Self::default()
        }
    }

    /// Only requests with this method.
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only requests with this query parameter, after decoding.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Only requests with a token of this user.
    pub fn by(mut self, login: &str) -> Self {
        self.login = Some(login.to_owned());
        self
    }

    /// Queries to the GraphQL API.
    pub fn graphql() -> Self {
        Self::path("/graphql").method(Method::POST)
    }

    /// Only GraphQL queries whose operation has this name.
    pub fn operation(mut self, name: &str) -> Self {
        self.operation = Some(name.to_owned());
        self
    }

    /// Whether it describes this request.
    pub fn matches(&self, request: &RecordedRequest) -> bool {
        let Self {
            segments: _,
            whole_tail: _,
            method,
            query,
            login,
            operation,
        } = self;
        self.matches_path(&request.path)
            && method
                .as_ref()
                .is_none_or(|method| *method == request.method)
            && query.iter().all(|pair| request.query.contains(pair))
            && operation.as_ref().is_none_or(|operation| {
                let query = request.graphql.as_ref();
                query.and_then(|query| query.operation.as_ref()) == Some(operation)
            })
            && login.as_ref().is_none_or(|login| match &request.caller {
                Caller::User(caller) => caller.eq_ignore_ascii_case(login),
                Caller::Anonymous | Caller::Unknown => false,
            })
    }

    fn matches_path(&self, path: &str) -> bool {
        let path: Vec<&str> = split(path).collect();
        let wanted = self.segments.len();
        if wanted == 0 {
            return !self.whole_tail || path.is_empty();
        }
        path.windows(wanted).enumerate().any(|(start, window)| {
            (!self.whole_tail || start + wanted == path.len())
                && window
                    .iter()
                    .zip(&self.segments)
                    .all(|(have, want)| want == "*" || have.eq_ignore_ascii_case(want))
        })
    }
}

impl From<&str> for Matching {
    fn from(pattern: &str) -> Self {
        Self::path(pattern)
    }
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_run_of_whole_segments() {
        let cases = [
            ("/pulls", "/repos/acme/web/pulls", true),
            ("/pulls", "/repos/acme/web/pulls/1/reviews", true),
            ("/pulls/1", "/repos/acme/web/pulls/12", false),
            ("/pulls$", "/repos/acme/web/pulls", true),
            ("/pulls$", "/repos/acme/web/pulls/1", false),
            ("/pulls/*$", "/repos/acme/web/pulls/1", true),
            ("/pulls/*/reviews", "/repos/acme/web/pulls/1/reviews", true),
            ("/pulls/*/reviews", "/repos/acme/web/pulls/reviews", false),
            ("/repos/ACME/web", "/repos/acme/web/pulls", true),
            ("/acme/web", "/repos/acme/website", false),
            ("", "/user", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(
                Matching::path(pattern).matches_path(path),
                expected,
                "{pattern} on {path}"
            );
        }
    }
}
