//! Keys that a provider publishes over HTTP.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use service_runtime::token::{Claims, KeyMetrics, TokenError, Trust, Verifier};
use testkit::{clients::KeyPair, file::TempFile, jwks::Provider, tls::TlsFront, wait};
use tokio::task::AbortHandle;

use crate::{authenticate, claims, trust, verifier};

/// A verifier that has loaded the provider's keys.
struct Kept {
    verifier: Verifier,
    keeping: AbortHandle,
}

impl Kept {
    fn new(trust: Trust) -> Self {
        let verifier = verifier(trust);
        let keeping = tokio::spawn(verifier.keep(Default::default())).abort_handle();
        Self { verifier, keeping }
    }

    /// Of `provider`, which publishes the key of `good`.
    async fn of(provider: &Provider, good: &str) -> Self {
        let kept = Self::new(trust(&provider.url()));
        kept.accepts(good).await;
        kept
    }

    async fn accepts(&self, token: &str) {
        wait::until("the key is loaded", || async {
            self.verifier.verify(token)
        })
        .await;
    }

    async fn authenticate(&self, token: &str) -> Result<Claims, TokenError> {
        authenticate(&self.verifier, token).await
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

#[tokio::test]
async fn the_first_token_of_a_new_key_is_accepted_and_one_of_a_withdrawn_key_is_not() {
    let [old, new] = [(); 2].map(|()| KeyPair::rsa());
    let provider = Provider::start(&[&old]).await;
    let (of_old, of_new) = (old.issue(&claims()), new.issue(&claims()));
    let kept = Kept::of(&provider, &of_old).await;
    provider.publish(&[&new]);
    assert!(kept.authenticate(&of_new).await.is_ok());
    assert_eq!(provider.requests(), 2);
    assert_eq!(kept.verifier.verify(&of_old), Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn a_token_that_comes_before_the_first_load_waits_for_it() {
    let pair = KeyPair::p256();
    let provider = Provider::start(&[&pair]).await;
    provider.delay(Duration::from_millis(300));
    let kept = Kept::new(trust(&provider.url()));
    assert!(kept.authenticate(&pair.issue(&claims())).await.is_ok());
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_the_provider_one_request_a_second() {
    let pair = KeyPair::generate();
    let provider = Provider::start(&[&pair]).await;
    let kept = Kept::of(&provider, &pair.issue(&claims())).await;
    // So that they meet while the load is under way.
    provider.delay(Duration::from_millis(200));
    let strangers: Vec<_> = (0..10).map(|_| KeyPair::generate()).collect();
    let begun = Instant::now();
    for _ in 0..3 {
        let tokens: Vec<_> = strangers.iter().map(|key| key.issue(&claims())).collect();
        let storm = tokens.iter().cycle().take(200);
        for refused in join_all(storm.map(|token| kept.authenticate(token))).await {
            assert_eq!(refused, Err(TokenError::UnknownKey));
        }
    }
    // The first load, the first of the storm, and one for each second.
    let most = 2 + begun.elapsed().as_secs();
    let requests = provider.requests();
    assert!(
        u64::try_from(requests).unwrap() <= most,
        "{requests} of {most}"
    );
}

#[tokio::test]
async fn a_new_key_is_found_in_the_midst_of_a_storm_of_unknown_ones() {
    let [old, new, stranger] = [(); 3].map(|()| KeyPair::generate());
    let provider = Provider::start(&[&old]).await;
    let kept = Kept::of(&provider, &old.issue(&claims())).await;
    let unknown = stranger.issue(&claims());
    // A load has just been spent on it.
    assert_eq!(
        kept.authenticate(&unknown).await,
        Err(TokenError::UnknownKey)
    );
    provider.publish(&[&old, &new]);
    let (of_new, of_stranger) = (
        new.issue(&claims()),
        join_all((0..50).map(|_| kept.authenticate(&unknown))),
    );
    let (accepted, _) = futures_util::join!(kept.authenticate(&of_new), of_stranger);
    assert!(accepted.is_ok(), "{accepted:?}");
}

#[tokio::test]
async fn the_keys_loaded_last_stay_in_force_while_the_provider_fails() {
    let [pair, stranger] = [(); 2].map(|()| KeyPair::generate());
    let (good, unknown) = (pair.issue(&claims()), stranger.issue(&claims()));
    let too_large = format!("{{\"keys\": [], \"filler\": \"{}\"}}", "x".repeat(300_000));
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        (StatusCode::FOUND, String::new()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, "{\"keys\": []}".to_owned()),
        (StatusCode::OK, too_large),
    ] {
        let provider = Provider::start(&[&pair]).await;
        let mut registry = Registry::default();
        let metrics = KeyMetrics::register(&mut registry);
        let verifier = Verifier::new(trust(&provider.url()), &metrics);
        let keeping = tokio::spawn(verifier.keep(Default::default())).abort_handle();
        let kept = Kept { verifier, keeping };
        kept.accepts(&good).await;
        provider.answer(status, body.clone());
        // It may be a new key: which there are cannot be found out.
        let unavailable = Err(TokenError::KeysUnavailable);
        assert_eq!(
            kept.authenticate(&unknown).await,
            unavailable,
            "{status} {body:.9}"
        );
        assert!(kept.authenticate(&good).await.is_ok());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "jwt_key_sources_failing{verifier=\"test\"} 1",
            "jwt_keys{verifier=\"test\"} 1",
            "jwt_key_loads_total{verifier=\"test\",outcome=\"ok\"} 1",
            "jwt_key_loads_total{verifier=\"test\",outcome=\"failed\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_away_at_the_start_is_asked_again_and_nothing_is_known_before() {
    let pair = KeyPair::p384();
    let provider = Provider::start(&[]).await;
    provider.answer(StatusCode::SERVICE_UNAVAILABLE, "");
    let kept = Kept::new(trust(&provider.url()));
    let good = pair.issue(&claims());
    assert_eq!(
        kept.authenticate(&good).await,
        Err(TokenError::KeysUnavailable)
    );
    provider.publish(&[&pair]);
    kept.accepts(&good).await;
}

#[tokio::test]
async fn a_slow_provider_delays_calls_with_unknown_keys_alone_and_these_not_for_long() {
    let [pair, stranger] = [(); 2].map(|()| KeyPair::generate());
    let provider = Provider::start(&[&pair]).await;
    let good = pair.issue(&claims());
    let kept = Kept::of(&provider, &good).await;
    provider.delay(Duration::from_secs(60));
    let unknown = stranger.issue(&claims());
    let begun = Instant::now();
    let mut waiting = std::pin::pin!(kept.authenticate(&unknown));
    // Under way, and not over: the load has begun.
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(kept.authenticate(&good).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(waiting.await, Err(TokenError::KeysUnavailable));
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

/// As a Kubernetes API server has it: an authority of its own, and a token to be shown.
#[tokio::test]
async fn a_provider_with_a_private_authority_that_asks_for_a_token_is_asked_with_both() {
    let pair = KeyPair::rsa();
    let provider = Provider::start(&[&pair]).await;
    provider.ask_for("of-the-pod");
    let front = TlsFront::start(provider.address(), &["localhost"], &["http/1.1"]).await;
    let url = format!(
        "https://localhost:{}/openid/v1/jwks",
        front.address().port()
    );
    let authority = TempFile::new(front.authority());
    let bearer = TempFile::new("of-the-pod\n");
    let good = pair.issue(&claims());
    for (authorities, bearer, accepted) in [
        (Some(&authority), Some(&bearer), true),
        (Some(&authority), None, false),
        (None, Some(&bearer), false),
    ] {
        let kept = Kept::new(Trust {
            authorities: authorities.map(|file| file.path().to_owned()),
            bearer: bearer.map(|file| file.path().to_owned()),
            ..trust(&url)
        });
        let verified = kept.authenticate(&good).await;
        assert_eq!(verified.is_ok(), accepted, "{verified:?}");
    }
}
