//! GitHub over REST: one question at a time.
//!
//! [`questions`] are the requests, [`model`] is what is read of their answers, [`reviews`] what
//! reviews amount to. A question that failed anywhere has failed: it never looks like "no pull
//! request".

mod checks;
mod diff;
mod memo;
mod model;
mod questions;
mod reviews;

use std::{collections::HashSet, sync::Arc};

use proto::sync::{Checks, KnownPullRequest, Lane, ProblemClass, RepositoryPath, Upstream};

use super::{
    NoAnswer,
    client::{Client, Endpoint, Redirect, RestTurn},
    normalised,
    review_summary::ReviewSummary,
};
use crate::host::{Answer, Ask, BranchFacts, Candidate, HostPullRequest, Question, is_other};

use memo::Memo;
use model::{CurrentUser, Pull};
use questions::{NOT_FOUND, PullList, RepositoryAnswer, StateFilter, is_of};

/// The most pages of reviews that are read. A pull request with more (2,000 reviews) is refused
/// rather than judged by its oldest ones.
pub const MAX_REVIEW_PAGES: usize = 20;

type PullKey = (RepositoryPath, i32);
type ListKey = (RepositoryPath, RepositoryPath, String, StateFilter);

/// REST's answers, for the life of a lease.
#[derive(Default)]
pub(super) struct Answers {
    pulls: Memo<PullKey, Option<Arc<Pull>>>,
    reviews: Memo<PullKey, ReviewSummary>,
    checks: Memo<(RepositoryPath, String), Option<Checks>>,
    repositories: Memo<RepositoryPath, Option<Arc<RepositoryAnswer>>>,
    lists: Memo<ListKey, PullList>,
    commits: Memo<(RepositoryPath, String), Option<PullList>>,
}

impl Answers {
    /// Answers one question.
    pub(super) async fn answer(&self, client: &Client, ask: &Ask) -> Result<Answer, NoAnswer> {
        let lookup = Lookup {
            answers: self,
            client,
            turn: RestTurn::new(ask.lane),
        };
        lookup.answer(&ask.question).await
    }
}

/// Asks for the credential's account. Returns whether the host names it.
pub(super) async fn identify(client: &Client) -> Result<bool, NoAnswer> {
    let url = client.base.url(&["user"], &[])?;
    let viewer = client
        .get::<CurrentUser>(&RestTurn::new(Lane::Active), Endpoint::GetUser, url)
        .await?;
    if let Some(viewer) = &viewer {
        client.admission.identify(viewer.body.id.to_string());
    }
    Ok(viewer.is_some())
}

/// One question on its way.
struct Lookup<'a> {
    answers: &'a Answers,
    client: &'a Client,
    turn: RestTurn,
}

impl Lookup<'_> {
    async fn answer(&self, question: &Question) -> Result<Answer, NoAnswer> {
        match question {
            // REST has no cheaper change query than the whole pull request.
            Question::Changed { known, .. } | Question::Status { known } => self.known(known).await,
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
                let commit = commit
                    .as_deref()
                    .filter(|commit| normalised::is_commit(commit));
                let facts = self.of_branch(at, head, branch, commit, upstream).await?;
                Ok(Answer::Branch(Box::new(facts)))
            }
        }
    }

    /// A known pull request. Where another repository has taken its repository's name, which says
    /// nothing of where that is now, a fork of it leads there.
    async fn known(&self, known: &KnownPullRequest) -> Result<Answer, NoAnswer> {
        let (repository, number) = (repository_of(known)?, known.number);
        let is_it = |pull: &Option<Arc<Pull>>| {
            let id = pull.as_ref().and_then(|pull| pull.node_id.as_deref());
            pull.is_some() && !is_other(known, id)
        };
        if known.host_id.is_none() || is_it(&self.pull(&repository, number).await?) {
            return self.whole(&repository, number).await;
        }
        let repository_answer = self.repository(&repository).await?.ok_or(NOT_FOUND)?;
        let parent = match repository_answer.upstream()? {
            Upstream::Of(parent) => Some(parent),
            Upstream::Unknown | Upstream::NoFork => None,
        };
        let bases = [parent, repository_answer.root()?];
        for base in bases.into_iter().flatten().collect::<HashSet<_>>() {
            if is_it(&self.pull(&base, number).await?) {
                return self.whole(&base, number).await;
            }
        }
        Ok(Answer::Missing)
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
    ) -> Result<Option<HostPullRequest>, NoAnswer> {
        let Some(pull) = self.pull(repository, number).await? else {
            return Ok(None);
        };
        let base = pull.repository()?;
        let (reviews, checks) = tokio::join!(
            self.reviews(&base, pull.number),
            self.checks_of(&base, &pull)
        );
        observed(&pull, &reviews?, checks?).map(Some)
    }

    /// A pull request that was just listed, and its reviews, at once: both are needed, and the
    /// repository's present name is known.
    async fn listed(
        &self,
        repository: &RepositoryPath,
        number: i32,
    ) -> Result<Option<HostPullRequest>, NoAnswer> {
        let (pull, reviews) = tokio::join!(
            self.pull(repository, number),
            self.reviews(repository, number)
        );
        match pull? {
            Some(pull) => {
                let checks = self.checks_of(repository, &pull).await?;
                observed(&pull, &reviews?, checks).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The candidates of a branch in the repository `at`.
    async fn of_branch(
        &self,
        at: &RepositoryPath,
        head: &RepositoryPath,
        branch: &str,
        commit: Option<&str>,
        upstream: &Upstream,
    ) -> Result<BranchFacts, NoAnswer> {
        let at_home = at == head;
        let (mut home, mut repository_answer) = (head.clone(), None);
        let mut facts = BranchFacts {
            repository: at.clone(),
            moved: false,
            upstream: Upstream::Unknown,
            root: None,
            is_default: false,
            open: Vec::new(),
            settled: Vec::new(),
            knows_commit: false,
            covers_upstream: false,
            complete: true,
        };
        let state = commit.map_or(StateFilter::Open, |_| StateFilter::All);
        let mut listed = self.list(at, &home, branch, state).await?;
        if listed.moved != Redirect::No {
            let info = self.repository(at).await?.ok_or(NOT_FOUND)?;
            facts.repository = info.name()?;
            facts.moved = listed.moved == Redirect::ForGood && info.moved != Redirect::ForNow;
            repository_answer = Some(info);
            if at_home {
                // Heads carry the present name. The filter that was sent may have missed them all
                // if the owner is another.
                home = facts.repository.clone();
                if !listed.pulls.iter().any(|pull| is_of(pull, &home, branch)) {
                    listed = self.list(&facts.repository, &home, branch, state).await?;
                }
            }
        }
        let newest = listed.pulls.iter().find(|pull| is_of(pull, &home, branch));
        let at_commit = newest.is_some_and(|newest| Some(newest.head.sha.as_str()) == commit);
        let (is_listed, is_cut) = (newest.is_some(), listed.is_cut);
        let reader = ListReader {
            branch,
            commit,
            home: &home,
        };
        reader.add(&mut facts, &listed, false)?;
        let has_open = |facts: &BranchFacts| facts.open_from(&home).next().is_some();
        // Settled ones of a name that is used again and again may have crowded an open one out.
        if state == StateFilter::All && listed.is_cut && !has_open(&facts) {
            listed = self
                .list(&facts.repository, &home, branch, StateFilter::Open)
                .await?;
            reader.add(&mut facts, &listed, false)?;
        }
        facts.complete = !listed.is_cut || has_open(&facts);
        // Those that hold the commit are of this list, or of another repository's.
        if let Some(commit) = commit
            && !facts.is_decided(&home)
            && (is_listed || is_cut)
            && (!at_commit || has_open(&facts))
        {
            match self.list_of_commit(&facts.repository, commit).await? {
                Some(holding) => {
                    reader.add(&mut facts, &holding, true)?;
                    facts.knows_commit = !holding.is_cut;
                    facts.complete &= !holding.is_cut;
                }
                None => facts.complete &= !is_cut,
            }
        }
        if *upstream == Upstream::Unknown && repository_answer.is_none() && !facts.is_decided(&home)
        {
            repository_answer = Some(self.repository(at).await?.ok_or(NOT_FOUND)?);
        }
        if let Some(repository_answer) = repository_answer {
            (facts.upstream, facts.root) =
                (repository_answer.upstream()?, repository_answer.root()?);
            facts.is_default |= at_home && repository_answer.default_branch() == Some(branch);
        }
        // The one that is most likely wanted comes with all of it, so that a branch is one
        // question.
        let repository = facts.repository.clone();
        let open = facts.open.iter_mut();
        let here = open.filter(|pull| pull.is_from(&home, &repository));
        if let Some(latest) = here.max_by_key(|pull| pull.number)
            && latest.may_be_adopted(facts.is_default)
        {
            let observed = self.listed(&repository, latest.number).await?;
            latest.whole = observed.map(Box::new);
        }
        Ok(facts)
    }
}

fn observed(
    pull: &Pull,
    reviews: &ReviewSummary,
    checks: Option<Checks>,
) -> Result<HostPullRequest, NoAnswer> {
    Ok(HostPullRequest {
        found: pull.found(reviews, checks)?,
        head_repository: pull.head.repository()?,
        fingerprint: None,
    })
}

/// Reads lists of pull requests.
struct ListReader<'a> {
    branch: &'a str,
    commit: Option<&'a str>,
    home: &'a RepositoryPath,
}

impl ListReader<'_> {
    /// Adds what is listed: open ones of the branch's name, and settled ones that hold the commit.
    fn add(&self, facts: &mut BranchFacts, listed: &PullList, hold: bool) -> Result<(), NoAnswer> {
        for pull in listed.pulls.iter() {
            let has_commit = hold || Some(pull.head.sha.as_str()) == self.commit;
            if pull.head.branch != self.branch || !(pull.is_open() || has_commit) {
                continue;
            }
            let (base_repository, head_repository) = (pull.repository()?, pull.head.repository()?);
            if pull.is_open() && head_repository.as_ref() == Some(self.home) {
                let repo = pull.head.repo.as_ref();
                let default = repo.and_then(|repo| repo.default_branch.as_deref());
                facts.is_default |= default == Some(self.branch);
            }
            let list = if pull.is_open() {
                &mut facts.open
            } else {
                &mut facts.settled
            };
            let is_there = |seen: &&mut Candidate| {
                seen.number == pull.number && seen.base_repository == base_repository
            };
            match list.iter_mut().find(is_there) {
                Some(seen) => seen.has_commit |= has_commit,
                None => list.push(Candidate {
                    number: pull.number,
                    host_id: pull.node_id.clone(),
                    head_repository,
                    base_repository,
                    has_commit,
                    settled_ago: listed.settled_ago(pull),
                    whole: None,
                }),
            }
        }
        Ok(())
    }
}

fn repository_of(known: &KnownPullRequest) -> Result<RepositoryPath, NoAnswer> {
    RepositoryPath::parse(&known.repository).ok_or(NoAnswer::Failed(ProblemClass::Internal))
}
