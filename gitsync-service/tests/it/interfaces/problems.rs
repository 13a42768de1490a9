//! What keeps a pull request from being seen.

use proto::sync::LeasedRef;
use testkit::github::{Barrier, GitHub};

use super::{Row, WEB, called, feature, linked, pull};
use crate::support::{git_ref, knowing};

fn barred(github: &GitHub, barrier: Barrier) -> LeasedRef {
    pull(github).open();
    github.bar(WEB, barrier);
    feature()
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        (
            "in a repository that does not exist",
            |_| git_ref("r", "acme/none", "feature"),
            "repository repository_not_found",
        ),
        (
            "in a repository that may not be seen",
            |github| {
                github.repository("else/secret");
                github.pull_request("else/secret").head("feature").open();
                git_ref("r", "else/secret", "feature")
            },
            "repository repository_not_found",
        ),
        (
            "in a repository that is deleted, and known",
            |github| {
                let pull = pull(github).open();
                let linked = linked(github, feature(), WEB, pull);
                github.delete_repository(WEB);
                linked
            },
            "repository repository_not_found",
        ),
        (
            "in a repository that was deleted after it was renamed",
            |github| {
                github.delete_repository(WEB);
                called(feature(), "acme/gone")
            },
            "ref repository_not_found",
        ),
        (
            "a known number that does not exist",
            |_| knowing(feature(), WEB, 99),
            "gone",
        ),
        (
            "a known id and number that do not exist",
            |_| {
                let mut gone = knowing(feature(), WEB, 99);
                gone.known.as_mut().unwrap().host_id = Some("PR_kwDOFFFFFFFF".to_owned());
                gone
            },
            "gone",
        ),
        (
            "a known number in a repository that does not exist",
            |_| knowing(git_ref("r", "acme/none", "feature"), "acme/none", 1),
            "repository repository_not_found",
        ),
        (
            "a known one that the host does not show",
            |github| {
                let pull = pull(github).open();
                github.bar("acme/web#1", Barrier::NotFound);
                linked(github, feature(), WEB, pull)
            },
            "gone",
        ),
        (
            "behind single sign-on",
            |github| barred(github, Barrier::SingleSignOn),
            "repository sso_required",
        ),
        (
            "without permission",
            |github| barred(github, Barrier::NoPermission),
            "repository access_denied",
        ),
        (
            "from an address that is not allowed",
            |github| barred(github, Barrier::AddressNotAllowed),
            "repository address_not_allowed",
        ),
        (
            "in a repository that is blocked",
            |github| barred(github, Barrier::Blocked { status: 451 }),
            "repository repository_blocked",
        ),
        (
            "in a repository that is hidden",
            |github| barred(github, Barrier::NotFound),
            "repository repository_not_found",
        ),
        (
            "without a branch",
            |_| git_ref("r", WEB, ""),
            "ref internal",
        ),
        (
            "with a known repository that does not exist",
            |_| knowing(feature(), "not a name", 1),
            "ref internal",
        ),
        (
            "in a repository whose path has three parts",
            |_| git_ref("r", "group/sub/project", "feature"),
            "repository repository_not_found",
        ),
    ]
}
