//! Linked accounts.

mod budget;
mod state;

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass};
use tonic::Code;

use crate::{
    stack::{Caller, Stack, refused},
    worker::{Leased, Owner, Worker, events, failed, found, none, outcome, value},
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
        assert!(worker.lease().await.is_empty());
        let status = owner.status(&chat.id).await;
        assert_eq!(status.freshness(), v1::Freshness::Paused);
        assert_eq!(status.next_refresh_at, None);
        let problem = status.problem.unwrap();
        assert_eq!(problem.class(), ProblemClass::NoAccount);
        assert_eq!(problem.message, "link your github account");
        let (leases, _) = tokio::join!(worker.wait_for_lease(), owner.link("ghp_hush"));
        let lease = Leased(leases.into_iter().next().unwrap());
        assert_eq!(lease.access_token(), Some("ghp_hush"));
        let denied = outcome(lease.git_ref(), failed(ProblemClass::AccessDenied));
        worker.finish(&lease, vec![denied]).await;
        assert!(worker.lease().await.is_empty());

        owner.link("ghp_better").await;
        let lease = Leased(worker.wait_for_lease().await.into_iter().next().unwrap());
        assert_eq!(lease.access_token(), Some("ghp_better"));
        assert!(
            owner.status(&chat.id).await.problem.is_some(),
            "until it is looked up"
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_looked_up_with_another_credential_does_not_end_the_need_to_look() {
    for (token, status) in [
        ("ghp_other", OutcomeResultStatus::Rejected),
        ("ghp_first", OutcomeResultStatus::Superseded),
    ] {
        Stack::run(async |stack| {
            let owner = Owner::unlinked(stack);
            owner.link("ghp_first").await;
            let chat = owner.chat("feat/x").await;
            let worker = Worker::of(stack);
            let first = worker.lease_one().await;
            owner.link(token).await;
            let denied = outcome(first.git_ref(), failed(ProblemClass::AccessDenied));
            assert_eq!(worker.finish(&first, vec![denied]).await, [status]);
            assert_eq!(owner.status(&chat.id).await.problem, None);
            let next = Leased(worker.wait_for_lease().await.into_iter().next().unwrap());
            assert_eq!(next.access_token(), Some(token));
            worker
                .finish(&next, vec![outcome(next.git_ref(), found())])
                .await;
            assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
        })
        .await;
    }
}

#[tokio::test]
async fn watchers_hear_of_an_account_that_comes_and_goes() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        let chat = owner.chat("feat/x").await;
        let until = async |count| {
            testkit::wait::until("an event is recorded", || async {
                let recorded = events(stack, &chat.id).await;
                if recorded == count {
                    Ok(())
                } else {
                    Err(recorded)
                }
            })
            .await;
        };
        until(1).await;
        owner.link("ghp_hush").await;
        until(2).await;
        // What replaces a credential that the host accepts shows nowhere.
        owner.link("ghp_other").await;
        owner.unlink().await;
        until(3).await;
        let left = "SELECT count(*) FROM git_accounts WHERE unannounced OR requeue_denied";
        testkit::wait::until("all is followed up", || async {
            match value::<i64>(stack, left).await {
                0 => Ok(()),
                left => Err(left),
            }
        })
        .await;
        assert_eq!(events(stack, &chat.id).await, 3);
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
async fn the_same_token_is_one_budget_for_all_users_who_linked_it() {
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
        assert!(Worker::of(stack).lease().await.is_empty());
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
async fn the_accounts_of_another_user_cannot_be_changed() {
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
                    ..good.clone()
                },
                "user_id",
            ),
        ]
        .into_iter()
        .chain(["", "1|2", "1 2", &"1".repeat(101)].map(|id| {
            let request = v1::LinkGitAccountRequest {
                installation_id: Some(id.to_owned()),
                ..good.clone()
            };
            (request, "installation_id")
        })) {
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

/// Whatever became of the process that linked the account.
#[tokio::test]
async fn a_change_of_an_account_that_was_not_followed_up_is_by_the_next_relay() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO git_accounts (id, user_id, provider_id, unannounced, requeue_denied)
             VALUES (gen_random_uuid(), gen_random_uuid(), 'github', TRUE, TRUE);
             INSERT INTO chats (id, owner_id, title, status)
             SELECT gen_random_uuid(), a.user_id, 'chat', 'waiting' FROM git_accounts a;
             INSERT INTO git_refs (id, chat_id, account_id, provider_id, git_remote_origin,
                repository, git_branch, is_primary, problem_class, problem_since)
             SELECT gen_random_uuid(), c.id, a.id, 'github', 'o', 'acme/web', 'b', TRUE,
                'access_denied', now()
             FROM chats c CROSS JOIN git_accounts a;
             INSERT INTO git_ref_polls (ref_id, account_id, due_at, early_at)
             SELECT r.id, r.account_id, now() + interval '1 day', now() FROM git_refs r",
        )
        .await
        .unwrap();
    Stack::run_on(
        database,
        |_, _| {},
        async |stack| {
            let done = "SELECT NOT a.unannounced AND NOT a.requeue_denied AND p.due_at <= now()
                    AND EXISTS (SELECT FROM change_events)
                FROM git_accounts a JOIN git_ref_polls p ON p.account_id = a.id";
            testkit::wait::until("it is followed up", || async {
                if value::<bool>(stack, done).await {
                    Ok(())
                } else {
                    Err(())
                }
            })
            .await;
        },
    )
    .await;
}
