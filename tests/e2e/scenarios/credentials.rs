//! Credentials that a host refuses although they are good, and those of installations.

use std::time::Duration;

use e2e::{
    stack::{PROVIDER, REPOSITORY, Stack},
    warnings,
};
use proto::chat::v1::{
    self, CredentialState, Freshness, LinkGitAccountRequest, ListGitAccountsRequest, ProblemClass,
};
use testkit::{
    clients::Caller,
    github::{Fault, Matching},
    wait,
};

/// More than the budgets that may be doubted before the host is.
const USERS: usize = 6;

/// Lets the time pass after which everything that waits is tried again.
async fn let_time_pass(stack: &Stack) {
    let client = stack.database.client().await;
    for statement in [
        "UPDATE git_accounts SET retry_at = now() - interval '1 s',
            next_due_at = least(next_due_at, now()) WHERE retry_at IS NOT NULL",
        "UPDATE git_budgets SET rests_until = now() - interval '1 s' WHERE rests_until > now()",
        "UPDATE git_budgets b SET queue_at = now() WHERE queue_at > now() AND lease_token IS NULL
            AND EXISTS (
                SELECT FROM git_accounts a WHERE a.budget_id = b.id AND a.next_due_at <= now()
            )",
    ] {
        // One that meets the service's own in a deadlock is run again with the next look.
        let _ = client.execute(statement, &[]).await;
    }
}

async fn state(stack: &Stack, user: &Caller) -> CredentialState {
    let request = ListGitAccountsRequest::default();
    let list = stack.accounts(user).list_git_accounts(request).await;
    list.unwrap().into_inner().accounts[0].credential_state()
}

/// Promise 13. Two minutes are here as many rounds as there are tries in an hour and more.
#[tokio::test]
async fn no_good_credential_is_given_up_when_a_host_refuses_all_of_them_for_two_minutes() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::HOST_AWAY);
        stack.expect_warnings(&["the git host refused the credential of an account: suspect"]);
        let mut chats = Vec::new();
        for number in 0..USERS {
            let user = stack.linked_user(&format!("user-{number}")).await;
            let chat = stack.chat(&user).await;
            chats.push((user, chat));
        }
        stack
            .github
            .fault(Matching::any())
            .respond(Fault::BadCredentials);
        let worker = stack
            .worker_with(&[("GITSYNC_HOST_PROBE_AFTER", "100ms")])
            .await;
        for (user, chat) in &chats {
            stack.report(user, chat, REPOSITORY, "feature").await;
        }
        for tries in 1..=6 {
            let tried = stack.github.count(Matching::any());
            wait::until("the host is tried again", || async {
                let_time_pass(stack).await;
                let now = stack.github.count(Matching::any());
                if now > tried { Ok(()) } else { Err(now) }
            })
            .await;
            let mut doubted = 0;
            for (user, _) in &chats {
                let state = state(stack, user).await;
                assert_ne!(state, CredentialState::Rejected, "{tries}");
                doubted += usize::from(state == CredentialState::Suspect);
            }
            assert!(doubted <= 2, "{doubted} credentials are doubted");
        }
        // The host has been asked; the outcome is written when the report has arrived.
        wait::until("the host's failure is shown", || async {
            let_time_pass(stack).await;
            let mut classes = Vec::new();
            for (user, chat) in &chats {
                let status = stack.status(user, chat).await;
                classes.extend(status.problem.map(|problem| problem.class()));
            }
            if classes.contains(&ProblemClass::HostUnavailable) {
                Ok(())
            } else {
                Err(classes)
            }
        })
        .await;

        stack.github.clear_faults();
        // The circuit breaker tries once a minute at the latest.
        wait::within(Duration::from_secs(90), "all is well again", || async {
            let_time_pass(stack).await;
            for (user, chat) in &chats {
                let status = stack.status(user, chat).await;
                let accepted = state(stack, user).await == CredentialState::Accepted;
                if status.freshness() != Freshness::Fresh || !accepted {
                    return Err(status);
                }
            }
            Ok(())
        })
        .await;
        vec![worker]
    })
    .await;
}

/// The app shows itself as one user with each of them.
#[tokio::test]
async fn fifty_installation_tokens_of_one_app_are_fifty_budgets() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let mut chats = Vec::new();
        for number in 0..50 {
            let user = Caller::user();
            let installation = stack.github.installation("deploy", &format!("org-{number}"));
            let request = LinkGitAccountRequest {
                provider_id: PROVIDER.to_owned(),
                access_token: installation.token(),
                // Every other one is linked by a caller that does not say whose it is.
                installation_id: (number % 2 == 0).then(|| installation.id().to_string()),
                ..LinkGitAccountRequest::default()
            };
            let linked = stack.accounts(&user).link_git_account(request).await;
            linked.unwrap();
            let chat = stack.chat(&user).await;
            stack.report(&user, &chat, REPOSITORY, "feature").await;
            chats.push((user, chat));
        }
        for (user, chat) in &chats {
            let what = "it is looked up";
            stack
                .status_when(user, chat, what, |status| status.refreshed_at.is_some())
                .await;
        }
        let client = stack.database.client().await;
        let rows = client
            .query(
                "SELECT count(DISTINCT b.id), count(*) FILTER (WHERE b.budget_key LIKE '%|installation:%'),
                    count(b.account_id)
                 FROM git_accounts a JOIN git_budgets b ON b.id = a.budget_id",
                &[],
            )
            .await
            .unwrap();
        let count = |column| rows[0].try_get::<_, i64>(column).unwrap();
        assert_eq!([count(0), count(1), count(2)], [50, 25, 0]);
        vec![worker]
    })
    .await;
}

/// What the host's support asks for is in one line.
#[tokio::test]
async fn a_refusal_is_logged_with_the_hosts_request_id_and_what_limited_it() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::SLOWED_DOWN);
        let headers = [
            ("x-github-request-id", "ABCD:1234"),
            ("gh-limited-by", "cpu-budget"),
            ("retry-after", "60"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        stack.github.fault(Matching::any()).respond(Fault::Answer {
            status: 403,
            headers: headers.to_vec(),
            body: r#"{"message": "You have exceeded a secondary rate limit."}"#.to_owned(),
        });
        let user = stack.linked_user("ann").await;
        let chat = stack.chat(&user).await;
        let worker = stack.worker().await;
        stack.report(&user, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(
                &user,
                &chat,
                "it is paused",
                |status: &v1::ChatDiffStatus| status.freshness() == Freshness::Paused,
            )
            .await;
        let lines = worker.process.lines();
        let mut lines = lines
            .iter()
            .filter(|line| line.contains("the host refused a request"));
        let line = lines.next().expect("a line about the refusal");
        for said in ["ABCD:1234", "cpu-budget", "403", "127.0.0.1"] {
            assert!(line.contains(said), "{said} is not in {line}");
        }
        assert_eq!(lines.next(), None);
        vec![worker]
    })
    .await;
}
