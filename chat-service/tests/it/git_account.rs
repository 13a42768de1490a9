//! Linked accounts.

mod budget;

use proto::chat::v1::{self, ProblemClass};
use tonic::Code;

use crate::{
    stack::{Caller, Stack, refused},
    worker::{Owner, Worker, failed, found, none, outcome},
};

fn link(provider_id: &str, token: &str) -> v1::LinkGitAccountRequest {
    v1::LinkGitAccountRequest {
        provider_id: provider_id.to_owned(),
        access_token: token.to_owned(),
        ..v1::LinkGitAccountRequest::default()
    }
}

fn unlink(user: Option<&Caller>) -> v1::UnlinkGitAccountRequest {
    v1::UnlinkGitAccountRequest {
        user_id: user.map(Caller::id),
        provider_id: "github".to_owned(),
    }
}

#[tokio::test]
async fn linking_an_account_makes_the_refs_due_that_waited_for_it() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(failed(ProblemClass::NoAccount)).await;
        assert!(worker.lease().await.is_empty());
        let (leases, _) = tokio::join!(worker.wait_for_lease(), owner.link("ghp_hush"));
        let token = leases
            .first()
            .unwrap()
            .groups
            .first()
            .unwrap()
            .access_token
            .clone();
        assert_eq!(token.as_deref(), Some("ghp_hush"));
        worker.release(&leases.first().unwrap().lease_token).await;
        worker
            .answer(failed(ProblemClass::CredentialRejected))
            .await;
        owner.link("ghp_better").await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghp_better"));
        assert!(
            owner.status(&chat.id).await.problem.is_some(),
            "until it is looked up"
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_looked_up_without_the_account_does_not_end_the_need_to_look_with_it() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let without = worker.lease_one().await;
        owner.link("ghp_hush").await;
        let with = worker.lease_one().await;
        assert_eq!(with.access_token(), Some("ghp_hush"));
        worker
            .finish(
                &without,
                vec![outcome(without.git_ref(), failed(ProblemClass::NoAccount))],
            )
            .await;
        assert_eq!(owner.status(&chat.id).await.problem, None);
        worker
            .finish(&with, vec![outcome(with.git_ref(), found())])
            .await;
        assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
    })
    .await;
}

#[tokio::test]
async fn refs_that_wait_for_their_time_stay_planned_when_an_account_is_linked() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(none()).await;
        owner.link("ghp_other").await;
        assert!(worker.lease().await.is_empty(), "nothing waited for it");
        crate::worker::make_all_due(stack).await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghp_other"));
    })
    .await;
}

#[tokio::test]
async fn the_same_token_is_one_budget_whoever_linked_it() {
    Stack::run(async |stack| {
        for branch in ["feat/x", "feat/y"] {
            let owner = Owner::unlinked(stack);
            owner.link("ghp_shared").await;
            owner.chat(branch).await;
        }
        let mut leases = Worker::of(stack).lease().await;
        assert_eq!(leases.len(), 1);
        assert_eq!(leases.remove(0).groups.len(), 2, "one group for each owner");
    })
    .await;
}

#[tokio::test]
async fn unlinking_leaves_the_refs_without_a_credential() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        stack
            .accounts(&owner.caller)
            .unlink_git_account(unlink(None))
            .await
            .unwrap();
        assert_eq!(Worker::of(stack).lease_one().await.access_token(), None);
        let again = stack
            .accounts(&owner.caller)
            .unlink_git_account(unlink(None))
            .await;
        assert_eq!(refused(again).0, Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_token_is_nowhere_in_the_database() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let mut request = link("github", "ghp_hushhush");
        request.refresh_token = Some("ghr_hushhush".to_owned());
        stack
            .accounts(&owner.caller)
            .link_git_account(request)
            .await
            .unwrap();
        owner.chat("feat/x").await;
        let client = stack.database.client().await;
        let tables = client
            .query(
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
                &[],
            )
            .await
            .unwrap();
        for table in tables {
            let table: String = table.try_get(0).unwrap();
            let count: i64 = client
                .query_one(
                    &format!(
                        "SELECT count(*) FROM {table} t
                         WHERE t::text LIKE '%hushhush%' OR t::text LIKE '%6875736868757368%'"
                    ),
                    &[],
                )
                .await
                .unwrap()
                .try_get(0)
                .unwrap();
            assert_eq!(count, 0, "{table}");
        }
    })
    .await;
}

#[tokio::test]
async fn accounts_are_listed_by_provider_page_by_page() {
    Stack::run_with(
        |_, vars| {
            for number in 0..5 {
                vars.insert(format!("GIT_PROVIDER_{number}_TYPE"), "github".to_owned());
                vars.insert(
                    format!("GIT_PROVIDER_{number}_ID"),
                    format!("host-{number}"),
                );
                vars.insert(
                    format!("GIT_PROVIDER_{number}_HOST"),
                    format!("git{number}.example"),
                );
            }
        },
        async |stack| {
            let (ann, ben) = (Caller::user(), Caller::user());
            for number in [3, 0, 4, 1, 2] {
                let request = link(&format!("host-{number}"), "ghp_hush");
                stack
                    .accounts(&ann)
                    .link_git_account(request)
                    .await
                    .unwrap();
            }
            let mut request = v1::ListGitAccountsRequest {
                page_size: 2,
                ..Default::default()
            };
            let mut listed = Vec::new();
            let mut tokens = Vec::new();
            loop {
                let page = stack
                    .accounts(&ann)
                    .list_git_accounts(request.clone())
                    .await
                    .unwrap()
                    .into_inner();
                assert!(page.next_page_token.is_empty() || page.accounts.len() == 2);
                listed.extend(page.accounts.into_iter().map(|account| account.provider_id));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token.clone_from(&page.next_page_token);
                tokens.push(page.next_page_token);
            }
            assert_eq!(listed, ["host-0", "host-1", "host-2", "host-3", "host-4"]);

            let token = tokens.remove(0);
            for (caller, user_id, page_token) in [
                (ben.clone(), None, token.clone()),
                (Caller::internal(), Some(ann.id()), token),
                (ann.clone(), None, "nonsense".to_owned()),
            ] {
                let request = v1::ListGitAccountsRequest {
                    user_id,
                    page_size: 2,
                    page_token,
                };
                let (code, reason, field) =
                    refused(stack.accounts(&caller).list_git_accounts(request).await);
                assert_eq!(
                    (code, reason.as_str()),
                    (Code::InvalidArgument, "PAGE_TOKEN_INVALID")
                );
                assert_eq!(field.as_deref(), Some("page_token"));
            }
            let of_ann = v1::ListGitAccountsRequest {
                user_id: Some(ann.id()),
                ..Default::default()
            };
            let page = stack
                .accounts(&Caller::internal())
                .list_git_accounts(of_ann)
                .await
                .unwrap();
            assert_eq!(page.into_inner().accounts.len(), 5);
            let nothing = v1::ListGitAccountsRequest::default();
            let page = stack
                .accounts(&ben)
                .list_git_accounts(nothing)
                .await
                .unwrap();
            assert!(page.into_inner().accounts.is_empty());
        },
    )
    .await;
}

#[tokio::test]
async fn nobody_touches_the_accounts_of_another_user() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let user_id = Some(owner.caller.id());
        for caller in [
            Caller::user(),
            Caller::user().site("admin"),
            Caller::gitsync(),
            Caller::service("other"),
            owner.caller.clone().suspended(),
        ] {
            let mut accounts = stack.accounts(&caller);
            let mut linking = link("github", "ghp_mine");
            linking.user_id.clone_from(&user_id);
            assert_eq!(
                refused(accounts.link_git_account(linking).await).0,
                Code::PermissionDenied
            );
            let list = v1::ListGitAccountsRequest {
                user_id: user_id.clone(),
                ..Default::default()
            };
            assert_eq!(
                refused(accounts.list_git_accounts(list).await).0,
                Code::PermissionDenied
            );
            let unlinking = accounts
                .unlink_git_account(unlink(Some(&owner.caller)))
                .await;
            assert_eq!(refused(unlinking).0, Code::PermissionDenied);
        }
        let mut internal = stack.accounts(&Caller::internal());
        internal
            .unlink_git_account(unlink(Some(&owner.caller)))
            .await
            .unwrap();
        let (code, _, field) = refused(internal.unlink_git_account(unlink(None)).await);
        assert_eq!(
            (code, field.as_deref()),
            (Code::InvalidArgument, Some("user_id"))
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_no_account_is_refused_by_field() {
    Stack::run(async |stack| {
        let caller = Caller::user();
        let good = link("github", "ghp_hush");
        for (request, field) in [
            (link("gitlab", "x"), "provider_id"),
            (link("github", ""), "access_token"),
            (link("github", "a b"), "access_token"),
            (link("github", "a\nb"), "access_token"),
            (link("github", &"x".repeat(4097)), "access_token"),
            (
                v1::LinkGitAccountRequest {
                    refresh_token: Some(String::new()),
                    ..good.clone()
                },
                "refresh_token",
            ),
            (
                v1::LinkGitAccountRequest {
                    expires_at: Some(prost_types::Timestamp {
                        seconds: i64::MAX,
                        nanos: 0,
                    }),
                    ..good.clone()
                },
                "expires_at",
            ),
            (
                v1::LinkGitAccountRequest {
                    user_id: Some("x".to_owned()),
                    ..good
                },
                "user_id",
            ),
        ] {
            let (code, _, named) = refused(stack.accounts(&caller).link_git_account(request).await);
            assert_eq!(
                (code, named.as_deref()),
                (Code::InvalidArgument, Some(field))
            );
        }
        let list = v1::ListGitAccountsRequest {
            page_size: -1,
            ..Default::default()
        };
        let (_, _, field) = refused(stack.accounts(&caller).list_git_accounts(list).await);
        assert_eq!(field.as_deref(), Some("page_size"));
    })
    .await;
}
