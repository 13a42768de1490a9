//! Users, organizations and bots.

use std::borrow::Cow;

use super::Resolver;
use crate::github::graphql::argument::Arguments;
use crate::github::graphql::entity::{Outcome, Resolved};
use crate::github::model::Account;

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
            "login" | "name" => account.login.as_str().into(),
            "avatarUrl" => match arguments.number("size") {
                Some(size) => {
                    let separator = if account.avatar_url.contains('?') {
                        '&'
                    } else {
                        '?'
                    };
                    Resolved::owned(format!("{}{separator}s={size}", account.avatar_url))
                }
                None => account.avatar_url.as_str().into(),
            },
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
