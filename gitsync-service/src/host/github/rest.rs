//! GitHub over REST: one question at a time.
//!
//! [`questions`] are the requests, [`model`] is what is read of their answers, [`reviews`] what
//! reviews amount to, and [`super::validator`] how to ask whether anything changed. A question that failed
//! anywhere has failed: it never looks like "no pull request".

mod memo;
mod model;
mod questions;
mod reviews;

use std::sync::Arc;

use proto::sync::{
    KnownPullRequest, Lane, ProblemClass, PullRequestState, RepositoryPath, Upstream,
};

use super::{
    NoAnswer,
    client::{Client, Endpoint, Moved, Turn},
    review_summary::ReviewSummary,
};
use crate::host::{Answer, Ask, BranchFacts, Candidate, Observed, Question};

use memo::Memo;
use model::{ListedPull, Pull, Viewer};
use questions::{Fresh, Listed, NOT_FOUND, State, Told};

/// The most pages of reviews that are read. A pull request with more (2,000 reviews) is refused
/// rather than judged by its oldest ones.
pub const MAX_REVIEW_PAGES: usize = 20;

type PullKey = (RepositoryPath, i32);
type ListKey = (RepositoryPath, RepositoryPath, String, State);

/// What REST answered, for as long as a lease lasts.
#[derive(Default)]
pub(super) struct Answers {
    pulls: Memo<PullKey, Option<Arc<Fresh<Pull>>>>,
    reviews: Memo<PullKey, Fresh<ReviewSummary>>,
    repositories: Memo<RepositoryPath, Option<Arc<Told>>>,
    lists: Memo<ListKey, Listed>,
}

impl Answers {
    /// Answers one question.
    pub(super) async fn answer(&self, client: &Client, ask: &Ask) -> Result<Answer, NoAnswer> {
        let lookup = Lookup {
            answers: self,
            client,
            turn: Turn::new(ask.lane),
        };
        lookup.answer(&ask.question).await
    }
}

/// Asks whose account it is. Returns whether the host tells.
pub(super) async fn identify(client: &Client) -> Result<bool, NoAnswer> {
    let url = client.base.url(&["user"], &[])?;
    let viewer = client
        .get::<Viewer>(&Turn::new(Lane::Active), Endpoint::GetUser, url, None)
        .await?
        .answer()?;
    if let Some(viewer) = &viewer {
        client.admission.identify(viewer.body.id.to_string());
    }
    Ok(viewer.is_some())
}

/// One question on its way.
struct Lookup<'a> {
    answers: &'a Answers,
    client: &'a Client,
    turn: Turn,
}

impl Lookup<'_> {
    async fn answer(&self, question: &Question) -> Result<Answer, NoAnswer> {
        match question {
            Question::Changed {
                known,
                fingerprint: _,
                validator,
                overdue,
            } => {
                let validator = validator.as_deref().filter(|_| !overdue);
                self.changed(known, validator).await
            }
            Question::Status { known } => self.whole(&repository_of(known)?, known.number).await,
            Question::ByNumber { repository, number } => self.whole(repository, *number).await,
            Question::OfBranch {
                at,
                head,
                branch,
                commit,
                upstream,
            } => {
                // Without a branch the filter would be none, and everything would match it.
                if branch.is_empty() {
                    return Err(NoAnswer::Failed(ProblemClass::Internal));
                }
                let commit = commit.as_deref();
                let facts = self.of_branch(at, head, branch, commit, upstream).await?;
                Ok(Answer::Branch(Box::new(facts)))
            }
        }
    }

    /// Whether a known pull request changed, or else all of it: REST has no answer between the two.
    async fn changed(
        &self,
        known: &KnownPullRequest,
        validator: Option<&str>,
    ) -> Result<Answer, NoAnswer> {
        let repository = repository_of(known)?;
        let validator = validator
            // Of a settled one more is asked than whether it changed.
            .filter(|_| known.state == PullRequestState::Open)
            .and_then(|text| self.client.validator(text));
        if let Some(validator) = &validator
            && self
                .is_unchanged(&repository, known.number, validator)
                .await?
        {
            return Ok(Answer::Unchanged);
        }
        self.whole(&repository, known.number).await
    }

    async fn whole(&self, repository: &RepositoryPath, number: i32) -> Result<Answer, NoAnswer> {
        match self.observed(repository, number).await? {
            Some(observed) => Ok(Answer::PullRequest(Box::new(observed))),
            // GitHub says 404 of everything that a token may not see. Only a repository that
            // answers makes its pull request missing.
            None => match self.repository(repository).await? {
                Some(_) => Ok(Answer::Missing),
                None => Err(NOT_FOUND),
            },
        }
    }

    /// A pull request with its reviews. `None`: it does not exist for this token.
    async fn observed(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Option<Observed>, NoAnswer> {
        let Some(pull) = self.pull(repository, number).await? else {
            return Ok(None);
        };
        let present = pull.what.repository()?;
        let reviews = self.reviews(&present, pull.what.number).await?;
        self.both(&pull, &reviews).map(Some)
    }

    /// A pull request that was just listed, and its reviews, at once: both are needed, and the
    /// repository's present name is known.
    async fn listed(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Option<Observed>, NoAnswer> {
        let (pull, reviews) = tokio::join!(
            self.pull(repository, number),
            self.reviews(repository, number)
        );
        match pull? {
            Some(pull) => self.both(&pull, &reviews?).map(Some),
            None => Ok(None),
        }
    }

    fn both(
        &self,
        pull: &Fresh<Pull>,
        reviews: &Fresh<ReviewSummary>,
    ) -> Result<Observed, NoAnswer> {
        Ok(Observed {
            found: pull.what.found(reviews.what)?,
            head_repository: pull.what.head.repository()?,
            fingerprint: None,
            validator: self.client.validate(&pull.validator, &reviews.validator),
        })
    }

    /// The candidates of a branch in the repository `at`. A settled one only where a commit tells
    /// that it is of this push.
    async fn of_branch(
        &self,
        at: &RepositoryPath,
        head: &RepositoryPath,
        branch: &str,
        commit: Option<&str>,
        upstream: &Upstream,
    ) -> Result<BranchFacts, NoAnswer> {
        let at_home = at == head;
        let (mut repository, mut home) = (at.clone(), head.clone());
        let (mut moved, mut told_upstream) = (false, Upstream::Unknown);
        let state = commit.map_or(State::Open, |_| State::All);
        let mut listed = self.list(at, &home, branch, state).await?;
        if listed.moved != Moved::No {
            let told = self.repository(at).await?.ok_or(NOT_FOUND)?;
            repository = told.name()?;
            moved = listed.moved == Moved::ForGood && told.moved != Moved::ForNow;
            told_upstream = told.upstream()?;
            if at_home {
                // Heads carry the present name. The filter that was sent may have missed them all
                // if the owner is another.
                home = repository.clone();
                if !listed.pulls.iter().any(|pull| is_of(pull, &home, branch)) {
                    listed = self.list(&repository, &home, branch, state).await?;
                }
            }
        }
        let is_open = |pull: &ListedPull| pull.is_open() && is_of(pull, &home, branch);
        let has_open = |listed: &Listed| listed.pulls.iter().any(is_open);
        let settled: Vec<&ListedPull> = listed
            .pulls
            .iter()
            .filter(|pull| !pull.is_open() && Some(pull.head.sha.as_str()) == commit)
            .collect();
        let settled = candidates(settled, &repository, branch)?;
        let mut open = listed.clone();
        // Settled ones of a name that is used again and again may have crowded an open one out.
        if state == State::All && listed.is_cut() && !has_open(&listed) {
            open = self.list(&repository, &home, branch, State::Open).await?;
        }
        let is_known = [upstream, &told_upstream]
            .iter()
            .any(|known| **known != Upstream::Unknown);
        if at_home && !is_known && !has_open(&open) && settled.is_empty() {
            let told = self.repository(at).await?.ok_or(NOT_FOUND)?;
            told_upstream = told.upstream()?;
        }
        let is_complete = !open.is_cut();
        let open = open.pulls.iter().filter(|pull| pull.is_open()).collect();
        let mut open = candidates(open, &repository, branch)?;
        // The one that is most likely wanted comes with all of it, so that a branch is one
        // question.
        let ours = open
            .iter_mut()
            .filter(|pull| pull.head_repository.as_ref() == Some(&home));
        if let Some(latest) = ours.max_by_key(|pull| pull.number) {
            let observed = self.listed(&repository, latest.number).await?;
            latest.whole = observed.map(Box::new);
        }
        Ok(BranchFacts {
            open,
            settled,
            repository,
            moved,
            upstream: told_upstream,
            covers_upstream: false,
            complete: is_complete,
        })
    }
}

/// Whether a listed pull request brings the branch of `home`. GitHub filters by owner and branch,
/// and not at all when it does not like the filter.
fn is_of(pull: &ListedPull, home: &RepositoryPath, branch: &str) -> bool {
    let head = pull.head.repository();
    pull.head.branch == branch && head.is_ok_and(|head| head.as_ref() == Some(home))
}

fn candidates(
    pulls: Vec<&ListedPull>,
    repository: &RepositoryPath,
    branch: &str,
) -> Result<Vec<Candidate>, NoAnswer> {
    let brings = pulls.into_iter().filter(|pull| pull.head.branch == branch);
    let candidate = |pull: &ListedPull| {
        Ok(Candidate {
            number: pull.number,
            host_id: pull.node_id.clone(),
            head_repository: pull.head.repository()?,
            base_repository: repository.clone(),
            head_sha: Some(pull.head.sha.clone()),
            whole: None,
        })
    };
    brings.map(candidate).collect()
}

fn repository_of(known: &KnownPullRequest) -> Result<RepositoryPath, NoAnswer> {
    RepositoryPath::parse(&known.repository).ok_or(NoAnswer::Failed(ProblemClass::Internal))
}
