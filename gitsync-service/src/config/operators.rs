//! Settings that say whose tokens operators may call with.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use service_runtime::{
    config::{Span, TextList, list, span},
    egress::EgressProxy,
    token::{AUDIENCE, ClaimNames, KeyMetrics, KeySources, Trust, Verifier},
};

use super::DAY;

const MINUTE: Duration = Duration::from_secs(60);

/// Which tokens of operators are accepted.
#[derive(Clone, Args)]
pub struct OperatorSettings {
    /// Comma-separated files (PEM or JWKS) and https URLs (JWKS) of the public keys that verify
    /// operators' tokens
    #[arg(long, env = "GITSYNC_JWT_KEYS", value_parser = KeySources::parse, value_name = "SOURCES")]
    pub jwt_keys: KeySources,
    /// Issuer (`iss`) that operators' tokens must have [default: any]
    #[arg(long, env = "GITSYNC_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Comma-separated audiences (`aud`), one of which operators' tokens must have
    #[arg(long, env = "GITSYNC_JWT_AUDIENCES", value_parser = list, value_name = "AUDIENCES")]
    #[arg(default_value = AUDIENCE)]
    pub jwt_audiences: TextList,
    /// Longest life of a token, from issue to expiry; longer ones are refused
    #[arg(long, env = "GITSYNC_JWT_MAX_LIFETIME", value_parser = span(MINUTE, 3650 * DAY))]
    #[arg(default_value_t = DAY.into())]
    pub jwt_max_lifetime: Span,
    /// Names of claims in operators' tokens that differ from ours, as in `site_roles=/access/roles`
    #[arg(
        long,
        env = "GITSYNC_JWT_CLAIMS",
        value_name = "CLAIMS",
        default_value = ""
    )]
    pub jwt_claims: ClaimNames,
    /// File with certificate authorities (PEM) for URLs of keys, beside the system's
    #[arg(long, env = "GITSYNC_JWKS_CA_FILE", value_name = "FILE")]
    pub jwks_ca_file: Option<PathBuf>,
}

impl OperatorSettings {
    /// Verifies operators' tokens; to be kept up to date, through `proxy`.
    #[must_use]
    pub fn verifier(&self, proxy: Option<EgressProxy>, metrics: &KeyMetrics) -> Verifier {
        let trust = Trust {
            name: "operators",
            keys: self.jwt_keys.clone(),
            issuer: self.jwt_issuer.clone(),
            audiences: self.jwt_audiences.0.clone(),
            max_lifetime: *self.jwt_max_lifetime,
            claims: self.jwt_claims.clone(),
            authorities: self.jwks_ca_file.clone(),
            bearer: None,
            proxy,
        };
        Verifier::new(trust, metrics)
    }
}
