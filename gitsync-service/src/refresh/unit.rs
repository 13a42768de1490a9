//! Puts refs with the same branch together, so that chats on one branch are one lookup.

use std::{collections::HashMap, time::Duration};

use crate::{
    lease::{KnownPullRequest, Lane, LeasedRef, Upstream, renamed},
    outcome::PullRequestState,
    provider::Target,
};

/// The refs of one branch.
pub(super) struct Unit<'a> {
    pub(super) target: Target,
    /// Those that know a pull request come first.
    pub(super) questions: Vec<Question<'a>>,
}

/// Refs of one branch that know the same pull request, or none.
pub(super) struct Question<'a> {
    pub(super) known: Option<&'a KnownPullRequest>,
    pub(super) refs: Vec<&'a LeasedRef>,
}

/// After so many answers in a row that nothing changed, the whole is asked for again: what tells of
/// a change may not tell of every change.
const WHOLE_EVERY: u32 = 6;
/// And after this time.
const WHOLE_AFTER: Duration = Duration::from_secs(30 * 60);

impl Question<'_> {
    /// The most urgent of its refs' lanes.
    pub(super) fn lane(&self) -> Lane {
        let lanes = self.refs.iter().map(|git_ref| git_ref.lane);
        lanes.min().unwrap_or(Lane::Idle)
    }

    /// Whether it is enough to hear that the known pull request did not change.
    pub(super) fn may_be_unchanged(&self) -> bool {
        self.is_open() && !self.is_overdue()
    }

    /// Whether it knows an open pull request. Of a settled one more is asked than whether it changed.
    pub(super) fn is_open(&self) -> bool {
        let is_open = |known: &KnownPullRequest| known.state == PullRequestState::Open;
        self.known.is_some_and(is_open)
    }

    /// Whether it is time to see the whole again.
    pub(super) fn is_overdue(&self) -> bool {
        self.refs.iter().any(|git_ref| {
            git_ref.unchanged_count + 1 >= WHOLE_EVERY
                || git_ref.since_found.is_none_or(|since| since > WHOLE_AFTER)
        })
    }

    /// As the last refresh left it, if all refs have the same.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        self.agreed(|git_ref| git_ref.fingerprint.as_deref())
    }

    /// As the last refresh left it, if all refs have the same.
    pub(super) fn validator(&self) -> Option<&str> {
        self.agreed(|git_ref| git_ref.validator.as_deref())
    }

    /// The commit that was pushed, if all refs have the same.
    pub(super) fn commit(&self) -> Option<&str> {
        self.agreed(|git_ref| git_ref.commit.as_deref())
    }

    fn agreed<'r>(&'r self, of: impl Fn(&'r LeasedRef) -> Option<&'r str>) -> Option<&'r str> {
        let mut all = self.refs.iter().map(|git_ref| of(git_ref));
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    }
}

impl<'a> Unit<'a> {
    /// Groups `refs`, in the order in which they were leased: the most urgent come first. Those whose
    /// repository has another name by now are apart: another one may have its name since.
    pub(super) fn of(refs: &'a [LeasedRef]) -> Vec<Self> {
        let mut units: Vec<Self> = Vec::new();
        let mut by_branch = HashMap::new();
        for git_ref in refs {
            let branch = (
                &git_ref.repository,
                renamed(git_ref),
                git_ref.branch.as_str(),
            );
            let place = *by_branch.entry(branch).or_insert_with(|| {
                units.push(Self::empty(git_ref));
                units.len() - 1
            });
            if let Some(unit) = units.get_mut(place) {
                unit.add(git_ref);
            }
        }
        for unit in &mut units {
            unit.target.upstream = unit.upstream();
            unit.questions
                .sort_by_key(|question| question.known.is_none());
        }
        units
    }

    fn empty(git_ref: &LeasedRef) -> Self {
        Self {
            target: Target {
                repository: git_ref.repository.clone(),
                renamed: renamed(git_ref).cloned(),
                branch: git_ref.branch.clone(),
                upstream: Upstream::Unknown,
            },
            questions: Vec::new(),
        }
    }

    /// What its repository is a fork of, if all refs that know it know the same.
    fn upstream(&self) -> Upstream {
        let refs = self.questions.iter().flat_map(|question| &question.refs);
        let upstreams = refs.map(|git_ref| &git_ref.upstream);
        let mut known = upstreams.filter(|upstream| **upstream != Upstream::Unknown);
        match known.next() {
            Some(first) if known.all(|other| other == first) => first.clone(),
            Some(_) | None => Upstream::Unknown,
        }
    }

    fn add(&mut self, git_ref: &'a LeasedRef) {
        let known = git_ref.known.as_ref();
        let same = self
            .questions
            .iter_mut()
            .find(|question| is_same(question.known, known));
        match same {
            Some(question) => question.refs.push(git_ref),
            None => self.questions.push(Question {
                known,
                refs: vec![git_ref],
            }),
        }
    }
}

fn is_same(one: Option<&KnownPullRequest>, other: Option<&KnownPullRequest>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.number == other.number && one.repository.eq_ignore_ascii_case(&other.repository)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{RepositoryPath, known_open, reported};

    fn git_ref(repository: &str, branch: &str, known: Option<i32>) -> LeasedRef {
        LeasedRef {
            known: known.map(|number| known_open("acme/web", number)),
            ..reported(repository, branch)
        }
    }

    #[test]
    fn refs_of_one_branch_are_one_unit_whatever_the_repositorys_case() {
        let refs = [
            git_ref("acme/web", "a", None),
            git_ref("Acme/Web", "a", None),
            git_ref("acme/web", "A", None),
            git_ref("acme/api", "a", None),
        ];
        let units = Unit::of(&refs);
        let sizes: Vec<_> = units.iter().map(|u| u.questions[0].refs.len()).collect();
        assert_eq!(sizes, [2, 1, 1]);
    }

    #[test]
    fn refs_whose_repository_has_another_name_by_now_are_a_unit_of_their_own() {
        let called = |name: &str| LeasedRef {
            canonical_repository: RepositoryPath::parse(name),
            ..git_ref("acme/web", "a", None)
        };
        let refs = [
            called("acme/old"),
            git_ref("acme/web", "a", None),
            called("Acme/Old"),
            called("Acme/Web"),
        ];
        let units = Unit::of(&refs);
        let sizes: Vec<_> = units.iter().map(|u| u.questions[0].refs.len()).collect();
        assert_eq!(sizes, [2, 2]);
        assert_eq!(units[0].target.renamed, RepositoryPath::parse("acme/old"));
        assert_eq!(units[1].target.renamed, None);
    }

    #[test]
    fn what_a_repository_is_a_fork_of_is_known_if_nobody_knows_otherwise() {
        let upstream = |name: Option<&str>| LeasedRef {
            upstream: Upstream::from_text(name),
            ..git_ref("ann/web", "a", None)
        };
        for (refs, expected) in [
            (
                [upstream(None), upstream(Some("acme/web"))],
                Some("acme/web"),
            ),
            ([upstream(Some("")), upstream(Some(""))], Some("")),
            ([upstream(Some("")), upstream(Some("acme/web"))], None),
        ] {
            let units = Unit::of(&refs);
            assert_eq!(units[0].target.upstream.text(), expected);
        }
    }

    #[test]
    fn those_that_know_a_pull_request_are_asked_first() {
        let refs = [
            git_ref("acme/web", "a", None),
            git_ref("acme/web", "a", Some(7)),
            git_ref("acme/web", "a", Some(7)),
        ];
        let units = Unit::of(&refs);
        assert_eq!(units.len(), 1);
        let known: Vec<_> = units[0]
            .questions
            .iter()
            .map(|q| (q.known.map(|k| k.number), q.refs.len()))
            .collect();
        assert_eq!(known, [(Some(7), 2), (None, 1)]);
    }
}
