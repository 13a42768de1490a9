//! What the settings page shows of an account; and when a token can expire.

use proto::chat::v1::{self, CredentialState};
use tonic::Code;

use super::link;
use crate::{
    stack::{Stack, refused},
    worker::{Owner, Worker, report, run},
};

async fn listed(owner: &Owner<'_>) -> v1::GitAccount {
    let mut client = owner.stack.accounts(&owner.caller);
    let request = v1::ListGitAccountsRequest::default();
    let page = client.list_git_accounts(request).await.unwrap();
    page.into_inner().accounts.remove(0)
}

#[tokio::test]
async fn an_account_says_what_the_host_thinks_of_its_token_and_when_that_is_tried_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let account = listed(&owner).await;
        assert_eq!(account.credential_state(), CredentialState::Accepted);
        assert_eq!(account.retry_at, None);
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let credential = lease.credential().unwrap();
        let mut refusing = report(&lease.0.lease_token, Vec::new());
        refusing.credentials = vec![v1::CredentialObservation {
            credential_id: credential.id.clone(),
            generation: credential.generation,
            refused: true,
            expires_at: None,
        }];
        worker.try_report(refusing).await.unwrap();
        let account = listed(&owner).await;
        assert_eq!(account.credential_state(), CredentialState::Suspect);
        let in_a_minute = account.retry_at.unwrap().seconds - account.linked_at.unwrap().seconds;
        assert!((59..=180).contains(&in_a_minute), "{in_a_minute} s");
        let rejected = "UPDATE git_accounts SET credential_state = 'rejected', refusals = 4";
        run(stack, rejected).await;
        let account = listed(&owner).await;
        assert_eq!(account.credential_state(), CredentialState::Rejected);
        assert!(account.retry_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_token_expires_whenever_the_contract_can_say_and_at_no_other_time() {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let expiring = |seconds, nanos| v1::LinkGitAccountRequest {
            expires_at: Some(prost_types::Timestamp { seconds, nanos }),
            ..link("github", "ghp_hush")
        };
        let mut client = stack.accounts(&owner.caller);
        for (seconds, nanos) in [
            (FIRST, 0),
            (0, 1000),
            (1_700_000_000, 999_999_000),
            (LAST, 0),
        ] {
            let request = expiring(seconds, nanos);
            let linked = client.link_git_account(request).await.unwrap();
            let linked = linked.into_inner().account.unwrap().expires_at;
            let expected = Some(prost_types::Timestamp { seconds, nanos });
            assert_eq!(linked, expected);
            assert_eq!(listed(&owner).await.expires_at, expected);
        }
        for (seconds, nanos) in [
            (FIRST - 1, 999_999_999),
            (LAST + 1, 0),
            (-377_705_000_000, 0),
            (i64::MIN, 0),
            (i64::MAX, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            let request = expiring(seconds, nanos);
            let (code, _, field) = refused(client.link_git_account(request).await);
            let named = (code, field.as_deref());
            let expected = (Code::InvalidArgument, Some("expires_at"));
            assert_eq!(named, expected, "{seconds} s {nanos} ns");
        }
    })
    .await;
}
