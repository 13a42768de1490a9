//! Authorities of tests, and the certificates that they sign.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority of its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until long after the test.
    Long,
    /// Until this year begins, which is long after the test too.
    Until(i32),
    /// Until tomorrow.
    Soon,
    /// Until before the test.
    Over,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = format!("authority {}", uuid::Uuid::now_v7());
        // Two authorities of one test differ in their names, as those of the world do.
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for servers and clients with these names: of DNS, addresses, or URIs with
    /// `://`.
    pub fn certify(&self, names: &[&str], life: Life) -> Certified {
        let (uris, others): (Vec<&str>, Vec<&str>) =
            names.iter().copied().partition(|name| name.contains("://"));
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(others).expect("names of a certificate");
        for uri in uris {
            let uri = uri.try_into().expect("a URI of a certificate");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        match life {
            Life::Long => {}
            Life::Until(year) => params.not_after = date_time_ymd(year, 1, 1),
            Life::Soon => params.not_after = (SystemTime::from(Timestamp::now()) + DAY).into(),
            Life::Over => {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certified {
    /// Writes it to `NAME.crt` and `NAME.key` in a directory, each whole or not at all. Returns
    /// their paths.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let write = |suffix: &str, text: &str| {
            let path = directory.join(format!("{name}.{suffix}"));
            let partial = directory.join(format!("{name}.{suffix}.partial"));
            std::fs::write(&partial, text).expect("write a file");
            std::fs::rename(&partial, &path).expect("rename a file");
            path
        };
        (write("crt", &self.certificate), write("key", &self.key))
    }

    /// As a server's settings.
    pub(super) fn server(&self) -> ServerConfig {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let chain = chain
            .collect::<Result<_, _>>()
            .expect("our own certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("our own key");
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of the provider")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key of the certificate")
    }
}
