//! Puts refs with the same branch together, so that chats on one branch are one lookup.

use std::collections::BTreeMap;

use crate::{
    lease::{KnownPullRequest, LeasedRef},
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

impl<'a> Unit<'a> {
    /// Groups `refs`, in the order in which they were leased: the most urgent come first.
    pub(super) fn of(refs: &'a [LeasedRef]) -> Vec<Self> {
        let mut units: Vec<Self> = Vec::new();
        let mut by_branch = BTreeMap::new();
        for git_ref in refs {
            let branch = (git_ref.repository.key(), git_ref.branch.as_str());
            let place = *by_branch.entry(branch).or_insert_with(|| {
                units.push(Self::empty(git_ref));
                units.len() - 1
            });
            if let Some(unit) = units.get_mut(place) {
                unit.add(git_ref);
            }
        }
        for unit in &mut units {
            unit.questions
                .sort_by_key(|question| question.known.is_none());
        }
        units
    }

    fn empty(git_ref: &LeasedRef) -> Self {
        Self {
            target: Target {
                repository: git_ref.repository.clone(),
                branch: git_ref.branch.clone(),
                upstream_repository: None,
            },
            questions: Vec::new(),
        }
    }

    fn add(&mut self, git_ref: &'a LeasedRef) {
        if self.target.upstream_repository.is_none() {
            self.target
                .upstream_repository
                .clone_from(&git_ref.upstream_repository);
        }
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
    use std::time::Duration;

    use super::*;
    use crate::lease::{Lane, Repository};

    fn git_ref(repository: &str, branch: &str, known: Option<i32>) -> LeasedRef {
        LeasedRef {
            git_ref_id: format!("{repository}:{branch}:{known:?}"),
            report_seq: 1,
            repository: Repository::parse(repository).unwrap(),
            branch: branch.to_owned(),
            lane: Lane::Active,
            since_reported: Duration::ZERO,
            misses: 0,
            settled_count: 0,
            upstream_repository: None,
            known: known.map(|number| KnownPullRequest {
                repository: "acme/web".to_owned(),
                number,
            }),
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
