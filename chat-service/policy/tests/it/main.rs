//! Tests of loading and translating policies. That the translation is right is shown with
//! PostgreSQL, by chat-service's tests.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod attributes;
mod baseline;
mod cost;
mod deep;
mod load;
