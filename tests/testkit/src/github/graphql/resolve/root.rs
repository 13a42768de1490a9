//! The fields of the query itself.

use url::Url;

use super::{Resolver, not_found};
use crate::github::graphql::argument::Arguments;
use crate::github::graphql::entity::{Entity, Outcome, Placed, Resolved};
use crate::github::graphql::price::MOST_IDS;
use crate::github::graphql::problem::Problem;
use crate::github::model::AccountKind;

/// GitHub's id of the query itself.
const QUERY_ID: &str = "MDU6UXVlcnkw";

impl<'w> Resolver<'w> {
    pub(super) fn root(&self, name: &str, arguments: Arguments<'w>) -> Outcome<'w> {
        let text = |name: &str| arguments.text(name).unwrap_or_default();
        match name {
            "viewer" => {
                let app = self.world.model.app_of(self.viewer.id);
                Ok(Resolved::Object(Entity::Account(
                    app.unwrap_or(self.viewer),
                )))
            }
            "rateLimit" => Ok(Resolved::object(self.rate.map(|_| Entity::RateLimit))),
            "relay" => Ok(Resolved::Object(Entity::Query)),
            "id" => Ok(QUERY_ID.into()),
            "node" => self.node(&text("id")).map(Resolved::object),
            "nodes" => self.nodes(&arguments.texts("ids").unwrap_or_default()),
            "repository" => {
                let follow = arguments.flag("followRenames", true);
                self.find_repository(&text("owner"), &text("name"), follow)
            }
            "resource" => self.resource(&text("url")),
            "user" => {
                let login = text("login");
                let found = self.world.model.find_account(&login);
                match found.filter(|found| found.kind == AccountKind::User) {
                    Some(account) => Ok(Resolved::Object(Entity::Account(account))),
                    None => Err(not_found(format!(
                        "Could not resolve to a User with the login of '{login}'."
                    ))),
                }
            }
            _ => Ok(Resolved::Null),
        }
    }

    fn nodes(&self, ids: &[String]) -> Outcome<'w> {
        if ids.len() > MOST_IDS {
            let message = format!(
                "You may not provide more than {MOST_IDS} node ids; you provided {}.",
                ids.len()
            );
            return Err(Box::new(Problem::new("ARGUMENT_LIMIT", message)));
        }
        let found = ids.iter().map(|id| self.node(id)).collect();
        Ok(Resolved::List(found))
    }

    fn node(&self, id: &str) -> Result<Option<Entity<'w>>, Box<Problem>> {
        let number = |prefix: &str| {
            let digits = id.strip_prefix(prefix)?;
            u64::from_str_radix(digits, 16).ok()
        };
        let model = &self.world.model;
        let missing = || {
            not_found(format!(
                "Could not resolve to a node with the global id of '{id}'."
            ))
        };
        if let Some(number) = number("PR_kwDO") {
            let (repository, pull_request) = model.pull_request(number).ok_or_else(missing)?;
            let placed = Placed {
                repository,
                pull_request,
            };
            return match self.open_repository(repository, missing)? {
                Some(_) => self.open_pull_request(placed, missing),
                None => Ok(None),
            };
        }
        if let Some(number) = number("PRRT_kwDO") {
            let (repository, thread) = model.review_thread(number).ok_or_else(missing)?;
            let found = self.open_repository(repository, missing)?;
            return Ok(found.map(|_| Entity::Thread(thread)));
        }
        if let Some(number) = number("R_kgDO") {
            let repository = model.repository(number).ok_or_else(missing)?;
            let found = self.open_repository(repository, missing)?;
            return Ok(found.map(Entity::Repository));
        }
        let account = number("U_kgDO").and_then(|number| model.account(number));
        let account = account.ok_or_else(missing)?;
        Ok(Some(Entity::Account(account)))
    }

    /// A repository by its name, which may be a former one.
    pub(super) fn find_repository(&self, owner: &str, name: &str, follow: bool) -> Outcome<'w> {
        let model = &self.world.model;
        let missing = || {
            not_found(format!(
                "Could not resolve to a Repository with the name '{owner}/{name}'."
            ))
        };
        let found = model
            .find_repository(owner, name)
            .or_else(|| follow.then(|| model.find_renamed(owner, name)).flatten());
        let found = self.open_repository(found.ok_or_else(missing)?, missing)?;
        Ok(Resolved::object(found.map(Entity::Repository)))
    }

    /// What a page shows. An address that leads nowhere is null, without an error.
    fn resource(&self, url: &str) -> Outcome<'w> {
        let Some(path) = self.page_path(url) else {
            return Ok(Resolved::Null);
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let model = &self.world.model;
        match parts.as_slice() {
            [login] => Ok(Resolved::object(
                model.find_account(login).map(Entity::Account),
            )),
            [owner, name, rest @ ..] => {
                let found = model
                    .find_repository(owner, name)
                    .or_else(|| model.find_renamed(owner, name));
                let missing = || not_found(format!("Could not resolve to a resource at {url}."));
                let Some(repository) = found.filter(|found| self.sees(found)) else {
                    return Ok(Resolved::Null);
                };
                let Some(repository) = self.open_repository(repository, missing)? else {
                    return Ok(Resolved::Null);
                };
                match rest {
                    [] => Ok(Resolved::Object(Entity::Repository(repository))),
                    ["pull", number, ..] => {
                        let found = number.parse().ok();
                        let found = found.and_then(|number| repository.pull_requests.get(&number));
                        let Some(pull_request) = found else {
                            return Ok(Resolved::Null);
                        };
                        let placed = Placed {
                            repository,
                            pull_request,
                        };
                        self.open_pull_request(placed, missing)
                            .map(Resolved::object)
                    }
                    _ => Ok(Resolved::Null),
                }
            }
            [] => Ok(Resolved::Null),
        }
    }

    /// The path of a page of this host.
    fn page_path(&self, url: &str) -> Option<String> {
        let (url, base) = (
            Url::parse(url).ok()?,
            Url::parse(&self.world.web_base).ok()?,
        );
        let same_host = url.host_str() == base.host_str() && url.port() == base.port();
        let path = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
        same_host.then(|| path.to_owned())
    }

    pub(super) fn rate_limit(&self, name: &str) -> Resolved<'w> {
        let Some(rate) = self.rate else {
            return Resolved::Null;
        };
        match name {
            "cost" => Resolved::Number(rate.cost),
            "nodeCount" => Resolved::Number(rate.nodes),
            "limit" => Resolved::Number(rate.bucket.limit),
            "remaining" => Resolved::Number(rate.bucket.remaining),
            "used" => Resolved::Number(rate.bucket.used),
            "resetAt" => Resolved::time(jiff::Timestamp::from_second(rate.bucket.reset).ok()),
            _ => Resolved::Null,
        }
    }
}
