//! A question on its way: what is asked of the host next, and what follows from an answer.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    lease::{KnownPullRequest, Lane, RepositoryPath, Upstream},
    outcome::{Found, Learned, Problem, PullRequestState},
    provider::{
        Finding,
        batch::{Branched, Discovered, Looked, Seen},
    },
};

use super::super::{job::Job, unit::Question};

/// What is asked of the host.
#[derive(Clone, Debug)]
pub(super) enum Ask<'a> {
    /// Whether the pull request with this id changed.
    Probe(Cow<'a, str>),
    /// The pull request with this id.
    Detail(Cow<'a, str>),
    /// The known pull request, by its number.
    Number(RepositoryPath, i32),
    /// The branch's pull requests, in this repository.
    Branch(RepositoryPath),
}

/// What follows from an answer.
pub(super) enum Step<'a> {
    /// The question has its answer.
    Answer(Finding),
    /// Something else is to be asked.
    Ask(Ask<'a>),
    /// It is handed over.
    Rest,
}

/// Whose the pull request is that was seen last.
enum Whose {
    /// The branch's.
    Ours,
    /// That of a repository with another name, which may be the same by now.
    Unsure,
}

/// The question of a job that is next, on its way.
pub(super) struct Pending<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) ask: Ask<'a>,
    /// What the branch keeps if nothing else is found.
    held: Option<(Seen, Whose)>,
    /// The id was told by the branch.
    adopting: bool,
    /// The probe stands in for a question that is too heavy.
    light: bool,
    upstream: Upstream,
    canonical: Option<RepositoryPath>,
    /// What the repository was called last is gone: it is asked for as it was reported.
    as_reported: bool,
    /// How often it failed by itself.
    pub(super) alone: u32,
}

impl<'a> Pending<'a> {
    /// Begins with the job's next question, if one is left.
    pub(super) fn next(job: &'a Job<'a>) -> Option<Self> {
        let question = job.question()?;
        let ask = match question.known {
            Some(known) => match known.host_id.as_deref() {
                Some(id) => Ask::Detail(Cow::Borrowed(id)),
                None => by_number(known)?,
            },
            None => Ask::Branch(home(job, false).clone()),
        };
        Some(Self {
            job,
            ask,
            held: None,
            adopting: false,
            light: false,
            upstream: Upstream::Unknown,
            canonical: None,
            as_reported: false,
            alone: 0,
        })
    }

    /// Whether it can be asked if it changed.
    pub(super) fn may_probe(&self) -> bool {
        let question = self.job.question();
        matches!(self.ask, Ask::Detail(_))
            && !self.adopting
            && question
                .is_some_and(|question| question.is_open() && question.fingerprint().is_some())
    }

    /// Whether it is time to see the whole again.
    pub(super) fn is_overdue(&self) -> bool {
        self.job.question().is_some_and(Question::is_overdue)
    }

    /// Asks whether it changed before it asks what it is.
    pub(super) fn probe(&mut self) {
        if let Ask::Detail(id) = &self.ask {
            self.ask = Ask::Probe(id.clone());
        }
    }

    pub(super) fn lane(&self) -> Lane {
        self.job
            .question()
            .map_or(Lane::Idle, |question| question.lane())
    }

    /// The commit that was pushed.
    pub(super) fn commit(&self) -> Option<&'a str> {
        self.job.question().and_then(|question| question.commit())
    }

    /// The repository that is asked.
    pub(super) fn asked(&self) -> Option<RepositoryPath> {
        match &self.ask {
            Ask::Number(repository, _) | Ask::Branch(repository) => Some(repository.clone()),
            Ask::Probe(_) | Ask::Detail(_) if self.adopting => None,
            Ask::Probe(_) | Ask::Detail(_) => {
                let known = self.known()?;
                RepositoryPath::parse(&known.repository)
            }
        }
    }

    pub(super) fn start(&self) {
        self.job.started.store(true, Ordering::Relaxed);
    }

    /// The branch's own repository, by the name to ask by.
    pub(super) fn home(&self) -> &'a RepositoryPath {
        home(self.job, self.as_reported)
    }

    fn known(&self) -> Option<&'a KnownPullRequest> {
        self.job.question().and_then(|question| question.known)
    }

    /// What follows from whether it changed.
    pub(super) fn after_probe(&mut self, seen: &Option<String>) -> Step<'a> {
        let Ask::Probe(id) = &self.ask else {
            return Step::Rest;
        };
        let question = self.job.question();
        match seen {
            Some(seen)
                if question
                    .filter(|question| question.known.is_some())
                    .and_then(|question| question.fingerprint())
                    .is_some_and(|last| last == seen) =>
            {
                Step::Answer(Finding::of(Ok(Found::Unchanged)))
            }
            // The host is well, and bears no more of this one than that.
            Some(_) if self.light => {
                self.job.too_heavy.store(true, Ordering::Relaxed);
                Step::Rest
            }
            Some(_) => Step::Ask(Ask::Detail(id.clone())),
            None => self.missing(),
        }
    }

    /// What follows from either.
    pub(super) fn after_look(&mut self, looked: &Looked) -> Step<'a> {
        match looked {
            Looked::Fingerprint(seen) => self.after_probe(seen),
            Looked::Whole(seen) => self.after_detail(seen),
        }
    }

    /// What follows from the pull request, or from its absence.
    pub(super) fn after_detail(&mut self, seen: &Option<Seen>) -> Step<'a> {
        let Some(seen) = seen else {
            return self.missing();
        };
        if self.adopting {
            return self.found(seen);
        }
        let target = &self.job.unit.target;
        if seen.status.shown.head.branch != target.branch {
            return self.ask_branch(None);
        }
        let head = seen.head_repository.as_deref();
        // A head whose repository is gone is taken at its branch's name. One within the pull request's own
        // repository is known under a name that the repository may have had before.
        let ours = head.is_none_or(|head| {
            RepositoryPath::parse(head).as_ref() == Some(self.home())
                || head.eq_ignore_ascii_case(&seen.status.repository)
        });
        match (ours, seen.status.shown.state) {
            (true, PullRequestState::Open) => self.found(seen),
            (true, PullRequestState::Merged | PullRequestState::Closed) => {
                self.ask_branch(Some((seen.clone(), Whose::Ours)))
            }
            (false, _) => self.ask_branch(Some((seen.clone(), Whose::Unsure))),
        }
    }

    /// What follows from what was found out about the branch.
    pub(super) fn after_discover(&mut self, found: &Discovered) -> Step<'a> {
        let at_home = self.asks_home();
        if at_home {
            self.upstream.clone_from(&found.upstream);
            if found.repository != *self.home() {
                self.canonical = Some(found.repository.clone());
            }
        }
        match &found.found {
            Branched::Open(seen) => return self.found(seen),
            Branched::Id(id) => {
                self.adopting = true;
                return Step::Ask(Ask::Detail(Cow::Owned(id.clone())));
            }
            Branched::None => {}
        }
        if let Some((seen, whose)) = self.held.take() {
            let ours = match whose {
                Whose::Ours => true,
                Whose::Unsure => seen
                    .head_repository
                    .as_deref()
                    .is_some_and(|head| head.eq_ignore_ascii_case(found.repository.as_str())),
            };
            if ours {
                return self.found(&seen);
            }
        }
        // A branch that is gone leads nowhere, but its pull request may still be where it is a fork of.
        match &found.upstream {
            Upstream::Of(upstream) if at_home && !found.branch_exists => {
                Step::Ask(Ask::Branch(upstream.clone()))
            }
            Upstream::Of(_) | Upstream::NoFork | Upstream::Unknown => {
                Step::Answer(self.finding(Ok(Found::NoPullRequest)))
            }
        }
    }

    /// What follows from a problem of the repository that was asked.
    pub(super) fn after_problem(&mut self, problem: Problem) -> Step<'a> {
        let ours = matches!(self.held, Some((_, Whose::Ours)));
        let renamed = self.job.unit.target.renamed.is_some() && !self.as_reported;
        if problem == Problem::RepositoryNotFound && !ours && renamed && self.asks_home() {
            self.as_reported = true;
            self.canonical = Some(self.home().clone());
            return Step::Ask(Ask::Branch(self.home().clone()));
        }
        // A fork is often deleted once its pull request is settled, which says nothing about the pull
        // request.
        if problem == Problem::RepositoryNotFound
            && let Some((seen, Whose::Ours)) = self.held.take()
        {
            return self.found(&seen);
        }
        Step::Answer(self.finding(Err(problem)))
    }

    /// Asks for less, or somebody else, after it failed by itself. The problem is the host's, if that may
    /// be the one in trouble.
    pub(super) fn lighten(&mut self, problem: Option<Problem>) -> Step<'a> {
        match &self.ask {
            Ask::Detail(id) => {
                self.light = true;
                self.alone = 0;
                Step::Ask(Ask::Probe(id.clone()))
            }
            Ask::Probe(_) if self.light => {
                let problem = problem.unwrap_or(Problem::QueryTooHeavy);
                Step::Answer(self.finding(Err(problem)))
            }
            Ask::Probe(_) | Ask::Number(..) | Ask::Branch(_) => Step::Rest,
        }
    }

    fn ask_branch(&mut self, held: Option<(Seen, Whose)>) -> Step<'a> {
        self.held = held;
        Step::Ask(Ask::Branch(self.home().clone()))
    }

    fn asks_home(&self) -> bool {
        matches!(&self.ask, Ask::Branch(repository) if repository == self.home())
    }

    fn missing(&mut self) -> Step<'a> {
        // The branch told of it a moment ago.
        if self.adopting {
            return Step::Answer(self.finding(Err(Problem::NotReady)));
        }
        match (&self.ask, self.known()) {
            // Its repository may be what is missing, or the id may be of another kind by now.
            (Ask::Probe(_) | Ask::Detail(_), Some(known)) => match by_number(known) {
                Some(ask) => Step::Ask(ask),
                None => Step::Answer(self.finding(Ok(Found::Gone))),
            },
            _ => Step::Answer(self.finding(Ok(Found::Gone))),
        }
    }

    fn found(&self, seen: &Seen) -> Step<'a> {
        Step::Answer(self.seen(seen))
    }

    fn seen(&self, seen: &Seen) -> Finding {
        let mut finding = self.finding(Ok(Found::PullRequest(Arc::clone(&seen.status))));
        finding.learned.fingerprint = Some(seen.fingerprint.clone());
        finding
    }

    fn finding(&self, result: Result<Found, Problem>) -> Finding {
        Finding {
            result,
            learned: Learned {
                upstream: self.upstream.clone(),
                canonical_repository: self.canonical.clone(),
                ..Learned::default()
            },
        }
    }
}

fn home<'a>(job: &'a Job<'a>, as_reported: bool) -> &'a RepositoryPath {
    let target = &job.unit.target;
    let renamed = target.renamed.as_ref().filter(|_| !as_reported);
    renamed.unwrap_or(&target.repository)
}

fn by_number<'a>(known: &KnownPullRequest) -> Option<Ask<'a>> {
    let repository = RepositoryPath::parse(&known.repository)?;
    repository.owner_and_name()?;
    Some(Ask::Number(repository, known.number))
}
