//! What tests need of the world, for real where that is possible: a PostgreSQL server with a
//! database per test, the services' binaries as processes, connections that break on command, and
//! waits that say what they waited for; besides, the clients that call the services and the frame
//! that runs one.
//!
//! What cannot be created, or does not happen in time, panics with what was seen last: a test whose
//! set-up fails has failed.
//!
//! It knows the services' contract (`proto`), their schema (`migrations`) and their tokens
//! (`service-runtime`), and links neither of them. The local launcher uses it too.

pub mod clients;
pub mod clock;
pub mod collector;
pub mod egress;
pub mod file;
pub mod github;
pub mod http;
pub mod jwks;
pub mod lock;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod random;
pub mod running;
pub mod secrets;
pub mod tls;
pub mod wait;
