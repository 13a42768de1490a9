//! Who reads a credential, and what happens when it cannot be read.

use std::sync::Arc;

use chat_service::{
    authz::{Authorizer, Policies},
    error::Error,
    sync::{Dispatcher, DispatcherParts, metrics::SyncMetrics},
};
use proto::chat::v1;
use tonic::Code;
use uuid::Uuid;

use super::{lease_request, parts};
use crate::{
    stack::{Caller, Stack, refused},
    worker::{Leased, Owner, Worker, request, run, settle_all, value},
};

#[tokio::test]
async fn the_gitsync_identity_reads_a_leased_credential_and_nothing_else() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let gitsync = Caller::gitsync();
        assert!(Worker::of(stack).lease_one().await.access_token().is_some());

        let get = v1::GetChatRequest {
            chat_id: chat.id.clone(),
            ..v1::GetChatRequest::default()
        };
        assert_eq!(
            refused(stack.chats(&gitsync).get_chat(get).await).0,
            Code::NotFound
        );
        let list = stack
            .chats(&gitsync)
            .get_chats(v1::GetChatsRequest::default())
            .await
            .unwrap();
        assert!(list.into_inner().chats.is_empty());
        let refresh = v1::RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        assert_eq!(
            refused(stack.chats(&gitsync).refresh_chat(refresh).await).0,
            Code::NotFound
        );
        let user_id = Some(owner.caller.id());
        let accounts = v1::ListGitAccountsRequest {
            user_id,
            ..v1::ListGitAccountsRequest::default()
        };
        let accounts = stack.accounts(&gitsync).list_git_accounts(accounts).await;
        assert_eq!(refused(accounts).0, Code::PermissionDenied);
        let state = stack
            .admin(&gitsync)
            .get_sync_state(v1::GetSyncStateRequest {})
            .await;
        assert_eq!(refused(state).0, Code::PermissionDenied);

        for caller in [
            owner.caller.clone(),
            Caller::internal(),
            Caller::user().site("admin"),
            Caller::service("gitsync2"),
        ] {
            let lease = stack.sync(&caller).lease_diff_statuses(request()).await;
            assert_eq!(lease.err().unwrap().code(), Code::PermissionDenied);
        }
    })
    .await;
}

#[tokio::test]
async fn without_the_right_to_read_credentials_a_lease_is_permission_denied_never_no_account() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let metrics = SyncMetrics::default();
        let mut sources = policy::Source::embedded();
        for source in &mut sources {
            source.text = source
                .text
                .replace(",\n         Action::\"readGitCredential\"", "");
        }
        let without_credentials = Policies::load(&sources).unwrap();
        let dispatcher = Dispatcher::new(DispatcherParts {
            authorizer: Authorizer::of(Arc::new(without_credentials)),
            metrics: metrics.clone(),
            ..parts(stack)
        });
        let (worker, request) = lease_request();
        let refusal = dispatcher.lease(&worker, &request).await.err().unwrap();
        assert!(matches!(
            refusal,
            Error::NotAllowed {
                action: "readGitCredential"
            }
        ));
        assert_eq!(metrics.credential_denied.get(), 1);

        // Nothing was leased, and no chat shows a missing account.
        assert_eq!(owner.status(&chat.id).await.problem, None);
        assert!(Worker::of(stack).lease_one().await.access_token().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_token_that_cannot_be_unsealed_is_our_failure_and_affects_no_other_account() {
    Stack::run(async |stack| {
        let broken = Owner::linked(stack).await;
        let chat = broken.chat("feat/x").await;
        let whole = Owner::linked(stack).await;
        whole.chat("feat/y").await;
        let user: Uuid = broken.caller.id().parse().unwrap();
        let client = stack.database.client().await;
        client
            .execute(
                "UPDATE git_credentials c SET access_token_sealed = '\\x00'::bytea
                 FROM git_accounts a WHERE a.id = c.account_id AND a.user_id = $1",
                &[&user],
            )
            .await
            .unwrap();
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().branch, "feat/y");
        let problem = broken.status(&chat.id).await.problem.unwrap();
        assert_eq!(problem.class(), v1::ProblemClass::Internal);
        worker.release(&lease.0.lease_token).await;
        settle_all(stack).await;
        assert_eq!(
            worker.lease().await.len(),
            1,
            "the broken one is not due at once"
        );

        // Linked again, it works again.
        broken.link("ghp_new").await;
        let leases = worker.wait_for_lease().await;
        let lease = Leased(leases.into_iter().next().unwrap());
        assert_eq!(lease.access_token(), Some("ghp_new"));
    })
    .await;
}

#[tokio::test]
async fn a_token_copied_to_another_users_row_does_not_open_there() {
    Stack::run(async |stack| {
        let thief = Owner::linked(stack).await;
        let chat = thief.chat("feat/x").await;
        let victim = Owner::unlinked(stack);
        victim.link("ghp_hush").await;
        let ids: [Uuid; 2] = [
            thief.caller.id().parse().unwrap(),
            victim.caller.id().parse().unwrap(),
        ];
        stack
            .database
            .client()
            .await
            .execute(
                "UPDATE git_credentials c SET (key_id, access_token_sealed) = (
                    SELECT v.key_id, v.access_token_sealed FROM git_credentials v
                    JOIN git_accounts o ON o.id = v.account_id WHERE o.user_id = $2
                 )
                 FROM git_accounts a WHERE a.id = c.account_id AND a.user_id = $1",
                &[&ids[0], &ids[1]],
            )
            .await
            .unwrap();
        assert!(Worker::of(stack).lease().await.is_empty());
        let problem = thief.status(&chat.id).await.problem.unwrap();
        assert_eq!(problem.class(), v1::ProblemClass::Internal);
    })
    .await;
}

#[tokio::test]
async fn refs_of_a_provider_that_is_no_longer_configured_say_so_and_wait_for_an_hour() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        run(stack, "UPDATE git_refs SET provider_id = 'former'").await;
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        let problem = owner.status(&chat.id).await.problem.unwrap();
        assert_eq!(problem.class(), v1::ProblemClass::ProviderUnsupported);
        assert!(worker.lease().await.is_empty());
        let wait = "SELECT extract(epoch FROM due_at - now())::float8 FROM git_ref_polls";
        let wait: f64 = value(stack, wait).await;
        assert!((3500.0..=3600.0).contains(&wait), "{wait} s");
    })
    .await;
}
