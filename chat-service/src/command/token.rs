//! `chat-service token`: issues a bearer token, for development and for services.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use secrecy::SecretString;
use service_runtime::token::{Claims, Kind, Organization, Signer};
use uuid::Uuid;

use crate::config::{ConfigError, TokenSettings};

/// Signs the token that `settings` describe.
///
/// # Errors
///
/// When a user's subject is no UUID, or the key cannot be used.
pub fn issue(settings: &TokenSettings) -> anyhow::Result<SecretString> {
    let TokenSettings {
        private_key_file,
        sub,
        kind,
        organization,
        group,
        site_role,
        suspended,
        issuer,
        audience,
        ttl,
    } = settings;
    if *kind == Kind::User && sub.parse::<Uuid>().is_err() {
        let problem = format!("--sub is {sub:?}; a user's must be a UUID");
        return Err(ConfigError::Problems(vec![problem]).into());
    }
    let mut organizations: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
    for (id, role) in organization {
        organizations.entry(*id).or_default().insert(role.clone());
    }
    let now = Timestamp::now().as_second();
    let claims = Claims {
        sub: sub.clone(),
        iss: issuer.clone(),
        aud: vec![audience.clone()],
        exp: now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
        iat: Some(now),
        nbf: None,
        kind: Some(*kind),
        organizations: organizations
            .into_iter()
            .map(|(id, roles)| Organization { id, roles })
            .collect(),
        groups: group.iter().copied().collect(),
        site_roles: site_role.iter().cloned().collect(),
        suspended: *suspended,
    };
    let pem = std::fs::read(private_key_file)?;
    Ok(Signer::from_private_key_pem(&pem)?.sign(&claims)?)
}
