//! What a process has at a time, and whether it has ever more.

use std::fmt;

use anyhow::Context as _;
use e2e::stack::{Stack, Worker};
use testkit::{http, process::status_kib};

use crate::figures::{count, rounded};

/// `/proc/<id>/stat` counts processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
const KIB_PER_MIB: f64 = 1024.0;
/// Sum over all statements.
const STATEMENTS: &str = "db_client_operation_duration_seconds_count";

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    ChatMemory,
    ChatDescriptors,
    ChatTasks,
    GitsyncMemory,
    GitsyncDescriptors,
    GitsyncTasks,
}

/// Of both processes at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    chat: Has,
    gitsync: Has,
    /// Processor time so far, in seconds.
    pub(super) chat_cpu: f64,
    pub(super) gitsync_cpu: f64,
    /// Statements so far.
    pub(super) statements: f64,
}

/// Of one process.
#[derive(Clone, Copy, Debug)]
struct Has {
    mib: f64,
    descriptors: f64,
    tasks: f64,
}

impl Sample {
    pub(super) async fn take(stack: &Stack, worker: &Worker) -> anyhow::Result<Self> {
        let (chat, gitsync) = (stack.chat_service.id(), worker.process.id());
        Ok(Self {
            chat: Has::of(chat, stack.ops_url(), "chat_tasks").await?,
            gitsync: Has::of(gitsync, &worker.ops, "gitsync_tasks").await?,
            chat_cpu: cpu_seconds(chat)?,
            gitsync_cpu: cpu_seconds(gitsync)?,
            statements: statements(stack).await?,
        })
    }

    fn get(&self, observed: Observed) -> f64 {
        match observed {
            Observed::ChatMemory => self.chat.mib,
            Observed::ChatDescriptors => self.chat.descriptors,
            Observed::ChatTasks => self.chat.tasks,
            Observed::GitsyncMemory => self.gitsync.mib,
            Observed::GitsyncDescriptors => self.gitsync.descriptors,
            Observed::GitsyncTasks => self.gitsync.tasks,
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chat, gitsync) = (self.chat, self.gitsync);
        write!(
            formatter,
            "{:8.1} {:5.0} {:5.0} | {:11.1} {:5.0} {:5.0}",
            chat.mib, chat.descriptors, chat.tasks, gitsync.mib, gitsync.descriptors, gitsync.tasks
        )
    }
}

impl Has {
    async fn of(process: u32, ops_url: &str, tasks: &str) -> anyhow::Result<Self> {
        let kib = status_kib(process, "VmRSS:").context("a process is gone")?;
        let open = std::fs::read_dir(format!("/proc/{process}/fd"))?;
        let tasks: Option<f64> = http::metric(ops_url, tasks).await;
        Ok(Self {
            mib: count(usize::try_from(kib)?) / KIB_PER_MIB,
            descriptors: count(open.count()),
            tasks: tasks.context("no count of tasks")?,
        })
    }
}

/// Processor time of a process so far.
fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which may hold anything: user and system time are the 12th and 13th field.
    let (_, fields) = stat.rsplit_once(") ").context("a name in brackets")?;
    let mut ticks = 0.0;
    for field in fields.split(' ').skip(11).take(2) {
        ticks += field.parse::<f64>()?;
    }
    Ok(ticks / TICKS_PER_SECOND)
}

/// Statements of chat-service so far, by its own count.
async fn statements(stack: &Stack) -> anyhow::Result<f64> {
    let metrics = http::get(stack.ops_url(), "/metrics").await;
    let mut sum = 0.0;
    for line in metrics.lines().filter(|line| line.starts_with(STATEMENTS)) {
        let (_, value) = line.rsplit_once(' ').context("a value")?;
        sum += value.parse::<f64>()?;
    }
    Ok(sum)
}

impl Observed {
    pub(super) const ALL: [Self; 6] = [
        Self::ChatMemory,
        Self::ChatDescriptors,
        Self::ChatTasks,
        Self::GitsyncMemory,
        Self::GitsyncDescriptors,
        Self::GitsyncTasks,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChatMemory => "chat_mib",
            Self::ChatDescriptors => "chat_fds",
            Self::ChatTasks => "chat_tasks",
            Self::GitsyncMemory => "gitsync_mib",
            Self::GitsyncDescriptors => "gitsync_fds",
            Self::GitsyncTasks => "gitsync_tasks",
        }
    }

    /// By how much it may differ between two thirds of a run without a leak: what is in flight
    /// differs, and an allocator keeps a little more.
    fn allowed(self, before: f64) -> f64 {
        match self {
            Self::ChatMemory | Self::GitsyncMemory => (before * 0.05).max(3.0),
            Self::ChatDescriptors
            | Self::ChatTasks
            | Self::GitsyncDescriptors
            | Self::GitsyncTasks => (before * 0.1).max(6.0),
        }
    }
}

/// How one thing changed from the first third of the samples to the last.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    pub(super) observed: Observed,
    before: f64,
    pub(super) after: f64,
}

impl Growth {
    pub(super) fn of(observed: Observed, samples: &[Sample]) -> Self {
        let values: Vec<f64> = samples.iter().map(|sample| sample.get(observed)).collect();
        Self::over(observed, &values)
    }

    fn over(observed: Observed, values: &[f64]) -> Self {
        let third = (values.len() / 3).max(1).min(values.len());
        Self {
            observed,
            before: median(&values[..third]),
            after: median(&values[values.len() - third..]),
        }
    }

    fn allowed(&self) -> f64 {
        self.observed.allowed(self.before)
    }

    pub(super) fn is_leak(&self) -> bool {
        self.after - self.before > self.allowed()
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:13}| {:11.1} | {:11.1} | {:8.1} | {:7.1}",
            self.observed.name(),
            self.before,
            self.after,
            self.after - self.before,
            self.allowed()
        )
    }
}

/// The middle one: a sample during a burst does not count.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    rounded(values.get(values.len() / 2).copied().unwrap_or_default())
}
