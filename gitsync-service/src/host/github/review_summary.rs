//! What the reviews of a pull request amount to, whichever interface listed them.

/// What the reviews of a pull request amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReviewSummary {
    /// A reviewer's latest decisive review asks for changes.
    pub(super) changes_requested: bool,
    /// A reviewer approved, and no latest decisive review asks for changes.
    pub(super) approved: bool,
    /// Reviewers with a decisive review.
    pub(super) reviewer_count: i32,
    /// Those of them who approved, in lower case.
    pub(super) approved_by: Vec<String>,
}
