//! A process's own certificate.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    Certificates, PROVIDER, TlsError,
    watched::{Contents, FileContent, WatchedFiles},
};

/// The certificate by which a process shows who it is, as a server or as a client, with its key.
/// Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<WatchedFiles<CertificateKey>>);

struct CertificateKey {
    key: Arc<CertifiedKey>,
    expires_at: i64,
}

impl Identity {
    /// Reads a certificate, followed by those of authorities between it and the one that peers
    /// believe, and its key, both in PEM. `certificates` reads them again; `role` says what for.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the two do not belong together, or a certificate is not valid
    /// now.
    pub fn open(
        certificates: &mut Certificates,
        role: &'static str,
        certificate: &Path,
        key: &Path,
    ) -> Result<Self, TlsError> {
        let paths = vec![certificate.to_owned(), key.to_owned()];
        let watched = Arc::new(WatchedFiles::open(role, paths)?);
        certificates.add(&watched);
        Ok(Self(watched))
    }

    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.current().key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity")
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl FileContent for CertificateKey {
    fn parse(files: &[Contents]) -> Result<Self, TlsError> {
        let [certificate, key] = files else {
            unreachable!("an identity is of two files");
        };
        let chain = chain(certificate)?;
        let invalid = |problem: String| TlsError::new(&certificate.path, problem);
        let now = UnixTime::now().as_secs().cast_signed();
        let mut expires_at = i64::MAX;
        for der in &chain {
            let (_, parsed) = X509Certificate::from_der(der)
                .map_err(|error| invalid(format!("is no certificate: {error}")))?;
            let (begin, end) = (parsed.validity().not_before, parsed.validity().not_after);
            if now < begin.timestamp() {
                return Err(invalid(format!("is valid only from {begin} on")));
            }
            if now > end.timestamp() {
                return Err(invalid(format!("expired at {end}")));
            }
            expires_at = expires_at.min(end.timestamp());
        }
        let private = PrivateKeyDer::from_pem_slice(&key.bytes)
            .map_err(|_| TlsError::new(&key.path, "holds no private key in PEM"))?;
        let certified = CertifiedKey::from_der(chain, private, &PROVIDER)
            .map_err(|error| TlsError::new(&key.path, error.to_string()))?;
        Ok(Self {
            key: Arc::new(certified),
            expires_at,
        })
    }

    fn expires_at(&self) -> Option<i64> {
        Some(self.expires_at)
    }
}

/// The certificates in a file, of which there is one at least.
pub(super) fn chain(file: &Contents) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let invalid = |problem: String| TlsError::new(&file.path, problem);
    let certificates = CertificateDer::pem_slice_iter(&file.bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| invalid(format!("is no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(invalid("holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}
