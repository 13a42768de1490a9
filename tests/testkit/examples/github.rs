//! The GitHub stand-in by itself, for people and for `.ci/certify-stand-in`.
//!
//! It fills a world with every state that its answers can show, prints where it listens as one line
//! of JSON, and serves until its standard input is closed:
//!
//! ```text
//! cargo run -p testkit --example github
//! ```

use std::io::{self, Read, Write};

use serde_json::{Value, json};
use testkit::github::{Barrier, GitHub, Mergeable, ReviewState, RunState, sample};

#[tokio::main]
async fn main() -> io::Result<()> {
    let github = GitHub::start().await;
    let world = fill(&github);
    let mut out = io::stdout();
    writeln!(out, "{world}")?;
    out.flush()?;
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest)?;
    github.stop().await;
    Ok(())
}

/// Builds the world, and says how to reach it.
fn fill(github: &GitHub) -> Value {
    sample::organization(github);
    let ann = github.user("ann");
    let token = ann.token();
    let web = github.repository("acme/web");
    web.grant(&ann);

    // A fork that is gone, a bot, an author who is gone, conflicts, and reviews in every state.
    github.bot("dependabot[bot]");
    let number = github
        .pull_request("acme/web")
        .head("deps")
        .author("dependabot[bot]")
        .open();
    for (reviewer, state) in [
        ("bob", ReviewState::Approved),
        ("carla", ReviewState::ChangesRequested),
        ("ann", ReviewState::Commented),
        ("ann", ReviewState::Pending),
        ("ghost-to-be", ReviewState::Approved),
    ] {
        github.review("acme/web", number, reviewer, state);
    }
    let dismissed = github.review("acme/web", number, "dmitri", ReviewState::Approved);
    github.dismiss_review("acme/web", number, dismissed);
    github.fork("acme/web", "leaver");
    let orphan = github
        .pull_request("acme/web")
        .head("patch-1")
        .from_fork("leaver/web")
        .author("ghost-to-be")
        .open();
    github.delete_repository("leaver/web");
    github.delete_user("ghost-to-be");
    github.set_ghosts(true);
    let conflicting = github.pull_request("acme/web").head("clash").open();
    github.edit_pull_request("acme/web", conflicting, |found| {
        found.mergeable = Mergeable::Conflicting;
        found.in_merge_queue = true;
        found.auto_merge = true;
    });
    let ended = |conclusion| RunState::Ended(github.now(), conclusion);
    for (workflow, name, state) in [
        (Some("CI"), "build", ended("FAILURE")),
        (Some("CI"), "build", ended("SUCCESS")),
        (Some("CI"), "test", RunState::Running(github.now())),
        (None, "deploy", RunState::Queued),
        (None, "lint", ended("SKIPPED")),
    ] {
        github.check_run("acme/web", conflicting, (workflow, name), state);
    }
    github.commit_status("acme/web", conflicting, "ci/old", "SUCCESS");
    github.commit_status("acme/web", conflicting, "ci/new", "PENDING");
    github.request_review("acme/web", conflicting, "bob");
    github.request_team_review("acme/web", conflicting, "platform");
    github.review_thread("acme/web", conflicting, true);
    github.review_thread("acme/web", conflicting, false);
    github
        .repository("acme/reviewed")
        .grant(&ann)
        .require_reviews()
        .protect_with("expected");
    for (branch, state) in [
        ("one", None),
        ("two", Some(ReviewState::Approved)),
        ("three", Some(ReviewState::ChangesRequested)),
    ] {
        let number = github.pull_request("acme/reviewed").head(branch).open();
        if let Some(state) = state {
            github.review("acme/reviewed", number, "bob", state);
        }
    }
    github.repository("acme/old-name").grant(&ann);
    github.pull_request("acme/old-name").open();
    github.rename("acme/old-name", "acme/new-name");
    github.repository("acme/empty").grant(&ann).archived();
    github.repository("saml/vault").grant(&ann);
    github.bar("saml", Barrier::SingleSignOn);

    let pull_requests: Vec<Value> = ["acme/web", "acme/api", "acme/mobile", "acme/reviewed"]
        .into_iter()
        .flat_map(|repository| {
            (1..).map_while(move |number| {
                let found = github.find_pull_request(repository, number)?;
                Some(json!({
                    "repository": repository,
                    "number": number,
                    "id": found.node_id(),
                    "branch": found.head.branch,
                }))
            })
        })
        .collect();
    json!({
        "api": github.api_base_url(),
        "graphql": github.graphql_url(),
        "token": token,
        "pull_requests": pull_requests,
        "orphan": orphan,
    })
}
