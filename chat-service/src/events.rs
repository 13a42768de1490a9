//! How a change reaches everybody who waits for it: in this process, in the other replicas, and at
//! the clients who watch.

pub mod bell;
