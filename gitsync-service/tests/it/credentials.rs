//! Tokens that the host refuses: once, again, or no more.

use std::{sync::Arc, time::Duration};

use gitsync_service::worker::Refresher;
use jiff::Timestamp;
use proto::sync::{BudgetView, Finding, Lease, LeaseGroup, LeasedRef, ProblemClass};
use testkit::github::{Fault, GitHub, Matching};

use crate::support::{
    engine, git_ref, group, lease, lease_of, lease_with, paths, refresh, refresher, world,
};

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

/// How many requests came with a token that the host refuses.
fn failed_logins(github: &GitHub) -> usize {
    let requests = github.requests();
    requests
        .iter()
        .filter(|request| request.status == Some(401))
        .count()
}

/// No ref has an outcome: all stay due with what is known. How often it is tried, chat-service
/// says.
#[tokio::test]
async fn a_dead_token_costs_one_request_a_lease() {
    for refresher in both() {
        let (github, token) = world().await;
        github.revoke(&token);
        for (tries, suspect) in [(1, false), (2, true), (3, true)] {
            let lease = with_state(&github, &token, suspect);
            let refreshed = refresh(&refresher, Arc::clone(&lease)).await;
            assert!(refreshed.outcomes.is_empty());
            let [seen] = refreshed.credentials.as_slice() else {
                panic!("{refreshed:?}");
            };
            let of = (seen.account, seen.generation, seen.refused);
            assert_eq!(of, (account(&lease.groups[0]), 1, true));
            assert_eq!(github.requests().len(), tries);
            assert_eq!(failed_logins(&github), tries);
        }
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
        assert!(!refreshed.credentials[0].refused);
        assert_eq!(refreshed.outcomes.len(), 30);
        for outcome in refreshed.outcomes.values() {
            assert_eq!(outcome.finding, Finding::NoPullRequest);
        }
    }
}

/// Promise 13. GitHub has such minutes: it refuses good tokens, and says nothing else.
#[tokio::test]
async fn a_host_that_refuses_the_tokens_of_several_budgets_is_unavailable_and_no_token_is_doubted()
{
    for refresher in both() {
        let (github, _) = world().await;
        let tokens: Vec<String> = (0..5)
            .map(|n| github.user(&format!("u{n}")).token())
            .collect();
        let _refusing = github.fault(Matching::any()).respond(Fault::BadCredentials);
        let mut refreshed = Vec::new();
        for token in &tokens {
            let group = group(&github, token, vec![git_ref("r", "acme/web", "a")]);
            refreshed.push(refresh(&refresher, lease_of(token, vec![group])).await);
        }
        let doubted: Vec<usize> = refreshed.iter().map(|of| of.credentials.len()).collect();
        // The first two may have been dead.
        assert_eq!(doubted, [1, 1, 0, 0, 0]);
        for of in &refreshed[2..] {
            assert_eq!(of.problem("r"), ProblemClass::HostUnavailable);
        }
        assert_eq!(github.requests().len(), 3, "its circuit breaker is open");
    }
}

#[tokio::test]
async fn dead_tokens_among_good_ones_are_reported_as_refused() {
    let refresher = engine();
    let (github, _) = world().await;
    for number in 0..8 {
        let token = github.user(&format!("u{number}")).token();
        let is_dead = number % 2 == 1;
        if is_dead {
            github.revoke(&token);
        }
        let group = group(&github, &token, vec![git_ref("r", "acme/web", "a")]);
        let refreshed = refresh(&refresher, lease_of(&token, vec![group])).await;
        let refused = refreshed.credentials.iter().filter(|seen| seen.refused);
        assert_eq!(refused.count(), usize::from(is_dead), "{number}");
        assert_eq!(refreshed.is_unsent("r"), is_dead);
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
            let accepted = seen.filter(|seen| !seen.refused);
            assert_eq!(accepted.count(), 0, "{what}");
            assert!(failed_logins(&github) <= 1, "{what}");
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
async fn a_token_that_cannot_be_sent_is_refused_without_a_request() {
    let (github, _) = world().await;
    let lease = with_state(&github, "two\nlines", false);
    let refreshed = refresh(&engine(), lease).await;
    assert_eq!(refreshed.problem("r0"), ProblemClass::CredentialSuspect);
    assert!(github.requests().is_empty());
}

/// An app is one user for all its installations, whose limits are their own.
#[tokio::test]
async fn an_installation_is_never_taken_for_its_apps_user() {
    for (refresher, asks) in [(engine(), 0), (refresher(), 1)] {
        let (github, _) = world().await;
        let app = github.installation("deploy", "acme");
        github.repository("acme/web").grant(&app);
        let other = "gho_of_an_app";
        app.add_token(other);
        let token = app.token();
        for token in [token.as_str(), other] {
            let group = group(&github, token, vec![git_ref("r", "acme/web", "a")]);
            let lease = lease_with(token, vec![group], BudgetView::default());
            let refreshed = refresh(&refresher, lease).await;
            assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest);
            let named = refreshed.budget.and_then(|budget| budget.account_id);
            assert_eq!(named, None, "{token}");
        }
        // What begins as an installation's token is not even asked whose it is.
        assert_eq!(github.count("/user"), asks);
    }
}

#[tokio::test]
async fn a_tokens_expiry_is_reported_once_it_differs_from_the_known_one() {
    let (github, token) = world().await;
    for (header, seconds) in [
        ("2026-12-31 12:00:00 UTC", Some(1_798_718_400)),
        ("2026-12-31 12:00:00 -0500", Some(1_798_736_400)),
        ("soon", None),
    ] {
        github.set_token_expiry(header);
        let expires_at = seconds.map(|at| Timestamp::from_second(at).unwrap());
        for known in [None, expires_at] {
            let mut group = group(&github, &token, vec![git_ref("r", "acme/web", "a")]);
            group.credential.as_mut().unwrap().expires_at = known;
            let refreshed = refresh(&engine(), lease(vec![group])).await;
            let seen = refreshed.credentials.first();
            let news = expires_at.filter(|_| known.is_none());
            assert_eq!(seen.and_then(|seen| seen.expires_at), news, "{header}");
        }
    }
}
