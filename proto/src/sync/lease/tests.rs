use super::*;
use crate::sync::{
    Fence, GitRefId, KnownPullRequest, Lane, PullRequestState, RepositoryPath, Upstream,
};

fn lease() -> Lease {
    let mut git_ref = LeasedRef::new(
        GitRefId(::uuid::Uuid::from_u128(7)),
        RepositoryPath::parse("group/sub/project").unwrap(),
        "feature",
    );
    git_ref.fence = Fence {
        report_seq: 3,
        looks: 2,
        generation: 1,
    };
    git_ref.upstream = Upstream::NoFork;
    git_ref.since_found = Some(Duration::from_secs(9));
    git_ref.known = Some(KnownPullRequest {
        repository: "group/sub/project".to_owned(),
        number: 4,
        state: PullRequestState::Merged,
        draft: true,
        host_id: Some("gid://host/4".to_owned()),
    });
    Lease {
        token: LeaseToken(::uuid::Uuid::from_u128(1)),
        budget_key: BudgetKey("budget".to_owned()),
        expires_in: Duration::from_secs(60),
        groups: vec![LeaseGroup {
            provider: Provider {
                id: "github".to_owned(),
                kind: ProviderKind::Github,
                host: "github.com".to_owned(),
                api_base_url: "https://api.github.com".to_owned(),
            },
            credential: Some(Credential {
                account: GitAccountId(::uuid::Uuid::from_u128(2)),
                generation: 1,
                access_token: SecretString::from("host-secret"),
                suspect: true,
                expires_at: Some(Timestamp::UNIX_EPOCH),
            }),
            refs: vec![git_ref],
        }],
        budget: BudgetView::default(),
    }
}

#[test]
fn a_lease_survives_the_wire() {
    let sent = lease();
    let read = Lease::read(sent.message()).unwrap();
    assert_eq!(read.groups[0].refs, sent.groups[0].refs);
    assert_eq!(read.groups[0].provider, sent.groups[0].provider);
    assert_eq!(read.budget, sent.budget);
    assert_eq!(read.token, sent.token);
    let credential = read.groups[0].credential.as_ref().unwrap();
    assert_eq!(credential.access_token.expose_secret(), "host-secret");
    assert!(credential.suspect);
    assert_eq!(credential.expires_at, Some(Timestamp::UNIX_EPOCH));
}

#[test]
fn a_lease_prints_neither_its_token_nor_a_credential() {
    let printed = format!("{:?}", lease());
    let token = ::uuid::Uuid::from_u128(1).to_string();
    assert!(!printed.contains(&token) && !printed.contains("host-secret"));
}

#[test]
fn an_empty_token_is_no_credential() {
    let mut message = lease().message();
    let credential = message.groups[0].credential.as_mut().unwrap();
    credential.access_token = " ".to_owned();
    let read = Lease::read(message).unwrap();
    assert!(read.groups[0].credential.is_none());
}

#[test]
fn a_field_that_cannot_be_read_is_named() {
    let mut message = lease().message();
    message.groups[0].refs[0].fence = None;
    let refused = Lease::read(message).unwrap_err();
    assert_eq!(refused.field, "groups[0].refs[0].fence");
    let refused = LeaseRequest::read(v1::LeaseDiffStatusesRequest {
        request_id: ::uuid::Uuid::nil().to_string(),
        worker_id: String::new(),
        max_refs: 0,
        wait: None,
    })
    .unwrap_err();
    assert_eq!(refused.field, "worker_id");
}

#[test]
fn a_lane_of_a_later_release_does_not_hide_a_ref() {
    let mut message = lease().message();
    message.groups[0].refs[0].lane = 99;
    let read = Lease::read(message).unwrap();
    assert_eq!(read.groups[0].refs[0].lane, Lane::Idle);
}
