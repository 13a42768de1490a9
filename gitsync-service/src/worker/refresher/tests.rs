use proto::sync::{BudgetKey, BudgetView, DiffResult, GitRefId, LeaseToken, RepositoryPath};
use uuid::Uuid;

use super::*;
use crate::host::{Ask, DiffAnswer, Question};

/// A host of which some branches lead to a bug of ours.
struct Buggy;

impl Host for Buggy {
    async fn ask(&self, asks: &[Ask], answer: &mut (dyn FnMut(usize, Answer) + Send)) {
        for (place, ask) in asks.iter().enumerate() {
            let Question::OfBranch { branch, .. } = &ask.question else {
                panic!("{ask:?}");
            };
            assert!(!branch.starts_with("bug"), "as a bug would");
            let class = ProblemClass::RepositoryNotFound;
            answer(
                place,
                Answer::Failed {
                    class,
                    repository: false,
                },
            );
            tokio::task::yield_now().await;
        }
    }

    async fn diff(&self, of: &DiffTarget) -> DiffAnswer {
        let DiffTarget::Branch { branch, .. } = of else {
            panic!("{of:?}");
        };
        tokio::task::yield_now().await;
        assert!(!branch.starts_with("bug"), "as a bug would");
        DiffAnswer::Missing
    }
}

fn refresh() -> Refresh {
    let lease = Lease {
        token: LeaseToken(Uuid::nil()),
        budget_key: BudgetKey("key".to_owned()),
        expires_in: Duration::from_secs(60),
        groups: Vec::new(),
        budget: BudgetView::default(),
    };
    let refresher = Refresher::new(RefresherSettings::default()).unwrap();
    refresher.begin(Arc::new(lease), Instant::now() + Duration::from_secs(60))
}

fn git_ref(branch: &str) -> LeasedRef {
    let repository = RepositoryPath::parse("acme/web").unwrap();
    LeasedRef::new(GitRefId(Uuid::now_v7()), repository, branch)
}

/// The outcomes of these refs, each by its branch.
async fn outcomes(refs: &[LeasedRef]) -> Vec<(String, Finding)> {
    let (outcomes, mut found) = unbounded_channel();
    let (diffs, _) = unbounded_channel();
    let sinks = RefSinks {
        outcomes: &outcomes,
        diffs,
    };
    refresh().resolve(refs, &Buggy, &sinks).await;
    let mut outcomes = Vec::new();
    while let Ok(LookupResult { outcome, .. }) = found.try_recv() {
        let git_ref = refs.iter().find(|git_ref| git_ref.id == outcome.git_ref);
        outcomes.push((git_ref.unwrap().branch.clone(), outcome.finding));
    }
    outcomes.sort_by(|one, other| one.0.cmp(&other.0));
    outcomes
}

fn failed_with(class: ProblemClass) -> Finding {
    Finding::Failed {
        class,
        repository_wide: false,
    }
}

#[tokio::test]
async fn a_lookup_that_panics_costs_its_own_ref_and_no_other_of_the_lease() {
    let branches = ["a", "b", "bug", "c", "d", "e", "f"];
    let refs = branches.map(git_ref);
    let wanted = branches.map(|branch| {
        let class = if branch == "bug" {
            ProblemClass::Internal
        } else {
            ProblemClass::RepositoryNotFound
        };
        (branch.to_owned(), failed_with(class))
    });
    let mut wanted = wanted.to_vec();
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(outcomes(&refs).await, wanted);
}

#[tokio::test]
async fn lookups_that_all_panic_are_all_reported_once() {
    let refs = ["bug-1", "bug-2", "bug-3"].map(git_ref);
    let wanted = ["bug-1", "bug-2", "bug-3"]
        .map(|branch| (branch.to_owned(), failed_with(ProblemClass::Internal)));
    assert_eq!(outcomes(&refs).await, wanted);
}

#[tokio::test]
async fn a_diff_that_panics_fails_alone_and_its_ref_and_the_others_have_what_was_found() {
    let branches = ["a", "bug-1", "b", "bug-2", "c", "d"];
    let refs = branches.map(|branch| LeasedRef {
        diff_wanted: true,
        ..git_ref(branch)
    });
    let (outcomes, mut found) = unbounded_channel();
    let (diffs, wanted) = unbounded_channel();
    for git_ref in &refs {
        let resolved = Resolution {
            git_ref,
            finding: Finding::NoPullRequest,
            learned: Learned::default(),
        };
        let of = diff_of(&resolved).unwrap();
        diffs.send((resolved, of)).unwrap();
    }
    drop(diffs);
    let fetching = async {
        refresh().fetch_diffs(&Buggy, wanted, &outcomes).await;
        drop(outcomes);
    };
    // A diff has its place until it is reported.
    let reporting = async {
        let mut seen = Vec::new();
        while let Some(LookupResult { outcome, diff }) = found.recv().await {
            assert_eq!(outcome.finding, Finding::NoPullRequest);
            let git_ref = refs.iter().find(|git_ref| git_ref.id == outcome.git_ref);
            let branch = git_ref.unwrap().branch.clone();
            let wanted = if branch.starts_with("bug") {
                DiffResult::Failed {
                    class: ProblemClass::Internal,
                    retry_after: None,
                }
            } else {
                DiffResult::Missing
            };
            assert_eq!(diff.unwrap().result, wanted, "{branch}");
            seen.push(branch);
        }
        seen
    };
    let ((), mut seen) = tokio::join!(fetching, reporting);
    seen.sort();
    assert_eq!(seen, ["a", "b", "bug-1", "bug-2", "c", "d"]);
}
