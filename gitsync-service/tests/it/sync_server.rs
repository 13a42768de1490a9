//! A chat-service for workers: real gRPC, and as much state as the rules about leases need.
//!
//! It hands out the leases that a test queues, repeats its response for a repeated request id,
//! rejects calls without a current lease, and can lose the response of a call that it applied.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use proto::chat::v1::{
    self as pb,
    sync_service_server::{SyncService, SyncServiceServer},
};
use proto::{reason, sync::GitRefId};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::server::TcpIncoming};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::{ref_id, ref_name};

/// What a call is to do instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Act, and then lose the answer.
    LoseAnswer,
    /// Refuse before acting, as a server that is away.
    Away,
    /// Never answer.
    Hang,
    /// Say that the lease is lost.
    LeaseLost,
    /// Refuse the call as it is.
    Refused,
    /// Refuse the worker's token, as one that was replaced meanwhile.
    Unauthenticated,
}

/// Which outcomes of a ref are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    /// All but failures.
    Found,
    /// All.
    Everything,
}

/// One call as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) request_id: String,
    pub(crate) wait: Option<Duration>,
    pub(crate) max_refs: i32,
}

#[derive(Default)]
struct State {
    due: VecDeque<pb::Lease>,
    alive: HashSet<String>,
    released: Vec<String>,
    lease_answers: HashMap<String, Vec<pb::Lease>>,
    report_answers: HashMap<String, pb::ReportOutcomesResponse>,
    reports: Vec<pb::ReportOutcomesRequest>,
    diffs: Vec<pb::ReportDiffRequest>,
    calls: Vec<Call>,
    failures: HashMap<&'static str, VecDeque<Failure>>,
    /// Refs whose outcomes make a whole report unacceptable.
    poison: HashMap<String, Poison>,
    /// Refuses what is said of budgets and credentials.
    observes_nothing: bool,
    away: bool,
    accepted_token: Option<String>,
    answers_early: bool,
    /// Says in every answer that a person waits.
    awaited: bool,
    /// Answers as a later release may.
    is_later: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Chat(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

/// A running server; dropping it ends it.
pub(crate) struct SyncServer {
    pub(crate) chat: Chat,
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl SyncServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let chat = Chat::default();
        let service = SyncServiceServer::new(chat.clone())
            .max_decoding_message_size(proto::bounds::MAX_SYNC_BYTES);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        Self {
            chat,
            address,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Chat {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Makes a lease due; a waiting call gets it at once.
    pub(crate) fn queue(&self, lease: pb::Lease) {
        self.lock().due.push_back(lease);
        self.0.changed.notify_waiters();
    }

    /// The next calls of this name end so.
    pub(crate) fn fail(&self, name: &'static str, failures: &[Failure]) {
        self.lock()
            .failures
            .entry(name)
            .or_default()
            .extend(failures);
    }

    pub(crate) fn poison(&self, git_ref: &str, poison: Poison) {
        self.lock()
            .poison
            .insert(ref_id(git_ref).to_string(), poison);
    }

    /// Refuses every report that says anything of budgets and credentials.
    pub(crate) fn observe_nothing(&self) {
        self.lock().observes_nothing = true;
    }

    /// Refuses every call as a server that is away, or no longer does.
    pub(crate) fn away(&self, away: bool) {
        self.lock().away = away;
        // Calls that wait for a lease are woken, too.
        self.0.changed.notify_waiters();
    }

    pub(crate) fn accept_only(&self, token: &str) {
        self.lock().accepted_token = Some(token.to_owned());
    }

    /// Answers calls for leases at once, although nothing is due.
    pub(crate) fn answer_early(&self) {
        self.lock().answers_early = true;
    }

    /// Says from now on that a person waits for a ref of the budget.
    pub(crate) fn await_turn(&self) {
        self.lock().awaited = true;
    }

    /// From now on outcomes have a status that this release does not know.
    pub(crate) fn answer_as_later(&self) {
        self.lock().is_later = true;
    }

    /// Ends a lease, as when it ran out.
    pub(crate) fn take_away(&self, lease: &str) {
        self.lock().alive.remove(&ref_id(lease).to_string());
    }

    pub(crate) fn calls(&self, name: &str) -> Vec<Call> {
        let state = self.lock();
        let named = state.calls.iter().filter(|call| call.name == name);
        named.cloned().collect()
    }

    /// The names of all calls, in the order in which they came in.
    pub(crate) fn order(&self) -> Vec<&'static str> {
        self.lock().calls.iter().map(|call| call.name).collect()
    }

    /// All reports that were applied, each once.
    pub(crate) fn reports(&self) -> Vec<pb::ReportOutcomesRequest> {
        self.lock().reports.clone()
    }

    /// All diffs that came, as often as they did.
    pub(crate) fn diffs(&self) -> Vec<pb::ReportDiffRequest> {
        self.lock().diffs.clone()
    }

    /// All outcomes that were applied, by the names of their refs.
    pub(crate) fn outcomes(&self) -> HashMap<String, pb::Outcome> {
        let mut all = HashMap::new();
        for outcome in self.lock().reports.iter().flat_map(|r| &r.outcomes) {
            let name = ref_name(GitRefId(outcome.git_ref_id.parse().unwrap()));
            let again = all.insert(name, outcome.clone());
            assert!(again.is_none(), "applied twice: {again:?}");
        }
        all
    }

    pub(crate) fn is_released(&self, lease: &str) -> bool {
        self.lock().released.contains(&ref_id(lease).to_string())
    }

    fn next_failure(&self, name: &'static str) -> Option<Failure> {
        self.lock().failures.get_mut(name)?.pop_front()
    }

    fn note(&self, call: Call, metadata: &MetadataMap) -> Result<(), Status> {
        let mut state = self.lock();
        state.calls.push(call);
        if state.away {
            return Err(Status::unavailable("away"));
        }
        match &state.accepted_token {
            Some(token) => {
                let given = metadata.get("authorization").and_then(|v| v.to_str().ok());
                if given == Some(&format!("Bearer {token}")) {
                    Ok(())
                } else {
                    Err(Status::unauthenticated("no"))
                }
            }
            None => Ok(()),
        }
    }

    fn take_due(&self, request_id: &str) -> Option<Vec<pb::Lease>> {
        let mut state = self.lock();
        if let Some(first) = state.lease_answers.get(request_id) {
            let alive = |lease: &&pb::Lease| state.alive.contains(&lease.lease_token);
            return Some(first.iter().filter(alive).cloned().collect());
        }
        let lease = state.due.pop_front()?;
        state.alive.insert(lease.lease_token.clone());
        state
            .lease_answers
            .insert(request_id.to_owned(), vec![lease.clone()]);
        Some(vec![lease])
    }

    fn apply(
        &self,
        report: pb::ReportOutcomesRequest,
    ) -> Result<pb::ReportOutcomesResponse, Status> {
        let mut state = self.lock();
        if let Some(first) = state.report_answers.get(&report.request_id) {
            return Ok(first.clone());
        }
        if !state.alive.contains(&report.lease_token) {
            return Err(lease_lost());
        }
        let poisoned = |outcome: &pb::Outcome| {
            let failed = matches!(outcome.result, Some(pb::outcome::Result::Failed(_)));
            match state.poison.get(&outcome.git_ref_id) {
                Some(Poison::Found) => !failed,
                Some(Poison::Everything) => true,
                None => false,
            }
        };
        let observes = report.budget.is_some() || !report.credentials.is_empty();
        if report.outcomes.iter().any(poisoned) || (state.observes_nothing && observes) {
            return Err(Status::invalid_argument("no"));
        }
        if report.release_lease {
            state.alive.remove(&report.lease_token);
            state.released.push(report.lease_token.clone());
        }
        let status = if state.is_later {
            pb::OutcomeResultStatus::Unspecified
        } else {
            pb::OutcomeResultStatus::Applied
        };
        let answer = pb::ReportOutcomesResponse {
            results: report
                .outcomes
                .iter()
                .map(|outcome| pb::OutcomeResult {
                    git_ref_id: outcome.git_ref_id.clone(),
                    status: status.into(),
                })
                .collect(),
            awaited: state.awaited,
        };
        state
            .report_answers
            .insert(report.request_id.clone(), answer.clone());
        state.reports.push(report);
        Ok(answer)
    }
}

fn lease_lost() -> Status {
    let details = ErrorDetails::with_error_info(reason::LEASE_LOST, reason::DOMAIN, HashMap::new());
    Status::with_error_details(
        tonic::Code::FailedPrecondition,
        "the lease is lost",
        details,
    )
}

fn call(name: &'static str, request_id: &str) -> Call {
    Call {
        name,
        request_id: request_id.to_owned(),
        wait: None,
        max_refs: 0,
    }
}

/// Applies `failure`, if there is one, to `act`.
async fn failing<T>(
    failure: Option<Failure>,
    act: impl Future<Output = Result<T, Status>>,
) -> Result<Response<T>, Status> {
    match failure {
        Some(Failure::Away) => Err(Status::unavailable("away")),
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::LeaseLost) => Err(lease_lost()),
        Some(Failure::Refused) => Err(Status::invalid_argument("refused")),
        Some(Failure::Unauthenticated) => Err(Status::unauthenticated("expired")),
        Some(Failure::LoseAnswer) => {
            act.await?;
            Err(Status::unavailable("the answer was lost"))
        }
        None => act.await.map(Response::new),
    }
}

#[tonic::async_trait]
impl SyncService for Chat {
    async fn lease_diff_statuses(
        &self,
        request: Request<pb::LeaseDiffStatusesRequest>,
    ) -> Result<Response<pb::LeaseDiffStatusesResponse>, Status> {
        let metadata = request.metadata().clone();
        let message = request.into_inner();
        let wait = Duration::try_from(message.wait.unwrap_or_default()).unwrap();
        let noted = Call {
            wait: Some(wait),
            max_refs: message.max_refs,
            ..call("lease", &message.request_id)
        };
        self.note(noted, &metadata)?;
        let early = self.lock().answers_early;
        let act = async {
            let end = tokio::time::Instant::now() + wait;
            loop {
                let changed = self.0.changed.notified();
                if self.lock().away {
                    return Err(Status::unavailable("away"));
                }
                if let Some(leases) = self.take_due(&message.request_id) {
                    return Ok(pb::LeaseDiffStatusesResponse { leases });
                }
                if early || tokio::time::timeout_at(end, changed).await.is_err() {
                    return Ok(pb::LeaseDiffStatusesResponse::default());
                }
            }
        };
        failing(self.next_failure("lease"), act).await
    }

    async fn renew_lease(
        &self,
        request: Request<pb::RenewLeaseRequest>,
    ) -> Result<Response<pb::RenewLeaseResponse>, Status> {
        let metadata = request.metadata().clone();
        let lease_token = request.into_inner().lease_token;
        self.note(call("renew", ""), &metadata)?;
        let act = async {
            let state = self.lock();
            if !state.alive.contains(&lease_token) {
                return Err(lease_lost());
            }
            let mut leases = state.lease_answers.values().flatten();
            let expires_in = leases
                .find(|lease| lease.lease_token == lease_token)
                .and_then(|lease| lease.expires_in);
            Ok(pb::RenewLeaseResponse {
                expires_in,
                awaited: state.awaited,
            })
        };
        failing(self.next_failure("renew"), act).await
    }

    async fn report_outcomes(
        &self,
        request: Request<pb::ReportOutcomesRequest>,
    ) -> Result<Response<pb::ReportOutcomesResponse>, Status> {
        let metadata = request.metadata().clone();
        let report = request.into_inner();
        self.note(call("report", &report.request_id), &metadata)?;
        failing(self.next_failure("report"), async { self.apply(report) }).await
    }

    async fn report_diff(
        &self,
        request: Request<pb::ReportDiffRequest>,
    ) -> Result<Response<pb::ReportDiffResponse>, Status> {
        let metadata = request.metadata().clone();
        let diff = request.into_inner();
        self.note(call("diff", ""), &metadata)?;
        let act = async {
            let mut state = self.lock();
            if !state.alive.contains(&diff.lease_token) {
                return Err(lease_lost());
            }
            state.diffs.push(diff);
            Ok(pb::ReportDiffResponse {})
        };
        failing(self.next_failure("diff"), act).await
    }

    async fn release_lease(
        &self,
        request: Request<pb::ReleaseLeaseRequest>,
    ) -> Result<Response<pb::ReleaseLeaseResponse>, Status> {
        let metadata = request.metadata().clone();
        let lease_token = request.into_inner().lease_token;
        self.note(call("release", ""), &metadata)?;
        let act = async {
            let mut state = self.lock();
            state.alive.remove(&lease_token);
            state.released.push(lease_token);
            Ok(pb::ReleaseLeaseResponse {})
        };
        failing(self.next_failure("release"), act).await
    }
}
