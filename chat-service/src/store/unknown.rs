//! Names in rows that this release does not know: a later one that runs beside it, or ran before a
//! rollback, wrote them. What holds one is shown as unspecified, and counted; nothing stops behind it.

use std::sync::LazyLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ColumnLabel {
    column: String,
}

/// Of the process: columns are read far from everything that holds a metric.
static COUNTS: LazyLock<Family<ColumnLabel, Counter>> = LazyLock::new(Family::default);

/// Counts a value of `column` that this release does not know. The first one of a column is logged.
pub(super) fn count_unknown(column: &str, value: &str) {
    let label = ColumnLabel {
        column: column.to_owned(),
    };
    if COUNTS.get_or_create(&label).inc() == 0 {
        tracing::warn!(
            column,
            value,
            "a row holds a value of a later release; it is shown as unspecified"
        );
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.register(
        "unknown_values",
        "Values in rows that this release does not know and shows as unspecified, by column",
        COUNTS.clone(),
    );
}
