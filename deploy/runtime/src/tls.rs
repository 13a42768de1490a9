//! TLS of listeners and clients: a process's own certificate and the authorities that it believes,
//! both from PEM files that are read again when they change, and the handshakes of both sides.
//!
//! rustls' configurations are made once. What changes stands behind them: each handshake asks
//! [`Identity`] for the certificate, and [`Authorities`] which others to believe. Connections that
//! are open stay as they are; listeners end each at its age.

/// How both sides verify the signatures of a handshake: by the provider's algorithms. For the
/// implementation of a verifier.
macro_rules! signatures_by_the_provider {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
            let algorithms = &PROVIDER.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
            let algorithms = &PROVIDER.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            PROVIDER
                .signature_verification_algorithms
                .supported_schemes()
        }
    };
}

mod authorities;
mod channel;
mod client;
mod identity;
mod server;
mod watched;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use self::{
    authorities::Authorities,
    channel::{ChannelError, Refusal, channel},
    client::{ClientTls, ServerCheck},
    identity::Identity,
    server::ServerTls,
    watched::Certificates,
};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Makes aws-lc-rs the cryptography of libraries that ask the process for it. For the beginning of
/// `main`: what asks before decides by itself.
pub fn install_provider() {
    // Fails only if one is installed already.
    let _ = PROVIDER.as_ref().clone().install_default();
}

/// A file that cannot be used; says which one and why, and nothing of a key.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    problem: String,
}

impl TlsError {
    fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for TlsError {}
