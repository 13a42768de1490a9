//! The real binary, with keys and tokens of its own.

use std::{path::PathBuf, process::Command};

use testkit::{
    clients::{Caller, KeyPair},
    process::{Process, command},
};
use uuid::Uuid;

use crate::stack::Stack;

/// A directory with an issuer's public key and a service's token.
pub(crate) struct Keys {
    directory: PathBuf,
    pair: KeyPair,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("gitsync-it-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&directory).unwrap();
        let pair = KeyPair::generate();
        std::fs::write(directory.join("public.pem"), &pair.public_pem).unwrap();
        std::fs::write(directory.join("token"), pair.token(&Caller::gitsync())).unwrap();
        Self { directory, pair }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn token(&self, caller: &Caller) -> String {
        self.pair.token(caller)
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
        .env("GITSYNC_JWT_KEYS", keys.file("public.pem"))
        .env("GITSYNC_LISTEN", "127.0.0.1:0")
        .env("GITSYNC_OPS_LISTEN", "127.0.0.1:0")
        .env("GITSYNC_LOG", "debug");
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
