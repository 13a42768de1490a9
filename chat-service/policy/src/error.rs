//! Why policies cannot be used.

/// All that is wrong with a set of policies. Each problem is a sentence that names the file or the
/// policy, and the construct.
#[derive(Debug, thiserror::Error)]
#[error("the policies cannot be used:\n  {}", .0.join("\n  "))]
pub struct LoadError(pub Vec<String>);

impl LoadError {
    pub(crate) fn one(problem: String) -> Self {
        Self(vec![problem])
    }
}

/// Cedar's errors say what is wrong in their sources.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
