//! What a pull request needs attention for now, and when that was raised.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use proto::sync::PullRequest;

use crate::{id::GitRefId, text_enum::text_enum};

/// Bytes of the digest that is an id: of 2^64 ids, two are the same by chance.
const ID_BYTES: usize = 16;

text_enum! {
    /// Why a pull request needs attention. The most urgent comes first.
    AttentionKind {
        /// It conflicts with its base branch.
        Conflicting = "conflicting",
        /// The checks of its head failed.
        ChecksFailed = "checks_failed",
        /// A reviewer asks for changes.
        ChangesRequested = "changes_requested",
        /// A person could merge it now.
        ReadyToMerge = "ready_to_merge",
    }
}

impl AttentionKind {
    /// Its part in the sums of the database.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Conflicting => 1,
            Self::ChangesRequested => 2,
            Self::ChecksFailed => 4,
            Self::ReadyToMerge => 8,
        }
    }

    /// The sum of several.
    #[must_use]
    pub fn sum(kinds: &[Self]) -> i16 {
        let numbers = kinds.iter().map(|kind| kind.number());
        numbers.fold(0, |sum, number| sum | number)
    }

    /// Those that a sum is made of, in their order; of a later release's, none.
    pub fn of_sum(sum: i16) -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(move |kind| sum & kind.number() != 0)
    }

    /// What a client knows it by that hears of it more than once: the same for the same head of the
    /// same ref, and another one for any other.
    #[must_use]
    pub fn id(self, git_ref: GitRefId, head_sha: &str) -> String {
        let text = format!("{git_ref} {} {head_sha}", self.name());
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let (id, _) = digest.as_ref().split_at(ID_BYTES);
        URL_SAFE_NO_PAD.encode(id)
    }
}

/// What a pull request needs attention for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Why.
    pub kind: AttentionKind,
    /// When watchers heard of it. `None`: they did not, and it may be over in a moment.
    pub raise: Option<Raise>,
}

/// When something was raised, and for which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The head at that time. A review stands when another commit is pushed.
    pub head_sha: String,
    /// When.
    pub at: Timestamp,
}

/// What was raised last of a kind: its number, for which head, and when.
pub type RaisedRow = (i16, String, Timestamp);

impl Attention {
    /// What `sum` says of a pull request whose head is `head_sha`, with when that was raised.
    #[must_use]
    pub fn of_sum(sum: i16, raised: &[RaisedRow], head_sha: &str) -> Vec<Self> {
        let of_kind = |kind: AttentionKind| {
            let stands = kind == AttentionKind::ChangesRequested;
            let mut rows = raised.iter().filter(|(of, ..)| *of == kind.number());
            rows.find(|(_, of_head, _)| stands || of_head == head_sha)
        };
        let kinds = AttentionKind::of_sum(sum);
        kinds
            .map(|kind| Self {
                kind,
                raise: of_kind(kind).map(|(_, head_sha, at)| Raise {
                    head_sha: head_sha.clone(),
                    at: *at,
                }),
            })
            .collect()
    }

    /// The commit that it is for.
    #[must_use]
    pub fn head_sha<'a>(&'a self, pull_request: &'a PullRequest) -> &'a str {
        match &self.raise {
            Some(raise) => &raise.head_sha,
            None => &pull_request.head.sha,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_kind_has_a_part_of_its_own_in_a_sum() {
        for sum in 0..16 {
            let kinds: Vec<_> = AttentionKind::of_sum(sum).collect();
            assert_eq!(AttentionKind::sum(&kinds), sum);
        }
        assert_eq!(AttentionKind::of_sum(16).count(), 0, "of a later release");
    }

    #[test]
    fn a_review_stands_when_a_commit_is_pushed_and_all_else_is_of_a_head() {
        let raised: Vec<RaisedRow> = AttentionKind::ALL
            .iter()
            .map(|kind| (kind.number(), "old".to_owned(), Timestamp::UNIX_EPOCH))
            .collect();
        for (head, all) in [("old", true), ("new", false)] {
            for attention in Attention::of_sum(15, &raised, head) {
                let stands = attention.kind == AttentionKind::ChangesRequested;
                assert_eq!(attention.raise.is_some(), all || stands, "{attention:?}");
            }
        }
        assert_eq!(Attention::of_sum(0, &raised, "old"), []);
    }

    #[test]
    fn an_id_is_of_a_ref_a_commit_and_a_kind() {
        let refs = [1, 2].map(|number| GitRefId(Uuid::from_u128(number)));
        let mut ids = BTreeSet::new();
        for _ in 0..2 {
            for git_ref in refs {
                for sha in ["a", "b"] {
                    let kinds = AttentionKind::ALL.iter();
                    ids.extend(kinds.map(|kind| kind.id(git_ref, sha)));
                }
            }
        }
        assert_eq!(ids.len(), 2 * 2 * AttentionKind::ALL.len());
    }
}
