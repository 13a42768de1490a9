//! How many pages a second: the store alone, and through gRPC.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use chat_service::{
    accounts::seal::KeyRing,
    chat::View,
    chat_filter::{ChatFilter, DEFAULT_PAGE_SIZE, ListDetail},
    config::{self, Command},
    server::Service,
    store::{PoolOptions, Store},
};
use prost::{Message as _, bytes::Bytes};
use proto::chat::v1::{ChatView, GetChatsRequest};
use secrecy::ExposeSecret as _;
use testkit::{
    clients::{self, KEYS},
    running::Running,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    cases::{Caller, World},
    database::Database,
    echo,
};

/// Calls at once.
const CONCURRENCIES: [usize; 2] = [1, 8];

/// Pages a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throughput {
    pub(super) concurrency: usize,
    pub(super) bare: f64,
    pub(super) grpc: f64,
    /// The same bytes from memory.
    pub(super) echo: f64,
}

impl Throughput {
    /// Of what could be reached, if a page over gRPC took as long as the store and the server's
    /// stack take for it by themselves.
    pub(super) fn of_ceiling(self) -> f64 {
        self.grpc * (1.0 / self.bare + 1.0 / self.echo)
    }
}

/// Bytes of a full page, over all callers who see one.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageBytes {
    pub(super) basic: usize,
    pub(super) full: usize,
}

/// Pages a second of all callers who see full pages, in turn; and how large these are.
pub(super) async fn measure(
    database: &Database,
    world: &World,
    seconds: u64,
) -> anyhow::Result<(Vec<Throughput>, PageBytes)> {
    let callers: Arc<[Caller]> = world
        .callers()
        .iter()
        .filter(|caller| caller.full)
        .cloned()
        .collect();
    let duration = Duration::from_secs(seconds);
    let (url, service) = start(database).await?;
    service
        .during(async {
            let basic = pages(&url, &callers, ChatView::Basic).await?;
            let full = pages(&url, &callers, ChatView::Full).await?;
            let mean = |pages: &[Bytes]| pages.iter().map(Bytes::len).sum::<usize>() / pages.len();
            let bytes = PageBytes {
                basic: mean(&basic),
                full: mean(&full),
            };
            let (echo_url, echo) = echo::start(basic).await?;
            let measured = echo.during(async {
                let mut found = Vec::new();
                for concurrency in CONCURRENCIES {
                    let urls = (url.as_str(), echo_url.as_str());
                    found.push(measure_at(concurrency, duration, &callers, database, urls).await?);
                }
                Ok(found)
            });
            let measured: anyhow::Result<_> = measured.await;
            Ok((measured?, bytes))
        })
        .await
}

/// The first page of each caller, as it is sent.
async fn pages(url: &str, callers: &[Caller], view: ChatView) -> anyhow::Result<Vec<Bytes>> {
    let channel = clients::channel(url);
    let mut pages = Vec::new();
    for caller in callers {
        let mut client = clients::chats(channel.clone(), caller.bearer.clone());
        let request = GetChatsRequest {
            view: view.into(),
            ..GetChatsRequest::default()
        };
        let page = client.get_chats(request).await?.into_inner();
        pages.push(page.encode_to_vec().into());
    }
    Ok(pages)
}

async fn measure_at(
    concurrency: usize,
    duration: Duration,
    callers: &Arc<[Caller]>,
    database: &Database,
    (url, echo_url): (&str, &str),
) -> anyhow::Result<Throughput> {
    let pool = Store::new(&database.url, &PoolOptions::default())?;
    let bare = rate(concurrency, duration, callers.clone(), move |_, caller| {
        let pool = pool.clone();
        async move {
            let filter = ChatFilter::default();
            let what = ListDetail::of(View::Basic);
            let page = pool.list_chats(caller.readable(), &filter, None, DEFAULT_PAGE_SIZE, what);
            Ok(page.await?.0.len())
        }
    })
    .await?;
    Ok(Throughput {
        concurrency,
        bare,
        grpc: over_grpc(concurrency, duration, callers, url).await?,
        echo: over_grpc(concurrency, duration, callers, echo_url).await?,
    })
}

async fn over_grpc(
    concurrency: usize,
    duration: Duration,
    callers: &Arc<[Caller]>,
    url: &str,
) -> anyhow::Result<f64> {
    // A connection for each client, as real clients would have.
    let channels: Vec<_> = (0..concurrency).map(|_| clients::channel(url)).collect();
    rate(
        concurrency,
        duration,
        callers.clone(),
        move |worker, caller| {
            let mut client = clients::chats(channels[worker].clone(), caller.bearer);
            async move {
                let page = client.get_chats(GetChatsRequest::default()).await?;
                Ok(page.into_inner().chats.len())
            }
        },
    )
    .await
}

/// Keeps `concurrency` calls under way, and counts those that end; each must bring a full page.
async fn rate<F, C>(
    concurrency: usize,
    duration: Duration,
    callers: Arc<[Caller]>,
    call: C,
) -> anyhow::Result<f64>
where
    C: Fn(usize, Caller) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<usize>> + Send + 'static,
{
    let warm_up = Instant::now() + duration / 5;
    let end = warm_up + duration;
    let mut workers = JoinSet::new();
    for worker in 0..concurrency {
        let (callers, call) = (callers.clone(), call.clone());
        workers.spawn(async move {
            let mut count = 0_u32;
            for turn in worker.. {
                let caller = callers[turn % callers.len()].clone();
                let name = caller.name;
                let chats = call(worker, caller).await?;
                anyhow::ensure!(chats == DEFAULT_PAGE_SIZE, "{name}: a page of {chats}");
                let now = Instant::now();
                if now > end {
                    break;
                }
                count += u32::from(now > warm_up);
            }
            Ok(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = workers.join_next().await {
        count += ended??;
    }
    Ok(f64::from(count) / duration.as_secs_f64())
}

/// The service, in this process, on real sockets; and the URL of its public listener.
async fn start(database: &Database) -> anyhow::Result<(String, Running)> {
    let directory = std::env::temp_dir().join(format!("bench-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&directory)?;
    let public_key = directory.join("jwt.pub");
    std::fs::write(&public_key, &KEYS.public_pem)?;
    let seal = directory.join("seal.keys");
    std::fs::write(&seal, KeyRing::generate_file_text().expose_secret())?;
    let flags = [
        "chat-service".to_owned(),
        "serve".to_owned(),
        format!("--database-url={}", database.url),
        "--listen=127.0.0.1:0".to_owned(),
        "--sync-listen=127.0.0.1:0".to_owned(),
        "--ops-listen=127.0.0.1:0".to_owned(),
        format!("--jwt-keys={}", public_key.display()),
        format!("--keys-file={}", seal.display()),
        // Each caller asks as fast as it is answered.
        "--user-calls-per-second=1000000".to_owned(),
    ];
    let Command::Serve(settings) = config::read(flags.map(OsString::from), &BTreeMap::new())?
    else {
        bail!("the settings are not those of the service");
    };
    std::fs::remove_dir_all(&directory)?;
    let stop = CancellationToken::new();
    let service = Service::start(*settings, stop.clone()).await?;
    let url = format!("http://{}", service.addresses.grpc);
    let running = Running::new(stop);
    running.spawn("chat-service", service.run());
    Ok((url, running))
}
