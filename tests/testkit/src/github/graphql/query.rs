//! A query made ready as soon as it arrives: what faults, holds and the record may ask about it.

use serde_json::Value;

use super::argument::{Variables, coerce};
use super::call::Call;
use super::call::Documents;
pub(crate) use super::call::Unreadable;
use super::price::{Estimate, estimate};
use super::problem::Problem;
use super::schema::Hidden;
use crate::github::record::RecordedQuery;

/// What came in the body.
pub(crate) enum Query {
    Ready(Box<Prepared>),
    Unreadable(Unreadable),
}

/// A query that can be read.
pub(crate) struct Prepared {
    pub(crate) call: Call,
    pub(crate) variables: Result<Variables, Vec<Problem>>,
    pub(crate) estimate: Estimate,
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
            estimate: Estimate::default(),
            call,
        };
        if let Ok((name, operation)) = prepared.call.operation() {
            record.operation = name.map(ToString::to_string);
            prepared.variables = coerce(prepared.call.variables.clone(), &operation.node);
            if let (Ok(variables), None) = (&prepared.variables, prepared.call.endless()) {
                let fragments = prepared.call.fragments();
                let operation = &operation.node;
                let found = estimate(fragments, variables, name, operation, &Hidden::new());
                record.cost = found.price.points();
                record.node_count = found.price.nodes;
                record.aliases = found.price.aliases;
                record.ids = found.price.ids;
                prepared.estimate = found;
            }
        }
        (Self::Ready(Box::new(prepared)), record)
    }
}
