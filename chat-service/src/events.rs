//! How a change reaches its subscribers: in this process, in the other replicas, and at the clients
//! that watch.
//!
//! A change is recorded in the transaction that made it. After the commit the writer calls the
//! [`notifier`]; the [`relay`] gives committed events their order; every replica reads them in that
//! order and offers them to its watchers ([`watch`]).

pub mod metrics;
pub mod notifier;
pub mod relay;
pub mod revision;
pub mod watch;
