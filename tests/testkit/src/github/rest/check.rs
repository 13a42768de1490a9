//! Checks of a commit, and what a pull request waits for, as GitHub's JSON.

use serde_json::{Value, json};

use super::render::Renderer;
use super::template;
use crate::github::check::{CheckRun, CommitStatus, Requested};
use crate::github::model::Repository;
use crate::github::pull_request::PullRequest;

impl Renderer<'_> {
    pub(super) fn check_run(&self, repository: &Repository, sha: &str, run: &CheckRun) -> String {
        let full_name = self.model.full_name(repository);
        let api = format!("{}/repos/{full_name}/check-runs/{}", self.api, run.id);
        let page = format!("{}/{full_name}/runs/{}", self.web, run.id);
        let at = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
        json!({
            "id": run.id,
            "node_id": run.node_id(),
            "head_sha": sha,
            "external_id": run.id.to_string(),
            "url": api,
            "html_url": page,
            "details_url": page,
            "status": run.status.to_lowercase(),
            "conclusion": run.conclusion.map(str::to_lowercase),
            "started_at": at(run.started_at),
            "completed_at": at(run.completed_at),
            "output": {
                "title": null,
                "summary": null,
                "text": null,
                "annotations_count": 0,
                "annotations_url": format!("{api}/annotations"),
            },
            "name": run.name,
            "check_suite": {"id": run.suite},
            "app": null,
            "pull_requests": [],
        })
        .to_string()
    }

    pub(super) fn commit_status(
        &self,
        repository: &Repository,
        sha: &str,
        status: &CommitStatus,
    ) -> String {
        let full_name = self.model.full_name(repository);
        json!({
            "url": format!("{}/repos/{full_name}/statuses/{sha}", self.api),
            "avatar_url": null,
            "id": status.id,
            "node_id": status.node_id(),
            "state": status.state.to_lowercase(),
            "description": null,
            "target_url": format!("https://ci.example.com/{}", status.id),
            "context": status.context,
            "created_at": status.at.to_string(),
            "updated_at": status.at.to_string(),
        })
        .to_string()
    }

    /// The members of a commit's statuses beside the list.
    pub(super) fn combined_status(
        &self,
        repository: &Repository,
        sha: &str,
        statuses: &[&CommitStatus],
    ) -> Vec<(&'static str, String)> {
        let any = |words: &[&str]| statuses.iter().any(|status| words.contains(&status.state));
        let state = if any(&["FAILURE", "ERROR"]) {
            "failure"
        } else if statuses.is_empty() || any(&["PENDING"]) {
            "pending"
        } else {
            "success"
        };
        let commit = format!(
            "{}/repos/{}/commits/{sha}",
            self.api,
            self.model.full_name(repository)
        );
        vec![
            ("state", json!(state).to_string()),
            ("sha", json!(sha).to_string()),
            ("commit_url", json!(commit).to_string()),
            ("url", json!(format!("{commit}/status")).to_string()),
            (
                "repository",
                self.repository(repository, &template::SIMPLE_REPOSITORY),
            ),
        ]
    }

    /// The accounts and the teams that are asked for a review.
    pub(super) fn requested(&self, pull_request: &PullRequest) -> [String; 2] {
        let accounts = pull_request
            .requested
            .iter()
            .filter_map(|asked| match asked {
                Requested::Account(id) => self.model.account(*id).map(|found| self.user(found)),
                Requested::Team(_) => None,
            });
        let teams = pull_request
            .requested
            .iter()
            .filter_map(|asked| match asked {
                Requested::Team(slug) => Some(self.team(slug).to_string()),
                Requested::Account(_) => None,
            });
        let list = |items: Vec<String>| format!("[{}]", items.join(","));
        [list(accounts.collect()), list(teams.collect())]
    }

    fn team(&self, slug: &str) -> Value {
        let url = format!("{}/teams/1", self.api);
        json!({
            "id": 1,
            "node_id": "T_kwDO1",
            "name": slug,
            "slug": slug,
            "description": null,
            "privacy": "closed",
            "notification_setting": "notifications_enabled",
            "permission": "pull",
            "type": "organization",
            "url": url,
            "html_url": format!("{}/orgs/acme/teams/{slug}", self.web),
            "members_url": format!("{url}/members{{/member}}"),
            "repositories_url": format!("{url}/repos"),
            "parent": null,
        })
    }
}
