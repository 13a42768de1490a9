//! The sum of a pull request's reviews, whichever interface listed them.

/// The sum of a pull request's reviews.
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
    /// The node ids of the latest decisive reviews that ask for changes.
    pub(super) change_requests: Vec<String>,
}
