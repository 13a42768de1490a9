use super::*;

fn base(base: &str) -> ApiBase {
    ApiBase::parse(base).unwrap()
}

#[test]
fn segments_and_values_are_escaped_each_by_itself() {
    let url = base("https://ghes.example.com/api/v3/")
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
fn graphql_is_beside_rest_wherever_github_runs() {
    for (rest, graphql) in [
        ("https://api.github.com", "https://api.github.com/graphql"),
        (
            "https://api.acme.ghe.com",
            "https://api.acme.ghe.com/graphql",
        ),
        (
            "https://ghes.example.com/api/v3/",
            "https://ghes.example.com/api/graphql",
        ),
    ] {
        assert_eq!(base(rest).graphql().as_str(), graphql);
    }
}

#[test]
fn a_name_that_would_change_the_path_is_no_repository() {
    let base = base("https://api.github.com");
    for name in ["", ".", "..", "a\tb", "\n"] {
        assert_eq!(
            base.url(&["repos", name, "web"], &[]),
            Err(NoAnswer::Failed(ProblemClass::RepositoryNotFound)),
            "{name:?}"
        );
    }
    let escaped = base.url(&["repos", "%2e%2e", "web"], &[]).unwrap();
    assert_eq!(escaped.path(), "/repos/%252e%252e/web");
}

#[test]
fn what_is_no_web_address_is_no_base() {
    for text in [
        "",
        "api.github.com",
        "ftp://host/",
        "mailto:a@b",
        "file:///x",
    ] {
        assert!(ApiBase::parse(text).is_none(), "{text:?}");
    }
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
    let base = base("https://ghes.example.com/api/v3");
    let from = base.url(&["repos", "acme", "web"], &[]).unwrap();
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
        assert!(base.redirect(&from, &headers).is_err(), "{elsewhere}");
        assert!(base.next_page(&headers).is_err(), "{elsewhere}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, "/api/v3/repositories/1".parse().unwrap());
    let to = base.redirect(&from, &headers).unwrap();
    assert_eq!(
        to.as_str(),
        "https://ghes.example.com/api/v3/repositories/1"
    );
}
