//! The checks of a head commit, summed up.

use serde::{Deserialize, Serialize};

use super::{
    field::{FieldError, Wire, message, words},
    pull_request::{cut, fits},
};
use crate::{
    bounds::{MAX_CHECK_NAME_CHARS, MAX_CHECK_URL_BYTES, MAX_FAILED_CHECKS},
    chat::v1,
};

words! {
    /// The sum of a commit's checks.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    CheckState = CheckState {
        /// The commit has no checks.
        None = "none",
        /// None failed, and some have not ended.
        Pending = "pending",
        /// All ended, and none failed.
        Passing = "passing",
        /// At least one failed.
        Failing = "failing",
    }
}

message! {
    /// The checks of a commit, of each the latest: what was superseded counts for nothing.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    Checks = v1::Checks {
        /// Their sum.
        state: CheckState,
        /// How many there are.
        total: u32,
        /// Those that passed.
        passed: u32,
        /// Those that failed or were cancelled.
        failed: u32,
        /// Those that have not ended, or not reported yet.
        pending: u32,
        /// Those that were skipped, or that decide nothing.
        skipped: u32,
        /// There are more than were counted.
        #[serde(default)]
        at_least: bool,
        /// The first that failed, those that are required first, and then by name.
        #[serde(default)]
        failed_checks: Vec<FailedCheck>,
    }
}

message! {
    /// A check that failed.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    FailedCheck = v1::FailedCheck {
        /// Its name.
        name: String,
        /// The page with details.
        url: Option<String>,
        /// The base branch is known to require it.
        #[serde(default)]
        required: bool,
    }
}

impl Checks {
    /// With its texts and lists cut to what the database takes.
    pub(super) fn fitted(&mut self) {
        self.failed_checks.truncate(MAX_FAILED_CHECKS);
        for check in &mut self.failed_checks {
            cut(&mut check.name, MAX_CHECK_NAME_CHARS);
            check.url = check.url.take().filter(|url| {
                let is_web = url.starts_with("https://") || url.starts_with("http://");
                is_web && fits(url, MAX_CHECK_URL_BYTES)
            });
        }
    }
}
