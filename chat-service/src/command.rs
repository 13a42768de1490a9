//! What the binary does besides serving: keys, tokens, questions about policies, and what operators
//! ask a running server.

pub mod keys;
pub mod policy_check;
pub mod terminal;
pub mod token;
