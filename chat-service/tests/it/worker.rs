//! A worker that a test plays: it leases and reports over the wire, and asks no host.

use std::time::Duration;

use proto::chat::v1::{self, OutcomeResultStatus, sync_service_client::SyncServiceClient};
use tonic::Status;
use uuid::Uuid;

use crate::{
    sql::statement,
    stack::{Authorized, Caller, Stack},
};

/// Plays gitsync-service.
#[derive(Clone)]
pub(crate) struct Worker {
    client: SyncServiceClient<Authorized>,
}

impl Worker {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self {
            client: stack.sync(&Caller::gitsync()),
        }
    }

    /// What is due now.
    pub(crate) async fn lease(&self) -> Vec<v1::Lease> {
        self.try_lease(request()).await.unwrap()
    }

    pub(crate) async fn try_lease(
        &self,
        request: v1::LeaseDiffStatusesRequest,
    ) -> Result<Vec<v1::Lease>, Status> {
        let response = self.client.clone().lease_diff_statuses(request).await?;
        Ok(response.into_inner().leases)
    }

    /// The one lease that is due now, which has one ref.
    pub(crate) async fn lease_one(&self) -> Leased {
        let mut leases = self.lease().await;
        assert_eq!(leases.len(), 1, "one lease is due");
        Leased(leases.remove(0))
    }

    /// Waits for a lease.
    pub(crate) async fn wait_for_lease(&self) -> Vec<v1::Lease> {
        let mut request = request();
        request.wait = Some(prost_types::Duration {
            seconds: 20,
            nanos: 0,
        });
        self.try_lease(request).await.unwrap()
    }

    pub(crate) async fn report(
        &self,
        request: v1::ReportOutcomesRequest,
    ) -> Result<v1::ReportOutcomesResponse, Status> {
        let response = self.client.clone().report_outcomes(request).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn try_report(
        &self,
        request: v1::ReportOutcomesRequest,
    ) -> Result<Vec<OutcomeResultStatus>, Status> {
        let answer = self.report(request).await?;
        Ok(answer
            .results
            .iter()
            .map(v1::OutcomeResult::status)
            .collect())
    }

    /// Reports and gives the lease back.
    pub(crate) async fn finish(
        &self,
        lease: &Leased,
        outcomes: Vec<v1::Outcome>,
    ) -> Vec<OutcomeResultStatus> {
        self.try_report(report(&lease.0.lease_token, outcomes))
            .await
            .unwrap()
    }

    /// Reports what came of asking for the diff of a leased ref.
    pub(crate) async fn report_diff(
        &self,
        lease: &str,
        git_ref: &v1::LeasedRef,
        result: v1::report_diff_request::Result,
    ) -> Result<(), Status> {
        let request = v1::ReportDiffRequest {
            lease_token: lease.to_owned(),
            git_ref_id: git_ref.git_ref_id.clone(),
            fence: git_ref.fence,
            result: Some(result),
        };
        self.client.clone().report_diff(request).await.map(drop)
    }

    /// Returns whether a person has come to wait for a ref of the lease's budget.
    pub(crate) async fn renew(&self, token: &str) -> Result<bool, Status> {
        let lease_token = token.to_owned();
        self.client
            .clone()
            .renew_lease(v1::RenewLeaseRequest { lease_token })
            .await
            .map(|response| response.into_inner().awaited)
    }

    pub(crate) async fn release(&self, token: &str) {
        let lease_token = token.to_owned();
        self.client
            .clone()
            .release_lease(v1::ReleaseLeaseRequest { lease_token })
            .await
            .unwrap();
    }

    /// Leases the one ref that is due, and reports `result`, to be looked at again in two minutes.
    pub(crate) async fn answer(&self, result: v1::outcome::Result) -> OutcomeResultStatus {
        let lease = self.lease_one().await;
        let outcome = outcome(lease.git_ref(), result);
        let statuses = self.finish(&lease, vec![outcome]).await;
        assert_eq!(statuses.len(), 1, "one answer");
        statuses.into_iter().next().unwrap()
    }
}

/// A lease without `Debug`, with its refs at hand.
pub(crate) struct Leased(pub(crate) v1::Lease);

impl Leased {
    pub(crate) fn refs(&self) -> Vec<&v1::LeasedRef> {
        self.0.groups.iter().flat_map(|group| &group.refs).collect()
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        self.refs()
            .into_iter()
            .map(|git_ref| git_ref.git_ref_id.as_str())
            .collect()
    }

    pub(crate) fn git_ref(&self) -> &v1::LeasedRef {
        let refs = self.refs();
        assert_eq!(refs.len(), 1, "one ref is leased");
        refs.into_iter().next().unwrap()
    }

    pub(crate) fn access_token(&self) -> Option<&str> {
        let credential = self.credential()?;
        Some(credential.access_token.as_str())
    }

    /// That of its one group.
    pub(crate) fn credential(&self) -> Option<&v1::Credential> {
        assert_eq!(self.0.groups.len(), 1, "one group");
        self.0.groups.first().unwrap().credential.as_ref()
    }

    /// The branches of its refs, sorted.
    pub(crate) fn branches(&self) -> Vec<&str> {
        let refs = self.refs();
        let mut branches: Vec<&str> = refs.iter().map(|of| of.branch.as_str()).collect();
        branches.sort_unstable();
        branches
    }
}

/// A lease request that does not wait.
pub(crate) fn request() -> v1::LeaseDiffStatusesRequest {
    v1::LeaseDiffStatusesRequest {
        request_id: Uuid::now_v7().to_string(),
        worker_id: "worker".to_owned(),
        max_refs: 0,
        wait: None,
    }
}

/// A report that gives the lease back.
pub(crate) fn report(token: &str, outcomes: Vec<v1::Outcome>) -> v1::ReportOutcomesRequest {
    v1::ReportOutcomesRequest {
        request_id: Uuid::now_v7().to_string(),
        lease_token: token.to_owned(),
        outcomes,
        budget: None,
        release_lease: true,
        credentials: Vec::new(),
    }
}

/// A pause of a whole budget.
pub(crate) fn pause(duration: u64, class: v1::ProblemClass) -> v1::Pause {
    v1::Pause {
        duration: Some(seconds(duration)),
        class: class.into(),
        from_lane: v1::Lane::Unspecified.into(),
    }
}

/// What a report says of a budget whose rate limit is spent for ten minutes.
pub(crate) fn limited() -> v1::BudgetObservation {
    v1::BudgetObservation {
        pause: Some(pause(600, v1::ProblemClass::RateLimited)),
        ..v1::BudgetObservation::default()
    }
}

/// An outcome, to be looked at again in two minutes.
pub(crate) fn outcome(git_ref: &v1::LeasedRef, result: v1::outcome::Result) -> v1::Outcome {
    v1::Outcome {
        git_ref_id: git_ref.git_ref_id.clone(),
        fence: git_ref.fence,
        result: Some(result),
        next_refresh_in: Some(seconds(120)),
        next_lane: v1::Lane::Active.into(),
        ..v1::Outcome::default()
    }
}

pub(crate) fn seconds(seconds: u64) -> prost_types::Duration {
    Duration::from_secs(seconds).try_into().unwrap()
}

/// An open pull request.
pub(crate) fn pull_request() -> v1::PullRequest {
    v1::PullRequest {
        repository: "acme/web".to_owned(),
        number: 7,
        url: "https://github.com/acme/web/pull/7".to_owned(),
        state: v1::PullRequestState::Open.into(),
        draft: false,
        title: "Add a thing".to_owned(),
        changes_requested: false,
        approved: true,
        reviewer_count: 2,
        additions: 10,
        deletions: 3,
        changed_files: 2,
        commits: 4,
        head_branch: "feat/x".to_owned(),
        base_branch: "main".to_owned(),
        head_sha: "0123456789012345678901234567890123456789".to_owned(),
        author_login: Some("ann".to_owned()),
        author_avatar_url: Some("https://avatars.example/ann".to_owned()),
        host_id: Some("PR_7".to_owned()),
        ..v1::PullRequest::default()
    }
}

pub(crate) fn found() -> v1::outcome::Result {
    v1::outcome::Result::Found(pull_request())
}

pub(crate) fn found_in(state: v1::PullRequestState) -> v1::outcome::Result {
    v1::outcome::Result::Found(v1::PullRequest {
        state: state.into(),
        ..pull_request()
    })
}

pub(crate) fn none() -> v1::outcome::Result {
    v1::outcome::Result::NoPullRequest(v1::NoPullRequest {})
}

pub(crate) fn unchanged() -> v1::outcome::Result {
    v1::outcome::Result::Unchanged(v1::Unchanged {})
}

pub(crate) fn gone() -> v1::outcome::Result {
    v1::outcome::Result::Gone(v1::Gone {})
}

pub(crate) fn failed(class: v1::ProblemClass) -> v1::outcome::Result {
    v1::outcome::Result::Failed(v1::Failed {
        class: class.into(),
        repository_wide: false,
    })
}

/// The side of the one who owns chats.
pub(crate) struct Owner<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) caller: Caller,
}

impl<'a> Owner<'a> {
    /// A new user who has linked an account.
    pub(crate) async fn linked(stack: &'a Stack) -> Self {
        let owner = Self::unlinked(stack);
        let token = format!("ghp_{}", Uuid::now_v7().simple());
        owner.link(&token).await;
        owner
    }

    /// Unlinks the account.
    pub(crate) async fn unlink(&self) {
        let request = v1::UnlinkGitAccountRequest {
            user_id: None,
            provider_id: "github".to_owned(),
        };
        self.stack
            .accounts(&self.caller)
            .unlink_git_account(request)
            .await
            .unwrap();
    }

    /// A new user who has not.
    pub(crate) fn unlinked(stack: &'a Stack) -> Self {
        Self {
            stack,
            caller: Caller::user(),
        }
    }

    pub(crate) async fn link(&self, token: &str) -> v1::GitAccount {
        self.link_at("github", token).await
    }

    pub(crate) async fn link_at(&self, provider_id: &str, token: &str) -> v1::GitAccount {
        let request = v1::LinkGitAccountRequest {
            user_id: None,
            provider_id: provider_id.to_owned(),
            access_token: token.to_owned(),
            ..v1::LinkGitAccountRequest::default()
        };
        self.stack
            .accounts(&self.caller)
            .link_git_account(request)
            .await
            .unwrap()
            .into_inner()
            .account
            .unwrap()
    }

    /// A new chat with a branch that was reported.
    pub(crate) async fn chat(&self, branch: &str) -> v1::Chat {
        let chat = self.stack.chat(&self.caller).await;
        self.report(&chat.id, branch).await;
        self.get(&chat.id).await
    }

    pub(crate) async fn report(&self, chat: &str, branch: &str) {
        self.try_report(git_ref(chat, "https://github.com/acme/web", branch))
            .await
            .unwrap();
    }

    pub(crate) async fn try_report(
        &self,
        request: v1::ReportGitRefRequest,
    ) -> Result<Vec<String>, Status> {
        let response = self
            .stack
            .chats(&self.caller)
            .report_git_ref(request)
            .await?;
        Ok(response.into_inner().chat_ids)
    }

    pub(crate) async fn get(&self, chat: &str) -> v1::Chat {
        let request = v1::GetChatRequest {
            chat_id: chat.to_owned(),
            ..v1::GetChatRequest::default()
        };
        self.stack
            .chats(&self.caller)
            .get_chat(request)
            .await
            .unwrap()
            .into_inner()
            .chat
            .unwrap()
    }

    /// The diff status of the chat's primary ref.
    pub(crate) async fn status(&self, chat: &str) -> v1::ChatDiffStatus {
        self.get(chat).await.diff_status.unwrap()
    }
}

/// A report for one chat.
pub(crate) fn git_ref(chat: &str, origin: &str, branch: &str) -> v1::ReportGitRefRequest {
    v1::ReportGitRefRequest {
        target: Some(v1::report_git_ref_request::Target::ChatId(chat.to_owned())),
        git_remote_origin: origin.to_owned(),
        git_branch: branch.to_owned(),
        commit: None,
    }
}

/// Makes everything that is planned due now, as if the time had passed.
pub(crate) async fn make_all_due(stack: &Stack) {
    run(
        stack,
        "UPDATE git_ref_polls SET due_at = now(), early_at = now() WHERE due_at IS NOT NULL",
    )
    .await;
    settle_all(stack).await;
}

/// Has accounts and budgets follow from what a test wrote, by the statements of the service. What
/// was given back a moment ago does not rest any more.
pub(crate) async fn settle_all(stack: &Stack) {
    let client = stack.database.client().await;
    let ids = async |sql: &str| -> Vec<Uuid> {
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    };
    client
        .batch_execute("UPDATE git_budgets SET leased_refs = 0 WHERE lease_token IS NULL")
        .await
        .unwrap();
    let accounts = ids("SELECT id FROM git_accounts").await;
    let budgets = ids("SELECT id FROM git_budgets").await;
    client
        .execute(&statement("settle_accounts"), &[&accounts])
        .await
        .unwrap();
    client
        .execute(&statement("settle_budgets"), &[&budgets, &false, &accounts])
        .await
        .unwrap();
}

/// Lets three seconds pass since every report: the next ones do not coalesce with them.
pub(crate) async fn report_earlier(stack: &Stack) {
    run(
        stack,
        "UPDATE git_refs SET reported_at = reported_at - interval '3 s'",
    )
    .await;
}

/// Ends all leases, and the backoff after them, as if their time had passed.
pub(crate) async fn expire_leases(stack: &Stack) {
    run(
        stack,
        "UPDATE git_budgets SET lease_expires_at = now() - interval '1 s',
            queue_at = now() - interval '1 s'
         WHERE lease_token IS NOT NULL",
    )
    .await;
}

/// Ends all pauses of budgets, as if their time had passed.
pub(crate) async fn end_pauses(stack: &Stack) {
    run(
        stack,
        "UPDATE git_budgets SET paused_until = now() - interval '1 s'
         WHERE paused_until IS NOT NULL",
    )
    .await;
    settle_all(stack).await;
}

/// Runs statements that return nothing.
pub(crate) async fn run(stack: &Stack, sql: &str) {
    stack
        .database
        .client()
        .await
        .batch_execute(sql)
        .await
        .unwrap();
}

/// One value that a statement returns.
pub(crate) async fn value<T>(stack: &Stack, sql: &str) -> T
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let row = stack.database.client().await.query_one(sql, &[]).await;
    row.unwrap().try_get(0).unwrap()
}

/// How many change events there are of a chat.
pub(crate) async fn events(stack: &Stack, chat: &str) -> i64 {
    let id: Uuid = chat.parse().unwrap();
    stack
        .database
        .client()
        .await
        .query_one(
            "SELECT count(*) FROM change_events WHERE chat_id = $1 AND kind = 'diff_status_changed'",
            &[&id],
        )
        .await
        .unwrap()
        .try_get(0)
        .unwrap()
}
