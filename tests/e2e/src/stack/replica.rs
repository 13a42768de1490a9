//! Further replicas of chat-service, and its commands.

use std::{collections::BTreeMap, process::Stdio};

use proto::chat::v1::{
    chat_service_client::ChatServiceClient, sync_service_client::SyncServiceClient,
};
use testkit::{
    clients::{self, Authorized, Caller, channel},
    process::{Process, Warnings, binaries, command, output, run},
    proxy::Proxy,
};

use super::{Addresses, Stack, address};

/// Another chat-service on the same database.
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Between it and its database.
    pub database_proxy: Proxy,
    variables: BTreeMap<String, String>,
    addresses: Addresses,
}

impl Replica {
    /// Where it serves its public listener.
    #[must_use]
    pub fn grpc_url(&self) -> &str {
        &self.addresses.grpc
    }

    /// Where it serves its workers.
    #[must_use]
    pub fn sync_url(&self) -> &str {
        &self.addresses.sync
    }

    /// Where it serves its operations endpoint.
    #[must_use]
    pub fn ops_url(&self) -> &str {
        &self.addresses.ops
    }
}

impl Stack {
    /// Starts another chat-service, behind a proxy of its own to the database.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn replica(&self) -> Replica {
        self.replica_of(self.database.address(), &[]).await
    }

    /// The same, with a proxy to `database`, and with more variables. When the stack got a
    /// URL of the database among its variables, the replica has that one, and no proxy.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn replica_of(&self, database: String, more: &[(&str, &str)]) -> Replica {
        let database_proxy = Proxy::start(database).await;
        let mut variables = self.chat_variables.clone();
        for (name, value) in more {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        for name in [
            "CHAT_LISTEN",
            "CHAT_SYNC_LISTEN",
            "CHAT_SCALER_LISTEN",
            "CHAT_OPS_LISTEN",
        ] {
            variables.insert(name.to_owned(), "127.0.0.1:0".to_owned());
        }
        let through = |proxy: &Proxy| self.database.url_through(proxy.address());
        if let Some(url) = variables.get_mut("CHAT_DATABASE_URL")
            && *url == through(&self.database_proxy)
        {
            *url = through(&database_proxy);
        }
        let (process, addresses) = start_chat_service(&variables, &self.warnings).await;
        Replica {
            process,
            database_proxy,
            variables,
            addresses,
        }
    }

    /// Starts a replica again, after the test ended it, at the same addresses.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart_replica(&self, replica: &mut Replica) {
        replica.addresses.listen(&mut replica.variables);
        let (process, addresses) = start_chat_service(&replica.variables, &self.warnings).await;
        replica.process = process;
        replica.addresses = addresses;
    }

    /// `ChatService` of a replica as `caller`.
    #[must_use]
    pub fn chats_at(&self, replica: &Replica, caller: &Caller) -> ChatServiceClient<Authorized> {
        self.chats_through(&replica.addresses.grpc, caller)
    }

    /// `ChatService` at `url` as `caller`: of any replica, directly or through a proxy.
    #[must_use]
    pub fn chats_through(&self, url: &str, caller: &Caller) -> ChatServiceClient<Authorized> {
        clients::chats(channel(url), self.bearer(caller))
    }

    /// `SyncService` at `url` as `caller`: of any replica.
    #[must_use]
    pub fn sync_at(&self, url: &str, caller: &Caller) -> SyncServiceClient<Authorized> {
        clients::sync(channel(url), self.bearer(caller))
    }

    /// Runs a command of chat-service on the database, and returns what it prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[must_use]
    pub fn chat_service_command(&self, arguments: &[&str]) -> String {
        let mut chat_service = command(&binaries().chat_service);
        chat_service
            .args(arguments)
            .env("CHAT_DATABASE_URL", self.database.url());
        run(chat_service)
    }

    /// Runs one of chat-service's commands that call a running server, in the name of `caller`, and
    /// returns what it prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn terminal(&self, caller: &Caller, arguments: &[&str]) -> String {
        let token = self.directory.file("terminal.jwt");
        std::fs::write(&token, self.token(caller)).expect("write the caller's token");
        let mut chat_service = command(&binaries().chat_service);
        chat_service
            .args(arguments)
            .env("CHAT_URL", self.grpc_url())
            .env("CHAT_TOKEN_FILE", &token);
        let output = output(chat_service, Stdio::piped())
            .await
            .expect("run a command");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A chat-service with these variables, and where it listens.
pub(super) async fn start_chat_service(
    variables: &BTreeMap<String, String>,
    warnings: &Warnings,
) -> (Process, Addresses) {
    let mut chat_service = command(&binaries().chat_service);
    chat_service.arg("serve").envs(variables);
    let mut process = Process::spawn("chat-service", chat_service)
        .expect("start chat-service")
        .warning_as(warnings);
    let listening = process.wait_for_event("listening").await;
    let addresses = Addresses {
        grpc: address(&listening, "grpc"),
        sync: address(&listening, "sync"),
        scaler: address(&listening, "scaler"),
        ops: address(&listening, "ops"),
    };
    (process, addresses)
}
