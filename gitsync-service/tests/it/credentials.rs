//! Tokens that the host refuses: once, again, or no more.

use std::{sync::Arc, time::Duration};

use gitsync_service::{
    lease::{BudgetView, Lease, LeasedRef},
    outcome::{CredentialState, ProblemClass},
    refresh::Refresher,
};
use proto::sync::GitAccountId;
use testkit::github::{Fault, GitHub, Matching};

use crate::support::{
    FENCE, engine, git_ref, group, id, lease, paths, refresh_with_credentials, refresher, result,
    suspect, world,
};

fn refs() -> Vec<LeasedRef> {
    (0..30)
        .map(|index| git_ref(&format!("r{index}"), "acme/web", &format!("b{index}")))
        .collect()
}

fn with_state(github: &GitHub, token: &str, is_suspect: bool) -> Arc<Lease> {
    let group = group(github, token, refs());
    lease(vec![if is_suspect { suspect(group) } else { group }])
}

fn both() -> [Refresher; 2] {
    [engine(), refresher()]
}

#[tokio::test]
async fn a_dead_token_costs_at_most_two_requests() {
    for refresher in both() {
        let (github, token) = world().await;
        github.revoke(&token);
        let lease = with_state(&github, &token, false);
        let (refreshed, seen) = refresh_with_credentials(&refresher, lease).await;
        assert!(refreshed.outcomes.is_empty());
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].account.0, id("account"));
        assert_eq!(seen[0].generation, FENCE.generation);
        assert_eq!(seen[0].state, CredentialState::Suspect);
        assert!(seen[0].confirm_in.as_secs() >= 45);

        let lease = with_state(&github, &token, true);
        let (refreshed, seen) = refresh_with_credentials(&refresher, lease).await;
        assert!(refreshed.outcomes.is_empty());
        assert_eq!(seen[0].state, CredentialState::Rejected);
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
        let (refreshed, _) = refresh_with_credentials(&refresher, lease).await;
        assert_eq!(refreshed.withheld("r0"), ProblemClass::CredentialSuspect);

        let lease = with_state(&github, &token, true);
        let (refreshed, seen) = refresh_with_credentials(&refresher, lease).await;
        assert_eq!(seen[0].state, CredentialState::Accepted);
        assert_eq!(refreshed.outcomes.len(), 30);
        assert!(
            refreshed
                .outcomes
                .values()
                .all(|outcome| result(outcome).is_ok())
        );
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
            let (refreshed, _) = refresh_with_credentials(&refresher, lease).await;
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
            let (_, seen) = refresh_with_credentials(&engine(), lease).await;
            let refused = [CredentialState::Suspect, CredentialState::Rejected];
            assert!(seen.iter().all(|seen| refused.contains(&seen.state)));
            assert!(github.failed_logins("ann") <= 1, "{what}");
        }
    }
}

/// The question whose account it is comes first where nobody knows, and it is the only one.
#[tokio::test]
async fn a_dead_token_of_an_unknown_account_costs_one_request() {
    let (github, token) = world().await;
    github.revoke(&token);
    github.latency(SLOW);
    let lease = Arc::new(Lease {
        budget: BudgetView::default(),
        ..Lease::clone(&with_state(&github, &token, false))
    });
    refresh_with_credentials(&refresher(), lease).await;
    assert_eq!(paths(&github), ["/user"]);
}

#[tokio::test]
async fn a_dead_token_of_one_group_stops_no_other() {
    let (github, token) = world().await;
    let other = github.user("ann").token();
    github.revoke(&token);
    let mut alive = group(&github, &other, vec![git_ref("alive", "acme/web", "a")]);
    alive.credential.as_mut().unwrap().account = GitAccountId(id("other"));
    let lease = lease(vec![
        group(&github, &token, vec![git_ref("dead", "acme/web", "a")]),
        alive,
    ]);
    let (refreshed, seen) = refresh_with_credentials(&engine(), lease).await;
    assert_eq!(refreshed.withheld("dead"), ProblemClass::CredentialSuspect);
    assert!(refreshed.result("alive").is_ok());
    assert_eq!(seen.len(), 1, "that a good one is good is no news");
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_rejected_without_a_request() {
    let (github, _) = world().await;
    let lease = with_state(&github, "two\nlines", false);
    let (refreshed, seen) = refresh_with_credentials(&engine(), lease).await;
    assert_eq!(refreshed.withheld("r0"), ProblemClass::CredentialRejected);
    assert_eq!(seen[0].state, CredentialState::Rejected);
    assert!(github.requests().is_empty());
}
