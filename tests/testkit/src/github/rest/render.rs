//! The model as GitHub's JSON: a published example, with what the model knows written over it.

use serde_json::{Value, json};

use super::template::{self, Names, Object};
use crate::github::limit::RateLimit;
use crate::github::model::{Account, AccountId, AccountKind, Model, Repository};
use crate::github::pull_request::{Mergeable, PullRequest, PullRequestState, Review, ReviewState};
use crate::github::state::World;

/// GitHub's account in place of those that are gone, where there must be one.
const GHOST: &str = "ghost";

/// Renders for one viewer, with addresses of the way that they came.
pub(super) struct Renderer<'a> {
    model: &'a Model,
    api: String,
    web: &'a str,
    viewer: Option<AccountId>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(world: &'a World, prefix: &str, viewer: Option<AccountId>) -> Self {
        Self {
            model: &world.model,
            api: format!("{}{prefix}", world.api_base),
            web: &world.web_base,
            viewer,
        }
    }

    /// The address by number of something in a repository, which GitHub uses in links.
    pub(super) fn repository_api(&self, repository: &Repository, path: &str) -> String {
        format!("{}/repositories/{}/{path}", self.api, repository.id)
    }

    /// The login before the colon in a pull request's head.
    pub(super) fn head_owner<'b>(&'b self, pull_request: &'b PullRequest) -> &'b str {
        let account = self.model.account(pull_request.head.owner);
        account.map_or(pull_request.head.owner_login.as_str(), |account| {
            account.login.as_str()
        })
    }

    pub(super) fn private_user(&self, account: &Account) -> Value {
        let mut user = template::fill(&template::PRIVATE_USER, &self.user_names(account));
        self.overwrite_user(&mut user, account);
        user.insert("name".to_owned(), json!(account.login));
        user.insert(
            "email".to_owned(),
            json!(format!("{}@example.com", account.login)),
        );
        Value::Object(user)
    }

    pub(super) fn full_repository(&self, repository: &Repository) -> Value {
        let mut body = self.repository(repository, &template::FULL_REPOSITORY);
        let parent = repository.fork_of.and_then(|id| self.model.repository(id));
        match parent {
            Some(parent) => {
                let rendered = self.repository(parent, &template::SIMPLE_REPOSITORY);
                body.insert("source".to_owned(), Value::Object(rendered.clone()));
                body.insert("parent".to_owned(), Value::Object(rendered));
            }
            None => {
                body.remove("source");
                body.remove("parent");
            }
        }
        let visibility = if repository.private {
            "private"
        } else {
            "public"
        };
        body.insert("visibility".to_owned(), json!(visibility));
        body.insert("template_repository".to_owned(), Value::Null);
        let owner = self.model.account(repository.owner);
        if owner.is_some_and(|owner| owner.kind == AccountKind::Organization) {
            body.insert("organization".to_owned(), self.user(repository.owner));
        } else {
            body.remove("organization");
        }
        Value::Object(body)
    }

    /// A pull request with everything, as the single endpoint gives it.
    pub(super) fn pull_request(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
    ) -> Value {
        let mut body = self.pull_request_base(repository, pull_request, &template::PULL_REQUEST);
        let merged_by = match &pull_request.state {
            PullRequestState::Merged { by, commit: _ } => self.user(*by),
            PullRequestState::Open | PullRequestState::Closed => Value::Null,
        };
        let (mergeable, mergeable_state) = match pull_request.mergeable() {
            Mergeable::Mergeable => (json!(true), "clean"),
            Mergeable::Conflicting => (json!(false), "dirty"),
            Mergeable::Unknown => (Value::Null, "unknown"),
        };
        overwrite(
            &mut body,
            json!({
                "merged": pull_request.is_merged(),
                "merged_by": merged_by,
                "mergeable": mergeable,
                "rebaseable": mergeable,
                "mergeable_state": mergeable_state,
                "additions": pull_request.additions,
                "deletions": pull_request.deletions,
                "changed_files": pull_request.changed_files,
                "commits": pull_request.commits,
            }),
        );
        Value::Object(body)
    }

    /// A pull request as lists give it.
    pub(super) fn pull_request_item(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
    ) -> Value {
        let template = &template::PULL_REQUEST_ITEM;
        Value::Object(self.pull_request_base(repository, pull_request, template))
    }

    pub(super) fn review(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
        review: &Review,
    ) -> Value {
        let full_name = self.model.full_name(repository);
        let mut body = template::fill(&template::REVIEW, &self.repository_names(&full_name));
        let page = format!("{}/{full_name}/pull/{}", self.web, pull_request.number);
        let html_url = format!("{page}#pullrequestreview-{}", review.id);
        let pull_request_url = format!(
            "{}/repos/{full_name}/pulls/{}",
            self.api, pull_request.number
        );
        overwrite(
            &mut body,
            json!({
                "id": review.id,
                "node_id": review.node_id(),
                "user": self.user(review.author),
                "state": review.state.as_str(),
                "html_url": html_url,
                "pull_request_url": pull_request_url,
                "_links": {"html": {"href": html_url}, "pull_request": {"href": pull_request_url}},
                "submitted_at": review.submitted_at,
                "commit_id": review.commit,
            }),
        );
        if review.state == ReviewState::Pending {
            body.remove("submitted_at");
        }
        Value::Object(body)
    }

    fn pull_request_base(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
        template: &Object,
    ) -> Object {
        let full_name = self.model.full_name(repository);
        let mut body = template::fill(template, &self.repository_names(&full_name));
        let number = pull_request.number;
        let api = format!("{}/repos/{full_name}", self.api);
        let web = format!("{}/{full_name}/pull/{number}", self.web);
        let (pulls, issues) = (
            format!("{api}/pulls/{number}"),
            format!("{api}/issues/{number}"),
        );
        let statuses = format!("{api}/statuses/{}", pull_request.head.sha);
        let merge_commit = match &pull_request.state {
            PullRequestState::Merged { by: _, commit } => json!(commit),
            PullRequestState::Open | PullRequestState::Closed => Value::Null,
        };
        let merged_at = pull_request.closed_at.filter(|_| pull_request.is_merged());
        overwrite(
            &mut body,
            json!({
                "id": pull_request.id,
                "node_id": pull_request.node_id(),
                "number": number,
                "url": pulls,
                "html_url": web,
                "diff_url": format!("{web}.diff"),
                "patch_url": format!("{web}.patch"),
                "issue_url": issues,
                "commits_url": format!("{pulls}/commits"),
                "review_comments_url": format!("{pulls}/comments"),
                "comments_url": format!("{issues}/comments"),
                "statuses_url": statuses,
                "_links": {
                    "self": {"href": pulls},
                    "html": {"href": web},
                    "issue": {"href": issues},
                    "comments": {"href": format!("{issues}/comments")},
                    "review_comments": {"href": format!("{pulls}/comments")},
                    "review_comment": {"href": format!("{api}/pulls/comments{{/number}}")},
                    "commits": {"href": format!("{pulls}/commits")},
                    "statuses": {"href": statuses},
                },
                "state": if pull_request.is_open() { "open" } else { "closed" },
                "locked": false,
                "active_lock_reason": null,
                "title": pull_request.title,
                "draft": pull_request.draft,
                "user": self.user(pull_request.author),
                "created_at": pull_request.created_at,
                "updated_at": pull_request.updated_at,
                "closed_at": pull_request.closed_at,
                "merged_at": merged_at,
                "merge_commit_sha": merge_commit,
                "head": self.head(pull_request),
                "base": {
                    "label": format!("{}:{}", self.login(repository.owner), pull_request.base_branch),
                    "ref": pull_request.base_branch,
                    "sha": pull_request.base_sha,
                    "user": self.user(repository.owner),
                    "repo": self.repository(repository, &template::SIMPLE_REPOSITORY),
                },
            }),
        );
        body
    }

    fn head(&self, pull_request: &PullRequest) -> Value {
        let head = &pull_request.head;
        let repository = self
            .model
            .repository(head.repository)
            .map_or(Value::Null, |found| {
                Value::Object(self.repository(found, &template::SIMPLE_REPOSITORY))
            });
        json!({
            "label": format!("{}:{}", self.head_owner(pull_request), head.branch),
            "ref": head.branch,
            "sha": head.sha,
            "user": self.user(head.owner),
            "repo": repository,
        })
    }

    fn repository(&self, repository: &Repository, template: &Object) -> Object {
        let full_name = self.model.full_name(repository);
        let mut body = template::fill(template, &self.repository_names(&full_name));
        let open = repository.open_count;
        let is_owner = Some(repository.owner) == self.viewer;
        let may_push = is_owner
            || self
                .viewer
                .is_some_and(|viewer| repository.access.contains(&viewer));
        overwrite(
            &mut body,
            json!({
                "id": repository.id,
                "node_id": repository.node_id(),
                "name": repository.name,
                "full_name": full_name,
                "owner": self.user(repository.owner),
                "private": repository.private,
                "fork": repository.fork_of.is_some(),
                "archived": repository.archived,
                "default_branch": repository.default_branch,
                "created_at": repository.created_at,
                "open_issues_count": open,
                "open_issues": open,
                "permissions": {"admin": is_owner, "push": may_push, "pull": true},
            }),
        );
        body
    }

    /// The account, or `null` if it is gone.
    fn user(&self, id: AccountId) -> Value {
        let Some(account) = self.model.account(id) else {
            return Value::Null;
        };
        let mut user = template::fill(&template::SIMPLE_USER, &self.user_names(account));
        self.overwrite_user(&mut user, account);
        Value::Object(user)
    }

    fn overwrite_user(&self, user: &mut Object, account: &Account) {
        overwrite(
            user,
            json!({
                "login": account.login,
                "id": account.id,
                "node_id": account.node_id(),
                "avatar_url": account.avatar_url,
                "html_url": format!("{}/{}", self.web, account.login),
                "type": account.kind.as_str(),
            }),
        );
    }

    fn login(&self, id: AccountId) -> &str {
        self.model
            .account(id)
            .map_or(GHOST, |account| account.login.as_str())
    }

    fn user_names<'b>(&'b self, account: &'b Account) -> Names<'b> {
        Names {
            api: &self.api,
            web: self.web,
            full_name: "",
            login: &account.login,
        }
    }

    fn repository_names<'b>(&'b self, full_name: &'b str) -> Names<'b> {
        let login = full_name.split('/').next().unwrap_or(GHOST);
        Names {
            api: &self.api,
            web: self.web,
            full_name,
            login,
        }
    }
}

/// The state of both limits among the example's others.
pub(super) fn rate_limit(core: &RateLimit, graphql: &RateLimit) -> Value {
    let bucket = |bucket: &RateLimit| {
        json!({
            "limit": bucket.limit,
            "used": bucket.used,
            "remaining": bucket.remaining,
            "reset": bucket.reset,
        })
    };
    let mut body = template::RATE_LIMIT.clone();
    if let Some(Value::Object(resources)) = body.get_mut("resources") {
        resources.insert("core".to_owned(), bucket(core));
        resources.insert("graphql".to_owned(), bucket(graphql));
    }
    body.insert("rate".to_owned(), bucket(core));
    Value::Object(body)
}

fn overwrite(object: &mut Object, members: Value) {
    if let Value::Object(members) = members {
        object.extend(members);
    }
}
