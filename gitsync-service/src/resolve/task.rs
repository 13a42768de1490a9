//! One branch on its way: its refs, those that know the same pull request together.

use std::{sync::Arc, time::Duration};

use proto::sync::{
    Finding, KnownPullRequest, Lane, Learned, LeasedRef, ProblemClass, PullRequestState,
    RepositoryPath,
};

use crate::host::{Answer, HostPullRequest, Question, is_other};

use super::{
    branch::{BranchLookup, BranchVerdict, is_before, is_same, whole},
    group::{BranchGroup, PullRequestQuery},
    of_ref,
};

/// Where findings go.
pub(super) type FindingSink<'s, 'a> = dyn FnMut(&'a LeasedRef, Finding, Learned) + 's;

/// The subject of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The pull request that the query knows.
    Known,
    Branch,
    /// A settled pull request that the query adopts.
    Settled,
}

/// The next step of a query.
enum Step {
    /// Ask a question.
    Ask(About, Question),
    /// This pull request is the branch's.
    Found(Box<HostPullRequest>, Option<Duration>),
    /// Another finding.
    Finding(Finding),
}

/// How far the pull request that a query knows was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LookupState {
    #[default]
    Not,
    /// It changed, and was not seen since.
    Changed,
    Whole,
}

/// The facts found for the current query.
#[derive(Debug, Default)]
struct QueryProgress {
    seen: LookupState,
    /// The known pull request, if it is of a branch of this name.
    held: Option<Box<HostPullRequest>>,
    /// The settled pull request that is adopted.
    settled: Option<Box<HostPullRequest>>,
    /// The finding that ends it.
    end: Option<Finding>,
}

/// One branch.
#[derive(Debug)]
pub(super) struct BranchTask<'a> {
    group: BranchGroup<'a>,
    lookup: BranchLookup,
    /// The query that is on its way, and what was found out for it.
    query: usize,
    progress: QueryProgress,
    /// The questions that are out, and the answers that have arrived.
    asked: Vec<(About, Question)>,
    answers: Vec<(About, Answer)>,
}

impl<'a> BranchTask<'a> {
    pub(super) fn new(group: BranchGroup<'a>) -> Self {
        Self {
            lookup: BranchLookup::new(&group),
            group,
            query: 0,
            progress: QueryProgress::default(),
            asked: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The open questions and their urgency: the branch is asked about for all of its refs.
    pub(super) fn questions(&self) -> impl Iterator<Item = (About, &Question, Lane)> {
        self.asked.iter().filter_map(|(about, question)| {
            let lane = match about {
                About::Branch => {
                    let queries = self.group.queries.iter().skip(self.query);
                    queries.map(PullRequestQuery::lane).min()
                }
                About::Known | About::Settled => self.query().map(PullRequestQuery::lane),
            };
            Some((*about, question, lane?))
        })
    }

    fn query(&self) -> Option<&PullRequestQuery<'a>> {
        self.group.queries.get(self.query)
    }

    /// Advances until a question must be asked, or every ref has its finding.
    pub(super) fn advance(&mut self, sink: &mut FindingSink<'_, 'a>) {
        while let Some(query) = self.query() {
            match self.step(query) {
                Step::Ask(about, question) => {
                    let branch = self.beside(query, about);
                    self.asked.push((about, question));
                    self.asked.extend(branch);
                    return;
                }
                Step::Found(observed, settled_ago) => self.found(*observed, settled_ago, sink),
                Step::Finding(finding) => {
                    let learned = self.lookup.learned.clone();
                    self.finish(|_| (finding.clone(), learned.clone()), sink);
                }
            }
        }
    }

    /// The question to send beside one about a settled pull request: the branch is looked up
    /// anyway, unless the pull request was reopened.
    fn beside(&self, query: &PullRequestQuery<'a>, about: About) -> Option<(About, Question)> {
        let known = query.known.filter(|_| about == About::Known)?;
        let is_settled = known.state != PullRequestState::Open;
        let question = self.lookup.question(&self.group).filter(|_| is_settled)?;
        Some((About::Branch, question))
    }

    /// Takes the answer to one of its questions, and advances once all have arrived.
    pub(super) fn answer(&mut self, about: About, answer: Answer, sink: &mut FindingSink<'_, 'a>) {
        self.answers.push((about, answer));
        if self.answers.len() < self.asked.len() {
            return;
        }
        self.asked.clear();
        // The known pull request comes first: the branch's answer is read against it.
        let mut answers = std::mem::take(&mut self.answers);
        answers.sort_by_key(|(about, _)| *about);
        for (about, answer) in answers {
            self.take(about, answer, sink);
        }
        self.advance(sink);
    }

    fn take(&mut self, about: About, answer: Answer, sink: &mut FindingSink<'_, 'a>) {
        let Some(query) = self.query() else {
            return;
        };
        if let Answer::Unsent(_) = answer {
            let last = query.known.map(|known| known.state);
            let held = self.progress.held.take().filter(|held| {
                self.lookup.may_be_ours(held) && Some(held.found.shown.state) != last
            });
            return match held {
                // A change that was seen is a finding all the same.
                Some(held) => self.found(*held, None, sink),
                // The other queries of the branch would not be sent either.
                None => self.query = self.group.queries.len(),
            };
        }
        match about {
            About::Branch => {
                let held = self.progress.held.as_deref();
                self.lookup.answer(&self.group, held, answer);
            }
            About::Known => self.take_known(answer),
            About::Settled => match answer {
                Answer::PullRequest(observed) => self.progress.settled = Some(observed),
                // The branch's answer named it a moment ago.
                Answer::Missing => self.fail(ProblemClass::NotReady, false),
                Answer::Failed { class, repository } => self.fail(class, repository),
                Answer::Unchanged | Answer::Changed | Answer::Branch(_) | Answer::Unsent(_) => {
                    self.fail(ProblemClass::Internal, false);
                }
            },
        }
    }

    /// Takes the answer about the known pull request.
    fn take_known(&mut self, answer: Answer) {
        let Some(known) = self.query().and_then(|query| query.known) else {
            return;
        };
        match answer {
            Answer::Changed => self.progress.seen = LookupState::Changed,
            // Another repository has the name by now, and a pull request of the same number.
            Answer::PullRequest(observed) if is_other(known, observed.found.host_id.as_deref()) => {
                self.progress.end = Some(Finding::Gone);
            }
            Answer::PullRequest(observed) => {
                self.progress.seen = LookupState::Whole;
                if observed.found.shown.head.branch == self.group.branch {
                    self.progress.held = Some(observed);
                }
            }
            Answer::Unchanged => self.progress.end = Some(Finding::Unchanged),
            Answer::Missing => self.progress.end = Some(Finding::Gone),
            Answer::Failed { class, repository } => self.fail(class, repository),
            Answer::Branch(_) | Answer::Unsent(_) => self.fail(ProblemClass::Internal, false),
        }
    }

    fn fail(&mut self, class: ProblemClass, repository_wide: bool) {
        self.progress.end = Some(Finding::Failed {
            class,
            repository_wide,
        });
    }

    /// The next step of a query from the facts so far.
    fn step(&self, query: &PullRequestQuery<'a>) -> Step {
        // Without a branch the question would be about all of them.
        if self.group.branch.is_empty() {
            return Step::failed(ProblemClass::Internal, false);
        }
        if let Some(end) = &self.progress.end {
            return Step::Finding(end.clone());
        }
        let asks_branch = self.group.is_open_question();
        if asks_branch && let Some(question) = self.lookup.question(&self.group) {
            return Step::Ask(About::Branch, question);
        }
        if let Some(BranchVerdict::Open(observed)) = self.lookup.verdict() {
            return Step::Found(observed.clone(), None);
        }
        // Continuing with the known one would answer the open question with a failure.
        if asks_branch
            && let Some(BranchVerdict::Failed { class, .. }) = self.lookup.verdict()
            && matches!(
                class,
                ProblemClass::HostUnavailable | ProblemClass::NotReady
            )
        {
            return self.conclude(query);
        }
        if let Some(known) = query
            .known
            .filter(|_| self.progress.seen != LookupState::Whole)
        {
            let is_first = self.progress.seen == LookupState::Not && !asks_branch;
            let changed = query.changed(known).filter(|_| is_first);
            return match changed.or_else(|| whole_of(known)) {
                Some(question) => Step::Ask(About::Known, question),
                None => Step::failed(ProblemClass::Internal, false),
            };
        }
        if let Some(held) = &self.progress.held
            && held.found.shown.state == PullRequestState::Open
            && held.head_repository.is_some()
            && self.lookup.may_be_ours(held)
        {
            return Step::Found(held.clone(), None);
        }
        match self.lookup.question(&self.group) {
            Some(question) => Step::Ask(About::Branch, question),
            None => self.conclude(query),
        }
    }

    /// The branch has no open pull request, or that is not known.
    fn conclude(&self, query: &PullRequestQuery<'a>) -> Step {
        let held = self.progress.held.as_ref();
        let held = held.filter(|held| self.lookup.may_be_ours(held));
        if let Some(BranchVerdict::Failed {
            class,
            repository_wide,
        }) = self.lookup.verdict()
        {
            // A fork is often deleted once its pull request is settled, which says nothing about
            // the pull request; and a change that was seen is a finding all the same.
            let last = query.known.map(|known| known.state);
            let keeps = |held: &HostPullRequest| {
                *class == ProblemClass::RepositoryNotFound || Some(held.found.shown.state) != last
            };
            return match held.filter(|held| keeps(held)) {
                Some(held) => Step::Found(held.clone(), None),
                None => Step::failed(*class, *repository_wide),
            };
        }
        let doubt = self.lookup.doubt();
        let settled = self.lookup.settled(query);
        match (settled, held) {
            (Some(settled), held)
                if doubt != Some(ProblemClass::HostAnswerInvalid)
                    && !held.is_some_and(|held| is_same(&held.found, settled)) =>
            {
                match &self.progress.settled {
                    Some(observed) => Step::Found(observed.clone(), settled.settled_ago),
                    None => Step::Ask(About::Settled, whole(settled)),
                }
            }
            (_, Some(held)) => Step::Found(held.clone(), None),
            (_, None) => match doubt {
                Some(class) => Step::failed(class, false),
                None => Step::Finding(Finding::NoPullRequest),
            },
        }
    }

    /// Passes a pull request on to the refs of the query, but for those that were first reported
    /// after it was settled.
    fn found(
        &mut self,
        observed: HostPullRequest,
        settled_ago: Option<Duration>,
        sink: &mut FindingSink<'_, 'a>,
    ) {
        let HostPullRequest {
            mut found,
            fingerprint,
            head_repository: _,
        } = observed;
        if found.shown.state == PullRequestState::Merged {
            let commit = self.group.commit();
            let holds = commit.and_then(|commit| self.lookup.has_commit(commit, &found));
            if let Some(holds) = holds {
                Arc::make_mut(&mut found).shown.pushed_after_merge = Some(!holds);
            }
        }
        let learned = Learned {
            fingerprint,
            ..self.lookup.learned.clone()
        };
        let none = (Finding::NoPullRequest, self.lookup.learned.clone());
        let finding_of = |git_ref: &LeasedRef| {
            if git_ref.known.is_none() && is_before(settled_ago, git_ref.since_first_reported) {
                none.clone()
            } else {
                (Finding::PullRequest(Arc::clone(&found)), learned.clone())
            }
        };
        self.finish(finding_of, sink);
    }

    /// Gives each ref of the query its finding, and advances to the next query.
    fn finish(
        &mut self,
        finding_of: impl Fn(&LeasedRef) -> (Finding, Learned),
        sink: &mut FindingSink<'_, 'a>,
    ) {
        if let Some(query) = self.group.queries.get(self.query) {
            for git_ref in &query.refs {
                let (finding, learned) = finding_of(git_ref);
                sink(git_ref, of_ref(git_ref, &finding, &learned), learned);
            }
        }
        self.query += 1;
        self.progress = QueryProgress::default();
    }
}

impl Step {
    fn failed(class: ProblemClass, repository_wide: bool) -> Self {
        Self::Finding(Finding::Failed {
            class,
            repository_wide,
        })
    }
}

/// The question for the whole of a known pull request. `None`: its repository is no path.
fn whole_of(known: &KnownPullRequest) -> Option<Question> {
    if known.host_id.is_some() {
        let known = known.clone();
        return Some(Question::Status { known });
    }
    Some(Question::ByNumber {
        repository: RepositoryPath::parse(&known.repository)?,
        number: known.number,
    })
}
