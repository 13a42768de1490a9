//! Reads a pull request from GraphQL into its normalised form.

use proto::sync::{FoundPullRequest, Head, PullRequest, PullRequestState};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        NoAnswer,
        normalised::{self, count},
        review_summary::ReviewSummary,
        thread_authors::ThreadAuthors,
    },
    progress::{ProgressFields, VolatileFields},
};
use crate::host::HostPullRequest;

/// The fields by which a change of a pull request is detected.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fingerprint<'a> {
    id: &'a str,
    updated_at: &'a str,
    state: &'a str,
    is_draft: bool,
    head_ref_oid: &'a str,
    base_ref_oid: &'a str,
    review_decision: Option<&'a str>,
    // An Enterprise host of before 3.12 has none.
    #[serde(default)]
    is_in_merge_queue: bool,
}

impl Fingerprint<'_> {
    /// Short, and the same for the same pull request with every token.
    fn text(&self, moving: &VolatileFields<'_>) -> String {
        let Self {
            id,
            updated_at,
            state,
            is_draft,
            head_ref_oid,
            base_ref_oid,
            review_decision,
            is_in_merge_queue,
        } = self;
        let decision = review_decision.unwrap_or_default();
        let moving = moving.text();
        format!(
            "2 {id} {updated_at} {state} {is_draft} {head_ref_oid} {base_ref_oid} {decision} \
             {is_in_merge_queue} {moving}"
        )
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    id: &'a str,
    number: i32,
    url: String,
    title: String,
    state: &'a str,
    is_draft: bool,
    additions: u64,
    deletions: u64,
    changed_files: u64,
    head_ref_name: String,
    head_ref_oid: String,
    base_ref_name: String,
    updated_at: &'a str,
    author: Option<Actor>,
    repository: RepositoryRef,
    head_repository: Option<RepositoryRef>,
    commits: Total,
    latest_opinionated_reviews: Reviews,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    login: String,
    avatar_url: Option<String>,
}

/// A repository within another answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryRef {
    pub(super) name_with_owner: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    total_count: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reviews {
    total_count: u64,
    nodes: Vec<Option<ReviewNode>>,
}

#[derive(Debug, Deserialize)]
struct ReviewNode {
    id: Option<String>,
    state: String,
    /// Null when the account is gone.
    author: Option<LoginNode>,
}

#[derive(Debug, Deserialize)]
struct LoginNode {
    login: String,
}

/// Reads the fingerprint of a pull request.
pub(super) fn fingerprint(node: &Value) -> Result<String, NoAnswer> {
    let read = Fingerprint::deserialize(node).map_err(|_| not_a_status())?;
    let moving = VolatileFields::deserialize(node).map_err(|_| not_a_status())?;
    Ok(read.text(&moving))
}

/// A pull request's status in a response.
#[derive(Clone, Debug)]
pub(super) enum Whole {
    /// All of it.
    Status(Box<HostPullRequest>),
    /// All but some of its reviews, which are more than a page holds.
    MoreReviews,
}

/// Reads the whole status. `authors` are those of review threads, as far as they are known.
pub(super) fn whole(node: &Value, authors: &ThreadAuthors) -> Result<Whole, NoAnswer> {
    let fingerprint = fingerprint(node)?;
    let Node {
        id,
        number,
        url,
        title,
        state,
        is_draft,
        additions,
        deletions,
        changed_files,
        head_ref_name,
        head_ref_oid,
        base_ref_name,
        updated_at,
        author,
        repository,
        head_repository,
        commits,
        latest_opinionated_reviews,
    } = Node::deserialize(node).map_err(|_| not_a_status())?;
    let Some(reviews) = summary(latest_opinionated_reviews) else {
        return Ok(Whole::MoreReviews);
    };
    let fields = ProgressFields::deserialize(node).map_err(|_| not_a_status())?;
    let is_open = state == "OPEN";
    let (author_login, author_avatar_url) = match author {
        Some(author) => (Some(author.login), author.avatar_url),
        None => (None, None),
    };
    let found = normalised::found(FoundPullRequest {
        shown: PullRequest {
            number,
            url,
            state: match state {
                "OPEN" => PullRequestState::Open,
                "MERGED" => PullRequestState::Merged,
                "CLOSED" => PullRequestState::Closed,
                _ => {
                    let what = "a pull request is neither open nor closed";
                    return Err(NoAnswer::invalid(what));
                }
            },
            draft: is_draft,
            title,
            base_branch: base_ref_name,
            author_login,
            author_avatar_url,
            changes_requested: reviews.changes_requested,
            approved: reviews.approved,
            reviewer_count: reviews.reviewer_count,
            pushed_after_merge: None,
            progress: fields.progress(&reviews, authors),
            head: Head {
                branch: head_ref_name,
                sha: head_ref_oid,
                additions: count(additions),
                deletions: count(deletions),
                changed_files: count(changed_files),
                commits: count(commits.total_count),
                checks: fields.checks().filter(|_| is_open),
                merge_state: fields.merge_state().filter(|_| is_open),
            },
        },
        repository: repository.name_with_owner,
        host_id: Some(id.to_owned()),
        updated_at: updated_at.parse().ok(),
    })?;
    let head_repository =
        head_repository.map(|named| normalised::repository(&named.name_with_owner));
    Ok(Whole::Status(Box::new(HostPullRequest {
        found,
        head_repository: head_repository.transpose()?,
        fingerprint: Some(fingerprint),
    })))
}

fn not_a_status() -> NoAnswer {
    NoAnswer::invalid("a pull request lacks what was asked for")
}

/// Sums reviews up as REST does: the latest decisive review of each account that still exists.
/// GitHub's own decision has no part in it: it is null where no approval is required, whatever the
/// reviewers say. `None`: there are more than were listed.
fn summary(reviews: Reviews) -> Option<ReviewSummary> {
    let Reviews { total_count, nodes } = reviews;
    if u64::try_from(nodes.len()).is_ok_and(|listed| listed < total_count) {
        return None;
    }
    let decisive: Vec<ReviewNode> = nodes
        .into_iter()
        .flatten()
        .filter(|review| {
            let author = review.author.as_ref();
            author.is_some_and(|author| normalised::login(&author.login).is_some())
        })
        .collect();
    let any = |state: &str| decisive.iter().any(|review| review.state == state);
    let changes_requested = any("CHANGES_REQUESTED");
    Some(ReviewSummary {
        changes_requested,
        approved: any("APPROVED") && !changes_requested,
        reviewer_count: i32::try_from(decisive.len()).unwrap_or(i32::MAX),
        approved_by: decisive
            .iter()
            .filter(|review| review.state == "APPROVED")
            .filter_map(|review| normalised::login(&review.author.as_ref()?.login))
            .map(|login| login.to_lowercase())
            .collect(),
        change_requests: decisive
            .iter()
            .filter(|review| review.state == "CHANGES_REQUESTED")
            .filter_map(|review| review.id.clone())
            .collect(),
    })
}
