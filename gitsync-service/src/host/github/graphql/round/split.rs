//! How a request that was too large, or that the host failed to complete, is sent again.

use proto::sync::ProblemClass;
use tokio::time::Instant;

use super::{
    super::{
        queue::{BatchEntry, QueryBatch},
        row::{Row, Sort},
    },
    Round,
};
use crate::budget::share;

/// A row that failed alone this often is too heavy.
const MOST_ALONE: u32 = 2;
/// The key's share that spreads the pause after a query that the host failed to complete.
const HEAVY_TURN: u64 = 6;

impl<'a> Round<'a> {
    /// Queues the unanswered rows in smaller requests: each kind alone, then in halves. A row that
    /// keeps failing alone is too expensive for GraphQL. Rows of one repository are first queried
    /// without checks, which are the expensive part of a change query.
    pub(super) fn split(&mut self, mut batch: QueryBatch<'a>, overloaded: bool) {
        let admission = &self.session.client.admission;
        if overloaded {
            let pause = self.session.instance.settings.heavy_pause;
            let spread = (pause * 2).mul_f64(share(admission.key(), HEAVY_TURN));
            self.resumes_at = Some(Instant::now() + pause + spread);
            batch.rows.iter_mut().for_each(|asked| asked.lost = true);
        }
        if batch.rows.len() > 1 {
            let host = admission.api_base_url();
            admission.metrics().count_too_heavy(host, batch.name());
        }
        let Some(sort) = batch.sort() else {
            return self.queue.push_sorts(batch.rows);
        };
        let rows = batch.rows;
        match sort {
            Sort::Probe if self.is_of_one_repository(&rows) => self.without_checks(rows),
            // It was not the checks.
            Sort::LightProbe if rows.len() > 1 => {
                let with_checks = |asked: BatchEntry<'a>| BatchEntry {
                    row: asked.row.id().map_or(asked.row, Row::Probe),
                    light_in_vain: true,
                    ..asked
                };
                self.halve(
                    rows.into_iter().map(with_checks).collect(),
                    sort,
                    overloaded,
                );
            }
            Sort::Probe | Sort::LightProbe | Sort::Detail | Sort::Numbers | Sort::Discover => {
                self.halve(rows, sort, overloaded);
            }
        }
    }

    /// Whether rows that were not asked without checks yet are of one repository.
    fn is_of_one_repository(&self, rows: &[BatchEntry<'a>]) -> bool {
        let mut repositories = rows.iter().map(|asked| self.repository(asked));
        let first = repositories.next();
        let is_fresh = rows.iter().all(|asked| !asked.light_in_vain);
        is_fresh && repositories.all(|other| Some(other) == first)
    }

    /// The repository of a row's first question, without case.
    fn repository(&self, asked: &BatchEntry<'a>) -> Option<String> {
        let question = &self.asks.get(*asked.asks.first()?)?.question;
        let repository = crate::host::github::session::asked(question)?;
        Some(repository.as_str().to_ascii_lowercase())
    }

    fn without_checks(&mut self, rows: Vec<BatchEntry<'a>>) {
        let light = |asked: BatchEntry<'a>| BatchEntry {
            row: asked.row.id().map_or(asked.row, Row::LightProbe),
            lost: true,
            ..asked
        };
        self.queue.push_half(QueryBatch {
            rows: rows.into_iter().map(light).collect(),
            half_of: None,
        });
    }

    /// Queues two requests in place of one, each with the rows of fewer repositories. A single row
    /// is sent again until it has failed too often.
    fn halve(&mut self, mut rows: Vec<BatchEntry<'a>>, sort: Sort, overloaded: bool) {
        if rows.len() > 1 {
            let half_of = if overloaded {
                Some(self.evidence.split(sort.kind(), rows.len()))
            } else {
                self.evidence.too_heavy(sort.kind(), rows.len());
                None
            };
            if sort == Sort::Probe {
                rows.sort_by_cached_key(|asked| self.repository(asked));
            }
            let rest = rows.split_off(rows.len().div_ceil(2));
            for rows in [rows, rest] {
                self.queue.push_half(QueryBatch { rows, half_of });
            }
            return;
        }
        for mut asked in rows {
            asked.alone += 1;
            if asked.alone < MOST_ALONE {
                self.queue.push_half(QueryBatch {
                    rows: vec![asked],
                    half_of: None,
                });
            } else {
                let heavy = self.is_well || !asked.lost;
                let class = if heavy {
                    ProblemClass::QueryTooHeavy
                } else {
                    ProblemClass::HostUnavailable
                };
                let asks = asked.asks.iter();
                asks.for_each(|ask| self.divert(*ask, Some(class)));
            }
        }
    }
}
