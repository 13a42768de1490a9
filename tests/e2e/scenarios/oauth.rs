//! Tokens that expire: renewed by one process, stored before anything else, and never lost without
//! the account saying so.

use std::time::Duration;

use e2e::{
    stack::{PROVIDER, REPOSITORY, Stack, Worker},
    warnings,
};
use proto::chat::v1::{
    Chat, ChatDiffStatus, CredentialState, Freshness, LeaseDiffStatusesRequest, ProblemClass,
    PullRequestState, RefreshChatRequest,
};
use testkit::{
    clients::Caller,
    github::{Fault, Matching, TOKEN_PATH},
    http::metric,
    proxy::Mode,
    wait,
};
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long the stand-in's access tokens live.
const LIFE: Duration = Duration::from_secs(8 * 60 * 60);
/// More than a process waits before it tries a refused refresh token again.
const CONFIRMED: Duration = Duration::from_secs(120);

fn renewals(stack: &Stack) -> usize {
    stack.github.count(Matching::path(TOKEN_PATH))
}

/// Requests that were sent with a token which the host does not take.
fn refused(stack: &Stack) -> usize {
    let all = stack.github.requests();
    all.iter()
        .filter(|request| request.status == Some(401))
        .count()
}

/// A user whose tokens expire, with a chat that has an open pull request.
async fn user(stack: &Stack) -> (Caller, Chat) {
    let user = Caller::user();
    stack.link_expiring(&user, "ann").await;
    stack.github.pull_request(REPOSITORY).head("feature").open();
    let chat = stack.chat(&user).await;
    stack.report(&user, &chat, REPOSITORY, "feature").await;
    (user, chat)
}

async fn until_open(stack: &Stack, user: &Caller, chat: &Chat) -> ChatDiffStatus {
    let what = "the pull request is found";
    let open = |status: &ChatDiffStatus| status.pull_request_state() == PullRequestState::Open;
    stack.status_when(user, chat, what, open).await
}

async fn until_problem(stack: &Stack, user: &Caller, chat: &Chat, class: ProblemClass) {
    let what = format!("the problem is {class:?}");
    let shown = |status: &ChatDiffStatus| {
        status
            .problem
            .as_ref()
            .is_some_and(|problem| problem.class() == class)
    };
    stack.status_when(user, chat, &what, shown).await;
}

fn lease_request() -> LeaseDiffStatusesRequest {
    LeaseDiffStatusesRequest {
        request_id: Uuid::now_v7().to_string(),
        worker_id: "by hand".to_owned(),
        ..LeaseDiffStatusesRequest::default()
    }
}

/// Two replicas, each with a worker, and a hundred refs of one account.
#[tokio::test]
async fn an_expired_token_of_a_hundred_refs_is_renewed_by_one_request_of_all_replicas() {
    Stack::run(async |stack| {
        let user = Caller::user();
        let first = stack.link_expiring(&user, "ann").await;
        let mut chats = Vec::new();
        for number in 0..100 {
            let branch = format!("feature-{number}");
            stack.github.pull_request(REPOSITORY).head(&branch).open();
            let chat = stack.chat(&user).await;
            stack.report(&user, &chat, REPOSITORY, &branch).await;
            chats.push(chat);
        }
        let replica = stack.replica().await;
        let hold = stack.github.hold(TOKEN_PATH);
        stack.let_tokens_age(LIFE + HOUR, LIFE + HOUR).await;
        let workers = [
            stack.worker().await,
            stack.worker_at(replica.sync_url(), &[]).await,
        ];
        hold.waiting(1).await;
        // An expired token is never leased, by whichever replica, nor is a second request sent.
        let gitsync = Caller::service("gitsync");
        for _ in 0..10 {
            for url in [stack.sync_url(), replica.sync_url()] {
                let mut sync = stack.sync_at(url, &gitsync);
                let leases = sync.lease_diff_statuses(lease_request()).await.unwrap();
                assert_eq!(leases.into_inner().leases.len(), 0);
            }
        }
        hold.release();
        for chat in &chats {
            until_open(stack, &user, chat).await;
        }
        assert_eq!(renewals(stack), 1);
        assert_eq!(refused(stack), 0);
        assert!(!stack.github.revoke(&first.access_token), "it was replaced");
        for worker in workers {
            worker.process.stop().await;
        }
        replica.process.stop().await;
        Vec::new()
    })
    .await;
}

/// The host has replaced both tokens, and the new ones are lost.
#[tokio::test]
async fn an_account_whose_new_tokens_were_lost_on_the_way_says_that_it_is_to_be_linked_again() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let (user, chat) = user(stack).await;
        until_open(stack, &user, &chat).await;
        stack
            .github
            .fault(TOKEN_PATH)
            .once()
            .respond(Fault::Lost(502));
        stack.let_tokens_age(LIFE, LIFE).await;
        // A 502 is no verdict, nor is one refusal.
        until_problem(stack, &user, &chat, ProblemClass::CredentialSuspect).await;
        let account = stack.account(&user).await;
        assert_eq!(account.credential_state(), CredentialState::Accepted);
        assert_eq!(renewals(stack), 2);
        stack.let_tokens_age(CONFIRMED, LIFE + CONFIRMED).await;
        let account = stack
            .credential_when(&user, CredentialState::Rejected)
            .await;
        assert_eq!(
            account.retry_at, None,
            "nothing is tried before it is linked again"
        );
        until_problem(stack, &user, &chat, ProblemClass::CredentialRejected).await;
        let request = RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        let failed = stack.chats(&user).refresh_chat(request).await.unwrap_err();
        assert_eq!(failed.code(), tonic::Code::FailedPrecondition);
        stack
            .let_tokens_age(HOUR * 24, LIFE + CONFIRMED + HOUR * 24)
            .await;
        assert_eq!((renewals(stack), refused(stack)), (3, 0), "it was given up");

        stack.link_expiring(&user, "ann").await;
        let what = "it is looked up with the new token";
        let fresh = |status: &ChatDiffStatus| status.problem.is_none();
        stack.status_when(&user, &chat, what, fresh).await;
        vec![worker]
    })
    .await;
}

/// Killed between the host's answer and the commit.
#[tokio::test]
async fn a_crash_after_the_host_has_answered_is_shown_on_the_account() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        let (user, chat) = user(stack).await;
        let hold = stack.github.hold(TOKEN_PATH);
        stack.let_tokens_age(LIFE, LIFE).await;
        let worker = stack.worker().await;
        hold.waiting(1).await;
        stack.database_proxy.stall();
        hold.release();
        let answered = || async {
            let requests = stack.github.requests_to(TOKEN_PATH);
            if requests.iter().any(|request| request.status == Some(200)) {
                Ok(())
            } else {
                Err(requests)
            }
        };
        wait::until("the host has answered", answered).await;
        stack
            .chat_service
            .signal(testkit::process::Signal::Kill)
            .unwrap();
        stack.chat_service.wait().await;
        stack.database_proxy.restore();
        stack.restart_chat_service().await;
        // The lease of the dead process ends; the refresh token is used up.
        stack.let_tokens_age(CONFIRMED, LIFE).await;
        until_problem(stack, &user, &chat, ProblemClass::CredentialSuspect).await;
        stack.let_tokens_age(CONFIRMED, LIFE).await;
        stack
            .credential_when(&user, CredentialState::Rejected)
            .await;
        assert_eq!(refused(stack), 0);
        vec![worker]
    })
    .await;
}

/// The database hangs while the host answers: what came back is stored when it is there again.
#[tokio::test]
async fn what_the_host_gave_is_stored_however_long_the_database_is_away() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        stack.expect_warnings(&["renewed tokens are not stored yet; trying again"]);
        let (user, chat) = user(stack).await;
        let hold = stack.github.hold(TOKEN_PATH);
        stack.let_tokens_age(LIFE, LIFE).await;
        let worker = stack.worker().await;
        hold.waiting(1).await;
        stack.database_proxy.set(Mode::Cut);
        hold.release();
        stack
            .chat_service
            .wait_for_log("waits to store the tokens", |line| {
                line["fields"]["message"].as_str()
                    == Some("renewed tokens are not stored yet; trying again")
                    || line["message"].as_str()
                        == Some("renewed tokens are not stored yet; trying again")
            })
            .await;
        stack.database_proxy.restore();
        until_open(stack, &user, &chat).await;
        assert_eq!((renewals(stack), refused(stack)), (1, 0));
        let account = stack.account(&user).await;
        assert_eq!(account.credential_state(), CredentialState::Accepted);
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_renewal_that_comes_late_leaves_the_tokens_of_a_new_sign_in() {
    Stack::run(async |stack| {
        let (user, chat) = user(stack).await;
        let hold = stack.github.hold(TOKEN_PATH);
        stack.let_tokens_age(LIFE, LIFE).await;
        let worker = stack.worker().await;
        hold.waiting(1).await;
        let again = stack.link_expiring(&user, "ann").await;
        let linked = stack.account(&user).await;
        until_open(stack, &user, &chat).await;
        hold.release();
        let superseded = "chat_oauth_renewals_total{provider=\"github\",outcome=\"superseded\"}";
        wait::until("the late one is dropped", || async {
            let count: Option<u64> = metric(stack.ops_url(), superseded).await;
            if count == Some(1) { Ok(()) } else { Err(count) }
        })
        .await;
        let account = stack.account(&user).await;
        assert_eq!(account, linked);
        worker.process.stop().await;
        // The next lease has the token of the new sign-in.
        stack.report(&user, &chat, REPOSITORY, "another").await;
        let gitsync = Caller::service("gitsync");
        let token = wait::until("it is leased", || async {
            let mut sync = stack.sync(&gitsync);
            let leases = sync.lease_diff_statuses(lease_request()).await.unwrap();
            let lease = leases.into_inner().leases.pop().ok_or("nothing is due")?;
            let credential = lease
                .groups
                .into_iter()
                .next()
                .and_then(|group| group.credential);
            credential
                .map(|credential| credential.access_token)
                .ok_or("no credential")
        })
        .await;
        assert!(token == again.access_token, "the token is another one's");
        Vec::new()
    })
    .await;
}

/// Nine times in three days, each time found by a claim.
#[tokio::test]
async fn an_account_with_tokens_of_eight_hours_works_for_three_days() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let (user, chat) = user(stack).await;
        until_open(stack, &user, &chat).await;
        let mut now = Duration::ZERO;
        for day_part in 1..=9_usize {
            now += LIFE;
            stack.let_tokens_age(LIFE, now).await;
            let request = RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            stack.chats(&user).refresh_chat(request).await.unwrap();
            assert_eq!(renewals(stack), day_part);
        }
        assert_eq!(refused(stack), 0);
        let account = stack.account(&user).await;
        assert_eq!(account.credential_state(), CredentialState::Accepted);
        vec![worker]
    })
    .await;
}

/// Has renewals that failed tried again now.
async fn try_again(stack: &Stack) {
    let client = stack.database.client().await;
    let statement = "UPDATE git_credentials SET renew_at = now()
        WHERE renewal_failures > 0 AND renewal_lease IS NULL";
    client.execute(statement, &[]).await.unwrap();
}

/// Promise 13, for renewals.
#[tokio::test]
async fn a_token_endpoint_that_fails_is_no_verdict_on_the_account() {
    Stack::run(async |stack| {
        stack.expect_warnings(&["a token endpoint fails; tokens are renewed later"]);
        let worker = stack.worker().await;
        let (user, chat) = user(stack).await;
        until_open(stack, &user, &chat).await;
        let mut now = Duration::ZERO;
        let faults = [
            Fault::Status(500),
            Fault::Html,
            Fault::Reset,
            Fault::Answer {
                status: 200,
                headers: Vec::new(),
                body: r#"{"error":"temporarily_unavailable"}"#.to_owned(),
            },
            Fault::RedirectHost {
                status: 307,
                base: "http://127.0.0.1:9".to_owned(),
            },
        ];
        for (failed, fault) in (1..).zip(faults) {
            stack.github.fault(TOKEN_PATH).once().respond(fault);
            now += LIFE;
            stack.let_tokens_age(LIFE, now).await;
            let outcome = |of: &str| {
                format!("chat_oauth_renewals_total{{provider=\"github\",outcome=\"{of}\"}}")
            };
            wait::until("it fails once, and then works", || async {
                let mut counts = Vec::new();
                for of in ["failed", "renewed"] {
                    let count: Option<u64> = metric(stack.ops_url(), &outcome(of)).await;
                    counts.push(count);
                }
                if counts == [Some(failed); 2] {
                    Ok(())
                } else {
                    Err(counts)
                }
            })
            .await;
            // No lookup is under way when the clocks are moved.
            let what = "it is looked up with the new token";
            let fresh = |status: &ChatDiffStatus| status.freshness() == Freshness::Fresh;
            stack.status_when(&user, &chat, what, fresh).await;
            let account = stack.account(&user).await;
            assert_eq!(account.credential_state(), CredentialState::Accepted);
        }

        let fault = stack.github.fault(TOKEN_PATH).respond(Fault::Status(503));
        stack.let_tokens_age(LIFE, now + LIFE).await;
        until_problem(stack, &user, &chat, ProblemClass::HostUnavailable).await;
        let account = stack.account(&user).await;
        assert_eq!(account.credential_state(), CredentialState::Accepted);
        let open = format!("chat_oauth_breaker_open{{provider=\"{PROVIDER}\"}}");
        wait::until("the breaker opens", || async {
            try_again(stack).await;
            let open: Option<u64> = metric(stack.ops_url(), &open).await;
            if open == Some(1) { Ok(()) } else { Err(open) }
        })
        .await;
        assert_eq!(fault.hits(), 5, "it is not asked again and again");
        assert_eq!(refused(stack), 0);
        vec![worker]
    })
    .await;
}

/// The operator's mistake: no user has to link again.
#[tokio::test]
async fn a_wrong_client_secret_is_a_metric_and_one_warning_and_no_users_problem() {
    Stack::run(async |stack| {
        stack.expect_warnings(&["a git host does not accept the OAuth client id or secret"]);
        let mut users = Vec::new();
        for number in 0..3 {
            let user = Caller::user();
            stack.link_expiring(&user, &format!("user-{number}")).await;
            let chat = stack.chat(&user).await;
            stack.report(&user, &chat, REPOSITORY, "feature").await;
            users.push((user, chat));
        }
        stack.oauth.set_secret("another secret of the app");
        stack.let_tokens_age(LIFE, LIFE).await;
        let worker = stack.worker().await;
        for (user, chat) in &users {
            until_problem(stack, user, chat, ProblemClass::HostUnavailable).await;
            let account = stack.account(user).await;
            assert_eq!(account.credential_state(), CredentialState::Accepted);
        }
        let misconfigured = format!("chat_oauth_misconfigured{{provider=\"{PROVIDER}\"}}");
        assert_eq!(metric(stack.ops_url(), &misconfigured).await, Some(1));
        try_again(stack).await;
        let lines = stack.chat_service.lines();
        let warnings = lines
            .iter()
            .filter(|line| line.contains("client id or secret"));
        assert_eq!(warnings.count(), 1, "one warning for the transition");

        stack.write_client_secret("another secret of the app");
        wait::within(Duration::from_secs(60), "all is well again", || async {
            try_again(stack).await;
            for (user, chat) in &users {
                let status = stack.status(user, chat).await;
                if status.refreshed_at.is_none() || status.problem.is_some() {
                    return Err(status);
                }
            }
            Ok(())
        })
        .await;
        assert_eq!(metric(stack.ops_url(), &misconfigured).await, Some(0));
        assert_eq!(refused(stack), 0);
        vec![worker]
    })
    .await;
}

/// The worker has leased a token, which is renewed before the host refuses it.
#[tokio::test]
async fn a_refusal_of_a_token_that_was_renewed_meanwhile_dooms_nothing() {
    Stack::run(async |stack| {
        let (user, chat) = user(stack).await;
        let hold = stack.github.hold(Matching::graphql());
        let worker: Worker = stack.worker().await;
        hold.waiting(1).await;
        // Its time comes while the lookup is under way.
        stack.let_tokens_age(LIFE - HOUR / 10, LIFE).await;
        wait::until("it is renewed", || async {
            if renewals(stack) == 1 {
                Ok(())
            } else {
                Err(renewals(stack))
            }
        })
        .await;
        let renewed = stack
            .credential_when(&user, CredentialState::Accepted)
            .await;
        hold.release();
        until_open(stack, &user, &chat).await;
        assert!(refused(stack) >= 1, "the former token was refused");
        let account = stack.account(&user).await;
        assert_eq!(account.credential_state(), CredentialState::Accepted);
        assert_eq!(account.retry_at, None);
        assert!(renewed.expires_at.is_some());
        vec![worker]
    })
    .await;
}
