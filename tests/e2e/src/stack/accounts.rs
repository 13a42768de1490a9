//! Users with accounts at the stand-in, and the app as which expiring tokens are renewed.

use std::time::Duration;

use proto::chat::v1::{CredentialState, GitAccount, LinkGitAccountRequest, ListGitAccountsRequest};
use testkit::{
    clients::Caller,
    github::{AppHandle, GitHub, TOKEN_PATH, Tokens},
};
use uuid::Uuid;

use super::{PROVIDER, Stack, directory::Directory};

/// The app's id at the stand-in.
const CLIENT_ID: &str = "Iv23liStandIn";
/// The file with its secret.
const SECRET_FILE: &str = "oauth.secret";

/// An app, whose secret is in a file.
pub(super) fn app(github: &GitHub, directory: &Directory) -> AppHandle {
    let secret = Uuid::new_v4().simple().to_string();
    std::fs::write(directory.file(SECRET_FILE), &secret).expect("write the client secret");
    github.oauth_app(CLIENT_ID, &secret)
}

/// What has chat-service renew tokens as the app.
pub(super) fn variables(
    github: &GitHub,
    directory: &Directory,
) -> impl Iterator<Item = (String, String)> {
    let secret = directory.file(SECRET_FILE).display().to_string();
    [
        ("CLIENT_ID", CLIENT_ID.to_owned()),
        ("CLIENT_SECRET_FILE", secret),
        ("TOKEN_URL", github.token_url()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("GIT_PROVIDER_0_OAUTH_{name}"), value))
}

impl Stack {
    /// A user with an account at the stand-in, linked.
    ///
    /// # Panics
    ///
    /// When linking fails.
    pub async fn linked_user(&self, login: &str) -> Caller {
        let caller = Caller::user();
        self.link(&caller, login).await;
        caller
    }

    /// Links `caller` with the stand-in's user `login`. Returns the token.
    ///
    /// # Panics
    ///
    /// When linking fails.
    pub async fn link(&self, caller: &Caller, login: &str) -> String {
        let token = self.github.user(login).token();
        let request = LinkGitAccountRequest {
            provider_id: PROVIDER.to_owned(),
            access_token: token.clone(),
            ..LinkGitAccountRequest::default()
        };
        self.accounts(caller)
            .link_git_account(request)
            .await
            .expect("link an account");
        token
    }

    /// Links `caller` with tokens of the stand-in's user `login` that expire.
    ///
    /// # Panics
    ///
    /// When linking fails.
    pub async fn link_expiring(&self, caller: &Caller, login: &str) -> Tokens {
        let tokens = self.oauth.sign_in(&self.github.user(login));
        let expires_at = prost_types::Timestamp {
            seconds: tokens.expires_at(),
            nanos: 0,
        };
        let request = LinkGitAccountRequest {
            provider_id: PROVIDER.to_owned(),
            access_token: tokens.access_token.clone(),
            refresh_token: Some(tokens.refresh_token.clone()),
            expires_at: Some(expires_at),
            ..LinkGitAccountRequest::default()
        };
        self.accounts(caller)
            .link_git_account(request)
            .await
            .expect("link an account");
        tokens
    }

    /// Replaces the app's secret that chat-service reads.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write_client_secret(&self, secret: &str) {
        std::fs::write(self.directory.file(SECRET_FILE), secret).expect("write the client secret");
    }

    /// The one account of `caller`.
    ///
    /// # Panics
    ///
    /// When the caller has no account.
    pub async fn account(&self, caller: &Caller) -> GitAccount {
        let request = ListGitAccountsRequest::default();
        let list = self.accounts(caller).list_git_accounts(request).await;
        let mut accounts = list.expect("list accounts").into_inner().accounts;
        accounts.pop().expect("an account")
    }

    /// Lets `time` pass for all that is planned, and at the stand-in, whose clock is `since` ahead
    /// then.
    ///
    /// # Panics
    ///
    /// When the database is away.
    pub async fn let_tokens_age(&self, time: Duration, since: Duration) {
        // Nothing is renewed by the one clock before the other is moved.
        let renewals = self.github.hold(TOKEN_PATH);
        let past = format!("interval '{} seconds'", time.as_secs());
        let moved = |table: &str, columns: &[&str], which: &str| {
            let sets = columns.iter().map(|of| format!("{of} = {of} - {past}"));
            let sets = sets.collect::<Vec<_>>().join(", ");
            format!("UPDATE {table} SET {sets} WHERE {which};")
        };
        let statements = [
            moved(
                "git_ref_polls",
                &["due_at", "early_at"],
                "due_at IS NOT NULL",
            ),
            moved(
                "git_accounts",
                &["usable_until", "held_until", "retry_at", "next_due_at"],
                "TRUE",
            ),
            moved(
                "git_credentials",
                &["expires_at", "refresh_expires_at", "renew_at"],
                "TRUE",
            ),
            moved(
                "git_budgets",
                &["queue_at", "rests_until"],
                "lease_token IS NULL",
            ),
        ];
        let all = format!("BEGIN; {} COMMIT;", statements.concat());
        let client = self.database.client().await;
        // One that meets the service's own in a deadlock is run again.
        testkit::wait::until("time passes", || async {
            let moved = client.batch_execute(&all).await;
            if moved.is_err() {
                let _ = client.batch_execute("ROLLBACK").await;
            }
            moved
        })
        .await;
        self.github
            .set_clock_skew(since.try_into().expect("a duration"));
        renewals.release();
    }

    /// Waits until the one account of `caller` is in this state.
    ///
    /// # Panics
    ///
    /// When it does not become so.
    pub async fn credential_when(&self, caller: &Caller, state: CredentialState) -> GitAccount {
        testkit::wait::until("the account is in that state", || async {
            let account = self.account(caller).await;
            if account.credential_state() == state {
                Ok(account)
            } else {
                Err(account)
            }
        })
        .await
    }
}
