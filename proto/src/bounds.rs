//! How long texts and messages may be, and the numbers that both services must agree on. Clients
//! may rely on the bounds: they only ever get smaller.

use std::time::Duration;

/// Bytes of a `Chat` at most: its labels, its shares, and its git refs with their pull requests,
/// each as long as it may be.
pub const MAX_CHAT_BYTES: usize = 160 * 1024;

/// Bytes of an answer of `GetChats` at most: 200 chats. What a client sets as its limit for
/// messages that it receives, unless its pages are of at most [`SMALL_PAGE_SIZE`] chats.
pub const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

/// A page of this many chats fits into 4 MiB, the default limit of gRPC clients.
pub const SMALL_PAGE_SIZE: i32 = 25;

/// Bytes of a message of `SyncService` at most, either way: the outcomes of 500 refs, or their
/// leases, with every text as long as it may be.
pub const MAX_SYNC_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of any other request at most: 32 labels of the greatest length, four bytes a character,
/// are two thirds of it.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Elements of a list or map of a request at most, but for [`MAX_LISTS`]: more than any method
/// takes. A request beyond it is not even decoded.
pub const MAX_LIST: usize = 256;

/// Chats that a request names by their ids at most.
pub const MAX_CHAT_IDS: usize = 100;

/// A `WatchChats` stream has a heartbeat at least this often: load balancers cut a stream that is
/// silent for a minute, and a client that has missed two heartbeats connects again.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Lists of requests, by the full name of the field, whose bound is not [`MAX_LIST`].
pub const MAX_LISTS: [(&str, usize); 3] = [
    ("chat.v1.ReportOutcomesRequest.outcomes", MAX_OUTCOMES),
    ("chat.v1.ReportOutcomesRequest.credentials", MAX_OUTCOMES),
    ("chat.v1.BudgetObservation.windows", MAX_WINDOWS),
];

/// Requests, by the full name of the message, that may have more bytes than [`MAX_REQUEST_BYTES`].
pub const MAX_REQUESTS: [(&str, usize); 2] = [
    ("chat.v1.ReportOutcomesRequest", MAX_SYNC_BYTES),
    (
        "chat.v1.ReportDiffRequest",
        MAX_DIFF_BYTES + MAX_REQUEST_BYTES,
    ),
];

/// Bytes of a diff at most: GitHub's own bound, 20,000 lines in 300 files, is about half of it.
pub const MAX_DIFF_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a diff in one message of `GetChatDiff` at most.
pub const MAX_DIFF_PART_BYTES: usize = 256 * 1024;

/// Characters of a pull request's title; of one that is longer, the end is cut off. GitHub stops
/// there.
pub const MAX_PULL_REQUEST_TITLE_CHARS: usize = 256;

/// Bytes of a pull request's address.
pub const MAX_URL_BYTES: usize = 512;

/// Bytes of the address of an author's picture. One that is longer is left out.
pub const MAX_AVATAR_URL_BYTES: usize = 255;

/// Checks that are named of those that failed.
pub const MAX_FAILED_CHECKS: usize = 5;

/// Characters of a check's name; of one that is longer, the end is cut off.
pub const MAX_CHECK_NAME_CHARS: usize = 80;

/// Bytes of the address of a check's page. One that is longer is left out.
pub const MAX_CHECK_URL_BYTES: usize = 255;

/// Reviewers that are named of those who are asked.
pub const MAX_REQUESTED_REVIEWERS: usize = 5;

/// Bytes of the name of a reviewer or an author. One that is longer is left out: GitHub's are at
/// most 39, and those of teams not much longer.
pub const MAX_LOGIN_BYTES: usize = 80;

/// Reviews that are named of those that ask for changes.
pub const MAX_CHANGE_REQUESTS: usize = 3;

/// Bytes of a review's id. One that is longer is left out: GitHub's are about 26, and of the former
/// kind 44.
pub const MAX_REVIEW_ID_BYTES: usize = 48;

/// Bytes of a commit's id: SHA-256 in hex.
pub const MAX_COMMIT_BYTES: usize = 64;

/// Bytes of the name of a branch: as long as git can store one.
pub const MAX_NAME_BYTES: usize = 255;

/// Bytes of a remote's URL as it is kept, without user info: a host, an owner and a name of the
/// greatest length, and room.
pub const MAX_ORIGIN_BYTES: usize = 512;

/// Bytes of a repository's path at its host at most: GitHub's longest is 140, GitLab's a few times
/// that.
pub const MAX_REPOSITORY_BYTES: usize = 1024;

/// Bytes of a host's own id of a pull request at most: GitHub's are about 30.
pub const MAX_HOST_ID_BYTES: usize = 1024;

/// Bytes of a fingerprint at most.
pub const MAX_OPAQUE_BYTES: usize = 512;

/// Maximum length in bytes of an account's id at a host.
pub const MAX_ACCOUNT_ID_BYTES: usize = 100;

/// Rate limit windows of a budget at most: GitHub has a dozen resources, of which two are spent
/// here.
pub const MAX_WINDOWS: usize = 16;

/// Bytes of a window's name at most.
pub const MAX_WINDOW_NAME_BYTES: usize = 64;

/// Secondary limits that one report counts at most: more is a mistake of the worker.
pub const MAX_REFUSALS: u32 = 10_000;

/// Characters of a worker's id at most.
pub const MAX_WORKER_ID_CHARS: usize = 100;

/// Refs of one lease call unless the worker says otherwise: two full probes of GitHub's GraphQL,
/// so that what changed of them is asked for in one request.
pub const DEFAULT_LEASED_REFS: i64 = 200;

/// Refs of one lease call at most.
pub const MAX_LEASED_REFS: i64 = 500;

/// How long a lease call waits at most: load balancers cut calls that are silent for longer.
pub const MAX_LEASE_WAIT: Duration = Duration::from_secs(60);

/// Life of a lease that is not renewed, unless chat-service is configured otherwise.
///
/// The refs of a dead worker wait for as long. A call for leases waits for half of it at most, so
/// that a lease whose answer was slow is not nearly over.
pub const LEASE_DURATION: Duration = Duration::from_secs(60);

/// Outcomes of one report at most.
pub const MAX_OUTCOMES: usize = 500;

/// How long one report may pause a window or a budget at most: a day, so that a host's mistaken
/// answer does not stop an account for longer.
pub const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// How far ahead one outcome may plan the next refresh at most.
pub const MAX_NEXT_REFRESH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The interval between refreshes of a viewed ref. The worker plans by it, and chat-service pulls a
/// ref forward by it when a view begins.
pub const VIEWED_INTERVAL: Duration = Duration::from_secs(15);
