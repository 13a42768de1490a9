//! How long texts and messages may be, and the numbers that both services must agree on. Clients may
//! rely on the former: they only ever get smaller.

use std::time::Duration;

/// Interval between lookups of a pull request whose chat is being viewed.
///
/// chat-service makes a ref due by it when a view begins, and the worker plans by it while one lasts.
pub const VIEWED_INTERVAL: Duration = Duration::from_secs(15);

/// Longest pause of an account that is believed.
///
/// The longest window of a known host is an hour, and a wrong answer must not silence an account for
/// ever. chat-service refuses a report with a longer pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Life of a lease that is not renewed, unless chat-service is configured otherwise.
///
/// The refs of a dead worker wait for as long. A call for leases waits for half of it at most, so that
/// a lease whose answer was slow is not nearly over.
pub const LEASE_DURATION: Duration = Duration::from_secs(60);

/// Git refs of one lease call at most; chat-service cuts a larger number down to it.
pub const MAX_LEASED_REFS: usize = 500;

/// Bytes of a `Chat` at most: its labels, its shares, and its git refs with their pull requests, each
/// as long as it may be.
pub const MAX_CHAT_BYTES: usize = 160 * 1024;

/// Bytes of an answer of `GetChats` at most: 200 chats. What a client sets as its limit for messages
/// that it receives, unless its pages are of at most [`SMALL_PAGE_SIZE`] chats.
pub const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

/// A page of so many chats fits into the 4 MiB that gRPC clients take if they are not told otherwise.
pub const SMALL_PAGE_SIZE: i32 = 25;

/// Bytes of a message of `SyncService` at most, either way: the outcomes of 500 refs, or their leases,
/// with every text as long as it may be.
pub const MAX_SYNC_BYTES: usize = 16 * 1024 * 1024;

/// Characters of a pull request's title; of one that is longer, the end is cut off. GitHub stops there.
pub const MAX_PULL_REQUEST_TITLE_CHARS: usize = 256;

/// Bytes of a pull request's address, or of its author's picture.
pub const MAX_URL_BYTES: usize = 512;

/// Bytes of the name of a branch, a commit or an account: as long as git can store one.
pub const MAX_NAME_BYTES: usize = 255;

/// Bytes of a remote's URL as it is kept, without user info: a host, an owner and a name of the
/// greatest length, and room.
pub const MAX_ORIGIN_BYTES: usize = 512;
