//! Statements: text and name from a file, and what is bound to them.

use tokio_postgres::types::ToSql;

/// A statement: its text, and the name by which metrics and errors know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    /// Also its file's, and in its first comment.
    pub(crate) name: &'static str,
    pub(crate) text: &'a str,
    /// Put together at run time: callers choose how many different ones there are.
    pub(crate) composed: bool,
}

/// A statement that stands in a file as it is sent.
pub(crate) type Sql = Statement<'static>;

/// Loads `sql/<name>.sql`.
macro_rules! sql {
    ($name:literal) => {
        $crate::store::Sql {
            name: $name,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/store/sql/",
                $name,
                ".sql"
            )),
            composed: false,
        }
    };
}
pub(crate) use sql;

/// Values of a statement's parameters, in order.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A statement with its values, as one of several that are sent together.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(super) statement: Statement<'a>,
    pub(super) values: Values<'a>,
    pub(super) skipped: bool,
}

/// Binds `values` to `statement`.
pub(crate) fn bind<'a>(statement: Statement<'a>, values: Values<'a>) -> Bound<'a> {
    Bound {
        statement,
        values,
        skipped: false,
    }
}

impl Bound<'_> {
    /// Sends it only if `needed`; otherwise it returns no rows.
    pub(crate) fn only_if(self, needed: bool) -> Self {
        Self {
            skipped: !needed,
            ..self
        }
    }
}

/// Parameters of a statement that is being composed.
#[derive(Default)]
pub(crate) struct Params(Vec<Box<dyn ToSql + Sync + Send>>);

impl Params {
    /// As tokio-postgres wants them.
    pub(crate) fn as_refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0
            .iter()
            .map(|value| value.as_ref() as &(dyn ToSql + Sync))
            .collect()
    }

    /// Adds a parameter and returns its number.
    pub(crate) fn push(&mut self, value: impl ToSql + Sync + Send + 'static) -> usize {
        self.0.push(Box::new(value));
        self.0.len()
    }
}

/// A statement that was put together from marked files, with its parameters.
pub struct ComposedStatement {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) params: Params,
}

impl ComposedStatement {
    /// As the store runs it.
    pub(crate) fn statement(&self) -> Statement<'_> {
        Statement {
            name: self.name,
            text: &self.text,
            composed: true,
        }
    }

    /// With the whole of `mark` replaced.
    pub(crate) fn with(mut self, mark: &str, text: &str) -> Self {
        self.text = self.text.replace(mark, text);
        self
    }

    /// The text to prepare.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values to bind, in order.
    #[must_use]
    pub fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params.as_refs()
    }
}
