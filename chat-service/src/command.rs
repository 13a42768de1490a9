//! The commands beside `serve`: keys, tokens, policies, and clients of a running server for
//! operators.

pub mod keys;
pub mod policy_check;
pub mod terminal;
pub mod token;
