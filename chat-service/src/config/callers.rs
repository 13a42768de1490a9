//! Settings that say who calls: whose tokens are accepted, and which service is which.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use service_runtime::{
    config::{Span, TextList, list, span},
    egress::EgressProxy,
    token::{AUDIENCE, ClaimNames, KeyMetrics, KeySources, Trust, Verifier},
};

use super::{DAY, MINUTE};
use crate::auth::{Auth, ServiceNames, SyncAuth};

/// Ten years: a token without an end cannot be revoked.
pub(super) const LONGEST_TOKEN: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Who may call, by tokens and certificates.
#[derive(Clone, Args)]
pub struct CallerSettings {
    /// Comma-separated files (PEM or JWKS) and https URLs (JWKS) of the public keys that verify
    /// callers' tokens
    #[arg(long, env = "CHAT_JWT_KEYS", value_parser = KeySources::parse, value_name = "SOURCES")]
    pub jwt_keys: KeySources,
    /// Issuer (`iss`) that callers' tokens must have [default: any]
    #[arg(long, env = "CHAT_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Comma-separated audiences (`aud`), one of which callers' tokens must have
    #[arg(long, env = "CHAT_JWT_AUDIENCES", value_parser = list, value_name = "AUDIENCES")]
    #[arg(default_value = AUDIENCE)]
    pub jwt_audiences: TextList,
    /// Longest life of a token, from issue to expiry; longer ones are refused
    #[arg(long, env = "CHAT_JWT_MAX_LIFETIME", value_parser = span(MINUTE, LONGEST_TOKEN))]
    #[arg(default_value_t = DAY.into())]
    pub jwt_max_lifetime: Span,
    /// Names of claims in callers' tokens that differ from ours, as in
    /// `sub=uid,groups=/access/groups`
    #[arg(
        long,
        env = "CHAT_JWT_CLAIMS",
        value_name = "CLAIMS",
        default_value = ""
    )]
    pub jwt_claims: ClaimNames,
    /// File with certificate authorities (PEM) for URLs of keys, beside the system's
    #[arg(long, env = "CHAT_JWKS_CA_FILE", value_name = "FILE")]
    pub jwks_ca_file: Option<PathBuf>,
    /// Subjects of tokens that are services, each with the service's name in the policies, as in
    /// `system:serviceaccount:chat:gitsync=gitsync`, with commas between
    #[arg(
        long,
        env = "CHAT_SERVICES",
        value_name = "SERVICES",
        default_value = ""
    )]
    pub services: ServiceNames,
    /// Comma-separated names (DNS or URI) in client certificates that identify gitsync-service
    #[arg(long, env = "CHAT_GITSYNC_CERTIFICATES", value_parser = list, value_name = "NAMES")]
    pub gitsync_certificates: Option<TextList>,
    /// Sources of the public keys for the listener of gitsync-service, if it trusts another issuer
    /// than the public listener does
    #[arg(long, env = "CHAT_SYNC_JWT_KEYS", value_parser = KeySources::parse, value_name = "SOURCES")]
    pub sync_jwt_keys: Option<KeySources>,
    /// Issuer that tokens must have by the keys of the listener of gitsync-service [default: any]
    #[arg(long, env = "CHAT_SYNC_JWT_ISSUER", value_name = "ISSUER")]
    pub sync_jwt_issuer: Option<String>,
    /// Comma-separated audiences, one of which tokens for the listener of gitsync-service must have
    #[arg(long, env = "CHAT_SYNC_JWT_AUDIENCES", value_parser = list, value_name = "AUDIENCES")]
    #[arg(default_value = AUDIENCE)]
    pub sync_jwt_audiences: TextList,
    /// File with the bearer token that the URLs of these keys ask for, as a Kubernetes API does
    #[arg(long, env = "CHAT_SYNC_JWKS_TOKEN_FILE", value_name = "FILE")]
    pub sync_jwks_token_file: Option<PathBuf>,
}

impl CallerSettings {
    /// Authenticates the calls of both listeners. The verifiers are to be kept up to date, through
    /// `proxy`.
    #[must_use]
    pub fn authentication(
        &self,
        proxy: Option<EgressProxy>,
        metrics: &KeyMetrics,
    ) -> (Auth, SyncAuth, Vec<Verifier>) {
        let public = Trust {
            name: "public",
            keys: self.jwt_keys.clone(),
            issuer: self.jwt_issuer.clone(),
            audiences: self.jwt_audiences.0.clone(),
            max_lifetime: *self.jwt_max_lifetime,
            claims: self.jwt_claims.clone(),
            authorities: self.jwks_ca_file.clone(),
            bearer: None,
            proxy,
        };
        let own = self.sync_jwt_keys.clone().map(|keys| Trust {
            name: "sync",
            keys,
            issuer: self.sync_jwt_issuer.clone(),
            audiences: self.sync_jwt_audiences.0.clone(),
            claims: ClaimNames::default(),
            bearer: self.sync_jwks_token_file.clone(),
            ..public.clone()
        });
        let public = Verifier::new(public, metrics);
        let own = own.map(|trust| Verifier::new(trust, metrics));
        let certificates = self.gitsync_certificates.clone().unwrap_or_default().0;
        let of_workers = own.clone().unwrap_or_else(|| public.clone());
        let verifiers = [public.clone()].into_iter().chain(own);
        (
            Auth::new(public, self.services.clone()),
            SyncAuth::new(of_workers, self.services.clone(), certificates),
            verifiers.collect(),
        )
    }
}
