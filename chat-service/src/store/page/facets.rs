//! Facets of a chat, which an index of every way holds beside its key: archived, status, pull
//! request state, and what the pull request needs attention for.

use std::collections::BTreeSet;

use proto::sync::PullRequestState;

use crate::{
    attention::AttentionKind,
    chat::ChatStatus,
    chat_filter::{ChatFilter, PullRequestFilter},
    store::sql::Params,
};

/// The numbers of statuses and of pull request states, with room for those of later releases.
const NUMBERS: std::ops::RangeInclusive<i16> = 0..=7;
/// The sums of what a pull request can need attention for at once: one that is ready to merge needs
/// it for nothing else.
const SUMS: std::ops::RangeInclusive<i16> = 1..=8;
/// The pull request states, as the column `list_pr` has them, that can need attention: the schema
/// lets no others.
const OPEN: [i16; 2] = [1, 2];

/// The facets of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facets {
    archived: Option<bool>,
    /// Any, if empty.
    statuses: BTreeSet<i16>,
    /// Any, if empty.
    pull_requests: BTreeSet<i16>,
    /// The sums that have any of what is wanted. Whatever it needs, or nothing, if empty.
    attention: BTreeSet<i16>,
}

impl Facets {
    /// Those of a filter; none, if it asks for none.
    pub(super) fn of(filter: &ChatFilter) -> Option<Self> {
        let facets = Self {
            archived: filter.archived,
            statuses: filter.statuses.iter().copied().map(status).collect(),
            pull_requests: filter
                .pull_requests
                .iter()
                .flat_map(|wanted| pull_request(*wanted))
                .copied()
                .collect(),
            attention: sums(&filter.attention),
        };
        let asks = facets.archived.is_some() || facets.in_runs();
        asks.then_some(facets)
    }

    /// Whether [`Self::print_runs`] makes several keys of one.
    pub(super) fn in_runs(&self) -> bool {
        !(self.statuses.is_empty() && self.pull_requests.is_empty() && self.attention.is_empty())
    }

    /// For an index of chats that begins with the key and these: each combination is a key.
    /// Attention is in an index of its own, which has nothing of the chats without.
    pub(super) fn print_values(
        &self,
        params: &mut Params,
        columns: &mut Vec<String>,
        tables: &mut Vec<String>,
        under_key: &mut String,
    ) {
        let archived = self.archived.map_or(vec![false, true], |only| vec![only]);
        let archived = params.push(archived);
        let statuses = params.push(all_unless_named(&self.statuses));
        let pull_requests = if self.pull_requests.is_empty() && !self.attention.is_empty() {
            OPEN.to_vec()
        } else {
            all_unless_named(&self.pull_requests)
        };
        let pull_requests = params.push(pull_requests);
        columns.extend(["f.archived", "s.status", "p.pr"].map(str::to_owned));
        tables.extend([
            format!("unnest(${archived}::boolean[]) AS f (archived)"),
            format!("unnest(${statuses}::smallint[]) AS s (status)"),
            format!("unnest(${pull_requests}::smallint[]) AS p (pr)"),
        ]);
        under_key.push_str(
            " AND c.archived = key.archived AND c.list_status = key.status AND c.list_pr = key.pr",
        );
        if !self.attention.is_empty() {
            let sums: Vec<i16> = self.attention.iter().copied().collect();
            let sums = params.push(sums);
            columns.push("n.attention".to_owned());
            tables.push(format!("unnest(${sums}::smallint[]) AS n (attention)"));
            under_key
                .push_str(" AND c.primary_attention = key.attention AND c.primary_attention > 0");
        }
    }

    /// For an index of shares that ends in these, and compares them as it is walked. Numbers
    /// that follow one another are one key: they are compared in one walk.
    pub(super) fn print_runs(
        &self,
        params: &mut Params,
        columns: &mut Vec<String>,
        tables: &mut Vec<String>,
        under_key: &mut String,
    ) {
        if let Some(archived) = self.archived {
            let archived = params.push(archived);
            under_key.push_str(&format!(" AND a.chat_archived = ${archived}"));
        }
        let dimensions = [
            ("status", &self.statuses),
            ("pr", &self.pull_requests),
            ("attention", &self.attention),
        ];
        for (name, wanted) in dimensions {
            if wanted.is_empty() {
                continue;
            }
            let (least, most): (Vec<i16>, Vec<i16>) = runs(wanted).into_iter().unzip();
            let (least, most) = (params.push(least), params.push(most));
            columns.push(format!("{name}.least AS least_{name}"));
            columns.push(format!("{name}.most AS most_{name}"));
            tables.push(format!(
                "unnest(${least}::smallint[], ${most}::smallint[]) AS {name} (least, most)"
            ));
            under_key.push_str(&format!(
                " AND a.chat_{name} BETWEEN key.least_{name} AND key.most_{name}"
            ));
        }
    }
}

fn all_unless_named(wanted: &BTreeSet<i16>) -> Vec<i16> {
    if wanted.is_empty() {
        NUMBERS.collect()
    } else {
        wanted.iter().copied().collect()
    }
}

/// The sums that have any of `wanted`.
fn sums(wanted: &[AttentionKind]) -> BTreeSet<i16> {
    let wanted = AttentionKind::sum(wanted);
    SUMS.filter(|sum| sum & wanted != 0).collect()
}

/// First and last of numbers that follow one another.
fn runs(numbers: &BTreeSet<i16>) -> Vec<(i16, i16)> {
    let mut runs: Vec<(i16, i16)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    runs
}

/// A status as the column `list_status` has it.
fn status(status: ChatStatus) -> i16 {
    match status {
        ChatStatus::Unspecified => 0,
        ChatStatus::Waiting => 1,
        ChatStatus::Pending => 2,
        ChatStatus::Running => 3,
        ChatStatus::Paused => 4,
        ChatStatus::Completed => 5,
        ChatStatus::Error => 6,
    }
}

/// Where a pull request stands, as the column `list_pr` has it.
fn pull_request(wanted: PullRequestFilter) -> &'static [i16] {
    match wanted {
        PullRequestFilter::Open => &[1],
        PullRequestFilter::Draft => &[2],
        PullRequestFilter::Settled(PullRequestState::Open) => &[1, 2],
        PullRequestFilter::Settled(PullRequestState::Merged) => &[3],
        PullRequestFilter::Settled(PullRequestState::Closed) => &[4],
    }
}
