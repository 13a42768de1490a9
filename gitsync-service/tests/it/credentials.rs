//! Tokens that the host refuses: once, again, or no more.

use std::{sync::Arc, time::Duration};

use gitsync_service::worker::Refresher;
use proto::sync::{
    BudgetView, CredentialState, Finding, Lease, LeaseGroup, LeasedRef, ProblemClass,
};
use testkit::github::{Fault, GitHub, Matching};

use crate::support::{engine, git_ref, group, lease, paths, refresh, refresher, world};

fn refs() -> Vec<LeasedRef> {
    (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect()
}

fn with_state(github: &GitHub, token: &str, suspect: bool) -> Arc<Lease> {
    let mut group = group(github, token, refs());
    if let Some(credential) = &mut group.credential {
        credential.suspect = suspect;
    }
    lease(vec![group])
}

fn both() -> [Refresher; 2] {
    [engine(), refresher()]
}

fn account(group: &LeaseGroup) -> proto::sync::GitAccountId {
    group.credential.as_ref().unwrap().account
}

/// No ref has an outcome: all stay due with what is known.
#[tokio::test]
async fn a_dead_token_costs_at_most_two_requests() {
    for refresher in both() {
        let (github, token) = world().await;
        github.revoke(&token);
        let lease = with_state(&github, &token, false);
        let refreshed = refresh(&refresher, Arc::clone(&lease)).await;
        assert!(refreshed.outcomes.is_empty());
        let [seen] = refreshed.credentials.as_slice() else {
            panic!("{refreshed:?}");
        };
        assert_eq!(
            (seen.account, seen.generation),
            (account(&lease.groups[0]), 1)
        );
        assert_eq!(seen.state, CredentialState::Suspect);
        assert!(seen.confirm_in.as_secs() >= 45);

        let lease = with_state(&github, &token, true);
        let refreshed = refresh(&refresher, lease).await;
        assert!(refreshed.outcomes.is_empty());
        assert_eq!(refreshed.credentials[0].state, CredentialState::Rejected);
        assert_eq!(github.requests().len(), 2);
        assert_eq!(github.failed_logins("ann"), 2);
    }
}

#[tokio::test]
async fn a_good_token_that_was_refused_once_is_accepted_again_and_all_goes_on() {
    for refresher in both() {
        let (github, token) = world().await;
        github
            .fault(Matching::any())
            .once()
            .respond(Fault::BadCredentials);
        let lease = with_state(&github, &token, false);
        let refreshed = refresh(&refresher, lease).await;
        assert_eq!(refreshed.problem("r0"), ProblemClass::CredentialSuspect);

        let lease = with_state(&github, &token, true);
        let refreshed = refresh(&refresher, lease).await;
        assert_eq!(refreshed.credentials[0].state, CredentialState::Accepted);
        assert_eq!(refreshed.outcomes.len(), 30);
        for outcome in refreshed.outcomes.values() {
            assert_eq!(outcome.finding, Finding::NoPullRequest);
        }
    }
}

/// Longer than the first request of a lease keeps other credentials waiting.
const SLOW: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn one_request_alone_finds_out_about_a_token_however_long_it_takes() {
    for suspect in [false, true] {
        for refresher in both() {
            let (github, token) = world().await;
            github.revoke(&token);
            github.latency(SLOW);
            let lease = with_state(&github, &token, suspect);
            let refreshed = refresh(&refresher, lease).await;
            assert!(refreshed.outcomes.is_empty());
            assert_eq!(github.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_dead_token_costs_one_request_also_where_there_is_no_graphql_or_no_answer_at_first() {
    for fault in [Fault::Status(404), Fault::Status(502), Fault::Reset] {
        for suspect in [false, true] {
            let (github, token) = world().await;
            github.revoke(&token);
            github.latency(SLOW);
            let what = format!("{fault:?}, {suspect}");
            github.fault(Matching::any()).once().respond(fault.clone());
            let lease = with_state(&github, &token, suspect);
            let refreshed = refresh(&engine(), lease).await;
            let seen = refreshed.credentials.iter();
            let accepted = seen.filter(|seen| seen.state == CredentialState::Accepted);
            assert_eq!(accepted.count(), 0, "{what}");
            assert!(github.failed_logins("ann") <= 1, "{what}");
        }
    }
}

/// The question whose account it is comes first where that is not known, and it is the only one.
#[tokio::test]
async fn a_dead_token_of_an_unknown_account_costs_one_request() {
    let (github, token) = world().await;
    github.revoke(&token);
    github.latency(SLOW);
    let lease = Arc::new(Lease {
        budget: BudgetView::default(),
        ..Lease::clone(&with_state(&github, &token, false))
    });
    refresh(&refresher(), lease).await;
    assert_eq!(paths(&github), ["/user"]);
}

#[tokio::test]
async fn a_dead_token_of_one_group_stops_no_other() {
    let (github, token) = world().await;
    let other = github.user("ann").token();
    github.revoke(&token);
    let lease = lease(vec![
        group(&github, &token, vec![git_ref("dead", "acme/web", "a")]),
        group(&github, &other, vec![git_ref("alive", "acme/web", "a")]),
    ]);
    let dead = account(&lease.groups[0]);
    let refreshed = refresh(&engine(), lease).await;
    assert!(refreshed.is_unsent("dead"));
    assert_eq!(*refreshed.finding("alive"), Finding::NoPullRequest);
    // That a good one is good is no news.
    let accounts = refreshed.credentials.iter().map(|seen| seen.account);
    assert_eq!(accounts.collect::<Vec<_>>(), [dead]);
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_rejected_without_a_request() {
    let (github, _) = world().await;
    let lease = with_state(&github, "two\nlines", false);
    let refreshed = refresh(&engine(), lease).await;
    assert_eq!(refreshed.problem("r0"), ProblemClass::CredentialRejected);
    assert!(github.requests().is_empty());
}
