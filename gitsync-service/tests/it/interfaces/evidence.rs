//! Evidence: which pull requests hold the pushed commit.

use std::time::Duration;

use jiff::SignedDuration;
use proto::sync::LeasedRef;
use testkit::github::GitHub;

use super::{
    Row, WEB, feature, linked, pull,
    whose::{fork_of, from, open_to_all, pushed, reported_again},
};
use crate::support::git_ref;

/// Has a pull request settled so long ago.
fn settled_ago(github: &GitHub, number: u64, ago: SignedDuration) {
    github.edit_pull_request(WEB, number, |pull| {
        pull.closed_at = pull.closed_at.map(|at| at - ago);
    });
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = holding();
    rows.extend(default_branches());
    rows
}

fn holding() -> Vec<Row> {
    vec![
        (
            "merged before the first look, from a fork that is kept",
            |github| {
                let fork = pushed(github, fork_of(github, WEB, "ann"));
                let number = from(github, "ann/web").open();
                github.merge(WEB, number);
                fork
            },
            "merged, acme/web#1, by ann, the last push is in it",
        ),
        (
            "merged before the first look, after its branch was updated",
            |github| {
                let reported = pushed(github, feature());
                let number = pull(github).open();
                github.repository(WEB).push("feature");
                github.merge(WEB, number);
                github.repository(WEB).delete_branch("feature");
                reported
            },
            "merged, acme/web#1, by ann, the last push is in it",
        ),
        (
            "merged before the first look, and many of that name since",
            |github| {
                let reported = pushed(github, feature());
                pull(github).merged();
                for _ in 0..40 {
                    github.repository(WEB).push("feature");
                    pull(github).merged();
                }
                reported
            },
            "merged, acme/web#1, by ann, the last push is in it",
        ),
        (
            "merged at the pushed commit before that was first reported",
            |github| {
                let reported = pushed(github, feature());
                let number = pull(github).merged();
                settled_ago(github, number, SignedDuration::from_hours(48));
                reported
            },
            "none",
        ),
        (
            "merged at the pushed commit after that was first reported",
            |github| {
                let reported = pushed(github, feature());
                let number = pull(github).merged();
                settled_ago(github, number, SignedDuration::from_hours(48));
                LeasedRef {
                    since_first_reported: Duration::from_secs(49 * 60 * 60),
                    ..reported
                }
            },
            "merged, acme/web#1, by ann, the last push is in it",
        ),
        (
            "another fork's with the pushed commit",
            |github| {
                open_to_all(github);
                let reported = pushed(github, feature());
                github.fork(WEB, "eve");
                let number = from(github, "eve/web").author("eve").open();
                github.merge(WEB, number);
                reported
            },
            "none",
        ),
        (
            "a commit that is named by a part of its id",
            |github| {
                pull(github).merged();
                LeasedRef {
                    commit: Some("0123456789".to_owned()),
                    ..feature()
                }
            },
            "none",
        ),
        (
            "merged, and nothing was pushed since",
            |github| {
                let reported = pushed(github, feature());
                let number = pull(github).open();
                github.repository(WEB).push("feature");
                github.merge(WEB, number);
                linked(github, reported, WEB, number)
            },
            "merged, acme/web#1, by ann, the last push is in it",
        ),
        (
            "merged, and more was pushed since",
            |github| {
                let number = pull(github).merged();
                pushed(github, linked(github, feature(), WEB, number))
            },
            "merged, acme/web#1, by ann, pushed since",
        ),
        (
            "merged from a fork, and more was pushed since",
            |github| {
                let fork = fork_of(github, WEB, "ann");
                let number = from(github, "ann/web").merged();
                pushed(github, linked(github, fork, WEB, number))
            },
            "merged, acme/web#1, by ann, pushed since",
        ),
        (
            "merged, and more was pushed since, for which there is a new one",
            |github| {
                let number = pull(github).merged();
                let reported = pushed(github, linked(github, feature(), WEB, number));
                pull(github).open();
                reported
            },
            "open, acme/web#2, by ann",
        ),
        (
            "not known, and more was pushed since it was merged",
            |github| {
                pull(github).merged();
                pushed(github, feature())
            },
            "none",
        ),
    ]
}

fn default_branches() -> Vec<Row> {
    fn deployed(github: &GitHub) -> (LeasedRef, u64) {
        github.repository(WEB).push("production");
        let deploy = github.pull_request(WEB).head("main").base("production");
        let number = deploy.author("ann").open();
        (git_ref("r", WEB, "main"), number)
    }
    vec![
        (
            "the default branch's, by its name alone",
            |github| deployed(github).0,
            "none",
        ),
        (
            "the default branch's, with another commit",
            |github| LeasedRef {
                commit: Some(github.repository(WEB).push("other")),
                ..deployed(github).0
            },
            "none",
        ),
        (
            "the default branch's, with the pushed commit",
            |github| {
                let (main, _) = deployed(github);
                let reported = pushed(github, main);
                github.repository(WEB).push("main");
                reported
            },
            "open, acme/web#1, by ann",
        ),
        (
            "the default branch's, which is known",
            |github| {
                let (main, number) = deployed(github);
                reported_again(linked(github, main, WEB, number))
            },
            "open, acme/web#1, by ann",
        ),
        (
            "a fork's default branch's, by its name alone",
            |github| {
                let fork = fork_of(github, WEB, "ann");
                from(github, "ann/web").head("main").open();
                LeasedRef {
                    branch: "main".to_owned(),
                    ..fork
                }
            },
            "none",
        ),
    ]
}
