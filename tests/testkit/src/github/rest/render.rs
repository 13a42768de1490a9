//! The model as GitHub's JSON: a published example, with what the model knows written over it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::template::{self, Members, Names, Template};
use crate::github::answer::Incoming;
use crate::github::front::{API_VERSIONS, selected_version};
use crate::github::limit::RateLimit;
use crate::github::model::{Account, AccountId, AccountKind, Model, Repository};
use crate::github::pull_request::{Mergeable, PullRequest, PullRequestState, Review, ReviewState};
use crate::github::state::World;

/// GitHub's account in place of those that are gone, where there must be one.
const GHOST: &str = "ghost";

/// Renders for one viewer, with addresses of the way that they came. All methods give JSON.
pub(super) struct Renderer<'a> {
    pub(super) model: &'a Model,
    pub(super) api: String,
    pub(super) web: &'a str,
    viewer: Option<AccountId>,
    ghosts: bool,
    lean: bool,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(world: &'a World, incoming: &Incoming, viewer: Option<AccountId>) -> Self {
        Self {
            model: &world.model,
            api: format!("{}{}", world.api_base, incoming.prefix),
            web: &world.web_base,
            viewer,
            ghosts: world.ghosts,
            lean: is_lean(incoming),
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

    pub(super) fn private_user(&self, account: &Account) -> String {
        let mut members = self.user_members(account);
        members.set("name", &account.login);
        members.set("email", &format!("{}@example.com", account.login));
        template::PRIVATE_USER.fill(&self.names("", &account.login), &members)
    }

    pub(super) fn full_repository(&self, repository: &Repository) -> String {
        let mut members = self.repository_members(repository);
        let parent = repository.fork_of.and_then(|id| self.model.repository(id));
        let parent = parent.filter(|parent| self.model.may_read(self.viewer, parent));
        match parent {
            Some(parent) => {
                let rendered = |shown| self.repository(shown, &template::SIMPLE_REPOSITORY);
                let source = self.model.root(repository).unwrap_or(parent);
                members.set_json("source", rendered(source));
                members.set_json("parent", rendered(parent));
            }
            None => {
                members.leave_out("source");
                members.leave_out("parent");
            }
        }
        let visibility = if repository.private {
            "private"
        } else {
            "public"
        };
        members.set("visibility", visibility);
        members.set("language", &Value::Null);
        members.set("template_repository", &Value::Null);
        let owner = self.model.account(repository.owner);
        match owner.filter(|owner| owner.kind == AccountKind::Organization) {
            Some(owner) => members.set_json("organization", self.user(owner)),
            None => members.leave_out("organization"),
        }
        self.filled_repository(repository, &template::FULL_REPOSITORY, &members)
    }

    /// A pull request with everything, as the single endpoint gives it.
    pub(super) fn pull_request(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
    ) -> String {
        let mergeable = match pull_request.mergeable() {
            Mergeable::Mergeable => Some(true),
            Mergeable::Conflicting => Some(false),
            Mergeable::Unknown => None,
        };
        let mergeable_state = repository.merge_state(pull_request).to_lowercase();
        let full_name = self.model.full_name(repository);
        let mut members = self.pull_request_members(&full_name, repository, pull_request);
        members.set("merged", &pull_request.is_merged());
        members.set_json(
            "merged_by",
            match &pull_request.state {
                PullRequestState::Merged { by, commit: _ } => self.user_or_null(*by),
                PullRequestState::Open | PullRequestState::Closed => null(),
            },
        );
        members.set("mergeable", &mergeable);
        members.set("rebaseable", &mergeable);
        members.set("mergeable_state", &mergeable_state);
        members.set("additions", &pull_request.additions);
        members.set("deletions", &pull_request.deletions);
        members.set("changed_files", &pull_request.changed_files);
        members.set("commits", &pull_request.commits);
        template::PULL_REQUEST.fill(&self.repository_names(&full_name), &members)
    }

    /// A pull request as lists give it.
    pub(super) fn pull_request_item(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
    ) -> String {
        let full_name = self.model.full_name(repository);
        let members = self.pull_request_members(&full_name, repository, pull_request);
        template::PULL_REQUEST_ITEM.fill(&self.repository_names(&full_name), &members)
    }

    pub(super) fn review(
        &self,
        repository: &Repository,
        pull_request: &PullRequest,
        review: &Review,
    ) -> String {
        let full_name = self.model.full_name(repository);
        let number = pull_request.number;
        let page = format!("{}/{full_name}/pull/{number}", self.web);
        let html_url = format!("{page}#pullrequestreview-{}", review.id);
        let pull_request_url = format!("{}/repos/{full_name}/pulls/{number}", self.api);
        let mut members = Members::default();
        members.set("id", &review.id);
        members.set("node_id", &review.node_id());
        members.set_json("user", self.user_or_null(review.author));
        members.set("state", review.state.as_str());
        members.set("html_url", &html_url);
        members.set("pull_request_url", &pull_request_url);
        members.set(
            "_links",
            &json!({
                "html": {"href": html_url},
                "pull_request": {"href": pull_request_url},
            }),
        );
        members.set("commit_id", &review.commit);
        if review.state == ReviewState::Pending {
            members.leave_out("submitted_at");
        } else {
            set_time(&mut members, "submitted_at", review.submitted_at);
        }
        template::REVIEW.fill(&self.repository_names(&full_name), &members)
    }

    fn pull_request_members(
        &self,
        full_name: &str,
        repository: &Repository,
        pull_request: &PullRequest,
    ) -> Members {
        let number = pull_request.number;
        let api = format!("{}/repos/{full_name}", self.api);
        let web = format!("{}/{full_name}/pull/{number}", self.web);
        let pulls = format!("{api}/pulls/{number}");
        let issues = format!("{api}/issues/{number}");
        let statuses = format!("{api}/statuses/{}", pull_request.head.sha);
        let merge_commit = match &pull_request.state {
            PullRequestState::Merged { by: _, commit } => Some(commit),
            PullRequestState::Open | PullRequestState::Closed => None,
        };
        let is_open = pull_request.is_open();
        let merged_at = pull_request.closed_at.filter(|_| pull_request.is_merged());
        let mut members = Members::default();
        members.set("id", &pull_request.id);
        members.set("node_id", &pull_request.node_id());
        members.set("number", &number);
        members.set("url", &pulls);
        members.set("html_url", &web);
        members.set("diff_url", &format!("{web}.diff"));
        members.set("patch_url", &format!("{web}.patch"));
        members.set("issue_url", &issues);
        members.set("commits_url", &format!("{pulls}/commits"));
        members.set("review_comments_url", &format!("{pulls}/comments"));
        members.set("comments_url", &format!("{issues}/comments"));
        members.set("statuses_url", &statuses);
        let [accounts, teams] = self.requested(pull_request);
        members.set_json("requested_reviewers", accounts);
        members.set_json("requested_teams", teams);
        let auto_merge = pull_request.auto_merge.then(|| {
            let by = self.user_or_null(pull_request.author);
            format!(
                "{{\"enabled_by\":{by},\"merge_method\":\"squash\",\"commit_title\":\"\",\
                 \"commit_message\":\"\"}}"
            )
        });
        members.set_json("auto_merge", auto_merge.unwrap_or_else(null));
        members.set("state", if is_open { "open" } else { "closed" });
        members.set("locked", &false);
        members.set("active_lock_reason", &Value::Null);
        members.set("title", &pull_request.title);
        members.set("draft", &pull_request.draft);
        members.set_json("user", self.user_or_ghost(pull_request.author));
        set_time(&mut members, "created_at", Some(pull_request.created_at));
        set_time(&mut members, "updated_at", Some(pull_request.updated_at));
        set_time(&mut members, "closed_at", pull_request.closed_at);
        set_time(&mut members, "merged_at", merged_at);
        if self.lean {
            members.leave_out("merge_commit_sha");
            members.leave_out("assignee");
        } else {
            members.set("merge_commit_sha", &merge_commit);
        }
        members.set(
            "_links",
            &json!({
                "self": {"href": pulls},
                "html": {"href": web},
                "issue": {"href": issues},
                "comments": {"href": format!("{issues}/comments")},
                "review_comments": {"href": format!("{pulls}/comments")},
                "review_comment": {"href": format!("{api}/pulls/comments{{/number}}")},
                "commits": {"href": format!("{pulls}/commits")},
                "statuses": {"href": statuses},
            }),
        );
        let base_label = format!(
            "{}:{}",
            self.login(repository.owner),
            pull_request.base_branch
        );
        members.set_json("head", self.head(pull_request));
        members.set_json(
            "base",
            side(
                &base_label,
                &pull_request.base_branch,
                &pull_request.base_sha,
                &self.user_or_null(repository.owner),
                &self.repository(repository, &template::SIMPLE_REPOSITORY),
            ),
        );
        members
    }

    fn head(&self, pull_request: &PullRequest) -> String {
        let head = &pull_request.head;
        let repository = self.model.repository(head.repository);
        let repository = repository.map_or_else(null, |found| {
            self.repository(found, &template::SIMPLE_REPOSITORY)
        });
        side(
            &format!("{}:{}", self.head_owner(pull_request), head.branch),
            &head.branch,
            &head.sha,
            &self.user_or_null(head.owner),
            &repository,
        )
    }

    pub(super) fn repository(&self, repository: &Repository, template: &Template) -> String {
        let members = self.repository_members(repository);
        self.filled_repository(repository, template, &members)
    }

    fn filled_repository(
        &self,
        repository: &Repository,
        template: &Template,
        members: &Members,
    ) -> String {
        let full_name = self.model.full_name(repository);
        template.fill(&self.repository_names(&full_name), members)
    }

    fn repository_members(&self, repository: &Repository) -> Members {
        let is_owner = Some(repository.owner) == self.viewer;
        let may_push = is_owner
            || self
                .viewer
                .is_some_and(|viewer| repository.access.contains(&viewer));
        let mut members = Members::default();
        members.set("id", &repository.id);
        members.set("node_id", &repository.node_id());
        members.set("name", &repository.name);
        members.set("full_name", &self.model.full_name(repository));
        members.set_json("owner", self.user_or_null(repository.owner));
        members.set("private", &repository.private);
        members.set("fork", &repository.fork_of.is_some());
        members.set("archived", &repository.archived);
        members.set("default_branch", &repository.default_branch);
        set_time(&mut members, "created_at", Some(repository.created_at));
        members.set("open_issues_count", &repository.open_count);
        members.set("open_issues", &repository.open_count);
        if self.lean {
            for name in [
                "has_downloads",
                "master_branch",
                "use_squash_pr_title_as_default",
            ] {
                members.leave_out(name);
            }
        }
        members.set(
            "permissions",
            &json!({"admin": is_owner, "push": may_push, "pull": true}),
        );
        members
    }

    pub(super) fn user(&self, account: &Account) -> String {
        let members = self.user_members(account);
        template::SIMPLE_USER.fill(&self.names("", &account.login), &members)
    }

    fn user_or_null(&self, id: AccountId) -> String {
        self.model
            .account(id)
            .map_or_else(null, |account| self.user(account))
    }

    /// Where the description knows no null: the account `ghost` in place of one that is gone.
    fn user_or_ghost(&self, id: AccountId) -> String {
        match self.model.account(id) {
            Some(account) => self.user(account),
            None if !self.ghosts => null(),
            None => self.user(&Account {
                id: 10_137,
                login: GHOST.to_owned(),
                avatar_url: "https://avatars.githubusercontent.com/u/10137?v=4".to_owned(),
                kind: AccountKind::User,
            }),
        }
    }

    fn user_members(&self, account: &Account) -> Members {
        let mut html_url = format!("{}/", self.web);
        template::push_encoded(&mut html_url, &account.login);
        let mut members = Members::default();
        members.set("login", &account.login);
        members.set("id", &account.id);
        members.set("node_id", &account.node_id());
        members.set("avatar_url", &account.avatar_url);
        members.set("html_url", &html_url);
        members.set("type", account.kind.as_str());
        members
    }

    fn login(&self, id: AccountId) -> &str {
        self.model
            .account(id)
            .map_or(GHOST, |account| account.login.as_str())
    }

    fn repository_names<'b>(&'b self, full_name: &'b str) -> Names<'b> {
        let login = full_name.split('/').next().unwrap_or(GHOST);
        self.names(full_name, login)
    }

    fn names<'b>(&'b self, full_name: &'b str, login: &'b str) -> Names<'b> {
        Names {
            api: &self.api,
            web: self.web,
            full_name,
            login,
        }
    }
}

/// One end of a pull request.
fn side(label: &str, branch: &str, sha: &str, user: &str, repository: &str) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    format!(
        "{{\"label\":{},\"ref\":{},\"sha\":{},\"user\":{user},\"repo\":{repository}}}",
        text(label),
        text(branch),
        text(sha),
    )
}

fn null() -> String {
    "null".to_owned()
}

fn set_time(members: &mut Members, name: &'static str, at: Option<Timestamp>) {
    members.set_json(name, at.map_or_else(null, |at| format!("\"{at}\"")));
}

/// Whether it is answered in a version without what version 2026-03-10 took away.
fn is_lean(incoming: &Incoming) -> bool {
    selected_version(incoming) != API_VERSIONS[0]
}

/// The state of both limits among the example's others.
pub(super) fn rate_limit(incoming: &Incoming, core: &RateLimit, graphql: &RateLimit) -> Value {
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
    if is_lean(incoming) {
        body.remove("rate");
    } else {
        body.insert("rate".to_owned(), bucket(core));
    }
    Value::Object(body)
}
