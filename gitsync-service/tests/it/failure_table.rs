//! The failure table: for each signal its class, what it concerns, and when to look again, while other
//! refs go on.

use std::{ops::RangeInclusive, time::Duration};

use gitsync_service::{lease::LeasedRef, outcome::CredentialState};
use testkit::github::{Barrier, Fault, GitHub, Matching, Overload, Resource};

use crate::support::{
    Refreshed, engine, git_ref, group, knowing, lease, lease_of, refresh, refresher,
    repository_wide, suspect, world,
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How something goes wrong for the ref `acme/bad`, `feature`.
enum Signal {
    /// With the whole answer, for this user only.
    Answer(Fault),
    /// With the repository.
    Repository(Barrier),
    /// With the pull request, which is linked.
    PullRequest(Barrier),
    /// With the budget.
    Spent,
    /// With the token.
    Revoked,
}

use Signal::{Answer, PullRequest, Repository, Revoked, Spent};

/// What a problem concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The ref, which fails.
    Ref,
    /// All refs of the repository.
    Repository,
    /// The budget or the credential: no ref has an outcome.
    Above,
}

/// The row of the table: signal, class, scope, and the seconds until the next attempt after so many
/// failures in a row.
type Row = (Signal, &'static str, Scope, [(u32, RangeInclusive<u64>); 2]);

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
            "rate_limited",
            Scope::Above,
            [(0, 1795..=1870), (5, 1795..=1870)],
        ),
        (
            secondary(200, None),
            "secondary_limited",
            Scope::Above,
            [(0, 55..=80), (5, 55..=80)],
        ),
        (
            secondary(403, Some(300)),
            "secondary_limited",
            Scope::Above,
            [(0, 295..=365), (5, 295..=365)],
        ),
        (
            Revoked,
            "credential_suspect",
            Scope::Above,
            [(0, 45..=75), (5, 45..=75)],
        ),
        (
            Answer(Fault::LockedOut),
            "account_locked",
            Scope::Above,
            [(0, HOUR - 5..=2 * HOUR), (10, HOUR - 5..=2 * HOUR)],
        ),
        (
            Answer(Fault::Suspended),
            "account_locked",
            Scope::Above,
            [(0, HOUR - 5..=2 * HOUR), (10, HOUR - 5..=2 * HOUR)],
        ),
        (
            Repository(Barrier::SingleSignOn),
            "sso_required",
            Scope::Repository,
            six_hours(),
        ),
        (
            Repository(Barrier::AddressNotAllowed),
            "address_not_allowed",
            Scope::Repository,
            six_hours(),
        ),
        (
            Repository(Barrier::NoPermission),
            "access_denied",
            Scope::Repository,
            hours(),
        ),
        (
            Answer(Fault::InsufficientScopes),
            "access_denied",
            Scope::Repository,
            hours(),
        ),
        (
            Repository(Barrier::NotFound),
            "repository_not_found",
            Scope::Repository,
            [(0, 1..=3), (2, 90..=150)],
        ),
        (
            Repository(Barrier::Blocked { status: 451 }),
            "repository_blocked",
            Scope::Repository,
            [
                (0, DAY * 4 / 5..=DAY * 6 / 5),
                (5, DAY * 4 / 5..=DAY * 6 / 5),
            ],
        ),
        (
            PullRequest(Barrier::NotFound),
            "gone",
            Scope::Ref,
            [(0, 4..=7), (0, 4..=7)],
        ),
        (
            PullRequest(Barrier::Null),
            "gone",
            Scope::Ref,
            [(0, 4..=7), (0, 4..=7)],
        ),
        (
            Answer(Fault::Status(503)),
            "host_unavailable",
            Scope::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::Reset),
            "host_unavailable",
            Scope::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::Overloaded(Overload::BadGateway)),
            "host_unavailable",
            Scope::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::Overloaded(Overload::NoTime)),
            "host_unavailable",
            Scope::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::Overloaded(Overload::ResourceLimits)),
            "query_too_heavy",
            Scope::Ref,
            ordinary(),
        ),
        (
            Answer(Fault::UnsupportedVersion { status: 410 }),
            "host_incompatible",
            Scope::Ref,
            quarter(),
        ),
        (
            Answer(Fault::UnsupportedVersion { status: 400 }),
            "host_incompatible",
            Scope::Ref,
            quarter(),
        ),
        (
            Answer(Fault::Status(422)),
            "host_incompatible",
            Scope::Ref,
            quarter(),
        ),
        (
            Answer(Fault::Html),
            "host_answer_invalid",
            Scope::Ref,
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

    /// What came of it after so many failures, beside a ref of the same user, of another repository.
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

#[tokio::test]
async fn each_signal_has_its_class_its_scope_and_its_next_attempt_and_others_go_on() {
    for (signal, class, scope, attempts) in rows() {
        let world = World::with(&signal).await;
        for (failures, expected) in attempts {
            let refreshed = world.refreshed(failures).await;
            assert_eq!(refreshed.class("bad"), class);
            let next = match refreshed.outcomes.get("bad") {
                Some(outcome) => {
                    let whole = if repository_wide(outcome) {
                        Scope::Repository
                    } else {
                        Scope::Ref
                    };
                    assert_eq!(whole, scope, "{class}");
                    outcome.next.refresh_in
                }
                None => {
                    assert_eq!(Scope::Above, scope, "{class}");
                    let refused = refreshed.credentials.first().map(|seen| seen.confirm_in);
                    refused.or(refreshed.pause().map(|pause| pause.duration))
                }
            };
            let next = next.unwrap().as_secs();
            assert!(
                expected.contains(&next),
                "{class} after {failures}: {next} s"
            );
            // What is the repository's or the ref's own keeps no other of its user from its answer.
            if matches!(signal, Repository(_) | PullRequest(_)) {
                assert!(refreshed.result("fine").is_ok(), "{class}");
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
            "{class}"
        );
    }
}

#[tokio::test]
async fn a_credential_that_was_refused_twice_is_not_tried_again() {
    for refresher in [engine(), refresher()] {
        let world = World::with(&Revoked).await;
        let group = suspect(group(&world.github, &world.token, vec![world.bad.clone()]));
        let refreshed = refresh(&refresher, lease(vec![group])).await;
        assert_eq!(refreshed.class("bad"), "credential_rejected");
        assert!(refreshed.outcomes.is_empty());
        assert_eq!(refreshed.credentials[0].state, CredentialState::Rejected);
    }
}
