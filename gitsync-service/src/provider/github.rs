//! GitHub and GitHub Enterprise over REST.
//!
//! [`client`] is the one place that sends, [`model`] what is read of an answer, [`rate_limit`] and
//! [`reviews`] are GitHub's rules as pure functions, and [`lookup`] is the way from a branch to a
//! pull request's status.

mod client;
mod lookup;
mod model;
mod rate_limit;
mod reviews;

pub(crate) use client::HttpClient;
pub use client::{CONNECT_TIMEOUT, MAX_BODY_BYTES, REQUEST_TIMEOUT};
pub use lookup::MAX_REVIEW_PAGES;
pub(crate) use lookup::Session;
