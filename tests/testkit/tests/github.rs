//! The GitHub stand-in, asked over real HTTP.

#[path = "github/certify.rs"]
mod certify;
#[path = "github/checks.rs"]
mod checks;
#[path = "github/client.rs"]
mod client;
#[path = "github/failures.rs"]
mod failures;
#[path = "github/faults.rs"]
mod faults;
#[path = "github/graphql.rs"]
mod graphql;
#[path = "github/graphql_errors.rs"]
mod graphql_errors;
#[path = "github/graphql_limits.rs"]
mod graphql_limits;
#[path = "github/holds.rs"]
mod holds;
#[path = "github/limits.rs"]
mod limits;
#[path = "github/rest.rs"]
mod rest;
#[path = "github/sample.rs"]
mod sample;
#[path = "github/visibility.rs"]
mod visibility;
