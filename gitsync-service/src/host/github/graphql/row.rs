//! The rows of a request: what a question asks GraphQL for.

use proto::sync::{ProblemClass, RepositoryPath};

use super::super::{NoAnswer, normalised, sizes::QueryKind};
use crate::host::Question;

/// A row of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Row<'a> {
    /// Whether the pull request with this id changed.
    Probe(&'a str),
    /// The same, without the checks.
    LightProbe(&'a str),
    /// The pull request with this id.
    Detail(&'a str),
    /// The pull request of a number.
    Number(RepositoryPath, i32),
    /// The pull requests of a branch.
    Branch(BranchRow<'a>),
}

/// Which branch, and where its pull requests are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BranchRow<'a> {
    pub(super) at: &'a RepositoryPath,
    pub(super) head: &'a RepositoryPath,
    pub(super) branch: &'a str,
    pub(super) commit: Option<&'a str>,
    /// Whether open ones are asked for with their status.
    pub(super) whole: bool,
}

/// The sort of a row: a host answers up to a learned number of each at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sort {
    Probe,
    LightProbe,
    Detail,
    Numbers,
    Discover,
}

impl Sort {
    /// The kind by which its batch size is learned.
    pub(super) fn kind(self) -> QueryKind {
        match self {
            Self::Probe | Self::LightProbe => QueryKind::Probe,
            Self::Detail | Self::Numbers => QueryKind::Detail,
            Self::Discover => QueryKind::Discover,
        }
    }
}

impl<'a> Row<'a> {
    /// The first row of a question; with `probes`, whether a known pull request changed comes
    /// before its status; with `whole`, the open pull requests of a branch have their status.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub(super) fn first(
        question: &'a Question,
        probes: bool,
        whole: bool,
    ) -> Result<Self, NoAnswer> {
        let (known, may_probe) = match question {
            Question::Changed {
                known,
                fingerprint: _,
                overdue,
            } => (known, !overdue),
            Question::Status { known } => (known, false),
            Question::ByNumber { .. } => return Self::by_number(question),
            Question::OfBranch {
                at,
                head,
                branch,
                commit,
                upstream: _,
            } => {
                if branch.is_empty() {
                    return Err(NoAnswer::Failed(ProblemClass::Internal));
                }
                return Ok(Self::Branch(BranchRow {
                    at: on_github(at)?,
                    head,
                    branch,
                    commit: commit
                        .as_deref()
                        .filter(|commit| normalised::is_commit(commit)),
                    whole,
                }));
            }
        };
        match known.host_id.as_deref() {
            Some(id) if probes && may_probe => Ok(Self::Probe(id)),
            Some(id) => Ok(Self::Detail(id)),
            None => Self::by_number(question),
        }
    }

    /// The pull request that a question is about, by its number.
    ///
    /// # Errors
    ///
    /// When its repository's path is not one of GitHub's.
    pub(super) fn by_number(question: &Question) -> Result<Self, NoAnswer> {
        let (repository, number) = match question {
            Question::Changed { known, .. } | Question::Status { known } => {
                (RepositoryPath::parse(&known.repository), known.number)
            }
            Question::ByNumber { repository, number } => (Some(repository.clone()), *number),
            Question::OfBranch { .. } => (None, 0),
        };
        let repository = repository.ok_or(NoAnswer::Failed(ProblemClass::Internal))?;
        on_github(&repository)?;
        Ok(Self::Number(repository, number))
    }

    pub(super) fn sort(&self) -> Sort {
        match self {
            Self::Probe(_) => Sort::Probe,
            Self::LightProbe(_) => Sort::LightProbe,
            Self::Detail(_) => Sort::Detail,
            Self::Number(..) => Sort::Numbers,
            Self::Branch(_) => Sort::Discover,
        }
    }

    pub(super) fn id(&self) -> Option<&'a str> {
        match self {
            Self::Probe(id) | Self::LightProbe(id) | Self::Detail(id) => Some(id),
            Self::Number(..) | Self::Branch(_) => None,
        }
    }
}

/// Whether a question is about a pull request whose id is known.
pub(super) fn has_id(question: &Question) -> bool {
    match question {
        Question::Changed { known, .. } | Question::Status { known } => known.host_id.is_some(),
        Question::ByNumber { .. } | Question::OfBranch { .. } => false,
    }
}

/// GitHub has no repository whose path is anything but an owner and a name.
fn on_github(repository: &RepositoryPath) -> Result<&RepositoryPath, NoAnswer> {
    match repository.owner_and_name() {
        Some(_) => Ok(repository),
        None => Err(NoAnswer::Failed(ProblemClass::RepositoryNotFound)),
    }
}
