//! `chat-service token`: issues a bearer token, for development and for services.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::SecretString;
use service_runtime::token::{AUDIENCE, Claims, Kind, Organization, Signer};
use uuid::Uuid;

use crate::config::{ConfigError, TokenSettings};

/// Signs the token that `settings` describe.
///
/// # Errors
///
/// When a setting or the key cannot be used.
pub fn issue(settings: &TokenSettings) -> anyhow::Result<SecretString> {
    let claims = claims(settings, Timestamp::now())?;
    let pem = std::fs::read(&settings.private_key_file)?;
    Ok(Signer::from_private_key_pem(&pem)?.sign(&claims)?)
}

fn claims(settings: &TokenSettings, now: Timestamp) -> Result<Claims, ConfigError> {
    let mut problems = Vec::new();
    let kind = match settings.kind.as_str() {
        "user" => Kind::User,
        "service" => Kind::Service,
        other => {
            problems.push(format!("--kind is {other:?}; it must be user or service"));
            Kind::User
        }
    };
    if kind == Kind::User && settings.sub.parse::<Uuid>().is_err() {
        problems.push(format!(
            "--sub is {:?}; a user's must be a UUID",
            settings.sub
        ));
    }
    let mut uuid = |flag: &str, text: &str| {
        text.parse::<Uuid>().unwrap_or_else(|_| {
            problems.push(format!("{flag} is {text:?}; it must be a UUID"));
            Uuid::nil()
        })
    };
    let mut organizations: Vec<Organization> = Vec::new();
    for text in &settings.organization {
        let (id, role) = text.split_once('=').unwrap_or((text, "member"));
        let id = uuid("--organization", id);
        match organizations
            .iter_mut()
            .find(|organization| organization.id == id)
        {
            Some(organization) => {
                organization.roles.insert(role.to_owned());
            }
            None => {
                organizations.push(Organization {
                    id,
                    roles: BTreeSet::from([role.to_owned()]),
                });
            }
        }
    }
    let groups = settings
        .group
        .iter()
        .map(|text| uuid("--group", text))
        .collect();
    if !problems.is_empty() {
        return Err(ConfigError::Problems(problems));
    }
    let ttl_seconds = i64::try_from(settings.ttl.as_secs()).unwrap_or(i64::MAX);
    Ok(Claims {
        sub: settings.sub.clone(),
        aud: AUDIENCE.to_owned(),
        exp: now.as_second().saturating_add(ttl_seconds),
        iat: Some(now.as_second()),
        kind,
        organizations,
        groups,
        site_roles: settings.site_role.iter().cloned().collect(),
        suspended: settings.suspended,
    })
}
