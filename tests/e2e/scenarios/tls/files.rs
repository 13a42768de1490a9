//! The certificates of one test, in files.

use std::path::PathBuf;

use testkit::tls::{Authority, Certified, Life};
use uuid::Uuid;

/// Names of this machine.
pub(super) const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// A directory with certificates; removed when it is dropped.
pub(super) struct Files {
    directory: PathBuf,
    /// Who has signed them.
    pub(super) authority: Authority,
}

impl Files {
    /// An authority, in `authority.pem`, and chat-service's certificate.
    pub(super) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("e2e-tls-{}", Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let authority = Authority::new();
        let files = Self {
            directory,
            authority,
        };
        files.write("authority.pem", &files.authority.pem());
        files.certify("server", &LOCAL, Life::Long);
        files
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, name: &str, text: &str) {
        let partial = self.directory.join("partial");
        std::fs::write(&partial, text).unwrap();
        std::fs::rename(partial, self.directory.join(name)).unwrap();
    }

    /// A certificate for `names`, in `NAME.crt` and `NAME.key`.
    pub(super) fn certify(&self, name: &str, names: &[&str], life: Life) -> Certified {
        self.certify_by(&self.authority, name, names, life)
    }

    /// The same by another authority.
    pub(super) fn certify_by(
        &self,
        authority: &Authority,
        name: &str,
        names: &[&str],
        life: Life,
    ) -> Certified {
        let certified = authority.certify(names, life);
        certified.write(&self.directory, name);
        certified
    }

    /// Variables of a chat-service whose workers show a certificate.
    pub(super) fn chat_service(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CHAT_TLS_CERT_FILE", self.path("server.crt")),
            ("CHAT_TLS_KEY_FILE", self.path("server.key")),
            ("CHAT_TLS_CLIENT_CA_FILE", self.path("authority.pem")),
        ]
    }

    /// Variables of a worker of that, with the certificate `worker`.
    pub(super) fn worker(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GITSYNC_CHAT_SERVICE_CA_FILE", self.path("authority.pem")),
            ("GITSYNC_TLS_CERT_FILE", self.path("worker.crt")),
            ("GITSYNC_TLS_KEY_FILE", self.path("worker.key")),
        ]
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Variables as stacks take them.
pub(super) fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    let variables = variables.iter();
    variables
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
