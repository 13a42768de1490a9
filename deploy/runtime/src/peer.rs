//! The names of a connection's peer in its verified client certificate.

use std::sync::Arc;

/// The names in the client certificate of a connection: its DNS and URI names, as in
/// `gitsync.internal` and `spiffe://cluster.local/ns/chat/sa/gitsync`.
///
/// In the extensions of each request of a connection whose client certificate was verified against
/// the configured authorities; absent on every other connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNames(pub Arc<[String]>);
