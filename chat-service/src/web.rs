//! The web page with the chat list, embedded as `web/` built it, its sign-in, and the origins of
//! other pages that may call.

pub mod origins;
pub mod sign_in;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use prost::bytes::Bytes;
use tonic::body::Body;
use tower::{Layer, Service};

use self::sign_in::SignIn;

/// The page may load its own script, style and icon, and call its own service; nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Security headers of every answer of the page, refusals too.
const PROTECTION: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// For an asset whose URL names its content, which never changes then (RFC 8246).
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For other URLs: browsers revalidate their copy by its entity tag, which costs no body.
const ASK_FIRST: &str = "no-cache";

const SIGN_IN: &str = "/sign-in";

/// A file that a browser can load.
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

const ASSETS: [Asset; 5] = [
    Asset {
        path: "/",
        media_type: "text/html; charset=utf-8",
        content: include_bytes!("../web/dist/index.html"),
    },
    Asset {
        path: "/app.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../web/dist/app.js"),
    },
    Asset {
        path: "/app.css",
        media_type: "text/css; charset=utf-8",
        content: include_bytes!("../web/dist/app.css"),
    },
    Asset {
        path: "/icon.svg",
        media_type: "image/svg+xml",
        content: include_bytes!("../web/dist/icon.svg"),
    },
    Asset {
        path: "/licences.txt",
        media_type: "text/plain; charset=utf-8",
        content: include_bytes!("../web/dist/licences.txt"),
    },
];

impl Asset {
    /// A digest of the content, which the page's links have as `?v=`.
    fn version(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.content);
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        hex.take(8).collect()
    }

    fn answer(&self, version: &str, request: &Request<Body>) -> Response<Body> {
        let tag = format!("\"{version}\"");
        let is_named = request.uri().query() == Some(&format!("v={version}"));
        let caching = if is_named { FOR_EVER } else { ASK_FIRST };
        let is_known = is_match(request.headers(), &tag);
        let mut response = if is_known {
            plain(StatusCode::NOT_MODIFIED, "")
        } else if request.method() == Method::HEAD {
            plain(StatusCode::OK, "")
        } else {
            Response::new(Body::new(Full::new(Bytes::from_static(self.content))))
        };
        let headers = response.headers_mut();
        if !is_known {
            headers.insert(header::CONTENT_LENGTH, self.content.len().into());
            let media_type = HeaderValue::from_static(self.media_type);
            headers.insert(header::CONTENT_TYPE, media_type);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// Whether the client has this content already. A proxy may have made the tag weak, and weak tags
/// are good enough for this comparison (RFC 9110, 13.1.2).
fn is_match(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter();
    given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|given| given.trim().trim_start_matches("W/") == tag)
}

/// A short text that no cache may store.
fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let text = text.into();
    let is_empty = text.is_empty();
    let mut response = Response::new(Body::new(Full::new(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !is_empty {
        let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    response
}

/// For a method that the path does not have.
fn refused(allowed: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "");
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// The page and its sign-in.
struct Page {
    assets: [(Asset, String); ASSETS.len()],
    sign_in: Option<Arc<SignIn>>,
}

impl Page {
    /// Whether a request is for the page: each GET and HEAD is, since calls are POST.
    fn takes(&self, request: &Request<Body>) -> bool {
        let path = request.uri().path();
        is_read(request) || path == SIGN_IN || self.asset(path).is_some()
    }

    fn asset(&self, path: &str) -> Option<&(Asset, String)> {
        self.assets.iter().find(|(asset, _)| asset.path == path)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let mut response = match (self.asset(path), &self.sign_in) {
            (Some((asset, version)), _) if is_read(&request) => asset.answer(version, &request),
            (Some(_), _) => refused("GET, HEAD"),
            (None, Some(sign_in)) if path == SIGN_IN => match *request.method() {
                Method::POST => sign_in.answer(request).await,
                _ => refused("POST"),
            },
            (None, _) => plain(StatusCode::NOT_FOUND, "There is no such page.\n"),
        };
        for (name, value) in PROTECTION {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn is_read(request: &Request<Body>) -> bool {
    [Method::GET, Method::HEAD].contains(request.method())
}

/// Serves the page beside the calls.
#[derive(Clone)]
pub(crate) struct PageLayer(Option<Arc<Page>>);

impl PageLayer {
    /// Without `enabled`, all requests are calls.
    pub(crate) fn new(enabled: bool, sign_in: Option<Arc<SignIn>>) -> Self {
        let page = || Page {
            assets: ASSETS.map(|asset| {
                let version = asset.version();
                (asset, version)
            }),
            sign_in,
        };
        Self(enabled.then(page).map(Arc::new))
    }
}

impl<S> Layer<S> for PageLayer {
    type Service = PageService<S>;

    fn layer(&self, calls: S) -> Self::Service {
        PageService {
            page: self.0.clone(),
            calls,
        }
    }
}

/// The page, and the calls beside it.
#[derive(Clone)]
pub(crate) struct PageService<S> {
    page: Option<Arc<Page>>,
    calls: S,
}

impl<S> Service<Request<Body>> for PageService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.calls.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match &self.page {
            Some(page) if page.takes(&request) => {
                let page = Arc::clone(page);
                Box::pin(async move { Ok(page.answer(request).await) })
            }
            Some(_) | None => Box::pin(self.calls.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_assets_by_their_content() {
        let [page, assets @ ..] = ASSETS;
        let text = str::from_utf8(page.content).unwrap();
        for asset in assets {
            let (path, version) = (asset.path, asset.version());
            let is_linked =
                path == "/licences.txt" || text.contains(&format!("{path}?v={version}\""));
            assert!(
                is_linked,
                "{path} has version {version}, and the page says:\n{text}"
            );
        }
    }

    #[test]
    fn an_entity_tag_is_known_among_others_and_when_it_was_weakened() {
        let tag = "\"a1\"";
        for (given, known) in [
            ("\"a1\"", true),
            ("W/\"a1\"", true),
            ("\"b2\", \"a1\"", true),
            ("\"b2\"", false),
            ("a1", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(given));
            assert_eq!(is_match(&headers, tag), known, "{given}");
        }
        assert!(!is_match(&HeaderMap::new(), tag));
    }
}
