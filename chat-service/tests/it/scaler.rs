//! KEDA's external scaler: what it says of work that is due, leased, withheld or away.

use std::time::Duration;

use proto::externalscaler::{
    GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient,
};
use testkit::{clients::facts, proxy::Proxy, wait};
use tokio::time::Instant;
use tonic::{Code, Status, transport::Channel};

use crate::{
    stack::{Caller, Stack},
    worker::{Owner, Worker, found, limited, make_all_due, none, outcome, report, run},
};

/// As KEDA asks: without a token.
struct Keda {
    client: ExternalScalerClient<Channel>,
    scaled: ScaledObjectRef,
}

impl Keda {
    /// Of a `ScaledObject` that says how many refs one worker looks up.
    fn of(stack: &Stack, refs_per_worker: &str) -> Self {
        let metadata = ("refsPerWorker".to_owned(), refs_per_worker.to_owned());
        Self {
            client: ExternalScalerClient::new(stack.scaler.clone()),
            scaled: ScaledObjectRef {
                name: "gitsync-service".to_owned(),
                namespace: "chat".to_owned(),
                scaler_metadata: [metadata].into(),
            },
        }
    }

    async fn is_active(&mut self) -> Result<bool, Status> {
        let answer = self.client.is_active(self.scaled.clone()).await?;
        Ok(answer.into_inner().result)
    }

    /// The value of the metric that the spec names.
    async fn workers(&mut self) -> Result<i64, Status> {
        let spec = self.client.get_metric_spec(self.scaled.clone()).await?;
        let [metric] = spec.into_inner().metric_specs.try_into().unwrap();
        assert_eq!((metric.target_size, metric.target_size_float), (1, 1.0));
        let request = GetMetricsRequest {
            scaled_object_ref: Some(self.scaled.clone()),
            metric_name: metric.metric_name.clone(),
        };
        let answer = self.client.get_metrics(request).await?;
        let [value] = answer.into_inner().metric_values.try_into().unwrap();
        assert_eq!(value.metric_name, metric.metric_name);
        let both = format!("{}", value.metric_value_float);
        assert_eq!(both, value.metric_value.to_string(), "the same in both");
        Ok(value.metric_value)
    }
}

/// Lets half a minute and more pass since everything became due.
async fn let_it_wait(stack: &Stack) {
    run(
        stack,
        "UPDATE git_ref_polls SET due_at = due_at - interval '31 s',
             early_at = early_at - interval '31 s'
         WHERE due_at IS NOT NULL",
    )
    .await;
}

#[tokio::test]
async fn due_work_is_active_at_once_and_asks_for_workers_when_it_has_waited() {
    Stack::run(async |stack| {
        let mut keda = Keda::of(stack, "2");
        assert!(!keda.is_active().await.unwrap());
        assert_eq!(keda.workers().await.unwrap(), 0);
        for _ in 0..3 {
            Owner::linked(stack).await.chat("feat/x").await;
        }
        assert!(keda.is_active().await.unwrap());
        assert_eq!(keda.workers().await.unwrap(), 0, "it has not waited");
        let_it_wait(stack).await;
        assert_eq!(keda.workers().await.unwrap(), 2, "3 refs, 2 to a worker");
        // Leased, it needs the worker that holds it, and no other.
        let worker = Worker::of(stack);
        let leases = worker.lease().await;
        assert!(keda.is_active().await.unwrap());
        assert_eq!(keda.workers().await.unwrap(), 2);
        for lease in leases {
            let refs = lease.groups.iter().flat_map(|group| &group.refs);
            let outcomes = refs.map(|git_ref| outcome(git_ref, none())).collect();
            worker
                .try_report(report(&lease.lease_token, outcomes))
                .await
                .unwrap();
        }
        assert!(!keda.is_active().await.unwrap());
        assert_eq!(keda.workers().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn refs_that_no_worker_may_lease_ask_for_none() {
    Stack::run(async |stack| {
        let mut keda = Keda::of(stack, "1");
        let unlinked = Owner::unlinked(stack);
        unlinked.chat("feat/x").await;
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut limits = report(&lease.0.lease_token, Vec::new());
        limits.budget = Some(limited());
        worker.try_report(limits).await.unwrap();
        make_all_due(stack).await;
        let_it_wait(stack).await;
        assert!(!keda.is_active().await.unwrap());
        assert_eq!(keda.workers().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_says_within_a_second_that_work_became_due_and_that_none_is_left() {
    Stack::run(async |stack| {
        let mut keda = Keda::of(stack, "1");
        let stream = keda.client.stream_is_active(keda.scaled.clone()).await;
        let mut stream = stream.unwrap().into_inner();
        let mut next = async || {
            let message = tokio::time::timeout(wait::PATIENCE, stream.message());
            message.await.unwrap().unwrap().unwrap().result
        };
        assert!(!next().await);
        let owner = Owner::linked(stack).await;
        let mut fastest = Duration::MAX;
        // The fastest counts: a busy machine delays any of them.
        for branch in ["feat/x", "feat/y", "feat/z"] {
            owner.chat(branch).await;
            let due = Instant::now();
            assert!(next().await);
            fastest = fastest.min(due.elapsed());
            Worker::of(stack).answer(found()).await;
            assert!(!next().await);
        }
        assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_away_is_an_error_and_never_zero() {
    let database = testkit::postgres::database().await;
    let proxy = Proxy::start(database.address()).await;
    let url = database.url_through(proxy.address());
    let through = |settings: &mut chat_service::config::Settings, _: &mut _| {
        settings.database.database_url = Some(url.into());
    };
    Stack::run_on(database, through, async |stack| {
        let mut keda = Keda::of(stack, "1");
        let stream = keda.client.stream_is_active(keda.scaled.clone()).await;
        let mut stream = stream.unwrap().into_inner();
        assert!(!stream.message().await.unwrap().unwrap().result);
        proxy.cut();
        let ended = stream.message().await.unwrap_err();
        let away = (Code::Unavailable, "DEPENDENCY_UNAVAILABLE".to_owned(), None);
        assert_eq!(facts(&ended), away);
        assert_eq!(facts(&keda.is_active().await.unwrap_err()), away);
        assert_eq!(facts(&keda.workers().await.unwrap_err()), away);
        proxy.restore();
        wait::until("the database is back", || {
            let (mut client, scaled) = (keda.client.clone(), keda.scaled.clone());
            async move { client.is_active(scaled).await }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_metric_that_there_is_not_and_a_worker_without_a_size_are_refused_by_name() {
    Stack::run(async |stack| {
        for refs in ["0", "10001", "many", ""] {
            let refused = Keda::of(stack, refs).workers().await.unwrap_err();
            let (code, reason, field) = facts(&refused);
            assert_eq!((code, &*reason), (Code::InvalidArgument, "FIELD_INVALID"));
            assert_eq!(field.as_deref(), Some("scalerMetadata.refsPerWorker"));
        }
        let mut keda = Keda::of(stack, "1");
        let request = GetMetricsRequest {
            scaled_object_ref: Some(keda.scaled.clone()),
            metric_name: "another".to_owned(),
        };
        let refused = keda.client.get_metrics(request).await.unwrap_err();
        assert_eq!(facts(&refused).2.as_deref(), Some("metricName"));
        // No other listener serves it, and this one serves nothing else.
        let mut elsewhere = ExternalScalerClient::new(stack.public.clone());
        let refused = elsewhere.is_active(keda.scaled.clone()).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
        let mut chats = testkit::clients::chats(
            stack.scaler.clone(),
            testkit::clients::bearer(&Caller::user().token()),
        );
        let refused = chats.get_chats(proto::chat::v1::GetChatsRequest::default());
        assert_eq!(refused.await.unwrap_err().code(), Code::Unimplemented);
    })
    .await;
}
