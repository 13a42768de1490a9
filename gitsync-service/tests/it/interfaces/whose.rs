//! Whose pull request it is: which repositories count, and which of several.

use std::time::Duration;

use proto::sync::{LeasedRef, Upstream};
use testkit::github::{GitHub, NewPullRequest};

use super::{Row, WEB, feature, linked, looked_up, pull, summary};
use crate::support::{
    engine, git_ref, group, knowing, lease, path, ref_id, refresh, refresher, world,
};

/// `owner/web`, a fork of `of` with the branch `feature`.
pub(super) fn fork_of(github: &GitHub, of: &str, owner: &str) -> LeasedRef {
    github.fork(of, owner);
    let name = format!("{owner}/web");
    github.repository(&name).push("feature");
    LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", &name, "feature")
    }
}

/// A stranger's pull request into a fork of their own, from the branch `head` of `from`.
fn strangers(github: &GitHub, owner: &str, from: &str, head: &str) {
    github.fork(from, owner);
    let into = format!("{owner}/web");
    // Numbers of different repositories say nothing.
    for number in 0..3 {
        let noise = format!("noise-{number}");
        github.pull_request(&into).head(&noise).author(owner).open();
    }
    let spoof = github.pull_request(&into).from_fork(from).head(head);
    spoof.title("Pay here").author(owner).open();
}

pub(super) fn open_to_all(github: &GitHub) {
    github.repository(WEB).public();
}

pub(super) fn from(github: &GitHub, fork: &str) -> NewPullRequest {
    pull(github).from_fork(fork)
}

/// As it was reported with the commit that the branch is at.
pub(super) fn pushed(github: &GitHub, git_ref: LeasedRef) -> LeasedRef {
    let repository = git_ref.repository.as_str().to_owned();
    let sha = github.repository(&repository).push(&git_ref.branch);
    LeasedRef {
        commit: Some(sha),
        ..git_ref
    }
}

/// As it is once the agent reported it again, after it was last looked up.
pub(super) fn reported_again(git_ref: LeasedRef) -> LeasedRef {
    LeasedRef {
        since_found: Some(Duration::from_secs(600)),
        since_reported: Duration::from_secs(1),
        since_first_reported: Duration::from_secs(6000),
        ..git_ref
    }
}

/// Names that no other repository has.
const OWNERS: [&str; 7] = ["bo", "cy", "di", "ed", "fay", "gus", "hal"];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = bases();
    rows.extend(pages());
    rows.extend(several());
    rows.extend(identity());
    rows
}

fn bases() -> Vec<Row> {
    vec![
        (
            "a stranger's into a fork, from our branch",
            |github| {
                open_to_all(github);
                github.repository(WEB).push("feature");
                strangers(github, "eve", WEB, "feature");
                pushed(github, feature())
            },
            "none",
        ),
        (
            "a stranger's beside our own",
            |github| {
                open_to_all(github);
                pull(github).open();
                strangers(github, "eve", WEB, "feature");
                feature()
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a stranger's after our own was merged",
            |github| {
                open_to_all(github);
                let own = pull(github).merged();
                strangers(github, "eve", WEB, "feature");
                reported_again(linked(github, feature(), WEB, own))
            },
            "merged, acme/web#1, by ann",
        ),
        (
            "a fork's own in the upstream, beside a stranger's",
            |github| {
                open_to_all(github);
                let fork = fork_of(github, WEB, "ann");
                from(github, "ann/web").open();
                strangers(github, "eve", "ann/web", "feature");
                fork
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork's own in the upstream, beyond a page of strangers'",
            |github| {
                open_to_all(github);
                let fork = fork_of(github, WEB, "ann");
                for owner in OWNERS {
                    strangers(github, owner, "ann/web", "feature");
                }
                from(github, "ann/web").open();
                fork
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork of a fork's, in the root of the network",
            |github| {
                open_to_all(github);
                github.fork(WEB, "bob");
                let fork = fork_of(github, "bob/web", "ann");
                from(github, "ann/web").open();
                fork
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork of a fork's, in the root, whose branch is gone",
            |github| {
                open_to_all(github);
                github.fork(WEB, "bob");
                let fork = fork_of(github, "bob/web", "ann");
                from(github, "ann/web").open();
                github.repository("ann/web").delete_branch("feature");
                fork
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork of a fork's, in the fork rather than in the root",
            |github| {
                open_to_all(github);
                github.fork(WEB, "bob");
                let fork = fork_of(github, "bob/web", "ann");
                for _ in 0..2 {
                    from(github, "ann/web").base("main").open();
                }
                let into = github.pull_request("bob/web").from_fork("ann/web");
                into.head("feature").author("ann").open();
                fork
            },
            "open, bob/web#1, by ann",
        ),
        (
            "a fork of what the host hides",
            |github| {
                let fork = fork_of(github, WEB, "ann");
                github.repository(WEB).withdraw(&github.user("ann"));
                fork
            },
            "ref repository_not_found",
        ),
    ]
}

fn pages() -> Vec<Row> {
    vec![
        (
            "a branch whose name many forks use",
            |github| {
                many_forks(github);
                github.repository(WEB).push("feature");
                pull(github).open();
                for owner in OWNERS {
                    let fork = format!("{owner}/web");
                    let number = from(github, &fork).base("other").open();
                    github.edit_pull_request(WEB, number, |pull| pull.title.push('!'));
                }
                feature()
            },
            "open, acme/web#8, by ann",
        ),
        (
            "a branch that is gone, whose name many forks use",
            |github| {
                many_forks(github);
                feature()
            },
            "none",
        ),
        (
            "beyond a page of forks' and one of strangers'",
            |github| {
                open_to_all(github);
                let own = pull(github).open();
                many_forks(github);
                for owner in OWNERS {
                    let into = format!("{owner}/web");
                    let theirs = github.pull_request(&into).from_fork(WEB);
                    theirs.head("feature").author(owner).open();
                }
                assert_eq!(own, 1);
                feature()
            },
            "open, acme/web#1, by ann",
        ),
        (
            "one branch into more branches than a page holds",
            |github| {
                for base in OWNERS {
                    github.repository(WEB).push(base);
                    pull(github).base(base).open();
                }
                feature()
            },
            "open, acme/web#7, by ann",
        ),
    ]
}

/// Forks with a pull request each from a branch of the same name.
fn many_forks(github: &GitHub) {
    for owner in OWNERS {
        let fork = format!("{owner}/web");
        github.fork(WEB, owner);
        github.repository(&fork).push("feature");
        from(github, &fork).author(owner).open();
    }
}

fn several() -> Vec<Row> {
    fn two(github: &GitHub) -> LeasedRef {
        github.repository(WEB).push("release");
        let first = pull(github).open();
        pull(github).base("release").open();
        linked(github, feature(), WEB, first)
    }
    vec![
        (
            "a known one, and a later one of the same branch",
            |github| reported_again(two(github)),
            "open, acme/web#2, by ann",
        ),
        (
            "a known one whose fork is gone, and one of a new fork",
            |github| {
                let refork = refork(github);
                from(github, "ann/web").open();
                refork
            },
            "open, acme/web#2, by ann",
        ),
        (
            "a known one whose fork is gone, and a new fork without one",
            refork,
            "open, acme/web#1, by ann",
        ),
    ]
}

/// A fork that was made again under the name of one that is gone, whose pull request is known.
fn refork(github: &GitHub) -> LeasedRef {
    let fork = fork_of(github, WEB, "ann");
    let number = from(github, "ann/web").open();
    let known = linked(github, fork, WEB, number);
    github.delete_repository("ann/web");
    fork_of(github, WEB, "ann");
    known
}

fn identity() -> Vec<Row> {
    vec![
        (
            "a known one, whose number is another repository's by now",
            |github| {
                let number = pull(github).open();
                let known = linked(github, feature(), WEB, number);
                github.delete_repository(WEB);
                github.repository(WEB).grant(&github.user("ann"));
                pull(github).title("Another").open();
                known
            },
            "gone",
        ),
        (
            "a known one of a repository that was transferred and forked back",
            |github| {
                let number = pull(github).open();
                let known = linked(github, feature(), WEB, number);
                github.rename(WEB, "acorp/web");
                github.fork("acorp/web", "acme");
                known
            },
            "open, acorp/web#1, by ann",
        ),
    ]
}

/// Promise 14. One chat knows the first of two open pull requests of a branch, another knows none.
#[tokio::test]
async fn the_chats_of_a_branch_are_shown_the_same_of_several_open_pull_requests() {
    for refresher in [engine(), refresher()] {
        let (github, token) = world().await;
        github.repository(WEB).push("release");
        let first = pull(&github).open();
        pull(&github).base("release").open();
        let known = LeasedRef {
            id: ref_id("known"),
            ..knowing(feature(), WEB, first)
        };
        let refs = vec![known, feature()];
        let lease = lease(vec![group(&github, &token, refs)]);
        let refreshed = refresh(&refresher, lease).await;
        for name in ["known", "r"] {
            assert_eq!(refreshed.found(name).shown.number, 2, "{name}");
        }
    }
}

/// Promise 14. A stranger chooses the title and the address of what they open.
#[tokio::test]
async fn a_strangers_pull_request_from_our_branch_is_never_shown() {
    let (github, token) = world().await;
    open_to_all(&github);
    let own = pull(&github).merged();
    for owner in OWNERS {
        strangers(&github, owner, WEB, "feature");
    }
    let known = linked(&github, feature(), WEB, own);
    let other = LeasedRef {
        canonical_repository: Some(path(WEB)),
        ..pushed(&github, feature())
    };
    for (git_ref, expected) in [
        (known.clone(), "merged, acme/web#1, by ann"),
        (reported_again(known), "merged, acme/web#1, by ann"),
        (feature(), "none"),
        (other, "none"),
    ] {
        for outcome in looked_up(&github, &token, &git_ref).await {
            assert_eq!(summary(&outcome), expected);
        }
    }
}
