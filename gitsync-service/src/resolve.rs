//! Which pull request is a branch's, and what to ask next: a pure procedure without I/O and clock.
//!
//! Refs of one branch are a `BranchGroup`, and a `BranchTask` takes them to their findings: those
//! that know the same pull request together, and what the branch itself leads to once for all. A
//! `Resolver` gives the questions that can be asked now, takes their answers in any order, and
//! yields a finding for each ref.
//!
//! The rules: a pull request is in the branch's own repository, or else in the one that this is a
//! fork of, or else in the root of its network, and nowhere else. An open one is adopted by its
//! branch, but for a repository's default branch, which takes evidence: the pushed commit is one
//! of its commits. A settled one is adopted by that evidence alone. A lookup that failed anywhere,
//! or that did not see everything, is a failure: it never looks like "no pull request".

mod branch;
mod group;
mod task;

use proto::sync::{Finding, Learned, LeasedRef, RepositoryPath, Upstream};

use crate::host::{Answer, Ask};

use group::BranchGroup;
use task::{About, BranchTask};

/// The result for one ref.
#[derive(Clone, Debug)]
pub struct Resolution<'a> {
    /// Of which.
    pub git_ref: &'a LeasedRef,
    /// The finding.
    pub finding: Finding,
    /// The facts learned beside the finding.
    pub learned: Learned,
}

/// The refs of one credential on their way to a finding.
#[derive(Debug)]
pub struct Resolver<'a> {
    tasks: Vec<BranchTask<'a>>,
    /// For each question that was given out and is not answered: the tasks that ask it, and about
    /// what.
    asked: Vec<Vec<(usize, About)>>,
    resolved: Vec<Resolution<'a>>,
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
            let mut task = BranchTask::new(group);
            task.advance(&mut resolved_sink(&mut resolver.resolved));
            resolver.tasks.push(task);
        }
        resolver
    }

    /// The questions that can be asked now, each once. Empty: everything has its answer.
    pub fn questions(&mut self) -> Vec<Ask> {
        let mut asks: Vec<Ask> = Vec::new();
        self.asked.clear();
        for (index, task) in self.tasks.iter().enumerate() {
            for (about, question, lane) in task.questions() {
                let same = asks.iter().position(|ask| ask.question == *question);
                match same {
                    Some(place) => {
                        if let (Some(ask), Some(tasks)) =
                            (asks.get_mut(place), self.asked.get_mut(place))
                        {
                            ask.lane = ask.lane.min(lane);
                            tasks.push((index, about));
                        }
                    }
                    None => {
                        asks.push(Ask {
                            question: question.clone(),
                            lane,
                        });
                        self.asked.push(vec![(index, about)]);
                    }
                }
            }
        }
        asks
    }

    /// Takes the answer to a question of the last [`Self::questions`], by its place there. A second
    /// answer to the same question is ignored.
    pub fn answer(&mut self, place: usize, answer: &Answer) {
        let tasks = self.asked.get_mut(place).map(std::mem::take);
        for (index, about) in tasks.unwrap_or_default() {
            if let Some(task) = self.tasks.get_mut(index) {
                task.answer(
                    about,
                    answer.clone(),
                    &mut resolved_sink(&mut self.resolved),
                );
            }
        }
    }

    /// The refs that were resolved since this was last called. A ref whose question was not sent is
    /// never among them: it stays due with what is known.
    pub fn take_resolved(&mut self) -> Vec<Resolution<'a>> {
        std::mem::take(&mut self.resolved)
    }
}

fn resolved_sink<'s, 'a>(
    resolved: &'s mut Vec<Resolution<'a>>,
) -> impl FnMut(&'a LeasedRef, Finding, Learned) + 's {
    |git_ref, finding, learned| {
        resolved.push(Resolution {
            git_ref,
            finding,
            learned,
        });
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

/// The host's last name for a ref's repository, if it differs from the reported one.
fn renamed(git_ref: &LeasedRef) -> Option<&RepositoryPath> {
    let canonical = git_ref.canonical_repository.as_ref();
    canonical.filter(|canonical| **canonical != git_ref.repository)
}

fn is_path(repository: &RepositoryPath, path: &str) -> bool {
    repository.as_str().eq_ignore_ascii_case(path)
}

#[cfg(test)]
mod tests;
