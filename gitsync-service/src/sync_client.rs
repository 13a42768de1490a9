//! The client of chat-service's `SyncService`. Each method is one call and never repeats itself:
//! what a failure means is in [`SyncError`], and the worker decides.

use std::{error::Error as _, sync::Arc, time::Duration};

use proto::{
    bounds::MAX_SYNC_BYTES,
    chat::v1::{self as pb, sync_service_client::SyncServiceClient},
    sync::{DiffReport, Lease, LeaseRequest, LeaseToken, Renewal, Report, ReportAnswer, RequestId},
};
use service_runtime::{
    call_metrics::{CallMetrics, code_name},
    telemetry::Failing,
    tls::{ChannelError, ClientTls, Refusal, channel},
    token::TokenFile,
    trace,
};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::Channel,
};
use tonic_types::{ErrorInfo, StatusExt as _};

/// The calls by name.
const LEASE: &str = "chat.v1.SyncService/LeaseDiffStatuses";
const RENEW: &str = "chat.v1.SyncService/RenewLease";
const REPORT: &str = "chat.v1.SyncService/ReportOutcomes";
const REPORT_DIFF: &str = "chat.v1.SyncService/ReportDiff";
const RELEASE: &str = "chat.v1.SyncService/ReleaseLease";
/// How long a call may take beyond the time that it was asked to wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the report of a diff may take, which has megabytes.
const DIFF_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection whose peer vanished without a word (a node died) is noticed after these two,
/// well within a third of a lease.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Adds the current trace context to each call.
type TracedChannel = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

/// Calls chat-service. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct SyncClient {
    client: SyncServiceClient<TracedChannel>,
    refusal: Refusal,
    token: Option<TokenFile>,
    /// Whether the token file can be read.
    token_failing: Arc<Failing>,
    worker_id: String,
    calls: CallMetrics,
}

/// Why a call brought nothing, by what follows from it.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The lease expired or was released: write nothing, lease again.
    #[error("the lease is lost")]
    LeaseLost,
    /// The call may have had its effect: repeat it with the same request id.
    #[error("chat-service did not answer ({})", code_name(.0.code()))]
    Unanswered(#[source] Box<Status>),
    /// chat-service does not accept our token, which has been read again since.
    #[error("chat-service does not accept this worker's token")]
    Unauthenticated,
    /// chat-service refuses the call as it is; repeating it changes nothing.
    #[error("chat-service refuses the call ({})", code_name(.0.code()))]
    Refused(#[source] Box<Status>),
}

impl SyncError {
    /// The text of chat-service or the transport; for the log.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::LeaseLost | Self::Unauthenticated => "",
            Self::Unanswered(status) | Self::Refused(status) => status.message(),
        }
    }

    /// The id by which chat-service logged the call, if it did.
    pub(crate) fn request_id(&self) -> Option<&str> {
        match self {
            Self::LeaseLost | Self::Unauthenticated => None,
            Self::Unanswered(status) | Self::Refused(status) => {
                status.metadata().get("x-request-id")?.to_str().ok()
            }
        }
    }
}

impl SyncClient {
    /// Prepares a connection to `url`, over TLS by `tls` if the URL begins with `https://`. It is
    /// opened by the first call, and opened again after it is lost. Without a token, the
    /// connection's client certificate identifies the worker.
    ///
    /// # Errors
    ///
    /// When `url` is no address.
    pub fn new(
        url: &str,
        tls: &ClientTls,
        token: Option<TokenFile>,
        worker_id: String,
        calls: CallMetrics,
    ) -> Result<Self, ChannelError> {
        let (channel, refusal) = channel(url, tls, |endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
        })?;
        Ok(Self {
            client: SyncServiceClient::new(InterceptedService::new(channel, trace::inject as _))
                .max_decoding_message_size(MAX_SYNC_BYTES),
            refusal,
            token,
            token_failing: Arc::default(),
            worker_id,
            calls,
        })
    }

    pub(crate) fn worker_id(&self) -> &str {
        &self.worker_id
    }

    /// Reads the token file again, and keeps the last good token when that fails.
    pub(crate) fn reload_token(&self) {
        let Some(token) = &self.token else {
            return;
        };
        match token.reload() {
            Ok(is_new) => {
                if self.token_failing.ends() {
                    tracing::info!("the token file can be read again");
                }
                if is_new {
                    tracing::info!("the token file holds another token, which is used from now on");
                }
            }
            Err(error) => {
                if self.token_failing.begins() {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the token file cannot be read; keeping the last token"
                    );
                }
            }
        }
    }

    /// Leases due refs, waiting up to `wait` for some to become due.
    pub(crate) async fn lease(
        &self,
        request: RequestId,
        max_refs: usize,
        wait: Duration,
    ) -> Result<Vec<Lease>, SyncError> {
        let message = LeaseRequest {
            request,
            worker: self.worker_id.clone(),
            max_refs: i64::try_from(max_refs).unwrap_or(i64::MAX),
            wait,
        }
        .message();
        let call = |mut client: SyncServiceClient<TracedChannel>, request| async move {
            client.lease_diff_statuses(request).await
        };
        let answer = self.call(LEASE, message, wait + CALL_TIMEOUT, call).await?;
        let leases = answer.leases.into_iter().map(Lease::read);
        // An unreadable lease expires, and costs no other lease.
        Ok(leases
            .filter_map(|lease| {
                lease
                    .inspect_err(|error| tracing::error!(%error, "a lease cannot be read"))
                    .ok()
            })
            .collect())
    }

    /// Extends a lease; its duration counts from when the call was handled.
    pub(crate) async fn renew(&self, lease: LeaseToken) -> Result<Renewal, SyncError> {
        let message = pb::RenewLeaseRequest {
            lease_token: lease.0.to_string(),
        };
        let call = |mut client: SyncServiceClient<TracedChannel>, request| async move {
            client.renew_lease(request).await
        };
        let answer = self.call(RENEW, message, CALL_TIMEOUT, call).await?;
        Renewal::read(answer).map_err(|error| {
            let status = Status::internal(error.to_string());
            SyncError::Unanswered(Box::new(status))
        })
    }

    /// Reports outcomes; returns their results in the same order.
    pub(crate) async fn report(&self, report: &Report) -> Result<ReportAnswer, SyncError> {
        let call = |mut client: SyncServiceClient<TracedChannel>, request| async move {
            client.report_outcomes(request).await
        };
        let answer = self
            .call(REPORT, report.message(), CALL_TIMEOUT, call)
            .await?;
        Ok(ReportAnswer::read(&answer))
    }

    /// Reports what came of asking for a diff.
    pub(crate) async fn report_diff(&self, report: &DiffReport) -> Result<(), SyncError> {
        let call = |mut client: SyncServiceClient<TracedChannel>, request| async move {
            client.report_diff(request).await
        };
        self.call(REPORT_DIFF, report.message(), DIFF_TIMEOUT, call)
            .await?;
        Ok(())
    }

    /// Gives a lease back.
    pub(crate) async fn release(&self, lease: LeaseToken) -> Result<(), SyncError> {
        let message = pb::ReleaseLeaseRequest {
            lease_token: lease.0.to_string(),
        };
        let call = |mut client: SyncServiceClient<TracedChannel>, request| async move {
            client.release_lease(request).await
        };
        self.call(RELEASE, message, CALL_TIMEOUT, call).await?;
        Ok(())
    }

    /// Calls, and calls once more if the token is not accepted and was replaced meanwhile: what is
    /// refused for its token has done nothing.
    async fn call<M: Clone, T, F>(
        &self,
        method: &'static str,
        message: M,
        limit: Duration,
        send: impl Fn(SyncServiceClient<TracedChannel>, Request<M>) -> F,
    ) -> Result<T, SyncError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let once = |bearer: Option<MetadataValue<Ascii>>| {
            let mut request = Request::new(message.clone());
            if let Some(bearer) = bearer {
                request.metadata_mut().insert("authorization", bearer);
            }
            request.set_timeout(limit);
            self.within(method, limit, send(self.client.clone(), request))
        };
        let bearer = || self.token.as_ref().map(TokenFile::bearer);
        let refused = bearer();
        let answer = once(refused.clone()).await;
        if matches!(answer, Err(SyncError::Unauthenticated)) {
            self.reload_token();
            // Another call may have read the new one before.
            let current = bearer();
            if current != refused {
                return once(current).await;
            }
        }
        answer
    }

    /// Replaces gRPC's text for a broken connection with its cause.
    fn explained(&self, status: Status) -> Status {
        let Some(source) = status.source() else {
            return status;
        };
        let causes = std::iter::successors(Some(source), |error| (*error).source());
        let cause = causes.last().map(ToString::to_string).unwrap_or_default();
        let cause = self.refusal.sentence().unwrap_or(cause);
        let message = match status.message() {
            message if message == cause => cause,
            message => format!("{message}: {cause}"),
        };
        Status::new(status.code(), message)
    }

    /// Bounds a call on this side too: the peer that would keep its deadline may be gone.
    async fn within<T>(
        &self,
        method: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, SyncError> {
        let span = trace::Span::call(method);
        let measured = self.calls.begin(method);
        let called = tokio::time::timeout(limit, span.scope(call)).await;
        let answer = called.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        measured.end(code);
        span.end_call(code, answer.is_err());
        let answer = answer.map_err(|status| SyncError::from(self.explained(status)));
        answer.map(Response::into_inner)
    }
}

impl From<Status> for SyncError {
    fn from(status: Status) -> Self {
        // A broken connection is UNAVAILABLE, UNKNOWN or INTERNAL, depending on when it broke.
        let is_unanswered = matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
                | Code::Aborted
                | Code::ResourceExhausted
        );
        let is_lost = |info: ErrorInfo| info.reason == proto::reason::LEASE_LOST;
        if is_unanswered {
            Self::Unanswered(Box::new(status))
        } else if status.code() == Code::Unauthenticated {
            Self::Unauthenticated
        } else if status.code() == Code::FailedPrecondition
            && status.get_details_error_info().is_none_or(is_lost)
        {
            Self::LeaseLost
        } else {
            Self::Refused(Box::new(status))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_broken_connection_may_have_acted_whatever_its_code_and_a_refusal_has_not() {
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::Cancelled,
            Code::Unknown,
            Code::Internal,
        ] {
            let error = SyncError::from(Status::new(code, "broken"));
            assert!(matches!(error, SyncError::Unanswered(_)), "{code:?}");
        }
        let denied = SyncError::from(Status::permission_denied("no"));
        assert!(matches!(denied, SyncError::Refused(_)));
    }

    #[test]
    fn only_a_lost_lease_is_a_lost_lease() {
        let status = |reason: &str| {
            let details =
                ErrorDetails::with_error_info(reason, proto::reason::DOMAIN, HashMap::new());
            Status::with_error_details(Code::FailedPrecondition, "no", details)
        };
        let lost = SyncError::from(status(proto::reason::LEASE_LOST));
        assert!(matches!(lost, SyncError::LeaseLost));
        let other = SyncError::from(status(proto::reason::CONCURRENT_CHANGE));
        assert!(matches!(other, SyncError::Refused(_)));
    }
}
