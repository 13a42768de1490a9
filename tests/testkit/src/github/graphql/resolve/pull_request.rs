//! Pull requests and reviews.

use std::borrow::Cow;

use super::Resolver;
use super::repository::{find_branch, state};
use crate::github::graphql::argument::Arguments;
use crate::github::graphql::entity::{Entity, Of, Placed, Resolved};
use crate::github::graphql::page;
use crate::github::pull_request::{PullRequestState, Review, ReviewState};

impl<'w> Resolver<'w> {
    pub(super) fn pull_request(
        &self,
        placed: Placed<'w>,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Resolved<'w> {
        let Placed {
            repository,
            pull_request,
        } = placed;
        let head = &pull_request.head;
        let is_merged = pull_request.is_merged();
        match name {
            "id" => Resolved::owned(pull_request.node_id()),
            "databaseId" => Resolved::Number(pull_request.id),
            "fullDatabaseId" => Resolved::owned(pull_request.id.to_string()),
            "number" => Resolved::Number(pull_request.number),
            "title" => pull_request.title.as_str().into(),
            "url" | "permalink" => {
                let path = self.pull_request_path(placed);
                Resolved::owned(format!("{}{path}", self.world.web_base))
            }
            "resourcePath" => Resolved::owned(self.pull_request_path(placed)),
            "state" => state(pull_request).into(),
            "isDraft" => Resolved::Flag(pull_request.draft),
            "closed" => Resolved::Flag(!pull_request.is_open()),
            "merged" => Resolved::Flag(is_merged),
            "locked" => Resolved::Flag(false),
            "isInMergeQueue" => Resolved::Flag(pull_request.in_merge_queue),
            "isCrossRepository" => Resolved::Flag(head.repository != repository.id),
            "viewerDidAuthor" => Resolved::Flag(pull_request.author == self.viewer.id),
            "additions" => Resolved::Number(pull_request.additions),
            "deletions" => Resolved::Number(pull_request.deletions),
            "changedFiles" => Resolved::Number(pull_request.changed_files),
            "commits" => Resolved::Object(Entity::Total(pull_request.commits)),
            "createdAt" | "publishedAt" => Resolved::time(Some(pull_request.created_at)),
            "updatedAt" => Resolved::time(Some(pull_request.updated_at)),
            "closedAt" => Resolved::time(pull_request.closed_at),
            "mergedAt" => Resolved::time(pull_request.closed_at.filter(|_| is_merged)),
            "headRefName" => head.branch.as_str().into(),
            "headRefOid" => head.sha.as_str().into(),
            "baseRefName" => pull_request.base_branch.as_str().into(),
            "baseRefOid" => pull_request.base_sha.as_str().into(),
            "mergeable" => match self.merge_state(placed) {
                "DIRTY" => "CONFLICTING",
                "UNKNOWN" => "UNKNOWN",
                _ => "MERGEABLE",
            }
            .into(),
            "mergeStateStatus" => self.merge_state(placed).into(),
            "mergeQueueEntry" => {
                let entry = Entity::QueueEntry(placed);
                Resolved::object(pull_request.in_merge_queue.then_some(entry))
            }
            "statusCheckRollup" => {
                let checks = repository.checks_of(&head.sha);
                let is_any = checks.is_some_and(|checks| !checks.is_empty())
                    || !repository.expected(&head.sha).is_empty();
                Resolved::object(is_any.then_some(Entity::Rollup(placed)))
            }
            "reviewThreads" => {
                let threads = pull_request.threads.iter().map(Entity::Thread);
                Resolved::Object(page::cut(Of::Threads, threads.collect(), arguments))
            }
            "reviewRequests" => {
                let requested = pull_request.requested.iter().enumerate();
                let requests = requested
                    .map(|(index, requested)| Entity::ReviewRequest(placed, index, requested));
                Resolved::Object(page::cut(Of::ReviewRequests, requests.collect(), arguments))
            }
            "author" => Resolved::object(self.find_account(pull_request.author)),
            "headRepositoryOwner" => Resolved::object(self.find_account(head.owner)),
            "headRepository" => {
                let found = self.world.model.repository(head.repository);
                let found = found.filter(|found| self.sees(found));
                Resolved::object(found.map(Entity::Repository))
            }
            "headRef" => match self.world.model.repository(head.repository) {
                Some(found) if self.sees(found) => find_branch(found, &head.branch),
                Some(_) | None => Resolved::Null,
            },
            "repository" | "baseRepository" => Resolved::Object(Entity::Repository(repository)),
            "baseRef" => find_branch(repository, &pull_request.base_branch),
            "mergedBy" => match &pull_request.state {
                PullRequestState::Merged { by, commit: _ } => {
                    Resolved::object(self.find_account(*by))
                }
                PullRequestState::Open | PullRequestState::Closed => Resolved::Null,
            },
            "mergeCommit" => match &pull_request.state {
                PullRequestState::Merged { by: _, commit } => {
                    Resolved::Object(Entity::Commit(repository, Cow::Borrowed(commit)))
                }
                PullRequestState::Open | PullRequestState::Closed => Resolved::Null,
            },
            "autoMergeRequest" => {
                Resolved::object(pull_request.auto_merge.then_some(Entity::AutoMerge(placed)))
            }
            "reviewDecision" => {
                let decision = repository.review_decision(pull_request);
                decision.map_or(Resolved::Null, Resolved::from)
            }
            "latestOpinionatedReviews" => {
                let found = pull_request.latest_reviews(ReviewState::is_opinion);
                reviews(placed, found, arguments)
            }
            "latestReviews" => {
                let found = pull_request.latest_reviews(|state| state != ReviewState::Pending);
                reviews(placed, found, arguments)
            }
            "reviews" => {
                let mut found = pull_request.visible_reviews(Some(self.viewer.id));
                if let Some(states) = arguments.texts("states") {
                    found
                        .retain(|review| states.iter().any(|state| state == review.state.as_str()));
                }
                if let Some(login) = arguments.text("author") {
                    let author = self.world.model.find_account(&login);
                    found.retain(|review| Some(review.author) == author.map(|found| found.id));
                }
                reviews(placed, found, arguments)
            }
            _ => Resolved::Null,
        }
    }

    pub(super) fn review(
        &self,
        placed: Placed<'w>,
        review: &'w Review,
        name: &str,
    ) -> Resolved<'w> {
        let at = review
            .submitted_at
            .unwrap_or(placed.pull_request.created_at);
        let path = || {
            let page = self.pull_request_path(placed);
            format!("{page}#pullrequestreview-{}", review.id)
        };
        match name {
            "id" => Resolved::owned(review.node_id()),
            "databaseId" => Resolved::Number(review.id),
            "fullDatabaseId" => Resolved::owned(review.id.to_string()),
            "author" => Resolved::object(self.find_account(review.author)),
            "state" => review.state.as_str().into(),
            "submittedAt" => Resolved::time(review.submitted_at),
            "createdAt" | "updatedAt" => Resolved::time(Some(at)),
            "commit" => Resolved::Object(Entity::Commit(
                placed.repository,
                Cow::Borrowed(&review.commit),
            )),
            "pullRequest" => Resolved::Object(Entity::PullRequest(placed)),
            "repository" => Resolved::Object(Entity::Repository(placed.repository)),
            "resourcePath" => Resolved::owned(path()),
            "url" => Resolved::owned(format!("{}{}", self.world.web_base, path())),
            _ => Resolved::Null,
        }
    }

    pub(super) fn auto_merge(&self, placed: Placed<'w>, name: &str) -> Resolved<'w> {
        match name {
            "enabledAt" => Resolved::time(Some(placed.pull_request.updated_at)),
            "mergeMethod" => "SQUASH".into(),
            "pullRequest" => Resolved::Object(Entity::PullRequest(placed)),
            _ => Resolved::Null,
        }
    }

    fn pull_request_path(&self, placed: Placed<'_>) -> String {
        let full_name = self.full_name(placed.repository);
        format!("/{full_name}/pull/{}", placed.pull_request.number)
    }
}

fn reviews<'w>(
    placed: Placed<'w>,
    found: Vec<&'w Review>,
    arguments: Arguments<'_>,
) -> Resolved<'w> {
    let found = found
        .into_iter()
        .map(|review| Entity::Review(placed, review))
        .collect();
    Resolved::Object(page::cut(Of::Reviews, found, arguments))
}
