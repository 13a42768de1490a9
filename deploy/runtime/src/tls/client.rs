//! TLS of a client: what it wants of a server's certificate, and its own.

use std::sync::Arc;

use rustls::{
    ClientConfig, Error,
    client::{
        Resumption,
        danger::{ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{Authorities, Identity, PROVIDER};

/// A client's requirements on a server's certificate.
#[derive(Clone, Debug)]
pub enum ServerCheck {
    /// Nothing: what is read on the way is hidden, who reads it is not known.
    None,
    /// One of these authorities has signed it, for any name.
    Authority(Authorities),
    /// One of these authorities has signed it, for the name by which the server is called.
    Name(Authorities),
}

/// How a client speaks TLS. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// TLS 1.2 or later with servers whose certificates are as `check` says, and with `identity`
    /// for those that ask who calls. Agrees on one of `protocols` (ALPN), unless that is empty.
    ///
    /// # Errors
    ///
    /// When the cryptography has none of these versions.
    pub fn new(
        check: ServerCheck,
        identity: Option<&Identity>,
        protocols: &[&str],
    ) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(check));
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.clone())),
            None => builder.with_no_client_auth(),
        };
        // A session that is resumed is not checked again.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        Ok(Self(Arc::new(config)))
    }

    /// As rustls takes it.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// As `WebPkiServerVerifier` of rustls does, with the authorities of the moment, and less where
/// less is wanted.
impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let (authorities, by_name) = match self {
            Self::None => return Ok(ServerCertVerified::assertion()),
            Self::Authority(authorities) => (authorities, false),
            Self::Name(authorities) => (authorities, true),
        };
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &authorities.store(),
            intermediates,
            now,
            PROVIDER.signature_verification_algorithms.all,
        )?;
        if by_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_the_provider!();
}
