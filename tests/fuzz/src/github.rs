//! What a git host answers.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gitsync_service::{
    host::github::Settings,
    worker::{Refresher, RefresherSettings},
};
use proto::sync::{
    BudgetKey, BudgetView, Credential, Finding, GitAccountId, GitRefId, KnownPullRequest, Lease,
    LeaseGroup, LeaseToken, LeasedRef, Outcome, Provider, ProviderKind, PullRequestState,
    RepositoryPath, Upstream,
};
use secrecy::SecretString;
use tokio::{runtime::Runtime, sync::mpsc, time::Instant};
use uuid::Uuid;

/// The end of a lease's turn: what is asked over and over ends here.
const TURN: Duration = Duration::from_secs(5);
/// With this bit of the first byte, the host is asked over REST.
const REST: u8 = 0x80;
/// Statuses of answers, of which the other bits choose.
const STATUSES: [u16; 8] = [200, 200, 200, 200, 404, 403, 422, 502];

/// Answers every request with the same bytes.
struct Host {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
}

/// The host that the worker asks, and the worker's own parts.
struct Asked {
    host: Host,
    /// Over GraphQL, and over REST.
    refreshers: [Refresher; 2],
    runtime: Runtime,
    number: AtomicU64,
}

static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let refresher = |graphql| {
        let settings = RefresherSettings {
            github: Settings {
                graphql,
                heavy_pause: Duration::ZERO,
                ..Settings::default()
            },
            ..RefresherSettings::default()
        };
        Refresher::new(settings).expect("an HTTP client")
    };
    Asked {
        host: Host::start(),
        refreshers: [true, false].map(refresher),
        runtime,
        number: AtomicU64::new(0),
    }
});

impl Host {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let answer = Arc::<Mutex<Vec<u8>>>::default();
        let shared = answer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = shared.clone();
                std::thread::spawn(move || serve(&stream, &answer));
            }
        });
        Self { address, answer }
    }
}

/// Reads requests and answers them, until the client closes the connection.
fn serve(stream: &TcpStream, answer: &Mutex<Vec<u8>>) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let bytes = answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut writer = stream;
        writer.write_all(&bytes).ok()?;
    }
}

/// Looks refs up at a host that answers everything with `data`.
///
/// Its first byte chooses the interface and the status, the rest is the body. Each ref has at most
/// one outcome, and one that is found is of a repository.
pub fn github(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let asked = &*ASKED;
    let status = STATUSES[usize::from(*first & !REST) % STATUSES.len()];
    let refresher = &asked.refreshers[usize::from(*first & REST != 0)];
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = [head.as_bytes(), body].concat();
    *asked
        .host
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = answer;
    // Another path and budget each time: what is remembered of a host decides nothing.
    let number = asked.number.fetch_add(1, Ordering::Relaxed);
    let lease = lease(asked.host.address, number);
    let outcomes = asked.runtime.block_on(async {
        let refresh = refresher.begin(lease, Instant::now() + TURN);
        let (found, mut finished) = mpsc::unbounded_channel();
        refresh.run(&found).await;
        drop(found);
        let mut outcomes = Vec::new();
        while let Some(result) = finished.recv().await {
            outcomes.push(result.outcome);
        }
        outcomes
    });
    judge(&outcomes);
}

fn judge(outcomes: &[Outcome]) {
    let mut refs: Vec<_> = outcomes.iter().map(|outcome| outcome.git_ref.0).collect();
    refs.sort_unstable();
    refs.dedup();
    assert_eq!(refs.len(), outcomes.len(), "two outcomes of one ref");
    for outcome in outcomes {
        if let Finding::PullRequest(found) = &outcome.finding {
            let shown = format!("{found:?}");
            assert!(shown.len() < 64 << 10, "more than a report may hold");
        }
    }
}

/// Of a ref that is known, and one that is not.
fn lease(address: SocketAddr, number: u64) -> Arc<Lease> {
    let path = RepositoryPath::parse("acme/web").expect("a path");
    let mut new = LeasedRef::new(GitRefId(Uuid::from_u128(1)), path.clone(), "feature");
    new.upstream = Upstream::NoFork;
    let mut known = LeasedRef::new(GitRefId(Uuid::from_u128(2)), path, "other");
    known.known = Some(KnownPullRequest {
        repository: "acme/web".to_owned(),
        number: 7,
        state: PullRequestState::Open,
        draft: false,
        host_id: Some("PR_7".to_owned()),
        checks_pending: false,
        merge_unknown: false,
    });
    let group = LeaseGroup {
        provider: Provider {
            id: "github".to_owned(),
            kind: ProviderKind::Github,
            host: "github.com".to_owned(),
            api_base_url: format!("http://{address}/{number}"),
        },
        credential: Some(Credential {
            account: GitAccountId(Uuid::from_u128(number.into())),
            generation: 1,
            access_token: SecretString::from("a-token-of-the-fuzzer"),
            suspect: false,
            expires_at: None,
        }),
        refs: vec![new, known],
    };
    Arc::new(Lease {
        token: LeaseToken(Uuid::from_u128(3)),
        budget_key: BudgetKey(format!("key-{number}")),
        expires_in: Duration::from_secs(60),
        groups: vec![group],
        budget: BudgetView {
            account_known: true,
            ..BudgetView::default()
        },
    })
}
