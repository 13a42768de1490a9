//! What browsers load and send: the page, its sign-in, and which other pages may call.

use e2e::stack::Stack;
use http::{HeaderMap, Method, StatusCode, header};
use testkit::clients::Caller;
use tonic::Code;

use crate::raw::Call;

const OWN: &str = "https://chats.example.com";
const OTHER: &str = "https://elsewhere.example.com";
const METHOD: &str = "chat.v1.ChatService/GetChats";
const CODE: &str = "a-code-that-is-not-guessed";

/// A page's answer.
struct Loaded {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Loaded {
    fn header(&self, name: impl header::AsHeaderName) -> &str {
        text_of(&self.headers, name)
    }
}

/// Empty if the header is missing.
fn text_of(headers: &HeaderMap, name: impl header::AsHeaderName) -> &str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// A request as a browser sends it.
async fn load(stack: &Stack, method: Method, path: &str, headers: &[(&str, &str)]) -> Loaded {
    send(stack, method, path, headers, "").await
}

async fn send(
    stack: &Stack,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Loaded {
    let client = reqwest::Client::builder().http1_only().build().unwrap();
    let mut request = client.request(method, format!("{}{path}", stack.grpc_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body).send().await.unwrap();
    Loaded {
        status: answer.status(),
        headers: answer.headers().clone(),
        text: answer.text().await.unwrap(),
    }
}

#[tokio::test]
async fn the_page_is_served_only_where_it_is_switched_on() {
    Stack::run(async |stack| {
        for path in ["/", "/app.js", "/sign-in"] {
            let answer = load(stack, Method::GET, path, &[]).await;
            assert!(!answer.status.is_success(), "{path}: {}", answer.status);
            assert!(!answer.text.contains("html"), "{path}: {}", answer.text);
        }
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn the_page_runs_its_own_script_alone_and_its_assets_are_kept_by_their_content() {
    Stack::run_with(&[("CHAT_WEB", "true")], async |stack| {
        let page = load(stack, Method::GET, "/?pr=open", &[]).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        for answer in [&page, &load(stack, Method::GET, "/nowhere", &[]).await] {
            let policy = answer.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self';"),
                "{policy}"
            );
            assert!(
                !policy.contains("unsafe") && !policy.contains('*'),
                "{policy}"
            );
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
        }

        let link = page
            .text
            .split("src=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let script = load(stack, Method::GET, link, &[]).await;
        assert_eq!(
            script.header("content-type"),
            "text/javascript; charset=utf-8"
        );
        assert!(
            script.header("cache-control").contains("immutable"),
            "{link}"
        );
        let unnamed = load(stack, Method::GET, "/app.js?v=0", &[]).await;
        assert_eq!(unnamed.header("cache-control"), "no-cache");
        assert!(script.text.len() > 10_000 && unnamed.text == script.text);

        let tag = page.header("etag");
        let again = load(stack, Method::GET, "/", &[("if-none-match", tag)]).await;
        assert_eq!(
            (again.status, again.text.as_str()),
            (StatusCode::NOT_MODIFIED, "")
        );
        let head = load(stack, Method::HEAD, "/", &[]).await;
        let length = page.text.len().to_string();
        assert_eq!(
            (head.status, head.header("content-length")),
            (StatusCode::OK, length.as_str())
        );
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn the_page_takes_no_other_method_and_calls_go_on_beside_it() {
    Stack::run_with(&[("CHAT_WEB", "true")], async |stack| {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = load(stack, method.clone(), "/", &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
        let answer = load(stack, Method::GET, "/nowhere", &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        // Without a file there are no codes.
        let answer = send(stack, Method::POST, "/sign-in", &[], CODE).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let caller = Caller::user();
        let chat = stack.chat(&caller).await;
        assert_eq!(chat.owner_id, caller.id());
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn a_code_is_changed_for_its_token_once_and_cannot_be_guessed() {
    let file = std::env::temp_dir().join(format!("e2e-codes-{}", uuid::Uuid::now_v7()));
    std::fs::write(&file, format!("{{\"{CODE}\": \"the token\"}}")).unwrap();
    let path = file.display().to_string();
    let variables = [
        ("CHAT_WEB", "true"),
        ("CHAT_WEB_SIGN_IN_FILE", path.as_str()),
    ];
    Stack::run_with(&variables, async |stack| {
        stack.expect_warnings(&["a sign-in was refused"]);
        let sign_in = async |headers: &[(&str, &str)], code: &'static str| {
            let answer = send(stack, Method::POST, "/sign-in", headers, code).await;
            assert_eq!(answer.header("cache-control"), "no-store");
            (answer.status.as_u16(), answer.text)
        };
        let answer = load(stack, Method::GET, "/sign-in", &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(
            sign_in(&[("sec-fetch-site", "cross-site")], CODE).await.0,
            403
        );
        assert_eq!(sign_in(&[], "another-code").await.0, 403);
        let own = [("sec-fetch-site", "same-origin")];
        assert_eq!(sign_in(&own, CODE).await, (200, "the token".to_owned()));
        assert_eq!(sign_in(&own, CODE).await.0, 403);
        for _ in 0..7 {
            assert_eq!(sign_in(&[], "guess").await.0, 403);
        }
        assert_eq!(sign_in(&[], "guess").await.0, 429);
        Vec::new()
    })
    .await;
    std::fs::remove_file(&file).unwrap();
}

/// What a browser asks before it sends a call of another page.
async fn preflight(stack: &Stack, origin: &str) -> Loaded {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,x-grpc-web,x-user-agent,grpc-timeout",
        ),
    ];
    load(stack, Method::OPTIONS, &format!("/{METHOD}"), &headers).await
}

#[tokio::test]
async fn only_pages_of_configured_origins_may_call_and_they_may_read_errors() {
    let variables = [(
        "CHAT_WEB_ORIGINS",
        "http://localhost:5173, https://chats.example.com",
    )];
    Stack::run_with(&variables, async |stack| {
        let asked = preflight(stack, OWN).await;
        assert!(asked.status.is_success(), "{}", asked.status);
        assert_eq!(asked.header("access-control-allow-origin"), OWN);
        assert_eq!(asked.header("access-control-allow-methods"), "POST");
        let allowed = asked.header("access-control-allow-headers");
        for name in [
            "authorization",
            "x-grpc-web",
            "grpc-timeout",
            "x-request-id",
        ] {
            assert!(allowed.contains(name), "{name} is not in {allowed}");
        }
        assert_eq!(
            preflight(stack, OTHER)
                .await
                .header("access-control-allow-origin"),
            ""
        );

        for (origin, allowed) in [(OWN, OWN), (OTHER, "")] {
            // Without a token: a page must be able to read that, too.
            let call = Call::new(stack.grpc_url(), METHOD, &[])
                .web()
                .header("origin", origin);
            let answer = call.send().await;
            assert_eq!(answer.grpc_status(), Some(Code::Unauthenticated));
            assert_eq!(
                text_of(&answer.headers, "access-control-allow-origin"),
                allowed
            );
            let exposed = text_of(&answer.headers, "access-control-expose-headers");
            for name in [
                "grpc-status",
                "grpc-message",
                "grpc-status-details-bin",
                "x-request-id",
            ] {
                assert!(
                    exposed.split(',').any(|each| each == name),
                    "{name}: {exposed}"
                );
            }
            assert!(answer.headers.contains_key("x-request-id"));
            assert!(text_of(&answer.headers, "vary").contains("origin"));
        }
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn without_configured_origins_no_other_page_may_call() {
    Stack::run(async |stack| {
        let asked = preflight(stack, OWN).await;
        assert_eq!(asked.header("access-control-allow-origin"), "");
        let call = Call::new(stack.grpc_url(), METHOD, &[])
            .web()
            .header("origin", OWN);
        let answer = call.send().await;
        assert_eq!(text_of(&answer.headers, "access-control-allow-origin"), "");
        Vec::new()
    })
    .await;
}
