//! Forks, renamed repositories, and names of all kinds.

use proto::sync::{LeasedRef, Upstream};
use testkit::github::{GitHub, NewPullRequest};

use super::{Row, WEB, called, feature, linked, pull};
use crate::support::{git_ref, knowing, path};

/// `ann/web`, a fork of `acme/web` with the branch `feature`.
fn fork(github: &GitHub) -> LeasedRef {
    github.fork(WEB, "ann");
    github.repository("ann/web").push("feature");
    LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", "ann/web", "feature")
    }
}

/// Opens a pull request from the fork.
fn from_fork(github: &GitHub) -> NewPullRequest {
    pull(github).from_fork("ann/web")
}

fn named(github: &GitHub, branch: &str) -> LeasedRef {
    github.pull_request(WEB).head(branch).author("ann").open();
    git_ref("r", WEB, branch)
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        (
            "a fork's, in what it is a fork of",
            |github| {
                let fork = fork(github);
                from_fork(github).open();
                fork
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork's, which is known",
            |github| {
                let fork = fork(github);
                let pull = from_fork(github).open();
                linked(github, fork, WEB, pull)
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork's own",
            |github| {
                let fork = fork(github);
                from_fork(github).open();
                github
                    .pull_request("ann/web")
                    .head("feature")
                    .author("ann")
                    .open();
                fork
            },
            "open, ann/web#1, by ann",
        ),
        (
            "a fork's, whose branch is gone",
            |github| {
                let fork = fork(github);
                from_fork(github).open();
                github.repository("ann/web").delete_branch("feature");
                fork
            },
            "open, acme/web#1, by ann",
        ),
        ("a fork without one", fork, "none"),
        (
            "a fork's, with the wrong upstream remembered",
            |github| {
                let fork = fork(github);
                from_fork(github).open();
                LeasedRef {
                    upstream: Upstream::Of(path("acme/gone")),
                    ..fork
                }
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a merged one whose fork is gone",
            |github| {
                let fork = fork(github);
                let pull = from_fork(github).open();
                github.merge(WEB, pull);
                let linked = linked(github, fork, WEB, pull);
                github.delete_repository("ann/web");
                linked
            },
            "merged, acme/web#1, by ann",
        ),
        (
            "an open one whose fork is gone",
            |github| {
                let fork = fork(github);
                let pull = from_fork(github).open();
                let linked = linked(github, fork, WEB, pull);
                github.delete_repository("ann/web");
                linked
            },
            "open, acme/web#1, by ann",
        ),
        (
            "another fork's of the same branch name",
            |github| {
                fork(github);
                from_fork(github).open();
                feature()
            },
            "none",
        ),
        (
            "another fork's, which was taken for its own",
            |github| {
                fork(github);
                let pull = from_fork(github).open();
                linked(github, feature(), WEB, pull)
            },
            "none",
        ),
        (
            "in a renamed repository",
            |github| {
                pull(github).open();
                github.rename(WEB, "acme/site");
                feature()
            },
            "open, acme/site#1, by ann",
        ),
        (
            "in a repository of a new owner",
            |github| {
                pull(github).open();
                github.organization("acorp");
                github.rename(WEB, "acorp/site");
                feature()
            },
            "open, acorp/site#1, by ann",
        ),
        (
            "known, in a renamed repository",
            |github| {
                let pull = pull(github).open();
                let linked = linked(github, feature(), WEB, pull);
                github.rename(WEB, "acme/site");
                linked
            },
            "open, acme/site#1, by ann",
        ),
        (
            "known by its number, in a renamed repository",
            |github| {
                let pull = pull(github).open();
                github.rename(WEB, "acme/site");
                knowing(feature(), WEB, pull)
            },
            "open, acme/site#1, by ann",
        ),
        (
            "known, of a renamed fork",
            |github| {
                let fork = fork(github);
                let pull = from_fork(github).open();
                let linked = linked(github, fork, WEB, pull);
                github.rename("ann/web", "ann/site");
                linked
            },
            "open, acme/web#1, by ann",
        ),
        (
            "by the name that the host used last",
            |github| {
                pull(github).open();
                github.rename(WEB, "acme/site");
                called(feature(), "acme/site")
            },
            "open, acme/site#1, by ann",
        ),
        (
            "by a name that leads nowhere any more",
            |github| {
                pull(github).open();
                called(feature(), "acme/gone")
            },
            "open, acme/web#1, by ann",
        ),
        (
            "the repository's name in another case",
            |github| {
                pull(github).open();
                git_ref("r", "ACME/Web", "feature")
            },
            "open, acme/web#1, by ann",
        ),
        (
            "the branch's name in another case",
            |github| {
                pull(github).open();
                git_ref("r", WEB, "Feature")
            },
            "none",
        ),
        (
            "a branch with slashes and a plus",
            |github| named(github, "feat/a+b"),
            "open, acme/web#1, by ann",
        ),
        (
            "a branch beyond ASCII",
            |github| named(github, "ünï/cödé"),
            "open, acme/web#1, by ann",
        ),
        (
            "a branch with quotes and braces",
            |github| named(github, "a\"b}c#d"),
            "open, acme/web#1, by ann",
        ),
        (
            "a branch with a percent sign",
            |github| named(github, "100%25&x=y"),
            "open, acme/web#1, by ann",
        ),
        (
            "a branch like a variable",
            |github| named(github, "$owner0"),
            "open, acme/web#1, by ann",
        ),
        (
            "in a public repository of others",
            |github| {
                github.repository("else/lib").public();
                github
                    .pull_request("else/lib")
                    .head("feature")
                    .author("eve")
                    .open();
                git_ref("r", "else/lib", "feature")
            },
            "open, else/lib#1, by eve",
        ),
        (
            "in an archived repository",
            |github| {
                pull(github).open();
                github.repository(WEB).archived();
                feature()
            },
            "open, acme/web#1, by ann",
        ),
    ]
}
