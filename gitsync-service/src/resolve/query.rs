//! One query on its way: what is asked next, and what follows from an answer.

use proto::sync::{
    Finding, FoundPullRequest, KnownPullRequest, Learned, ProblemClass, PullRequestState,
    RepositoryPath, Upstream,
};

use crate::host::{Answer, BranchFacts, Candidate, Observed, Question};

use super::{
    group::{BranchGroup, PullRequestQuery},
    is_path,
};

/// What follows from an answer.
pub(super) enum Step {
    /// Something is to be asked.
    Ask(Box<QueryState>),
    /// This pull request is the branch's.
    Found(Box<Observed>, Box<Learned>),
    /// Another finding.
    Finding(Finding, Box<Learned>),
    /// The question was not sent: there is no finding.
    Unsent,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The known pull request.
    Known,
    /// A pull request that the branch's answer named.
    Candidate,
    /// The branch, in its own repository.
    Home,
    /// The branch, in what its repository is a fork of.
    Upstream {
        /// By an earlier lookup, which the host did not confirm now.
        remembered: bool,
    },
}

/// A pull request that the branch keeps if no open one is found.
#[derive(Clone, Debug)]
struct Fallback {
    observed: Box<Observed>,
    /// Its head is in the branch's repository. Otherwise in one with another name, which may be the
    /// same by now.
    is_ours: bool,
}

/// A query on its way.
#[derive(Debug)]
pub(super) struct QueryState {
    pub(super) question: Question,
    stage: Stage,
    /// The branch's own repository, by the name that the host has for it as far as is known.
    home: RepositoryPath,
    fallback: Option<Fallback>,
    /// A settled pull request at the pushed commit.
    settled: Option<Candidate>,
    learned: Learned,
    /// The name that the host had last leads nowhere: it is asked for as it was reported.
    as_reported: bool,
    /// What the repository was a fork of last leads nowhere: only the host's own word counts.
    upstream_forgotten: bool,
}

impl Step {
    pub(super) fn found(observed: &Observed, learned: Learned) -> Self {
        Self::Found(
            Box::new(observed.clone()),
            Box::new(Learned {
                fingerprint: observed.fingerprint.clone(),
                validator: observed.validator.clone(),
                ..learned
            }),
        )
    }

    fn failed(class: ProblemClass, repository_wide: bool, learned: Learned) -> Self {
        let finding = Finding::Failed {
            class,
            repository_wide,
        };
        Self::Finding(finding, Box::new(learned))
    }
}

impl QueryState {
    /// Begins with the known pull request, or else with the branch.
    pub(super) fn begin(group: &BranchGroup<'_>, query: &PullRequestQuery<'_>) -> Step {
        // Without a branch the question would be about all of them.
        if group.branch.is_empty() {
            return Step::failed(ProblemClass::Internal, false, Learned::default());
        }
        let home = group.renamed.unwrap_or(group.repository).clone();
        let (stage, question) = match query.known {
            None => (
                Stage::Home,
                of_branch(group, query, &home, &home, &group.upstream),
            ),
            Some(known) => {
                let Some(whole) = whole(known) else {
                    return Step::failed(ProblemClass::Internal, false, Learned::default());
                };
                let may_be_unchanged = query.is_open()
                    && (query.fingerprint().is_some() || query.validator().is_some());
                let question = if may_be_unchanged {
                    Question::Changed {
                        known: known.clone(),
                        fingerprint: query.fingerprint().map(str::to_owned),
                        validator: query.validator().map(str::to_owned),
                        overdue: query.is_overdue(),
                    }
                } else {
                    whole
                };
                (Stage::Known, question)
            }
        };
        Step::Ask(Box::new(Self {
            question,
            stage,
            home,
            fallback: None,
            settled: None,
            learned: Learned::default(),
            as_reported: false,
            upstream_forgotten: false,
        }))
    }

    /// What follows from the answer to its question.
    pub(super) fn answer(
        self,
        group: &BranchGroup<'_>,
        query: &PullRequestQuery<'_>,
        answer: Answer,
    ) -> Step {
        match (answer, self.stage) {
            (Answer::Unsent(_), _) => self.unsent(query),
            (Answer::Failed { class, repository }, _) => {
                self.failed(group, query, class, repository)
            }
            (Answer::Unchanged, Stage::Known) => self.finding(Finding::Unchanged),
            (Answer::Changed, Stage::Known) => match query.known.and_then(whole) {
                Some(question) => self.ask(Stage::Known, question),
                None => self.failure(ProblemClass::Internal),
            },
            (Answer::Missing, Stage::Known) => self.finding(Finding::Gone),
            (Answer::PullRequest(observed), Stage::Known) => {
                self.after_known(group, query, observed)
            }
            (Answer::PullRequest(observed), Stage::Candidate) => self.found(&observed),
            // The branch's answer named it a moment ago.
            (Answer::Missing, Stage::Candidate) => self.failure(ProblemClass::NotReady),
            (Answer::Branch(facts), Stage::Home) => self.after_home(group, query, &facts),
            (Answer::Branch(facts), Stage::Upstream { .. }) => self.after_upstream(&facts),
            // An answer to another question than the one that was asked.
            (
                Answer::Unchanged
                | Answer::Changed
                | Answer::Missing
                | Answer::PullRequest(_)
                | Answer::Branch(_),
                _,
            ) => self.failure(ProblemClass::Internal),
        }
    }

    fn after_known(
        mut self,
        group: &BranchGroup<'_>,
        query: &PullRequestQuery<'_>,
        observed: Box<Observed>,
    ) -> Step {
        let found = &observed.found;
        if found.shown.head.branch != group.branch {
            return self.ask_home(group, query);
        }
        // A head whose repository is gone is taken at its branch's name. One within the pull
        // request's own repository may be known under a name that the repository had before.
        let head = observed.head_repository.as_ref();
        let is_ours =
            head.is_none_or(|head| *head == self.home || is_path(head, &found.repository));
        if is_ours && found.shown.state == PullRequestState::Open {
            return self.found(&observed);
        }
        self.fallback = Some(Fallback { observed, is_ours });
        self.ask_home(group, query)
    }

    fn after_home(
        mut self,
        group: &BranchGroup<'_>,
        query: &PullRequestQuery<'_>,
        facts: &BranchFacts,
    ) -> Step {
        if facts.upstream != Upstream::Unknown {
            self.learned.upstream = facts.upstream.clone();
        }
        // Heads carry the present name.
        if facts.repository != self.home {
            self.home = facts.repository.clone();
            if facts.moved {
                self.learned.canonical_repository = Some(self.home.clone());
            }
        }
        if let Some(fallback) = &mut self.fallback {
            let head = fallback.observed.head_repository.as_ref();
            fallback.is_ours |= head == Some(&self.home);
        }
        let told = match &facts.upstream {
            Upstream::Unknown if !self.upstream_forgotten => &group.upstream,
            told @ (Upstream::Unknown | Upstream::NoFork | Upstream::Of(_)) => told,
        };
        if let Some(candidate) = self.latest(&facts.open, &facts.repository) {
            return self.adopt(&candidate);
        }
        if let Upstream::Of(upstream) = told
            && let Some(candidate) = self.latest(&facts.open, upstream)
        {
            return self.adopt(&candidate);
        }
        self.settled = self.latest(&facts.settled, &facts.repository);
        match told {
            Upstream::Of(upstream) if !facts.covers_upstream => {
                let remembered = facts.upstream == Upstream::Unknown;
                let upstream = upstream.clone();
                let unknown = Upstream::Unknown;
                let question = of_branch(group, query, &upstream, &self.home, &unknown);
                self.ask(Stage::Upstream { remembered }, question)
            }
            Upstream::Unknown | Upstream::NoFork | Upstream::Of(_) => self.conclude(facts.complete),
        }
    }

    fn after_upstream(mut self, facts: &BranchFacts) -> Step {
        if let Some(candidate) = self.latest(&facts.open, &facts.repository) {
            return self.adopt(&candidate);
        }
        let settled = self.latest(&facts.settled, &facts.repository);
        self.settled = self.settled.or(settled);
        self.conclude(facts.complete)
    }

    /// The branch's candidate in `base` with the highest number. Numbers of different repositories
    /// are never compared.
    fn latest(&self, candidates: &[Candidate], base: &RepositoryPath) -> Option<Candidate> {
        let ours = candidates.iter().filter(|candidate| {
            candidate.head_repository.as_ref() == Some(&self.home)
                && candidate.base_repository == *base
        });
        ours.max_by_key(|candidate| candidate.number).cloned()
    }

    /// There is no open pull request.
    fn conclude(mut self, complete: bool) -> Step {
        if let Some(settled) = self.settled.take() {
            return self.adopt(&settled);
        }
        match self.fallback.take() {
            Some(fallback) if fallback.is_ours => self.found(&fallback.observed),
            _ if !complete => self.failure(ProblemClass::HostAnswerInvalid),
            _ => self.finding(Finding::NoPullRequest),
        }
    }

    /// Takes a candidate, whose whole is known already or is asked for.
    fn adopt(self, candidate: &Candidate) -> Step {
        let seen = self.fallback.as_ref().map(|fallback| &fallback.observed);
        let seen = seen.filter(|seen| is_same(&seen.found, candidate));
        if let Some(observed) = candidate.whole.as_ref().or(seen).cloned() {
            return self.found(&observed);
        }
        let known = KnownPullRequest {
            repository: candidate.base_repository.as_str().to_owned(),
            number: candidate.number,
            state: PullRequestState::Open,
            draft: false,
            host_id: candidate.host_id.clone(),
        };
        self.ask(Stage::Candidate, Question::Status { known })
    }

    fn failed(
        mut self,
        group: &BranchGroup<'_>,
        query: &PullRequestQuery<'_>,
        class: ProblemClass,
        repository: bool,
    ) -> Step {
        if class == ProblemClass::RepositoryNotFound {
            let is_ours = self.fallback.as_ref().is_some_and(|held| held.is_ours);
            match self.stage {
                Stage::Home if !is_ours && group.renamed.is_some() && !self.as_reported => {
                    self.as_reported = true;
                    self.home = group.repository.clone();
                    self.learned.canonical_repository = Some(self.home.clone());
                    return self.ask_home(group, query);
                }
                // The host says what it is a fork of now.
                Stage::Upstream { remembered: true } => {
                    self.upstream_forgotten = true;
                    let question =
                        of_branch(group, query, &self.home, &self.home, &Upstream::Unknown);
                    return self.ask(Stage::Home, question);
                }
                Stage::Known
                | Stage::Candidate
                | Stage::Home
                | Stage::Upstream { remembered: false } => {}
            }
            // A fork is often deleted once its pull request is settled, which says nothing about
            // the pull request.
            if let Some(fallback) = self.fallback.take().filter(|held| held.is_ours) {
                return self.found(&fallback.observed);
            }
        }
        Step::failed(class, repository, self.learned)
    }

    /// Nothing more is asked: a change that was seen is a finding all the same.
    fn unsent(self, query: &PullRequestQuery<'_>) -> Step {
        let last = query.known.map(|known| known.state);
        match &self.fallback {
            Some(held) if held.is_ours && Some(held.observed.found.shown.state) != last => {
                let observed = held.observed.clone();
                self.found(&observed)
            }
            Some(_) | None => Step::Unsent,
        }
    }

    fn ask_home(self, group: &BranchGroup<'_>, query: &PullRequestQuery<'_>) -> Step {
        let question = of_branch(group, query, &self.home, &self.home, &group.upstream);
        self.ask(Stage::Home, question)
    }

    fn ask(mut self, stage: Stage, question: Question) -> Step {
        (self.stage, self.question) = (stage, question);
        Step::Ask(Box::new(self))
    }

    fn found(self, observed: &Observed) -> Step {
        Step::found(observed, self.learned)
    }

    fn failure(self, class: ProblemClass) -> Step {
        Step::failed(class, false, self.learned)
    }

    fn finding(self, finding: Finding) -> Step {
        Step::Finding(finding, Box::new(self.learned))
    }
}

/// The question for the whole of a known pull request. `None`: its repository is no path.
fn whole(known: &KnownPullRequest) -> Option<Question> {
    if known.host_id.is_some() {
        let known = known.clone();
        return Some(Question::Status { known });
    }
    Some(Question::ByNumber {
        repository: RepositoryPath::parse(&known.repository)?,
        number: known.number,
    })
}

fn of_branch(
    group: &BranchGroup<'_>,
    query: &PullRequestQuery<'_>,
    at: &RepositoryPath,
    head: &RepositoryPath,
    upstream: &Upstream,
) -> Question {
    Question::OfBranch {
        at: at.clone(),
        head: head.clone(),
        branch: group.branch.to_owned(),
        commit: query.commit().map(str::to_owned),
        upstream: upstream.clone(),
    }
}

fn is_same(found: &FoundPullRequest, candidate: &Candidate) -> bool {
    found.shown.number == candidate.number && is_path(&candidate.base_repository, &found.repository)
}
