//! Who a call is by, on each listener: by its token and by the certificate of its connection.

use chat_service::{
    auth::{Auth, ServiceNames, SyncAuth},
    authz::Principal,
};
use http::{Extensions, HeaderMap};
use service_runtime::{peer::PeerNames, token::Verifier};
use testkit::clients::{Caller, KEYS};

fn verifier() -> Verifier {
    Verifier::from_public_key_pem(KEYS.public_pem.as_bytes()).unwrap()
}

fn headers(token: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().unwrap();
        headers.insert("authorization", bearer);
    }
    headers
}

/// A caller of another issuer, whose tokens do not say of which kind they are.
fn unnamed(sub: &str) -> Caller {
    let mut caller = Caller::user();
    caller.claims.kind = None;
    sub.clone_into(&mut caller.claims.sub);
    caller
}

fn service(name: &str) -> Option<String> {
    Some(format!("service:{name}"))
}

#[test]
fn a_token_is_of_a_service_if_it_says_so_or_its_subject_is_named_as_one() {
    let services: ServiceNames = "system:serviceaccount:chat:platform=internal, a=b=batch"
        .parse()
        .unwrap();
    let auth = Auth::new(verifier(), services);
    let user = Caller::user();
    let mut pretender = Caller::user();
    "a=b".clone_into(&mut pretender.claims.sub);
    for (caller, name) in [
        (user.clone(), Some(format!("user:{}", user.id()))),
        (unnamed(&user.id()), Some(format!("user:{}", user.id()))),
        (Caller::internal(), service("internal")),
        (Caller::service("other"), service("other")),
        (Caller::service("a=b"), service("batch")),
        (unnamed("a=b"), service("batch")),
        (
            unnamed("system:serviceaccount:chat:platform"),
            service("internal"),
        ),
        // Not named, and no user's id.
        (unnamed("internal"), None),
        (unnamed("system:serviceaccount:chat:other"), None),
        (Caller::service("no name"), None),
        (Caller::service(""), None),
        // It says that it is a user's.
        (pretender, None),
    ] {
        let known = auth.caller(&headers(Some(&caller.token())));
        let known = known.map(|caller| caller.principal.name());
        assert_eq!(known.as_ref().ok(), name.as_ref(), "{known:?}");
    }
}

#[test]
fn names_of_services_are_pairs() {
    for (text, accepted) in [
        ("", true),
        ("a=b", true),
        ("a=b=c,d=e", true),
        ("a", false),
        ("a=", false),
        ("=a", false),
        ("a=b c", false),
    ] {
        assert_eq!(text.parse::<ServiceNames>().is_ok(), accepted, "{text}");
    }
}

#[tokio::test]
async fn on_the_listener_of_gitsync_a_token_counts_and_without_one_the_certificate() {
    let services: ServiceNames = "system:serviceaccount:chat:gitsync=gitsync"
        .parse()
        .unwrap();
    let ours = "spiffe://cluster.local/ns/chat/sa/gitsync";
    let names = vec![ours.to_owned(), "gitsync.internal".to_owned()];
    let listed = SyncAuth::new(verifier(), services.clone(), names);
    let unlisted = SyncAuth::new(verifier(), services, Vec::new());
    let gitsync = Caller::gitsync().token();
    let projected = unnamed("system:serviceaccount:chat:gitsync").token();
    let internal = Caller::internal().token();
    let operator = Caller::user().site("admin").token();
    let expired = Caller::gitsync().expires(1).token();
    let other: &[&str] = &["other.internal"];
    for (token, certificate, auth, answer) in [
        (Some(&gitsync), None, &listed, "gitsync"),
        (Some(&projected), None, &listed, "gitsync"),
        (None, Some(&[ours][..]), &listed, "gitsync"),
        (
            None,
            Some(&["x.internal", "gitsync.internal"]),
            &listed,
            "gitsync",
        ),
        (Some(&gitsync), Some(&[ours]), &listed, "gitsync"),
        (Some(&gitsync), Some(other), &listed, "gitsync"),
        (None, None, &listed, "a bearer token is required"),
        (None, Some(other), &listed, "not allowed: SyncService"),
        (
            None,
            Some(&["Gitsync.internal.example"]),
            &listed,
            "not allowed: SyncService",
        ),
        (None, Some(&[]), &listed, "not allowed: SyncService"),
        (None, Some(&[ours]), &unlisted, "a bearer token is required"),
        (Some(&internal), None, &listed, "not allowed: SyncService"),
        (Some(&operator), None, &listed, "not allowed: SyncService"),
        // A good certificate makes up for no token.
        (
            Some(&internal),
            Some(&[ours]),
            &listed,
            "not allowed: SyncService",
        ),
        (
            Some(&expired),
            Some(&[ours]),
            &listed,
            "the bearer token is not valid",
        ),
    ] {
        let mut extensions = Extensions::new();
        if let Some(names) = certificate {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            extensions.insert(PeerNames(names.into()));
        }
        let headers = headers(token.map(String::as_str));
        let known = auth.authenticate(&headers, &extensions).await;
        let known = match known.map(|caller| caller.principal) {
            Ok(Principal::Service(name)) => name,
            Ok(Principal::User(user)) => format!("{user:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(known, answer, "{certificate:?}");
    }
}

/// A certificate is an identity on the listener of gitsync-service alone.
#[tokio::test]
async fn on_the_public_listener_a_token_counts_alone() {
    let auth = Auth::new(verifier(), ServiceNames::default());
    let known = auth.authenticate(&headers(None)).await;
    assert_eq!(known.unwrap_err().to_string(), "a bearer token is required");
    let known = auth
        .authenticate(&headers(Some(&Caller::internal().token())))
        .await;
    assert_eq!(known.unwrap().principal.name(), "service:internal");
}
