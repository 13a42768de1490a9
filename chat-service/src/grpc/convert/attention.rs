//! What a diff status shows of what its pull request needs attention for.

use proto::{chat::v1, sync::PullRequest};

use super::timestamp;
use crate::{
    attention::{Attention, AttentionKind},
    diff_status::DiffStatus,
    error::Error,
};

/// A kind in a field; unspecified is an error.
pub(crate) fn attention_kind(field: &str, value: i32) -> Result<AttentionKind, Error> {
    let mut all = AttentionKind::ALL.iter().copied();
    all.find(|kind| i32::from(render_kind(*kind)) == value)
        .ok_or_else(|| Error::invalid(field, format!("{value} is not a kind of attention")))
}

/// What the status lists.
pub(super) fn shown(status: &DiffStatus) -> Vec<v1::Attention> {
    let Some(pull_request) = &status.pull_request else {
        return Vec::new();
    };
    let attention = status.attention.iter();
    attention
        .map(|attention| render(attention, status, pull_request))
        .collect()
}

fn render(attention: &Attention, status: &DiffStatus, pull_request: &PullRequest) -> v1::Attention {
    let head_sha = attention.head_sha(pull_request);
    let mut message = v1::Attention {
        id: attention.kind.id(status.id, head_sha),
        kind: render_kind(attention.kind).into(),
        head_sha: head_sha.to_owned(),
        raised_at: attention.raise.as_ref().map(|raise| timestamp(raise.at)),
        ..v1::Attention::default()
    };
    match attention.kind {
        // As of the checks themselves: the names of twenty refs' checks would be most of a chat.
        AttentionKind::ChecksFailed if status.primary => {
            let checks = pull_request.head.checks.as_ref();
            let failed = checks.into_iter().flat_map(|checks| &checks.failed_checks);
            message.failed_checks = failed.map(|check| check.message()).collect();
        }
        AttentionKind::ChangesRequested => {
            message.review_ids = pull_request.progress.change_requests.clone();
        }
        AttentionKind::ChecksFailed | AttentionKind::Conflicting | AttentionKind::ReadyToMerge => {}
    }
    message
}

fn render_kind(kind: AttentionKind) -> v1::AttentionKind {
    match kind {
        AttentionKind::Conflicting => v1::AttentionKind::Conflicting,
        AttentionKind::ChangesRequested => v1::AttentionKind::ChangesRequested,
        AttentionKind::ChecksFailed => v1::AttentionKind::ChecksFailed,
        AttentionKind::ReadyToMerge => v1::AttentionKind::ReadyToMerge,
    }
}
