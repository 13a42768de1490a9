//! The questions to REST: each is sent once in the life of a lease.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use proto::sync::{ProblemClass, RepositoryPath, Upstream};
use url::Url;

use super::{
    super::{
        NoAnswer,
        client::{Endpoint, Redirect},
        normalised,
        rate_limit::LimitHeaders,
        review_summary::ReviewSummary,
    },
    Lookup, MAX_REVIEW_PAGES,
    model::{ListedPull, Pull, RepositoryInfo, Review},
    reviews::summarize,
};

/// GitHub's largest page.
const REVIEWS_PER_PAGE: &str = "100";
const PULLS_PER_PAGE: &str = "30";
/// Pages of a list of pull requests that are read; what is beyond is not known.
const MAX_PULL_PAGES: usize = 10;

/// A repository's list of pull requests for a branch name.
#[derive(Clone, Debug)]
pub(super) struct PullList {
    pub(super) pulls: Arc<[ListedPull]>,
    pub(super) moved: Redirect,
    /// There are more than the list holds.
    pub(super) is_cut: bool,
    limits: LimitHeaders,
}

impl PullList {
    /// How long ago a listed one was merged or closed, by the answer's clock.
    pub(super) fn settled_ago(&self, pull: &ListedPull) -> Option<Duration> {
        let at = pull.closed_at.as_deref()?;
        self.limits.since(at.parse::<Timestamp>().ok()?)
    }
}

/// Which pull requests are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum StateFilter {
    Open,
    All,
}

/// A repository as REST describes it.
#[derive(Debug)]
pub(super) struct RepositoryAnswer {
    info: RepositoryInfo,
    pub(super) moved: Redirect,
}

impl RepositoryAnswer {
    /// Its name, which may not be the one that it was asked by.
    pub(super) fn name(&self) -> Result<RepositoryPath, NoAnswer> {
        normalised::repository(&self.info.full_name)
    }

    /// Its upstream. Unknown for a fork whose parent is hidden from this token.
    pub(super) fn upstream(&self) -> Result<Upstream, NoAnswer> {
        match &self.info.parent {
            _ if !self.info.fork => Ok(Upstream::NoFork),
            Some(parent) => normalised::repository(&parent.full_name).map(Upstream::Of),
            None => Ok(Upstream::Unknown),
        }
    }

    /// The root of its network, if it is a fork.
    pub(super) fn root(&self) -> Result<Option<RepositoryPath>, NoAnswer> {
        let source = self.info.source.as_ref().filter(|_| self.info.fork);
        let root = source.map(|source| normalised::repository(&source.full_name));
        root.transpose()
    }

    /// Its default branch, where the host says it.
    pub(super) fn default_branch(&self) -> Option<&str> {
        self.info.default_branch.as_deref()
    }
}

impl Lookup<'_> {
    /// `None`: it does not exist for this token.
    pub(super) async fn pull(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Option<Arc<Pull>>, NoAnswer> {
        let question = (repository.clone(), number);
        let ask = || async {
            let url = self.pull_url(repository, number)?;
            let pull = self.client.get(&self.turn, Endpoint::GetPull, url).await?;
            Ok(pull.map(|answer| Arc::new(answer.body)))
        };
        self.answers.pulls.get(question, ask).await
    }

    /// `None`: it does not exist for this token.
    pub(super) async fn repository(
        &self,
        repository: &RepositoryPath,
    ) -> Result<Option<Arc<RepositoryAnswer>>, NoAnswer> {
        let ask = || async {
            let (owner, name) = owner_and_name(repository)?;
            let url = self.client.base.url(&["repos", owner, name], &[])?;
            let repository_answer = self
                .client
                .get(&self.turn, Endpoint::GetRepository, url)
                .await?;
            Ok(repository_answer.map(|answer| {
                Arc::new(RepositoryAnswer {
                    info: answer.body,
                    moved: answer.moved,
                })
            }))
        };
        self.answers.repositories.get(repository.clone(), ask).await
    }

    /// The pull requests in `at` that bring `branch` of an account's repositories, and perhaps
    /// others, the youngest first: of the open ones as many pages as it takes to find one from
    /// `head`, and of all of them one.
    pub(super) async fn list(
        &self,
        at: &RepositoryPath,
        head: &RepositoryPath,
        branch: &str,
        state: StateFilter,
    ) -> Result<PullList, NoAnswer> {
        let question = (at.clone(), head.clone(), branch.to_owned(), state);
        let ask = || async {
            let (owner, name) = owner_and_name(at)?;
            let (head_owner, _) = owner_and_name(head)?;
            let url = self.client.base.url(
                &["repos", owner, name, "pulls"],
                &[
                    (
                        "state",
                        match state {
                            StateFilter::Open => "open",
                            StateFilter::All => "all",
                        },
                    ),
                    ("head", &format!("{head_owner}:{branch}")),
                    ("sort", "created"),
                    ("direction", "desc"),
                    ("per_page", PULLS_PER_PAGE),
                ],
            )?;
            let ends = |pull: &ListedPull| is_of(pull, head, branch) || state == StateFilter::All;
            let listed = self.pages(Endpoint::ListPulls, url, ends).await?;
            listed.ok_or(NOT_FOUND)
        };
        self.answers.lists.get(question, ask).await
    }

    /// The pull requests that contain a commit, in any repository. `None`: the host does not know
    /// the commit, or has no such list.
    pub(super) async fn list_of_commit(
        &self,
        at: &RepositoryPath,
        commit: &str,
    ) -> Result<Option<PullList>, NoAnswer> {
        let question = (at.clone(), commit.to_owned());
        let ask = || async {
            let (owner, name) = owner_and_name(at)?;
            let segments = ["repos", owner, name, "commits", commit, "pulls"];
            let url = self
                .client
                .base
                .url(&segments, &[("per_page", PULLS_PER_PAGE)])?;
            match self
                .pages(Endpoint::ListPullsOfCommit, url, |_| false)
                .await
            {
                Err(NoAnswer::Failed(
                    ProblemClass::AccessDenied | ProblemClass::HostIncompatible,
                )) => Ok(None),
                listed => listed,
            }
        };
        self.answers.commits.get(question, ask).await
    }

    /// A list page after page, until one of its items `ends` it. `None`: it does not exist for this
    /// token.
    async fn pages(
        &self,
        endpoint: Endpoint,
        url: Url,
        ends: impl Fn(&ListedPull) -> bool,
    ) -> Result<Option<PullList>, NoAnswer> {
        let page = |url| {
            self.client
                .get::<Vec<ListedPull>>(&self.turn, endpoint, url)
        };
        let Some(first) = page(url).await? else {
            return Ok(None);
        };
        let (mut pulls, mut next, mut read) = (first.body, first.next, 1);
        while let Some(url) = next.take_if(|_| read < MAX_PULL_PAGES && !pulls.iter().any(&ends)) {
            let answer = page(url).await?.ok_or(NOT_FOUND)?;
            pulls.extend(answer.body);
            next = answer.next;
            read += 1;
        }
        Ok(Some(PullList {
            pulls: pulls.into(),
            moved: first.moved,
            is_cut: next.is_some(),
            limits: first.limits,
        }))
    }

    /// All reviews: they come oldest first, so the last page is the one that counts.
    pub(super) async fn reviews(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<ReviewSummary, NoAnswer> {
        let question = (repository.clone(), number);
        let ask = || self.ask_reviews(repository, number);
        self.answers.reviews.get(question, ask).await
    }

    async fn ask_reviews(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<ReviewSummary, NoAnswer> {
        let mut url = self.reviews_url(repository, number)?;
        let mut reviews = Vec::new();
        for _ in 0..MAX_REVIEW_PAGES {
            let page = self
                .client
                .get::<Vec<Review>>(&self.turn, Endpoint::ListReviews, url)
                .await?
                .ok_or(NoAnswer::Failed(ProblemClass::NotReady))?;
            reviews.extend(page.body);
            match page.next {
                Some(next) => url = next,
                None => return Ok(summarize(&reviews)),
            }
        }
        Err(NoAnswer::invalid("too many pages of reviews"))
    }

    pub(super) fn pull_url(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Url, NoAnswer> {
        let (owner, name) = owner_and_name(repository)?;
        let number = number.to_string();
        let segments = ["repos", owner, name, "pulls", &number];
        self.client.base.url(&segments, &[])
    }

    fn reviews_url(&self, repository: &RepositoryPath, number: i32) -> Result<Url, NoAnswer> {
        let (owner, name) = owner_and_name(repository)?;
        let number = number.to_string();
        self.client.base.url(
            &["repos", owner, name, "pulls", &number, "reviews"],
            &[("per_page", REVIEWS_PER_PAGE)],
        )
    }
}

pub(super) const NOT_FOUND: NoAnswer = NoAnswer::Failed(ProblemClass::RepositoryNotFound);

/// Whether a listed pull request brings the branch of `home`. GitHub filters by owner and branch,
/// and not at all when it does not like the filter.
pub(super) fn is_of(pull: &ListedPull, home: &RepositoryPath, branch: &str) -> bool {
    let head = pull.head.repository();
    pull.head.branch == branch && head.is_ok_and(|head| head.as_ref() == Some(home))
}

/// GitHub has no repository whose path is anything but these two.
pub(super) fn owner_and_name(repository: &RepositoryPath) -> Result<(&str, &str), NoAnswer> {
    repository.owner_and_name().ok_or(NOT_FOUND)
}
