//! TLS between the services: an authority of this start, whose key is nowhere, and two
//! certificates.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use testkit::tls::{Authority, Life};

use crate::files::write_private;

/// What the listeners for people and programs of this machine stay: a browser would not believe the
/// authority.
const PLAINTEXT: [&str; 2] = ["--plaintext", "grpc,ops"];

/// The certificates of both services.
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    /// Makes them, in a directory of their own.
    pub(crate) fn new(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.join("tls");
        std::fs::create_dir_all(&directory)?;
        let authority = Authority::new();
        write_private(&directory.join("authority.pem"), &authority.pem())?;
        for name in ["chat-service", "worker"] {
            let certified = authority.certify(&["127.0.0.1", "localhost"], Life::Long);
            let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
            write_private(&file("crt"), &certified.certificate)?;
            write_private(&file("key"), &certified.key)?;
        }
        Ok(Self(directory))
    }

    /// Flags of a chat-service whose workers show a certificate.
    pub(crate) fn chat_service(&self) -> Vec<OsString> {
        self.flags("chat-service", "--tls-client-ca-file")
    }

    /// Flags of a worker that shows one, and believes chat-service's.
    pub(crate) fn worker(&self) -> Vec<OsString> {
        self.flags("worker", "--chat-service-ca-file")
    }

    fn flags(&self, name: &str, authority: &str) -> Vec<OsString> {
        let file = |file: &str| self.0.join(file).into_os_string();
        let mut flags: Vec<OsString> = PLAINTEXT.map(OsString::from).into();
        for (flag, path) in [
            ("--tls-cert-file", file(&format!("{name}.crt"))),
            ("--tls-key-file", file(&format!("{name}.key"))),
            (authority, file("authority.pem")),
        ] {
            flags.extend([flag.into(), path]);
        }
        flags
    }
}
