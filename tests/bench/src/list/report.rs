//! What was found, as a table for people and one line of JSON for programs.

use std::{collections::BTreeMap, io::Write};

use serde_json::json;

use super::{
    cases::{Case, Kind},
    load::{PageBytes, Throughput},
    statement::Measured,
};
use crate::figures::rounded;

/// A caller is served badly by the OR form when its page takes longer than this: what a page may
/// take at most, of any caller.
const BAD_MILLISECONDS: f64 = 5.0;
/// The OR form is compared for the first of this many callers.
const COMPARED: usize = 5;

/// One case at one size.
pub(super) struct Row {
    chats: u32,
    name: String,
    steady: bool,
    kind: Kind,
    measured: Measured,
    or_form: Option<Measured>,
}

impl Row {
    pub(super) fn new(
        chats: u32,
        case: &Case,
        measured: Measured,
        or_form: Option<Measured>,
    ) -> Self {
        Self {
            chats,
            name: case.name(),
            steady: case.caller.steady && case.caller_only(),
            kind: case.kind,
            measured,
            or_form,
        }
    }
}

/// All that was found.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    pub(super) throughput: Vec<Throughput>,
    pub(super) page_bytes: Option<PageBytes>,
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn print(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut sizes: Vec<u32> = self.rows.iter().map(|row| row.chats).collect();
        sizes.dedup();
        write!(out, "{:<44}", "")?;
        for size in &sizes {
            write!(out, " | {:>21}", format!("{size} chats"))?;
        }
        writeln!(out, " | {:>10}", "one OR")?;
        write!(out, "{:<44}", "page of 50")?;
        for _ in &sizes {
            write!(out, " | {:>8} {:>7} {:>4}", "ms", "buffers", "rows")?;
        }
        writeln!(out, " | {:>10}", "ms")?;
        for (name, rows) in self.by_name() {
            write!(out, "{name:<44}")?;
            for row in &rows {
                let Measured {
                    milliseconds,
                    buffers,
                    rows,
                } = row.measured;
                write!(out, " | {milliseconds:>8.3} {buffers:>7} {rows:>4}")?;
            }
            match rows.last().and_then(|row| row.or_form) {
                Some(or_form) => writeln!(out, " | {:>10.3}", or_form.milliseconds)?,
                None => writeln!(out, " |")?,
            }
        }
        writeln!(out)?;
        writeln!(
            out,
            "{:<44} | {:>12} | {:>12} | {:>12} | {:>6}",
            "full pages a second", "store alone", "from memory", "over gRPC", "ratio"
        )?;
        for Throughput {
            concurrency,
            bare,
            grpc,
            echo,
        } in &self.throughput
        {
            let name = format!("{concurrency} at once");
            writeln!(
                out,
                "{name:<44} | {bare:>12.0} | {echo:>12.0} | {grpc:>12.0} | {:>6.2}",
                grpc / bare
            )?;
        }
        writeln!(out)?;
        writeln!(out, "{}", self.summary())?;
        Ok(())
    }

    /// The rows of each case, in order of size; the cases in the order they were measured in.
    fn by_name(&self) -> Vec<(&str, Vec<&Row>)> {
        let mut order: Vec<&str> = Vec::new();
        let mut rows: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            if !rows.contains_key(row.name.as_str()) {
                order.push(&row.name);
            }
            rows.entry(&row.name).or_default().push(row);
        }
        order
            .into_iter()
            .map(|name| (name, rows.remove(name).unwrap_or_default()))
            .collect()
    }

    fn summary(&self) -> serde_json::Value {
        let cases = self.by_name();
        let last = |rows: &[&Row]| rows.last().map(|row| row.measured).unwrap_or_default();
        let of_kind = |kind: Kind| {
            let mine = move |rows: &[&Row]| rows.iter().all(|row| row.kind == kind);
            cases.iter().filter(move |(_, rows)| mine(rows))
        };
        let slowest = |kind: Kind| {
            of_kind(kind)
                .map(|(_, rows)| last(rows).milliseconds)
                .fold(0.0, f64::max)
        };
        let max_filtered_ratio = of_kind(Kind::Filtered)
            .filter_map(|(_, rows)| growth(rows.first()?, rows.last()?))
            .fold(0.0, f64::max);
        let max_scale = cases
            .iter()
            .filter(|(_, rows)| rows.iter().all(|row| row.steady))
            .filter_map(|(_, rows)| growth(rows.first()?, rows.last()?))
            .fold(0.0, f64::max);
        let min_throughput = self
            .throughput
            .last()
            .map(|throughput| throughput.grpc / throughput.bare);
        let ceiling = self.throughput.last().map(|found| found.of_ceiling());
        let min_or_form = cases
            .iter()
            .take(COMPARED)
            .filter_map(|(_, rows)| {
                let row = rows.last()?;
                let or_form = row.or_form?;
                (or_form.milliseconds > BAD_MILLISECONDS)
                    .then(|| or_form.milliseconds / row.measured.milliseconds)
            })
            .reduce(f64::min);
        json!({
            "bench": "list",
            "chats": self.rows.last().map(|row| row.chats),
            "max_statement_ms": rounded(slowest(Kind::Plain)),
            "max_scale_ratio": rounded(max_scale),
            "min_throughput_ratio": min_throughput.map(rounded),
            "ceiling_ratio": ceiling.map(rounded),
            "min_or_form_ratio": min_or_form.map(rounded),
            "max_filtered_ms": rounded(slowest(Kind::Filtered)),
            "max_filtered_buffers_ratio": rounded(max_filtered_ratio),
            "max_searched_ms": rounded(slowest(Kind::Searched)),
            "max_common_search_ms": rounded(slowest(Kind::Common)),
            "basic_page_bytes": self.page_bytes.map(|bytes| bytes.basic),
            "full_page_bytes": self.page_bytes.map(|bytes| bytes.full),
        })
    }
}

/// Buffers of the larger table over those of the smaller one, less what a fuller page takes: a
/// filter that few chats of the smaller table match reads fewer of them there.
fn growth(small: &Row, large: &Row) -> Option<f64> {
    let buffers = |row: &Row| figure(row.measured.buffers.max(1));
    let rows = |row: &Row| figure(row.measured.rows + 1);
    let fuller = (rows(large)? / rows(small)?).max(1.0);
    Some(buffers(large)? / buffers(small)? / fuller)
}

/// A count as a number to divide by. Counts of pages and rows are far below 2^32.
fn figure(count: impl TryInto<u32>) -> Option<f64> {
    count.try_into().ok().map(f64::from)
}
