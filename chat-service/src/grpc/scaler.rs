//! KEDA's `externalscaler.ExternalScaler`: how many workers the due work needs.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use proto::externalscaler::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef, external_scaler_server::ExternalScaler,
};
use service_runtime::listener::ConnectionEnd;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    events::notifier::{Notifier, Topic},
    store::{Store, sync::Workload},
};

/// The name of the one metric.
const METRIC: &str = "gitsync-workers";
/// The key in a `ScaledObject`'s trigger metadata for the capacity of one worker.
const REFS_PER_WORKER: &str = "refsPerWorker";
/// Refs that one worker looks up in KEDA's polling interval of 30 s, unless the `ScaledObject` says
/// otherwise: ten requests at once, each a second long, of three refs of one account.
const DEFAULT_REFS_PER_WORKER: i64 = 1000;
/// As many as are counted at most.
const MAX_REFS_PER_WORKER: i64 = 10_000;
/// Refs that have been due for longer wait for a worker: a worker that is there leases at once.
const OVERDUE: Duration = Duration::from_secs(30);
/// A stream polls this often without a notification, which may be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Serves KEDA.
#[derive(Clone)]
pub(crate) struct ScalerGrpc {
    pub(crate) store: Store,
    /// Notifies of refs that became due.
    pub(crate) notifier: Notifier,
}

/// The answers of a `StreamIsActive` call.
pub(crate) type ActiveStream = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ExternalScaler for ScalerGrpc {
    type StreamIsActiveStream = ActiveStream;

    async fn is_active(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let result = self.store.has_work().await.map_err(Error::from)?;
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<ActiveStream>, Status> {
        let closing = request.extensions().get::<ConnectionEnd>().cloned();
        let activity = Activity {
            // Subscribed before the first poll, so that work that becomes due between the two is
            // not missed.
            due: self.notifier.subscribe(Topic::Due),
            store: self.store.clone(),
            closing: closing.map_or_else(CancellationToken::new, |ConnectionEnd(token)| token),
            said: None,
        };
        let answers = stream::unfold(Some(activity), |activity| async move {
            let mut activity = activity?;
            Some(match activity.next().await {
                Ok(result) => (Ok(IsActiveResponse { result }), Some(activity)),
                Err(error) => (Err(error.into()), None),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_metric_spec(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let metric = MetricSpec {
            metric_name: METRIC.to_owned(),
            target_size: 1,
            target_size_float: 1.0,
        };
        Ok(Response::new(GetMetricSpecResponse {
            metric_specs: vec![metric],
        }))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let request = request.into_inner();
        if request.metric_name != METRIC {
            return Err(Error::invalid("metricName", format!("must be {METRIC}")).into());
        }
        let per_worker = refs_per_worker(&request.scaled_object_ref.unwrap_or_default())?;
        let workload = self.store.workload(OVERDUE).await.map_err(Error::from)?;
        let workers = workers(workload, per_worker);
        let value = MetricValue {
            metric_name: METRIC.to_owned(),
            metric_value: workers,
            metric_value_float: f64::from(i32::try_from(workers).unwrap_or(i32::MAX)),
        };
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }
}

/// The capacity of one worker, from the `ScaledObject`.
fn refs_per_worker(scaled: &ScaledObjectRef) -> Result<i64, Error> {
    let Some(text) = scaled.scaler_metadata.get(REFS_PER_WORKER) else {
        return Ok(DEFAULT_REFS_PER_WORKER);
    };
    let refs = text.parse().ok();
    refs.filter(|refs| (1..=MAX_REFS_PER_WORKER).contains(refs))
        .ok_or_else(|| {
            let problem = format!("must be a number from 1 to {MAX_REFS_PER_WORKER}");
            Error::invalid(format!("scalerMetadata.{REFS_PER_WORKER}"), problem)
        })
}

/// Workers that hold leases are needed still, and overdue refs need as many more.
fn workers(workload: Workload, refs_per_worker: i64) -> i64 {
    let refs = workload.overdue + workload.leased;
    // Rounded up.
    (refs + refs_per_worker - 1) / refs_per_worker
}

/// A `StreamIsActive` call.
struct Activity {
    store: Store,
    due: watch::Receiver<()>,
    closing: CancellationToken,
    said: Option<bool>,
}

impl Activity {
    /// Whether there is work, when that has changed.
    ///
    /// # Errors
    ///
    /// With which the stream ends.
    async fn next(&mut self) -> Result<bool, Error> {
        loop {
            self.due.mark_unchanged();
            let active = self.store.has_work().await?;
            if self.said.replace(active) != Some(active) {
                return Ok(active);
            }
            tokio::select! {
                () = self.closing.cancelled() => return Err(ended()),
                _ = self.due.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }
}

fn ended() -> Error {
    Error::ConnectionEnds {
        problem: "the connection ends; connect again",
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_hold_leases_are_needed_and_overdue_refs_need_more() {
        for (overdue, leased, expected) in [
            (0, 0, 0),
            (1, 0, 1),
            (0, 1, 1),
            (1000, 0, 1),
            (1000, 1, 2),
            (10_000, 200, 11),
        ] {
            let workload = Workload { overdue, leased };
            assert_eq!(workers(workload, 1000), expected, "{workload:?}");
        }
    }
}
