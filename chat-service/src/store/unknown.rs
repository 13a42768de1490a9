//! Names in rows that this release does not know: a later one wrote them, which runs beside it or
//! ran before a rollback. Such a name is read as unspecified and counted, and is no error.

use std::{fmt::Display, sync::LazyLock};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ColumnLabel {
    column: String,
}

/// One for the process, since the code that reads columns holds no metrics.
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

/// The value of `wire` in this release; `unknown`, and counted, for a value that this release does
/// not know.
pub(super) fn known_or<T>(known: Option<T>, unknown: T, column: &str, wire: impl Display) -> T {
    known.unwrap_or_else(|| {
        count_unknown(column, &wire.to_string());
        unknown
    })
}

pub(super) fn register(registry: &mut Registry) {
    registry.register(
        "chat_unknown_values",
        "Values in rows that this release does not know and shows as unspecified, by column",
        COUNTS.clone(),
    );
}
