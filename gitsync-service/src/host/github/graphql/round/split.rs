//! What a request that was too much, or that the host gave up on, is asked again as.

use proto::sync::ProblemClass;
use tokio::time::Instant;

use super::{
    super::{
        queue::{Asked, Batch},
        row::{Row, Sort},
    },
    Round,
};
use crate::budget::share;

/// A row that failed this often by itself is too heavy.
const MOST_ALONE: u32 = 2;
/// Which of a key's shares spreads the pause after a query that the host gave up on.
const HEAVY_TURN: u64 = 6;

impl<'a> Round<'a> {
    /// Has what was not answered asked again, with fewer beside it: each sort by itself, and then
    /// by halves. What fails by itself again and again is too heavy for GraphQL. Of one repository it is
    /// first asked without checks whether pull requests changed: they are what is heavy in that.
    pub(super) fn split(&mut self, mut batch: Batch<'a>, gave_up: bool) {
        let admission = &self.session.client.admission;
        if gave_up {
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
                let with_checks = |asked: Asked<'a>| Asked {
                    row: asked.row.id().map_or(asked.row, Row::Probe),
                    light_in_vain: true,
                    ..asked
                };
                self.halve(rows.into_iter().map(with_checks).collect(), sort, gave_up);
            }
            Sort::Probe | Sort::LightProbe | Sort::Detail | Sort::Numbers | Sort::Discover => {
                self.halve(rows, sort, gave_up);
            }
        }
    }

    /// Whether rows that were not asked without checks yet are of one repository.
    fn is_of_one_repository(&self, rows: &[Asked<'a>]) -> bool {
        let mut repositories = rows.iter().map(|asked| self.repository(asked));
        let first = repositories.next();
        let is_fresh = rows.iter().all(|asked| !asked.light_in_vain);
        is_fresh && repositories.all(|other| Some(other) == first)
    }

    /// The repository of a row's first question, without case.
    fn repository(&self, asked: &Asked<'a>) -> Option<String> {
        let question = &self.asks.get(*asked.asks.first()?)?.question;
        let repository = crate::host::github::session::asked(question)?;
        Some(repository.as_str().to_ascii_lowercase())
    }

    fn without_checks(&mut self, rows: Vec<Asked<'a>>) {
        let light = |asked: Asked<'a>| Asked {
            row: asked.row.id().map_or(asked.row, Row::LightProbe),
            lost: true,
            ..asked
        };
        self.queue.push_half(Batch {
            rows: rows.into_iter().map(light).collect(),
            half_of: None,
        });
    }

    /// Two requests in place of one, each with the rows of fewer repositories; of one row the same again,
    /// until it has failed too often.
    fn halve(&mut self, mut rows: Vec<Asked<'a>>, sort: Sort, gave_up: bool) {
        if rows.len() > 1 {
            let half_of = if gave_up {
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
                self.queue.push_half(Batch { rows, half_of });
            }
            return;
        }
        for mut asked in rows {
            asked.alone += 1;
            if asked.alone < MOST_ALONE {
                self.queue.push_half(Batch {
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
