//! `chat.v1.GitAccountService`: per RPC take the caller, parse, make one call, render.

use std::sync::Arc;

use jiff::Timestamp;
use proto::{
    chat::v1::{self, git_account_service_server::GitAccountService},
    reason,
    sync::is_host_id,
};
use secrecy::SecretString;
use service_runtime::telemetry::AUDIT;
use tonic::{Request, Response, Status};

use super::{call, convert, list};
use crate::{
    accounts::{
        BudgetKey, KeyRing,
        seal::{SealError, TokenColumn},
    },
    auth::Caller,
    authz::{Action, Authorizer, Principal},
    error::Error,
    events::notifier::{Notifier, Topic},
    id::UserId,
    page_token::{PageTokens, Scope},
    provider::{Provider, Providers},
    store::{
        Store, StoreError,
        git_account::{GitAccount, NewGitAccount, SealedTokens},
    },
};

/// Characters of a token at most.
const MAX_TOKEN_CHARS: usize = 4096;

/// The first second of the year 1, and the last one of the year 9999: what
/// `google.protobuf.Timestamp` allows.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;
/// The latest time that can be read from the database, a day before that.
const LATEST: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// Serves git accounts.
#[derive(Clone)]
pub(crate) struct GitAccountGrpc {
    /// The database.
    pub(crate) store: Store,
    /// Decides.
    pub(crate) authorizer: Authorizer,
    /// Wakes workers.
    pub(crate) notifier: Notifier,
    /// Seals tokens.
    pub(crate) keys: Arc<KeyRing>,
    /// Signs page tokens.
    pub(crate) page_tokens: PageTokens,
    /// Where accounts can be.
    pub(crate) providers: Arc<Providers>,
}

impl GitAccountGrpc {
    async fn link(
        &self,
        principal: &Principal,
        request: v1::LinkGitAccountRequest,
    ) -> Result<GitAccount, Error> {
        let v1::LinkGitAccountRequest {
            user_id,
            provider_id,
            access_token,
            refresh_token,
            expires_at,
            installation_id,
        } = request;
        let user = user(principal, user_id.as_deref())?;
        self.authorizer
            .git_accounts(principal, Action::LinkGitAccount, user)?;
        let provider = self.provider(&provider_id)?;
        let access_token = token("access_token", access_token)?;
        let refresh_token = refresh_token
            .map(|refresh_token| token("refresh_token", refresh_token))
            .transpose()?;
        let expires_at = expires_at.map(expiry).transpose()?;
        let token_key = BudgetKey::of_token(&self.keys, provider.api_host(), &access_token);
        let budget_key = match &installation_id {
            None => token_key.current.clone(),
            Some(id) if is_host_id(id) => BudgetKey::of_installation(provider, id),
            Some(_) => {
                return Err(Error::invalid(
                    "installation_id",
                    "must be 1 to 100 visible ASCII characters without `|`",
                ));
            }
        };
        let account = NewGitAccount {
            user,
            provider_id: &provider.id,
            token_key: &token_key.current.0,
            other_token_keys: token_key.others.iter().map(|key| key.0.as_str()).collect(),
            budget_key: &budget_key.0,
            expires_at,
        };
        let seal = |id| {
            let sealed = |column, token: &SecretString| self.keys.seal(id, column, token);
            let seal_all = || {
                Ok(SealedTokens {
                    key_id: self.keys.active_id().to_owned(),
                    access_token: sealed(TokenColumn::AccessToken, &access_token)?,
                    refresh_token: refresh_token
                        .as_ref()
                        .map(|token| sealed(TokenColumn::RefreshToken, token))
                        .transpose()?,
                })
            };
            seal_all().map_err(|error: SealError| StoreError::bug("seal a token", error))
        };
        let (linked, due) = self.store.link_git_account(&account, &seal).await?;
        tracing::info!(
            target: AUDIT,
            action = Action::LinkGitAccount.name(),
            decision = "allowed",
            provider.id = provider.id,
            "a git account was linked"
        );
        if due {
            self.notifier.notify(Topic::Due);
        }
        // The relay is notified of the change, too.
        self.notifier.notify(Topic::Changes);
        Ok(linked)
    }

    async fn list(
        &self,
        principal: &Principal,
        request: v1::ListGitAccountsRequest,
    ) -> Result<v1::ListGitAccountsResponse, Error> {
        let v1::ListGitAccountsRequest {
            user_id,
            page_size,
            page_token,
        } = request;
        let user = user(principal, user_id.as_deref())?;
        self.authorizer
            .git_accounts(principal, Action::ListGitAccounts, user)?;
        let page_size = list::parse_page_size(page_size)?;
        let scope = Scope::new(&principal.name(), "git accounts", user.0.as_bytes());
        let after: Option<String> = self.page_tokens.decode(&scope, &page_token)?;
        // One entry more than the page shows whether a next page exists.
        let limit = i64::try_from(page_size + 1).map_err(Error::internal)?;
        let mut accounts = self
            .store
            .list_git_accounts(user, after.as_deref(), limit)
            .await?;
        let more = accounts.len() > page_size;
        accounts.truncate(page_size);
        let next_page_token = match accounts.last() {
            Some(last) if more => self.page_tokens.encode(&scope, &last.provider_id),
            _ => String::new(),
        };
        Ok(v1::ListGitAccountsResponse {
            accounts: accounts.iter().map(render).collect(),
            next_page_token,
        })
    }

    async fn unlink(
        &self,
        principal: &Principal,
        request: v1::UnlinkGitAccountRequest,
    ) -> Result<(), Error> {
        let v1::UnlinkGitAccountRequest {
            user_id,
            provider_id,
        } = request;
        let user = user(principal, user_id.as_deref())?;
        self.authorizer
            .git_accounts(principal, Action::UnlinkGitAccount, user)?;
        convert::no_nul("provider_id", &provider_id)?;
        // Also where an operator has removed the provider: its credentials must not stay.
        if !self.store.unlink_git_account(user, &provider_id).await? {
            return Err(Error::NotVisible {
                resource: "git account",
            });
        }
        tracing::info!(
            target: AUDIT,
            action = Action::UnlinkGitAccount.name(),
            decision = "allowed",
            provider.id = provider_id,
            "a git account was unlinked"
        );
        self.notifier.notify(Topic::Changes);
        Ok(())
    }

    fn provider(&self, id: &str) -> Result<&Provider, Error> {
        self.providers
            .by_id(id)
            .ok_or_else(|| Error::InvalidArgument {
                field: "provider_id".to_owned(),
                problem: "is no configured provider's".to_owned(),
                reason: reason::PROVIDER_NOT_CONFIGURED,
            })
    }
}

#[tonic::async_trait]
impl GitAccountService for GitAccountGrpc {
    async fn link_git_account(
        &self,
        request: Request<v1::LinkGitAccountRequest>,
    ) -> Result<Response<v1::LinkGitAccountResponse>, Status> {
        let caller = Caller::of(&request)?;
        let account = self.link(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(v1::LinkGitAccountResponse {
            account: Some(render(&account)),
        }))
    }

    async fn list_git_accounts(
        &self,
        request: Request<v1::ListGitAccountsRequest>,
    ) -> Result<Response<v1::ListGitAccountsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let page = self.list(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(page))
    }

    async fn unlink_git_account(
        &self,
        request: Request<v1::UnlinkGitAccountRequest>,
    ) -> Result<Response<v1::UnlinkGitAccountResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.unlink(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(v1::UnlinkGitAccountResponse {}))
    }
}

/// The user that the call is about: the caller unless it says otherwise.
fn user(principal: &Principal, user_id: Option<&str>) -> Result<UserId, Error> {
    let user = match convert::maybe_uuid("user_id", user_id)? {
        Some(id) => UserId(id),
        None => principal
            .user_id()
            .ok_or_else(|| Error::invalid("user_id", "a service must name the user"))?,
    };
    call::about("user", user);
    Ok(user)
}

/// A token. It goes into a header, so nothing else may be in it.
fn token(field: &str, text: String) -> Result<SecretString, Error> {
    let token = SecretString::from(text);
    let text = secrecy::ExposeSecret::expose_secret(&token);
    if !(1..=MAX_TOKEN_CHARS).contains(&text.len())
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Error::invalid(
            field,
            format!("must be 1 to {MAX_TOKEN_CHARS} visible ASCII characters"),
        ));
    }
    Ok(token)
}

/// A time as the database keeps it, in microseconds: exactly what `google.protobuf.Timestamp`
/// allows.
fn expiry(at: prost_types::Timestamp) -> Result<Timestamp, Error> {
    let prost_types::Timestamp { seconds, nanos } = at;
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        let problem = "is no time between the years 1 and 9999";
        return Err(Error::invalid("expires_at", problem));
    }
    if seconds >= LATEST.as_second() {
        return Ok(LATEST);
    }
    Timestamp::new(seconds, nanos / 1000 * 1000).map_err(Error::internal)
}

/// The latest of our times is the contract's latest: a usual "never".
fn render_expiry(at: Timestamp) -> prost_types::Timestamp {
    if at == LATEST {
        return prost_types::Timestamp {
            seconds: LAST_SECOND,
            nanos: 0,
        };
    }
    convert::timestamp(at)
}

fn render(account: &GitAccount) -> v1::GitAccount {
    let GitAccount {
        id,
        user,
        provider_id,
        linked_at,
        expires_at,
        credential_state,
        retry_at,
    } = account;
    v1::GitAccount {
        id: id.to_string(),
        user_id: user.to_string(),
        provider_id: provider_id.clone(),
        linked_at: Some(convert::timestamp(*linked_at)),
        expires_at: expires_at.map(render_expiry),
        credential_state: (*credential_state).into(),
        retry_at: retry_at.map(convert::timestamp),
    }
}
