//! Files that are read again when they change.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::TlsError;

/// Between looks at the files. Kubernetes takes up to a minute to replace those of a mounted
/// secret, and certificates are replaced long before their end.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Failed looks in a row until that is logged. Certificate and key may be replaced one after the
/// other, and a look between the two finds a pair that does not fit.
const LOGGED_AFTER: u32 = 2;

/// A file as it was read.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// The parsed content of files.
pub(super) trait FileContent: Sized + Send + Sync + 'static {
    /// Parses the files, which are in the order in which they are named.
    fn parse(files: &[Contents]) -> Result<Self, TlsError>;

    /// When it ends, in seconds since 1970; `None` for what does not end.
    fn expires_at(&self) -> Option<i64>;
}

/// The last usable content of files.
pub(super) struct WatchedFiles<T> {
    /// The role of the content; a label of metrics.
    role: &'static str,
    paths: Vec<PathBuf>,
    current: RwLock<Arc<T>>,
    looked: Mutex<LastLook>,
}

struct LastLook {
    /// The files that `current` was parsed from.
    files: Vec<Contents>,
    /// Failed looks since.
    failures: u32,
}

impl<T: FileContent> WatchedFiles<T> {
    /// Reads the files for the first time.
    pub(super) fn open(role: &'static str, paths: Vec<PathBuf>) -> Result<Self, TlsError> {
        let files = read(&paths)?;
        let current = RwLock::new(Arc::new(T::parse(&files)?));
        Ok(Self {
            role,
            paths,
            current,
            looked: Mutex::new(LastLook { files, failures: 0 }),
        })
    }

    /// A value that comes from no file.
    pub(super) fn fixed(role: &'static str, value: T) -> Self {
        Self {
            role,
            paths: Vec::new(),
            current: RwLock::new(Arc::new(value)),
            looked: Mutex::new(LastLook {
                files: Vec::new(),
                failures: 0,
            }),
        }
    }

    pub(super) fn current(&self) -> Arc<T> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }
}

/// The part of [`WatchedFiles`] that [`Certificates`] needs, whatever the content.
trait Watch: Send + Sync {
    /// Reads the files, and takes over what has changed if it can be used.
    fn look(&self);

    /// Its role, and when it expires.
    fn expiry(&self) -> Option<(&'static str, i64)>;
}

impl<T: FileContent> Watch for WatchedFiles<T> {
    fn look(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(&self.paths);
        let changed = !matches!(&read, Ok(files) if *files == looked.files);
        let parsed = match read {
            Ok(files) if changed => T::parse(&files).map(|value| Some((value, files))),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        match parsed {
            Err(error) => {
                looked.failures = looked.failures.saturating_add(1);
                if looked.failures == LOGGED_AFTER {
                    tracing::warn!(%error, role = self.role, "certificates cannot be read again; keeping those in use");
                }
                return;
            }
            Ok(Some((value, files))) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(value);
                looked.files = files;
                tracing::info!(role = self.role, paths = ?self.paths, "certificates were read again");
            }
            Ok(None) if looked.failures >= LOGGED_AFTER => {
                tracing::info!(role = self.role, paths = ?self.paths, "certificates can be read again");
            }
            Ok(None) => {}
        }
        looked.failures = 0;
    }

    fn expiry(&self) -> Option<(&'static str, i64)> {
        Some((self.role, self.current().expires_at()?))
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Contents>, TlsError> {
    let read = |path: &PathBuf| match std::fs::read(path) {
        Ok(bytes) => Ok(Contents {
            path: path.clone(),
            bytes,
        }),
        Err(error) => Err(TlsError::new(path, error.to_string())),
    };
    paths.iter().map(read).collect()
}

/// The certificates of a process that are read again when their files change, and the gauge of
/// their ends.
#[derive(Clone, Default)]
pub struct Certificates {
    watched: Vec<Arc<dyn Watch>>,
    expiry: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl Certificates {
    pub(super) fn add<T: FileContent>(&mut self, watched: &Arc<WatchedFiles<T>>) {
        self.watched.push(Arc::clone(watched) as Arc<dyn Watch>);
    }

    /// Adds those of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.watched.extend(other.watched.iter().map(Arc::clone));
    }

    /// Registers the gauge.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the first certificate of a chain in use ends, in seconds since 1970, by its role",
            self.expiry.clone(),
        );
        self.measure();
    }

    fn measure(&self) {
        for (role, expires_at) in self.watched.iter().filter_map(|watched| watched.expiry()) {
            self.expiry.get_or_create(&[("role", role)]).set(expires_at);
        }
    }

    /// Looks at the files now. Blocks while they are read.
    pub fn look(&self) {
        for watched in &self.watched {
            watched.look();
        }
        self.measure();
    }

    /// Checks the files periodically, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        if self.watched.is_empty() {
            return stop.cancelled().await;
        }
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let certificates = self.clone();
            // Fails only if a look panics: the next one may not.
            let _ = tokio::task::spawn_blocking(move || certificates.look()).await;
        }
    }
}
