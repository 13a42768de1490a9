//! The parts, in the order in which they start; they stop in the opposite one.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use testkit::{
    postgres::{Durability, Options as PostgresOptions, Server},
    process::{self, Binaries},
};
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::{
    answers::{self, Answer},
    certificates::Certificates,
    files::write_private,
    host::{GitHost, PROVIDER, StandIn},
    options::Options,
    page::Page,
    people::{self, Tokens},
    ports,
    ready::{Ready, ReadyFile},
    sample::{self, Stage},
    say,
    services::{Service, program, run},
};

const DATABASE: &str = "postgres";

/// The services' usual ports.
const CHAT_PORT: u16 = 50051;
const GITSYNC_PORT: u16 = 50061;

/// How often the parts are looked at once all run.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// What runs so far.
#[derive(Default)]
pub(crate) struct Stack {
    ready_file: Option<ReadyFile>,
    directory: Option<Directory>,
    postgres: Option<Server>,
    host: Option<GitHost>,
    chat: Option<Service>,
    gitsync: Option<Service>,
}

impl Stack {
    /// Starts everything, and says how to call it.
    pub(crate) async fn start(&mut self, options: &Options) -> anyhow::Result<()> {
        self.ready_file = options
            .ready_file
            .as_deref()
            .map(ReadyFile::new)
            .transpose()?;
        // Before the build, so that a directory that cannot be used is reported at once.
        let directory = Directory::open(options.data_dir.as_deref())?;
        let place = directory.path.clone();
        self.directory = Some(directory);
        let database_url = say::doing("PostgreSQL", self.start_postgres(options)).await?;
        let binaries = say::doing_aloud("Building the services", build()).await?;

        say::doing("Schema", migrate(&binaries, &database_url)).await?;
        let keys = Keys::open(&binaries, &place).await?;
        let certificates = Certificates::new(&place)?;
        let tokens = Tokens::issue(&binaries.chat_service, &keys.private).await?;
        let page = Page::new(&place, &tokens)?;
        let host = self.host.insert(GitHost::start(options).await?);
        if host.stand_in.is_some() {
            say::line(&format!("GitHub stand-in: {}", host.api));
        }

        let mut command = program(&binaries.chat_service, "CHAT_");
        command
            .arg("serve")
            // No balancer has to hear of an end.
            .env("CHAT_DRAIN_DELAY", "0s")
            .env("CHAT_WEB", "true")
            .env("CHAT_WEB_SIGN_IN_FILE", &page.file)
            .env("CHAT_DATABASE_URL", &database_url)
            .env_remove("CHAT_DATABASE_URL_FILE")
            .env("GIT_PROVIDER_0_TYPE", "github")
            .env("GIT_PROVIDER_0_ID", PROVIDER)
            .env("GIT_PROVIDER_0_HOST", &host.host)
            .env("GIT_PROVIDER_0_API_BASE_URL", &host.api)
            .arg("--listen")
            .arg(ports::choose(options.port, CHAT_PORT, "chat-service").to_string())
            .args(["--sync-listen", &ports::any().to_string()])
            .args(["--ops-listen", &ports::any().to_string()])
            .arg("--jwt-keys")
            .arg(&keys.public)
            .args(["--jwt-max-lifetime", people::TTL])
            .arg("--keys-file")
            .arg(&keys.seal)
            .args(certificates.chat_service())
            .args(["--log", &options.log]);
        let starting = Service::start("chat-service", command, &place);
        let (chat, chat_ready) = say::doing("chat-service", starting).await?;
        let chat_log = self.chat.insert(chat).log.clone();
        let chat_url = address(&chat_ready, "grpc")?;
        let sync_url = address(&chat_ready, "sync")?;

        let mut command = program(&binaries.gitsync_service, "GITSYNC_");
        command
            .args(["--chat-service-url", &sync_url])
            .arg("--token-file")
            .arg(&keys.worker_token)
            .args(certificates.worker())
            .arg("--jwt-keys")
            .arg(&keys.public)
            .args(["--jwt-max-lifetime", people::TTL])
            .arg("--listen")
            .arg(ports::choose(options.gitsync_port, GITSYNC_PORT, "gitsync-service").to_string())
            .args(["--ops-listen", &ports::any().to_string()])
            .args(["--log", &options.log]);
        let starting = Service::start("gitsync-service", command, &place);
        let (gitsync, gitsync_ready) = say::doing("gitsync-service", starting).await?;
        let gitsync_log = self.gitsync.insert(gitsync).log.clone();

        let channel = Endpoint::from_shared(chat_url.clone())?.connect().await?;
        let (samples, answers) = Box::pin(self.make_samples(options, &channel, &tokens)).await?;
        let host = self.host.as_ref().context("the git host was started")?;
        let ready = Ready {
            chat_service: chat_url,
            sync_service: sync_url,
            gitsync_service: address(&gitsync_ready, "grpc")?,
            database_url,
            github_api: host.api.clone(),
            stand_in: host.stand_in.is_some(),
            page,
            tokens,
            samples,
            answers,
            directory: place,
            program: binaries.chat_service,
            logs: vec![chat_log, gitsync_log],
        };
        ready.write(self.ready_file.as_ref())?;
        say::result(&ready.text());
        Ok(())
    }

    async fn start_postgres(&mut self, options: &Options) -> anyhow::Result<String> {
        let durability = options
            .data_dir
            .as_ref()
            .map_or(Durability::Throwaway, |directory| {
                Durability::Kept(directory.join("postgres"))
            });
        let server = Server::start(PostgresOptions {
            durability,
            port: options.postgres_port,
            settings: Vec::new(),
        })
        .await?;
        Ok(self.postgres.insert(server).url(DATABASE))
    }

    /// Makes chats, and waits until the worker has looked up their branches.
    async fn make_samples(
        &mut self,
        options: &Options,
        channel: &Channel,
        tokens: &Tokens,
    ) -> anyhow::Result<(sample::Samples, Vec<Answer>)> {
        let host = self.host.as_ref().context("the git host was started")?;
        let plan = match &host.stand_in {
            Some(StandIn { sample, .. }) => sample::of_organization(host, sample)?,
            None => sample::of_repository(host, options),
        };
        let making = sample::make(&plan, channel, tokens);
        let samples = say::doing("Sample chats", making).await?;
        if !plan.has_branches() {
            say::line("No branch was named with --repo and --branch: nothing is looked up.");
            return Ok((samples, Vec::new()));
        }
        let waiting = async {
            let Some(stand_in) = &host.stand_in else {
                return answers::ask(&plan, &samples, channel, tokens).await;
            };
            sample::wait(&plan, &samples, channel, tokens, Stage::Opened).await?;
            stand_in.settle();
            sample::refresh_settled(&plan, &samples, channel, tokens).await?;
            sample::wait(&plan, &samples, channel, tokens, Stage::Settled).await?;
            Ok(Vec::new())
        };
        let answered = Box::pin(async {
            tokio::select! {
                found = waiting => found,
                Err(ended) = watch(&mut self.postgres, &mut self.chat, &mut self.gitsync) => Err(ended),
            }
        });
        let answers = say::doing("Pull requests, by the worker", answered).await?;
        Ok((samples, answers))
    }

    /// Returns when a part ends by itself, with the end of its log.
    pub(crate) async fn watch(&mut self) -> anyhow::Result<()> {
        watch(&mut self.postgres, &mut self.chat, &mut self.gitsync).await
    }

    /// Stops what runs: the worker first, so that it can give its leases back.
    pub(crate) async fn stop(&mut self) {
        self.ready_file = None;
        if let Some(gitsync) = self.gitsync.take() {
            gitsync.stop().await;
        }
        if let Some(chat) = self.chat.take() {
            chat.stop().await;
        }
        if let Some(StandIn { github, .. }) = self.host.take().and_then(|host| host.stand_in) {
            github.stop().await;
            say::line("GitHub stand-in stopped");
        }
        if let Some(postgres) = self.postgres.take() {
            match postgres.stop().await {
                Ok(()) => say::line("PostgreSQL stopped"),
                Err(error) => say::line(&error.to_string()),
            }
        }
        self.directory = None;
    }
}

async fn watch(
    postgres: &mut Option<Server>,
    chat: &mut Option<Service>,
    gitsync: &mut Option<Service>,
) -> anyhow::Result<()> {
    loop {
        for service in [&mut *chat, &mut *gitsync].into_iter().flatten() {
            service.check()?;
        }
        if let Some(server) = postgres
            && let Some(status) = server.ended()?
        {
            bail!(
                "PostgreSQL ended by itself ({status}); its log ends with:\n{}",
                server.log_tail()
            );
        }
        sleep(WATCH_INTERVAL).await;
    }
}

/// Builds the services; Cargo shows its own progress.
async fn build() -> anyhow::Result<Binaries> {
    Ok(process::build().await?)
}

async fn migrate(binaries: &Binaries, database_url: &str) -> anyhow::Result<()> {
    let mut command = program(&binaries.chat_service, "CHAT_");
    command
        .arg("migrate")
        .env("CHAT_DATABASE_URL", database_url)
        .env_remove("CHAT_DATABASE_URL_FILE");
    run("chat-service migrate", command).await?;
    Ok(())
}

/// One of the addresses in a service's ready file.
fn address(ready: &Value, name: &str) -> anyhow::Result<String> {
    ready[name]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("the ready file has no {name:?}: {ready}"))
}

/// Where keys and logs are. A temporary one is removed at the end.
struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    fn open(data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let (base, temporary) = match data_dir {
            Some(kept) => (std::path::absolute(kept)?, false),
            None => (
                std::env::temp_dir().join(format!("chat-local-{}", uuid::Uuid::now_v7().simple())),
                true,
            ),
        };
        // A directory of its own in a kept one: another user may have to pass to the database.
        let path = if temporary { base } else { base.join("run") };
        std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o700)))
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The key files, made at the first start.
struct Keys {
    private: PathBuf,
    public: PathBuf,
    seal: PathBuf,
    worker_token: PathBuf,
}

impl Keys {
    async fn open(binaries: &Binaries, directory: &Path) -> anyhow::Result<Self> {
        let kept = directory.join("keys");
        let keys = Self {
            private: kept.join("jwt.key"),
            public: kept.join("jwt.pub"),
            seal: kept.join("seal.keys"),
            worker_token: directory.join("gitsync.token"),
        };
        if !kept.exists() {
            // Renamed once all are there: a start that is killed must not leave some of them.
            let partial = directory.join("keys.partial");
            if partial.exists() {
                std::fs::remove_dir_all(&partial)?;
            }
            let mut command = process::command(&binaries.chat_service);
            command.args(["keys", "generate", "--dir"]).arg(&partial);
            run("chat-service keys generate", command).await?;
            std::fs::rename(&partial, &kept)?;
        }
        let worker = people::worker();
        let token = people::issue(&binaries.chat_service, &keys.private, &worker).await?;
        write_private(&keys.worker_token, &token)?;
        Ok(keys)
    }
}
