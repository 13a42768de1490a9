//! States of a pull request, and which of several is the branch's.

use proto::sync::LeasedRef;
use testkit::github::{Barrier, GitHub};

use super::{Row, WEB, feature, linked, pull};
use crate::support::knowing;

fn at_commit_of(github: &GitHub, pull: u64) -> LeasedRef {
    let model = github.find_pull_request(WEB, pull).unwrap();
    LeasedRef {
        commit: Some(model.head.sha),
        ..feature()
    }
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        (
            "open",
            |github| {
                pull(github).open();
                feature()
            },
            "open, acme/web#1, by ann",
        ),
        (
            "draft",
            |github| {
                pull(github).draft().open();
                feature()
            },
            "open, acme/web#1, by ann, draft",
        ),
        ("without a pull request", |_| feature(), "none"),
        (
            "merged, and known",
            |github| {
                let pull = pull(github).merged();
                linked(github, feature(), WEB, pull)
            },
            "merged, acme/web#1, by ann",
        ),
        (
            "closed, and known",
            |github| {
                let pull = pull(github).closed();
                linked(github, feature(), WEB, pull)
            },
            "closed, acme/web#1, by ann",
        ),
        (
            "closed as a draft, and known",
            |github| {
                let pull = pull(github).draft().closed();
                linked(github, feature(), WEB, pull)
            },
            "closed, acme/web#1, by ann, draft",
        ),
        (
            "known by its number alone",
            |github| {
                let pull = pull(github).open();
                knowing(feature(), WEB, pull)
            },
            "open, acme/web#1, by ann",
        ),
        (
            "merged since it was linked",
            |github| {
                let pull = pull(github).open();
                let linked = linked(github, feature(), WEB, pull);
                github.merge(WEB, pull);
                linked
            },
            "merged, acme/web#1, by ann",
        ),
        (
            "reopened since it was linked",
            |github| {
                let pull = pull(github).closed();
                let linked = linked(github, feature(), WEB, pull);
                github.reopen(WEB, pull);
                linked
            },
            "open, acme/web#1, by ann",
        ),
        (
            "merged, and not known",
            |github| {
                pull(github).merged();
                feature()
            },
            "none",
        ),
        (
            "merged at the pushed commit",
            |github| {
                let pull = pull(github).merged();
                at_commit_of(github, pull)
            },
            "merged, acme/web#1, by ann, the last push is in it",
        ),
        (
            "closed at the pushed commit",
            |github| {
                let pull = pull(github).closed();
                at_commit_of(github, pull)
            },
            "closed, acme/web#1, by ann",
        ),
        (
            "merged at another commit than the pushed one",
            |github| {
                pull(github).merged();
                LeasedRef {
                    commit: Some("0".repeat(40)),
                    ..feature()
                }
            },
            "none",
        ),
        (
            "open beside a settled one at the pushed commit",
            |github| {
                let settled = pull(github).closed();
                pull(github).open();
                at_commit_of(github, settled)
            },
            "open, acme/web#2, by ann",
        ),
        (
            "a branch that is used again, whose settled one is known",
            |github| {
                let settled = pull(github).merged();
                let linked = linked(github, feature(), WEB, settled);
                pull(github).open();
                linked
            },
            "open, acme/web#2, by ann",
        ),
        (
            "a branch with more settled ones than a page holds, and a pushed commit",
            |github| {
                pull(github).open();
                for _ in 0..31 {
                    pull(github).merged();
                }
                github.repository(WEB).push("feature");
                LeasedRef {
                    commit: Some("0".repeat(40)),
                    ..feature()
                }
            },
            "open, acme/web#1, by ann",
        ),
        (
            "several open ones",
            |github| {
                github.repository(WEB).push("release");
                let first = pull(github).open();
                pull(github).base("release").open();
                github.edit_pull_request(WEB, first, |pull| pull.title.push('!'));
                feature()
            },
            "open, acme/web#2, by ann",
        ),
        (
            "a known one of another branch",
            |github| {
                let other = github.pull_request(WEB).head("other").open();
                linked(github, feature(), WEB, other)
            },
            "none",
        ),
        (
            "a known one of another branch, and one of its own",
            |github| {
                let other = github.pull_request(WEB).head("other").open();
                pull(github).open();
                linked(github, feature(), WEB, other)
            },
            "open, acme/web#2, by ann",
        ),
        (
            "a known one that lists leave out for a moment",
            |github| {
                let pull = pull(github).open();
                github.bar("acme/web#1", Barrier::Unlisted);
                linked(github, feature(), WEB, pull)
            },
            "open, acme/web#1, by ann",
        ),
    ]
}
