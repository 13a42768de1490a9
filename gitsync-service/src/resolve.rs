//! Which pull request is a branch's, and what to ask next: a pure procedure without I/O and clock.
//!
//! Refs of one branch are a `BranchGroup`, and those of them that know the same pull request one
//! question at a time. A `Resolver` gives the questions that can be asked now, takes their
//! answers in any order, and yields a finding for each ref. Two rules keep it honest. Only open
//! pull requests are adopted by branch, since a branch name is used again and again; a merged or
//! closed one is kept only if it was known, or is at the pushed commit. And a lookup that failed
//! anywhere is a failure: it never looks like "no pull request".

mod group;
mod query;

use proto::sync::{Finding, Learned, LeasedRef, PullRequestState, RepositoryPath, Upstream};

use crate::host::{Answer, Ask, Observed};

use group::BranchGroup;
use query::{QueryState, Step};

/// What was found of one ref.
#[derive(Clone, Debug)]
pub struct Resolved<'a> {
    /// Of which.
    pub git_ref: &'a LeasedRef,
    /// What was found.
    pub finding: Finding,
    /// What was learned beside.
    pub learned: Learned,
}

/// The refs of one credential on their way to a finding.
#[derive(Debug)]
pub struct Resolver<'a> {
    tasks: Vec<Task<'a>>,
    /// For each question that was given out and is not answered: the tasks that ask it.
    asked: Vec<Vec<usize>>,
    resolved: Vec<Resolved<'a>>,
}

/// One branch: its queries one after the other.
#[derive(Debug)]
struct Task<'a> {
    group: BranchGroup<'a>,
    /// The query that is on its way.
    query: usize,
    state: Option<QueryState>,
    /// A pull request that was just found open for this branch.
    open: Option<Box<Observed>>,
}

impl<'a> Resolver<'a> {
    /// Begins with `refs`, the most urgent of which come first.
    #[must_use]
    pub fn new(refs: &'a [LeasedRef]) -> Self {
        let mut resolver = Self {
            tasks: Vec::new(),
            asked: Vec::new(),
            resolved: Vec::new(),
        };
        for group in BranchGroup::of(refs) {
            let mut task = Task {
                group,
                query: 0,
                state: None,
                open: None,
            };
            task.begin(&mut resolved_sink(&mut resolver.resolved));
            resolver.tasks.push(task);
        }
        resolver
    }

    /// The questions that can be asked now, each once. Empty: everything has its answer.
    pub fn questions(&mut self) -> Vec<Ask> {
        let mut asks: Vec<Ask> = Vec::new();
        self.asked.clear();
        for (index, task) in self.tasks.iter().enumerate() {
            let (Some(state), Some(lane)) = (&task.state, task.lane()) else {
                continue;
            };
            let same = asks.iter().position(|ask| ask.question == state.question);
            match same {
                Some(place) => {
                    if let (Some(ask), Some(tasks)) =
                        (asks.get_mut(place), self.asked.get_mut(place))
                    {
                        ask.lane = ask.lane.min(lane);
                        tasks.push(index);
                    }
                }
                None => {
                    asks.push(Ask {
                        question: state.question.clone(),
                        lane,
                    });
                    self.asked.push(vec![index]);
                }
            }
        }
        asks
    }

    /// Takes the answer to a question of the last [`Self::questions`], by its place there. A second
    /// answer to the same question is ignored.
    pub fn answer(&mut self, place: usize, answer: &Answer) {
        let tasks = self.asked.get_mut(place).map(std::mem::take);
        for index in tasks.unwrap_or_default() {
            if let Some(task) = self.tasks.get_mut(index) {
                task.answer(answer.clone(), &mut resolved_sink(&mut self.resolved));
            }
        }
    }

    /// The refs that were resolved since this was last called. A ref whose question was not sent is
    /// never among them: it stays due with what is known.
    pub fn take_resolved(&mut self) -> Vec<Resolved<'a>> {
        std::mem::take(&mut self.resolved)
    }
}

/// Where findings go.
type Sink<'s, 'a> = dyn FnMut(&'a LeasedRef, Finding, Learned) + 's;

fn resolved_sink<'s, 'a>(
    resolved: &'s mut Vec<Resolved<'a>>,
) -> impl FnMut(&'a LeasedRef, Finding, Learned) + 's {
    |git_ref, finding, learned| {
        resolved.push(Resolved {
            git_ref,
            finding,
            learned,
        });
    }
}

impl<'a> Task<'a> {
    fn lane(&self) -> Option<proto::sync::Lane> {
        let query = self.group.queries.get(self.query)?;
        Some(query.lane())
    }

    /// Begins with the query that is next, if one is left.
    fn begin(&mut self, sink: &mut Sink<'_, 'a>) {
        self.state = None;
        while let Some(query) = self.group.queries.get(self.query) {
            // What was just found open for this branch answers those who know nothing yet.
            let begun = match self.open.take().filter(|_| query.known.is_none()) {
                Some(open) => Step::found(&open, Learned::default()),
                None => QueryState::begin(&self.group, query),
            };
            if let Some(state) = self.take(begun, sink) {
                self.state = Some(state);
                return;
            }
        }
    }

    fn answer(&mut self, answer: Answer, sink: &mut Sink<'_, 'a>) {
        let Some(state) = self.state.take() else {
            return;
        };
        let Some(query) = self.group.queries.get(self.query) else {
            return;
        };
        let step = state.answer(&self.group, query, answer);
        self.state = self.take(step, sink);
        if self.state.is_none() {
            self.begin(sink);
        }
    }

    /// Passes a finding on to all refs of the query; returns the state in which it goes on
    /// otherwise.
    fn take(&mut self, step: Step, sink: &mut Sink<'_, 'a>) -> Option<QueryState> {
        let (finding, learned) = match step {
            Step::Ask(state) => return Some(*state),
            Step::Unsent => {
                // The other queries of the branch would not be sent either.
                self.query = self.group.queries.len();
                return None;
            }
            Step::Found(observed, learned) => {
                let found = &observed.found;
                let finding = Finding::PullRequest(found.clone());
                if found.shown.state == PullRequestState::Open {
                    self.open = Some(observed);
                }
                (finding, *learned)
            }
            Step::Finding(finding, learned) => (finding, *learned),
        };
        if let Some(query) = self.group.queries.get(self.query) {
            for git_ref in &query.refs {
                sink(
                    git_ref,
                    of_ref(git_ref, &finding, &learned),
                    learned.clone(),
                );
            }
        }
        self.query += 1;
        None
    }
}

/// The finding as it is for one ref: a repository's problem is that of all refs in it only where no
/// other repository can be the one that has it.
fn of_ref(git_ref: &LeasedRef, finding: &Finding, learned: &Learned) -> Finding {
    match finding {
        Finding::Failed {
            class,
            repository_wide: true,
        } => Finding::Failed {
            class: *class,
            repository_wide: !may_be_elsewhere(git_ref, learned),
        },
        Finding::PullRequest(_)
        | Finding::Unchanged
        | Finding::NoPullRequest
        | Finding::Gone
        | Finding::Failed { .. } => finding.clone(),
    }
}

/// Whether a ref may be looked up in another repository than the reported one: in that which this
/// one is a fork of, in that of its pull request, or by another name.
fn may_be_elsewhere(git_ref: &LeasedRef, learned: &Learned) -> bool {
    let is_fork = |upstream: &Upstream| matches!(upstream, Upstream::Of(_));
    let known = git_ref.known.as_ref();
    renamed(git_ref).is_some()
        || known.is_some_and(|known| !is_path(&git_ref.repository, &known.repository))
        || is_fork(&git_ref.upstream)
        || is_fork(&learned.upstream)
}

/// What the host called a ref's repository last, if that is another name than the reported one.
fn renamed(git_ref: &LeasedRef) -> Option<&RepositoryPath> {
    let canonical = git_ref.canonical_repository.as_ref();
    canonical.filter(|canonical| **canonical != git_ref.repository)
}

fn is_path(repository: &RepositoryPath, path: &str) -> bool {
    repository.as_str().eq_ignore_ascii_case(path)
}

#[cfg(test)]
mod tests;
