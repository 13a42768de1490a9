use super::*;
use crate::provider::github::model::{ListedPull, Pull, RepositoryInfo, Review};

fn client(base: &str) -> Client {
    let http = HttpClient::new(REQUEST_TIMEOUT).unwrap();
    Client::new(&http, base, &SecretString::from("host-secret")).unwrap()
}

#[test]
fn segments_and_values_are_escaped_each_by_itself() {
    let url = client("https://ghes.example.com/api/v3/")
        .url(
            &["repos", "a/b", "c?d", "pulls"],
            &[("head", "acme:feat/my thing&x=%2e")],
        )
        .unwrap();
    assert_eq!(
        url.as_str(),
        "https://ghes.example.com/api/v3/repos/a%2Fb/c%3Fd/pulls?head=acme%3Afeat%2Fmy+thing%26x%3D%252e"
    );
}

#[test]
fn a_name_that_would_change_the_path_is_no_repository() {
    let client = client("https://api.github.com");
    for name in ["", ".", "..", "a\tb", "\n"] {
        assert_eq!(
            client.url(&["repos", name, "web"], &[]),
            Err(Problem::RepositoryNotFound),
            "{name:?}"
        );
    }
    let escaped = client.url(&["repos", "%2e%2e", "web"], &[]).unwrap();
    assert_eq!(escaped.path(), "/repos/%252e%252e/web");
}

#[test]
fn a_base_that_is_no_web_address_is_our_own_fault() {
    let http = HttpClient::new(REQUEST_TIMEOUT).unwrap();
    for base in [
        "",
        "api.github.com",
        "ftp://host/",
        "mailto:a@b",
        "file:///x",
    ] {
        let opened = Client::new(&http, base, &SecretString::from("t"));
        assert!(matches!(opened, Err(Problem::Internal(_))), "{base:?}");
    }
}

#[test]
fn a_token_that_fits_no_header_is_rejected_and_shown_nowhere() {
    let http = HttpClient::new(REQUEST_TIMEOUT).unwrap();
    let refused = Client::new(
        &http,
        "https://api.github.com",
        &SecretString::from("host\nsecret"),
    );
    assert!(matches!(refused, Err(Problem::CredentialRejected)));
    let printed = format!("{:?}", client("https://api.github.com"));
    assert!(!printed.contains("host-secret"), "{printed}");
}

#[test]
fn the_next_page_is_found_among_the_links() {
    let header = "<https://h/x?page=1>; rel=\"prev\", <https://h/x?page=3>; rel=\"next\"";
    assert_eq!(next_link(header).as_deref(), Some("https://h/x?page=3"));
    assert_eq!(next_link("<https://h/x?page=1>; rel=\"last\""), None);
    assert_eq!(next_link("garbage"), None);
}

/// Promise 8.
#[test]
fn links_and_redirects_to_another_origin_are_not_followed() {
    let client = client("https://ghes.example.com/api/v3");
    let from = client.url(&["repos", "acme", "web"], &[]).unwrap();
    for elsewhere in [
        "https://evil.example.com/",
        "http://ghes.example.com/api/v3/x",
        "https://ghes.example.com:444/",
        "//evil.example.com/x",
        "https://ghes.example.com.evil.example.com/",
        "https://ghes.example.com@evil.example.com/",
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, elsewhere.parse().unwrap());
        headers.insert(
            LINK,
            format!("<{elsewhere}>; rel=\"next\"").parse().unwrap(),
        );
        assert!(client.redirect(&from, &headers).is_err(), "{elsewhere}");
        assert!(client.next_page(&headers).is_err(), "{elsewhere}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, "/api/v3/repositories/1".parse().unwrap());
    let to = client.redirect(&from, &headers).unwrap();
    assert_eq!(
        to.as_str(),
        "https://ghes.example.com/api/v3/repositories/1"
    );
}

#[test]
fn githubs_published_examples_are_read_as_they_are() {
    use testkit::github::fixtures;

    let pull: Pull = serde_json::from_str(fixtures::PULL_REQUEST).unwrap();
    let shown = pull
        .status(crate::outcome::ReviewSummary::default())
        .unwrap()
        .shown;
    assert!(shown.number > 0 && !shown.head.sha.is_empty() && shown.author_login.is_some());
    let listed: Vec<ListedPull> = serde_json::from_str(fixtures::PULL_REQUESTS).unwrap();
    assert!(!listed.is_empty());
    let reviews: Vec<Review> = serde_json::from_str(fixtures::REVIEWS).unwrap();
    assert!(!reviews.is_empty());
    let repository: RepositoryInfo = serde_json::from_str(fixtures::REPOSITORY).unwrap();
    assert!(repository.full_name.contains('/'));
}

#[test]
fn a_field_that_is_missing_is_an_error_and_not_null() {
    let whole: serde_json::Value =
        serde_json::from_str(testkit::github::fixtures::PULL_REQUEST).unwrap();
    for (path, field) in [
        ("", "merged"),
        ("", "state"),
        ("", "user"),
        ("", "commits"),
        ("/head", "repo"),
        ("/head", "ref"),
        ("/base", "repo"),
    ] {
        let mut partial = whole.clone();
        let object = partial.pointer_mut(path).unwrap().as_object_mut().unwrap();
        assert!(object.remove(field).is_some(), "{path}/{field}");
        assert!(
            serde_json::from_value::<Pull>(partial).is_err(),
            "{path}/{field}"
        );
    }
}
