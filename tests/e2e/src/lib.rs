//! End-to-end tests: both real binaries, a real PostgreSQL, and the GitHub stand-in over HTTP.
//!
//! This crate links neither service. It starts them as an operator would and speaks the contract.

pub mod abuse;
pub mod follower;
pub mod lease;
pub mod load;
pub mod picture;
pub mod stack;
pub mod warnings;
