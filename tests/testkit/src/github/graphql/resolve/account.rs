//! Users, organizations and bots.

use std::borrow::Cow;

use super::Resolver;
use crate::github::graphql::argument::Arguments;
use crate::github::graphql::entity::{Outcome, Resolved};
use crate::github::model::{Account, AccountKind};

/// When every account was created; the model does not say.
const CREATED_AT: &str = "2011-01-25T18:44:36Z";

impl<'w> Resolver<'w> {
    pub(super) fn account(
        &self,
        account: &'w Account,
        name: &str,
        arguments: Arguments<'w>,
    ) -> Outcome<'w> {
        Ok(match name {
            "id" => Resolved::owned(account.node_id()),
            "databaseId" => Resolved::Number(account.id),
            "login" | "name" => login(account).into(),
            "avatarUrl" => {
                let separator = if account.avatar_url.contains('?') {
                    '&'
                } else {
                    '?'
                };
                let mut url = format!("{}{separator}u={:x}", account.avatar_url, account.id);
                if let Some(size) = arguments.number("size") {
                    url.push_str(&format!("&s={size}"));
                }
                Resolved::owned(url)
            }
            "url" => Resolved::owned(format!("{}/{}", self.world.web_base, account.login)),
            "resourcePath" => Resolved::owned(format!("/{}", account.login)),
            "createdAt" => CREATED_AT.into(),
            "repository" => {
                let name = arguments.text("name").unwrap_or(Cow::Borrowed(""));
                let follow = arguments.flag("followRenames", true);
                return self.find_repository(&account.login, &name, follow);
            }
            _ => Resolved::Null,
        })
    }
}

/// REST ends the login of a bot with its kind, GraphQL does not.
fn login(account: &Account) -> &str {
    let login = account.login.as_str();
    match account.kind {
        AccountKind::Bot => login.strip_suffix("[bot]").unwrap_or(login),
        AccountKind::User | AccountKind::Organization => login,
    }
}
