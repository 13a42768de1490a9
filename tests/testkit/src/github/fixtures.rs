//! GitHub's published example bodies, unchanged; `tests/testkit/fixtures/README.md` says where
//! they come from.

/// One pull request.
pub const PULL_REQUEST: &str = include_str!("../../fixtures/github/pull_request.json");
/// A list of pull requests, with fewer fields for each.
pub const PULL_REQUESTS: &str = include_str!("../../fixtures/github/pull_requests.json");
/// The reviews of a pull request.
pub const REVIEWS: &str = include_str!("../../fixtures/github/reviews.json");
/// One repository.
pub const REPOSITORY: &str = include_str!("../../fixtures/github/repository.json");
/// The user whose token it is.
pub const PRIVATE_USER: &str = include_str!("../../fixtures/github/private_user.json");
/// The state of all rate limits.
pub const RATE_LIMIT: &str = include_str!("../../fixtures/github/rate_limit.json");
/// The part of GitHub's GraphQL schema that the stand-in serves; `fixtures/trim-schema.mjs` cuts it
/// out of the published one.
pub const SCHEMA: &str = include_str!("../../fixtures/github/schema.graphql");
