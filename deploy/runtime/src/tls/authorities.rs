//! The authorities that a process trusts.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    CertificateError, DistinguishedName, Error, RootCertStore,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    Certificates, PROVIDER, TlsError,
    identity::chain,
    watched::{Contents, FileContent, WatchedFiles},
};

/// The certificates of authorities that a process believes. Cheap to clone.
#[derive(Clone)]
pub struct Authorities(Arc<WatchedFiles<Roots>>);

struct Roots {
    store: Arc<RootCertStore>,
}

impl Authorities {
    /// Reads the certificates of authorities, in PEM. `certificates` reads them again; `role` says
    /// what for.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds something else.
    pub fn open(
        certificates: &mut Certificates,
        role: &'static str,
        file: &Path,
    ) -> Result<Self, TlsError> {
        let watched = Arc::new(WatchedFiles::open(role, vec![file.to_owned()])?);
        certificates.add(&watched);
        Ok(Self(watched))
    }

    /// Those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`, as they are now.
    #[must_use]
    pub fn of_system() -> Self {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let error = found.errors.first().map(ToString::to_string);
            tracing::warn!(error, "the system has no certificate authorities");
        }
        let store = Arc::new(store);
        Self(Arc::new(WatchedFiles::fixed("system", Roots { store })))
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0.current().store)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authorities")
    }
}

impl FileContent for Roots {
    fn parse(files: &[Contents]) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for file in files {
            for certificate in chain(file)? {
                store
                    .add(certificate)
                    .map_err(|error| TlsError::new(&file.path, error.to_string()))?;
            }
        }
        let store = Arc::new(store);
        Ok(Self { store })
    }

    /// An authority's own end decides nothing: peers are judged by their certificates.
    fn expires_at(&self) -> Option<i64> {
        None
    }
}

/// Believes certificates of clients. The authorities are not named to them: the names
/// change, and a client with one certificate needs no names to choose by.
impl ClientCertVerifier for Authorities {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.store(), Arc::clone(&PROVIDER))
                .build()
                .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    signatures_by_the_provider!();
}
