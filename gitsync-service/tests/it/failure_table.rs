//! The failure table: for each signal its class, what it concerns, and when to look again, while
//! other refs go on.

use std::{ops::RangeInclusive, time::Duration};

use proto::sync::{Finding, LeasedRef, ProblemClass};
use testkit::github::{Barrier, Fault, GitHub, Matching, Overload, Resource};

use crate::support::{Refreshed, engine, git_ref, group, knowing, lease, lease_of, refresh, world};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How something goes wrong for the ref `acme/bad`, `feature`.
enum Signal {
    /// With the whole answer, for this user only.
    Answer(Fault),
    /// With the repository.
    Repository(Barrier),
    /// With GraphQL, while REST fails as well.
    Overloaded(Overload),
    /// With the pull request, which is linked.
    PullRequest(Barrier),
    /// With the budget.
    Spent,
    /// With the token.
    Revoked,
}

use Signal::{Answer, Overloaded, PullRequest, Repository, Revoked, Spent};

/// What a problem concerns, and so where it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// The ref: it has an outcome.
    Ref,
    /// All refs in the repository: the outcome says so.
    Repository,
    /// The budget: the ref stays due, and the budget pauses.
    Budget,
    /// The credential: the ref stays due, and the credential is observed.
    Credential,
}

/// A row of the table: signal, class, concern, and the seconds until the next attempt after this
/// many consecutive failures.
type Row = (
    Signal,
    ProblemClass,
    Concern,
    [(u32, RangeInclusive<u64>); 2],
);

fn rows() -> Vec<Row> {
    let secondary = |status, retry_after| {
        Answer(Fault::SecondaryLimit {
            status,
            retry_after,
        })
    };
    // Twice as long each time, a little more or less.
    let ordinary = || [(0, 4..=7), (3, 30..=50)];
    let hours = || {
        [
            (0, HOUR * 4 / 5..=HOUR * 6 / 5),
            (10, DAY * 4 / 5..=DAY * 6 / 5),
        ]
    };
    let six_hours = || [(0, 5 * HOUR..=7 * HOUR), (5, 5 * HOUR..=7 * HOUR)];
    let quarter = || [(0, 700..=1100), (5, 700..=1100)];
    vec![
        (
            Spent,
            ProblemClass::RateLimited,
            Concern::Budget,
            [(0, 1795..=1870), (5, 1795..=1870)],
        ),
        (
            secondary(200, None),
            ProblemClass::SecondaryLimited,
            Concern::Budget,
            [(0, 55..=80), (5, 55..=80)],
        ),
        (
            secondary(403, Some(300)),
            ProblemClass::SecondaryLimited,
            Concern::Budget,
            [(0, 295..=365), (5, 295..=365)],
        ),
        (
            Revoked,
            ProblemClass::CredentialSuspect,
            Concern::Credential,
            [(0, 0..=0), (5, 0..=0)],
        ),
        (
            Answer(Fault::LockedOut),
            ProblemClass::AccountLocked,
            Concern::Budget,
            [(0, HOUR - 5..=HOUR * 6 / 5), (10, HOUR - 5..=HOUR * 6 / 5)],
        ),
        (
            Answer(Fault::Suspended),
            ProblemClass::AccountLocked,
            Concern::Budget,
            [(0, HOUR - 5..=HOUR * 6 / 5), (10, HOUR - 5..=HOUR * 6 / 5)],
        ),
        (
            Repository(Barrier::SingleSignOn),
            ProblemClass::SsoRequired,
            Concern::Repository,
            six_hours(),
        ),
        (
            Repository(Barrier::AddressNotAllowed),
            ProblemClass::AddressNotAllowed,
            Concern::Repository,
            six_hours(),
        ),
        (
            Repository(Barrier::NoPermission),
            ProblemClass::AccessDenied,
            Concern::Repository,
            hours(),
        ),
        (
            Repository(Barrier::NotFound),
            ProblemClass::RepositoryNotFound,
            Concern::Repository,
            [(0, 1..=3), (2, 90..=150)],
        ),
        (
            Repository(Barrier::Blocked { status: 451 }),
            ProblemClass::RepositoryBlocked,
            Concern::Repository,
            [
                (0, DAY * 4 / 5..=DAY * 6 / 5),
                (5, DAY * 4 / 5..=DAY * 6 / 5),
            ],
        ),
        (
            PullRequest(Barrier::NotFound),
            ProblemClass::PullRequestGone,
            Concern::Ref,
            [(0, 4..=7), (0, 4..=7)],
        ),
        (
            PullRequest(Barrier::Null),
            ProblemClass::PullRequestGone,
            Concern::Ref,
            [(0, 4..=7), (0, 4..=7)],
        ),
        (
            Answer(Fault::Status(503)),
            ProblemClass::HostUnavailable,
            Concern::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::Reset),
            ProblemClass::HostUnavailable,
            Concern::Ref,
            ordinary(),
        ),
        (
            Overloaded(Overload::BadGateway),
            ProblemClass::HostUnavailable,
            Concern::Ref,
            ordinary(),
        ),
        (
            Overloaded(Overload::NoTime),
            ProblemClass::HostUnavailable,
            Concern::Ref,
            ordinary(),
        ),
        (
            Overloaded(Overload::ResourceLimits),
            ProblemClass::QueryTooHeavy,
            Concern::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::UnsupportedVersion { status: 410 }),
            ProblemClass::HostIncompatible,
            Concern::Ref,
            quarter(),
        ),
        (
            Answer(Fault::UnsupportedVersion { status: 400 }),
            ProblemClass::HostIncompatible,
            Concern::Ref,
            quarter(),
        ),
        (
            Answer(Fault::Status(422)),
            ProblemClass::HostIncompatible,
            Concern::Ref,
            quarter(),
        ),
        (
            Answer(Fault::Html),
            ProblemClass::HostAnswerInvalid,
            Concern::Ref,
            ordinary(),
        ),
    ]
}

struct World {
    github: GitHub,
    token: String,
    bad: LeasedRef,
}

impl World {
    async fn with(signal: &Signal) -> Self {
        let (github, token) = world().await;
        let ann = github.user("ann");
        github.pull_request("acme/web").head("feature").open();
        github.repository("acme/bad").grant(&ann);
        let pull = github.pull_request("acme/bad").head("feature").open();
        let mut bad = knowing(git_ref("bad", "acme/bad", "feature"), "acme/bad", pull);
        let node_id = github
            .find_pull_request("acme/bad", pull)
            .unwrap()
            .node_id();
        bad.known.as_mut().unwrap().host_id = Some(node_id);
        match signal {
            Answer(fault) => {
                github
                    .fault(Matching::any().by("ann"))
                    .respond(fault.clone());
            }
            Overloaded(overload) => {
                github
                    .fault(Matching::graphql().by("ann"))
                    .respond(Fault::Overloaded(*overload));
                github
                    .fault(Matching::path("/repos/*").by("ann"))
                    .respond(Fault::Status(502));
            }
            Repository(barrier) => {
                github.bar("acme/bad", *barrier);
            }
            PullRequest(barrier) => {
                github.bar(&format!("acme/bad#{pull}"), *barrier);
            }
            Spent => {
                for resource in [Resource::Core, Resource::Graphql] {
                    let budget = github.budget_of("ann", resource);
                    budget.spend_all().resets_in(Duration::from_secs(1800));
                }
            }
            Revoked => {
                github.revoke(&token);
            }
        }
        Self { github, token, bad }
    }

    /// Refreshes after `failures` consecutive failures, beside a ref of the same user in another
    /// repository.
    async fn refreshed(&self, failures: u32) -> Refreshed {
        let bad = LeasedRef {
            failures,
            ..self.bad.clone()
        };
        let refs = vec![bad, git_ref("fine", "acme/web", "feature")];
        let of_ann = lease(vec![group(&self.github, &self.token, refs)]);
        refresh(&engine(), of_ann).await
    }
}

/// What has the problem that keeps `bad` from its answer, which one it is, and when it is asked
/// again.
fn problem(refreshed: &Refreshed) -> (Concern, ProblemClass, Duration) {
    let Some(outcome) = refreshed.outcomes.get("bad") else {
        let class = refreshed.problem("bad");
        return match refreshed.credentials.first() {
            // When it is tried again, chat-service says.
            Some(_) => (Concern::Credential, class, Duration::ZERO),
            None => {
                let pause = refreshed.budget.as_ref().and_then(|budget| budget.pause);
                (Concern::Budget, class, pause.unwrap().duration)
            }
        };
    };
    let next = outcome.next.refresh_in.unwrap();
    match outcome.finding {
        Finding::Failed {
            class,
            repository_wide: true,
        } => (Concern::Repository, class, next),
        Finding::Failed {
            class,
            repository_wide: false,
        } => (Concern::Ref, class, next),
        Finding::Gone => (Concern::Ref, ProblemClass::PullRequestGone, next),
        Finding::PullRequest(_) | Finding::Unchanged | Finding::NoPullRequest => {
            panic!("{outcome:?}")
        }
    }
}

#[tokio::test]
async fn each_signal_has_its_class_its_concern_and_its_next_attempt_and_others_go_on() {
    for (signal, class, concern, attempts) in rows() {
        let world = World::with(&signal).await;
        for (failures, expected) in attempts {
            let refreshed = world.refreshed(failures).await;
            let (found, of, next) = problem(&refreshed);
            assert_eq!((found, of), (concern, class));
            let next = next.as_secs();
            assert!(
                expected.contains(&next),
                "{class:?} after {failures}: {next} s"
            );
            // What is the repository's or the ref's own keeps no other of its user from its answer.
            if matches!(signal, Repository(_) | PullRequest(_)) {
                assert_eq!(refreshed.found("fine").shown.number, 1, "{class:?}");
            }
        }
        // And nothing keeps another user from theirs.
        let bob = world.github.user("bob");
        world.github.repository("acme/web").grant(&bob);
        let refs = vec![git_ref("bobs", "acme/web", "feature")];
        let of_bob = lease_of("bob", vec![group(&world.github, &bob.token(), refs)]);
        assert_eq!(
            refresh(&engine(), of_bob).await.found("bobs").shown.number,
            1,
            "{class:?}"
        );
    }
}
