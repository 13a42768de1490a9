//! Why the work on a lease ended before all of it was reported.

/// Why the work on a lease ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseEnd {
    /// The lease is not ours any more.
    Lost,
    /// chat-service did not answer for as long as the lease ran.
    Unreported,
}
