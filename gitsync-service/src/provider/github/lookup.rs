//! From a branch to the status of its pull request, in as few requests as GitHub allows.
//!
//! Two rules keep a lookup honest. Only open pull requests are adopted by branch, since a branch
//! name is used again and again; a merged or closed one is kept only if it was known. And a lookup
//! that failed anywhere is a failure: it never looks like "no pull request".

mod questions;

use std::sync::Arc;

use secrecy::SecretString;

use crate::{
    lease::{KnownPullRequest, RepositoryPath, Upstream},
    outcome::{Found, FoundPullRequest, Learned, Problem, PullRequestState, ReviewSummary},
    provider::{Finding, Target, gate::Asker, memo::Memo},
};

use super::{
    client::{Client, Endpoint, HttpClient, Moved},
    model::{ListedPull, MAX_NAME_BYTES, Pull, RepositoryInfo, Viewer, fits},
    validator::Validator,
};

/// The most pages of reviews that are read. A pull request with more (2,000 reviews) is refused
/// rather than judged by its oldest ones.
pub const MAX_REVIEW_PAGES: usize = 20;
/// GitHub's largest page.
const REVIEWS_PER_PAGE: &str = "100";
/// A branch has one open pull request per base; more than this many bases are not looked at.
const PULLS_PER_PAGE: &str = "30";

/// One credential at one GitHub.
pub(crate) struct Session {
    pub(super) client: Client,
    pulls: Memo<(RepositoryPath, i32), Option<Arc<Fresh<Pull>>>>,
    reviews: Memo<(RepositoryPath, i32), Fresh<ReviewSummary>>,
    repositories: Memo<RepositoryPath, Option<Arc<Told>>>,
    open_pulls: Memo<(RepositoryPath, RepositoryPath, String), Option<Listed>>,
}

/// What was just fetched, and how to ask whether it changed.
#[derive(Clone)]
struct Fresh<T> {
    what: T,
    validator: Option<String>,
}

/// What a repository's list of open pull requests says about a branch name.
#[derive(Clone)]
struct Listed {
    pulls: Arc<[ListedPull]>,
    moved: Moved,
}

/// What a repository says of itself.
struct Told {
    info: RepositoryInfo,
    moved: Moved,
}

impl Told {
    /// Its name, which may not be the one that it was asked by.
    fn name(&self) -> Result<RepositoryPath, Problem> {
        parse_full_name(&self.info.full_name)
    }

    /// The name to ask by from now on.
    fn canonical(&self) -> Option<RepositoryPath> {
        self.name().ok().filter(|_| self.moved != Moved::ForNow)
    }
}

impl Listed {
    /// The latest pull request that brings the branch of `head`. GitHub filters by owner and
    /// branch, and not at all when it does not like the filter; which repository a branch is of,
    /// only the head says.
    fn latest(&self, head: &RepositoryPath, branch: &str) -> Option<i32> {
        self.pulls
            .iter()
            .filter(|pull| pull.head.branch == branch)
            .filter(|pull| pull.head.repo.as_ref().is_some_and(|repo| repo.is(head)))
            .map(|pull| pull.number)
            .max()
    }
}

impl Session {
    pub(crate) fn open(
        http: &HttpClient,
        api_base_url: &str,
        token: &SecretString,
    ) -> Result<Self, Problem> {
        Ok(Self {
            client: Client::new(http, api_base_url, token)?,
            pulls: Memo::default(),
            reviews: Memo::default(),
            repositories: Memo::default(),
            open_pulls: Memo::default(),
        })
    }

    pub(crate) async fn look_up(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        known: Option<&KnownPullRequest>,
        validator: Option<&str>,
    ) -> Finding {
        if let Some(renamed) = target.by_last_name() {
            let finding = self.look_up_as(asker, &renamed, known, validator).await;
            if !matches!(finding.result, Err(Problem::RepositoryNotFound)) {
                return finding;
            }
            // It has yet another name, or its own again.
            let mut finding = self.look_up_as(asker, target, known, validator).await;
            if finding.result.is_ok() {
                let learned = &mut finding.learned.canonical_repository;
                learned.get_or_insert_with(|| target.repository.clone());
            }
            return finding;
        }
        self.look_up_as(asker, target, known, validator).await
    }

    async fn look_up_as(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        known: Option<&KnownPullRequest>,
        validator: Option<&str>,
    ) -> Finding {
        let mut learned = Learned::default();
        let result = match known {
            // Without a branch the filter would be none, and everything would match it.
            _ if target.branch.is_empty() => Err(Problem::Internal("a ref has no branch")),
            Some(known) => {
                let validator = validator.and_then(|text| self.client.validator(text));
                self.follow_known(asker, target, known, validator.as_ref(), &mut learned)
                    .await
            }
            None => self
                .find_open(asker, target, &mut learned)
                .await
                .map(|open| open.map_or(Found::NoPullRequest, Found::PullRequest)),
        };
        Finding { result, learned }
    }

    /// Whether this session could make use of a validator.
    pub(crate) fn accepts(&self, validator: &str) -> bool {
        self.client.validator(validator).is_some()
    }

    /// Asks whose account it is.
    pub(crate) async fn identify(&self, asker: &Asker<'_>) -> Result<bool, Problem> {
        let url = self.client.url(&["user"], &[])?;
        let viewer = self
            .client
            .get::<Viewer>(asker, Endpoint::GetUser, url, None)
            .await?;
        let viewer = viewer.answer()?;
        if let Some(viewer) = &viewer {
            asker.identify(viewer.body.id.to_string());
        }
        Ok(viewer.is_some())
    }

    /// The known pull request, or the one that took its place on the branch.
    async fn follow_known(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        known: &KnownPullRequest,
        validator: Option<&Validator>,
        learned: &mut Learned,
    ) -> Result<Found, Problem> {
        let repository = RepositoryPath::parse(&known.repository).ok_or(Problem::Internal(
            "the known pull request's repository is not owner/name",
        ))?;
        // Of a settled one more is asked than whether it changed.
        if known.state == PullRequestState::Open
            && let Some(validator) = validator
            && self
                .is_unchanged(asker, &repository, known.number, validator)
                .await?
        {
            return Ok(Found::Unchanged);
        }
        let Some(pull) = self.pull(asker, &repository, known.number).await? else {
            // GitHub says 404 of everything that a token may not see. Only a repository that
            // answers makes its pull request gone.
            return match self.repository(asker, &repository).await? {
                Some(_) => Ok(Found::Gone),
                None => Err(Problem::RepositoryNotFound),
            };
        };
        let ours = self
            .brings_branch(asker, &pull.what, target, learned)
            .await?;
        if ours && pull.what.state()? == PullRequestState::Open {
            let status = self.status(asker, &pull, learned).await?;
            return Ok(Found::PullRequest(status));
        }
        match self.find_open(asker, target, learned).await {
            Ok(Some(open)) => Ok(Found::PullRequest(open)),
            // A fork is often deleted once its pull request is settled, which says nothing about
            // the pull request.
            Ok(None) | Err(Problem::RepositoryNotFound) if ours => {
                let status = self.status(asker, &pull, learned).await?;
                Ok(Found::PullRequest(status))
            }
            Ok(None) => Ok(Found::NoPullRequest),
            Err(problem) => Err(problem),
        }
    }

    /// Whether `pull` is of the target's branch. A head whose repository is gone is taken at its
    /// branch's name.
    async fn brings_branch(
        &self,
        asker: &Asker<'_>,
        pull: &Pull,
        target: &Target,
        learned: &mut Learned,
    ) -> Result<bool, Problem> {
        if pull.head.branch != target.branch {
            return Ok(false);
        }
        let Some(head) = &pull.head.repo else {
            return Ok(true);
        };
        if head.is(&target.repository) {
            return Ok(true);
        }
        // The names differ, but the target may be spelled by a name from before a rename.
        let Some(told) = self.repository(asker, &target.repository).await? else {
            return Ok(false);
        };
        let present = told.name()?;
        if present != target.repository {
            learned.canonical_repository = told.canonical();
        }
        Ok(head.is(&present))
    }

    /// The branch's open pull request: in its own repository, else in the one that this is a fork
    /// of; of several the one with the highest number.
    async fn find_open(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        learned: &mut Learned,
    ) -> Result<Option<Arc<FoundPullRequest>>, Problem> {
        let branch = target.branch.as_str();
        let mut head = target.repository.clone();
        let mut own = self
            .list_open(asker, &head, &head, branch)
            .await?
            .ok_or(Problem::RepositoryNotFound)?;
        if own.moved != Moved::No {
            // Heads carry the present name. The filter that was sent may have missed them all if
            // the owner is another.
            let told = self
                .repository(asker, &head)
                .await?
                .ok_or(Problem::RepositoryNotFound)?;
            head = told.name()?;
            learned.canonical_repository = told.canonical().filter(|_| own.moved == Moved::ForGood);
            if own.latest(&head, branch).is_none() {
                own = self
                    .list_open(asker, &head, &head, branch)
                    .await?
                    .ok_or(Problem::RepositoryNotFound)?;
            }
        }
        if let Some(number) = own.latest(&head, branch) {
            let found = self.listed_status(asker, &head, number, learned);
            return found.await.map(Some);
        }

        if target.upstream == Upstream::NoFork {
            return Ok(None);
        }
        if let Upstream::Of(upstream) = &target.upstream
            && let Some(there) = self.list_open(asker, upstream, &head, branch).await?
        {
            let latest = there.latest(&head, branch);
            return self.maybe_status(asker, upstream, latest, learned).await;
        }
        // Not known, or no longer there: the host says what it is a fork of now.
        let Some(upstream) = self.upstream(asker, &head, learned).await? else {
            return Ok(None);
        };
        let there = self
            .list_open(asker, &upstream, &head, branch)
            .await?
            .ok_or(Problem::RepositoryNotFound)?;
        let latest = there.latest(&head, branch);
        self.maybe_status(asker, &upstream, latest, learned).await
    }

    async fn maybe_status(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        number: Option<i32>,
        learned: &mut Learned,
    ) -> Result<Option<Arc<FoundPullRequest>>, Problem> {
        match number {
            Some(number) => self
                .listed_status(asker, repository, number, learned)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// Asks what `repository` is a fork of, and notes the answer for later lookups.
    async fn upstream(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        learned: &mut Learned,
    ) -> Result<Option<RepositoryPath>, Problem> {
        let told = self
            .repository(asker, repository)
            .await?
            .ok_or(Problem::RepositoryNotFound)?;
        if !told.info.fork {
            learned.upstream = Upstream::NoFork;
            return Ok(None);
        }
        // A fork without a visible parent may get one when the token's access changes, so that
        // nothing is noted.
        let Some(parent) = &told.info.parent else {
            return Ok(None);
        };
        let upstream = parse_full_name(&parent.full_name)?;
        learned.upstream = Upstream::Of(upstream.clone());
        Ok(Some(upstream))
    }

    /// The status of a pull request that was just listed.
    async fn listed_status(
        &self,
        asker: &Asker<'_>,
        repository: &RepositoryPath,
        number: i32,
        learned: &mut Learned,
    ) -> Result<Arc<FoundPullRequest>, Problem> {
        // Both at once, since both will be needed.
        let (pull, reviews) = tokio::join!(
            self.pull(asker, repository, number),
            self.reviews(asker, repository, number)
        );
        let pull = pull?.ok_or(Problem::NotReady)?;
        let reviews = reviews?;
        learned.validator = self.client.validate(&pull.validator, &reviews.validator);
        pull.what.status(reviews.what).map(Arc::new)
    }

    async fn status(
        &self,
        asker: &Asker<'_>,
        pull: &Fresh<Pull>,
        learned: &mut Learned,
    ) -> Result<Arc<FoundPullRequest>, Problem> {
        let repository = pull.what.repository()?;
        let reviews = self.reviews(asker, &repository, pull.what.number()).await?;
        learned.validator = self.client.validate(&pull.validator, &reviews.validator);
        pull.what.status(reviews.what).map(Arc::new)
    }
}

fn parse_full_name(name: &str) -> Result<RepositoryPath, Problem> {
    RepositoryPath::parse(name)
        .filter(|path| fits(name, MAX_NAME_BYTES) && path.owner_and_name().is_some())
        .ok_or(Problem::HostAnswerInvalid("a repository has no full name"))
}
