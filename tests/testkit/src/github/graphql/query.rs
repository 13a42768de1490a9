//! A query made ready as soon as it arrives: what faults, holds and the record may ask about it.

use serde_json::Value;

use super::argument::{Variables, coerce};
use super::call::Call;
use super::call::Documents;
pub(crate) use super::call::Unreadable;
use super::price::{Price, price};
use super::problem::Problem;
use crate::github::record::RecordedQuery;

/// What came in the body.
pub(crate) enum Query {
    Ready(Box<Prepared>),
    Unreadable(Unreadable),
}

/// A query that can be read. Whether it fits the schema is not known yet.
pub(crate) struct Prepared {
    pub(crate) call: Call,
    pub(crate) variables: Result<Variables, Vec<Problem>>,
    pub(crate) price: Price,
    /// Connections without a size, or with one that is too large.
    pub(crate) oversized: Vec<Problem>,
}

impl Query {
    pub(crate) fn read(documents: &Documents, body: &[u8]) -> (Self, RecordedQuery) {
        let call = match documents.read(body) {
            Ok(call) => call,
            Err(unreadable) => return (Self::Unreadable(unreadable), RecordedQuery::default()),
        };
        let mut record = RecordedQuery {
            operation: call.operation_name.clone(),
            variables: Value::Object(call.variables.clone()),
            ..RecordedQuery::default()
        };
        let mut prepared = Prepared {
            variables: Ok(Variables::new()),
            price: Price::default(),
            oversized: Vec::new(),
            call,
        };
        if let Ok((name, operation)) = prepared.call.operation() {
            record.operation = name.map(ToString::to_string);
            prepared.variables = coerce(prepared.call.variables.clone(), &operation.node);
            if let (Ok(variables), false) = (&prepared.variables, prepared.call.is_endless()) {
                let set = &operation.node.selection_set.node;
                let (price, oversized) = price(prepared.call.fragments(), variables, set);
                record.cost = price.points();
                record.node_count = price.nodes;
                record.aliases = price.aliases;
                record.ids = price.ids;
                (prepared.price, prepared.oversized) = (price, oversized);
            }
        }
        (Self::Ready(Box::new(prepared)), record)
    }
}
