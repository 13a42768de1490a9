//! The GitHub stand-in, asked over real HTTP.

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
#[path = "github/limits.rs"]
mod limits;
#[path = "github/rest.rs"]
mod rest;
#[path = "github/visibility.rs"]
mod visibility;
