//! What a pull request needs attention for: what is listed, what is raised, and how often.

mod facts;

use proto::chat::v1::{
    self, AttentionKind, GetChatsRequest, WatchChatsRequest, WatchChatsResponse, WatchEventKind,
};
use tonic::{Code, Streaming};
use uuid::Uuid;

use super::known::answer_all;
use crate::{
    stack::{Caller, Stack, refused},
    watch::{begin, next_chat, only_id, resume, watch, watch_with},
    worker::{Owner, Worker, pull_request, run, unchanged},
};

fn found(pull: v1::PullRequest) -> v1::outcome::Result {
    v1::outcome::Result::Found(pull)
}

/// The pull request of a head that has a check for each of these names, which failed, and two
/// others.
fn with_failed(head: &str, names: &[&str]) -> v1::PullRequest {
    let failed = i32::try_from(names.len()).unwrap();
    let state = if names.is_empty() {
        v1::CheckState::Pending
    } else {
        v1::CheckState::Failing
    };
    v1::PullRequest {
        head_sha: head.repeat(40),
        checks: Some(v1::Checks {
            state: state.into(),
            total: 2 + failed,
            passed: 1,
            failed,
            pending: 1,
            failed_checks: names
                .iter()
                .map(|name| v1::FailedCheck {
                    name: (*name).to_owned(),
                    url: Some(format!("https://ci.example/{name}")),
                    required: false,
                })
                .collect(),
            ..v1::Checks::default()
        }),
        ..pull_request()
    }
}

/// The pull request of a head, of which these reviews ask for changes.
fn with_reviews(head: &str, ids: &[&str]) -> v1::PullRequest {
    v1::PullRequest {
        head_sha: head.repeat(40),
        changes_requested: !ids.is_empty(),
        change_requests: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..pull_request()
    }
}

/// One that a person could merge, whose checks are in this state.
fn ready(head: &str, checks: v1::CheckState) -> v1::PullRequest {
    v1::PullRequest {
        head_sha: head.repeat(40),
        merge_state: v1::MergeState::Clean.into(),
        checks: Some(v1::Checks {
            state: checks.into(),
            ..v1::Checks::default()
        }),
        ..pull_request()
    }
}

/// A chat whose branch is looked up, and who watches it.
struct Scene<'a> {
    stack: &'a Stack,
    owner: Owner<'a>,
    worker: Worker,
    chat: String,
    stream: Streaming<WatchChatsResponse>,
}

impl<'a> Scene<'a> {
    async fn new(stack: &'a Stack) -> Self {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await.id;
        // All that was before is heard by then.
        let mut stream = watch(stack, &owner.caller).await;
        let mark = stack.chat(&owner.caller).await;
        while next_chat(&mut stream).await.1.id != mark.id {}
        Self {
            stack,
            worker: Worker::of(stack),
            owner,
            chat,
            stream,
        }
    }

    /// Reports it, and returns what the watcher hears: the kind, and what needs attention.
    async fn hears(&mut self, pull: v1::PullRequest) -> (WatchEventKind, Vec<v1::Attention>) {
        answer_all(self.stack, &self.worker, found(pull)).await;
        let (kind, chat) = next_chat(&mut self.stream).await;
        assert_eq!(chat.id, self.chat);
        let listed = chat.diff_status.unwrap().attention;
        assert_eq!(listed, self.owner.status(&self.chat).await.attention);
        (kind, listed)
    }
}

#[tokio::test]
async fn a_check_that_fails_is_raised_once_for_a_commit_and_again_after_a_push() {
    Stack::run(async |stack| {
        let mut scene = Scene::new(stack).await;
        let changed = WatchEventKind::DiffStatusChanged;
        assert_eq!(scene.hears(with_failed("a", &[])).await, (changed, vec![]));

        let (kind, listed) = scene.hears(with_failed("a", &["build"])).await;
        assert_eq!(kind, WatchEventKind::Attention);
        let [first] = listed.as_slice() else {
            panic!("{listed:?}")
        };
        assert_eq!(first.kind(), AttentionKind::ChecksFailed);
        assert_eq!(first.head_sha, "a".repeat(40));
        assert!(first.raised_at.is_some() && !first.id.is_empty());
        assert_eq!(first.failed_checks[0].name, "build");
        let url = first.failed_checks[0].url.as_deref();
        assert_eq!(url, Some("https://ci.example/build"));

        // A second failure of the same head; it is run again; and it fails again.
        let (kind, listed) = scene.hears(with_failed("a", &["build", "test"])).await;
        assert_eq!((kind, &listed[0].id), (changed, &first.id));
        assert_eq!(listed[0].failed_checks.len(), 2);
        assert_eq!(scene.hears(with_failed("a", &[])).await, (changed, vec![]));
        let again = scene.hears(with_failed("a", &["build"])).await;
        assert_eq!(again, (changed, vec![first.clone()]));

        let (kind, listed) = scene.hears(with_failed("b", &["build"])).await;
        assert_eq!(kind, WatchEventKind::Attention);
        assert_ne!(listed[0].id, first.id);
        assert_eq!(listed[0].head_sha, "b".repeat(40));
        // A push that goes back to an earlier commit is one, and what is raised is known by its id.
        let (kind, listed) = scene.hears(with_failed("a", &["build"])).await;
        assert_eq!(
            (kind, &listed[0].id),
            (WatchEventKind::Attention, &first.id)
        );
    })
    .await;
}

/// Who pushes because of a review would be woken by the push, and push again.
#[tokio::test]
async fn a_review_is_raised_once_whatever_is_pushed() {
    Stack::run(async |stack| {
        let mut scene = Scene::new(stack).await;
        let (raised, changed) = (WatchEventKind::Attention, WatchEventKind::DiffStatusChanged);
        let mut ids = Vec::new();
        for (head, reviews, kind, of_head) in [
            ("a", vec!["R1"], raised, "a"),
            // Once for a commit.
            ("a", vec!["R1", "R2"], changed, "a"),
            // The second one was not raised before.
            ("b", vec!["R1", "R2"], raised, "b"),
            ("c", vec!["R1", "R2"], changed, "b"),
            ("d", vec!["R2"], changed, "b"),
            ("d", vec!["R2", "R3"], raised, "d"),
        ] {
            let what = format!("{head} {reviews:?}");
            let (heard, listed) = scene.hears(with_reviews(head, &reviews)).await;
            assert_eq!(heard, kind, "{what}");
            assert_eq!(listed[0].kind(), AttentionKind::ChangesRequested);
            assert_eq!(listed[0].review_ids, reviews, "{what}");
            assert_eq!(listed[0].head_sha, of_head.repeat(40), "{what}");
            ids.push(listed[0].id.clone());
        }
        ids.dedup();
        assert_eq!(ids.len(), 3, "one for each that was raised");
        // A worker that knows no ids of reviews: as of all else, once for a commit.
        for (head, kind) in [("e", raised), ("f", raised)] {
            let unnamed = v1::PullRequest {
                change_requests: Vec::new(),
                ..with_reviews(head, &["R4"])
            };
            assert_eq!(scene.hears(unnamed).await.0, kind);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_known_or_not_open_raises_nothing() {
    Stack::run(async |stack| {
        let mut scene = Scene::new(stack).await;
        let merging = |state: v1::MergeState| v1::PullRequest {
            merge_state: state.into(),
            ..pull_request()
        };
        let settled = |state: v1::PullRequestState| v1::PullRequest {
            state: state.into(),
            changes_requested: true,
            merge_state: v1::MergeState::Conflicting.into(),
            ..with_failed("a", &["build"])
        };
        for silent in [
            merging(v1::MergeState::Unknown),
            merging(v1::MergeState::Unspecified),
            merging(v1::MergeState::Behind),
            with_failed("a", &[]),
            ready("b", v1::CheckState::Pending),
            v1::PullRequest {
                draft: true,
                ..ready("c", v1::CheckState::Passing)
            },
            v1::PullRequest {
                review_decision: v1::ReviewDecision::ReviewRequired.into(),
                ..ready("d", v1::CheckState::Passing)
            },
            settled(v1::PullRequestState::Closed),
            settled(v1::PullRequestState::Merged),
        ] {
            // So that each is news.
            let silent = v1::PullRequest {
                title: Uuid::now_v7().to_string(),
                ..silent
            };
            let (kind, listed) = scene.hears(silent.clone()).await;
            assert_eq!(kind, WatchEventKind::DiffStatusChanged, "{silent:?}");
            assert_eq!(listed, [], "{silent:?}");
        }
        let (kind, listed) = scene.hears(merging(v1::MergeState::Conflicting)).await;
        assert_eq!(kind, WatchEventKind::Attention);
        assert_eq!(listed[0].kind(), AttentionKind::Conflicting);
    })
    .await;
}

/// Checks begin a moment after a push.
#[tokio::test]
async fn what_is_ready_without_checks_is_raised_when_its_commit_was_seen_before() {
    Stack::run(async |stack| {
        let mut scene = Scene::new(stack).await;
        let none = || ready("a", v1::CheckState::None);
        let (kind, listed) = scene.hears(none()).await;
        assert_eq!(kind, WatchEventKind::DiffStatusChanged);
        assert_eq!(listed[0].kind(), AttentionKind::ReadyToMerge);
        assert_eq!(listed[0].raised_at, None);
        answer_all(stack, &scene.worker, unchanged()).await;
        let (kind, chat) = next_chat(&mut scene.stream).await;
        assert_eq!(kind, WatchEventKind::Attention);
        let raised = chat.diff_status.unwrap().attention.remove(0);
        assert!(raised.raised_at.is_some());
        assert_eq!(raised.id, listed[0].id);
        answer_all(stack, &scene.worker, unchanged()).await;

        // Checks that begin later: what was not raised is, when they have passed.
        let (kind, listed) = scene.hears(ready("b", v1::CheckState::None)).await;
        assert_eq!(kind, WatchEventKind::DiffStatusChanged, "and none before");
        assert_eq!(listed[0].raised_at, None, "it was another commit");
        let (_, listed) = scene.hears(ready("b", v1::CheckState::Pending)).await;
        assert_eq!(listed, []);
        let (kind, _) = scene.hears(ready("b", v1::CheckState::Passing)).await;
        assert_eq!(kind, WatchEventKind::Attention);
        // Checks that have passed at the first look.
        let (kind, _) = scene.hears(ready("c", v1::CheckState::Passing)).await;
        assert_eq!(kind, WatchEventKind::Attention);
    })
    .await;
}

#[tokio::test]
async fn a_watcher_that_resumes_hears_of_it_with_the_same_id_whatever_else_changed() {
    Stack::run(async |stack| {
        let mut scene = Scene::new(stack).await;
        let before = {
            let (first, _) = begin(stack, &scene.owner.caller, WatchChatsRequest::default()).await;
            first.revision
        };
        let (kind, listed) = scene.hears(with_failed("a", &["build"])).await;
        assert_eq!(kind, WatchEventKind::Attention);
        // Each of these is of a kind that comes before changes of pull requests.
        let update = v1::UpdateChatRequest {
            chat_id: scene.chat.clone(),
            title: Some("another".to_owned()),
            status: Some(v1::ChatStatus::Running.into()),
            archived: Some(true),
            update_mask: Some(prost_types::FieldMask {
                paths: ["title", "status", "archived"].map(str::to_owned).into(),
            }),
            ..v1::UpdateChatRequest::default()
        };
        let mut client = stack.chats(&scene.owner.caller);
        client.update_chat(update).await.unwrap();
        next_chat(&mut scene.stream).await;
        for _ in 0..2 {
            let mut stream = resume(stack, &scene.owner.caller, &before).await;
            let (kind, chat) = next_chat(&mut stream).await;
            assert_eq!(kind, WatchEventKind::Attention);
            assert!(chat.archived);
            assert_eq!(chat.diff_status.unwrap().attention, listed);
        }
    })
    .await;
}

fn narrowed(kinds: &[AttentionKind]) -> GetChatsRequest {
    GetChatsRequest {
        attention: kinds.iter().map(|kind| (*kind).into()).collect(),
        page_size: 1,
        ..GetChatsRequest::default()
    }
}

#[tokio::test]
async fn lists_and_watches_have_what_the_primary_needs_and_strangers_nothing() {
    Stack::run(async |stack| {
        let mut scene = Scene::new(stack).await;
        let owner = scene.owner.caller.clone();
        let listed = async |caller: &Caller, kinds: &[AttentionKind]| -> Vec<String> {
            let page = stack.chats(caller).get_chats(narrowed(kinds)).await;
            let page = page.unwrap().into_inner().chats;
            page.into_iter().map(|chat| chat.id).collect()
        };
        let failed = [AttentionKind::ChecksFailed];
        let both = [AttentionKind::ReadyToMerge, AttentionKind::ChecksFailed];
        let other = [AttentionKind::Conflicting, AttentionKind::ChangesRequested];
        assert_eq!(listed(&owner, &failed).await, Vec::<String>::new());
        let request = WatchChatsRequest {
            attention: narrowed(&failed).attention,
            ..WatchChatsRequest::default()
        };
        let mut needing = watch_with(stack, &owner, request).await;
        let stranger = Caller::user();
        let mut strangers = watch(stack, &stranger).await;

        scene.hears(with_failed("a", &["build"])).await;
        let this = [scene.chat.clone()];
        assert_eq!(listed(&owner, &failed).await, this);
        assert_eq!(listed(&owner, &both).await, this);
        assert_eq!(listed(&owner, &other).await, Vec::<String>::new());
        assert_eq!(listed(&stranger, &failed).await, Vec::<String>::new());
        let (kind, chat) = next_chat(&mut needing).await;
        assert_eq!((kind, &chat.id), (WatchEventKind::Attention, &scene.chat));

        scene.hears(with_failed("a", &[])).await;
        assert_eq!(listed(&owner, &failed).await, Vec::<String>::new());
        let gone = (WatchEventKind::NotMatching, only_id(&scene.chat));
        assert_eq!(next_chat(&mut needing).await, gone);

        // What a chat needs goes with its primary ref, and comes back with it.
        scene.hears(with_failed("b", &["build"])).await;
        assert_eq!(listed(&owner, &failed).await, this);
        scene.owner.report(&scene.chat, "feat/y").await;
        assert_eq!(listed(&owner, &failed).await, Vec::<String>::new());
        run(
            stack,
            "UPDATE git_refs SET reported_at = reported_at - interval '1 minute'",
        )
        .await;
        scene.owner.report(&scene.chat, "feat/x").await;
        assert_eq!(listed(&owner, &failed).await, this);

        let made = stack.chat(&stranger).await;
        let (_, heard) = next_chat(&mut strangers).await;
        assert_eq!(heard.id, made.id, "a stranger heard of none of it");
    })
    .await;
}

#[tokio::test]
async fn a_page_token_is_bound_to_what_attention_was_asked_for() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let worker = Worker::of(stack);
        for _ in 0..2 {
            owner.chat("feat/x").await;
            answer_all(stack, &worker, found(with_failed("a", &["build"]))).await;
        }
        let mut client = stack.chats(&owner.caller);
        let request = narrowed(&[AttentionKind::ChecksFailed]);
        let page = client.get_chats(request.clone()).await.unwrap();
        let page_token = page.into_inner().next_page_token;
        let next = GetChatsRequest {
            page_token: page_token.clone(),
            ..request
        };
        assert_eq!(
            client
                .get_chats(next)
                .await
                .unwrap()
                .into_inner()
                .chats
                .len(),
            1
        );
        let other = GetChatsRequest {
            page_token,
            ..narrowed(&[AttentionKind::Conflicting])
        };
        let (code, _, field) = refused(client.get_chats(other).await);
        let token = Some("page_token");
        assert_eq!((code, field.as_deref()), (Code::InvalidArgument, token));
    })
    .await;
}
