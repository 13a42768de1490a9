//! Which tokens are renewed, and when; who does it, scenarios with both binaries show.

use std::path::PathBuf;

use proto::chat::v1::{self, CredentialState, ProblemClass};
use testkit::{
    github::{AppHandle, GitHub, Matching, TOKEN_PATH, Tokens},
    wait,
};
use uuid::Uuid;

use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, report, run, settle_all, value},
};

const CLIENT_ID: &str = "Iv23liTest";

/// A host with an app, whose secret is in a file that is gone at the end.
struct Host {
    github: GitHub,
    app: AppHandle,
    secret: PathBuf,
}

impl Host {
    async fn start() -> Self {
        let github = GitHub::start().await;
        let text = Uuid::new_v4().simple().to_string();
        let secret = std::env::temp_dir().join(format!("oauth-{}", Uuid::now_v7()));
        std::fs::write(&secret, &text).unwrap();
        let app = github.oauth_app(CLIENT_ID, &text);
        Self {
            github,
            app,
            secret,
        }
    }

    /// Runs `body` with a host, and a service that renews tokens there.
    async fn run(body: impl AsyncFnOnce(&Self, &Stack)) {
        let host = Self::start().await;
        Stack::run_with(
            |_, vars| {
                let secret = host.secret.display().to_string();
                for (name, value) in [
                    ("TYPE", "github"),
                    ("API_BASE_URL", &host.github.api_base_url()),
                    ("OAUTH_CLIENT_ID", CLIENT_ID),
                    ("OAUTH_CLIENT_SECRET_FILE", &secret),
                    ("OAUTH_TOKEN_URL", &host.github.token_url()),
                ] {
                    vars.insert(format!("GIT_PROVIDER_0_{name}"), value.to_owned());
                }
            },
            async |stack| body(&host, stack).await,
        )
        .await;
    }

    /// A user who signed in here, and a chat whose branch was reported.
    async fn owner<'a>(&self, stack: &'a Stack, says_when: bool) -> (Owner<'a>, v1::Chat) {
        let owner = Owner::unlinked(stack);
        self.link(&owner, says_when).await;
        let chat = owner.chat("feat/x").await;
        (owner, chat)
    }

    /// Links `owner` with tokens of a user who signs in, and says when they expire, or not.
    async fn link(&self, owner: &Owner<'_>, says_when: bool) -> Tokens {
        let tokens = self.app.sign_in(&self.github.user("ann"));
        let request = v1::LinkGitAccountRequest {
            provider_id: "github".to_owned(),
            access_token: tokens.access_token.clone(),
            refresh_token: Some(tokens.refresh_token.clone()),
            expires_at: says_when.then(|| at(tokens.expires_at())),
            ..v1::LinkGitAccountRequest::default()
        };
        let mut accounts = owner.stack.accounts(&owner.caller);
        accounts.link_git_account(request).await.unwrap();
        tokens
    }

    fn renewals(&self) -> usize {
        self.github.count(Matching::path(TOKEN_PATH))
    }

    async fn until_renewed(&self, times: usize) {
        wait::until("tokens are renewed", || async {
            if self.renewals() >= times {
                Ok(())
            } else {
                Err(self.renewals())
            }
        })
        .await;
    }
}

fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.secret);
    }
}

/// Lets the time come at which it is seen whether tokens are to be renewed.
async fn come(stack: &Stack) {
    run(stack, "UPDATE git_credentials SET renew_at = now()").await;
}

/// Waits until no credential's time has come any more.
async fn until_seen(stack: &Stack) {
    let left = "SELECT count(*) FROM git_credentials WHERE renew_at <= now()";
    wait::until("what has come is seen", || async {
        let left: i64 = value(stack, left).await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
}

async fn state(owner: &Owner<'_>) -> CredentialState {
    let request = v1::ListGitAccountsRequest::default();
    let mut accounts = owner.stack.accounts(&owner.caller);
    let list = accounts.list_git_accounts(request).await.unwrap();
    list.into_inner().accounts[0].credential_state()
}

async fn until_state(owner: &Owner<'_>, wanted: CredentialState) {
    wait::until("the credential is in that state", || async {
        let state = state(owner).await;
        if state == wanted { Ok(()) } else { Err(state) }
    })
    .await;
}

#[tokio::test]
async fn tokens_are_renewed_before_they_expire_where_something_is_planned_soon() {
    Host::run(async |host, stack| {
        let (busy, dormant) = (Owner::unlinked(stack), Owner::unlinked(stack));
        let first = host.link(&busy, true).await;
        host.link(&dormant, true).await;
        busy.chat("feat/x").await;
        let planned = "SELECT bool_and(c.renew_at BETWEEN c.expires_at - interval '20 minutes'
                AND c.expires_at - interval '15 minutes')
            FROM git_credentials c";
        assert!(value::<bool>(stack, planned).await);
        come(stack).await;
        host.until_renewed(1).await;
        until_seen(stack).await;
        assert_eq!(host.renewals(), 1, "the dormant account costs nothing");
        let put_off = "SELECT count(*) FROM git_credentials
            WHERE renew_at BETWEEN now() + interval '149 days' AND now() + interval '151 days'";
        assert_eq!(value::<i64>(stack, put_off).await, 1);
        let lease = Worker::of(stack).lease_one().await;
        let token = lease.access_token().unwrap();
        assert!(token != first.access_token, "it has the new one");
        assert_eq!(lease.credential().unwrap().generation, 2);
    })
    .await;
}

#[tokio::test]
async fn the_refresh_token_of_a_dormant_account_is_not_let_die() {
    Host::run(async |host, stack| {
        let dormant = Owner::unlinked(stack);
        host.link(&dormant, true).await;
        run(
            stack,
            "UPDATE git_credentials SET renew_at = now(), refresh_expires_at = now() + interval '29 days'",
        )
        .await;
        host.until_renewed(1).await;
        let renewed = "SELECT count(*) FROM git_credentials
            WHERE refresh_expires_at > now() + interval '183 days'";
        wait::until("the host's answer is stored", || async {
            let renewed: i64 = value(stack, renewed).await;
            if renewed == 1 { Ok(()) } else { Err(renewed) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_renewed_token_spends_the_budget_of_the_former_one_with_its_pause() {
    Host::run(async |host, stack| {
        host.owner(stack, true).await;
        run(
            stack,
            "UPDATE git_budgets SET paused_until = now() + interval '1 hour', pause_class = 'rate_limited',
                pause_lane = 1",
        )
        .await;
        come(stack).await;
        host.until_renewed(1).await;
        let noted = "SELECT count(*) FROM git_tokens t JOIN git_budgets b ON b.id = t.budget_id
            WHERE b.paused_until > now()";
        wait::until("the new token is known", || async {
            let noted: i64 = value(stack, noted).await;
            if noted == 2 { Ok(()) } else { Err(noted) }
        })
        .await;
        assert_eq!(value::<i64>(stack, "SELECT count(*) FROM git_budgets").await, 1);
        assert!(Worker::of(stack).lease().await.is_empty());
    })
    .await;
}

/// Of a token that does not say when it expires, the host's refusal is the first to be heard of.
#[tokio::test]
async fn a_refused_token_that_can_be_renewed_is_renewed_at_once() {
    Host::run(async |host, stack| {
        let (owner, _) = host.owner(stack, false).await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let refusing = refusal(&lease);
        worker.try_report(refusing).await.unwrap();
        host.until_renewed(1).await;
        until_state(&owner, CredentialState::Accepted).await;
        let leases = worker.wait_for_lease().await;
        assert_eq!(leases.len(), 1, "it is not tried in a minute, but now");
    })
    .await;
}

fn refusal(lease: &Leased) -> v1::ReportOutcomesRequest {
    let credential = lease.credential().unwrap();
    let mut refusing = report(&lease.0.lease_token, Vec::new());
    refusing.credentials = vec![v1::CredentialObservation {
        credential_id: credential.id.clone(),
        generation: credential.generation,
        refused: true,
        expires_at: None,
    }];
    refusing
}

#[tokio::test]
async fn a_refusal_of_what_can_be_neither_used_nor_renewed_changes_nothing() {
    Host::run(async |host, stack| {
        let (owner, chat) = host.owner(stack, true).await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        host.app.revoke(&host.github.user("ann"));
        for refused in 1..=2 {
            come(stack).await;
            host.until_renewed(refused).await;
            until_seen(stack).await;
        }
        until_state(&owner, CredentialState::Rejected).await;
        worker.try_report(refusal(&lease)).await.unwrap();
        assert_eq!(state(&owner).await, CredentialState::Rejected);
        let dead =
            "SELECT count(*) FROM git_accounts WHERE retry_at IS NULL AND next_due_at IS NULL";
        settle_all(stack).await;
        assert_eq!(value::<i64>(stack, dead).await, 1);
        let status = owner.status(&chat.id).await;
        let problem = status.problem.unwrap();
        assert_eq!(problem.class(), ProblemClass::CredentialRejected);
        assert_eq!(status.next_refresh_at, None);
    })
    .await;
}

/// Where no app is configured, or none any more, the host decides.
#[tokio::test]
async fn an_expired_token_that_cannot_be_renewed_here_is_leased() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let request = v1::LinkGitAccountRequest {
            provider_id: "github".to_owned(),
            access_token: "ghu_of_another_app".to_owned(),
            refresh_token: Some("ghr_of_another_app".to_owned()),
            expires_at: Some(at(1)),
            ..v1::LinkGitAccountRequest::default()
        };
        let mut accounts = stack.accounts(&owner.caller);
        accounts.link_git_account(request).await.unwrap();
        owner.chat("feat/x").await;
        let leases = Worker::of(stack).wait_for_lease().await;
        assert_eq!(leases.len(), 1);
    })
    .await;
}

/// A process that leased a renewal and died; its lease is as long as any.
#[tokio::test]
async fn a_renewal_that_is_leased_is_begun_by_no_other_process_before_that_lease_ends() {
    Host::run(async |host, stack| {
        host.owner(stack, true).await;
        run(
            stack,
            "UPDATE git_credentials SET renewal_lease = gen_random_uuid(),
                renew_at = now() + interval '1 minute', expires_at = now()",
        )
        .await;
        run(stack, "UPDATE git_accounts SET usable_until = now()").await;
        assert!(Worker::of(stack).lease().await.is_empty(), "it has expired");
        let held = "SELECT count(*) FROM git_accounts WHERE held_until > now() + interval '50 s'";
        assert_eq!(value::<i64>(stack, held).await, 1);
        assert_eq!(host.renewals(), 0);
        come(stack).await;
        let leases = Worker::of(stack).wait_for_lease().await;
        assert_eq!((leases.len(), host.renewals()), (1, 1));
    })
    .await;
}
