//! What the binary does besides serving: keys, tokens, and questions about policies.

pub mod keys;
pub mod policy_check;
pub mod token;
