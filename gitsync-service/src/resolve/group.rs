//! Puts refs of one branch together, so that chats on one branch are one lookup.

use std::{collections::HashMap, time::Duration};

use proto::sync::{KnownPullRequest, Lane, LeasedRef, PullRequestState, RepositoryPath, Upstream};

use super::renamed;
use crate::{host::Question, schedule::MERGEABLE_WITHIN};

/// After this many answers in a row that nothing changed, the whole is asked for again: a
/// fingerprint may miss a change.
const WHOLE_EVERY: u32 = 6;
/// And after this time.
const WHOLE_AFTER: Duration = Duration::from_secs(30 * 60);

/// The refs of one branch.
#[derive(Debug)]
pub(super) struct BranchGroup<'a> {
    /// As it was reported.
    pub(super) repository: &'a RepositoryPath,
    /// The host's last name for it, if that is another one.
    pub(super) renamed: Option<&'a RepositoryPath>,
    /// The branch, case-sensitive.
    pub(super) branch: &'a str,
    /// The upstream of its repository, if the refs agree on it.
    pub(super) upstream: Upstream,
    pub(super) queries: Vec<PullRequestQuery<'a>>,
}

/// Refs of one branch that know the same pull request, or none.
#[derive(Debug)]
pub(super) struct PullRequestQuery<'a> {
    pub(super) known: Option<&'a KnownPullRequest>,
    pub(super) refs: Vec<&'a LeasedRef>,
}

impl<'a> BranchGroup<'a> {
    /// Groups `refs`, in the order in which they were leased: the most urgent come first. Those
    /// whose repository has another name by now are apart: another one may have its name since.
    pub(super) fn of(refs: &'a [LeasedRef]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        let mut places = HashMap::new();
        for git_ref in refs {
            let branch = (&git_ref.repository, renamed(git_ref), &git_ref.branch);
            let place = *places.entry(branch).or_insert_with(|| {
                groups.push(Self::empty(git_ref));
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(place) {
                group.add(git_ref);
            }
        }
        for group in &mut groups {
            group.upstream = group.agreed_upstream();
        }
        groups
    }

    fn empty(git_ref: &'a LeasedRef) -> Self {
        Self {
            repository: &git_ref.repository,
            renamed: renamed(git_ref),
            branch: &git_ref.branch,
            upstream: Upstream::Unknown,
            queries: Vec::new(),
        }
    }

    fn agreed_upstream(&self) -> Upstream {
        let named = self.refs().map(|git_ref| &git_ref.upstream);
        let mut known = named.filter(|upstream| **upstream != Upstream::Unknown);
        let Some(first) = known.next() else {
            return Upstream::Unknown;
        };
        if known.all(|other| other == first) {
            first.clone()
        } else {
            Upstream::Unknown
        }
    }

    fn refs(&self) -> impl Iterator<Item = &'a LeasedRef> {
        self.queries
            .iter()
            .flat_map(|query| query.refs.iter().copied())
    }

    /// The commit that was pushed last, of those that were reported.
    pub(super) fn commit(&self) -> Option<&'a str> {
        let pushed = self.refs().filter(|git_ref| git_ref.commit.is_some());
        let last = pushed.min_by_key(|git_ref| git_ref.since_reported)?;
        last.commit.as_deref()
    }

    /// Whether the branch itself must be looked up, whatever is known: its refs disagree on a pull
    /// request, or one was reported since the known one was last seen whole.
    pub(super) fn is_open_question(&self) -> bool {
        let is_reported_since = |git_ref: &LeasedRef| {
            let since_found = git_ref.since_found;
            since_found.is_some_and(|since| since > git_ref.since_reported)
        };
        self.queries.len() > 1
            || self.queries.iter().any(|query| query.known.is_none())
            || self.refs().any(is_reported_since)
    }

    fn add(&mut self, git_ref: &'a LeasedRef) {
        let known = git_ref.known.as_ref();
        let mut queries = self.queries.iter_mut();
        match queries.find(|query| is_same(query.known, known)) {
            Some(query) => query.refs.push(git_ref),
            None => self.queries.push(PullRequestQuery {
                known,
                refs: vec![git_ref],
            }),
        }
    }
}

impl<'a> PullRequestQuery<'a> {
    /// The most urgent of its refs' lanes.
    pub(super) fn lane(&self) -> Lane {
        let lanes = self.refs.iter().map(|git_ref| git_ref.lane);
        lanes.min().unwrap_or(Lane::Idle)
    }

    /// Whether it knows an open pull request. Of a settled one more is asked than whether it
    /// changed.
    fn is_open(&self) -> bool {
        let is_open = |known: &KnownPullRequest| known.state == PullRequestState::Open;
        self.known.is_some_and(is_open)
    }

    /// Whether its open pull request changed, where an earlier answer lets that be asked.
    pub(super) fn changed(&self, known: &KnownPullRequest) -> Option<Question> {
        let fingerprint = self.fingerprint().filter(|_| self.is_open())?;
        Some(Question::Changed {
            known: known.clone(),
            fingerprint: fingerprint.to_owned(),
            overdue: self.is_overdue(),
        })
    }

    /// Whether it is time to see the whole again.
    fn is_overdue(&self) -> bool {
        self.refs.iter().any(|git_ref| {
            git_ref.unchanged_count + 1 >= WHOLE_EVERY
                || git_ref.since_found.is_none_or(|since| since > WHOLE_AFTER)
                || awaits_mergeability(git_ref)
        })
    }

    /// As the last outcome gave it, if all refs have the same.
    fn fingerprint(&self) -> Option<&'a str> {
        let mut all = self
            .refs
            .iter()
            .map(|git_ref| git_ref.fingerprint.as_deref());
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    }

    /// Since the first report of the ref that was reported first.
    pub(super) fn since_first_reported(&self) -> Duration {
        let since = self.refs.iter().map(|git_ref| git_ref.since_first_reported);
        since.max().unwrap_or_default()
    }
}

/// Whether the host was computing the mergeability of the known pull request: its result changes
/// nothing else.
fn awaits_mergeability(git_ref: &LeasedRef) -> bool {
    let known = git_ref.known.as_ref();
    known.is_some_and(|known| known.merge_unknown) && git_ref.since_changed < MERGEABLE_WITHIN
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
    use super::{super::tests::git_ref, *};

    fn path(path: &str) -> RepositoryPath {
        RepositoryPath::parse(path).unwrap()
    }

    fn sizes(groups: &[BranchGroup<'_>]) -> Vec<usize> {
        groups
            .iter()
            .map(|group| group.queries[0].refs.len())
            .collect()
    }

    #[test]
    fn refs_of_one_branch_are_one_group_whatever_the_repositorys_case() {
        let refs = [
            git_ref("acme/web", "a", None),
            git_ref("Acme/Web", "a", None),
            git_ref("acme/web", "A", None),
            git_ref("acme/api", "a", None),
        ];
        assert_eq!(sizes(&BranchGroup::of(&refs)), [2, 1, 1]);
    }

    #[test]
    fn refs_whose_repository_has_another_name_by_now_are_a_group_of_their_own() {
        let called = |name: &str| LeasedRef {
            canonical_repository: Some(path(name)),
            ..git_ref("acme/web", "a", None)
        };
        let refs = [
            called("acme/old"),
            git_ref("acme/web", "a", None),
            called("Acme/Old"),
            called("Acme/Web"),
        ];
        let groups = BranchGroup::of(&refs);
        assert_eq!(sizes(&groups), [2, 2]);
        assert_eq!(groups[0].renamed, Some(&path("acme/old")));
        assert_eq!(groups[1].renamed, None);
    }

    #[test]
    fn an_upstream_counts_if_no_ref_of_the_branch_says_otherwise() {
        let upstream = |text: Option<&str>| LeasedRef {
            upstream: Upstream::from_text(text),
            ..git_ref("ann/web", "a", None)
        };
        for (refs, expected) in [
            (
                [upstream(None), upstream(Some("acme/web"))],
                Upstream::Of(path("acme/web")),
            ),
            ([upstream(Some("")), upstream(Some(""))], Upstream::NoFork),
            (
                [upstream(Some("")), upstream(Some("acme/web"))],
                Upstream::Unknown,
            ),
        ] {
            assert_eq!(BranchGroup::of(&refs)[0].upstream, expected);
        }
    }
}
