//! What strangers send, taken apart as the services do it. A target panics only if a service would,
//! or if what it promises of the value does not hold.
//!
//! Each is a function of bytes. libFuzzer calls it from the program of the same name in `src/bin`;
//! the tests call it with the seeds in `corpus`, and for policies with those that are shipped.

mod github;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use chat_service::{
    accounts::DerivedKeys,
    branch_name::{Branch, parse_commit},
    chat::{Chat, ChatStatus},
    chat_filter::{ChatFilter, Cursor, folded},
    id::{ChatId, UserId},
    list_filter,
    page_token::{PageTokens, Scope},
    provider::{Providers, origin},
    title::parse_title,
};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use policy::{Action, OrganizationId, Policies, Principal, Source, User};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto::{
    bounds::{MAX_ORIGIN_BYTES, MAX_REQUEST_BYTES},
    chat::v1,
    sync::RepositoryPath,
};
use service_runtime::{
    token::{KeySources, Verifier},
    wire::{Scanner, Shapes},
};
use uuid::Uuid;

pub use self::github::github;

/// A target: what a fuzzer gives bytes to.
pub type Target = fn(&[u8]);

/// All targets but the planted one, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("origin", origin),
    ("url", url),
    ("page_token", page_token),
    ("github", github),
    ("token", token),
    ("policy", policy),
    ("filter", filter),
];

/// What a git remote, a branch and a commit mean.
pub fn origin(data: &[u8]) {
    static PROVIDERS: LazyLock<Providers> = LazyLock::new(Providers::default);
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\n');
    let (remote, branch, commit) = (parts.next(), parts.next(), parts.next());
    if let Some(Ok(read)) = remote.map(|remote| origin::parse(&PROVIDERS, remote)) {
        assert!(read.sanitized.len() <= MAX_ORIGIN_BYTES, "{read:?}");
        assert!(read.repository.owner_and_name().is_some(), "{read:?}");
        // What is kept says the same, and holds no user's secret.
        let again = origin::parse(&PROVIDERS, &read.sanitized).expect("what is kept can be read");
        assert_eq!(again.repository, read.repository);
        assert_eq!(again.sanitized, read.sanitized);
    }
    if let Some(Ok(branch)) = branch.map(Branch::parse) {
        assert!(Branch::parse(branch.as_str()).is_ok(), "{branch:?}");
    }
    if let Some(Ok(commit)) = commit.map(parse_commit) {
        assert_eq!(parse_commit(&commit), Ok(commit.clone()));
    }
}

/// Addresses of keys, and of repositories as a host tells them.
pub fn url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // No file is to be read.
    if text.starts_with("https://") && !text.contains(',') {
        let _ = KeySources::parse(&text);
    }
    if let Some(path) = RepositoryPath::parse(&text) {
        assert_eq!(path.as_str(), text);
    }
    let api = [
        ("GIT_PROVIDER_0_TYPE", "github"),
        ("GIT_PROVIDER_0_ID", "github"),
        ("GIT_PROVIDER_0_HOST", text.as_ref()),
        ("GIT_PROVIDER_0_API_BASE_URL", text.as_ref()),
    ];
    let variables = api.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let _ = Providers::from_vars(&BTreeMap::from(variables));
}

/// Page tokens: none is taken but one that was made.
pub fn page_token(data: &[u8]) {
    static TOKENS: LazyLock<PageTokens> = LazyLock::new(|| {
        PageTokens::new(&DerivedKeys {
            active: [1; 32],
            others: vec![[2; 32]],
        })
    });
    let text = String::from_utf8_lossy(data);
    let scope = Scope::new("user:a", "chats", b"filters");
    if let Ok(Some(place)) = TOKENS.decode::<Cursor>(&scope, &text) {
        assert_eq!(TOKENS.encode(&scope, &place), text, "a token was forged");
    }
    let Some((microseconds, _)) = data.split_first_chunk::<8>() else {
        return;
    };
    let Ok(updated_at) = Timestamp::from_microsecond(i64::from_be_bytes(*microseconds)) else {
        return;
    };
    let place = Cursor {
        updated_at,
        id: ChatId(Uuid::from_u128(7)),
    };
    let token = TOKENS.encode(&scope, &place);
    assert_eq!(TOKENS.decode(&scope, &token).ok(), Some(Some(place)));
    let other = Scope::new("user:b", "chats", b"filters");
    assert!(
        TOKENS.decode::<Cursor>(&other, &token).is_err(),
        "of another caller"
    );
}

/// `authorization` headers: no token is good that was not signed with the key.
pub fn token(data: &[u8]) {
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        let key = include_bytes!("../key.pub");
        Verifier::from_public_key_pem(key).expect("a public key")
    });
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else {
            continue;
        };
        headers.append(header::AUTHORIZATION, value);
    }
    assert!(
        VERIFIER.verify_headers(&headers).is_err(),
        "a token was forged"
    );
}

/// Policy files: one that is accepted decides for everyone, whatever it says.
pub fn policy(data: &[u8]) {
    static CALLERS: LazyLock<[Principal; 2]> = LazyLock::new(|| {
        let organization = OrganizationId(Uuid::from_u128(1));
        let user = User {
            id: UserId(Uuid::from_u128(2)),
            organizations: [(organization, ["admin".to_owned()].into())].into(),
            groups: BTreeSet::new(),
            site_roles: BTreeSet::new(),
            suspended: false,
        };
        [
            Principal::User(user),
            Principal::Service("internal".to_owned()),
        ]
    });
    let text = String::from_utf8_lossy(data);
    let Ok(policies) = Policies::load(&[Source::new("fuzz.cedar", text)]) else {
        return;
    };
    for caller in CALLERS.iter() {
        for action in Action::ALL {
            let _ = policies.compile(caller, action);
            let _ = policies.explain(caller, action);
        }
    }
}

/// A list request: what the scanner lets through decodes, and a filter for what a chat is called
/// and labelled finds that chat.
pub fn filter(data: &[u8]) {
    static SHAPES: LazyLock<Arc<Shapes>> = LazyLock::new(|| {
        let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET);
        Arc::new(Shapes::of(&files.expect("the contract's own").file))
    });
    let Ok(length) = u32::try_from(data.len()) else {
        return;
    };
    let scanner = Scanner::of(&SHAPES, ".chat.v1.GetChatsRequest", MAX_REQUEST_BYTES);
    let mut scanner = scanner.expect("a message of the contract");
    let body = [&[0], &length.to_be_bytes()[..], data].concat();
    let accepted = scanner.push(&body).and_then(|()| scanner.finish()).is_ok();
    let decoded = v1::GetChatsRequest::decode(data);
    if !accepted {
        return;
    }
    let request = decoded.expect("what the scanner accepts decodes");
    let Ok(filter) = list_filter(request) else {
        return;
    };
    let found = ChatFilter {
        labels: filter.labels.clone(),
        title: filter.title.clone(),
        ..ChatFilter::default()
    };
    let title = filter.title.clone().unwrap_or_default();
    assert_eq!(folded(&folded(&title)), folded(&title), "{title:?}");
    assert!(found.matches(&chat(&title, &filter)), "{filter:?}");
    if let Ok(title) = parse_title(&title) {
        assert_eq!(parse_title(&title).as_ref(), Ok(&title));
    }
}

/// A chat as the filter wants it.
fn chat(title: &str, filter: &ChatFilter) -> Chat {
    Chat {
        id: ChatId(Uuid::nil()),
        owner: UserId(Uuid::nil()),
        organization: None,
        workspace: None,
        title: title.to_owned(),
        status: ChatStatus::Running,
        labels: filter.labels.clone(),
        archived: false,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        diff_statuses: Vec::new(),
        shares: Vec::new(),
    }
}

/// Panics for one text, which a fuzzer finds only byte by byte, by what each right byte changes in
/// the course of the program.
///
/// # Panics
///
/// For that text.
pub fn planted(data: &[u8]) {
    // A branch of its own for each byte. A loop over them has the same branches for all.
    let is = |at: usize, wanted: u8| data.get(at) == Some(&wanted);
    let found =
        is(0, b'p') && is(1, b'l') && is(2, b'a') && is(3, b'n') && is(4, b't') && is(5, b'!');
    assert!(!found, "found");
}
