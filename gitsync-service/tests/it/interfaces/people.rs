//! Authors, avatars, reviews, and numbers.

use proto::sync::LeasedRef;
use testkit::github::{GitHub, ReviewState};

use super::{Row, WEB, feature, pull};

fn reviewed(github: &GitHub, reviews: &[(&str, ReviewState)]) -> LeasedRef {
    let pull = pull(github).open();
    for (login, state) in reviews {
        github.review(WEB, pull, login, *state);
    }
    feature()
}

fn drawn(github: &GitHub, avatar: &str) -> LeasedRef {
    github.user("ann").set_avatar_url(avatar);
    pull(github).open();
    feature()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        (
            "by a bot",
            |github| {
                github.bot("renovate[bot]");
                pull(github).author("renovate[bot]").open();
                feature()
            },
            "open, acme/web#1, by renovate",
        ),
        (
            "by an account that is deleted",
            |github| {
                pull(github).author("eve").open();
                github.delete_user("eve");
                feature()
            },
            "open, acme/web#1, by -",
        ),
        (
            "by the account that stands for deleted ones",
            |github| {
                pull(github).author("eve").open();
                github.delete_user("eve");
                github.set_ghosts(true);
                feature()
            },
            "open, acme/web#1, by -",
        ),
        (
            "an avatar with a version",
            |github| drawn(github, "https://avatars.example.com/u/1?v=4"),
            "open, acme/web#1, by ann",
        ),
        (
            "an avatar with a size and a signature",
            |github| drawn(github, "https://avatars.example.com/u/1?s=40&u=0a1b&v=4"),
            "open, acme/web#1, by ann",
        ),
        (
            "an avatar that is no address",
            |github| drawn(github, "none"),
            "open, acme/web#1, by ann",
        ),
        (
            "approved",
            |github| reviewed(github, &[("bob", ReviewState::Approved)]),
            "open, acme/web#1, by ann, approved, 1 reviewers",
        ),
        (
            "with changes requested",
            |github| {
                reviewed(
                    github,
                    &[
                        ("bob", ReviewState::Approved),
                        ("carl", ReviewState::ChangesRequested),
                    ],
                )
            },
            "open, acme/web#1, by ann, changes requested in 1, 2 reviewers",
        ),
        (
            "approved after changes were requested",
            |github| {
                reviewed(
                    github,
                    &[
                        ("bob", ReviewState::ChangesRequested),
                        ("bob", ReviewState::Approved),
                        ("bob", ReviewState::Commented),
                    ],
                )
            },
            "open, acme/web#1, by ann, approved, 1 reviewers",
        ),
        (
            "with a review that was dismissed",
            |github| {
                let pull = pull(github).open();
                let review = github.review(WEB, pull, "bob", ReviewState::ChangesRequested);
                github.dismiss_review(WEB, pull, review);
                feature()
            },
            "open, acme/web#1, by ann, 1 reviewers",
        ),
        (
            "with remarks and a pending review",
            |github| {
                reviewed(
                    github,
                    &[
                        ("bob", ReviewState::Commented),
                        ("ann", ReviewState::Pending),
                    ],
                )
            },
            "open, acme/web#1, by ann",
        ),
        (
            "approved by an account that is deleted",
            |github| {
                let git_ref = reviewed(github, &[("eve", ReviewState::Approved)]);
                github.delete_user("eve");
                git_ref
            },
            "open, acme/web#1, by ann",
        ),
        (
            "approved where reviews are required",
            |github| {
                github.repository(WEB).require_reviews();
                reviewed(github, &[("bob", ReviewState::Approved)])
            },
            "open, acme/web#1, by ann, approved, 1 reviewers",
        ),
        (
            "with more reviewers than a page of GraphQL holds",
            |github| {
                github.repository(WEB).require_reviews();
                let pull = pull(github).open();
                for index in 0..25 {
                    github.review(WEB, pull, &format!("u{index}"), ReviewState::Approved);
                }
                feature()
            },
            "open, acme/web#1, by ann, approved, 25 reviewers",
        ),
        (
            "with a title that is longer than any that is kept",
            |github| {
                pull(github).title(&"ä".repeat(400)).open();
                feature()
            },
            "open, acme/web#1, by ann",
        ),
        (
            "with more lines than the contract counts",
            |github| {
                pull(github).diff(5_000_000_000, 7, 3).commits(4).open();
                feature()
            },
            "open, acme/web#1, by ann",
        ),
        (
            "more reviewers than most have, and one of the last requests changes",
            |github| many_reviewers(github, 25, ReviewState::Approved, 23),
            "open, acme/web#1, by ann, changes requested in 1, 25 reviewers",
        ),
        (
            "more reviewers than a page holds, and one of the last requests changes",
            |github| many_reviewers(github, 102, ReviewState::Approved, 101),
            "open, acme/web#1, by ann, changes requested in 1, 102 reviewers",
        ),
        (
            "an approval after many that were dismissed",
            |github| {
                let git_ref = many_reviewers(github, 25, ReviewState::Dismissed, 25);
                github.review(WEB, 1, "zoe", ReviewState::Approved);
                git_ref
            },
            "open, acme/web#1, by ann, approved, 26 reviewers",
        ),
    ]
}

/// A pull request with `count` reviewers, one of which requests changes.
fn many_reviewers(github: &GitHub, count: usize, state: ReviewState, critic: usize) -> LeasedRef {
    let pull = pull(github).open();
    for index in 0..count {
        let login = format!("reviewer-{index}");
        let critical = ReviewState::ChangesRequested;
        let state = if index == critic { critical } else { state };
        github.review(WEB, pull, &login, state);
    }
    feature()
}
