//! Users' credentials at git hosts: sealed at rest, opened only for a lease, never printed.

pub mod reseal;
pub mod seal;

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretString};

use crate::provider::Provider;

pub use seal::{DerivedKeys, KeyRing, KeyRingError, SealError};

/// Names the account at a git host whose rate limit a request spends. Its text is opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BudgetKey(pub String);

impl BudgetKey {
    /// The provisional keys of a token, until the host at `api_host` identifies its account: keyed
    /// hashes, so that the same token linked twice is one budget, and tokens cannot be tried
    /// against a stolen table.
    #[must_use]
    pub fn of_token(ring: &KeyRing, api_host: &str, token: &SecretString) -> TokenKeys {
        let hash = |key: &[u8; 32]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            let tag = hmac::sign(&key, token.expose_secret().as_bytes());
            let mut text = format!("{api_host}|token:");
            for byte in tag.as_ref() {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            Self(text)
        };
        let DerivedKeys { active, others } = ring.derive("budget-key");
        TokenKeys {
            current: hash(&active),
            others: others.iter().map(hash).collect(),
        }
    }

    /// The key of an app's installation, by its id at the host.
    #[must_use]
    pub fn of_installation(provider: &Provider, id: &str) -> Self {
        Self(format!("{}|installation:{id}", provider.api_host()))
    }
}

/// By what a token is known: a hash for each key of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKeys {
    /// By the active key: as the token is noted.
    pub current: BudgetKey,
    /// By the other keys: as it may have been noted before or after a rotation.
    pub others: Vec<BudgetKey>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ProviderKind;

    fn provider(api_base_url: &str) -> Provider {
        Provider {
            id: "github".to_owned(),
            kind: ProviderKind::Github,
            host: "github.com".to_owned(),
            api_base_url: api_base_url.to_owned(),
        }
    }

    fn of_token(ring: &KeyRing, api_host: &str, token: &SecretString) -> BudgetKey {
        BudgetKey::of_token(ring, api_host, token).current
    }

    #[test]
    fn a_budget_key_tells_one_account_from_another_and_holds_no_token() {
        let ring = KeyRing::parse(KeyRing::generate_file_text().expose_secret()).unwrap();
        let other_ring = KeyRing::parse(KeyRing::generate_file_text().expose_secret()).unwrap();
        let (github, ghe) = (
            provider("https://api.github.com"),
            provider("https://ghe.example/api/v3"),
        );
        let (github, ghe) = (github.api_host(), ghe.api_host());
        let token = SecretString::from("ghp_hush");
        let key = of_token(&ring, github, &token);
        assert!(!key.0.contains("hush"));
        assert!(key.0.starts_with("api.github.com|token:"));
        assert_eq!(key, of_token(&ring, github, &token));
        assert_ne!(
            key,
            of_token(&ring, github, &SecretString::from("ghp_other"))
        );
        assert_ne!(key, of_token(&ring, ghe, &token));
        assert_ne!(key, of_token(&other_ring, github, &token));
    }
}
