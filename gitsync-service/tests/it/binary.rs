//! The real binary, with keys and tokens of its own.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret as _;
use service_runtime::token::{AUDIENCE, Claims, Kind, Signer};
use testkit::process::{Process, command};
use uuid::Uuid;

use crate::stack::Stack;

/// A directory with an issuer's public key and a service's token.
pub(crate) struct Keys {
    directory: PathBuf,
    signer: Signer,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("gitsync-it-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&directory).unwrap();
        let pem = |label: &str, der: &[u8]| {
            format!(
                "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
                STANDARD.encode(der)
            )
        };
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        // RFC 8410's SubjectPublicKeyInfo.
        let mut public = vec![
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        public.extend_from_slice(pair.public_key().as_ref());
        std::fs::write(directory.join("public.pem"), pem("PUBLIC KEY", &public)).unwrap();
        let private = pem("PRIVATE KEY", document.as_ref());
        let keys = Self {
            directory,
            signer: Signer::from_private_key_pem(private.as_bytes()).unwrap(),
        };
        let service = keys.token(Kind::Service, &[], false);
        std::fs::write(keys.directory.join("token"), service).unwrap();
        keys
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn token(&self, kind: Kind, site_roles: &[&str], suspended: bool) -> String {
        let claims = Claims {
            sub: Uuid::new_v4().to_string(),
            aud: AUDIENCE.to_owned(),
            exp: 4_000_000_000,
            iat: None,
            kind,
            organizations: Vec::new(),
            groups: BTreeSet::new(),
            site_roles: site_roles.iter().map(|&role| role.to_owned()).collect(),
            suspended,
        };
        self.signer
            .sign(&claims)
            .unwrap()
            .expose_secret()
            .to_owned()
    }

    pub(crate) fn service_token(&self) -> String {
        std::fs::read_to_string(self.file("token")).unwrap()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn binary() -> Command {
    command(env!("CARGO_BIN_EXE_gitsync-service"))
}

pub(crate) fn configured(stack: &Stack, keys: &Keys) -> Command {
    let mut command = binary();
    command
        .env("GITSYNC_CHAT_SERVICE_URL", stack.server.url())
        .env("GITSYNC_TOKEN_FILE", keys.file("token"))
        .env("GITSYNC_JWT_PUBLIC_KEY_FILE", keys.file("public.pem"))
        .env("GITSYNC_LISTEN", "127.0.0.1:0")
        .env("GITSYNC_OPS_LISTEN", "127.0.0.1:0")
        .env("GITSYNC_LOG_FILTER", "debug");
    command
}

pub(crate) async fn start(stack: &Stack, keys: &Keys) -> (Process, String, String) {
    let ready_file = keys.file("ready.json");
    let mut command = configured(stack, keys);
    command.arg("--ready-file").arg(&ready_file);
    let mut process = Process::spawn("gitsync-service", command).unwrap();
    let ready = process.wait_for_ready_file(&ready_file).await;
    let url = |name: &str| ready[name].as_str().unwrap().to_owned();
    (process, url("grpc"), url("ops"))
}

/// A plain HTTP request, for which no client is needed.
pub(crate) async fn http_get(url: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
