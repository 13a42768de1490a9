//! The diff of a ref, as a worker reports it.

use std::time::Duration;

use prost::bytes::Bytes;

use super::{
    Fence, GitRefId, LeaseToken, ProblemClass,
    field::{FieldError, Wire, message, read},
    pull_request::drop_unfit,
};
use crate::{
    bounds::{MAX_DIFF_BYTES, MAX_NAME_BYTES, MAX_PAUSE},
    chat::v1::{self, report_diff_request::Result as Found},
};

/// What the host said when it was asked for the diff of a ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffReport {
    /// The fencing token.
    pub lease: LeaseToken,
    /// Of which ref.
    pub git_ref: GitRefId,
    /// As the lease handed it out.
    pub fence: Fence,
    /// What came of it.
    pub result: DiffResult,
}

impl DiffReport {
    /// Reads the message.
    ///
    /// # Errors
    ///
    /// A field that cannot be read, with its path.
    pub fn read(message: v1::ReportDiffRequest) -> Result<Self, FieldError> {
        Ok(Self {
            lease: read("lease_token", message.lease_token)?,
            git_ref: read("git_ref_id", message.git_ref_id)?,
            fence: read("fence", message.fence)?,
            result: Wire::read(message.result)?,
        })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> v1::ReportDiffRequest {
        v1::ReportDiffRequest {
            lease_token: self.lease.message(),
            git_ref_id: self.git_ref.message(),
            fence: Wire::message(&self.fence),
            result: self.result.message(),
        }
    }
}

/// What came of asking for a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffResult {
    /// This is it.
    Found(Diff),
    /// It is larger than [`MAX_DIFF_BYTES`], or than the host makes any.
    TooLarge,
    /// The host does not have the pull request or the branch.
    Missing,
    /// The host was not asked, or did not answer.
    Failed {
        /// Why.
        class: ProblemClass,
        /// For how long the host wants no request. `None`: that is not known, or no matter.
        retry_after: Option<Duration>,
    },
}

message! {
    /// A diff as the host made it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Diff = v1::Diff, with Diff::fitted {
        /// The text, which need not be UTF-8.
        content: Bytes,
        /// Of which pull request. `None`: of the branch, which has none.
        pr_number: Option<i32>,
        /// What it is compared with.
        base_branch: Option<String>,
        /// The head of the pull request. `None`: the lookup did not tell, since it is as it was.
        head_sha: Option<String>,
    }
}

impl Diff {
    fn fitted(mut self) -> Result<Self, FieldError> {
        if self.content.len() > MAX_DIFF_BYTES {
            let problem = format!("has more than {MAX_DIFF_BYTES} bytes");
            return Err(FieldError::new("content", problem));
        }
        if self.pr_number.is_some_and(|number| number < 1) {
            return Err(FieldError::new("pr_number", "must be at least 1"));
        }
        drop_unfit(&mut self.base_branch, MAX_NAME_BYTES);
        drop_unfit(&mut self.head_sha, MAX_NAME_BYTES);
        Ok(self)
    }
}

impl Wire<Self> for Bytes {
    fn read(message: Self) -> Result<Self, FieldError> {
        Ok(message)
    }

    fn message(&self) -> Self {
        self.clone()
    }
}

impl Wire<Option<Found>> for DiffResult {
    fn read(message: Option<Found>) -> Result<Self, FieldError> {
        Ok(match message {
            Some(Found::Found(diff)) => Self::Found(read("found", diff)?),
            Some(Found::TooLarge(_)) => Self::TooLarge,
            Some(Found::Missing(_)) => Self::Missing,
            Some(Found::Failed(failed)) => {
                let retry_after: Option<Duration> = read("failed.retry_after", failed.retry_after)?;
                Self::Failed {
                    class: read("failed.class", failed.class)?,
                    retry_after: retry_after.map(|after| after.min(MAX_PAUSE)),
                }
            }
            None => return Err(FieldError::new("result", "must say what came of it")),
        })
    }

    fn message(&self) -> Option<Found> {
        Some(match self {
            Self::Found(diff) => Found::Found(diff.message()),
            Self::TooLarge => Found::TooLarge(v1::DiffTooLarge {}),
            Self::Missing => Found::Missing(v1::DiffMissing {}),
            Self::Failed { class, retry_after } => Found::Failed(v1::DiffFailed {
                class: (*class).into(),
                retry_after: Wire::message(retry_after),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn report(result: Option<Found>) -> v1::ReportDiffRequest {
        v1::ReportDiffRequest {
            lease_token: Uuid::from_u128(1).to_string(),
            git_ref_id: Uuid::from_u128(2).to_string(),
            fence: Some(v1::Fence {
                report_seq: 1,
                looks: 0,
                generation: 3,
            }),
            result,
        }
    }

    fn of_length(length: usize) -> Option<Found> {
        Some(Found::Found(v1::Diff {
            content: vec![b'+'; length].into(),
            pr_number: Some(7),
            base_branch: Some("main".to_owned()),
            head_sha: None,
        }))
    }

    #[test]
    fn each_result_survives_both_conversions() {
        let failed = v1::DiffFailed {
            class: ProblemClass::RateLimited.into(),
            retry_after: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
        };
        for result in [
            of_length(3),
            of_length(MAX_DIFF_BYTES),
            Some(Found::TooLarge(v1::DiffTooLarge {})),
            Some(Found::Missing(v1::DiffMissing {})),
            Some(Found::Failed(failed)),
        ] {
            let message = report(result);
            let read = DiffReport::read(message.clone()).unwrap();
            assert!(read.message() == message);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_path() {
        let unclassed = v1::DiffFailed::default();
        let mut unnumbered = of_length(1);
        if let Some(Found::Found(diff)) = &mut unnumbered {
            diff.pr_number = Some(0);
        }
        for (result, field) in [
            (None, "result"),
            (of_length(MAX_DIFF_BYTES + 1), "found.content"),
            (unnumbered, "found.pr_number"),
            (Some(Found::Failed(unclassed)), "failed.class"),
        ] {
            let refused = DiffReport::read(report(result)).unwrap_err();
            assert_eq!(refused.field, field);
        }
    }
}
