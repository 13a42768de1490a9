//! Apps whose users' tokens expire, and the endpoint at which they are renewed.
//!
//! As GitHub has it: an access token lives for eight hours, a refresh token for six months, and
//! works once: using it ends the former pair. Errors are answered with 200, and as a form unless
//! JSON is asked for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::{Method, StatusCode, header::ACCEPT};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::{
    GitHub,
    answer::{Answer, Incoming},
    model::AccountId,
    rest,
    scenario::UserHandle,
    state::{Shared, World},
};
use crate::secrets;

/// Where tokens are renewed.
pub const TOKEN_PATH: &str = "/login/oauth/access_token";

/// How long an access token lives.
const LIFE: Duration = Duration::from_secs(8 * 60 * 60);
/// How long a refresh token does.
const REFRESH_LIFE: Duration = Duration::from_secs(184 * 24 * 60 * 60);
/// Characters of an access token: more than most clients expect.
const TOKEN_CHARS: usize = 520;

/// All apps, and what was issued as them.
#[derive(Default)]
pub(crate) struct Apps {
    /// The apps' secrets, by client id.
    secrets: HashMap<String, String>,
    /// By refresh token; one that was used is gone.
    grants: HashMap<String, Grant>,
    /// When access tokens expire.
    expiries: HashMap<String, Timestamp>,
}

struct Grant {
    client_id: String,
    account: AccountId,
    access_token: String,
    expires_at: Timestamp,
}

/// A user's tokens, as an app gets them when the user signs in.
#[derive(Clone)]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, which works once.
    pub refresh_token: String,
    /// How long the access token lives.
    pub expires_in: Duration,
}

impl Tokens {
    /// When the access token expires that was issued a moment ago, by the machine's clock, in
    /// seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        let now = Timestamp::now();
        now.saturating_add(self.expires_in)
            .unwrap_or(now)
            .as_second()
    }
}

/// An app of the stand-in.
#[derive(Clone)]
pub struct AppHandle {
    shared: Arc<Shared>,
    client_id: String,
}

impl GitHub {
    /// The app with this client id, created if it does not exist, with this secret.
    pub fn oauth_app(&self, client_id: &str, secret: &str) -> AppHandle {
        let app = AppHandle {
            shared: Arc::clone(&self.shared),
            client_id: client_id.to_owned(),
        };
        app.set_secret(secret);
        app
    }

    /// The address at which tokens are renewed.
    pub fn token_url(&self) -> String {
        format!("{}{TOKEN_PATH}", self.api_base_url())
    }
}

impl AppHandle {
    /// Replaces the app's secret.
    pub fn set_secret(&self, secret: &str) {
        secrets::note("a client secret", secret);
        let mut world = self.shared.lock();
        let secrets = &mut world.apps.secrets;
        secrets.insert(self.client_id.clone(), secret.to_owned());
    }

    /// Tokens of `user`, who signs in.
    pub fn sign_in(&self, user: &UserHandle) -> Tokens {
        let mut world = self.shared.lock();
        issue(&mut world, &self.client_id, user.id())
    }

    /// Ends all that was issued as this app to `user`, who revokes it.
    pub fn revoke(&self, user: &UserHandle) {
        let mut world = self.shared.lock();
        let of_user =
            |grant: &Grant| grant.client_id == self.client_id && grant.account == user.id();
        let ended: Vec<Grant> = world
            .apps
            .grants
            .extract_if(|_, grant| of_user(grant))
            .map(|(_, grant)| grant)
            .collect();
        for grant in ended {
            world.model.revoke_token(&grant.access_token);
        }
    }
}

impl Apps {
    /// Whether an access token has expired.
    pub(crate) fn is_expired(&self, token: &str, now: Timestamp) -> bool {
        self.expiries.get(token).is_some_and(|at| *at <= now)
    }
}

fn issue(world: &mut World, client_id: &str, account: AccountId) -> Tokens {
    let now = world.now();
    let after = |life: Duration| now.saturating_add(life).unwrap_or(Timestamp::MAX);
    let access_token = access_token();
    let refresh_token = format!("ghr_{}{}", part(), part());
    secrets::note("a refresh token", &refresh_token);
    world.model.add_token(&access_token, account);
    world
        .apps
        .expiries
        .insert(access_token.clone(), after(LIFE));
    let grant = Grant {
        client_id: client_id.to_owned(),
        account,
        access_token: access_token.clone(),
        expires_at: after(REFRESH_LIFE),
    };
    world.apps.grants.insert(refresh_token.clone(), grant);
    Tokens {
        access_token,
        refresh_token,
        expires_in: LIFE,
    }
}

fn part() -> String {
    Uuid::new_v4().simple().to_string()
}

/// With every character that tokens may have.
fn access_token() -> String {
    let mut token = String::from("ghu_");
    for character in ['.', '_', '-'].into_iter().cycle() {
        if token.len() >= TOKEN_CHARS {
            break;
        }
        token += &part();
        token.push(character);
    }
    token.truncate(TOKEN_CHARS);
    token
}

/// Answers at the token endpoint; `None` for another request.
pub(crate) fn answer(world: &mut World, incoming: &Incoming) -> Option<Answer> {
    let request = &incoming.recorded;
    if request.path != TOKEN_PATH {
        return None;
    }
    if request.method != Method::POST {
        return Some(rest::not_found());
    }
    let field = |name: &str| {
        let mut form = incoming.form.iter();
        let found = form.find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let Some(secret) = world.apps.secrets.get(field("client_id")) else {
        return Some(Answer::json(
            StatusCode::NOT_FOUND,
            &json!({ "error": "Not Found" }),
        ));
    };
    let body = if secret != field("client_secret") {
        error(
            "incorrect_client_credentials",
            "The client_id and/or client_secret passed are incorrect.",
        )
    } else if field("grant_type") != "refresh_token" {
        error("unsupported_grant_type", "The grant type is not supported.")
    } else {
        renewed(world, field("client_id"), field("refresh_token")).unwrap_or_else(|| {
            error(
                "bad_refresh_token",
                "The refresh token passed is incorrect or expired.",
            )
        })
    };
    let wants_json = request
        .header(ACCEPT.as_str())
        .is_some_and(|accept| accept.contains("json"));
    Some(if wants_json {
        Answer::json(StatusCode::OK, &body)
    } else {
        Answer::text(
            StatusCode::OK,
            "application/x-www-form-urlencoded",
            form(&body),
        )
    })
}

/// Ends the pair of a refresh token, and issues the next one. `None`: it is worth nothing.
fn renewed(world: &mut World, client_id: &str, refresh_token: &str) -> Option<Value> {
    let now = world.now();
    let grant = world.apps.grants.get(refresh_token)?;
    if grant.client_id != client_id || grant.expires_at <= now {
        return None;
    }
    let grant = world.apps.grants.remove(refresh_token)?;
    world.model.revoke_token(&grant.access_token);
    let Tokens {
        access_token,
        refresh_token,
        expires_in,
    } = issue(world, client_id, grant.account);
    Some(json!({
        "access_token": access_token,
        "expires_in": expires_in.as_secs(),
        "refresh_token": refresh_token,
        "refresh_token_expires_in": REFRESH_LIFE.as_secs(),
        "scope": "",
        "token_type": "bearer",
    }))
}

fn error(code: &str, description: &str) -> Value {
    json!({
        "error": code,
        "error_description": description,
        "error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors",
    })
}

fn form(body: &Value) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => form.append_pair(name, text),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => form.append_pair(name, &other.to_string()),
        };
    }
    form.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_is_long_and_has_every_character() {
        let token = access_token();
        assert_eq!(token.len(), TOKEN_CHARS);
        for character in ['.', '_', '-'] {
            assert!(token.contains(character), "{token}");
        }
    }
}
