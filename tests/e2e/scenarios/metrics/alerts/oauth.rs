//! What renews tokens that expire.

use std::time::Duration;

use e2e::stack::{REPOSITORY, Stack};
use testkit::{
    clients::Caller,
    github::{Fault, TOKEN_PATH},
};

use super::{nothing, prometheus};

/// As many as fail in a row before the endpoint is taken to be down, and one more.
const USERS: usize = 6;
/// How long the stand-in's access tokens live.
const LIFE: Duration = Duration::from_secs(8 * 60 * 60);

/// Users whose tokens expire, each with something to look up.
async fn users(stack: &Stack, of: &str) {
    for number in 0..USERS {
        let user = Caller::user();
        stack.link_expiring(&user, &format!("{of}-{number}")).await;
        let chat = stack.chat(&user).await;
        stack.report(&user, &chat, REPOSITORY, "feature").await;
    }
}

#[tokio::test]
async fn of_a_token_endpoint_that_fails_or_does_not_know_us_operators_hear() {
    Stack::run(async |stack| {
        stack.expect_warnings(&[
            "a token endpoint fails; tokens are renewed later",
            "a git host does not accept the OAuth client id or secret",
        ]);
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        let all = ["OauthDown", "OauthMisconfigured"];
        prometheus.until_quiet(&all, nothing).await;
        users(stack, "early").await;
        stack.github.fault(TOKEN_PATH).respond(Fault::Status(503));
        stack.let_tokens_age(LIFE, LIFE).await;
        prometheus.until_firing(&all[..1], nothing).await;
        stack.github.clear_faults();
        prometheus.until_quiet(&all, nothing).await;

        stack.oauth.set_secret("another-secret-of-the-app");
        users(stack, "late").await;
        stack.let_tokens_age(LIFE, 2 * LIFE).await;
        prometheus.until_firing(&all[1..], nothing).await;
        Vec::new()
    })
    .await;
}
