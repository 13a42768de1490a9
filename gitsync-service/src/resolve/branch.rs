//! Resolves a branch: its open pull request, and those that contain the pushed commit.

use std::time::Duration;

use proto::sync::{
    FoundPullRequest, KnownPullRequest, Learned, ProblemClass, PullRequestState, RepositoryPath,
    Upstream,
};

use crate::host::{Answer, BranchFacts, Candidate, HostPullRequest, Question};

use super::{
    group::{BranchGroup, PullRequestQuery},
    is_path,
};

/// A pull request that was settled longer ago than a ref was first reported by no more than this is
/// taken: a lease is a minute old at most, and a report may be late.
const SETTLED_SLACK: Duration = Duration::from_secs(2 * 60);

/// The next question.
#[derive(Debug)]
enum Stage {
    /// The branch, in its own repository.
    Home,
    /// The branch, in the repository that its own is a fork of, or in the root of its network.
    Base {
        at: RepositoryPath,
        is_root: bool,
        /// By an earlier lookup, which the host did not confirm now.
        remembered: bool,
    },
    /// All of an open pull request that an answer named.
    Candidate(Candidate),
    /// No further question: the result.
    Done(BranchVerdict),
}

/// The decision about a branch.
#[derive(Debug)]
pub(super) enum BranchVerdict {
    /// This pull request is the branch's.
    Open(Box<HostPullRequest>),
    /// No open one is.
    NoneOpen,
    /// A question failed.
    Failed {
        class: ProblemClass,
        repository_wide: bool,
    },
}

/// The lookup of a branch, which is made once for all of its refs.
#[derive(Debug)]
pub(super) struct BranchLookup {
    stage: Stage,
    /// The branch's own repository, by the name that the host has for it as far as is known.
    home: RepositoryPath,
    upstream: Upstream,
    /// The root of the fork network, if the host named it.
    root: Option<RepositoryPath>,
    /// Merged and closed ones that hold the pushed commit.
    settled: Vec<Candidate>,
    /// Repositories that know the pushed commit.
    knowing: Vec<RepositoryPath>,
    is_default: bool,
    covers_upstream: bool,
    complete: bool,
    /// The name that the host had last leads nowhere: it is asked for as it was reported.
    as_reported: bool,
    /// The last known upstream is gone: only the host's own answer counts.
    upstream_forgotten: bool,
    pub(super) learned: Learned,
}

impl BranchLookup {
    pub(super) fn new(group: &BranchGroup<'_>) -> Self {
        Self {
            stage: Stage::Home,
            home: group.renamed.unwrap_or(group.repository).clone(),
            upstream: group.upstream.clone(),
            root: None,
            settled: Vec::new(),
            knowing: Vec::new(),
            is_default: false,
            covers_upstream: false,
            complete: true,
            as_reported: false,
            upstream_forgotten: false,
            learned: Learned::default(),
        }
    }

    /// The decision. `None`: a question is open.
    pub(super) fn verdict(&self) -> Option<&BranchVerdict> {
        match &self.stage {
            Stage::Done(verdict) => Some(verdict),
            Stage::Home | Stage::Base { .. } | Stage::Candidate(_) => None,
        }
    }

    /// The next question.
    pub(super) fn question(&self, group: &BranchGroup<'_>) -> Option<Question> {
        let (at, upstream) = match &self.stage {
            Stage::Home if self.upstream_forgotten => (&self.home, Upstream::Unknown),
            Stage::Home => (&self.home, group.upstream.clone()),
            // Only where its root is not known, what it is a fork of is worth a request.
            Stage::Base { at, .. } if self.root.is_some() => (at, Upstream::NoFork),
            Stage::Base { at, .. } => (at, Upstream::Unknown),
            Stage::Candidate(candidate) => return Some(whole(candidate)),
            Stage::Done(_) => return None,
        };
        Some(Question::OfBranch {
            at: at.clone(),
            head: self.home.clone(),
            branch: group.branch.to_owned(),
            commit: group.commit().map(str::to_owned),
            upstream,
        })
    }

    /// Takes the answer to its question. `held` is the known pull request, if that is of a branch
    /// of this name.
    pub(super) fn answer(
        &mut self,
        group: &BranchGroup<'_>,
        held: Option<&HostPullRequest>,
        answer: Answer,
    ) {
        let stage = std::mem::replace(&mut self.stage, Stage::Done(BranchVerdict::NoneOpen));
        self.stage = match (stage, answer) {
            (stage, Answer::Failed { class, repository }) => {
                self.failed(group, held, &stage, class, repository)
            }
            (Stage::Home, Answer::Branch(facts)) => self.after_home(group, held, *facts),
            (
                Stage::Base {
                    is_root,
                    remembered: _,
                    at: _,
                },
                Answer::Branch(facts),
            ) => self.after_base(group, held, *facts, is_root),
            (Stage::Candidate(_), Answer::PullRequest(observed)) => {
                Stage::Done(BranchVerdict::Open(observed))
            }
            // The branch's answer named it a moment ago.
            (Stage::Candidate(_), Answer::Missing) => failed(ProblemClass::NotReady, false),
            // An answer to another question than the one that was asked.
            (
                _,
                Answer::Unchanged
                | Answer::Changed
                | Answer::Missing
                | Answer::PullRequest(_)
                | Answer::Branch(_)
                | Answer::Unsent(_),
            ) => failed(ProblemClass::Internal, false),
        };
    }

    fn after_home(
        &mut self,
        group: &BranchGroup<'_>,
        held: Option<&HostPullRequest>,
        facts: BranchFacts,
    ) -> Stage {
        let remembered = facts.upstream == Upstream::Unknown;
        if !remembered {
            self.learned.upstream = facts.upstream.clone();
            self.upstream = facts.upstream.clone();
        } else if self.upstream_forgotten {
            self.upstream = Upstream::Unknown;
        }
        // Heads carry the present name.
        if facts.repository != self.home {
            self.home = facts.repository.clone();
            if facts.moved {
                self.learned.canonical_repository = Some(self.home.clone());
            }
        }
        self.covers_upstream = facts.covers_upstream;
        let stage = match &self.upstream {
            Upstream::Of(upstream) => Stage::Base {
                at: upstream.clone(),
                is_root: false,
                remembered,
            },
            Upstream::Unknown | Upstream::NoFork => Stage::Done(BranchVerdict::NoneOpen),
        };
        self.take(group, held, facts, stage)
    }

    fn after_base(
        &mut self,
        group: &BranchGroup<'_>,
        held: Option<&HostPullRequest>,
        facts: BranchFacts,
        is_root: bool,
    ) -> Stage {
        let known_root = self.root.as_ref().or(facts.root.as_ref());
        let root = known_root.filter(|root| !is_root && **root != facts.repository);
        let stage = match root {
            Some(root) => Stage::Base {
                at: root.clone(),
                is_root: true,
                remembered: false,
            },
            None => Stage::Done(BranchVerdict::NoneOpen),
        };
        if is_root {
            self.root = Some(facts.repository.clone());
        } else {
            // It may have another name by now.
            self.upstream = Upstream::Of(facts.repository.clone());
            self.learned.upstream = self.upstream.clone();
        }
        self.take(group, held, facts, stage)
    }

    /// Takes what a repository says. If that has no open one, `next` comes next, where more is
    /// wanted.
    fn take(
        &mut self,
        group: &BranchGroup<'_>,
        held: Option<&HostPullRequest>,
        facts: BranchFacts,
        next: Stage,
    ) -> Stage {
        let BranchFacts {
            repository,
            root,
            is_default,
            open,
            settled,
            knows_commit,
            complete,
            ..
        } = facts;
        self.root = self.root.take().or(root);
        self.is_default |= is_default;
        self.complete &= complete;
        self.settled.extend(settled);
        if knows_commit {
            self.knowing.push(repository);
        }
        let may_adopt = |candidate: &Candidate| candidate.may_be_adopted(self.is_default);
        if let Some(candidate) = self.first(&open, may_adopt) {
            let whole = candidate.whole.clone();
            let held = held.filter(|held| is_same(&held.found, candidate));
            return match whole.or_else(|| held.map(|held| Box::new(held.clone()))) {
                Some(observed) => Stage::Done(BranchVerdict::Open(observed)),
                None => Stage::Candidate(candidate.clone()),
            };
        }
        // Elsewhere may be an open one, or the settled one that holds the commit.
        let commit = group.commit();
        let holds = |held: &HostPullRequest| Some(held.found.shown.head.sha.as_str()) == commit;
        let wants_settled = commit.is_some() && self.settled.is_empty() && !held.is_some_and(holds);
        if self.covers_upstream && !wants_settled {
            return Stage::Done(BranchVerdict::NoneOpen);
        }
        next
    }

    /// Of the candidates that bring the branch and that `takes`, the latest of the first repository
    /// that has one. Numbers of different repositories are never compared.
    fn first<'c>(
        &self,
        candidates: &'c [Candidate],
        takes: impl Fn(&Candidate) -> bool,
    ) -> Option<&'c Candidate> {
        self.bases().find_map(|base| {
            let here = candidates.iter().filter(|candidate| {
                candidate.head_repository.as_ref() == Some(&self.home)
                    && candidate.base_repository == *base
                    && takes(candidate)
            });
            here.max_by_key(|candidate| candidate.number)
        })
    }

    /// The repositories whose pull requests count.
    fn bases(&self) -> impl Iterator<Item = &RepositoryPath> {
        let upstream = match &self.upstream {
            Upstream::Of(upstream) => Some(upstream),
            Upstream::Unknown | Upstream::NoFork => None,
        };
        let root = self.root.as_ref().filter(|_| upstream.is_some());
        [Some(&self.home), upstream, root].into_iter().flatten()
    }

    /// The settled pull request that a query adopts.
    pub(super) fn settled(&self, query: &PullRequestQuery<'_>) -> Option<&Candidate> {
        let since = query.since_first_reported();
        self.first(&self.settled, |candidate| {
            !is_before(candidate.settled_ago, since)
        })
    }

    /// Whether the pushed commit is known to be one of a pull request's commits, or not to be.
    pub(super) fn has_commit(&self, commit: &str, found: &FoundPullRequest) -> Option<bool> {
        if found.shown.head.sha == commit
            || self
                .settled
                .iter()
                .any(|candidate| is_same(found, candidate))
        {
            return Some(true);
        }
        let knows = |known: &RepositoryPath| is_path(known, &found.repository);
        let is_certain = self.complete
            && self.knowing.iter().any(knows)
            && matches!(self.stage, Stage::Done(BranchVerdict::NoneOpen));
        is_certain.then_some(false)
    }

    /// The problem that keeps "no pull request" from being certain, although no question failed.
    pub(super) fn doubt(&self) -> Option<ProblemClass> {
        if !self.complete {
            return Some(ProblemClass::HostAnswerInvalid);
        }
        // It is a fork, and the host hides of what.
        (self.upstream == Upstream::Unknown).then_some(ProblemClass::RepositoryNotFound)
    }

    /// Whether an observed pull request brings this branch to where that counts, as far as is
    /// known. One whose branch's repository is gone may.
    pub(super) fn may_be_ours(&self, observed: &HostPullRequest) -> bool {
        let base = &observed.found.repository;
        // One within a repository may be known under a name that the repository had before.
        let is_within = |head: &RepositoryPath| is_path(head, base);
        let counts = self.upstream == Upstream::Unknown
            || self.bases().any(|counting| is_path(counting, base));
        match &observed.head_repository {
            Some(head) => is_within(head) || (*head == self.home && counts),
            None => counts,
        }
    }

    fn failed(
        &mut self,
        group: &BranchGroup<'_>,
        held: Option<&HostPullRequest>,
        stage: &Stage,
        class: ProblemClass,
        repository_wide: bool,
    ) -> Stage {
        if class == ProblemClass::RepositoryNotFound {
            let keeps = held.is_some_and(|held| self.may_be_ours(held));
            match stage {
                Stage::Home if !keeps && group.renamed.is_some() && !self.as_reported => {
                    self.as_reported = true;
                    self.home = group.repository.clone();
                    self.learned.canonical_repository = Some(self.home.clone());
                    return Stage::Home;
                }
                // The host says what it is a fork of now.
                Stage::Base {
                    remembered: true, ..
                } => {
                    self.upstream_forgotten = true;
                    return Stage::Home;
                }
                Stage::Home | Stage::Base { .. } | Stage::Candidate(_) | Stage::Done(_) => {}
            }
        }
        failed(class, repository_wide)
    }
}

fn failed(class: ProblemClass, repository_wide: bool) -> Stage {
    Stage::Done(BranchVerdict::Failed {
        class,
        repository_wide,
    })
}

/// Whether a pull request was settled before a ref was first reported. One of which the host does
/// not say when is taken.
pub(super) fn is_before(settled_ago: Option<Duration>, since_first_reported: Duration) -> bool {
    settled_ago.is_some_and(|ago| ago > since_first_reported.saturating_add(SETTLED_SLACK))
}

/// The question for all of a candidate.
pub(super) fn whole(candidate: &Candidate) -> Question {
    Question::Status {
        known: KnownPullRequest {
            repository: candidate.base_repository.as_str().to_owned(),
            number: candidate.number,
            state: PullRequestState::Open,
            draft: false,
            host_id: candidate.host_id.clone(),
            checks_pending: false,
            merge_unknown: false,
        },
    }
}

pub(super) fn is_same(found: &FoundPullRequest, candidate: &Candidate) -> bool {
    found.shown.number == candidate.number && is_path(&candidate.base_repository, &found.repository)
}
