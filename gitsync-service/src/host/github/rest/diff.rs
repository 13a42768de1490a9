//! Diffs: GitHub makes them of pull requests and of comparisons, where they are asked for in place
//! of JSON.

use proto::sync::{Lane, RepositoryPath, Upstream};
use url::Url;

use super::{
    super::{
        NoAnswer,
        client::{Client, Endpoint, RestTurn},
    },
    Answers, Lookup,
    questions::{NOT_FOUND, owner_and_name},
};
use crate::host::DiffTarget;

/// A diff, and of a branch what it is compared with.
type BranchDiff = (Vec<u8>, Option<String>);

impl Answers {
    /// A diff. `None`: the pull request or the branch does not exist for this token.
    pub(in super::super) async fn diff(
        &self,
        client: &Client,
        of: &DiffTarget,
    ) -> Result<Option<BranchDiff>, NoAnswer> {
        let lookup = Lookup {
            answers: self,
            client,
            turn: RestTurn::new(Lane::Interactive),
        };
        match of {
            DiffTarget::PullRequest { repository, number } => {
                let url = lookup.pull_url(repository, *number)?;
                let diff = client
                    .diff(&lookup.turn, Endpoint::GetPullDiff, url)
                    .await?;
                Ok(diff.map(|diff| (diff, None)))
            }
            DiffTarget::Branch { repository, branch } => lookup.compared(repository, branch).await,
        }
    }
}

impl Lookup<'_> {
    async fn compared(
        &self,
        repository: &RepositoryPath,
        branch: &str,
    ) -> Result<Option<BranchDiff>, NoAnswer> {
        let own = self.repository(repository).await?.ok_or(NOT_FOUND)?;
        let home = own.name()?;
        let upstream = match own.upstream()? {
            // One that is hidden from this token has no default branch to compare with.
            Upstream::Of(parent) => self.repository(&parent).await?,
            Upstream::Unknown | Upstream::NoFork => None,
        };
        let base = upstream.as_ref().unwrap_or(&own);
        let default = base.default_branch();
        let default = default.ok_or_else(|| NoAnswer::invalid("a repository without a branch"))?;
        let url = self.compare_url(&base.name()?, default, &home, branch)?;
        let diff = self
            .client
            .diff(&self.turn, Endpoint::CompareDiff, url)
            .await?;
        Ok(diff.map(|diff| (diff, Some(default.to_owned()))))
    }

    /// The comparison of a branch of `home` with one of `at`, from where they parted.
    fn compare_url(
        &self,
        at: &RepositoryPath,
        base: &str,
        home: &RepositoryPath,
        branch: &str,
    ) -> Result<Url, NoAnswer> {
        let (owner, name) = owner_and_name(at)?;
        let (home_owner, home_name) = owner_and_name(home)?;
        let head = if at == home {
            branch.to_owned()
        } else if owner.eq_ignore_ascii_case(home_owner) {
            // An owner may have a fork of its own repository.
            format!("{home_owner}:{home_name}:{branch}")
        } else {
            format!("{home_owner}:{branch}")
        };
        let compared = format!("{base}...{head}");
        self.client
            .base
            .url(&["repos", owner, name, "compare", &compared], &[])
    }
}
