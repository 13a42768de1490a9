//! The checks of a commit from REST: check runs and statuses. REST says neither which checks are
//! required nor which workflow a run belongs to.

use proto::sync::{CheckState, Checks, ProblemClass, RepositoryPath};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    super::{
        NoAnswer,
        check::{self, Check, CheckList},
        client::Endpoint,
    },
    Lookup,
    model::Pull,
    questions::owner_and_name,
};

/// GitHub's largest page.
const CHECKS_PER_PAGE: &str = "100";
/// Pages of either list that are read. What is beyond is not counted.
const MAX_CHECK_PAGES: usize = 3;

/// `GET /repos/{owner}/{repo}/commits/{sha}/check-runs`.
#[derive(Debug, Deserialize)]
struct RunsPage {
    check_runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Run {
    id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
    started_at: Option<String>,
    details_url: Option<String>,
}

/// `GET /repos/{owner}/{repo}/commits/{sha}/status`.
#[derive(Debug, Deserialize)]
struct StatusPage {
    state: String,
    statuses: Vec<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    context: String,
    state: String,
    target_url: Option<String>,
}

impl Lookup<'_> {
    /// The checks of an open pull request's head. `None`: it is settled, or this token may not read
    /// them.
    pub(super) async fn checks_of(
        &self,
        base: &RepositoryPath,
        pull: &Pull,
    ) -> Result<Option<Checks>, NoAnswer> {
        if !pull.is_open() {
            return Ok(None);
        }
        let sha = pull.head.sha.as_str();
        let question = (base.clone(), sha.to_owned());
        let ask = || self.ask_checks(base, sha);
        self.answers.checks.get(question, ask).await
    }

    async fn ask_checks(
        &self,
        base: &RepositoryPath,
        sha: &str,
    ) -> Result<Option<Checks>, NoAnswer> {
        let runs = self.list_of_head::<RunsPage>(Endpoint::ListCheckRuns, base, sha, "check-runs");
        let statuses =
            self.list_of_head::<StatusPage>(Endpoint::GetCombinedStatus, base, sha, "status");
        let (runs, statuses) = tokio::join!(runs, statuses);
        let (Some((runs, more_runs)), Some((statuses, more_statuses))) = (runs?, statuses?) else {
            return Ok(None);
        };
        let state = statuses.first().map(|page| check::of_all(&page.state));
        let runs = runs.into_iter().flat_map(|page| page.check_runs);
        let statuses = statuses.into_iter().flat_map(|page| page.statuses);
        let listed = CheckList {
            checks: runs
                .map(Check::from)
                .chain(statuses.map(Check::from))
                .collect(),
            beyond: if more_statuses {
                state
            } else {
                more_runs.then_some(CheckState::None)
            },
            ..CheckList::default()
        };
        Ok(Some(listed.sum()))
    }

    /// Pages of a list of a commit, and whether there are more. `None`: this token may not read the
    /// list, or the host has no such list; neither says anything of the pull request.
    async fn list_of_head<T: DeserializeOwned + Send>(
        &self,
        endpoint: Endpoint,
        base: &RepositoryPath,
        sha: &str,
        list: &str,
    ) -> Result<Option<(Vec<T>, bool)>, NoAnswer> {
        let (owner, name) = owner_and_name(base)?;
        let mut next = Some(self.client.base.url(
            &["repos", owner, name, "commits", sha, list],
            &[("per_page", CHECKS_PER_PAGE)],
        )?);
        let mut pages = Vec::new();
        while let Some(url) = next.take_if(|_| pages.len() < MAX_CHECK_PAGES) {
            match self.client.get::<T>(&self.turn, endpoint, url).await {
                Ok(Some(answer)) => {
                    pages.push(answer.body);
                    next = answer.next;
                }
                Ok(None)
                | Err(NoAnswer::Failed(
                    ProblemClass::AccessDenied
                    | ProblemClass::HostIncompatible
                    | ProblemClass::HostAnswerInvalid,
                )) => return Ok(None),
                Err(reason) => return Err(reason),
            }
        }
        Ok(Some((pages, next.is_some())))
    }
}

impl From<Run> for Check {
    fn from(run: Run) -> Self {
        Self {
            is_run: true,
            workflow: None,
            name: run.name,
            verdict: check::of_run(&run.status, run.conclusion.as_deref()),
            url: run.details_url,
            started_at: run.started_at.as_deref().and_then(|at| at.parse().ok()),
            id: run.id,
        }
    }
}

impl From<Status> for Check {
    fn from(status: Status) -> Self {
        Self {
            is_run: false,
            workflow: None,
            name: status.context,
            verdict: check::of_status(&status.state),
            url: status.target_url,
            started_at: None,
            id: 0,
        }
    }
}
